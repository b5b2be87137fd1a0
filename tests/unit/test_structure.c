/* Removing groups of inputs: against OBS one column after the other in double, against
 * least squares by elimination in double, and what must hold of any choice. */
#include "libprune/structure.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libquant/bias.h"
#include "runtime/base/parallel.h"
#include "runtime/base/rng.h"
#include "tests/support/kernel_cases.h"
#include "tests/support/solver_problem.h"

struct removal {
    struct problem p;
    struct pare_factor factor;
    struct pare_structure s;
    struct pare_arena scratch;
    uint32_t *kept;
    float *V; /* [N, K] */
    double loss;
};

static void open_removal(struct removal *r, size_t N, size_t K, size_t width, size_t keep)
{
    memset(r, 0, sizeof *r);
    r->p = problem_new(N, K, 7 + K);
    r->factor = problem_factor(&r->p, PARE_ORDER_NATURAL, 1);
    r->s = (struct pare_structure){&r->factor, r->p.W, N, K, width, keep};
    r->kept = malloc(K * sizeof *r->kept);
    r->V = malloc(N * K * sizeof *r->V);
}

static void close_removal(struct removal *r)
{
    problem_free(&r->p);
    pare_factor_free(&r->factor);
    pare_arena_free(&r->scratch);
    free(r->kept);
    free(r->V);
}

static void choose(struct removal *r)
{
    struct pare_error err = {""};
    cr_assert_eq(pare_structure_choose(&r->s, r->kept, &r->loss, &r->scratch, &err),
                 PARE_OK, "%s", err.message);
    for (size_t i = 1; i < r->s.keep; i++)
        cr_assert_lt(r->kept[i - 1], r->kept[i]);
}

static void compensate(struct removal *r)
{
    struct pare_error err = {""};
    cr_assert_eq(pare_structure_compensate(&r->s, r->kept, r->V, &r->scratch, &err),
                 PARE_OK, "%s", err.message);
}

/* The damped H of the factor. */
static double moment(const struct removal *r, size_t i, size_t j)
{
    return r->p.H[i * r->p.K + j] / r->factor.scale + (i == j ? r->factor.damping : 0);
}

/* (W - V) H (W - V)^T of all rows, with the damped H. */
static double cost_of(const struct removal *r, const float *V)
{
    double squares = 0;
    for (size_t i = 0; i < r->p.N * r->p.K; i++)
        squares +=
            ((double)r->p.W[i] - (double)V[i]) * ((double)r->p.W[i] - (double)V[i]);
    return problem_cost(&r->p, V) / r->factor.scale + r->factor.damping * squares;
}

static int is_kept(const struct removal *r, size_t column)
{
    for (size_t i = 0; i < r->s.keep; i++)
        if (r->kept[i] == column / r->s.width)
            return 1;
    return 0;
}

/* A[n, n] becomes its inverse, by Gauss and Jordan. */
static void invert(double *A, size_t n)
{
    for (size_t p = 0; p < n; p++) {
        const double by = 1 / A[p * n + p];
        A[p * n + p] = 1;
        for (size_t j = 0; j < n; j++)
            A[p * n + j] *= by;
        for (size_t i = 0; i < n; i++) {
            const double f = A[i * n + p];
            if (i == p)
                continue;
            A[i * n + p] = 0;
            for (size_t j = 0; j < n; j++)
                A[i * n + j] -= f * A[p * n + j];
        }
    }
}

/* --- OBS, as it stands in the papers ------------------------------------------------ */

struct plain {
    double *inverse, *W; /* [K, K], [N, K] */
    unsigned char *gone;
    double loss;
};

/* W_g (H^-1)_gg^-1 as [N, width]; returns the cost. */
static double plain_step(const struct removal *r, const struct plain *o, size_t g,
                         double *step)
{
    const size_t n = r->s.width, K = r->s.K, at = g * n;
    double *block = malloc(n * n * sizeof *block), cost = 0;
    for (size_t i = 0; i < n * n; i++)
        block[i] = o->inverse[(at + i / n) * K + at + i % n];
    invert(block, n);
    for (size_t row = 0; row < r->s.N; row++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t i = 0; i < n; i++)
                sum += o->W[row * K + at + i] * block[i * n + j];
            step[row * n + j] = sum;
            cost += sum * o->W[row * K + at + j];
        }
    free(block);
    return cost;
}

static void plain_remove(const struct removal *r, struct plain *o, size_t g,
                         const double *step)
{
    const size_t n = r->s.width, K = r->s.K, at = g * n;
    double *block = malloc(n * n * sizeof *block), *rows = malloc(n * K * sizeof *rows);
    for (size_t i = 0; i < n * n; i++)
        block[i] = o->inverse[(at + i / n) * K + at + i % n];
    invert(block, n);
    memcpy(rows, o->inverse + at * K, n * K * sizeof *rows);
    for (size_t row = 0; row < r->s.N; row++)
        for (size_t j = 0; j < K; j++)
            for (size_t i = 0; i < n; i++)
                o->W[row * K + j] -= step[row * n + i] * rows[i * K + j];
    for (size_t a = 0; a < K; a++)
        for (size_t i = 0; i < n; i++) {
            double by = 0;
            for (size_t j = 0; j < n; j++)
                by += rows[j * K + a] * block[j * n + i];
            for (size_t b = 0; b < K; b++)
                o->inverse[a * K + b] -= by * rows[i * K + b];
        }
    free(block);
    free(rows);
}

static struct plain plain_obs(const struct removal *r)
{
    const size_t K = r->s.K, N = r->s.N, groups = K / r->s.width;
    struct plain o = {malloc(K * K * sizeof(double)), malloc(N * K * sizeof(double)),
                      calloc(groups, 1), 0};
    double *step = malloc(N * r->s.width * sizeof *step);
    for (size_t i = 0; i < K * K; i++)
        o.inverse[i] = moment(r, i / K, i % K);
    invert(o.inverse, K);
    for (size_t i = 0; i < N * K; i++)
        o.W[i] = (double)r->p.W[i];
    for (size_t left = groups; left > r->s.keep; left--) {
        size_t best = groups;
        double least = INFINITY;
        for (size_t g = 0; g < groups; g++) {
            const double cost = o.gone[g] ? INFINITY : plain_step(r, &o, g, step);
            best = cost < least ? g : best;
            least = cost < least ? cost : least;
        }
        plain_step(r, &o, best, step);
        plain_remove(r, &o, best, step);
        o.gone[best] = 1;
        o.loss += least;
    }
    free(step);
    return o;
}

static void plain_free(struct plain *o)
{
    free(o->inverse);
    free(o->W);
    free(o->gone);
}

static void expect_obs(size_t N, size_t K, size_t width, size_t keep)
{
    struct removal r;
    open_removal(&r, N, K, width, keep);
    struct plain o = plain_obs(&r);
    choose(&r);
    compensate(&r);
    for (size_t k = 0; k < K; k++)
        cr_assert_eq(is_kept(&r, k), !o.gone[k / width], "column %zu of %zu", k, K);
    cr_assert_float_eq(r.loss, o.loss, 1e-3 * o.loss, "%g instead of %g", r.loss, o.loss);
    for (size_t i = 0; i < N * K; i++)
        cr_assert_float_eq((double)r.V[i], is_kept(&r, i % K) ? o.W[i] : 0, 2e-4);
    plain_free(&o);
    close_removal(&r);
}

Test(structure, columns_go_as_by_one_obs_step_after_the_other)
{
    expect_obs(9, 20, 1, 12);
    expect_obs(24, 110, 1, 30); /* more than go together */
    expect_obs(5, 64, 1, 64);
    expect_obs(1, 40, 1, 1);
}

Test(structure, groups_go_as_by_one_obs_step_after_the_other)
{
    expect_obs(12, 48, 4, 5);
    expect_obs(31, 96, 16, 2);
    expect_obs(7, 70, 35, 1);
}

/* --- Least squares ------------------------------------------------------------------ */

/* For any groups, what they become is the solution of the normal equations. */
Test(structure, what_stays_is_the_least_squares_solution)
{
    struct removal r;
    const size_t N = 11, K = 60, n = 36;
    open_removal(&r, N, K, 3, 12);
    for (uint32_t i = 0; i < 12; i++)
        r.kept[i] = i + i / 2 + (i == 11); /* 0 1 3 4 ... 17 */
    compensate(&r);
    double *A = malloc(n * n * sizeof *A);
    size_t column[36], at = 0;
    for (size_t k = 0; k < K; k++)
        if (is_kept(&r, k))
            column[at++] = k;
    cr_assert_eq(at, n);
    for (size_t i = 0; i < n * n; i++)
        A[i] = moment(&r, column[i / n], column[i % n]);
    invert(A, n);
    for (size_t row = 0; row < N; row++)
        for (size_t i = 0; i < n; i++) {
            double v = 0;
            for (size_t j = 0; j < n; j++)
                for (size_t k = 0; k < K; k++)
                    v += (double)r.p.W[row * K + k] * moment(&r, k, column[j]) *
                         A[j * n + i];
            cr_assert_float_eq((double)r.V[row * K + column[i]], v, 1e-4);
        }
    free(A);
    close_removal(&r);
}

Test(structure, the_cost_that_was_foreseen_is_the_one_there_is)
{
    static const size_t width[] = {1, 1, 8}, keep[] = {80, 20, 5};
    for (int i = 0; i < 3; i++) {
        struct removal r;
        open_removal(&r, 16, 96, width[i], keep[i]);
        choose(&r);
        compensate(&r);
        const double cost = cost_of(&r, r.V);
        cr_assert_float_eq(cost, r.loss, 1e-3 * cost, "%g and %g", cost, r.loss);
        close_removal(&r);
    }
}

Test(structure, making_up_for_what_went_is_never_worse_than_not)
{
    struct pare_rng rng = {.seed = 3};
    for (int round = 0; round < 20; round++) {
        struct removal r;
        const size_t N = 6, K = 40;
        open_removal(&r, N, K, 2, 1 + (size_t)round % 19);
        for (size_t g = 0, n = 0; n < r.s.keep; g++) /* any of them */
            if (pare_rng_below(&rng, 20 - g) < r.s.keep - n)
                r.kept[n++] = (uint32_t)g;
        compensate(&r);
        const double with = cost_of(&r, r.V);
        pare_structure_drop(&r.s, r.kept, r.V);
        cr_assert_leq(with, cost_of(&r, r.V) * (1 + 1e-5));
        close_removal(&r);
    }
}

/* --- What must hold ----------------------------------------------------------------- */

Test(structure, the_bytes_do_not_depend_on_the_number_of_threads)
{
    static const size_t width[] = {1, 16}, keep[] = {200, 9};
    for (int i = 0; i < 2; i++) {
        uint32_t first[512];
        float *V = NULL;
        double loss = 0;
        for (int threads = 1; threads <= 7; threads += 3) {
            struct removal r;
            pare_set_threads(threads);
            open_removal(&r, 40, 512, width[i], keep[i]);
            choose(&r);
            compensate(&r);
            if (V) {
                cr_assert_arr_eq(first, r.kept, keep[i] * sizeof *first);
                cr_assert_arr_eq(V, r.V, 40 * 512 * sizeof *V);
                cr_assert_eq(loss, r.loss);
            } else {
                V = malloc(40 * 512 * sizeof *V);
                memcpy(V, r.V, 40 * 512 * sizeof *V);
                memcpy(first, r.kept, keep[i] * sizeof *first);
                loss = r.loss;
            }
            close_removal(&r);
        }
        free(V);
    }
}

/* Either of two equal inputs can go, but not both. */
Test(structure, of_twins_one_stays)
{
    enum { K = 30 };
    const struct pare_factor_options options = {.damping = 1e-5};
    struct removal r;
    open_removal(&r, 10, K, 1, K - 1);
    for (size_t k = 0; k < K; k++)
        r.p.H[5 * K + k] = r.p.H[21 * K + k];
    for (size_t k = 0; k < K; k++)
        r.p.H[k * K + 5] = r.p.H[k * K + 21];
    problem_set_moments(&r.p);
    pare_factor_free(&r.factor);
    cr_assert_eq(pare_factor_init(&r.factor, &r.p.gram, K, &options, &r.scratch, NULL),
                 PARE_OK);
    choose(&r);
    cr_assert_neq(is_kept(&r, 5), is_kept(&r, 21));
    r.s.keep = 25;
    choose(&r);
    cr_assert(is_kept(&r, 5) || is_kept(&r, 21));
    close_removal(&r);
}

/* An input that never changes is no loss to a layer with a bias. */
Test(structure, constant_inputs_go_into_the_bias)
{
    enum { N = 4, K = 6, ROWS = 300 };
    const struct pare_factor_options options = {.damping = 1e-6};
    struct pare_arena scratch = {0};
    struct pare_gram gram;
    struct pare_factor factor;
    struct pare_means means = {0};
    static float X[ROWS * K];
    float W[N * K], V[N * K], bias[N] = {0};
    uint64_t seed = 5;
    for (size_t i = 0; i < ROWS * K; i++)
        X[i] = i % K == 2 ? 3.0f : case_float(&seed, CASE_PLAIN) + 1;
    for (size_t i = 0; i < N * K; i++)
        W[i] = case_float(&seed, CASE_PLAIN) + (i % K == 2 ? 5.0f : 0.0f);
    cr_assert_eq(pare_gram_init(&gram, K, NULL), PARE_OK);
    cr_assert_eq(pare_gram_add(&gram, X, ROWS, K, &scratch, NULL), PARE_OK);
    cr_assert_eq(pare_means_add(&means, K, X, NULL, ROWS, NULL), PARE_OK);
    pare_structure_center(&gram, means.now);
    cr_assert_eq(pare_factor_init(&factor, &gram, K, &options, &scratch, NULL), PARE_OK);
    const struct pare_structure s = {&factor, W, N, K, 1, K - 1};
    uint32_t kept[K];
    double loss;
    cr_assert_eq(pare_structure_choose(&s, kept, &loss, &scratch, NULL), PARE_OK);
    cr_assert_eq(pare_structure_compensate(&s, kept, V, &scratch, NULL), PARE_OK);
    cr_assert_eq(kept[2], 3, "input 2 went");
    pare_correct_bias(&means, W, V, N, bias);
    for (size_t t = 0; t < ROWS; t++)
        for (size_t n = 0; n < N; n++) {
            double before = 0, after = (double)bias[n];
            for (size_t k = 0; k < K; k++) {
                before += (double)W[n * K + k] * (double)X[t * K + k];
                after += (double)V[n * K + k] * (double)X[t * K + k];
            }
            cr_assert_float_eq(before, after, 1e-3);
        }
    pare_means_free(&means);
    pare_factor_free(&factor);
    pare_gram_free(&gram);
    pare_arena_free(&scratch);
}

/* Moments of differences and inputs, both about their means, over more than a panel. */
Test(structure, cross_moments_are_about_the_means)
{
    enum { K = PARE_CROSS_COLUMNS + 5, ROWS = 40 };
    static float D[ROWS * K], X[ROWS * K];
    struct pare_arena scratch = {0};
    struct pare_cross cross;
    double original[K] = {0}, now[K] = {0};
    uint64_t seed = 6;
    for (size_t i = 0; i < ROWS * K; i++) {
        D[i] = case_float(&seed, CASE_PLAIN) + 2;
        X[i] = case_float(&seed, CASE_PLAIN) - 1;
        now[i % K] += (double)X[i];
        original[i % K] += (double)X[i] + (double)D[i];
    }
    cr_assert_eq(pare_cross_init(&cross, K, NULL), PARE_OK);
    cr_assert_eq(pare_cross_add(&cross, D, X, ROWS, &scratch, NULL), PARE_OK);
    pare_structure_center_cross(&cross, original, now, ROWS);
    const struct pare_cross_source source = pare_cross_in_memory(&cross);
    for (size_t j = 0; j < K; j += 13)
        for (size_t i = 0; i < K; i += 7) {
            const size_t first = j / PARE_CROSS_COLUMNS * PARE_CROSS_COLUMNS;
            const size_t n =
                K - first < PARE_CROSS_COLUMNS ? K - first : PARE_CROSS_COLUMNS;
            const double *panel;
            double sum = 0;
            cr_assert_eq(source.panel(source.context, first, n, &panel, NULL), PARE_OK);
            for (size_t t = 0; t < ROWS; t++)
                sum += ((double)D[t * K + i] - (original[i] - now[i]) / ROWS) *
                       ((double)X[t * K + j] - now[j] / ROWS);
            cr_assert_float_eq(panel[i * n + j - first], sum, 1e-3);
        }
    pare_cross_free(&cross);
    pare_arena_free(&scratch);
}

Test(structure, without_moments_the_largest_weights_stay)
{
    const struct pare_factor_options options = {.damping = PARE_DAMPING};
    struct removal r;
    open_removal(&r, 8, 24, 4, 2);
    pare_factor_free(&r.factor);
    cr_assert_eq(pare_factor_init(&r.factor, NULL, 24, &options, &r.scratch, NULL),
                 PARE_OK);
    for (size_t row = 0; row < 8; row++) {
        r.p.W[row * 24 + 7] = 9;
        r.p.W[row * 24 + 20] = -7;
    }
    choose(&r);
    cr_assert_eq(r.kept[0], 1);
    cr_assert_eq(r.kept[1], 5);
    compensate(&r);
    for (size_t i = 0; i < 8 * 24; i++)
        cr_assert_eq(r.V[i], is_kept(&r, i % 24) ? r.p.W[i] : 0);
    close_removal(&r);
}

Test(structure, inputs_that_are_always_zero_go_first)
{
    struct removal r;
    open_removal(&r, 8, 24, 1, 21);
    for (size_t k = 0; k < 24; k++)
        for (size_t dead = 2; dead < 24; dead += 9)
            r.p.H[dead * 24 + k] = r.p.H[k * 24 + dead] = 0;
    problem_set_moments(&r.p);
    pare_factor_free(&r.factor);
    r.factor = problem_factor(&r.p, PARE_ORDER_NATURAL, 1);
    choose(&r);
    cr_assert(!is_kept(&r, 2) && !is_kept(&r, 11) && !is_kept(&r, 20));
    close_removal(&r);
}
