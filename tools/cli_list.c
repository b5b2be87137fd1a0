/* What a program that starts programs wants to know of them, and gives them. */
#include <stdlib.h>

#include "runtime/base/alloc.h"
#include "runtime/base/json.h"
#include "tools/cli_internal.h"

static const char *type_name(enum pare_cli_type type)
{
    switch (type) {
    case PARE_CLI_TYPE_FLAG: return "flag";
    case PARE_CLI_TYPE_STRING: return "string";
    case PARE_CLI_TYPE_STRINGS: return "strings";
    case PARE_CLI_TYPE_CHOICE: return "choice";
    case PARE_CLI_TYPE_INT:
    case PARE_CLI_TYPE_U64: return "integer";
    case PARE_CLI_TYPE_DOUBLE: return "number";
    case PARE_CLI_TYPE_END: break;
    }
    return "";
}

static int add_option(cJSON *list, const struct pare_cli_option *option, int common)
{
    cJSON *json = cJSON_CreateObject();
    if (!json || !cJSON_AddItemToArray(list, json)) {
        cJSON_Delete(json);
        return 0;
    }
    return cJSON_AddStringToObject(json, "name", option->name) &&
           cJSON_AddStringToObject(json, "type", type_name(option->type)) &&
           (!option->argument ||
            cJSON_AddStringToObject(json, "argument", option->argument)) &&
           (!common || cJSON_AddTrueToObject(json, "common"));
}

enum pare_status pare_cli_print_options(const struct pare_cli *cli, FILE *out,
                                        struct pare_error *err)
{
    const struct pare_cli_state *state = cli->state;
    cJSON *json = cJSON_CreateObject();
    int ok = json && cJSON_AddStringToObject(json, "program", cli->program->name) &&
             cJSON_AddNumberToObject(json, "min_operands", cli->program->min_operands) &&
             cJSON_AddNumberToObject(json, "max_operands", cli->program->max_operands);
    cJSON *list = ok ? cJSON_AddArrayToObject(json, "options") : NULL;
    ok = list != NULL;
    for (size_t i = 0; ok && i < state->count; i++)
        if (state->table[i].help)
            ok = add_option(list, &state->table[i], i >= state->own);
    char *text = ok ? cJSON_PrintUnformatted(json) : NULL;
    cJSON_Delete(json);
    if (!text)
        return pare_fail_memory(err, sizeof *json);
    fprintf(out, "%s\n", text);
    cJSON_free(text);
    return PARE_OK;
}

static enum pare_status add_word(struct pare_cli_list *words, const char *word,
                                 struct pare_error *err)
{
    PARE_TRY(pare_grow(&words->items, &words->capacity, words->count + 1,
                       sizeof *words->items, err));
    words->items[words->count++] = word;
    return PARE_OK;
}

enum pare_status pare_cli_pass_on(const struct pare_cli *cli, struct pare_arena *arena,
                                  struct pare_cli_list *words, struct pare_error *err)
{
    const struct pare_cli_state *state = cli->state;
    if (state->threads) {
        char digits[16], *copy;
        int n = snprintf(digits, sizeof digits, "%d", state->threads);
        PARE_TRY(pare_arena_strndup(arena, &copy, digits, (size_t)n, err));
        PARE_TRY(add_word(words, "--threads", err));
        PARE_TRY(add_word(words, copy, err));
    }
    if (state->cpu) {
        PARE_TRY(add_word(words, "--cpu", err));
        PARE_TRY(add_word(words, state->cpu, err));
    }
    if (state->progress_mode != PARE_CLI_PROGRESS_AUTO) {
        PARE_TRY(add_word(words, "--progress", err));
        PARE_TRY(add_word(words, pare_cli_progress_words[state->progress_mode], err));
    }
    return cli->quiet ? add_word(words, "--quiet", err) : PARE_OK;
}
