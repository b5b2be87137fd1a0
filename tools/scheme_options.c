#include "tools/scheme_options.h"

#include <string.h>

const char *const scale_formats[] = {"f16", "bf16", NULL};

struct scheme_options scheme_options_default(void)
{
    return (struct scheme_options){.scheme = -1, .embeddings = -1, .group_size = -1};
}

enum pare_scheme scheme_options_scheme(const struct scheme_options *o)
{
    const int groups = o->group_size > 0 || o->asymmetric;
    return o->scheme == PARE_SCHEME_INT8 && groups ? PARE_SCHEME_INT8_GROUPS
                                                   : (enum pare_scheme)o->scheme;
}

enum pare_status scheme_options_split(const char *text, const char *expected,
                                      struct pare_arena *arena, const char **glob,
                                      const char **value, struct pare_error *err)
{
    const char *equals = strrchr(text, '=');
    char *copy;
    if (!equals || equals == text)
        return pare_fail(err, PARE_ERR_USAGE, "--override \"%.128s\": expected %s", text,
                         expected);
    PARE_TRY(pare_arena_strndup(arena, &copy, text, (size_t)(equals - text), err));
    *glob = copy;
    *value = equals + 1;
    return PARE_OK;
}

static enum pare_status parse_override(const char *text, struct pare_arena *arena,
                                       struct pare_scheme_rule *rule,
                                       struct pare_error *err)
{
    const char *name;
    PARE_TRY(scheme_options_split(text, "GLOB=SCHEME", arena, &rule->glob, &name, err));
    enum pare_status status = pare_scheme_by_name(name, &rule->scheme, err);
    return status == PARE_OK ? status
                             : pare_fail_in(err, status, "--override \"%.128s\"", text);
}

enum pare_status scheme_options_check(const struct scheme_options *o,
                                      struct pare_error *err)
{
    if (o->group_size > 0 && o->group_size % 32)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--group-size %d: expected a multiple of 32, or 0 for a whole "
                         "row",
                         o->group_size);
    struct pare_arena arena = {0};
    enum pare_status status = PARE_OK;
    for (size_t i = 0; i < o->override.count && status == PARE_OK; i++) {
        struct pare_scheme_rule rule;
        status = parse_override(o->override.items[i], &arena, &rule, err);
    }
    pare_arena_free(&arena);
    return status;
}

static enum pare_status make_rules(const struct scheme_options *o,
                                   struct pare_arena *arena,
                                   struct pare_scheme_options *options,
                                   struct pare_error *err)
{
    struct pare_scheme_rule *rules;
    options->n_rules = o->override.count + o->skip.count;
    PARE_TRY(pare_arena_alloc(arena, &rules, options->n_rules, sizeof *rules, err));
    for (size_t i = 0; i < o->override.count; i++)
        PARE_TRY(parse_override(o->override.items[i], arena, &rules[i], err));
    for (size_t i = 0; i < o->skip.count; i++)
        rules[o->override.count + i] =
            (struct pare_scheme_rule){o->skip.items[i], PARE_SCHEME_KEEP};
    options->rules = rules;
    return PARE_OK;
}

static void add_use(const struct pare_scheme_item *items, size_t count,
                    struct scheme_options_use *use)
{
    for (size_t i = 0; i < count; i++) {
        const int blocks = items[i].scheme != PARE_SCHEME_KEEP &&
                           pare_dtype_info(items[i].type)->block > 1;
        use->groups |= items[i].grid.bits || items[i].fallback;
        use->scales |= items[i].grid.bits || blocks;
    }
}

enum pare_status scheme_options_check_use(const struct scheme_options *o,
                                          const struct scheme_options_use *use,
                                          struct pare_error *err)
{
    if (o->scale_format && !use->scales)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--scale-format is for codes in groups and blocks, and no "
                         "tensor is to become one of these");
    if ((o->group_size >= 0 || o->asymmetric) && !use->groups)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--group-size and --asymmetric are for int2 to int7, int8g, "
                         "int8 as the --scheme, and ternary, and no tensor is to "
                         "become one of these");
    return PARE_OK;
}

enum pare_status
scheme_options_items(const struct scheme_options *o, enum pare_scheme scheme,
                     const struct pare_plan *plan, const struct pare_weight *now,
                     struct pare_arena *arena, struct pare_scheme_item **items,
                     struct scheme_options_use *use, struct pare_error *err)
{
    struct pare_scheme_options options = pare_scheme_defaults(scheme);
    options.strict = o->strict;
    options.bf16 = o->scale_format;
    options.group_size = o->group_size;
    options.asymmetric = o->asymmetric;
    if (o->embeddings >= 0)
        options.embeddings = (enum pare_scheme)o->embeddings;
    PARE_TRY(make_rules(o, arena, &options, err));
    PARE_TRY(pare_arena_alloc(arena, items, plan->count, sizeof **items, err));
    PARE_TRY(pare_scheme_decide(plan, now, &options, *items, err));
    add_use(*items, plan->count, use);
    return PARE_OK;
}

enum pare_status
scheme_options_decide(const struct scheme_options *o, const struct pare_plan *plan,
                      const struct pare_weight *now, struct pare_arena *arena,
                      struct pare_scheme_item **items, struct pare_error *err)
{
    struct scheme_options_use use = {0};
    PARE_TRY(scheme_options_items(o, scheme_options_scheme(o), plan, now, arena, items,
                                  &use, err));
    return scheme_options_check_use(o, &use, err);
}

static int add_list(cJSON *object, const char *key, const struct pare_cli_list *list)
{
    if (!list->count)
        return 1;
    cJSON *items = cJSON_CreateStringArray(list->items, (int)list->count);
    return items && cJSON_AddItemToObject(object, key, items);
}

int scheme_options_history(const struct scheme_options *o, cJSON *json)
{
    int ok =
        cJSON_AddStringToObject(json, "scheme", pare_scheme_names[o->scheme]) != NULL;
    if (ok && o->embeddings >= 0)
        ok = cJSON_AddStringToObject(json, "embeddings",
                                     pare_scheme_names[o->embeddings]) != NULL;
    if (ok && o->group_size >= 0)
        ok = cJSON_AddNumberToObject(json, "group_size", o->group_size) != NULL;
    if (ok && o->asymmetric)
        ok = cJSON_AddTrueToObject(json, "asymmetric") != NULL;
    if (ok && o->scale_format)
        ok = cJSON_AddStringToObject(json, "scale_format",
                                     scale_formats[o->scale_format]) != NULL;
    return ok && add_list(json, "override", &o->override) &&
           add_list(json, "skip", &o->skip);
}
