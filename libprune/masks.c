/* Masks in training: see masks.h. */
#include "libprune/masks.h"

#include <math.h>
#include <string.h>

#include "libprune/choose.h"
#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"

#define ROW_TILE 16

struct pare_masks {
    const struct pare_plan *plan;
    struct pare_masks_options options;
    struct pare_compressor compressor;
    uint8_t *covers; /* [plan.count] */
    size_t *first;   /* [plan.count + 1] first bit of each slot; a row begins a word */
    uint32_t *zero;  /* bits: zero now; the compressor's state */
    uint32_t *kept;  /* bits: zero at the start */
    size_t words;
    float *scores; /* of the blocks of the largest matrix, when a mask grows */
    uint8_t *gone; /* the same; of N:M of its weights */
    struct pare_arena arena;
};

struct pare_masks_options pare_masks_options_default(void)
{
    return (struct pare_masks_options){
        .pattern = {.rows = 1, .columns = 1}, .begin = 0.1, .end = 2.0 / 3, .every = 50};
}

/* --- Schedule --------------------------------------------------------------------- */

double pare_masks_schedule(const struct pare_masks_options *options, uint64_t t,
                           uint64_t n)
{
    const double at = (double)t / (double)n;
    if (at >= options->end || t >= pare_compressor_last_change(options->end, n))
        return options->pattern.sparsity;
    if (at < options->begin)
        return 0;
    const double left = 1 - (at - options->begin) / (options->end - options->begin);
    return options->pattern.sparsity * (1 - left * left * left);
}

/* --- Bits ------------------------------------------------------------------------- */

static size_t row_words(size_t K)
{
    return (K + 31) / 32;
}

static size_t width_of(const struct pare_masks *masks, size_t slot)
{
    return (size_t)masks->plan->slots[slot].shape[1];
}

static size_t height_of(const struct pare_masks *masks, size_t slot)
{
    return (size_t)masks->plan->slots[slot].shape[0];
}

static uint32_t *row_of(const struct pare_masks *masks, uint32_t *bits, size_t slot,
                        size_t row)
{
    return bits + masks->first[slot] + row * row_words(width_of(masks, slot));
}

static int bit(const uint32_t *row, size_t k)
{
    return row[k / 32] >> k % 32 & 1;
}

/* --- The compressor --------------------------------------------------------------- */

/* Blocks that become zero, in masks->gone: the `zeros` smallest, by their weights'
 * magnitudes. */
static void choose_blocks(struct pare_masks *masks, size_t slot, const float *v,
                          double share)
{
    const struct pare_pattern *pattern = &masks->options.pattern;
    const size_t N = height_of(masks, slot), K = width_of(masks, slot);
    const size_t across = K / pattern->columns, count = N / pattern->rows * across;
    float *scores = masks->scores;
    memset(scores, 0, count * sizeof *scores);
    for (size_t n = 0; n < N; n++)
        for (size_t k = 0; k < K; k++)
            scores[n / pattern->rows * across + k / pattern->columns] +=
                fabsf(v[n * K + k]);
    pare_choose_smallest(scores, count, (size_t)(share * (double)count + 0.5),
                         masks->gone);
}

/* The same of every m weights of a row; masks->gone is of weights. */
static void choose_of_m(struct pare_masks *masks, size_t slot, const float *v,
                        double share)
{
    const size_t count = height_of(masks, slot) * width_of(masks, slot);
    const size_t m = masks->options.pattern.m;
    const size_t zeros = (size_t)(share * (double)m + 0.5);
    for (size_t i = 0; i < count; i += m) {
        float scores[PARE_PATTERN_MOST];
        for (size_t j = 0; j < m; j++)
            scores[j] = fabsf(v[i + j]);
        for (size_t j = 0; j < m; j++)
            masks->gone[i + j] = (uint8_t)pare_choose_is_smallest(scores, m, j, zeros);
    }
}

/* The mask of a matrix: what is chosen, and what is kept. */
static void draw(struct pare_masks *masks, size_t slot, const float *v, double share)
{
    const struct pare_pattern *pattern = &masks->options.pattern;
    const size_t N = height_of(masks, slot), K = width_of(masks, slot);
    const size_t across = K / pattern->columns;
    if (pattern->m)
        choose_of_m(masks, slot, v, share);
    else
        choose_blocks(masks, slot, v, share);
    for (size_t n = 0; n < N; n++) {
        uint32_t *row = row_of(masks, masks->zero, slot, n);
        const uint8_t *gone = masks->gone + n / pattern->rows * across;
        memcpy(row, row_of(masks, masks->kept, slot, n), row_words(K) * sizeof *row);
        for (size_t k = 0; k < K; k++)
            row[k / 32] |= (uint32_t)gone[k / pattern->columns] << k % 32;
    }
}

/* The mask is drawn every so many updates while it grows, and where growth ends. */
static int is_due(const struct pare_masks_options *o, uint64_t t, uint64_t n)
{
    const uint64_t first = pare_compressor_last_change(o->begin, n);
    const uint64_t last = pare_compressor_last_change(o->end, n);
    if (o->pattern.sparsity <= 0 || t < first || t > last)
        return 0;
    return t == last || t % o->every == 0;
}

static enum pare_status begin(void *context, const float *values, const size_t *start,
                              uint64_t update, uint64_t updates, struct pare_error *err)
{
    struct pare_masks *masks = context;
    (void)err;
    if (!is_due(&masks->options, update, updates))
        return PARE_OK;
    const double share = pare_masks_schedule(&masks->options, update, updates);
    for (size_t i = 0; i < masks->plan->count; i++)
        if (masks->covers[i])
            draw(masks, i, values + start[i], share);
    return PARE_OK;
}

struct rows {
    const struct pare_masks *masks;
    size_t slot, first;
    const float *v;
    float *w;
};

static void mask_rows(void *context, size_t begin, size_t end)
{
    const struct rows *r = context;
    const size_t K = width_of(r->masks, r->slot);
    for (size_t n = begin; n < end; n++) {
        const uint32_t *zero = row_of(r->masks, r->masks->zero, r->slot, r->first + n);
        for (size_t k = 0; k < K; k++)
            r->w[n * K + k] = bit(zero, k) ? 0 : r->v[n * K + k];
    }
}

static enum pare_status apply(void *context, size_t slot, size_t first, size_t n,
                              const float *v, float *w, struct pare_error *err)
{
    struct rows rows = {context, slot, first, v, w};
    (void)err;
    pare_parallel_for(n, ROW_TILE, mask_rows, &rows);
    return PARE_OK;
}

static enum pare_status backward(void *context, size_t slot, size_t first, size_t n,
                                 const float *v, float *grad, struct pare_error *err)
{
    (void)v;
    return apply(context, slot, first, n, grad, grad, err);
}

/* --- Set-up ----------------------------------------------------------------------- */

static enum pare_status check_options(const struct pare_masks_options *o,
                                      struct pare_error *err)
{
    if (!(o->pattern.sparsity >= 0 && o->pattern.sparsity < 1))
        return pare_fail(err, PARE_ERR_USAGE, "the sparsity must be within 0 to below 1");
    if (!(o->begin >= 0 && o->begin <= o->end && o->end <= 1) || !o->every)
        return pare_fail(err, PARE_ERR_USAGE,
                         "the mask must grow within the run, a step at a time");
    return PARE_OK;
}

/* The pattern fits every matrix, and there is memory to draw the largest one's mask. */
static enum pare_status prepare_drawing(struct pare_masks *masks, struct pare_error *err)
{
    const struct pare_pattern *pattern = &masks->options.pattern;
    size_t most = 0;
    if (pattern->sparsity <= 0)
        return PARE_OK;
    for (size_t i = 0; i < masks->plan->count; i++) {
        if (!masks->covers[i])
            continue;
        const size_t N = height_of(masks, i), K = width_of(masks, i);
        const enum pare_status status = pare_pattern_check(pattern, N, K, err);
        if (status != PARE_OK)
            return pare_fail_in(err, status, "tensor %s", masks->plan->slots[i].name);
        const size_t count = N / pattern->rows * (K / pattern->columns);
        most = count > most ? count : most;
    }
    PARE_TRY(pare_arena_alloc(&masks->arena, &masks->scores, most, sizeof(float), err));
    return pare_arena_alloc(&masks->arena, &masks->gone, most, 1, err);
}

static enum pare_status set_up(struct pare_masks *masks, struct pare_error *err)
{
    const size_t count = masks->plan->count;
    PARE_TRY(check_options(&masks->options, err));
    PARE_TRY(pare_arena_alloc(&masks->arena, &masks->covers, count, 1, err));
    PARE_TRY(pare_arena_alloc(&masks->arena, &masks->first, count + 1,
                              sizeof *masks->first, err));
    for (size_t i = 0; i < count; i++) {
        masks->covers[i] = masks->plan->slots[i].role == PARE_ROLE_LINEAR;
        masks->first[i] = masks->words;
        if (masks->covers[i])
            masks->words += height_of(masks, i) * row_words(width_of(masks, i));
    }
    PARE_TRY(prepare_drawing(masks, err));
    PARE_TRY(pare_alloc(&masks->zero, masks->words, sizeof *masks->zero, err));
    PARE_TRY(pare_alloc(&masks->kept, masks->words, sizeof *masks->kept, err));
    masks->compressor = (struct pare_compressor){
        .context = masks,
        .covers = masks->covers,
        .begin = begin,
        .apply = apply,
        .backward = backward,
        .settled = masks->options.pattern.sparsity > 0 ? masks->options.end : 0,
        .state = (float *)(void *)masks->zero, /* kept as bytes, never read as floats */
        .state_count = masks->words,
    };
    return PARE_OK;
}

enum pare_status pare_masks_new(const struct pare_plan *plan,
                                const struct pare_masks_options *options,
                                struct pare_masks **out, struct pare_error *err)
{
    struct pare_masks *masks;
    *out = NULL;
    PARE_TRY(pare_alloc(&masks, 1, sizeof *masks, err));
    masks->plan = plan;
    masks->options = *options;
    enum pare_status status = set_up(masks, err);
    if (status != PARE_OK) {
        pare_masks_free(masks);
        return status;
    }
    *out = masks;
    return PARE_OK;
}

void pare_masks_free(struct pare_masks *masks)
{
    if (!masks)
        return;
    pare_free(masks->zero);
    pare_free(masks->kept);
    pare_arena_free(&masks->arena);
    pare_free(masks);
}

void pare_masks_start(struct pare_masks *masks, const float *values, const size_t *start)
{
    for (size_t i = 0; masks->options.keep_zeros && i < masks->plan->count; i++) {
        if (!masks->covers[i])
            continue;
        const size_t N = height_of(masks, i), K = width_of(masks, i);
        for (size_t n = 0; n < N; n++) {
            uint32_t *row = row_of(masks, masks->kept, i, n);
            for (size_t k = 0; k < K; k++)
                row[k / 32] |= (uint32_t)(values[start[i] + n * K + k] == 0) << k % 32;
        }
    }
    memcpy(masks->zero, masks->kept, masks->words * sizeof *masks->zero);
}

struct pare_compressor *pare_masks_compressor(struct pare_masks *masks)
{
    return &masks->compressor;
}
