/* Sparsity that is not the same for all matrices: one threshold of magnitude for all, or
 * by what the model's outputs mind (libprune/spread.h). */
#include <string.h>

#include "libprune/spread.h"
#include "runtime/base/alloc.h"
#include "runtime/model/walk.h"
#include "tools/prune.h"
#include "tools/quantize_inputs.h"
#include "tools/quantize_probe.h"

const char *const prune_spreads[] = {"uniform", "global", "sensitivity", NULL};

struct spreading {
    struct prune_work *w;
    size_t count;  /* of the matrices so far */
    size_t *slots; /* [plan.count], as the next three */
    struct pare_spread_curve *curves;
    double *factors, *shares;
    double sparsity;
    struct budget_probe probe;
    struct pare_gram grams[PARE_SITES];
    struct pare_arena arena, scratch;
};

static int is_spread(const struct prune_work *w, size_t i)
{
    return w->slots[i].spread;
}

/* W of slot i, from the scratch. */
static enum pare_status read_slot(struct spreading *s, size_t i,
                                  struct pare_quant_rows *rows)
{
    const struct pare_slot *slot = &s->w->base.stored.plan.slots[i];
    const size_t N = (size_t)slot->shape[0], K = (size_t)slot->shape[1];
    float *W;
    PARE_TRY(pare_check_interrupted(s->w->base.err));
    PARE_TRY(pare_arena_alloc(&s->scratch, &W, N, K * sizeof *W, s->w->base.err));
    prune_read(s->w, i, W);
    quantize_release(&s->w->base, i);
    *rows = (struct pare_quant_rows){W, N, K, 0};
    return PARE_OK;
}

static enum pare_status global(struct spreading *s)
{
    const struct prune_work *w = s->w;
    for (size_t i = 0; i < w->base.stored.plan.count; i++) {
        struct pare_quant_rows rows;
        if (!is_spread(w, i))
            continue;
        PARE_TRY(read_slot(s, i, &rows));
        PARE_TRY(pare_spread_measure(&rows, NULL, &w->slots[i].pattern,
                                     &s->curves[s->count], &s->scratch, w->base.err));
        s->factors[s->count] = 1;
        s->slots[s->count++] = i;
        pare_arena_free(&s->scratch);
    }
    return PARE_OK;
}

/* --- By sensitivity --------------------------------------------------------------- */

/* The curve of slot i, times what the outputs lose per cost when it alone is pruned. */
static enum pare_status measure(struct spreading *s, size_t i,
                                const struct pare_gram *gram)
{
    struct quantize_work *base = &s->w->base;
    const struct prune_slot *slot = &s->w->slots[i];
    const struct pare_prune_options options = {.pattern = slot->pattern,
                                               .criterion = PARE_PRUNE_SPARSEGPT};
    const struct pare_factor_options how = pare_prune_order(&options, gram->K);
    struct pare_spread_curve *curve = &s->curves[s->count];
    struct pare_factor factor = {0};
    struct pare_prune_report report;
    struct pare_quant_rows rows;
    float *Q;
    double loss = 0;
    enum pare_status status;
    PARE_TRY_OUT(read_slot(s, i, &rows));
    PARE_TRY_OUT(
        pare_arena_alloc(&s->scratch, &Q, rows.N, rows.K * sizeof *Q, base->err));
    PARE_TRY_OUT(pare_factor_init(&factor, gram, gram->K, &how, &s->scratch, base->err));
    PARE_TRY_OUT(pare_spread_measure(&rows, &factor, &slot->pattern, curve, &s->scratch,
                                     base->err));
    PARE_TRY_OUT(
        pare_prune(&rows, &factor, &options, Q, NULL, &report, &s->scratch, base->err));
    PARE_TRY_OUT(budget_probe_slot(&s->probe, i, Q, &loss));
    const double cost = pare_spread_cost(curve, s->sparsity);
    s->factors[s->count] = cost > 0 ? loss / cost : 0;
    s->slots[s->count++] = i;
out:
    pare_factor_free(&factor);
    pare_arena_free(&s->scratch);
    return status;
}

static int wants(void *context, const struct pare_walk_site *site)
{
    const struct spreading *s = context;
    int any = 0;
    for (int i = 0; i < site->n_slots; i++)
        any |= is_spread(s->w, site->slots[i]);
    return any;
}

static enum pare_status inputs(void *context, const struct pare_walk_site *site,
                               const float *X, const float *original, size_t rows,
                               struct pare_error *err)
{
    struct spreading *s = context;
    struct pare_gram *gram = &s->grams[site->site];
    const struct pare_arena_mark mark = pare_arena_mark(&s->scratch);
    enum pare_status status;
    (void)original;
    if (!gram->sum)
        PARE_TRY(pare_gram_init(gram, site->K, err));
    PARE_TRY_OUT(quantize_scaled_inputs(&s->w->base, site, &X, rows, &s->scratch, err));
    status = pare_gram_add(gram, X, rows, site->K, &s->scratch, err);
out:
    pare_arena_release(&s->scratch, mark);
    return status;
}

static enum pare_status solve(void *context, const struct pare_walk_site *site,
                              struct pare_error *err)
{
    struct spreading *s = context;
    enum pare_status status = PARE_OK;
    (void)err;
    pare_arena_free(&s->scratch);
    for (int i = 0; status == PARE_OK && i < site->n_slots; i++)
        if (is_spread(s->w, site->slots[i]))
            status = measure(s, site->slots[i], &s->grams[site->site]);
    pare_gram_free(&s->grams[site->site]);
    return status;
}

static enum pare_status by_sensitivity(struct spreading *s)
{
    struct quantize_work *base = &s->w->base;
    const struct pare_walk_visitor visitor = {
        .context = s, .wants = wants, .inputs = inputs, .solve = solve};
    const struct pare_walk walk = {.config = &base->stored.config,
                                   .plan = &base->stored.plan,
                                   .current = pare_model_stored_source(&base->stored),
                                   .batches = s->w->calibration.batches,
                                   .n_batches = s->w->calibration.n_batches,
                                   .progress = &base->cli->progress};
    PARE_TRY(budget_probe_open(&s->probe, base));
    return pare_walk_run(&walk, &visitor, base->err);
}

/* --- The whole -------------------------------------------------------------------- */

/* No matrix keeps less than a quarter of what all keep. */
static double most_of(double sparsity)
{
    return 1 - (1 - sparsity) / 4;
}

static enum pare_status take_shares(struct spreading *s)
{
    struct prune_work *w = s->w;
    PARE_TRY(pare_spread(s->curves, s->factors, s->count, s->sparsity,
                         most_of(s->sparsity), s->shares, &s->scratch, w->base.err));
    for (size_t k = 0; k < s->count; k++) {
        struct prune_slot *slot = &w->slots[s->slots[k]];
        slot->pattern.sparsity = s->shares[k];
        PARE_TRY(prune_decide_zeros(w, s->slots[k]));
        pare_cli_detail(w->base.cli, "%-32s %6.2f %%",
                        w->base.stored.plan.slots[s->slots[k]].name, 100 * s->shares[k]);
    }
    return PARE_OK;
}

static enum pare_status allocate(struct spreading *s)
{
    const size_t count = s->w->base.stored.plan.count;
    struct pare_error *err = s->w->base.err;
    PARE_TRY(pare_arena_alloc(&s->arena, &s->slots, count, sizeof *s->slots, err));
    PARE_TRY(pare_arena_alloc(&s->arena, &s->curves, count, sizeof *s->curves, err));
    PARE_TRY(pare_arena_alloc(&s->arena, &s->factors, count, sizeof *s->factors, err));
    return pare_arena_alloc(&s->arena, &s->shares, count, sizeof *s->shares, err);
}

static enum pare_status find_sparsity(struct spreading *s)
{
    const struct prune_work *w = s->w;
    for (size_t i = 0; i < w->base.stored.plan.count; i++)
        if (is_spread(w, i)) {
            s->sparsity = w->slots[i].pattern.sparsity;
            return PARE_OK;
        }
    return pare_fail(w->base.err, PARE_ERR_USAGE,
                     "--spread is for a --sparsity that is a share, and no "
                     "matrix has that one");
}

enum pare_status prune_spread(struct prune_work *w)
{
    struct spreading s = {.w = w};
    enum pare_status status;
    if (w->o->spread == PRUNE_UNIFORM)
        return PARE_OK;
    PARE_TRY(find_sparsity(&s));
    w->base.calibration = w->calibration; /* borrowed by the probe */
    PARE_TRY_OUT(allocate(&s));
    if (w->o->spread == PRUNE_GLOBAL)
        PARE_TRY_OUT(global(&s));
    else
        PARE_TRY_OUT(by_sensitivity(&s));
    status = take_shares(&s);
out:
    w->base.calibration = (struct calibration){0};
    if (s.probe.w)
        budget_probe_close(&s.probe);
    for (int i = 0; i < PARE_SITES; i++)
        pare_gram_free(&s.grams[i]);
    pare_arena_free(&s.arena);
    pare_arena_free(&s.scratch);
    return status;
}
