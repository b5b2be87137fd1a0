/* Fake quantisation: see fake.h. */
#include "libquant/fake.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"

struct pare_fake {
    const struct pare_plan *plan;
    const struct pare_scheme_item *items;
    struct pare_compressor compressor;
    uint8_t *covers;             /* [plan.count] */
    size_t *input_group;         /* [plan.count] */
    float *mean;                 /* [plan.count] of |v|, of grids that want it */
    struct pare_learned *scales; /* [plan.count], bits 0: not learned */
    struct pare_compressor_extra *extras;
    size_t *extra_of; /* [plan.count] */
    struct pare_arena arena;
};

static size_t width_of(const struct pare_fake *fake, size_t slot)
{
    return (size_t)fake->plan->slots[slot].shape[1];
}

static int wants_mean(const struct pare_scheme_item *item)
{
    return item->grid.ternary && !item->grid.group;
}

/* --- The compressor --------------------------------------------------------------- */

static void measure(void *context, const float *values, const size_t *start)
{
    struct pare_fake *fake = context;
    for (size_t i = 0; i < fake->plan->count; i++) {
        double sum = 0;
        if (!fake->covers[i] || !wants_mean(&fake->items[i]))
            continue;
        const uint64_t *shape = fake->plan->slots[i].shape;
        pare_grid_magnitude(values + start[i], (size_t)shape[0], (size_t)shape[1], &sum);
        fake->mean[i] = (float)(sum / ((double)shape[0] * (double)shape[1]));
    }
}

static enum pare_status apply(void *context, size_t slot, size_t first, size_t n,
                              const float *v, float *w, struct pare_error *err)
{
    const struct pare_fake *fake = context;
    const struct pare_scheme_item *item = &fake->items[slot];
    const size_t K = width_of(fake, slot);
    if (fake->scales[slot].bits) {
        pare_learned_round(&fake->scales[slot], first, n, v, w);
        return PARE_OK;
    }
    if (!item->grid.bits)
        return pare_rtn_round(item->type, v, n, K, w, err);
    struct pare_grid grid = item->grid;
    grid.mean = fake->mean[slot];
    pare_grid_round(&grid, v, n, K, w);
    return PARE_OK;
}

static enum pare_status backward(void *context, size_t slot, size_t first, size_t n,
                                 const float *v, float *grad, struct pare_error *err)
{
    const struct pare_fake *fake = context;
    (void)err;
    if (fake->scales[slot].bits)
        pare_learned_backward(&fake->scales[slot], first, n, v, grad,
                              fake->extras[fake->extra_of[slot]].grad);
    return PARE_OK;
}

static void placed(void *context)
{
    struct pare_fake *fake = context;
    for (size_t i = 0; i < fake->plan->count; i++)
        if (fake->scales[i].bits)
            fake->scales[i].value = fake->extras[fake->extra_of[i]].value;
}

/* --- Set-up ----------------------------------------------------------------------- */

static int is_covered(const struct pare_fake *fake, size_t slot)
{
    const struct pare_scheme_item *item = &fake->items[slot];
    return pare_slot_is_matrix(&fake->plan->slots[slot]) &&
           item->scheme != PARE_SCHEME_KEEP && item->type != PARE_F32;
}

static int is_learnable(const struct pare_fake *fake, size_t slot)
{
    const struct pare_grid *grid = &fake->items[slot].grid;
    return fake->covers[slot] && grid->bits && !grid->ternary && !grid->asymmetric &&
           fake->plan->slots[slot].role != PARE_ROLE_EMBEDDING;
}

/* What the integer kernels round the inputs of this layer to. */
static size_t input_group(const struct pare_fake *fake, size_t slot)
{
    const struct pare_scheme_item *item = &fake->items[slot];
    if (!fake->covers[slot] || fake->plan->slots[slot].role == PARE_ROLE_EMBEDDING)
        return 0;
    if (item->grid.bits)
        return pare_grid_group(&item->grid, width_of(fake, slot));
    return item->type == PARE_I8 ? width_of(fake, slot) : 0;
}

static enum pare_status learn(struct pare_fake *fake, size_t slot, struct pare_error *err)
{
    const struct pare_slot *s = &fake->plan->slots[slot];
    struct pare_learned *scales = &fake->scales[slot];
    *scales = (struct pare_learned){
        .bits = fake->items[slot].grid.bits,
        .N = (size_t)s->shape[0],
        .K = (size_t)s->shape[1],
        .group = pare_grid_group(&fake->items[slot].grid, (size_t)s->shape[1]),
    };
    const size_t columns = scales->K / scales->group, count = scales->N * columns;
    float *ones;
    PARE_TRY(pare_arena_alloc(&fake->arena, &scales->start, count, sizeof(float), err));
    PARE_TRY(pare_arena_alloc(&fake->arena, &ones, count, sizeof(float), err));
    for (size_t i = 0; i < count; i++)
        ones[i] = 1;
    scales->value = ones;
    const size_t extra = fake->compressor.n_extras++;
    fake->extra_of[slot] = extra;
    fake->extras[extra] = (struct pare_compressor_extra){
        .slot = slot, .rows = scales->N, .columns = columns, .start = ones};
    snprintf(fake->extras[extra].name, PARE_NAME_SIZE, "train.scale.%.*s",
             PARE_NAME_SIZE - 13, s->name);
    return PARE_OK;
}

static enum pare_status allocate(struct pare_fake *fake, struct pare_error *err)
{
    const size_t n = fake->plan->count;
    struct pare_arena *arena = &fake->arena;
    PARE_TRY(pare_arena_alloc(arena, &fake->covers, n, 1, err));
    PARE_TRY(
        pare_arena_alloc(arena, &fake->input_group, n, sizeof *fake->input_group, err));
    PARE_TRY(pare_arena_alloc(arena, &fake->mean, n, sizeof *fake->mean, err));
    PARE_TRY(pare_arena_alloc(arena, &fake->scales, n, sizeof *fake->scales, err));
    PARE_TRY(pare_arena_alloc(arena, &fake->extras, n, sizeof *fake->extras, err));
    PARE_TRY(pare_arena_alloc(arena, &fake->extra_of, n, sizeof *fake->extra_of, err));
    memset(fake->mean, 0, n * sizeof *fake->mean);
    memset(fake->scales, 0, n * sizeof *fake->scales);
    return PARE_OK;
}

static enum pare_status set_up(struct pare_fake *fake, int learned,
                               struct pare_error *err)
{
    PARE_TRY(allocate(fake, err));
    fake->compressor = (struct pare_compressor){
        .context = fake,
        .covers = fake->covers,
        .input_group = fake->input_group,
        .measure = measure,
        .apply = apply,
        .extras = fake->extras,
    };
    for (size_t i = 0; i < fake->plan->count; i++) {
        fake->covers[i] = (uint8_t)is_covered(fake, i);
        fake->input_group[i] = input_group(fake, i);
        if (fake->covers[i] && fake->plan->slots[i].role == PARE_ROLE_EMBEDDING)
            fake->compressor.measures_tokens |= wants_mean(&fake->items[i]);
        if (learned && is_learnable(fake, i))
            PARE_TRY(learn(fake, i, err));
    }
    if (learned && !fake->compressor.n_extras)
        return pare_fail(err, PARE_ERR_USAGE,
                         "there are no scales to learn: only linear layers in symmetric "
                         "groups (int2 to int7, int8g) have some");
    if (fake->compressor.n_extras) {
        fake->compressor.backward = backward;
        fake->compressor.placed = placed;
    }
    return PARE_OK;
}

void pare_fake_start(struct pare_fake *fake, const float *values, const size_t *start)
{
    for (size_t i = 0; i < fake->plan->count; i++)
        if (fake->scales[i].bits)
            pare_learned_start(&fake->scales[i], values + start[i]);
}

enum pare_status pare_fake_new(const struct pare_plan *plan,
                               const struct pare_scheme_item *items, int learned,
                               struct pare_fake **out, struct pare_error *err)
{
    struct pare_fake *fake;
    *out = NULL;
    PARE_TRY(pare_alloc(&fake, 1, sizeof *fake, err));
    fake->plan = plan;
    fake->items = items;
    enum pare_status status = set_up(fake, learned, err);
    if (status != PARE_OK) {
        pare_fake_free(fake);
        return status;
    }
    *out = fake;
    return PARE_OK;
}

void pare_fake_free(struct pare_fake *fake)
{
    if (!fake)
        return;
    pare_arena_free(&fake->arena);
    pare_free(fake);
}

struct pare_compressor *pare_fake_compressor(struct pare_fake *fake)
{
    return &fake->compressor;
}

const struct pare_learned *pare_fake_learned(const struct pare_fake *fake, size_t slot)
{
    return fake->scales[slot].bits ? &fake->scales[slot] : NULL;
}
