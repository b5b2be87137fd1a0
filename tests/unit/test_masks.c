/* Masks in training (libprune/masks.h). */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libprune/choose.h"
#include "libprune/masks.h"
#include "runtime/base/rng.h"

#define OK(call)                                                                         \
    do {                                                                                 \
        struct pare_error error_ = {""};                                                 \
        struct pare_error *err = &error_;                                                \
        cr_assert_eq((call), PARE_OK, "%s: %s", #call, error_.message);                  \
    } while (0)

#define ONE_BY_ONE(s)                                                                    \
    {                                                                                    \
        .sparsity = (s), .rows = 1, .columns = 1                                         \
    }

enum { N = 10, K = 37, COUNT = N * K };

struct model { /* a matrix of a block and an embedding */
    struct pare_slot slots[2];
    struct pare_plan plan;
    size_t start[3];
    float values[2 * COUNT];
};

static void open_model(struct model *m)
{
    struct pare_rng rng = {.seed = 6};
    memset(m, 0, sizeof *m);
    m->slots[0] = (struct pare_slot){
        .role = PARE_ROLE_LINEAR, .n_dims = 2, .shape = {N, K}, .name = "linear"};
    m->slots[1] = (struct pare_slot){
        .role = PARE_ROLE_EMBEDDING, .n_dims = 2, .shape = {N, K}, .name = "tokens"};
    m->plan = (struct pare_plan){2, m->slots};
    m->start[1] = COUNT;
    m->start[2] = 2 * COUNT;
    for (size_t i = 0; i < 2 * COUNT; i++)
        m->values[i] = pare_rng_normal(&rng);
}

static size_t zeros(const float *w)
{
    size_t n = 0;
    for (size_t i = 0; i < COUNT; i++)
        n += w[i] == 0;
    return n;
}

static int by_magnitude(const void *a, const void *b)
{
    const float x = fabsf(*(const float *)a), y = fabsf(*(const float *)b);
    return (x > y) - (x < y);
}

Test(masks, the_rank_is_that_of_a_sort)
{
    float v[COUNT], sorted[COUNT];
    struct pare_rng rng = {.seed = 1};
    for (size_t i = 0; i < COUNT; i++)
        v[i] = ldexpf(pare_rng_normal(&rng), (int)pare_rng_below(&rng, 60) - 40);
    v[3] = v[5] = 0;
    v[8] = -v[9];
    v[11] = 0x1p-140f; /* subnormal */
    memcpy(sorted, v, sizeof v);
    qsort(sorted, COUNT, sizeof *sorted, by_magnitude);
    for (size_t k = 1; k <= COUNT; k++)
        cr_assert_eq(pare_magnitude_rank(v, COUNT, k), fabsf(sorted[k - 1]), "%zu", k);
}

Test(masks, the_schedule_is_cubic_between_its_ends)
{
    const struct pare_masks_options o = {
        .pattern = ONE_BY_ONE(0.8), .begin = 0.2, .end = 0.7, .every = 1};
    cr_assert_eq(pare_masks_schedule(&o, 19, 100), 0);
    cr_assert_eq(pare_masks_schedule(&o, 70, 100), 0.8);
    cr_assert_eq(pare_masks_schedule(&o, 99, 100), 0.8);
    cr_assert(fabs(pare_masks_schedule(&o, 45, 100) - 0.8 * (1 - 0.125)) < 1e-12);
    for (uint64_t t = 1; t < 100; t++)
        cr_assert(pare_masks_schedule(&o, t, 100) >= pare_masks_schedule(&o, t - 1, 100));
}

Test(masks, grown_masks_take_the_smallest_and_reach_their_share_exactly)
{
    struct model m;
    struct pare_masks *masks;
    float w[COUNT], sorted[COUNT];
    open_model(&m);
    struct pare_masks_options o = pare_masks_options_default();
    o.pattern.sparsity = 0.6;
    o.every = 7;
    for (uint64_t updates = 3; updates < 200; updates += 31) {
        size_t last = 0;
        OK(pare_masks_new(&m.plan, &o, &masks, err));
        pare_masks_start(masks, m.values, m.start);
        struct pare_compressor *c = pare_masks_compressor(masks);
        cr_assert(c->covers[0] && !c->covers[1]);
        for (uint64_t t = 0; t < updates; t++) {
            OK(c->begin(c->context, m.values, m.start, t, updates, err));
            OK(c->apply(c->context, 0, 0, N, m.values, w, err));
            cr_assert(zeros(w) >= last, "the mask shrank");
            last = zeros(w);
        }
        cr_assert_eq(last, (size_t)(0.6 * COUNT + 0.5),
                     "%zu zeros of %d after %d updates", last, COUNT, (int)updates);
        pare_masks_free(masks);
    }
    memcpy(sorted, m.values, sizeof sorted);
    qsort(sorted, COUNT, sizeof *sorted, by_magnitude);
    const float smallest_kept = fabsf(sorted[(size_t)(0.6 * COUNT + 0.5)]);
    for (size_t i = 0; i < COUNT; i++)
        cr_assert_eq(w[i], fabsf(m.values[i]) < smallest_kept ? 0 : m.values[i]);
}

/* The sums of magnitudes of blocks, largest of what is zero and smallest of what is not.
 */
static void compare_blocks(const float *v, const float *w, size_t rows, size_t columns,
                           size_t across, double *gone, double *kept, size_t *count)
{
    *gone = *count = 0;
    *kept = INFINITY;
    for (size_t b = 0; b < 8 / rows * (across / columns); b++) {
        const size_t n = b / (across / columns) * rows;
        const size_t k = b % (across / columns) * columns;
        double sum = 0;
        size_t zero = 0;
        for (size_t i = 0; i < rows * columns; i++) {
            const size_t at = (n + i / columns) * across + k + i % columns;
            sum += fabs((double)v[at]);
            zero += w[at] == 0;
        }
        cr_assert(zero == 0 || zero == rows * columns, "half a block");
        *count += zero > 0;
        if (zero)
            *gone = fmax(*gone, sum);
        else
            *kept = fmin(*kept, sum);
    }
}

Test(masks, blocks_go_as_one_the_smallest_first)
{
    enum { WIDE = 32, HIGH = 8 };
    static const size_t shapes[][2] = {{1, 4}, {4, 1}, {2, 8}, {8, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct model m;
        struct pare_masks *masks;
        float w[HIGH * WIDE];
        double gone, kept;
        size_t count;
        open_model(&m);
        m.slots[0].shape[0] = HIGH;
        m.slots[0].shape[1] = WIDE;
        struct pare_masks_options o = pare_masks_options_default();
        o.pattern = (struct pare_pattern){
            .sparsity = 0.75, .rows = shapes[i][0], .columns = shapes[i][1]};
        o.every = 1;
        OK(pare_masks_new(&m.plan, &o, &masks, err));
        pare_masks_start(masks, m.values, m.start);
        struct pare_compressor *c = pare_masks_compressor(masks);
        for (uint64_t t = 0; t < 20; t++) {
            OK(c->begin(c->context, m.values, m.start, t, 20, err));
            OK(c->apply(c->context, 0, 0, HIGH, m.values, w, err));
            compare_blocks(m.values, w, shapes[i][0], shapes[i][1], WIDE, &gone, &kept,
                           &count);
            cr_assert(gone <= kept + 1e-5, "update %d: %g is gone, %g stays", (int)t,
                      gone, kept);
        }
        cr_assert_eq(count, HIGH * WIDE / (shapes[i][0] * shapes[i][1]) * 3 / 4);
        pare_masks_free(masks);
    }
}

Test(masks, of_every_m_the_smallest_go_more_and_more_of_them)
{
    enum { WIDE = 32, HIGH = 8 };
    struct model m;
    struct pare_masks *masks;
    float w[HIGH * WIDE];
    open_model(&m);
    m.slots[0].shape[0] = HIGH;
    m.slots[0].shape[1] = WIDE;
    struct pare_masks_options o = pare_masks_options_default();
    OK(pare_pattern_parse("2:4", &o.pattern, err));
    o.every = 1;
    OK(pare_masks_new(&m.plan, &o, &masks, err));
    pare_masks_start(masks, m.values, m.start);
    struct pare_compressor *c = pare_masks_compressor(masks);
    size_t seen[5] = {0};
    for (uint64_t t = 0; t < 40; t++) {
        OK(c->begin(c->context, m.values, m.start, t, 40, err));
        OK(c->apply(c->context, 0, 0, HIGH, m.values, w, err));
        for (size_t i = 0; i < HIGH * WIDE; i += 4) {
            float gone = 0, kept = INFINITY;
            size_t count = 0;
            for (size_t j = i; j < i + 4; j++) {
                count += w[j] == 0;
                if (w[j] == 0)
                    gone = fmaxf(gone, fabsf(m.values[j]));
                else
                    kept = fminf(kept, fabsf(m.values[j]));
            }
            cr_assert(gone <= kept);
            cr_assert_eq(count, (size_t)(4 * pare_masks_schedule(&o, t, 40) + 0.5),
                         "%zu zeros at update %d", count, (int)t);
            seen[count]++;
            cr_assert(t < 39 || count == 2, "%zu of a group of four are zero", count);
        }
    }
    cr_assert(seen[0] && seen[1] && seen[2] && !seen[3] && !seen[4]);
    pare_masks_free(masks);
}

Test(masks, a_pattern_that_does_not_fit_names_the_matrix)
{
    struct model m;
    struct pare_masks *masks;
    struct pare_error err = {""};
    open_model(&m); /* rows of 37 */
    struct pare_masks_options o = pare_masks_options_default();
    o.pattern = (struct pare_pattern){.sparsity = 0.5, .rows = 1, .columns = 4};
    cr_assert_eq(pare_masks_new(&m.plan, &o, &masks, &err), PARE_ERR_USAGE);
    cr_assert(strstr(err.message, "linear") && strstr(err.message, "1x4"), "%s",
              err.message);
}

Test(masks, equal_magnitudes_are_taken_in_order)
{
    struct model m;
    struct pare_masks *masks;
    float w[COUNT];
    open_model(&m);
    for (size_t i = 0; i < COUNT; i++)
        m.values[i] = i % 2 ? 1.0f : -1.0f;
    const struct pare_masks_options o = {
        .pattern = ONE_BY_ONE(0.5), .begin = 0, .end = 0, .every = 1};
    OK(pare_masks_new(&m.plan, &o, &masks, err));
    pare_masks_start(masks, m.values, m.start);
    struct pare_compressor *c = pare_masks_compressor(masks);
    OK(c->begin(c->context, m.values, m.start, 0, 10, err));
    OK(c->apply(c->context, 0, 0, N, m.values, w, err));
    for (size_t i = 0; i < COUNT; i++)
        cr_assert_eq(w[i] == 0, i < COUNT / 2);
    pare_masks_free(masks);
}

Test(masks, kept_zeros_stay_and_have_no_gradient)
{
    struct model m;
    struct pare_masks *masks;
    float w[COUNT], grad[COUNT];
    open_model(&m);
    for (size_t i = 0; i < COUNT; i += 3)
        m.values[i] = 0;
    const struct pare_masks_options o = {.keep_zeros = 1, .end = 1, .every = 50};
    OK(pare_masks_new(&m.plan, &o, &masks, err));
    pare_masks_start(masks, m.values, m.start);
    struct pare_compressor *c = pare_masks_compressor(masks);
    for (size_t i = 0; i < COUNT; i++) {
        m.values[i] += 1; /* as if trained */
        grad[i] = 2;
    }
    OK(c->begin(c->context, m.values, m.start, 7, 10, err));
    OK(c->apply(c->context, 0, 4, 3, m.values + 4 * K, w + 4 * K, err));
    OK(c->backward(c->context, 0, 0, N, m.values, grad, err));
    for (size_t i = 0; i < COUNT; i++) {
        cr_assert_eq(grad[i], i % 3 ? 2 : 0);
        if (i >= 4 * K && i < 7 * K)
            cr_assert_eq(w[i], i % 3 ? m.values[i] : 0);
    }
    pare_masks_free(masks);
}

/* A resumed run has the state back and the values of its moment, and does not draw. */
Test(masks, the_state_is_the_mask)
{
    struct model m;
    struct pare_masks *masks[2];
    float w[2][COUNT];
    open_model(&m);
    struct pare_masks_options o = pare_masks_options_default();
    o.pattern.sparsity = 0.5;
    for (int i = 0; i < 2; i++) {
        OK(pare_masks_new(&m.plan, &o, &masks[i], err));
        pare_masks_start(masks[i], m.values, m.start);
    }
    struct pare_compressor *a = pare_masks_compressor(masks[0]);
    struct pare_compressor *b = pare_masks_compressor(masks[1]);
    OK(a->begin(a->context, m.values, m.start, 50, 120, err));
    cr_assert_eq(a->state_count, b->state_count);
    memcpy(b->state, a->state, a->state_count * sizeof(float));
    OK(b->begin(b->context, m.values, m.start, 51, 120, err));
    OK(a->apply(a->context, 0, 0, N, m.values, w[0], err));
    OK(b->apply(b->context, 0, 0, N, m.values, w[1], err));
    cr_assert(zeros(w[0]) > 0);
    cr_assert_eq(memcmp(w[0], w[1], sizeof w[0]), 0);
    pare_masks_free(masks[0]);
    pare_masks_free(masks[1]);
}

Test(masks, options_out_of_range_are_refused)
{
    struct model m;
    struct pare_masks *masks;
    struct pare_error err;
    open_model(&m);
    const struct pare_masks_options wrong[] = {
        {.pattern = ONE_BY_ONE(1), .end = 1, .every = 1},
        {.pattern = ONE_BY_ONE(-0.1), .end = 1, .every = 1},
        {.pattern = ONE_BY_ONE(0.5), .begin = 0.6, .end = 0.5, .every = 1},
        {.pattern = ONE_BY_ONE(0.5), .end = 1.5, .every = 1},
        {.pattern = ONE_BY_ONE(0.5), .end = 1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect_eq(pare_masks_new(&m.plan, &wrong[i], &masks, &err), PARE_ERR_USAGE,
                     "%zu", i);
}
