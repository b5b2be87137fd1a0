/* Which tensor gets which number format: see scheme.h. */
#include "libquant/scheme.h"

#include <fnmatch.h>
#include <string.h>

const char *const pare_scheme_names[PARE_SCHEMES + 1] = {
    "keep", "f32", "f16", "bf16", "int8", "q8_0", "q4_0", "q4_1", NULL};

const char *pare_scheme_name(enum pare_scheme scheme)
{
    return pare_scheme_names[scheme];
}

enum pare_status pare_scheme_by_name(const char *name, enum pare_scheme *out,
                                     struct pare_error *err)
{
    for (int i = 0; i < PARE_SCHEMES; i++)
        if (!strcmp(pare_scheme_names[i], name)) {
            *out = (enum pare_scheme)i;
            return PARE_OK;
        }
    return pare_fail(err, PARE_ERR_USAGE,
                     "there is no scheme \"%.64s\" (keep, f32, f16, bf16, int8, q8_0, "
                     "q4_0, q4_1)",
                     name);
}

enum pare_dtype pare_scheme_type(enum pare_scheme scheme, enum pare_dtype now)
{
    switch (scheme) {
    case PARE_SCHEME_F32: return PARE_F32;
    case PARE_SCHEME_F16: return PARE_F16;
    case PARE_SCHEME_BF16: return PARE_BF16;
    case PARE_SCHEME_INT8: return PARE_I8;
    case PARE_SCHEME_Q8_0: return PARE_Q8_0;
    case PARE_SCHEME_Q4_0: return PARE_Q4_0;
    case PARE_SCHEME_Q4_1: return PARE_Q4_1;
    default: return now;
    }
}

struct pare_scheme_options pare_scheme_defaults(enum pare_scheme scheme)
{
    const int half = scheme == PARE_SCHEME_F16 || scheme == PARE_SCHEME_BF16;
    return (struct pare_scheme_options){
        .linears = scheme,
        .embeddings = scheme,
        .pooler = scheme,
        .others = half || scheme == PARE_SCHEME_F32 ? scheme : PARE_SCHEME_KEEP,
    };
}

static enum pare_scheme by_role(const struct pare_slot *slot,
                                const struct pare_scheme_options *options)
{
    if (slot->role == PARE_ROLE_LINEAR)
        return options->linears;
    if (!strcmp(slot->name, "token_types.weight") ||
        !strcmp(slot->name, "cls.output.weight"))
        return options->others;
    return slot->role == PARE_ROLE_EMBEDDING ? options->embeddings : options->pooler;
}

static enum pare_status check_rules(const struct pare_plan *plan,
                                    const struct pare_scheme_options *options,
                                    struct pare_error *err)
{
    for (size_t r = 0; r < options->n_rules; r++) {
        size_t matches = 0;
        for (size_t i = 0; i < plan->count; i++)
            matches += pare_slot_is_matrix(&plan->slots[i]) &&
                       !fnmatch(options->rules[r].glob, plan->slots[i].name, 0);
        if (!matches)
            return pare_fail(err, PARE_ERR_USAGE,
                             "the pattern \"%.128s\" matches no matrix",
                             options->rules[r].glob);
    }
    return PARE_OK;
}

static int is_plain_float(enum pare_dtype type)
{
    return type == PARE_F32 || type == PARE_F16 || type == PARE_BF16;
}

static enum pare_status decide_matrix(const struct pare_slot *slot, enum pare_dtype now,
                                      const struct pare_scheme_options *options,
                                      struct pare_scheme_item *item,
                                      struct pare_error *err)
{
    item->scheme = by_role(slot, options);
    for (size_t r = 0; r < options->n_rules; r++)
        if (!fnmatch(options->rules[r].glob, slot->name, 0))
            item->scheme = options->rules[r].scheme;
    item->type = pare_scheme_type(item->scheme, now);
    if (item->type == now) {
        item->scheme = PARE_SCHEME_KEEP;
        return PARE_OK;
    }
    if (!is_plain_float(now))
        return pare_fail(err, PARE_ERR_USAGE,
                         "tensor %s is %s already: start from the container before its "
                         "quantisation, or --skip it",
                         slot->name, pare_dtype_name(now));
    const uint32_t block = pare_dtype_info(item->type)->block;
    if (slot->shape[1] % block == 0)
        return PARE_OK;
    if (options->strict)
        return pare_fail(
            err, PARE_ERR_USAGE,
            "tensor %s: rows of %llu are no multiple of the %u that %s needs", slot->name,
            (unsigned long long)slot->shape[1], block, pare_scheme_name(item->scheme));
    item->fallback = 1;
    item->scheme = now == PARE_F32 ? PARE_SCHEME_F16 : PARE_SCHEME_KEEP;
    item->type = pare_scheme_type(item->scheme, now);
    return PARE_OK;
}

enum pare_status pare_scheme_decide(const struct pare_plan *plan,
                                    const enum pare_dtype *now,
                                    const struct pare_scheme_options *options,
                                    struct pare_scheme_item *items,
                                    struct pare_error *err)
{
    PARE_TRY(check_rules(plan, options, err));
    for (size_t i = 0; i < plan->count; i++) {
        const struct pare_slot *slot = &plan->slots[i];
        items[i] = (struct pare_scheme_item){.scheme = PARE_SCHEME_KEEP, .type = now[i]};
        if (pare_slot_is_matrix(slot))
            PARE_TRY(decide_matrix(slot, now[i], options, &items[i], err));
        PARE_TRY(pare_tensor_size(items[i].type, slot->n_dims, slot->shape,
                                  &items[i].bytes, err));
        if (items[i].type == PARE_I8)
            items[i].bytes += slot->shape[0] * sizeof(float);
    }
    return PARE_OK;
}
