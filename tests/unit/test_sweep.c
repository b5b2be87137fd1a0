/* The sweep with a filling that chooses among all rows: SparseGPT (Frantar and Alistarh
 * 2023), against a plain implementation in double. */
#include <criterion/criterion.h>
#include <math.h>

#include "libquant/sweep.h"
#include "runtime/base/parallel.h"
#include "tests/support/solver_problem.h"

#define ROWS PARE_SWEEP_ROWS
#define BLOCK 48

/* Of each block, the half of the weights whose loss would be smallest become zero. */
struct pruning {
    size_t N;
    unsigned char *pruned; /* [K, N], by places */
    int refuses;
};

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *scores, size_t n)
{
    qsort(scores, n, sizeof *scores, ascending);
    return scores[n / 2];
}

static double score_of(const struct pare_sweep_tile *tile, size_t k, size_t i)
{
    const double x = (double)tile->x[k * ROWS + i];
    return x * x * (double)tile->cost[k];
}

static enum pare_status choose(void *context, const struct pare_sweep_tile *tiles,
                               size_t n, struct pare_error *err)
{
    struct pruning *p = context;
    double *scores = malloc(p->N * tiles[0].columns * sizeof *scores);
    size_t count = 0;
    for (size_t t = 0; t < n; t++)
        for (size_t k = 0; k < tiles[t].columns; k++)
            for (size_t i = 0; i < tiles[t].rows; i++)
                scores[count++] = score_of(&tiles[t], k, i);
    const double limit = median(scores, count);
    free(scores);
    for (size_t t = 0; t < n; t++)
        for (size_t k = 0; k < tiles[t].columns; k++)
            for (size_t i = 0; i < tiles[t].rows; i++)
                p->pruned[(tiles[t].column + k) * p->N + tiles[t].row + i] =
                    score_of(&tiles[t], k, i) < limit;
    return p->refuses ? pare_fail(err, PARE_ERR_INPUT, "refused") : PARE_OK;
}

static void decide(void *context, int worker, const struct pare_sweep_tile *tile,
                   size_t k, float *q, uint8_t *codes)
{
    const struct pruning *p = context;
    const unsigned char *pruned = p->pruned + (tile->column + k) * p->N + tile->row;
    (void)worker;
    (void)codes;
    for (size_t i = 0; i < tile->rows; i++)
        q[i] = pruned[i] ? 0 : tile->x[k * ROWS + i];
}

static enum pare_status prune(const struct problem *p, const struct pare_factor *factor,
                              int refuses, float *Q, double *loss)
{
    struct pare_arena scratch = {0};
    struct pare_error err;
    struct pruning pruning = {p->N, calloc(p->K, p->N), refuses};
    const struct pare_sweep sweep = {
        .factor = factor, .N = p->N, .W = p->W, .Q = Q, .loss = loss};
    const struct pare_sweep_filling filling = {
        .context = &pruning, .block = BLOCK, .choose = choose, .decide = decide};
    enum pare_status status = pare_sweep_run(&sweep, &filling, &scratch, &err);
    pare_arena_free(&scratch);
    free(pruning.pruned);
    return status;
}

/* The block's decisions, from its weights as they are when it begins. */
static double plain_limit(const struct problem *p, const double *x, const double *U,
                          size_t begin)
{
    const size_t K = p->K;
    double *scores = malloc(p->N * BLOCK * sizeof *scores);
    for (size_t n = 0; n < p->N; n++)
        for (size_t k = 0; k < BLOCK; k++) {
            const double d = x[n * K + begin + k] / U[(begin + k) * (K + 1)];
            scores[n * BLOCK + k] = d * d;
        }
    const double limit = median(scores, p->N * BLOCK);
    free(scores);
    return limit;
}

static void plain_block(const struct problem *p, double *x, const double *U, size_t begin)
{
    const size_t K = p->K;
    const double limit = plain_limit(p, x, U, begin);
    for (size_t n = 0; n < p->N; n++) {
        double *row = x + n * K;
        unsigned char pruned[BLOCK];
        for (size_t k = 0; k < BLOCK; k++) {
            const double d = row[begin + k] / U[(begin + k) * (K + 1)];
            pruned[k] = d * d < limit;
        }
        for (size_t k = begin; k < begin + BLOCK; k++) {
            if (!pruned[k - begin])
                continue;
            const double e = row[k] / U[k * K + k];
            for (size_t j = k; j < K; j++)
                row[j] -= e * U[k * K + j];
            row[k] = 0;
        }
    }
}

/* [N, K], in the order of the inputs. */
static float *plain_prune(const struct problem *p, const struct pare_factor *factor)
{
    const size_t K = p->K;
    double *U = plain_inverse_factor(p, factor->order, factor->damping);
    double *x = malloc(p->N * K * sizeof *x);
    float *Q = malloc(p->N * K * sizeof *Q);
    for (size_t i = 0; i < p->N * K; i++)
        x[i] = (double)p->W[i / K * K + factor->order[i % K]];
    for (size_t begin = 0; begin < K; begin += BLOCK)
        plain_block(p, x, U, begin);
    for (size_t i = 0; i < p->N * K; i++)
        Q[i / K * K + factor->order[i % K]] = (float)x[i];
    free(U);
    free(x);
    return Q;
}

Test(sweep, a_filling_that_chooses_among_all_rows_equals_the_plain_one)
{
    static const enum pare_order orders[] = {PARE_ORDER_NATURAL, PARE_ORDER_ALL};
    struct problem p = problem_new(100, 5 * BLOCK, 21);
    float *Q = malloc(p.N * p.K * sizeof *Q);
    double *loss = malloc(p.N * sizeof *loss);
    for (size_t o = 0; o < 2; o++) {
        struct pare_factor factor = problem_factor(&p, orders[o], 1);
        float *plain = plain_prune(&p, &factor);
        size_t zeros = 0, different = 0;
        cr_assert_eq(prune(&p, &factor, 0, Q, loss), PARE_OK);
        for (size_t i = 0; i < p.N * p.K; i++) {
            zeros += Q[i] == 0;
            different += fabsf(Q[i] - plain[i]) > 2e-4f;
        }
        cr_expect_eq(zeros, p.N * p.K / 2);
        /* Two weights beside a limit may change places, and then their rows differ. */
        cr_expect_leq(different, p.N * p.K / 50, "%zu differ", different);
        free(plain);
        pare_factor_free(&factor);
    }
    free(Q);
    free(loss);
    problem_free(&p);
}

Test(sweep, pruned_weights_do_not_depend_on_threads)
{
    static const int threads[] = {1, 2, 3, 7};
    struct problem p = problem_new(200, 3 * BLOCK, 22);
    const size_t bytes = p.N * p.K * sizeof(float);
    struct pare_factor factor = problem_factor(&p, PARE_ORDER_ALL, 1);
    float *first = malloc(bytes), *Q = malloc(bytes);
    double *loss = malloc(p.N * sizeof *loss);
    for (int i = 0; i < 4; i++) {
        pare_set_threads(threads[i]);
        cr_assert_eq(prune(&p, &factor, 0, i ? Q : first, loss), PARE_OK);
        cr_expect(!i || !memcmp(Q, first, bytes), "%d threads", threads[i]);
    }
    cr_expect_eq(prune(&p, &factor, 1, Q, loss), PARE_ERR_INPUT);
    free(first);
    free(Q);
    free(loss);
    pare_factor_free(&factor);
    problem_free(&p);
}
