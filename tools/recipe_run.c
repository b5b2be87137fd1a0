/* Runs the steps of a plan that are not as they were, one after the other. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/file.h"
#include "tools/programs.h"
#include "tools/recipe_state.h"

enum outcome { NOT_REACHED, UNCHANGED, TO_RUN, DONE, FAILED };

struct outcome_of { /* what became of a step */
    enum outcome outcome;
    double seconds;
    char key[RECIPE_SUM_SIZE]; /* empty when it cannot be known yet */
    char why[96];
};

struct runner {
    struct pare_cli *cli;
    const struct recipe_plan *plan;
    const struct recipe_run_options *o;
    struct recipe_state state;
    struct recipe_sums sums;
    struct pare_cli_list passed; /* options that every program gets */
    struct outcome_of *outcomes; /* [steps] */
    char machine[64];
    struct pare_error *err;
};

/* --- Which
 * ------------------------------------------------------------------------------ */

static const char *why(enum recipe_change change)
{
    switch (change) {
    case RECIPE_NEW: return "it is new";
    case RECIPE_STOPPED: return "it did not end the last time";
    case RECIPE_CHANGED: return "its options or inputs have changed";
    case RECIPE_MISSING: return "its output is missing";
    case RECIPE_DAMAGED: return "its output is not what it wrote";
    case RECIPE_UNCHANGED: break;
    }
    return "";
}

static int is_asked_for(const struct runner *r, const char *name)
{
    for (size_t i = 0; i < r->o->again->count; i++)
        if (!strcmp(r->o->again->items[i], name))
            return 1;
    return 0;
}

/* A step of which it cannot be said yet whether it will be run again. */
static const struct recipe_step *waits_for(const struct runner *r,
                                           const struct recipe_job *job)
{
    for (size_t i = 0; i < job->n_words; i++) {
        const size_t from = job->words[i].from;
        if (from != RECIPE_NOWHERE && r->outcomes[from].outcome == TO_RUN)
            return r->plan->jobs[from].step;
    }
    return NULL;
}

static enum pare_status decide(struct runner *r, size_t i)
{
    const struct recipe_job *job = &r->plan->jobs[i];
    struct outcome_of *o = &r->outcomes[i];
    const struct recipe_step *before = waits_for(r, job);
    enum recipe_change change;
    o->outcome = TO_RUN;
    if (before) {
        snprintf(o->why, sizeof o->why, "behind %s", before->name);
        return PARE_OK;
    }
    PARE_TRY(recipe_key(job, r->machine, &r->sums, o->key, r->err));
    PARE_TRY(recipe_state_compare(&r->state, job, o->key, &r->sums, &change, r->err));
    snprintf(o->why, sizeof o->why, "%s", why(change));
    if (change == RECIPE_UNCHANGED && is_asked_for(r, job->step->name))
        snprintf(o->why, sizeof o->why, "--again");
    else if (change == RECIPE_UNCHANGED)
        o->outcome = UNCHANGED;
    return PARE_OK;
}

/* --- Running
 * ---------------------------------------------------------------------------- */

static enum pare_status add_word(struct pare_cli_list *words, const char *word,
                                 struct pare_error *err)
{
    PARE_TRY(pare_grow(&words->items, &words->capacity, words->count + 1,
                       sizeof *words->items, err));
    words->items[words->count++] = word;
    return PARE_OK;
}

/* With what is passed on, and --resume for a run that was stopped. */
static enum pare_status make_command(struct runner *r, size_t i, const char *program,
                                     const char *const **argv)
{
    const struct recipe_step *step = r->plan->jobs[i].step;
    struct pare_cli_list words = {0};
    enum pare_status status = PARE_OK;
    if (step->program->resumes && *r->outcomes[i].key &&
        recipe_state_is_stopped(&r->state, step->name, r->outcomes[i].key))
        status = add_word(&words, "--resume", r->err);
    for (size_t k = 0; k < r->passed.count && status == PARE_OK; k++)
        status = add_word(&words, r->passed.items[k], r->err);
    if (status == PARE_OK)
        status = recipe_command(r->plan, i, program, &words, argv, r->err);
    pare_free(words.items);
    return status;
}

static enum pare_status fail_step(const struct runner *r, size_t i, int code)
{
    const struct recipe_step *step = r->plan->jobs[i].step;
    enum pare_status status = PARE_ERR_INTERNAL;
    if (code == 128 + 2 || code == 128 + 15) {
        if (!pare_interrupted())
            pare_interrupt(code - 128);
        return pare_fail(r->err, PARE_ERR_INTERRUPTED,
                         "stopped in the step '%s'; the same command goes on from there",
                         step->name);
    }
    if (code > PARE_OK && code < PARE_ERR_INTERRUPTED)
        status = (enum pare_status)code;
    if (code > 128)
        return pare_fail(r->err, status, "step '%s': pare-%s was killed by signal %d",
                         step->name, step->program->verb, code - 128);
    return pare_fail(r->err, status, "step '%s': pare-%s ended with exit code %d",
                     step->name, step->program->verb, code);
}

static enum pare_status check_written(const struct runner *r,
                                      const struct recipe_job *job)
{
    for (size_t k = 0; k < job->n_outputs; k++)
        if (!pare_path_exists(job->outputs[k]))
            return pare_fail(r->err, PARE_ERR_INTERNAL,
                             "step '%s': pare-%s ended well and did not write %s",
                             job->step->name, job->step->program->verb, job->outputs[k]);
    return PARE_OK;
}

static enum pare_status run_program(struct runner *r, size_t i)
{
    const struct recipe_job *job = &r->plan->jobs[i];
    const char *const *argv;
    char path[PROGRAM_PATH_SIZE];
    int code;
    PARE_TRY(program_path(job->step->program->verb, path, r->err));
    PARE_TRY(make_command(r, i, path, &argv));
    PARE_TRY(recipe_state_start(&r->state, job->step->name, r->outcomes[i].key, r->err));
    for (size_t k = 0; k < job->n_outputs; k++)
        recipe_sums_forget(&r->sums, job->outputs[k]);
    fflush(stdout);
    PARE_TRY(program_run(argv, &code, r->err));
    if (code)
        return fail_step(r, i, code);
    PARE_TRY(check_written(r, job));
    return recipe_state_finish(&r->state, job, r->outcomes[i].key, &r->sums, r->err);
}

static enum pare_status run_step(struct runner *r, size_t i)
{
    const struct recipe_step *step = r->plan->jobs[i].step;
    struct outcome_of *o = &r->outcomes[i];
    const double start = pare_clock_ms();
    pare_cli_info(r->cli, "step %zu of %zu, %s: %s, %s", i + 1, r->plan->recipe->n_steps,
                  step->name, step->program->verb, o->why);
    const enum pare_status status = run_program(r, i);
    o->seconds = (pare_clock_ms() - start) / 1e3;
    o->outcome = status == PARE_OK ? DONE : FAILED;
    if (status == PARE_OK)
        pare_cli_info(r->cli, "%s: done in %.1f s, %s", step->name, o->seconds,
                      r->plan->jobs[i].outputs[0]);
    return status;
}

/* --- Telling
 * ---------------------------------------------------------------------------- */

/* As a person would type it: `pare VERB ...`. */
static enum pare_status print_step(struct runner *r, size_t i)
{
    const struct recipe_step *step = r->plan->jobs[i].step;
    const char *const *argv;
    if (r->outcomes[i].outcome == UNCHANGED) {
        printf("# %s: unchanged\n", step->name);
        return PARE_OK;
    }
    printf("# %s: %s\n", step->name, r->outcomes[i].why);
    PARE_TRY(make_command(r, i, step->program->verb, &argv));
    fputs("pare ", stdout);
    recipe_print_command(argv, stdout);
    return PARE_OK;
}

static int add_outcome(cJSON *list, const struct recipe_job *job,
                       const struct outcome_of *o)
{
    static const char *const words[] = {"not reached", "unchanged", "to be run", "done",
                                        "failed"};
    cJSON *json = cJSON_CreateObject();
    if (!json || !cJSON_AddItemToArray(list, json)) {
        cJSON_Delete(json);
        return 0;
    }
    return cJSON_AddStringToObject(json, "name", job->step->name) &&
           cJSON_AddStringToObject(json, "run", job->step->program->verb) &&
           cJSON_AddStringToObject(json, "outcome", words[o->outcome]) &&
           (!*o->why || cJSON_AddStringToObject(json, "because", o->why)) &&
           (!*o->key || cJSON_AddStringToObject(json, "key", o->key)) &&
           (o->outcome < DONE ||
            cJSON_AddNumberToObject(json, "seconds", round(o->seconds * 1e3) / 1e3)) &&
           cJSON_AddStringToObject(json, "output", job->outputs[0]);
}

static enum pare_status write_json(const struct runner *r, struct pare_error *err)
{
    cJSON *json = cJSON_CreateObject();
    const char *title = r->plan->recipe->title;
    int ok = json && cJSON_AddNumberToObject(json, "recipe_run", 1) &&
             cJSON_AddStringToObject(json, "version", PARE_VERSION) &&
             cJSON_AddStringToObject(json, "recipe", r->plan->recipe->path) &&
             (!title || cJSON_AddStringToObject(json, "title", title));
    cJSON *list = ok ? cJSON_AddArrayToObject(json, "steps") : NULL;
    ok = list != NULL;
    for (size_t i = 0; ok && i < r->plan->recipe->n_steps; i++)
        ok = add_outcome(list, &r->plan->jobs[i], &r->outcomes[i]);
    const enum pare_status status = ok ? pare_json_write_file(r->o->json, json, err)
                                       : pare_fail_memory(err, sizeof *json);
    cJSON_Delete(json);
    return status;
}

static void tell_end(const struct runner *r, double seconds)
{
    size_t done = 0, same = 0;
    for (size_t i = 0; i <= r->o->last; i++) {
        done += r->outcomes[i].outcome == DONE;
        same += r->outcomes[i].outcome == UNCHANGED;
    }
    pare_cli_info(r->cli, "%zu %s run, %zu unchanged, in %.1f s; %s holds them", done,
                  done == 1 ? "step" : "steps", same, seconds, r->plan->folder);
}

/* --- The whole
 * -------------------------------------------------------------------------- */

static enum pare_status run_all(struct runner *r)
{
    const double start = pare_clock_ms();
    for (size_t i = 0; i <= r->o->last; i++) {
        PARE_TRY(pare_check_interrupted(r->err));
        PARE_TRY(decide(r, i));
        if (r->o->dry_run)
            PARE_TRY(print_step(r, i));
        else if (r->outcomes[i].outcome == TO_RUN)
            PARE_TRY(run_step(r, i));
        else
            pare_cli_info(r->cli, "step %zu of %zu, %s: unchanged", i + 1,
                          r->plan->recipe->n_steps, r->plan->jobs[i].step->name);
    }
    if (!r->o->dry_run)
        tell_end(r, (pare_clock_ms() - start) / 1e3);
    return PARE_OK;
}

/* Two runs in one folder would take each other's outputs away. */
static enum pare_status lock_folder(const char *folder, struct pare_output **lock,
                                    struct pare_error *err)
{
    char path[4096];
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return pare_fail(err, PARE_ERR_IO, "%s: cannot make the folder: %s", folder,
                         strerror(errno));
    PARE_TRY(pare_path_join(path, sizeof path, folder, "recipe.run", err));
    return pare_output_open(path, lock, err); /* a file that is never to appear */
}

enum pare_status recipe_run(struct pare_cli *cli, const struct recipe_plan *plan,
                            const struct recipe_run_options *options,
                            struct pare_error *err)
{
    struct runner r = {.cli = cli, .plan = plan, .o = options, .err = err};
    struct pare_output *lock = NULL;
    enum pare_status status = PARE_OK;
    snprintf(r.machine, sizeof r.machine, "%s, %d threads", cli->cpu, cli->threads);
    if (!options->dry_run)
        PARE_TRY_OUT(lock_folder(plan->folder, &lock, err));
    PARE_TRY_OUT(pare_alloc(&r.outcomes, plan->recipe->n_steps, sizeof *r.outcomes, err));
    PARE_TRY_OUT(pare_cli_pass_on(cli, &plan->recipe->arena, &r.passed, err));
    PARE_TRY_OUT(recipe_state_open(&r.state, cli, plan->folder, err));
    status = run_all(&r);
    if (options->json) {
        enum pare_status told = write_json(&r, status == PARE_OK ? err : NULL);
        status = status == PARE_OK ? told : status;
    }
out:
    recipe_state_close(&r.state);
    recipe_sums_free(&r.sums);
    pare_free(r.passed.items);
    pare_free(r.outcomes);
    pare_output_abort(lock);
    return status;
}
