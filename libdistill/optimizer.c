/* AdamW with late rows: see optimizer.h. */
#include "libdistill/optimizer.h"

#include <math.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"

#define TILE 16384 /* elements of a task */
#define ROW_TILE 8 /* rows of the token embedding of a task */

struct pare_optimizer_tile { /* elements [begin, end) of one slot */
    size_t begin, end;
    int decays;
    float rate;
};

struct pare_optimizer_options pare_optimizer_options_default(void)
{
    return (struct pare_optimizer_options){
        .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .weight_decay = 0.01f, .clip = 1};
}

/* --- Set-up ----------------------------------------------------------------------- */

static int slot_decays(const struct pare_slot *slot)
{
    return slot->role == PARE_ROLE_EMBEDDING || slot->role == PARE_ROLE_LINEAR ||
           slot->role == PARE_ROLE_HEAD;
}

static float slot_rate(const struct pare_optimizer *o, size_t slot)
{
    return o->options.rates ? o->options.rates[slot] : 1;
}

/* Cuts all slots but the token embedding and what is frozen into tiles; counts them when
 * `tiles` is NULL. */
static size_t cut_tiles(const struct pare_optimizer *o, struct pare_optimizer_tile *tiles)
{
    const struct pare_params *params = o->params;
    size_t count = 0;
    for (size_t i = 0; i < params->plan.count; i++) {
        const size_t stop = params->start[i + 1];
        if (params->start[i] == params->tokens || slot_rate(o, i) == 0)
            continue;
        for (size_t begin = params->start[i]; begin < stop; begin += TILE) {
            if (tiles)
                tiles[count] = (struct pare_optimizer_tile){
                    .begin = begin,
                    .end = stop - begin < TILE ? stop : begin + TILE,
                    .decays = slot_decays(&params->plan.slots[i]),
                    .rate = slot_rate(o, i),
                };
            count++;
        }
    }
    return count;
}

static enum pare_status set_up(struct pare_optimizer *o, struct pare_error *err)
{
    const size_t V = o->params->config.vocab;
    o->token_rate = slot_rate(o, pare_params_slot_at(o->params, o->params->tokens));
    o->n_tiles = cut_tiles(o, NULL);
    PARE_TRY(pare_arena_alloc(&o->arena, &o->tiles, o->n_tiles, sizeof *o->tiles, err));
    cut_tiles(o, o->tiles);
    PARE_TRY(pare_arena_alloc(&o->arena, &o->square, o->n_tiles > V ? o->n_tiles : V,
                              sizeof *o->square, err));
    PARE_TRY(pare_arena_alloc(&o->arena, &o->row_steps, V, sizeof *o->row_steps, err));
    PARE_TRY(pare_arena_alloc(&o->arena, &o->row_moved, V, 1, err));
    PARE_TRY(pare_alloc(&o->m, o->params->total, sizeof(float), err));
    PARE_TRY(pare_alloc(&o->v, o->params->total, sizeof(float), err));
    if (o->options.average > 0) {
        PARE_TRY(pare_alloc_raw(&o->average, o->params->total, sizeof(float), err));
        memcpy(o->average, o->params->value, o->params->total * sizeof(float));
    }
    o->options.rates = NULL;
    pare_optimizer_resume(o, 0);
    return PARE_OK;
}

enum pare_status pare_optimizer_new(struct pare_params *params,
                                    const struct pare_optimizer_options *options,
                                    struct pare_optimizer **out, struct pare_error *err)
{
    *out = NULL;
    struct pare_optimizer *o;
    PARE_TRY(pare_alloc(&o, 1, sizeof *o, err));
    o->params = params;
    o->options = *options;
    enum pare_status status = set_up(o, err);
    if (status != PARE_OK) {
        pare_optimizer_free(o);
        return status;
    }
    *out = o;
    return PARE_OK;
}

void pare_optimizer_free(struct pare_optimizer *optimizer)
{
    if (!optimizer)
        return;
    pare_free(optimizer->m);
    pare_free(optimizer->v);
    pare_free(optimizer->average);
    pare_free(optimizer->history);
    pare_arena_free(&optimizer->arena);
    pare_free(optimizer);
}

void pare_optimizer_resume(struct pare_optimizer *o, uint64_t steps)
{
    const struct pare_params *params = o->params;
    const size_t C = params->config.hidden;
    o->steps = steps;
    o->beta1_power = o->beta2_power = 1;
    for (uint64_t i = 0; i < steps; i++) {
        o->beta1_power *= (double)o->options.beta1;
        o->beta2_power *= (double)o->options.beta2;
    }
    o->history_start = steps;
    for (size_t row = 0; row < params->config.vocab; row++) {
        const float *m = o->m + params->tokens + row * C;
        const float *v = o->v + params->tokens + row * C;
        int moved = 0;
        for (size_t c = 0; c < C && !moved; c++)
            moved = m[c] != 0 || v[c] != 0;
        o->row_moved[row] = (uint8_t)moved;
        o->row_steps[row] = steps;
    }
}

/* --- Average ---------------------------------------------------------------------- */

static float share_of(float decay, uint64_t update)
{
    const double t = (double)update, early = (1 + t) / (10 + t);
    return (float)(1 - ((double)decay < early ? (double)decay : early));
}

/* Elements [begin, end) of the average follow the values. */
static void average(const struct pare_optimizer *o, size_t begin, size_t end, float share)
{
    const float *value = o->params->value;
    for (size_t k = begin; o->average && k < end; k++)
        o->average[k] += share * (value[k] - o->average[k]);
}

static void swap_tile(void *context, size_t begin, size_t end)
{
    const struct pare_optimizer *o = context;
    float *value = o->params->value;
    for (size_t k = begin; k < end; k++) {
        const float x = value[k];
        value[k] = o->average[k];
        o->average[k] = x;
    }
}

void pare_optimizer_swap_average(struct pare_optimizer *o)
{
    if (o->average)
        pare_parallel_for(o->params->total, TILE, swap_tile, o);
}

/* --- Late rows -------------------------------------------------------------------- */

/* The updates row `row` has missed, with the gradient zero in all of them. A row that
 * never had a gradient has no moments: only the decay moves it. */
static void catch_up(const struct pare_optimizer *o, size_t row, const float *zeros)
{
    const struct pare_kernels *kernels = pare_kernels();
    const size_t C = o->params->config.hidden;
    const size_t at = o->params->tokens + row * C;
    float *p = o->params->value + at, *m = o->m + at, *v = o->v + at;
    for (uint64_t step = o->row_steps[row]; step < o->steps && o->token_rate != 0;
         step++) {
        const struct pare_update *update = &o->history[step - o->history_start];
        const struct pare_adamw *constants = &update->adamw;
        if (o->row_moved[row])
            kernels->adamw(p, m, v, zeros, C, constants);
        else if (constants->weight_decay != 0)
            kernels->scale(p, 1.0f - constants->lr * constants->weight_decay, C);
        average(o, at, at + C, update->share);
    }
    o->row_steps[row] = o->steps;
}

struct row_call {
    struct pare_optimizer *o;
    const uint32_t *rows;             /* NULL: all */
    const struct pare_update *update; /* to make */
};

static const float no_gradient[PARE_MAX_HIDDEN];

static void catch_up_tile(void *context, size_t begin, size_t end)
{
    const struct row_call *call = context;
    for (size_t i = begin; i < end; i++)
        catch_up(call->o, call->rows ? call->rows[i] : i, no_gradient);
}

/* Tokens repeat, and two threads must not catch up the same row: each row belongs to the
 * task of its number, which looks through all tokens for its own. */
struct refresh_call {
    struct pare_optimizer *o;
    const int32_t *ids;
    size_t n, share; /* rows a task */
};

static void refresh_tile(void *context, size_t begin, size_t end)
{
    const struct refresh_call *call = context;
    const struct pare_optimizer *o = call->o;
    for (size_t task = begin; task < end; task++) {
        for (size_t t = 0; t < call->n; t++) {
            size_t row = (size_t)call->ids[t];
            if (row % call->share == task && o->row_steps[row] < o->steps)
                catch_up(o, row, no_gradient);
        }
    }
}

void pare_optimizer_refresh(struct pare_optimizer *optimizer, const int32_t *ids,
                            size_t n)
{
    struct refresh_call call = {optimizer, ids, n, 16};
    pare_parallel_for(call.share, 1, refresh_tile, &call);
}

void pare_optimizer_settle(struct pare_optimizer *o)
{
    struct row_call call = {.o = o};
    pare_parallel_for(o->params->config.vocab, ROW_TILE, catch_up_tile, &call);
    o->history_start = o->steps;
}

/* --- One update ------------------------------------------------------------------- */

static void square_tile(void *context, size_t begin, size_t end)
{
    const struct pare_optimizer *o = context;
    for (size_t i = begin; i < end; i++) {
        const struct pare_optimizer_tile *tile = &o->tiles[i];
        o->square[i] = pare_kernels()->sum_squares(o->params->grad + tile->begin,
                                                   tile->end - tile->begin);
    }
}

static void square_row_tile(void *context, size_t begin, size_t end)
{
    const struct pare_optimizer *o = context;
    const struct pare_params *params = o->params;
    const size_t C = params->config.hidden;
    for (size_t i = begin; i < end; i++)
        o->square[i] = pare_kernels()->sum_squares(
            params->grad + params->tokens + params->touched[i] * C, C);
}

/* Partial sums in double of fixed tiles, added in order. Rows without a gradient would
 * add zero. */
static double gradient_norm(struct pare_optimizer *o)
{
    double sum = 0;
    pare_parallel_for(o->n_tiles, 1, square_tile, o);
    for (size_t i = 0; i < o->n_tiles; i++)
        sum += o->square[i];
    const size_t rows = o->token_rate != 0 ? o->params->n_touched : 0;
    pare_parallel_for(rows, ROW_TILE, square_row_tile, o);
    for (size_t i = 0; i < rows; i++)
        sum += o->square[i];
    return sqrt(sum);
}

static void update_tile(void *context, size_t begin, size_t end)
{
    const struct row_call *call = context;
    const struct pare_optimizer *o = call->o;
    const struct pare_params *params = o->params;
    for (size_t i = begin; i < end; i++) {
        const struct pare_optimizer_tile *tile = &o->tiles[i];
        struct pare_adamw constants = call->update->adamw;
        if (!tile->decays)
            constants.weight_decay = 0;
        constants.lr *= tile->rate;
        pare_kernels()->adamw(params->value + tile->begin, o->m + tile->begin,
                              o->v + tile->begin, params->grad + tile->begin,
                              tile->end - tile->begin, &constants);
        average(o, tile->begin, tile->end, call->update->share);
    }
}

static void update_row_tile(void *context, size_t begin, size_t end)
{
    const struct row_call *call = context;
    struct pare_optimizer *o = call->o;
    const struct pare_params *params = o->params;
    const size_t C = params->config.hidden;
    for (size_t i = begin; i < end; i++) {
        const size_t row = call->rows[i], at = params->tokens + row * C;
        catch_up(o, row, no_gradient); /* nothing to do when the forward was refreshed */
        pare_kernels()->adamw(params->value + at, o->m + at, o->v + at, params->grad + at,
                              C, &call->update->adamw);
        average(o, at, at + C, call->update->share);
        o->row_moved[row] = 1;
        o->row_steps[row] = o->steps + 1;
    }
}

/* PyTorch's rule: the factor is clip / (norm + 1e-6) where that is below 1. */
static float clip_factor(double norm, float clip)
{
    double factor = clip > 0 ? (double)clip / (norm + 1e-6) : 1;
    return factor < 1 ? (float)factor : 1.0f;
}

enum pare_status pare_optimizer_step(struct pare_optimizer *o, float lr, double *norm,
                                     struct pare_error *err)
{
    struct pare_params *params = o->params;
    *norm = gradient_norm(o);
    if (!isfinite(*norm)) {
        PARE_TRY(pare_params_check_finite(params, params->grad, "the gradient of", err));
        return pare_fail(err, PARE_ERR_INPUT,
                         "the gradient's norm is not finite though all elements are");
    }
    size_t late = (size_t)(o->steps - o->history_start);
    PARE_TRY(
        pare_grow(&o->history, &o->history_capacity, late + 1, sizeof *o->history, err));
    const double beta1_power = o->beta1_power * (double)o->options.beta1;
    const double beta2_power = o->beta2_power * (double)o->options.beta2;
    struct pare_update *update = &o->history[late];
    *update = (struct pare_update){
        .adamw = {.beta1 = o->options.beta1,
                  .beta2 = o->options.beta2,
                  .eps = o->options.eps,
                  .lr = lr,
                  .weight_decay = o->options.weight_decay,
                  .bias_correction1 = (float)(1 - beta1_power),
                  .bias_correction2 = (float)(1 - beta2_power),
                  .grad_scale = clip_factor(*norm, o->options.clip)},
        .share = share_of(o->options.average, o->steps + 1),
    };
    struct row_call call = {o, params->touched, update};
    pare_parallel_for(o->n_tiles, 1, update_tile, &call);
    update->adamw.lr *= o->token_rate;
    if (o->token_rate != 0)
        pare_parallel_for(params->n_touched, ROW_TILE, update_row_tile, &call);
    o->steps++;
    o->beta1_power = beta1_power;
    o->beta2_power = beta2_power;
    return PARE_OK;
}
