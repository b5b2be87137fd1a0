/* What pare-prune is to do with each tensor, decided before any work. */
#include <fnmatch.h>
#include <math.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "tools/calibration_sites.h"
#include "tools/prune.h"

const char *const prune_solvers[] = {"magnitude", "wanda", "sparsegpt", NULL};

static int is_keep(const char *text)
{
    return !strcmp(text, "keep");
}

static int differ(double a, double b)
{
    return a < b || a > b;
}

static enum pare_status check_solver(const struct prune_options *o,
                                     struct pare_error *err)
{
    const int calibrated = o->calibration.file != NULL;
    const int codes = o->scheme != PARE_SCHEME_F32 && o->scheme != PARE_SCHEME_F16;
    if ((o->calibration.samples || o->calibration.length) && !calibrated)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--samples and --length are for --calibration");
    if (o->solver > PRUNE_MAGNITUDE && !calibrated)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--solver %s needs text: --calibration FILE",
                         prune_solvers[o->solver]);
    if (o->solver == PRUNE_MAGNITUDE && calibrated && !codes)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--solver magnitude has no use for --calibration unless what "
                         "stays becomes codes");
    if (o->spread == PRUNE_SENSITIVITY && !calibrated)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--spread sensitivity needs text: --calibration FILE");
    if (o->spread == PRUNE_GLOBAL &&
        (o->solver > PRUNE_MAGNITUDE || (o->solver < 0 && calibrated)))
        return pare_fail(err, PARE_ERR_USAGE,
                         "--spread global is for --solver magnitude");
    if (!calibrated && (o->passes != PARE_PRUNE_PASSES || o->sequential ||
                        o->correct > 0 || differ(o->damping, PARE_DAMPING)))
        return pare_fail(err, PARE_ERR_USAGE,
                         "--passes, --damping, --correct and --sequential are for "
                         "--calibration");
    return PARE_OK;
}

struct prune_options prune_options_default(void)
{
    return (struct prune_options){.solver = -1,
                                  .scheme = PARE_SCHEME_F16,
                                  .group_size = -1,
                                  .passes = PARE_PRUNE_PASSES,
                                  .damping = PARE_DAMPING};
}

const char *prune_options_given(const struct prune_options *o)
{
    return o->sparsity                      ? "sparsity"
           : o->solver >= 0                 ? "solver"
           : o->scheme != PARE_SCHEME_F16   ? "scheme"
           : o->group_size >= 0             ? "group-size"
           : o->override.count              ? "override"
           : o->skip.count                  ? "skip"
           : o->spread != PRUNE_UNIFORM     ? "spread"
           : o->passes != PARE_PRUNE_PASSES ? "passes"
           : o->sequential                  ? "sequential"
                                            : NULL;
}

enum pare_status prune_options_check(const struct prune_options *o,
                                     struct pare_error *err)
{
    const enum pare_scheme scheme = (enum pare_scheme)o->scheme;
    const int groups = scheme == PARE_SCHEME_INT8 ||
                       (scheme >= PARE_SCHEME_INT8_GROUPS && scheme <= PARE_SCHEME_INT2);
    struct pare_pattern pattern;
    if (!o->sparsity && !o->override.count)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--sparsity is needed: a share like 50%%, N:M like 2:4, a share "
                         "of blocks like 80%%/1x4, or keep");
    if (o->sparsity && !is_keep(o->sparsity))
        PARE_TRY(pare_pattern_parse(o->sparsity, &pattern, err));
    if (scheme != PARE_SCHEME_F32 && scheme != PARE_SCHEME_F16 && !groups)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--scheme %s: what stays of a pruned matrix is stored as f16, "
                         "int8, int8g, int7 to int2, or with its zeros as f32",
                         pare_scheme_name(scheme));
    if (o->group_size >= 0 && !groups)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--group-size is for int8, int8g and int7 to int2");
    if (o->group_size > 0 && o->group_size % 32)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--group-size %d: expected a multiple of 32, or 0 for a whole "
                         "row",
                         o->group_size);
    return check_solver(o, err);
}

/* --- Each slot -------------------------------------------------------------------- */

static enum pare_status parse(const char *text, struct prune_slot *slot,
                              struct pare_error *err)
{
    slot->keep = is_keep(text);
    if (!slot->keep)
        return pare_pattern_parse(text, &slot->pattern, err);
    slot->pattern = (struct pare_pattern){.rows = 1, .columns = 1};
    return PARE_OK;
}

/* Applies a rule to the matrices of the blocks that match; value NULL: --skip. */
static enum pare_status apply(struct prune_work *w, const char *glob, const char *value)
{
    const struct pare_plan *plan = &w->base.stored.plan;
    size_t matches = 0;
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->slots[i].role != PARE_ROLE_LINEAR ||
            fnmatch(glob, plan->slots[i].name, 0))
            continue;
        matches++;
        w->slots[i].pruned = value != NULL;
        w->slots[i].spread = 0;
        if (value)
            PARE_TRY(parse(value, &w->slots[i], w->base.err));
    }
    return matches ? PARE_OK
                   : pare_fail(w->base.err, PARE_ERR_USAGE,
                               "the pattern \"%.128s\" matches no matrix in the blocks",
                               glob);
}

static enum pare_status apply_rules(struct prune_work *w)
{
    struct pare_arena *arena = &w->base.stored.arena;
    if (w->o->sparsity)
        PARE_TRY(apply(w, "*", w->o->sparsity));
    for (size_t i = 0; i < w->base.stored.plan.count; i++)
        w->slots[i].spread =
            w->slots[i].pruned && !w->slots[i].keep && !w->slots[i].pattern.m;
    for (size_t i = 0; i < w->o->override.count; i++) {
        const char *glob, *value;
        PARE_TRY(scheme_options_split(w->o->override.items[i], "GLOB=SPARSITY", arena,
                                      &glob, &value, w->base.err));
        PARE_TRY(apply(w, glob, value));
    }
    for (size_t i = 0; i < w->o->skip.count; i++)
        PARE_TRY(apply(w, w->o->skip.items[i], NULL));
    return PARE_OK;
}

static int is_float(enum pare_dtype type)
{
    return type == PARE_F32 || type == PARE_F16 || type == PARE_BF16;
}

/* How the matrices that are pruned are stored if dense; all others are kept. */
static enum pare_status decide_items(struct prune_work *w)
{
    struct quantize_work *base = &w->base;
    const size_t count = base->stored.plan.count;
    const int groups = w->o->group_size > 0 && w->o->scheme == PARE_SCHEME_INT8;
    struct pare_scheme_options options = pare_scheme_defaults(PARE_SCHEME_KEEP);
    struct pare_weight *now;
    options.linears = groups ? PARE_SCHEME_INT8_GROUPS : (enum pare_scheme)w->o->scheme;
    options.group_size = w->o->group_size;
    options.strict = w->o->strict;
    PARE_TRY(pare_arena_alloc(&base->stored.arena, &now, count, sizeof *now, base->err));
    for (size_t i = 0; i < count; i++) {
        char form[PARE_FORM_SIZE];
        now[i] = pare_stored_weight(&base->stored, i);
        if (base->stored.plan.slots[i].role != PARE_ROLE_LINEAR)
            continue;
        if (w->slots[i].pruned && !is_float(now[i].type))
            return pare_fail(base->err, PARE_ERR_USAGE,
                             "tensor %s is %s already: start from the container before "
                             "its quantisation, or --skip it",
                             base->stored.plan.slots[i].name,
                             pare_weight_form(&now[i], form));
        /* Whatever it is now, it is to become what the scheme says. */
        now[i] = (struct pare_weight){.type = PARE_F32, .N = now[i].N, .K = now[i].K};
    }
    PARE_TRY(
        pare_scheme_decide(&base->stored.plan, now, &options, base->items, base->err));
    for (size_t i = 0; i < count; i++) {
        struct pare_scheme_item *item = &base->items[i];
        const struct pare_weight stored = pare_stored_weight(&base->stored, i);
        if (w->slots[i].pruned) {
            item->scheme =
                item->scheme == PARE_SCHEME_KEEP ? PARE_SCHEME_F32 : item->scheme;
            continue;
        }
        *item = (struct pare_scheme_item){.scheme = PARE_SCHEME_KEEP,
                                          .type = stored.type,
                                          .bytes = pare_weight_bytes(&stored)};
        pare_weight_form(&stored, item->form);
    }
    return PARE_OK;
}

/* --- Zeros ------------------------------------------------------------------------ */

static size_t count_zeros(const float *W, size_t n)
{
    size_t zeros = 0;
    for (size_t i = 0; i < n; i++)
        zeros += !(W[i] < 0 || W[i] > 0);
    return zeros;
}

static enum pare_status look_at_zeros(struct prune_work *w, size_t i)
{
    const struct pare_weight now = pare_stored_weight(&w->base.stored, i);
    struct prune_slot *slot = &w->slots[i];
    const struct pare_weight bits = {.type = w->base.items[i].type,
                                     .groups = {.bits = w->base.items[i].grid.bits}};
    float *W;
    PARE_TRY(pare_alloc_raw(&W, now.N, now.K * sizeof *W, w->base.err));
    prune_read(w, i, W);
    slot->zeros = count_zeros(W, now.N * now.K);
    slot->sparse = now.sparse.rows ? now.sparse
                                   : prune_find_pattern(W, now.N, now.K,
                                                        pare_weight_value_bits(&bits));
    pare_free(W);
    return PARE_OK;
}

enum pare_status prune_decide_zeros(struct prune_work *w, size_t i)
{
    const struct pare_slot *slot = &w->base.stored.plan.slots[i];
    struct prune_slot *s = &w->slots[i];
    struct pare_pattern *pattern = &s->pattern;
    const size_t N = (size_t)slot->shape[0], K = (size_t)slot->shape[1];
    if (s->keep) {
        PARE_TRY(look_at_zeros(w, i));
        prune_form_plan(w, i);
        return PARE_OK;
    }
    const enum pare_status status = pare_pattern_check(pattern, N, K, w->base.err);
    if (status != PARE_OK && w->o->strict)
        return pare_fail_in(w->base.err, status, "tensor %s", slot->name);
    if (status != PARE_OK) {
        s->other = 1;
        *pattern =
            (struct pare_pattern){.sparsity = pattern->sparsity, .rows = 1, .columns = 1};
    }
    const size_t block = pattern->rows * pattern->columns;
    s->sparse = (struct pare_sparse){.rows = pattern->rows, .columns = pattern->columns};
    if (pattern->m && pare_sparse_digits(pattern->n, pattern->m)) {
        s->sparse.n = pattern->n;
        s->sparse.m = pattern->m;
    }
    s->zeros = block * (size_t)rint(pattern->sparsity * (double)(N * K / block));
    prune_form_plan(w, i);
    return PARE_OK;
}

enum pare_status prune_decide(struct prune_work *w)
{
    struct quantize_work *base = &w->base;
    const size_t count = base->stored.plan.count;
    struct pare_arena *arena = &base->stored.arena;
    PARE_TRY(pare_arena_alloc(arena, &w->slots, count, sizeof *w->slots, base->err));
    PARE_TRY(pare_arena_alloc(arena, &w->results, count, sizeof *w->results, base->err));
    PARE_TRY(pare_arena_alloc(arena, &w->forms, count, sizeof *w->forms, base->err));
    PARE_TRY(
        pare_arena_alloc(arena, &base->items, count, sizeof *base->items, base->err));
    PARE_TRY(
        pare_arena_alloc(arena, &base->errors, count, sizeof *base->errors, base->err));
    memset(w->slots, 0, count * sizeof *w->slots);
    memset(w->results, 0, count * sizeof *w->results);
    memset(w->forms, 0, count * sizeof *w->forms);
    memset(base->errors, 0, count * sizeof *base->errors);
    PARE_TRY(apply_rules(w));
    PARE_TRY(decide_items(w));
    for (size_t i = 0; i < count; i++) {
        if (w->slots[i].pruned)
            PARE_TRY(prune_decide_zeros(w, i));
        else
            prune_form_plan(w, i);
    }
    return PARE_OK;
}

/* --- Text ------------------------------------------------------------------------- */

int prune_target(const struct prune_work *w, size_t i, struct pare_target *target)
{
    const struct pare_scheme_item *item = &w->base.items[i];
    *target = (struct pare_target){.kind = item->grid.bits ? PARE_TARGET_GROUPS
                                                           : PARE_TARGET_TYPE,
                                   .grid = item->grid,
                                   .type = item->type};
    return item->type == PARE_I8;
}

/* Whether its inputs are of use: a mask that is given, and floats, need none. */
static int is_solved(const void *context, size_t i)
{
    const struct prune_work *w = context;
    struct pare_target target;
    return w->slots[i].pruned && (!w->slots[i].keep || prune_target(w, i, &target));
}

static enum pare_status read_text(struct prune_work *w, struct pare_arena *arena)
{
    struct quantize_work *base = &w->base;
    struct calibration_sites list;
    PARE_TRY(
        calibration_sites_list(&base->stored, is_solved, w, arena, &list, base->err));
    if (!list.count)
        return pare_fail(base->err, PARE_ERR_USAGE,
                         "--calibration has no use: no matrix in the blocks is to become "
                         "another");
    PARE_TRY(calibration_sites_read(base->cli, &w->o->calibration, &base->stored, &list,
                                    &w->calibration, base->err));
    return calibration_sites_check(&base->stored, &list, &w->calibration, base->err);
}

enum pare_status prune_prepare(struct prune_work *w)
{
    struct pare_arena arena = {0};
    w->solver = w->o->solver >= 0        ? (enum prune_solver)w->o->solver
                : w->o->calibration.file ? PRUNE_SPARSEGPT
                                         : PRUNE_MAGNITUDE;
    if (!w->o->calibration.file)
        return PARE_OK;
    const enum pare_status status = read_text(w, &arena);
    pare_arena_free(&arena);
    return status;
}
