/* Heads and neurons: which stay, and what the matrices that read them become. With a
 * calibration text block by block, each for what the pruned ones before it compute; what
 * goes is zero in the walk, which gives the bits of a model without it.
 */
#include <math.h>
#include <string.h>

#include "libquant/correct.h"
#include "libquant/loss.h"
#include "runtime/base/alloc.h"
#include "runtime/model/walk.h"
#include "tools/prune_structure_work.h"
#include "tools/quantize_moments.h"

struct solving {
    struct structure_work *w;
    struct pare_weight_source stored;
    struct quantize_moments seen[PARE_SITES]; /* of the inputs of one matrix each */
    unsigned char *ready; /* [plan.count]: `made` is what the walk is to find */
    struct pare_arena scratch;
};

/* --- One matrix ------------------------------------------------------------------- */

/* The matrix or bias that is in slot i, as floats; from `arena`. */
static enum pare_status decode(const struct structure_work *w, size_t i,
                               struct pare_arena *arena, float **out)
{
    const struct pare_tensor *tensor = w->less.tensors[i];
    PARE_TRY(pare_arena_alloc(arena, out, (size_t)pare_tensor_elements(tensor),
                              sizeof **out, w->err));
    return pare_tensor_decode(tensor, *out, w->err);
}

/* What is stored of it. */
static enum pare_status round_to(const struct structure_work *w, size_t i, float *V)
{
    const struct pare_tensor *tensor = w->less.tensors[i];
    const size_t K = (size_t)tensor->shape[1];
    unsigned char *row;
    if (tensor->type == PARE_F32)
        return PARE_OK;
    PARE_TRY(pare_alloc_raw(&row, K, pare_dtype_info(tensor->type)->block_bytes, w->err));
    for (size_t n = 0; n < tensor->shape[0]; n++) {
        pare_row_encode(tensor->type, V + n * K, row, K);
        pare_row_decode(tensor->type, row, V + n * K, K);
    }
    pare_free(row);
    return PARE_OK;
}

static enum pare_status check_finite(const struct structure_work *w, const float *V,
                                     size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(V[i]))
            return pare_fail(w->err, PARE_ERR_INPUT,
                             "a weight is not finite, or has become too large for its "
                             "number format");
    return PARE_OK;
}

/* Rows of the layer that makes slot i's inputs: |row| of input k multiplies column k, so
 * that without moments both sides of a neuron or head count. */
static enum pare_status weigh_columns(const struct structure_work *w, size_t i, float *W,
                                      struct pare_arena *arena)
{
    const struct pare_slot *slot = &w->less.plan.slots[i];
    const size_t K = (size_t)slot->shape[1], N = (size_t)slot->shape[0];
    const int ffn = strstr(slot->name, "ffn_down") != NULL;
    const size_t from =
        structure_slot(w, slot->layer, ffn ? "ffn_up.weight" : "attn_v.weight");
    const size_t C = (size_t)w->less.plan.slots[from].shape[1];
    float *rows;
    PARE_TRY(decode(w, from, arena, &rows));
    for (size_t k = 0; k < K; k++) {
        double sum = 0;
        for (size_t c = 0; c < C; c++)
            sum += (double)rows[k * C + c] * (double)rows[k * C + c];
        for (size_t n = 0; n < N; n++)
            W[n * K + k] *= (float)sqrt(sum);
    }
    return PARE_OK;
}

/* Mean square of the change of a row's outputs, its mean included. */
static enum pare_status change(const struct quantize_moments *seen, const float *E,
                               size_t N, double *out, struct pare_arena *scratch,
                               struct pare_error *err)
{
    const size_t K = seen->gram.K;
    const double rows = (double)seen->gram.rows;
    double means = 0;
    *out = 0;
    PARE_TRY(pare_quant_loss(&seen->gram, E, N, out, scratch, err));
    for (size_t n = 0; n < N; n++) {
        double mean = 0;
        for (size_t k = 0; k < K; k++)
            mean += (double)E[n * K + k] * seen->means.now[k] / rows;
        means += mean * mean;
    }
    *out = *out / rows + means;
    return PARE_OK;
}

/* Output errors: of V with its bias, and of nothing made up for. `work` as large as W. */
static enum pare_status measure(const struct structure_work *w,
                                const struct pare_structure *s, const uint32_t *kept,
                                const struct quantize_moments *seen, const float *V,
                                float *work, struct structure_result *r,
                                struct pare_arena *scratch)
{
    const size_t n = s->N * s->K;
    double loss = 0;
    pare_structure_drop(s, kept, work);
    for (size_t i = 0; i < n; i++)
        work[i] = s->W[i] - work[i];
    PARE_TRY(change(seen, work, s->N, &r->dropped, scratch, w->err));
    for (size_t i = 0; i < n; i++)
        work[i] = s->W[i] - V[i];
    PARE_TRY(pare_quant_loss(&seen->gram, work, s->N, &loss, scratch, w->err));
    r->loss = w->o->no_compensation ? r->dropped : loss / (double)seen->gram.rows;
    r->energy = 0;
    PARE_TRY(pare_quant_loss(&seen->gram, s->W, s->N, &r->energy, scratch, w->err));
    r->energy /= (double)seen->gram.rows;
    return PARE_OK;
}

/* The bias behind slot i, which knows the means of what went. */
static enum pare_status correct_bias(struct structure_work *w, size_t i,
                                     const struct quantize_moments *seen, const float *W)
{
    const struct pare_slot *slot = &w->less.plan.slots[i];
    const size_t bias = structure_slot(
        w, slot->layer,
        strstr(slot->name, "ffn_down") ? "ffn_down.bias" : "attn_output.bias");
    PARE_TRY(decode(w, bias, &w->arena, &w->made[bias]));
    pare_correct_bias(&seen->means, W, w->made[i], (size_t)slot->shape[0], w->made[bias]);
    return check_finite(w, w->made[bias], (size_t)slot->shape[0]);
}

static enum pare_status factor(const struct structure_work *w,
                               struct quantize_moments *seen, size_t K,
                               struct pare_factor *out, struct structure_result *r,
                               struct pare_arena *scratch)
{
    const struct pare_factor_options options = {.damping = w->common->damping,
                                                .strict = w->common->strict};
    if (seen)
        pare_structure_center(&seen->gram, seen->means.now);
    if (seen && seen->both)
        pare_structure_center_cross(&seen->cross, seen->means.original, seen->means.now,
                                    seen->means.rows);
    PARE_TRY(
        pare_factor_init(out, seen ? &seen->gram : NULL, K, &options, scratch, w->err));
    r->damping = out->damping;
    r->dead = out->dead;
    r->escalations = out->escalations;
    r->fallback = seen && out->fallback;
    return PARE_OK;
}

/* The weights that make of the inputs now what W[N, K] makes of the original ones, as far
 * as is asked for. */
static enum pare_status correct(const struct structure_work *w,
                                const struct pare_factor *factor,
                                struct quantize_moments *seen, float *W, size_t N,
                                float **aim, struct pare_arena *scratch)
{
    *aim = W;
    if (!seen || !seen->both)
        return PARE_OK;
    const struct pare_cross_source cross = quantize_moments_cross(seen);
    PARE_TRY(pare_arena_alloc(scratch, aim, N, factor->K * sizeof **aim, w->err));
    return pare_quant_correct(factor, &cross, W, N, (float)w->common->correct, *aim,
                              scratch, w->err);
}

/* kept and made of slot i; s->W is what it is to be near to. */
static enum pare_status choose_and_make(struct structure_work *w, size_t i,
                                        const struct pare_structure *s,
                                        const struct quantize_moments *seen,
                                        struct pare_arena *scratch)
{
    const size_t n = s->N * s->K;
    struct pare_structure weighed = *s;
    double cost;
    float *work;
    PARE_TRY(pare_arena_alloc(scratch, &work, n, sizeof *work, w->err));
    PARE_TRY(pare_arena_alloc(&w->arena, &w->kept[i], s->keep, sizeof(uint32_t), w->err));
    PARE_TRY(pare_arena_alloc(&w->arena, &w->made[i], n, sizeof(float), w->err));
    memcpy(work, s->W, n * sizeof *work);
    weighed.W = work;
    if (!seen)
        PARE_TRY(weigh_columns(w, i, work, scratch));
    PARE_TRY(pare_structure_choose(&weighed, w->kept[i], &cost, scratch, w->err));
    if (w->o->no_compensation || !seen)
        pare_structure_drop(s, w->kept[i], w->made[i]);
    else
        PARE_TRY(pare_structure_compensate(s, w->kept[i], w->made[i], scratch, w->err));
    PARE_TRY(round_to(w, i, w->made[i]));
    PARE_TRY(check_finite(w, w->made[i], n));
    if (!seen)
        return PARE_OK;
    return measure(w, s, w->kept[i], seen, w->made[i], work, &w->results[i], scratch);
}

static void tell(const struct structure_work *w, size_t i, int seen)
{
    const struct structure_result *r = &w->results[i];
    if (seen)
        pare_cli_detail(
            w->cli, "%-28s %4zu of %4zu stay, output error %7.3f %%, dropped %7.3f %%",
            w->less.plan.slots[i].name, r->keep, r->groups,
            100 * sqrt(r->energy > 0 ? r->loss / r->energy : 0),
            100 * sqrt(r->energy > 0 ? r->dropped / r->energy : 0));
    else
        pare_cli_detail(w->cli, "%-28s %4zu of %4zu stay", w->less.plan.slots[i].name,
                        r->keep, r->groups);
}

/* Slot i, whose inputs go in groups of `width`. seen NULL: nothing is known of them. */
static enum pare_status solve_slot(struct structure_work *w, size_t i, size_t width,
                                   struct quantize_moments *seen,
                                   struct pare_arena *scratch)
{
    const struct pare_slot *slot = &w->less.plan.slots[i];
    const size_t N = (size_t)slot->shape[0], K = (size_t)slot->shape[1];
    const size_t keep = strstr(slot->name, "ffn_down") ? w->config.ffn : w->config.heads;
    struct pare_factor of = {0};
    float *W, *aim;
    enum pare_status status;
    PARE_TRY(pare_check_interrupted(w->err));
    w->results[i] = (struct structure_result){.groups = K / width, .keep = keep};
    PARE_TRY_OUT(factor(w, seen, K, &of, &w->results[i], scratch));
    PARE_TRY_OUT(decode(w, i, scratch, &W));
    PARE_TRY_OUT(correct(w, &of, seen, W, N, &aim, scratch));
    const struct pare_structure s = {&of, aim, N, K, width, keep};
    PARE_TRY_OUT(choose_and_make(w, i, &s, seen, scratch));
    if (seen && !w->o->no_compensation)
        status = correct_bias(w, i, seen, W);
out:
    pare_factor_free(&of);
    pare_arena_free(scratch);
    if (status != PARE_OK)
        return pare_fail_in(w->err, status, "tensor %s", slot->name);
    tell(w, i, seen != NULL);
    return PARE_OK;
}

/* --- The walk --------------------------------------------------------------------- */

/* Whether slot i's inputs go. */
static int is_cut(const struct structure_work *w, size_t i, size_t *width)
{
    int inputs = 0;
    return structure_reader(w, i, width, &inputs) < w->less.plan.count && inputs;
}

static enum pare_status find(void *context, const struct pare_slot *slot,
                             struct pare_weight *weight, struct pare_error *err)
{
    const struct solving *s = context;
    const size_t i = (size_t)(slot - s->w->less.plan.slots);
    PARE_TRY(s->stored.find(s->stored.context, slot, weight, err));
    if (!s->ready[i] || !s->w->made[i])
        return PARE_OK;
    weight->type = PARE_F32;
    weight->data = s->w->made[i];
    return PARE_OK;
}

static int wants(void *context, const struct pare_walk_site *site)
{
    const struct solving *s = context;
    size_t width;
    return is_cut(s->w, site->slots[0], &width);
}

static enum pare_status inputs(void *context, const struct pare_walk_site *site,
                               const float *X, const float *original, size_t rows,
                               struct pare_error *err)
{
    struct solving *s = context;
    struct quantize_moments *seen = &s->seen[site->site];
    return quantize_moments_add(seen, site->K, X, original, rows, 1, &s->scratch, err);
}

static enum pare_status solve(void *context, const struct pare_walk_site *site,
                              struct pare_error *err)
{
    struct solving *s = context;
    size_t width;
    (void)err;
    is_cut(s->w, site->slots[0], &width);
    pare_arena_free(&s->scratch);
    const enum pare_status status =
        solve_slot(s->w, site->slots[0], width, &s->seen[site->site], &s->scratch);
    quantize_moments_free(&s->seen[site->site]);
    return status;
}

static void replace(void *context, const struct pare_walk_site *site)
{
    struct solving *s = context;
    const struct pare_slot *slot = &s->w->less.plan.slots[site->slots[0]];
    s->ready[site->slots[0]] = 1;
    s->ready[structure_slot(s->w, slot->layer,
                            site->site == PARE_SITE_DOWN ? "ffn_down.bias"
                                                         : "attn_output.bias")] = 1;
}

static enum pare_status walk_blocks(struct structure_work *w)
{
    struct solving s = {.w = w, .stored = pare_model_stored_source(&w->less)};
    const struct pare_walk_visitor visitor = {.context = &s,
                                              .wants = wants,
                                              .inputs = inputs,
                                              .solve = solve,
                                              .replace = replace};
    const struct pare_walk walk = {.config = &w->less.config,
                                   .plan = &w->less.plan,
                                   .current = {.find = find, .context = &s},
                                   .batches = w->calibration.batches,
                                   .n_batches = w->calibration.n_batches,
                                   .original = pare_model_stored_source(&w->less),
                                   .sequential = 1,
                                   .both = w->common->correct > 0,
                                   .progress = &w->cli->progress};
    PARE_TRY(pare_alloc(&s.ready, w->less.plan.count, 1, w->err));
    const enum pare_status status = pare_walk_run(&walk, &visitor, w->err);
    for (int i = 0; i < PARE_SITES; i++)
        quantize_moments_free(&s.seen[i]);
    pare_arena_free(&s.scratch);
    pare_free(s.ready);
    return status;
}

enum pare_status structure_solve(struct structure_work *w)
{
    struct pare_arena scratch = {0};
    if (w->config.heads == w->less.config.heads && w->config.ffn == w->less.config.ffn)
        return PARE_OK;
    if (w->calibration.samples)
        return walk_blocks(w);
    for (size_t i = 0, width; i < w->less.plan.count; i++)
        if (is_cut(w, i, &width))
            PARE_TRY(solve_slot(w, i, width, NULL, &scratch));
    return PARE_OK;
}
