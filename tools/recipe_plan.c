/* From what a recipe says to what the programs are given: "$name" becomes a variable's
 * value, "@name" the path of a step's output. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "tools/recipe.h"

#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

struct planning {
    struct recipe *recipe;
    struct recipe_plan *plan;
    size_t at; /* the step */
    const struct recipe_step *step;
    struct recipe_job *job;
    struct pare_error *err;
};

/* --- Variables ------------------------------------------------------------------------
 */

static struct recipe_variable *find_variable(const struct recipe *recipe,
                                             const char *name, size_t length)
{
    for (size_t i = 0; i < recipe->n_variables; i++)
        if (strlen(recipe->variables[i].name) == length &&
            !memcmp(recipe->variables[i].name, name, length))
            return &recipe->variables[i];
    return NULL;
}

/* The variable nearest to the word; NULL when there is none, or no memory. */
static const char *near_variable(const struct recipe *recipe, const char *word)
{
    const char **names, *near;
    if (pare_alloc(&names, recipe->n_variables, sizeof *names, NULL) != PARE_OK)
        return NULL;
    for (size_t i = 0; i < recipe->n_variables; i++)
        names[i] = recipe->variables[i].name;
    near = pare_cli_nearest(word, names, recipe->n_variables);
    pare_free(names);
    return near;
}

enum pare_status recipe_set(struct recipe *recipe, const char *text,
                            struct pare_error *err)
{
    char name[RECIPE_NAME_SIZE], *copy;
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return pare_fail(err, PARE_ERR_USAGE, "--set \"%.100s\": expected NAME=VALUE",
                         text);
    struct recipe_variable *variable =
        find_variable(recipe, text, (size_t)(equals - text));
    snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    const char *near = variable ? NULL : near_variable(recipe, name);
    if (!variable)
        return pare_fail(err, PARE_ERR_USAGE, "--set: %.200s has no variable '%s'%s%s%s",
                         recipe->path, name, near ? "; did you mean '" : "",
                         near ? near : "", near ? "'?" : "");
    PARE_TRY(
        pare_arena_strndup(&recipe->arena, &copy, equals + 1, strlen(equals + 1), err));
    variable->value = copy;
    return PARE_OK;
}

enum pare_status recipe_set_all(const struct recipe *recipe, struct pare_error *err)
{
    for (size_t i = 0; i < recipe->n_variables; i++)
        if (!recipe->variables[i].value)
            return pare_fail(err, PARE_ERR_USAGE,
                             "%.200s: the variable '%s' has no value; give it as --set "
                             "%s=VALUE",
                             recipe->path, recipe->variables[i].name,
                             recipe->variables[i].name);
    return PARE_OK;
}

/* Reads "$$", "$name" or "${name}" at *text, which moves behind it. */
static enum pare_status variable_at(const struct planning *p, const char **text,
                                    const char **value)
{
    const char *at = *text + 1;
    const int braces = *at == '{';
    if (*at == '$') {
        *value = "$";
        *text = at + 1;
        return PARE_OK;
    }
    at += braces;
    const size_t length = braces ? strcspn(at, "}") : strspn(at, NAME_CHARACTERS);
    if (!length || (braces && !at[length]))
        return recipe_fail(p->recipe, p->step, p->err,
                           "\"%.80s\": expected a variable behind the $, as in $name or "
                           "${name}; a $ itself is written $$",
                           *text);
    const struct recipe_variable *variable = find_variable(p->recipe, at, length);
    if (!variable) {
        char name[RECIPE_NAME_SIZE];
        snprintf(name, sizeof name, "%.*s", (int)(length < 64 ? length : 64), at);
        const char *near = near_variable(p->recipe, name);
        return recipe_fail(p->recipe, p->step, p->err,
                           "there is no variable '%s' among \"variables\"%s%s%s", name,
                           near ? "; did you mean '" : "", near ? near : "",
                           near ? "'?" : "");
    }
    *value = variable->value ? variable->value : "";
    *text = at + length + braces;
    return PARE_OK;
}

static enum pare_status expand(const struct planning *p, const char *text,
                               struct recipe_word *word)
{
    char *out = NULL, *copy;
    size_t length = 0, capacity = 0;
    enum pare_status status = PARE_OK;
    while (*text) {
        const char *piece = text;
        size_t n = strcspn(text, "$");
        if (n) {
            text += n;
        } else {
            word->has_variable |= text[1] != '$';
            PARE_TRY_OUT(variable_at(p, &text, &piece));
            n = strlen(piece);
        }
        PARE_TRY_OUT(pare_grow(&out, &capacity, length + n + 1, 1, p->err));
        memcpy(out + length, piece, n);
        length += n;
    }
    PARE_TRY_OUT(
        pare_arena_strndup(&p->recipe->arena, &copy, out ? out : "", length, p->err));
    word->text = copy;
out:
    pare_free(out);
    return status;
}

/* --- References ------------------------------------------------------------------------
 */

enum pare_status recipe_find_step(const struct recipe *recipe, const char *option,
                                  const char *name, size_t *step, struct pare_error *err)
{
    const char **names;
    for (*step = 0; *step < recipe->n_steps; ++*step)
        if (!strcmp(recipe->steps[*step].name, name))
            return PARE_OK;
    PARE_TRY(pare_alloc(&names, recipe->n_steps, sizeof *names, err));
    for (size_t i = 0; i < recipe->n_steps; i++)
        names[i] = recipe->steps[i].name;
    const char *near = pare_cli_nearest(name, names, recipe->n_steps);
    pare_free(names);
    return pare_fail(err, PARE_ERR_USAGE, "--%s: there is no step '%.64s'%s%s%s", option,
                     name, near ? "; did you mean '" : "", near ? near : "",
                     near ? "'?" : "");
}

static enum pare_status refuse_reference(const struct planning *p, const char *text,
                                         const char *name)
{
    size_t other;
    struct pare_error nearest;
    if (!strcmp(name, p->step->name))
        return recipe_fail(p->recipe, p->step, p->err,
                           "\"%.80s\" is its own output: a step reads what earlier ones "
                           "made",
                           text);
    if (recipe_find_step(p->recipe, "", name, &other, &nearest) == PARE_OK)
        return recipe_fail(p->recipe, p->step, p->err,
                           "\"%.80s\" comes later: move the step '%s' before this one",
                           text, name);
    return recipe_fail(p->recipe, p->step, p->err, "\"%.80s\"%s", text,
                       nearest.message + strlen("--"));
}

/* The job of "@name..."; *rest is what stands behind the name. */
static enum pare_status find_job(const struct planning *p, const char *text,
                                 const struct recipe_job **job, const char **rest)
{
    char name[RECIPE_NAME_SIZE];
    const size_t length = strcspn(text + 1, "./");
    *rest = text + 1 + length;
    *job = NULL;
    snprintf(name, sizeof name, "%.*s", (int)(length < 64 ? length : 64), text + 1);
    for (size_t i = 0; i < p->at; i++)
        if (!strcmp(p->recipe->steps[i].name, name)) {
            *job = &p->plan->jobs[i];
            return PARE_OK;
        }
    return refuse_reference(p, text, name);
}

static int climbs(const char *path)
{
    for (; path; path = strchr(path, '/')) {
        path += *path == '/';
        const size_t length = strcspn(path, "/");
        if (!length || (length == 1 && *path == '.') ||
            (length == 2 && !strncmp(path, "..", 2)))
            return 1;
    }
    return 0;
}

static enum pare_status path_inside(const struct planning *p, const char *text,
                                    const char *folder, const char *rest,
                                    struct recipe_word *word)
{
    char path[4096], *copy;
    if (climbs(rest))
        return recipe_fail(p->recipe, p->step, p->err,
                           "\"%.80s\": expected the name of a file in that folder", text);
    PARE_TRY(pare_path_join(path, sizeof path, folder, rest + 1, p->err));
    PARE_TRY(pare_arena_strndup(&p->recipe->arena, &copy, path, strlen(path), p->err));
    word->text = copy;
    word->kind = RECIPE_ANY;
    return PARE_OK;
}

static enum pare_status refer(const struct planning *p, const char *text,
                              struct recipe_word *word)
{
    const struct recipe_job *from;
    const char *rest;
    PARE_TRY(find_job(p, text, &from, &rest));
    const struct recipe_extra *extra = &from->step->program->extra;
    word->from = (size_t)(from - p->plan->jobs);
    p->plan->jobs[word->from].is_used = 1;
    word->text = from->outputs[0];
    word->kind = from->kinds[0];
    if (*rest == '/' && word->kind == RECIPE_FOLDER)
        return path_inside(p, text, from->outputs[0], rest, word);
    if (!*rest)
        return PARE_OK;
    if (*rest == '/' || !extra->option || strcmp(rest + 1, extra->option) != 0)
        return recipe_fail(p->recipe, p->step, p->err,
                           "\"%.80s\": '%s' makes %s and no \"%.40s\"", text,
                           from->step->name, recipe_kind_name(from->kinds[0]), rest + 1);
    if (from->n_outputs < 2)
        return recipe_fail(p->recipe, p->step, p->err,
                           "\"%.80s\": '%s' does not write it: add \"%s\": true to its "
                           "options",
                           text, from->step->name, extra->option);
    word->text = from->outputs[1];
    word->kind = from->kinds[1];
    return PARE_OK;
}

/* "@@..." is a word that begins with @. */
static enum pare_status resolve(const struct planning *p, const char *text,
                                struct recipe_word *word)
{
    if (*text == '@' && text[1] != '@')
        return refer(p, text, word);
    return expand(p, text + (*text == '@'), word);
}

/* --- Words of a step -------------------------------------------------------------------
 */

static enum pare_status add_inputs(const struct planning *p)
{
    const struct recipe_program *program = p->step->program;
    for (size_t i = 0; i < p->step->n_inputs; i++) {
        struct recipe_word *word = &p->job->words[p->job->n_words++];
        *word = (struct recipe_word){.type = RECIPE_STRING, .from = RECIPE_NOWHERE};
        PARE_TRY(resolve(p, p->step->inputs[i], word));
        if (!*word->text || *word->text == '-')
            return recipe_fail(p->recipe, p->step, p->err,
                               "its input \"%.80s\" is %s; expected the path of %s",
                               word->text, *word->text ? "like an option" : "empty",
                               program->inputs ? program->inputs : "a file");
        if (word->from != RECIPE_NOWHERE && program->reads != RECIPE_ANY &&
            word->kind != program->reads)
            return recipe_fail(p->recipe, p->step, p->err,
                               "its input \"%.80s\" is %s; %s reads %s",
                               p->step->inputs[i], recipe_kind_name(word->kind),
                               program->verb, recipe_kind_name(program->reads));
    }
    return PARE_OK;
}

static enum pare_status add_extra(const struct planning *p,
                                  const struct recipe_option *option)
{
    const struct recipe_value *value = &option->values[0];
    if (option->is_list || value->type != RECIPE_TRUE)
        return recipe_fail(p->recipe, p->step, p->err,
                           "option \"%s\": expected true; the file gets its name from "
                           "the step, and later steps call it \"@%s.%s\"",
                           option->name, p->step->name, option->name);
    p->job->words[p->job->n_words++] = (struct recipe_word){.option = option->name,
                                                            .text = p->job->outputs[1],
                                                            .from = RECIPE_NOWHERE,
                                                            .is_made = 1};
    return PARE_OK;
}

static int is_extra(const struct recipe_step *step, const struct recipe_option *option)
{
    return step->program->extra.option &&
           !strcmp(step->program->extra.option, option->name);
}

static enum pare_status add_options(const struct planning *p)
{
    for (size_t i = 0; i < p->step->n_options; i++) {
        const struct recipe_option *option = &p->step->options[i];
        if (is_extra(p->step, option)) {
            PARE_TRY(add_extra(p, option));
            continue;
        }
        for (size_t k = 0; k < option->count; k++) {
            struct recipe_word *word = &p->job->words[p->job->n_words++];
            *word = (struct recipe_word){.option = option->name,
                                         .text = option->values[k].text,
                                         .type = option->values[k].type,
                                         .is_list = option->is_list,
                                         .from = RECIPE_NOWHERE};
            if (word->type == RECIPE_STRING)
                PARE_TRY(resolve(p, option->values[k].text, word));
        }
    }
    return PARE_OK;
}

static enum pare_status allocate_words(const struct planning *p)
{
    size_t count = p->step->n_inputs;
    for (size_t i = 0; i < p->step->n_options; i++)
        count += p->step->options[i].count;
    return pare_arena_alloc(&p->recipe->arena, &p->job->words, count,
                            sizeof *p->job->words, p->err);
}

/* --- Outputs ---------------------------------------------------------------------------
 */

static enum pare_status set_output(const struct planning *p, const char *name,
                                   const char *suffix, enum recipe_kind kind)
{
    char file[RECIPE_NAME_SIZE + 256], path[4096], *copy;
    snprintf(file, sizeof file, "%s%s", name, suffix);
    if (!strncmp(file, "recipe.", 7))
        return recipe_fail(
            p->recipe, p->step, p->err,
            "its output would be %s: names that begin with \"recipe.\" are "
            "for what is remembered of the run",
            file);
    PARE_TRY(pare_path_join(path, sizeof path, p->plan->folder, file, p->err));
    for (size_t i = 0; i <= p->at; i++)
        for (size_t k = 0; k < p->plan->jobs[i].n_outputs; k++)
            if (!strcmp(p->plan->jobs[i].outputs[k], path))
                return recipe_fail(p->recipe, p->step, p->err,
                                   "its output %s is that of the step '%s' already", file,
                                   p->recipe->steps[i].name);
    PARE_TRY(pare_arena_strndup(&p->recipe->arena, &copy, path, strlen(path), p->err));
    p->job->outputs[p->job->n_outputs] = copy;
    p->job->kinds[p->job->n_outputs++] = kind;
    return PARE_OK;
}

static enum pare_status set_outputs(const struct planning *p)
{
    const struct recipe_program *program = p->step->program;
    if (p->step->output)
        PARE_TRY(set_output(p, p->step->output, "", program->makes));
    else
        PARE_TRY(set_output(p, p->step->name, program->suffix, program->makes));
    for (size_t i = 0; i < p->step->n_options; i++)
        if (is_extra(p->step, &p->step->options[i]))
            PARE_TRY(
                set_output(p, p->step->name, program->extra.suffix, program->extra.kind));
    return PARE_OK;
}

/* --- Contradictions --------------------------------------------------------------------
 */

static int is_float(const char *scheme)
{
    static const char *const floats[] = {"f32", "f16", "bf16"};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        if (!strcmp(scheme, floats[i]))
            return 1;
    return 0;
}

/* Whether the input is a container of codes, as far as this recipe knows. */
static int reads_codes(const struct planning *p)
{
    const struct recipe_job *job = p->job;
    return job->step->n_inputs && job->words[0].from != RECIPE_NOWHERE &&
           p->plan->jobs[job->words[0].from].has_codes;
}

static int makes_codes(const struct planning *p)
{
    const struct recipe_program *program = p->step->program;
    for (size_t i = 0; i < p->job->n_words; i++) {
        const struct recipe_word *word = &p->job->words[i];
        if (!word->option || !program->format_option || !word->text ||
            strcmp(word->option, program->format_option) != 0)
            continue;
        return strcmp(word->text, "keep") ? !is_float(word->text) : reads_codes(p);
    }
    return program->format_always;
}

static enum pare_status check_step(const struct planning *p)
{
    const struct recipe_program *program = p->step->program;
    if (!strcmp(program->verb, "prune") && reads_codes(p))
        return recipe_fail(p->recipe, p->step, p->err,
                           "its input \"%.80s\" is quantised already: prune first and "
                           "quantise then, or leave both to prune with its \"scheme\"",
                           p->step->inputs[0]);
    p->job->has_codes = makes_codes(p);
    return PARE_OK;
}

enum pare_status recipe_plan(struct recipe *recipe, const char *folder,
                             struct recipe_plan *plan, struct pare_error *err)
{
    *plan = (struct recipe_plan){.recipe = recipe, .folder = folder};
    PARE_TRY(pare_arena_alloc(&recipe->arena, &plan->jobs, recipe->n_steps,
                              sizeof *plan->jobs, err));
    memset(plan->jobs, 0, recipe->n_steps * sizeof *plan->jobs);
    for (size_t i = 0; i < recipe->n_steps; i++) {
        struct planning p = {recipe, plan, i, &recipe->steps[i], &plan->jobs[i], err};
        p.job->step = p.step;
        PARE_TRY(set_outputs(&p));
        PARE_TRY(allocate_words(&p));
        PARE_TRY(add_inputs(&p));
        PARE_TRY(add_options(&p));
        PARE_TRY(check_step(&p));
    }
    return PARE_OK;
}
