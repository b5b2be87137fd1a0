/* GPTQ against numpy in double precision: tests/data/gptq.bin, made by
 * tests/golden/gptq.py. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "libquant/correct.h"
#include "libquant/gptq.h"
#include "runtime/base/bytes.h"
#include "runtime/kernels/kernels.h"
#include "tests/support/solver_problem.h"

struct golden {
    FILE *file;
    uint32_t N, K, T, cases;
    float *W, *X, *D; /* [N, K], [T, K], [T, K] */
};

struct golden_case {
    uint32_t bits, group, symmetric, order, early, corrected;
};

static void read_u32(FILE *file, uint32_t *to, size_t n)
{
    unsigned char bytes[4];
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(fread(bytes, 1, 4, file), 4);
        to[i] = pare_load_u32(bytes);
    }
}

static float *read_floats(FILE *file, size_t n)
{
    float *p = malloc(n * sizeof *p);
    cr_assert_eq(fread(p, sizeof *p, n, file), n);
    return p;
}

static float *read_int8(FILE *file, size_t n, float unit)
{
    int8_t *bytes = malloc(n);
    float *p = malloc(n * sizeof *p);
    cr_assert_eq(fread(bytes, 1, n, file), n);
    for (size_t i = 0; i < n; i++)
        p[i] = unit * (float)bytes[i];
    free(bytes);
    return p;
}

static struct golden golden_open(void)
{
    char path[512];
    struct golden g;
    snprintf(path, sizeof path, "%s/gptq.bin", getenv("PARE_TEST_DATA"));
    g.file = fopen(path, "rb");
    cr_assert_not_null(g.file, "%s", path);
    read_u32(g.file, &g.N, 1);
    read_u32(g.file, &g.K, 1);
    read_u32(g.file, &g.T, 1);
    read_u32(g.file, &g.cases, 1);
    g.W = read_floats(g.file, (size_t)g.N * g.K);
    g.X = read_int8(g.file, (size_t)g.T * g.K, 0x1p-4f);
    g.D = read_int8(g.file, (size_t)g.T * g.K, 0x1p-6f);
    return g;
}

static void golden_close(struct golden *g)
{
    cr_expect_eq(fgetc(g->file), EOF);
    fclose(g->file);
    free(g->W);
    free(g->X);
    free(g->D);
}

static struct pare_factor factor_of(const struct golden *g, const struct pare_gram *gram,
                                    const struct golden_case *c)
{
    struct pare_arena scratch = {0};
    struct pare_factor factor;
    const struct pare_factor_options options = {
        .order = (enum pare_order)c->order, .group = c->group, .damping = PARE_DAMPING};
    cr_assert_eq(pare_factor_init(&factor, gram, g->K, &options, &scratch, NULL),
                 PARE_OK);
    pare_arena_free(&scratch);
    return factor;
}

/* The weights that make up for D; to be freed. */
static float *corrected(const struct golden *g, const struct pare_factor *factor)
{
    struct pare_arena scratch = {0};
    struct pare_cross cross;
    float *V = malloc((size_t)g->N * g->K * sizeof *V);
    cr_assert_eq(pare_cross_init(&cross, g->K, NULL), PARE_OK);
    cr_assert_eq(pare_cross_add(&cross, g->D, g->X, g->T, &scratch, NULL), PARE_OK);
    const struct pare_cross_source C = pare_cross_in_memory(&cross);
    cr_assert_eq(pare_quant_correct(factor, &C, g->W, g->N, 1, V, &scratch, NULL),
                 PARE_OK);
    pare_cross_free(&cross);
    pare_arena_free(&scratch);
    return V;
}

static void compare(const struct golden *g, const struct pare_gram *gram,
                    const struct golden_case *c, const float *expected)
{
    struct pare_arena scratch = {0};
    struct pare_gptq_report report = {0};
    const struct pare_gptq_options options = {
        .target = {.kind = PARE_TARGET_PUBLISHED,
                   .grid = {.bits = (int)c->bits,
                            .group = c->group,
                            .asymmetric = !c->symmetric}},
        .search = PARE_SEARCH_RANGE,
        .early = (int)c->early};
    struct pare_factor factor = factor_of(g, gram, c);
    float *V = c->corrected ? corrected(g, &factor) : NULL;
    const struct pare_quant_rows rows = {V ? V : g->W, g->N, g->K, 0};
    float *Q = malloc((size_t)g->N * g->K * sizeof *Q);
    cr_assert_eq(pare_gptq(&rows, &factor, &options, Q, NULL, &report, &scratch, NULL),
                 PARE_OK);
    for (size_t i = 0; i < (size_t)g->N * g->K; i++)
        cr_assert_float_eq(Q[i], expected[i], 2e-5,
                           "%u bits, group %u: (%zu, %zu) %g, %g", c->bits, c->group,
                           i / g->K, i % g->K, Q[i], expected[i]);
    free(Q);
    free(V);
    pare_factor_free(&factor);
    pare_arena_free(&scratch);
}

Test(gptq_golden, every_weight_is_that_of_numpy_on_every_tier)
{
    for (int tier = 0; pare_cpu_tier(tier); tier++) {
        struct golden g = golden_open();
        struct pare_arena scratch = {0};
        struct pare_gram gram;
        cr_assert_eq(pare_cpu_select(pare_cpu_tier(tier), NULL), PARE_OK);
        cr_assert_eq(pare_gram_init(&gram, g.K, NULL), PARE_OK);
        cr_assert_eq(pare_gram_add(&gram, g.X, g.T, g.K, &scratch, NULL), PARE_OK);
        for (uint32_t i = 0; i < g.cases; i++) {
            struct golden_case c;
            read_u32(g.file, &c.bits, 6);
            float *expected = read_floats(g.file, (size_t)g.N * g.K);
            compare(&g, &gram, &c, expected);
            free(expected);
        }
        golden_close(&g);
        pare_gram_free(&gram);
        pare_arena_free(&scratch);
    }
}
