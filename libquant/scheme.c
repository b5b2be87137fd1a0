/* Which tensor gets which number format: see scheme.h. */
#include "libquant/scheme.h"

#include <fnmatch.h>
#include <string.h>

const char *const pare_scheme_names[PARE_SCHEMES + 1] = {
    "keep", "f32",  "f16",  "bf16", "int8", "q8_0",  "q4_0",    "q4_1",
    "q6_k", "q5_k", "q4_k", "q3_k", "q2_k", "tq2_0", "tq1_0",   "int8g",
    "int7", "int6", "int5", "int4", "int3", "int2",  "ternary", NULL};

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
                     "q4_0, q4_1, q6_k, q5_k, q4_k, q3_k, q2_k, tq2_0, tq1_0, int8g, "
                     "int7, int6, int5, int4, int3, int2, ternary)",
                     name);
}

#define DEFAULT_GROUP 32

/* Bits of a code; 0 for a scheme without groups. */
static int bits_of(enum pare_scheme scheme)
{
    switch (scheme) {
    case PARE_SCHEME_INT8_GROUPS: return 8;
    case PARE_SCHEME_INT7: return 7;
    case PARE_SCHEME_INT6: return 6;
    case PARE_SCHEME_INT5: return 5;
    case PARE_SCHEME_INT4: return 4;
    case PARE_SCHEME_INT3: return 3;
    case PARE_SCHEME_INT2:
    case PARE_SCHEME_TERNARY: return 2;
    default: return 0;
    }
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
    case PARE_SCHEME_Q6_K: return PARE_Q6_K;
    case PARE_SCHEME_Q5_K: return PARE_Q5_K;
    case PARE_SCHEME_Q4_K: return PARE_Q4_K;
    case PARE_SCHEME_Q3_K: return PARE_Q3_K;
    case PARE_SCHEME_Q2_K: return PARE_Q2_K;
    case PARE_SCHEME_TQ2_0: return PARE_TQ2_0;
    case PARE_SCHEME_TQ1_0: return PARE_TQ1_0;
    default: return bits_of(scheme) ? PARE_I8 : now;
    }
}

static struct pare_grid grid_of(enum pare_scheme scheme,
                                const struct pare_scheme_options *options)
{
    const int ternary = scheme == PARE_SCHEME_TERNARY, given = options->group_size >= 0;
    const int bits = bits_of(scheme);
    return (struct pare_grid){
        .bits = bits,
        .group = given     ? (size_t)options->group_size
                 : ternary ? 0
                           : DEFAULT_GROUP,
        .asymmetric = options->asymmetric && bits && !ternary,
        .ternary = ternary,
        .bf16 = options->bf16,
    };
}

struct pare_scheme_options pare_scheme_defaults(enum pare_scheme scheme)
{
    const int half = scheme == PARE_SCHEME_F16 || scheme == PARE_SCHEME_BF16;
    return (struct pare_scheme_options){
        .linears = scheme,
        .embeddings = scheme,
        .pooler = scheme,
        .others = half || scheme == PARE_SCHEME_F32 ? scheme : PARE_SCHEME_KEEP,
        .group_size = -1,
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

/* Whether the weight is stored already as the item says. */
static int is_so(const struct pare_weight *now, const struct pare_scheme_item *item)
{
    const struct pare_grid *grid = &item->grid;
    if (now->sparse.rows || now->type != item->type || now->groups.bits != grid->bits ||
        (grid->bf16 && (grid->bits || pare_dtype_info(now->type)->block > 1)))
        return 0;
    return !grid->bits || (now->groups.size == pare_grid_group(grid, now->K) &&
                           (now->groups.zero != NULL) == grid->asymmetric);
}

/* PARE_ERR_USAGE when the rows are no multiple of the item's block or group. */
static enum pare_status check_rows(const struct pare_slot *slot,
                                   const struct pare_scheme_item *item,
                                   struct pare_error *err)
{
    if (item->grid.bits)
        return pare_grid_check(&item->grid, (size_t)slot->shape[1], err);
    const uint32_t block = pare_dtype_info(item->type)->block;
    if (item->type == PARE_I8 && slot->shape[1] > PARE_I8_MOST)
        return pare_fail(err, PARE_ERR_USAGE,
                         "rows of %llu are too long for int8, which takes %d",
                         (unsigned long long)slot->shape[1], PARE_I8_MOST);
    if (slot->shape[1] % block == 0)
        return PARE_OK;
    return pare_fail(
        err, PARE_ERR_USAGE, "rows of %llu are no multiple of the %u that %s needs",
        (unsigned long long)slot->shape[1], block, pare_scheme_name(item->scheme));
}

/* What rows that do not fill super-blocks are stored as: blocks with about as many bits a
 * weight, and F16 (KEEP: F32 is none) for all others. */
static enum pare_scheme instead_of(enum pare_scheme scheme)
{
    switch (scheme) {
    case PARE_SCHEME_Q6_K:
    case PARE_SCHEME_Q5_K: return PARE_SCHEME_Q8_0;
    case PARE_SCHEME_Q4_K: return PARE_SCHEME_Q4_1;
    case PARE_SCHEME_Q3_K:
    case PARE_SCHEME_Q2_K:
    case PARE_SCHEME_TQ2_0:
    case PARE_SCHEME_TQ1_0: return PARE_SCHEME_Q4_0;
    default: return PARE_SCHEME_KEEP;
    }
}

static void fall_back(const struct pare_slot *slot, const struct pare_weight *now,
                      struct pare_scheme_item *item)
{
    struct pare_error no;
    item->fallback = 1;
    item->scheme = instead_of(item->scheme);
    item->type = pare_scheme_type(item->scheme, now->type);
    if (item->scheme != PARE_SCHEME_KEEP && check_rows(slot, item, &no) == PARE_OK)
        return;
    item->scheme = now->type == PARE_F32 ? PARE_SCHEME_F16 : PARE_SCHEME_KEEP;
    item->type = pare_scheme_type(item->scheme, now->type);
    item->grid = (struct pare_grid){0};
}

static enum pare_status decide_matrix(const struct pare_slot *slot,
                                      const struct pare_weight *now,
                                      const struct pare_scheme_options *options,
                                      struct pare_scheme_item *item,
                                      struct pare_error *err)
{
    char form[PARE_FORM_SIZE];
    struct pare_error reason;
    item->scheme = now->sparse.rows ? PARE_SCHEME_KEEP : by_role(slot, options);
    for (size_t r = 0; r < options->n_rules; r++)
        if (!fnmatch(options->rules[r].glob, slot->name, 0))
            item->scheme = options->rules[r].scheme;
    if (item->scheme == PARE_SCHEME_KEEP)
        return PARE_OK;
    item->type = pare_scheme_type(item->scheme, now->type);
    item->grid = grid_of(item->scheme, options);
    if (is_so(now, item)) {
        item->scheme = PARE_SCHEME_KEEP;
        return PARE_OK;
    }
    struct pare_scheme_item fallen = *item;
    if (!options->strict && check_rows(slot, item, &reason) != PARE_OK) {
        fall_back(slot, now, &fallen);
        if (fallen.scheme != PARE_SCHEME_KEEP && is_so(now, &fallen)) {
            item->scheme = PARE_SCHEME_KEEP;
            return PARE_OK;
        }
    }
    if (!is_plain_float(now->type) || now->sparse.rows)
        return pare_fail(err, PARE_ERR_USAGE,
                         "tensor %s is %s already: start from the container before its "
                         "quantisation, or --skip it",
                         slot->name, pare_weight_form(now, form));
    if (check_rows(slot, item, &reason) == PARE_OK)
        return PARE_OK;
    if (options->strict)
        return pare_fail(err, PARE_ERR_USAGE, "tensor %s: %s", slot->name,
                         reason.message);
    *item = fallen;
    return PARE_OK;
}

/* What the slot will be stored as, without the data. */
static struct pare_weight stored_form(const struct pare_slot *slot,
                                      const struct pare_weight *now,
                                      const struct pare_scheme_item *item)
{
    static const uint8_t some_zero;
    static const float some_scale;
    struct pare_weight weight = *now;
    if (item->scheme == PARE_SCHEME_KEEP)
        return weight;
    weight = (struct pare_weight){
        .type = item->type, .N = (size_t)slot->shape[0], .K = (size_t)slot->shape[1]};
    if (item->grid.bits)
        weight.groups = (struct pare_groups){
            .bits = item->grid.bits,
            .size = pare_grid_group(&item->grid, weight.K),
            .zero = item->grid.asymmetric ? &some_zero : NULL,
        };
    else if (item->type == PARE_I8)
        weight.scale = &some_scale;
    return weight;
}

enum pare_status pare_scheme_decide(const struct pare_plan *plan,
                                    const struct pare_weight *now,
                                    const struct pare_scheme_options *options,
                                    struct pare_scheme_item *items,
                                    struct pare_error *err)
{
    PARE_TRY(check_rules(plan, options, err));
    for (size_t i = 0; i < plan->count; i++) {
        const struct pare_slot *slot = &plan->slots[i];
        items[i] =
            (struct pare_scheme_item){.scheme = PARE_SCHEME_KEEP, .type = now[i].type};
        if (pare_slot_is_matrix(slot))
            PARE_TRY(decide_matrix(slot, &now[i], options, &items[i], err));
        const struct pare_weight then = stored_form(slot, &now[i], &items[i]);
        items[i].bytes = pare_weight_bytes(&then);
        pare_weight_form(&then, items[i].form);
    }
    return PARE_OK;
}
