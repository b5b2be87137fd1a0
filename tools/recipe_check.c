/* What can be wrong with a step's options, before anything runs. The programs know: each
 * is asked for its table (--list-options), against which the values' types are held, and
 * then to look at the step's whole command without doing anything (--check-options). */
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "tools/programs.h"
#include "tools/recipe.h"

#define MAX_PROGRAMS 16

struct checking {
    const struct recipe_plan *plan;
    const struct recipe_job *job;
    cJSON *tables[MAX_PROGRAMS]; /* what each program printed; NULL: not asked yet */
    struct pare_error *err;
};

/* --- Tables ----------------------------------------------------------------------------
 */

static enum pare_status ask_table(const struct checking *c, cJSON **table)
{
    char path[PROGRAM_PATH_SIZE], *text;
    size_t length;
    int code;
    const struct recipe *recipe = c->plan->recipe;
    enum pare_status status = program_path(c->job->step->program->verb, path, c->err);
    if (status != PARE_OK)
        return pare_fail_in(c->err, status, "%.200s: step '%s'", recipe->path,
                            c->job->step->name);
    const char *const argv[] = {path, "--list-options", NULL};
    PARE_TRY(program_capture(argv, &code, &text, &length, c->err));
    status = pare_json_parse(text, length, path, table, c->err);
    pare_free(text);
    if (code || status != PARE_OK)
        return pare_fail(c->err, PARE_ERR_IO,
                         "%s does not say what options it has; it is of another version",
                         path);
    return PARE_OK;
}

static enum pare_status find_table(struct checking *c, const cJSON **table)
{
    const size_t i = (size_t)(c->job->step->program - recipe_programs);
    if (!c->tables[i])
        PARE_TRY(ask_table(c, &c->tables[i]));
    *table = c->tables[i];
    return PARE_OK;
}

static const cJSON *find_option(const cJSON *table, const char *name)
{
    const cJSON *option;
    cJSON_ArrayForEach(option, cJSON_GetObjectItemCaseSensitive(table, "options"))
    {
        const char *found =
            cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(option, "name"));
        if (found && !strcmp(found, name))
            return option;
    }
    return NULL;
}

/* --- Options ---------------------------------------------------------------------------
 */

/* Those that say how a run goes, and not what it makes: they belong to `pare run`. */
static int is_of_the_run(const struct recipe_program *program, const cJSON *option,
                         const char *name)
{
    static const char *const more[] = {"resume",  "state",         "cache",
                                       "find-lr", "check-options", "list-options",
                                       "dry-run", "plan",          "help-man"};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (!strcmp(name, more[i]))
            return 1;
    if (!strncmp(program->output_word, "--", 2) &&
        !strcmp(program->output_word + 2, name))
        return 1;
    return cJSON_GetObjectItemCaseSensitive(option, "common") &&
           strcmp(name, "seed") != 0;
}

static enum pare_status unknown_option(const struct checking *c, const cJSON *table,
                                       const char *name)
{
    const char *names[128], *near;
    size_t count = 0;
    const cJSON *option;
    cJSON_ArrayForEach(option, cJSON_GetObjectItemCaseSensitive(table, "options"))
    {
        const char *other =
            cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(option, "name"));
        if (other && count < sizeof names / sizeof *names &&
            !is_of_the_run(c->job->step->program, option, other))
            names[count++] = other;
    }
    near = pare_cli_nearest(name, names, count);
    return recipe_fail(c->plan->recipe, c->job->step, c->err,
                       "%s has no option \"%.60s\"%s%s%s", c->job->step->program->verb,
                       name, near ? "; did you mean \"" : "", near ? near : "",
                       near ? "\"?" : "");
}

static enum pare_status wrong_type(const struct checking *c,
                                   const struct recipe_word *word, const char *expected,
                                   const char *advice)
{
    static const char *const found[] = {"true", "the string ", "the number "};
    const char *quote = word->type == RECIPE_STRING ? "\"" : "";
    const char *text = word->type == RECIPE_TRUE ? "" : word->text;
    return recipe_fail(c->plan->recipe, c->job->step, c->err,
                       "option \"%s\": expected %s, found %s%s%s%.60s%s%s", word->option,
                       expected, word->is_list ? "an array with " : "", found[word->type],
                       quote, text, quote, advice);
}

static enum pare_status check_type(const struct checking *c, const cJSON *option,
                                   const struct recipe_word *word)
{
    const char *type =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(option, "type"));
    const int is_integer = type && !strcmp(type, "integer");
    if (!type)
        return pare_fail(c->err, PARE_ERR_IO, "--list-options: an option has no type");
    if (!strcmp(type, "flag"))
        return word->type == RECIPE_TRUE && !word->is_list
                   ? PARE_OK
                   : wrong_type(c, word, "true", "");
    if (word->type == RECIPE_TRUE)
        return wrong_type(c, word, "a value", "");
    if (word->is_list && strcmp(type, "strings") != 0)
        return wrong_type(c, word, "one value", "; it can be given once");
    if (is_integer || !strcmp(type, "number")) {
        const char *expected = is_integer ? "an integer" : "a number";
        if (word->type == RECIPE_STRING && !word->has_variable)
            return wrong_type(c, word, expected, "; numbers have no quotes");
        if (is_integer && word->text[strspn(word->text, "-0123456789")])
            return wrong_type(c, word, expected, "");
        return PARE_OK;
    }
    if (word->type == RECIPE_NUMBER && strcmp(type, "string") != 0)
        return wrong_type(c, word, "a string", "");
    return PARE_OK;
}

static int names_input(const cJSON *option, const char *begin)
{
    const char *argument =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(option, "argument"));
    return argument && !strncmp(argument, begin, strlen(begin));
}

static enum pare_status check_word(const struct checking *c, const cJSON *table,
                                   const struct recipe_word *word)
{
    const cJSON *option = find_option(table, word->option);
    if (is_of_the_run(c->job->step->program, option, word->option))
        return recipe_fail(c->plan->recipe, c->job->step, c->err,
                           "option \"%.60s\" is not for recipes: it says how a step is "
                           "run, which pare run decides",
                           word->option);
    if (!option)
        return unknown_option(c, table, word->option);
    if (word->is_made)
        return PARE_OK;
    PARE_TRY(check_type(c, option, word));
    if (names_input(option, "MODEL") && word->from != RECIPE_NOWHERE &&
        word->kind != RECIPE_MODEL)
        return recipe_fail(c->plan->recipe, c->job->step, c->err,
                           "option \"%s\": expected a model, found %s, %s", word->option,
                           word->text, recipe_kind_name(word->kind));
    return PARE_OK;
}

/* --- The program's own opinion ---------------------------------------------------------
 */

static int number_of(const cJSON *table, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(table, key);
    return cJSON_IsNumber(value) ? value->valueint : 0;
}

static enum pare_status check_inputs(const struct checking *c, const cJSON *table)
{
    const struct recipe_step *step = c->job->step;
    const int least = number_of(table, "min_operands"),
              most = number_of(table, "max_operands"), n = (int)step->n_inputs;
    if (n < least)
        return recipe_fail(c->plan->recipe, step, c->err, "%s needs an \"input\": %s",
                           step->program->verb,
                           step->program->inputs ? step->program->inputs : "a file");
    if (most >= 0 && n > most)
        return recipe_fail(c->plan->recipe, step, c->err, "%s takes %s, found %d inputs",
                           step->program->verb, most ? "one input" : "no input", n);
    return PARE_OK;
}

/* "pare-quantize: error: WHY\n" without what is around it. */
static enum pare_status refuse(const struct checking *c, const char *text)
{
    const char *why = strstr(text, ": error: ");
    why = why ? why + strlen(": error: ") : text;
    return recipe_fail(c->plan->recipe, c->job->step, c->err, "%.*s",
                       (int)strcspn(why, "\n"), why);
}

static enum pare_status ask_program(const struct checking *c, size_t job)
{
    char path[PROGRAM_PATH_SIZE], *text;
    const char *words[] = {"--check-options"};
    const struct pare_cli_list more = {.items = words, .count = 1};
    const char *const *argv;
    size_t length;
    int code;
    PARE_TRY(program_path(c->job->step->program->verb, path, c->err));
    PARE_TRY(recipe_command(c->plan, job, path, &more, &argv, c->err));
    PARE_TRY(program_capture(argv, &code, &text, &length, c->err));
    enum pare_status status = PARE_OK;
    if (code == PARE_ERR_USAGE || code == PARE_ERR_INPUT)
        status = refuse(c, text);
    else if (code)
        status = pare_fail(c->err, PARE_ERR_IO, "%s --check-options failed: %.300s", path,
                           text);
    pare_free(text);
    return status;
}

/* --- Files
 * ------------------------------------------------------------------------------ */

/* An input from outside, or the recipe: it is there, and no step may write over it. */
static enum pare_status check_file(const struct checking *c, const char *path)
{
    const struct recipe *recipe = c->plan->recipe;
    enum pare_status status = PARE_OK;
    if (!pare_path_exists(path))
        return pare_fail(c->err, PARE_ERR_IO,
                         "%.200s: step '%s': %.200s is not there; paths are those of the "
                         "folder that pare run was started in",
                         recipe->path, c->job->step->name, path);
    for (size_t i = 0; i < recipe->n_steps && status == PARE_OK; i++) {
        const struct recipe_job *job = &c->plan->jobs[i];
        for (size_t k = 0; k < job->n_outputs && status == PARE_OK; k++)
            status = pare_refuse_same_file(path, job->outputs[k], c->err);
        if (status != PARE_OK)
            return pare_fail_in(c->err, status, "%.200s: step '%s'", recipe->path,
                                job->step->name);
    }
    return PARE_OK;
}

static enum pare_status check_files(const struct checking *c, const cJSON *table)
{
    for (size_t i = 0; i < c->job->n_words; i++) {
        const struct recipe_word *word = &c->job->words[i];
        if (word->from != RECIPE_NOWHERE || word->is_made || !word->text)
            continue;
        const cJSON *option = word->option ? find_option(table, word->option) : NULL;
        if (!option || names_input(option, "FILE") || names_input(option, "MODEL") ||
            pare_path_exists(word->text))
            PARE_TRY(check_file(c, word->text));
    }
    return PARE_OK;
}

static enum pare_status check_job(struct checking *c, size_t job)
{
    const cJSON *table;
    PARE_TRY(find_table(c, &table));
    PARE_TRY(check_inputs(c, table));
    for (size_t i = 0; i < c->job->n_words; i++)
        if (c->job->words[i].option)
            PARE_TRY(check_word(c, table, &c->job->words[i]));
    return ask_program(c, job);
}

enum pare_status recipe_check(const struct recipe_plan *plan, struct pare_error *err)
{
    struct checking c = {.plan = plan, .err = err};
    const cJSON *table;
    enum pare_status status = PARE_OK;
    for (size_t i = 0; i < plan->recipe->n_steps && status == PARE_OK; i++) {
        c.job = &plan->jobs[i];
        status = check_job(&c, i);
    }
    for (size_t i = 0; i < plan->recipe->n_steps && status == PARE_OK; i++) {
        c.job = &plan->jobs[i];
        status = find_table(&c, &table);
        if (status == PARE_OK)
            status = check_files(&c, table);
    }
    if (status == PARE_OK)
        status = check_file(&c, plan->recipe->path);
    for (size_t i = 0; i < MAX_PROGRAMS; i++)
        cJSON_Delete(c.tables[i]);
    return status;
}
