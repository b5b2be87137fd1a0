/* pare-recipe: runs the steps of a recipe that are not as they were. `pare run X.json` is
 * this program. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "tools/programs.h"
#include "tools/recipe.h"

#define SHARED_FOLDER "/../share/pare/recipes"

struct options {
    struct pare_cli_list set, again;
    const char *until, *json;
    int dry_run;
};

/* The recipes that come with the programs are found by their name alone. */
static enum pare_status find_recipe(const char *name, char path[PROGRAM_PATH_SIZE],
                                    struct pare_error *err)
{
    char folder[PROGRAM_FOLDER_SIZE + sizeof SHARED_FOLDER], shared[PROGRAM_PATH_SIZE];
    if (snprintf(path, PROGRAM_PATH_SIZE, "%s", name) >= PROGRAM_PATH_SIZE)
        return pare_fail(err, PARE_ERR_USAGE, "%.100s...: the path is too long", name);
    if (strchr(name, '/') || pare_path_exists(name))
        return PARE_OK;
    PARE_TRY(program_folder(folder, err));
    memcpy(folder + strlen(folder), SHARED_FOLDER, sizeof SHARED_FOLDER);
    PARE_TRY(pare_path_join(shared, sizeof shared, folder, name, err));
    if (pare_path_exists(shared))
        snprintf(path, PROGRAM_PATH_SIZE, "%s", shared);
    return PARE_OK;
}

static enum pare_status read_recipe(const char *path, struct recipe *recipe,
                                    struct pare_error *err)
{
    char *text;
    size_t length;
    PARE_TRY(pare_read_file(path, RECIPE_MAX_BYTES, &text, &length, err));
    const enum pare_status status = recipe_parse(text, length, path, recipe, err);
    pare_free(text);
    return status;
}

static enum pare_status apply_options(struct recipe *recipe, const struct options *o,
                                      struct recipe_run_options *run,
                                      struct pare_error *err)
{
    size_t step;
    for (size_t i = 0; i < o->set.count; i++)
        PARE_TRY(recipe_set(recipe, o->set.items[i], err));
    PARE_TRY(recipe_set_all(recipe, err));
    for (size_t i = 0; i < o->again.count; i++)
        PARE_TRY(recipe_find_step(recipe, "again", o->again.items[i], &step, err));
    run->last = recipe->n_steps - 1;
    return o->until ? recipe_find_step(recipe, "until", o->until, &run->last, err)
                    : PARE_OK;
}

/* A last step is what the recipe is for; a report or a result is for people. */
static void warn_unused(struct pare_cli *cli, const struct recipe_plan *plan)
{
    for (size_t i = 0; i + 1 < plan->recipe->n_steps; i++) {
        const struct recipe_job *job = &plan->jobs[i];
        if (!job->is_used && job->kinds[0] != RECIPE_RESULT &&
            job->kinds[0] != RECIPE_REPORT)
            pare_cli_warn(cli, "%s: step '%s': no later step uses what it makes",
                          plan->recipe->path, job->step->name);
    }
}

static enum pare_status refuse_json(const struct recipe_plan *plan, const char *json,
                                    struct pare_error *err)
{
    if (!json)
        return PARE_OK;
    PARE_TRY(pare_refuse_same_file(plan->recipe->path, json, err));
    for (size_t i = 0; i < plan->recipe->n_steps; i++)
        for (size_t k = 0; k < plan->jobs[i].n_outputs; k++)
            if (pare_path_is_same(json, plan->jobs[i].outputs[k]))
                return pare_fail(err, PARE_ERR_USAGE,
                                 "--json %s: that is what the step '%s' writes", json,
                                 plan->jobs[i].step->name);
    return PARE_OK;
}

static enum pare_status run(struct pare_cli *cli, void *context, struct pare_error *err)
{
    const struct options *o = context;
    char path[PROGRAM_PATH_SIZE];
    struct recipe recipe = {0};
    struct recipe_plan plan;
    struct recipe_run_options run = {
        .again = &o->again, .dry_run = o->dry_run, .json = o->json};
    enum pare_status status;
    PARE_TRY(find_recipe(cli->operands[0], path, err));
    PARE_TRY_OUT(read_recipe(path, &recipe, err));
    PARE_TRY_OUT(apply_options(&recipe, o, &run, err));
    PARE_TRY_OUT(recipe_plan(&recipe, cli->output, &plan, err));
    PARE_TRY_OUT(recipe_check(&plan, err));
    PARE_TRY_OUT(refuse_json(&plan, o->json, err));
    warn_unused(cli, &plan);
    if (recipe.title && !o->dry_run)
        pare_cli_info(cli, "%s", recipe.title);
    status = recipe_run(cli, &plan, &run, err);
out:
    recipe_free(&recipe);
    return status;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    const struct pare_cli_option options[] = {
        PARE_CLI_STRINGS(0, "set", "NAME=VALUE", &o.set,
                         "give a variable of the recipe this value"),
        PARE_CLI_FLAG('n', "dry-run", &o.dry_run,
                      "check everything, print the commands of the steps that would be "
                      "run, and run none"),
        PARE_CLI_STRING(0, "until", "STEP", &o.until, "leave out the steps behind STEP"),
        PARE_CLI_STRINGS(0, "again", "STEP", &o.again,
                         "run STEP although nothing has changed"),
        PARE_CLI_STRING(0, "json", "FILE", &o.json,
                        "write what became of each step to FILE"),
        PARE_CLI_END,
    };
    const struct pare_cli_example examples[] = {
        {"pare run half-size-no-loss.json --set teacher=sst2.gguf --set train=train.tsv "
         "--set dev=dev.tsv -o half",
         "A recipe that comes with the programs; half/report.html says what came of it."},
        {"pare run mine.json -o work --dry-run",
         "What would be done, as commands for a shell."},
        {"pare run mine.json -o work --again measure",
         "Times a model once more, and makes what follows from it."},
        {NULL, NULL},
    };
    const struct pare_cli_program program = {
        .name = "pare-recipe",
        .summary = "Runs the steps of a recipe, those that are not as they were.",
        .usage = "[options] RECIPE.json -o FOLDER",
        .description =
            "A recipe is a JSON file that says which programs of pare are to be run, "
            "with "
            "which options, each on what earlier steps made: convert, train, distil, "
            "prune, quantise, evaluate, report. docs/RECIPE.md describes it. pare run "
            "RECIPE.json is the same as pare-recipe RECIPE.json.\n\n"
            "Everything is checked before the first step: the recipe, the options of all "
            "steps by the programs themselves, and whether the inputs are there. What a "
            "step makes is kept in FOLDER under the step's name, with a sum of "
            "everything "
            "that it depends on: the version, the options, the contents of the inputs. A "
            "step whose sum is the same, and whose output is as it was written, is not "
            "run again; that holds for measured times too. A step that was stopped goes "
            "on where it can. A requirement of a report that is not met ends the run "
            "with "
            "exit code 7, and the exit code of a step that fails is that of the run.",
        .operands = "RECIPE.json",
        .output = "the folder for what the steps make; it is made if missing",
        .output_name = "FOLDER",
        .options = options,
        .examples = examples,
        .min_operands = 1,
        .max_operands = 1,
        .common = PARE_CLI_OUTPUT | PARE_CLI_NEEDS_OUTPUT,
    };
    return pare_cli_main(&program, argc, argv, run, &o);
}
