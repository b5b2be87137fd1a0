/* What each matrix would cost in each format: see quantize_budget.h. */
#include <string.h>

#include "libquant/loss.h"
#include "libquant/nearest.h"
#include "runtime/base/alloc.h"
#include "runtime/model/walk.h"
#include "tools/quantize_budget.h"
#include "tools/quantize_inputs.h"
#include "tools/quantize_probe.h"

#define FINE 5e-4 /* a cost below which finer formats need no probe */

/* A slot's last measured cost, and the squared change it is of. */
struct known {
    double cost, change;
};

struct measuring {
    struct quantize_work *w;
    const struct budget_candidates *c;
    double *loss;        /* [plan.count * candidates] */
    struct known *known; /* [plan.count] */
    struct budget_probe probe;
    struct pare_gram grams[PARE_SITES];
    struct pare_factor factor; /* of the site at work */
    struct pare_factor_options options;
    struct pare_arena scratch;
    float *W, *Q; /* of the largest open matrix */
};

int budget_is_open(const struct quantize_work *w, const struct budget_candidates *c,
                   size_t i)
{
    int open = 0;
    if (!pare_slot_is_matrix(&w->stored.plan.slots[i]))
        return 0;
    for (size_t k = 1; k < c->count; k++)
        open |= strcmp(c->items[k][i].form, c->items[0][i].form) != 0;
    return open;
}

/* --- Changes of outputs ------------------------------------------------------------ */

/* What a solver would make of slot i as that item. 0: it is rounded. */
static int target_of(struct measuring *m, const struct pare_scheme_item *item, size_t i,
                     struct pare_target *target)
{
    const struct pare_scheme_item kept = m->w->items[i];
    m->w->items[i] = *item;
    const int solved = quantize_target(m->w, i, target);
    m->w->items[i] = kept;
    return solved;
}

/* The factor for the target, unless it is at hand. */
static enum pare_status make_factor(struct measuring *m, const struct pare_gram *gram,
                                    const struct pare_target *target)
{
    const struct pare_factor_options options = {.order = quantize_order(m->w, target),
                                                .group =
                                                    pare_target_group(target, gram->K),
                                                .damping = m->w->o->solver.damping};
    if (m->factor.H && m->options.order == options.order &&
        m->options.group == options.group)
        return PARE_OK;
    m->options = options;
    pare_factor_free(&m->factor);
    return pare_factor_init(&m->factor, gram, gram->K, &options, &m->scratch, m->w->err);
}

/* Without a solver, as quantize_tensors.c stores it. */
static enum pare_status round_plainly(struct measuring *m,
                                      const struct pare_scheme_item *item,
                                      const struct pare_quant_rows *rows)
{
    const struct pare_target target = {
        item->grid.bits ? PARE_TARGET_GROUPS : PARE_TARGET_TYPE, item->grid, item->type};
    const struct pare_nearest nearest = pare_nearest_defaults(&target, NULL);
    struct pare_quant_error error = {0};
    if (quantize_is_searched(m->w, item))
        return pare_nearest_round(&nearest, rows, m->Q, NULL, &error, m->w->err);
    return pare_nearest_plain(&target, rows, m->Q, m->w->err);
}

/* As quantize_solve.c does without GPTQ. */
static enum pare_status round_nearest(struct measuring *m,
                                      const struct pare_target *target,
                                      const struct pare_quant_rows *rows,
                                      const struct pare_gram *gram)
{
    const struct pare_arena_mark mark = pare_arena_mark(&m->scratch);
    struct pare_quant_error error = {0};
    float *cost = NULL;
    enum pare_status status;
    if (m->w->o->solver.solver == SOLVER_WEIGHTED) {
        PARE_TRY_OUT(
            pare_arena_alloc(&m->scratch, &cost, rows->K, sizeof *cost, m->w->err));
        (void)pare_nearest_costs(gram, m->w->o->solver.damping, cost);
    }
    const struct pare_nearest nearest = quantize_nearest(m->w, target, cost);
    status = pare_nearest_round(&nearest, rows, m->Q, NULL, &error, m->w->err);
out:
    pare_arena_release(&m->scratch, mark);
    return status;
}

/* W becomes Q as the item stores it; gram NULL: there is none. */
static enum pare_status round_to(struct measuring *m, const struct pare_scheme_item *item,
                                 size_t i, size_t N, size_t K,
                                 const struct pare_gram *gram)
{
    struct pare_target target;
    if (item->scheme == PARE_SCHEME_KEEP) {
        memcpy(m->Q, m->W, N * K * sizeof *m->Q);
        return PARE_OK;
    }
    const struct pare_quant_rows rows = {m->W, N, K, 0};
    if (!gram || !target_of(m, item, i, &target))
        return round_plainly(m, item, &rows);
    if (quantize_is_nearest(m->w))
        return round_nearest(m, &target, &rows, gram);
    const struct pare_gptq_options options = quantize_gptq_options(m->w, &target);
    struct pare_gptq_report report = {0};
    PARE_TRY(make_factor(m, gram, &target));
    return pare_gptq(&rows, &m->factor, &options, m->Q, NULL, &report, &m->scratch,
                     m->w->err);
}

static enum pare_status decode(struct measuring *m, size_t i, size_t *N, size_t *K)
{
    const struct pare_slot *slot = &m->w->stored.plan.slots[i];
    *N = (size_t)slot->shape[0];
    *K = (size_t)slot->shape[1];
    PARE_TRY(pare_check_interrupted(m->w->err));
    PARE_TRY(pare_tensor_decode(m->w->stored.tensors[i], m->W, m->w->err));
    quantize_release(m->w, i);
    return PARE_OK;
}

/* The cost of slot i being Q, whose squared change is that: measured where it is large,
 * else as the last one that was, in proportion. */
static enum pare_status take_cost(struct measuring *m, size_t i, size_t k, double change)
{
    double *loss = &m->loss[i * m->c->count + k];
    struct known *known = &m->known[i];
    *loss = 0;
    if (!(change > 0))
        return PARE_OK;
    if (known->change > 0 && known->cost < FINE) {
        *loss = known->cost * change / known->change;
        return PARE_OK;
    }
    PARE_TRY(budget_probe_slot(&m->probe, i, m->Q, loss));
    *known = (struct known){*loss, change};
    return PARE_OK;
}

static enum pare_status measure_linear(struct measuring *m, size_t i, size_t k,
                                       const struct pare_gram *gram)
{
    size_t N, K;
    double change = 0;
    PARE_TRY(decode(m, i, &N, &K));
    PARE_TRY(round_to(m, &m->c->items[k][i], i, N, K, gram));
    pare_kernels()->axpy(m->Q, -1, m->W, N * K);
    PARE_TRY(pare_quant_loss(gram, m->Q, N, &change, &m->scratch, m->w->err));
    pare_kernels()->axpy(m->Q, 1, m->W, N * K);
    return take_cost(m, i, k, change / (double)gram->rows);
}

/* How often the text looks up each row of an embedding. */
static enum pare_status count_rows(const struct quantize_work *w, size_t i, size_t N,
                                   uint32_t **out, struct pare_arena *arena)
{
    const int tokens = !strcmp(w->stored.plan.slots[i].name, "token_embd.weight");
    const int positions = !strcmp(w->stored.plan.slots[i].name, "position_embd.weight");
    uint32_t *counts;
    PARE_TRY(pare_arena_alloc(arena, &counts, N, sizeof *counts, w->err));
    memset(counts, 0, N * sizeof *counts);
    for (size_t b = 0; b < w->calibration.n_batches; b++) {
        const struct pare_batch *batch = &w->calibration.batches[b];
        for (size_t s = 0; s < batch->n_seq; s++)
            for (uint32_t t = batch->starts[s]; t < batch->starts[s + 1]; t++)
                counts[tokens      ? (size_t)batch->ids[t]
                       : positions ? t - batch->starts[s]
                                   : 0]++;
    }
    *out = counts;
    return PARE_OK;
}

static enum pare_status measure_embedding(struct measuring *m, size_t i)
{
    struct pare_arena_mark mark = pare_arena_mark(&m->scratch);
    uint32_t *counts;
    size_t N, K;
    PARE_TRY(decode(m, i, &N, &K));
    PARE_TRY(count_rows(m->w, i, N, &counts, &m->scratch));
    for (size_t k = 0; k < m->c->count; k++) {
        double sum = 0;
        PARE_TRY(round_to(m, &m->c->items[k][i], i, N, K, NULL));
        for (size_t n = 0; n < N; n++)
            for (size_t j = n * K; counts[n] && j < (n + 1) * K; j++) {
                const double error = (double)m->Q[j] - (double)m->W[j];
                sum += counts[n] * error * error;
            }
        PARE_TRY(take_cost(m, i, k, sum / (double)m->w->calibration.tokens));
    }
    pare_arena_release(&m->scratch, mark);
    return PARE_OK;
}

static int wants(void *context, const struct pare_walk_site *site)
{
    const struct measuring *m = context;
    int any = 0;
    for (int s = 0; s < site->n_slots; s++)
        any |= budget_is_open(m->w, m->c, site->slots[s]);
    return any;
}

static enum pare_status inputs(void *context, const struct pare_walk_site *site,
                               const float *X, const float *original, size_t rows,
                               struct pare_error *err)
{
    struct measuring *m = context;
    struct pare_gram *gram = &m->grams[site->site];
    (void)original;
    if (!gram->sum)
        PARE_TRY(pare_gram_init(gram, site->K, err));
    const struct pare_arena_mark mark = pare_arena_mark(&m->scratch);
    enum pare_status status;
    PARE_TRY_OUT(quantize_scaled_inputs(m->w, site, &X, rows, &m->scratch, err));
    status = pare_gram_add(gram, X, rows, site->K, &m->scratch, err);
out:
    pare_arena_release(&m->scratch, mark);
    return status;
}

static enum pare_status solve(void *context, const struct pare_walk_site *site,
                              struct pare_error *err)
{
    struct measuring *m = context;
    enum pare_status status = PARE_OK;
    (void)err;
    for (size_t k = 0; k < m->c->count; k++)
        for (int s = 0; status == PARE_OK && s < site->n_slots; s++)
            if (budget_is_open(m->w, m->c, site->slots[s]))
                status = measure_linear(m, site->slots[s], k, &m->grams[site->site]);
    pare_factor_free(&m->factor);
    pare_gram_free(&m->grams[site->site]);
    pare_arena_free(&m->scratch);
    return status;
}

static enum pare_status walk(struct measuring *m)
{
    struct quantize_work *w = m->w;
    const struct pare_walk_visitor visitor = {
        .context = m, .wants = wants, .inputs = inputs, .solve = solve};
    const struct pare_walk run = {.config = &w->stored.config,
                                  .plan = &w->stored.plan,
                                  .current = pare_model_stored_source(&w->stored),
                                  .batches = w->calibration.batches,
                                  .n_batches = w->calibration.n_batches,
                                  .one_site = w->saving.one_site,
                                  .spill_beside = w->saving.spill ? w->cli->output : NULL,
                                  .progress = &w->cli->progress};
    PARE_TRY(pare_walk_run(&run, &visitor, w->err));
    for (size_t i = 0; i < w->stored.plan.count; i++)
        if (w->stored.plan.slots[i].role == PARE_ROLE_EMBEDDING &&
            budget_is_open(w, m->c, i))
            PARE_TRY(measure_embedding(m, i));
    return PARE_OK;
}

enum pare_status budget_measure(struct quantize_work *w,
                                const struct budget_candidates *c, double *loss)
{
    const size_t count = w->stored.plan.count;
    struct measuring m = {.w = w, .c = c, .loss = loss};
    size_t most = 1;
    enum pare_status status;
    for (size_t i = 0; i < count; i++)
        if (budget_is_open(w, c, i) &&
            pare_slot_elements(&w->stored.plan.slots[i]) > most)
            most = (size_t)pare_slot_elements(&w->stored.plan.slots[i]);
    memset(loss, 0, count * c->count * sizeof *loss);
    PARE_TRY_OUT(pare_alloc(&m.known, count, sizeof *m.known, w->err));
    PARE_TRY_OUT(pare_alloc_raw(&m.W, most, sizeof *m.W, w->err));
    PARE_TRY_OUT(pare_alloc_raw(&m.Q, most, sizeof *m.Q, w->err));
    PARE_TRY_OUT(budget_probe_open(&m.probe, w));
    status = walk(&m);
out:
    budget_probe_close(&m.probe);
    pare_factor_free(&m.factor);
    for (int s = 0; s < PARE_SITES; s++)
        pare_gram_free(&m.grams[s]);
    pare_arena_free(&m.scratch);
    pare_free(m.known);
    pare_free(m.W);
    pare_free(m.Q);
    return status;
}
