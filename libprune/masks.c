/* Masks in training: see masks.h. */
#include "libprune/masks.h"

#include <math.h>
#include <string.h>

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
    struct pare_arena arena;
};

struct pare_masks_options pare_masks_options_default(void)
{
    return (struct pare_masks_options){.begin = 0.1, .end = 2.0 / 3, .every = 50};
}

/* --- Schedule and rank ------------------------------------------------------------ */

double pare_masks_schedule(const struct pare_masks_options *options, uint64_t t,
                           uint64_t n)
{
    const double at = (double)t / (double)n;
    if (at >= options->end || t >= pare_compressor_last_change(options->end, n))
        return options->sparsity;
    if (at < options->begin)
        return 0;
    const double left = 1 - (at - options->begin) / (options->end - options->begin);
    return options->sparsity * (1 - left * left * left);
}

static uint32_t magnitude_bits(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits & 0x7FFFFFFF;
}

/* Floats without their sign are ordered like their bits: the digits of the answer are
 * found from the most significant on, by counting. */
float pare_magnitude_rank(const float *v, size_t n, size_t k)
{
    static const int shifts[] = {20, 10, 0};
    uint32_t found = 0, known = 0; /* bits of the answer, and which they are */
    for (int pass = 0; pass < 3; pass++) {
        const uint32_t digit = pass ? 0x3FF : 0x7FF;
        size_t count[0x800] = {0};
        for (size_t i = 0; i < n; i++) {
            const uint32_t bits = magnitude_bits(v[i]);
            count[bits >> shifts[pass] & digit] += (bits & known) == found;
        }
        uint32_t d = 0;
        while (count[d] < k)
            k -= count[d++];
        found |= d << shifts[pass];
        known |= digit << shifts[pass];
    }
    float rank;
    memcpy(&rank, &found, sizeof rank);
    return rank;
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

/* The mask of a matrix: its `zeros` smallest magnitudes, of equals the first, and what is
 * kept. */
static void draw(struct pare_masks *masks, size_t slot, const float *v, size_t zeros)
{
    const size_t N = height_of(masks, slot), K = width_of(masks, slot);
    const float rank = zeros ? pare_magnitude_rank(v, N * K, zeros) : 0;
    size_t below = 0;
    for (size_t i = 0; zeros && i < N * K; i++)
        below += fabsf(v[i]) < rank;
    size_t equals = zeros - below; /* of those with that magnitude, as many as fit */
    for (size_t n = 0; n < N; n++) {
        uint32_t *row = row_of(masks, masks->zero, slot, n);
        const uint32_t *kept = row_of(masks, masks->kept, slot, n);
        memcpy(row, kept, row_words(K) * sizeof *row);
        for (size_t k = 0; zeros && k < K; k++) {
            const float magnitude = fabsf(v[n * K + k]);
            int out = magnitude < rank;
            if (magnitude == rank && equals) {
                out = 1;
                equals--;
            }
            row[k / 32] |= (uint32_t)out << k % 32;
        }
    }
}

/* The mask is drawn every so many updates while it grows, and where growth ends. */
static int is_due(const struct pare_masks_options *o, uint64_t t, uint64_t n)
{
    const uint64_t first = pare_compressor_last_change(o->begin, n);
    const uint64_t last = pare_compressor_last_change(o->end, n);
    if (o->sparsity <= 0 || t < first || t > last)
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
        if (masks->covers[i]) {
            const size_t n = height_of(masks, i) * width_of(masks, i);
            draw(masks, i, values + start[i], (size_t)(share * (double)n + 0.5));
        }
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
    if (!(o->sparsity >= 0 && o->sparsity < 1))
        return pare_fail(err, PARE_ERR_USAGE, "the sparsity must be within 0 to below 1");
    if (!(o->begin >= 0 && o->begin <= o->end && o->end <= 1) || !o->every)
        return pare_fail(err, PARE_ERR_USAGE,
                         "the mask must grow within the run, a step at a time");
    return PARE_OK;
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
    PARE_TRY(pare_alloc(&masks->zero, masks->words, sizeof *masks->zero, err));
    PARE_TRY(pare_alloc(&masks->kept, masks->words, sizeof *masks->kept, err));
    masks->compressor = (struct pare_compressor){
        .context = masks,
        .covers = masks->covers,
        .begin = begin,
        .apply = apply,
        .backward = backward,
        .settled = masks->options.sparsity > 0 ? masks->options.end : 0,
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
