/* Fake quantisation and learned scales: training must see exactly what is stored. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libquant/fake.h"
#include "runtime/base/parallel.h"
#include "runtime/base/rng.h"
#include "runtime/tensor/linear.h"

#define OK(call)                                                                         \
    do {                                                                                 \
        struct pare_error error_ = {""};                                                 \
        struct pare_error *err = &error_;                                                \
        cr_assert_eq((call), PARE_OK, "%s: %s", #call, error_.message);                  \
    } while (0)

enum { N = 6, K = 96 };

static void fill(float *v, size_t n, uint64_t seed)
{
    struct pare_rng rng = {.seed = seed};
    for (size_t i = 0; i < n; i++)
        v[i] = pare_rng_normal(&rng) * (0.02f + 0.01f * (float)(i / K));
}

/* --- Rounded is what is stored --- */

Test(fake, rounding_gives_the_floats_that_the_stored_rows_decode_to)
{
    const enum pare_dtype types[] = {PARE_F16,  PARE_BF16, PARE_Q8_0,
                                     PARE_Q4_0, PARE_Q4_1, PARE_I8};
    float v[N * K], rounded[N * K], row[K], scale[N];
    unsigned char data[N * K * 4];
    fill(v, N * K, 3);
    memset(v + 2 * K, 0, K * sizeof *v);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        struct pare_quant_error error = {0};
        OK(pare_rtn_quantize(types[t], &(struct pare_quant_rows){v, N, K, 0}, data, scale,
                             &error, err));
        OK(pare_rtn_round(types[t], v, N, K, rounded, err));
        const struct pare_weight weight = {
            .type = types[t], .N = N, .K = K, .data = data, .scale = scale};
        for (size_t n = 0; n < N; n++) {
            pare_weight_row(&weight, n, row);
            for (size_t k = 0; k < K; k++) /* 0 and -0 are one value */
                cr_expect_eq(row[k], rounded[n * K + k], "%s, row %zu",
                             pare_dtype_name(types[t]), n);
        }
    }
}

/* --- Learned scales --- */

struct fixture {
    struct pare_learned learned;
    float v[N * K], start[N * K / 32], value[N * K / 32];
    size_t groups;
};

static void open_fixture(struct fixture *f, int bits, size_t group)
{
    struct pare_rng rng = {.seed = 12};
    f->learned = (struct pare_learned){.bits = bits,
                                       .N = N,
                                       .K = K,
                                       .group = group,
                                       .start = f->start,
                                       .value = f->value};
    f->groups = K / group;
    fill(f->v, N * K, 8);
    memset(f->v, 0, group * sizeof(float)); /* one group of zeros */
    for (size_t i = 0; i < N * f->groups; i++)
        f->value[i] = 0.2f + 1.1f * pare_rng_uniform(&rng);
    pare_learned_start(&f->learned, f->v);
}

static float scale_at(const struct fixture *f, size_t i)
{
    return pare_f16_to_f32(pare_f32_to_f16(f->start[i] * f->value[i]));
}

Test(fake, learned_scales_begin_as_the_paper_says)
{
    struct fixture f;
    open_fixture(&f, 4, 32);
    cr_assert_eq(f.start[0], 0);
    for (size_t g = 1; g < N * f.groups; g++) {
        double sum = 0;
        for (size_t k = 0; k < 32; k++)
            sum += fabs((double)f.v[g * 32 + k]);
        const double expected = 2 * (sum / 32) / sqrt(7);
        cr_expect(fabs((double)f.start[g] - expected) < 1e-6 * expected);
    }
}

Test(fake, learned_rounding_and_its_gradient_follow_equations_1_3_and_5)
{
    static const int bits[] = {2, 3, 4, 8};
    for (size_t b = 0; b < sizeof bits / sizeof *bits; b++) {
        struct fixture f;
        float w[N * K], dw[N * K], de[N * K / 32] = {0};
        open_fixture(&f, bits[b], 32);
        const double Qn = ldexp(1, bits[b] - 1), Qp = Qn - 1;
        fill(dw, N * K, 21);
        float upstream[N * K];
        memcpy(upstream, dw, sizeof dw);
        pare_learned_round(&f.learned, 0, N, f.v, w);
        pare_learned_backward(&f.learned, 0, N, f.v, dw, de);
        int clipped = 0;
        for (size_t g = 0; g < N * f.groups; g++) {
            const double s = (double)scale_at(&f, g);
            double ds = 0;
            for (size_t k = g * 32; k < (g + 1) * 32; k++) {
                const double x = s > 0 ? (double)f.v[k] / s : 0;
                const double q = x < -Qn ? -Qn : x > Qp ? Qp : nearbyint(x);
                const int inside = x >= -Qn && x <= Qp;
                /* v (1 / s) in floats may fall on the other side of a tie. */
                const int tie = fabs(fabs(x - floor(x)) - 0.5) < 1e-4;
                clipped += !inside;
                if (!tie)
                    cr_expect(fabs((double)w[k] - s * q) <= 1e-6 * s * Qn);
                cr_expect_eq(dw[k], inside ? upstream[k] : 0);
                ds += (double)upstream[k] * (inside ? q - x : q);
            }
            const double expected = ds * (double)f.start[g];
            cr_expect(fabs((double)de[g] - expected) <= 1e-5 * (1e-3 + fabs(expected)),
                      "%d bits, group %zu: %g, expected %g", bits[b], g, (double)de[g],
                      expected);
        }
        cr_expect(bits[b] == 8 || clipped > 0, "%d bits: nothing was clipped", bits[b]);
    }
}

Test(fake, learned_rows_are_stored_as_they_are_rounded)
{
    static const struct {
        int bits;
        size_t group;
    } grids[] = {{2, 32}, {3, 32}, {4, 96}, {5, 32}, {6, 96}, {8, 32}};
    for (size_t i = 0; i < sizeof grids / sizeof *grids; i++) {
        struct fixture f;
        float w[N * K], row[K];
        unsigned char codes[N * K], scale[2 * N * K / 32];
        struct pare_quant_error error = {0};
        open_fixture(&f, grids[i].bits, grids[i].group);
        pare_learned_round(&f.learned, 0, N, f.v, w);
        const size_t bytes = pare_codes_bytes(grids[i].bits, K);
        for (size_t first = 0; first < N; first += 4) { /* in slices of rows */
            const size_t n = N - first < 4 ? N - first : 4;
            OK(pare_learned_store(
                &f.learned, &(struct pare_quant_rows){f.v + first * K, n, K, first},
                &(struct pare_grid_codes){codes + first * bytes,
                                          scale + 2 * first * f.groups, NULL},
                &error, err));
        }
        const struct pare_weight weight = {
            .type = PARE_I8,
            .N = N,
            .K = K,
            .data = codes,
            .groups = {.bits = grids[i].bits, .size = grids[i].group, .scale = scale},
        };
        double squared = 0;
        for (size_t n = 0; n < N; n++) {
            pare_weight_row(&weight, n, row);
            for (size_t k = 0; k < K; k++) {
                cr_expect_eq(row[k], w[n * K + k], "%d bits, [%zu, %zu]: %g and %g",
                             grids[i].bits, n, k, (double)row[k], (double)w[n * K + k]);
                squared += pow((double)f.v[n * K + k] - (double)row[k], 2);
            }
        }
        cr_expect(fabs(squared - error.squared_error) < 1e-9 * squared);
    }
}

/* Moving along the gradient of e must lower a loss that is quadratic in w. */
Test(fake, descent_on_the_scales_lowers_the_error_of_the_weights)
{
    struct fixture f;
    float w[N * K], dw[N * K];
    double before = 0, after = 0;
    open_fixture(&f, 2, 32);
    for (int step = 0; step < 200; step++) {
        float de[N * K / 32] = {0};
        double loss = 0;
        pare_learned_round(&f.learned, 0, N, f.v, w);
        for (size_t k = 0; k < N * K; k++) {
            dw[k] = w[k] - f.v[k];
            loss += (double)dw[k] * (double)dw[k];
        }
        before = step ? before : loss;
        after = loss;
        pare_learned_backward(&f.learned, 0, N, f.v, dw, de);
        for (size_t g = 0; g < N * f.groups; g++)
            f.value[g] -= 3.0f * de[g];
    }
    cr_assert(after < 0.9 * before, "%g became %g", before, after);
}

/* --- The compressor --- */

struct model { /* one matrix in a block, one embedding, one norm */
    struct pare_slot slots[3];
    struct pare_plan plan;
    struct pare_scheme_item items[3];
    float values[2 * N * K + K];
    size_t start[4];
};

static void open_model(struct model *m, struct pare_grid grid)
{
    memset(m, 0, sizeof *m);
    m->slots[0] = (struct pare_slot){.name = "token_embd.weight",
                                     .role = PARE_ROLE_EMBEDDING,
                                     .n_dims = 2,
                                     .shape = {N, K}};
    m->slots[1] = (struct pare_slot){.name = "blk.0.attn_q.weight",
                                     .role = PARE_ROLE_LINEAR,
                                     .n_dims = 2,
                                     .shape = {N, K}};
    m->slots[2] = (struct pare_slot){.name = "blk.0.attn_output_norm.weight",
                                     .role = PARE_ROLE_NORM_WEIGHT,
                                     .n_dims = 1,
                                     .shape = {K}};
    m->plan = (struct pare_plan){.count = 3, .slots = m->slots};
    for (size_t i = 0; i < 3; i++)
        m->start[i + 1] = m->start[i] + (size_t)pare_slot_elements(&m->slots[i]);
    for (size_t i = 0; i < 2; i++)
        m->items[i] = (struct pare_scheme_item){
            .scheme = PARE_SCHEME_INT4, .type = PARE_I8, .grid = grid};
    m->items[2].type = PARE_F32;
    fill(m->values, 2 * N * K + K, 4);
}

Test(fake, the_compressor_rounds_matrices_as_they_will_be_stored)
{
    const struct pare_grid grids[] = {{.bits = 4, .group = 32},
                                      {.bits = 3, .group = 96, .asymmetric = 1},
                                      {.bits = 2, .ternary = 1}};
    for (size_t i = 0; i < 3; i++) {
        struct model m;
        struct pare_fake *fake;
        float w[N * K], expected[N * K];
        open_model(&m, grids[i]);
        OK(pare_fake_new(&m.plan, m.items, 0, &fake, err));
        struct pare_compressor *c = pare_fake_compressor(fake);
        cr_assert(c->covers[0] && c->covers[1] && !c->covers[2]);
        cr_assert_eq(c->input_group[0], 0);
        cr_assert_eq(c->input_group[1], pare_grid_group(&grids[i], K));
        c->measure(c->context, m.values, m.start);
        pare_grid_round(&grids[i], m.values + m.start[1], N, K, expected);
        /* Row by row as well as at once. */
        for (size_t n = 0; n < N; n++)
            OK(c->apply(c->context, 1, n, 1, m.values + m.start[1] + n * K, w + n * K,
                        err));
        cr_expect_eq(memcmp(w, expected, sizeof w), 0, "grid %zu", i);
        pare_fake_free(fake);
    }
}

Test(fake, learned_scales_are_extras_of_the_matrices_that_may_have_them)
{
    struct model m;
    struct pare_fake *fake;
    float w[N * K], expected[N * K], value[N * 3], grad[N * 3] = {0};
    open_model(&m, (struct pare_grid){.bits = 4, .group = 32});
    OK(pare_fake_new(&m.plan, m.items, 1, &fake, err));
    struct pare_compressor *c = pare_fake_compressor(fake);
    cr_assert_eq(c->n_extras, 1);
    cr_assert_eq(c->extras[0].rows, N);
    cr_assert_eq(c->extras[0].columns, 3);
    cr_assert_null(pare_fake_learned(fake, 0));
    pare_fake_start(fake, m.values, m.start);
    memcpy(value, c->extras[0].start, sizeof value);
    value[4] = 0.5f; /* as if trained */
    c->extras[0].value = value;
    c->extras[0].grad = grad;
    c->placed(c->context);
    OK(c->apply(c->context, 1, 0, N, m.values + m.start[1], w, err));
    pare_learned_round(pare_fake_learned(fake, 1), 0, N, m.values + m.start[1], expected);
    cr_assert_eq(memcmp(w, expected, sizeof w), 0);
    cr_assert_eq(pare_fake_learned(fake, 1)->value, value);
    OK(c->backward(c->context, 1, 0, N, m.values + m.start[1], w, err));
    cr_assert_neq(grad[4], 0);
    pare_fake_free(fake);
}

Test(fake, threads_do_not_change_a_bit)
{
    struct fixture f;
    float w[2][N * K], dw[2][N * K], de[2][N * K / 32];
    open_fixture(&f, 3, 32);
    memset(de, 0, sizeof de);
    for (int i = 0; i < 2; i++) {
        pare_set_threads(i ? 3 : 1);
        fill(dw[i], N * K, 2);
        pare_learned_round(&f.learned, 0, N, f.v, w[i]);
        pare_learned_backward(&f.learned, 0, N, f.v, dw[i], de[i]);
    }
    cr_assert_eq(memcmp(w[0], w[1], sizeof w[0]), 0);
    cr_assert_eq(memcmp(dw[0], dw[1], sizeof dw[0]), 0);
    cr_assert_eq(memcmp(de[0], de[1], sizeof de[0]), 0);
}
