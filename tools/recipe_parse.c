/* The text of a recipe, and nothing but what docs/RECIPE.md says may be in it. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "tools/recipe.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

enum pare_status recipe_fail(const struct recipe *recipe, const struct recipe_step *step,
                             struct pare_error *err, const char *format, ...)
{
    va_list args;
    char text[PARE_ERROR_MESSAGE_SIZE];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pare_fail(err, PARE_ERR_INPUT, "%s", text);
    if (step && step->name)
        return pare_fail_in(err, PARE_ERR_INPUT, "%.200s: step '%s'", recipe->path,
                            step->name);
    if (step)
        return pare_fail_in(err, PARE_ERR_INPUT, "%.200s: step %zu", recipe->path,
                            (size_t)(step - recipe->steps) + 1);
    return pare_fail_in(err, PARE_ERR_INPUT, "%.200s", recipe->path);
}

static const char *found(const cJSON *value)
{
    return cJSON_IsString(value)   ? "a string"
           : cJSON_IsNumber(value) ? "a number"
           : cJSON_IsArray(value)  ? "an array"
           : cJSON_IsObject(value) ? "an object"
           : cJSON_IsTrue(value)   ? "true"
           : cJSON_IsFalse(value)  ? "false"
                                   : "null";
}

/* --- Words ----------------------------------------------------------------------------
 */

/* Names stand in file names, in references and in messages. */
static int is_name(const char *text)
{
    const size_t length = strlen(text);
    return length && length < RECIPE_NAME_SIZE && *text != '-' &&
           strspn(text, LETTERS DIGITS "_-") == length;
}

static int has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            return 1;
    return 0;
}

static enum pare_status copy_string(struct recipe *r, const struct recipe_step *step,
                                    const cJSON *value, const char *what,
                                    const char **out, struct pare_error *err)
{
    char *copy;
    if (!cJSON_IsString(value))
        return recipe_fail(r, step, err, "%s: expected a string, found %s", what,
                           found(value));
    if (has_control(value->valuestring))
        return recipe_fail(r, step, err, "%s: there is a control character in the string",
                           what);
    PARE_TRY(pare_arena_strndup(&r->arena, &copy, value->valuestring,
                                strlen(value->valuestring), err));
    *out = copy;
    return PARE_OK;
}

/* The shortest digits that are this number again. */
static enum pare_status copy_number(struct recipe *r, const struct recipe_step *step,
                                    const cJSON *value, const char *what,
                                    const char **out, struct pare_error *err)
{
    const double number = value->valuedouble;
    char text[40], *copy;
    if (fabs(number) >= 0x1p53)
        return recipe_fail(r, step, err,
                           "%s: %.17g is larger than what a JSON number holds exactly; "
                           "expected less than 2^53",
                           what, number);
    if (number == floor(number)) {
        snprintf(text, sizeof text, "%lld", (long long)number);
    } else {
        int digits = 1;
        do
            snprintf(text, sizeof text, "%.*g", digits++, number);
        while (digits <= 17 && strtod(text, NULL) != number);
    }
    PARE_TRY(pare_arena_strndup(&r->arena, &copy, text, strlen(text), err));
    *out = copy;
    return PARE_OK;
}

static enum pare_status check_keys(const struct recipe *r, const struct recipe_step *step,
                                   const cJSON *object, const char *const *keys,
                                   size_t count, struct pare_error *err)
{
    for (const cJSON *member = object->child; member; member = member->next) {
        size_t i = 0;
        while (i < count && strcmp(member->string, keys[i]) != 0)
            i++;
        if (i < count)
            continue;
        const char *near = pare_cli_nearest(member->string, keys, count);
        return recipe_fail(r, step, err, "unknown key \"%.60s\"%s%s%s", member->string,
                           near ? "; did you mean \"" : "", near ? near : "",
                           near ? "\"?" : "");
    }
    return PARE_OK;
}

/* --- Steps ----------------------------------------------------------------------------
 */

static enum pare_status parse_program(const struct recipe *r, struct recipe_step *step,
                                      const cJSON *value, struct pare_error *err)
{
    const char *verbs[16], *near = NULL;
    size_t count = 0;
    for (const struct recipe_program *p = recipe_programs; p->verb; p++) {
        verbs[count++] = p->verb;
        if (cJSON_IsString(value) && !strcmp(value->valuestring, p->verb))
            step->program = p;
    }
    if (step->program)
        return PARE_OK;
    if (cJSON_IsString(value))
        near = pare_cli_nearest(value->valuestring, verbs, count);
    if (near)
        return recipe_fail(r, step, err,
                           "\"run\": \"%.60s\" cannot be a step; did you mean \"%s\"?",
                           value->valuestring, near);
    return recipe_fail(
        r, step, err,
        "\"run\": expected convert, train, distill, prune, quantize, eval, "
        "report or sample, found %s",
        !value                  ? "nothing"
        : cJSON_IsString(value) ? value->valuestring
                                : found(value));
}

static enum pare_status parse_inputs(struct recipe *r, struct recipe_step *step,
                                     const cJSON *one, const cJSON *many,
                                     struct pare_error *err)
{
    if (one && many)
        return recipe_fail(r, step, err,
                           "\"input\" and \"inputs\" exclude each other: write one input "
                           "as a string, several as an array");
    if (many && !cJSON_IsArray(many))
        return recipe_fail(r, step, err,
                           "\"inputs\": expected an array of strings, found %s",
                           found(many));
    step->n_inputs = one ? 1 : many ? (size_t)cJSON_GetArraySize(many) : 0;
    PARE_TRY(pare_arena_alloc(&r->arena, &step->inputs, step->n_inputs,
                              sizeof *step->inputs, err));
    const cJSON *value = one ? one : many ? many->child : NULL;
    for (size_t i = 0; i < step->n_inputs; i++, value = value->next)
        PARE_TRY(copy_string(r, step, value, one ? "\"input\"" : "\"inputs\"",
                             &step->inputs[i], err));
    return PARE_OK;
}

static enum pare_status parse_value(struct recipe *r, const struct recipe_step *step,
                                    const char *name, const cJSON *value,
                                    struct recipe_value *out, struct pare_error *err)
{
    char what[96];
    snprintf(what, sizeof what, "option \"%.64s\"", name);
    if (cJSON_IsString(value)) {
        out->type = RECIPE_STRING;
        return copy_string(r, step, value, what, &out->text, err);
    }
    if (cJSON_IsNumber(value)) {
        out->type = RECIPE_NUMBER;
        return copy_number(r, step, value, what, &out->text, err);
    }
    out->type = RECIPE_TRUE;
    out->text = NULL;
    if (cJSON_IsTrue(value))
        return PARE_OK;
    if (cJSON_IsFalse(value) || cJSON_IsNull(value))
        return recipe_fail(r, step, err,
                           "%s: found %s; leave the option out when it is not wanted",
                           what, found(value));
    return recipe_fail(r, step, err,
                       "%s: expected a string, a number, true, or an array of strings, "
                       "found %s",
                       what, found(value));
}

static enum pare_status parse_option(struct recipe *r, const struct recipe_step *step,
                                     const cJSON *member, struct recipe_option *out,
                                     struct pare_error *err)
{
    char *name;
    PARE_TRY(pare_arena_strndup(&r->arena, &name, member->string, strlen(member->string),
                                err));
    out->name = name;
    out->is_list = cJSON_IsArray(member);
    out->count = out->is_list ? (size_t)cJSON_GetArraySize(member) : 1;
    if (!out->count)
        return recipe_fail(r, step, err,
                           "option \"%.64s\": the array is empty; leave the "
                           "option out when it is not wanted",
                           name);
    PARE_TRY(
        pare_arena_alloc(&r->arena, &out->values, out->count, sizeof *out->values, err));
    const cJSON *value = out->is_list ? member->child : member;
    for (size_t i = 0; i < out->count; i++, value = value->next) {
        PARE_TRY(parse_value(r, step, name, value, &out->values[i], err));
        if (out->is_list && out->values[i].type != RECIPE_STRING)
            return recipe_fail(r, step, err,
                               "option \"%.64s\": expected an array of strings, found %s "
                               "in it",
                               name, found(value));
    }
    return PARE_OK;
}

static enum pare_status parse_options(struct recipe *r, struct recipe_step *step,
                                      const cJSON *options, struct pare_error *err)
{
    if (!options)
        return PARE_OK;
    if (!cJSON_IsObject(options))
        return recipe_fail(r, step, err, "\"options\": expected an object, found %s",
                           found(options));
    step->n_options = (size_t)cJSON_GetArraySize(options);
    PARE_TRY(pare_arena_alloc(&r->arena, &step->options, step->n_options,
                              sizeof *step->options, err));
    const cJSON *member = options->child;
    for (size_t i = 0; i < step->n_options; i++, member = member->next)
        PARE_TRY(parse_option(r, step, member, &step->options[i], err));
    return PARE_OK;
}

static enum pare_status parse_output(struct recipe *r, struct recipe_step *step,
                                     const cJSON *value, struct pare_error *err)
{
    if (!value)
        return PARE_OK;
    PARE_TRY(copy_string(r, step, value, "\"output\"", &step->output, err));
    const size_t length = strlen(step->output);
    if (!length || length > 200 || *step->output == '.' || *step->output == '-' ||
        strspn(step->output, LETTERS DIGITS "._-") != length)
        return recipe_fail(r, step, err,
                           "\"output\": \"%.60s\": expected the name of a file in the "
                           "work folder, of letters, digits, '.', '_' and '-'",
                           step->output);
    return PARE_OK;
}

static enum pare_status parse_name(struct recipe *r, struct recipe_step *step,
                                   const cJSON *value, struct pare_error *err)
{
    const char *name;
    if (!value)
        return recipe_fail(r, step, err, "it has no \"name\"");
    PARE_TRY(copy_string(r, step, value, "\"name\"", &name, err));
    if (!is_name(name))
        return recipe_fail(r, step, err,
                           "\"name\": \"%.70s\": expected up to 64 letters, digits, '_' "
                           "and '-'",
                           name);
    for (const struct recipe_step *other = r->steps; other < step; other++)
        if (!strcmp(other->name, name))
            return recipe_fail(r, step, err, "the name '%s' is that of step %zu already",
                               name, (size_t)(other - r->steps) + 1);
    step->name = name;
    return PARE_OK;
}

static enum pare_status parse_step(struct recipe *r, struct recipe_step *step,
                                   const cJSON *json, struct pare_error *err)
{
    static const char *const keys[] = {"name",    "run",    "input", "inputs",
                                       "options", "output", "note"};
    if (!cJSON_IsObject(json))
        return recipe_fail(r, step, err, "expected an object, found %s", found(json));
    PARE_TRY(parse_name(r, step, cJSON_GetObjectItemCaseSensitive(json, "name"), err));
    PARE_TRY(check_keys(r, step, json, keys, sizeof keys / sizeof *keys, err));
    const cJSON *note = cJSON_GetObjectItemCaseSensitive(json, "note");
    if (note && !cJSON_IsString(note))
        return recipe_fail(r, step, err, "\"note\": expected a string, found %s",
                           found(note));
    PARE_TRY(parse_program(r, step, cJSON_GetObjectItemCaseSensitive(json, "run"), err));
    PARE_TRY(parse_inputs(r, step, cJSON_GetObjectItemCaseSensitive(json, "input"),
                          cJSON_GetObjectItemCaseSensitive(json, "inputs"), err));
    PARE_TRY(
        parse_options(r, step, cJSON_GetObjectItemCaseSensitive(json, "options"), err));
    return parse_output(r, step, cJSON_GetObjectItemCaseSensitive(json, "output"), err);
}

/* --- The whole ------------------------------------------------------------------------
 */

static enum pare_status parse_variables(struct recipe *r, const cJSON *json,
                                        struct pare_error *err)
{
    if (!json)
        return PARE_OK;
    if (!cJSON_IsObject(json))
        return recipe_fail(r, NULL, err, "\"variables\": expected an object, found %s",
                           found(json));
    const size_t count = (size_t)cJSON_GetArraySize(json);
    PARE_TRY(
        pare_arena_alloc(&r->arena, &r->variables, count, sizeof *r->variables, err));
    for (const cJSON *member = json->child; member; member = member->next) {
        struct recipe_variable *variable = &r->variables[r->n_variables];
        char what[96], *name;
        snprintf(what, sizeof what, "variable \"%.64s\"", member->string);
        if (!is_name(member->string))
            return recipe_fail(r, NULL, err,
                               "%s: expected a name of up to 64 letters, digits, '_' and "
                               "'-'",
                               what);
        PARE_TRY(pare_arena_strndup(&r->arena, &name, member->string,
                                    strlen(member->string), err));
        *variable = (struct recipe_variable){.name = name};
        if (cJSON_IsString(member))
            PARE_TRY(copy_string(r, NULL, member, what, &variable->value, err));
        else if (cJSON_IsNumber(member))
            PARE_TRY(copy_number(r, NULL, member, what, &variable->value, err));
        else if (!cJSON_IsNull(member))
            return recipe_fail(r, NULL, err,
                               "%s: expected its default, a string or a number, or null "
                               "when it must be given; found %s",
                               what, found(member));
        r->n_variables++;
    }
    return PARE_OK;
}

static enum pare_status parse_steps(struct recipe *r, const cJSON *json,
                                    struct pare_error *err)
{
    if (!cJSON_IsArray(json) || !json->child)
        return recipe_fail(r, NULL, err,
                           "\"steps\": expected an array of at least one step, found %s",
                           !json                 ? "nothing"
                           : cJSON_IsArray(json) ? "an empty one"
                                                 : found(json));
    const size_t count = (size_t)cJSON_GetArraySize(json);
    if (count > RECIPE_MAX_STEPS)
        return recipe_fail(r, NULL, err, "\"steps\": %zu are too many, at most %d", count,
                           RECIPE_MAX_STEPS);
    PARE_TRY(pare_arena_alloc(&r->arena, &r->steps, count, sizeof *r->steps, err));
    memset(r->steps, 0, count * sizeof *r->steps);
    const cJSON *step = json->child;
    for (; r->n_steps < count; r->n_steps++, step = step->next)
        PARE_TRY(parse_step(r, &r->steps[r->n_steps], step, err));
    return PARE_OK;
}

static enum pare_status parse_recipe(struct recipe *r, const cJSON *json,
                                     struct pare_error *err)
{
    static const char *const keys[] = {"recipe", "title", "description", "variables",
                                       "steps"};
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(json, "recipe");
    if (!cJSON_IsObject(json) || !version)
        return recipe_fail(
            r, NULL, err, "this is no recipe: it does not begin as {\"recipe\": 1, ...}");
    if (!cJSON_IsNumber(version) || version->valuedouble != 1)
        return recipe_fail(
            r, NULL, err,
            "\"recipe\": expected 1, the only version of recipes that this "
            "program knows, found %s",
            cJSON_IsNumber(version) ? "another number" : found(version));
    PARE_TRY(check_keys(r, NULL, json, keys, sizeof keys / sizeof *keys, err));
    PARE_TRY(pare_json_string(json, "title", &r->title, r->path, err));
    PARE_TRY(pare_json_string(json, "description", &r->description, r->path, err));
    PARE_TRY(
        parse_variables(r, cJSON_GetObjectItemCaseSensitive(json, "variables"), err));
    return parse_steps(r, cJSON_GetObjectItemCaseSensitive(json, "steps"), err);
}

/* What is to outlive the tree. */
static enum pare_status keep_string(struct recipe *r, const char **text,
                                    struct pare_error *err)
{
    char *copy;
    if (!*text)
        return PARE_OK;
    PARE_TRY(pare_arena_strndup(&r->arena, &copy, *text, strlen(*text), err));
    *text = copy;
    return PARE_OK;
}

enum pare_status recipe_parse(const char *text, size_t length, const char *path,
                              struct recipe *recipe, struct pare_error *err)
{
    cJSON *json;
    *recipe = (struct recipe){.path = path};
    PARE_TRY(pare_json_parse(text, length, path, &json, err));
    enum pare_status status = parse_recipe(recipe, json, err);
    if (status == PARE_OK)
        status = keep_string(recipe, &recipe->title, err);
    if (status == PARE_OK)
        status = keep_string(recipe, &recipe->description, err);
    cJSON_Delete(json);
    return status;
}

void recipe_free(struct recipe *recipe)
{
    pare_arena_free(&recipe->arena);
    *recipe = (struct recipe){0};
}
