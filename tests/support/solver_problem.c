#include "tests/support/solver_problem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/kernel_cases.h"

static void must(enum pare_status status)
{
    if (status)
        abort();
}

static double *matrix(size_t n)
{
    double *p = calloc(n + 1, sizeof *p);
    if (!p)
        abort();
    return p;
}

#define FACTORS 12

/* Inputs are noise and a few common factors, the first ones strong. */
static void draw_inputs(float *X, size_t rows, size_t K, uint64_t *seed)
{
    float *A = malloc(FACTORS * K * sizeof *A);
    for (size_t i = 0; i < FACTORS * K; i++)
        A[i] = case_float(seed, CASE_PLAIN) * 2 / (float)(1 + i / K);
    for (size_t t = 0; t < rows; t++) {
        for (size_t j = 0; j < K; j++)
            X[t * K + j] = case_float(seed, CASE_PLAIN) * 0.3f;
        for (size_t i = 0; i < FACTORS; i++) {
            const float z = case_float(seed, CASE_PLAIN);
            for (size_t j = 0; j < K; j++)
                X[t * K + j] += z * A[i * K + j];
        }
        for (size_t j = 3; j < K; j += 29)
            X[t * K + j] *= 4;
    }
    free(A);
}

struct problem problem_new(size_t N, size_t K, uint64_t seed)
{
    struct problem p = {.N = N, .K = K, .W = malloc((N * K + 1) * sizeof *p.W)};
    const size_t rows = 2 * K + 5;
    float *X = malloc(rows * K * sizeof *X);
    struct pare_arena scratch = {0};
    for (size_t i = 0; i < N * K; i++)
        p.W[i] = case_float(&seed, CASE_PLAIN) * 0.25f;
    draw_inputs(X, rows, K, &seed);
    must(pare_gram_init(&p.gram, K, NULL));
    must(pare_gram_add(&p.gram, X, rows, K, &scratch, NULL));
    p.H = matrix(K * K);
    for (size_t i = 0; i < K; i++)
        for (size_t j = i; j < K; j++)
            p.H[i * K + j] = p.H[j * K + i] = p.gram.sum[pare_gram_at(K, i) + j - i];
    pare_arena_free(&scratch);
    free(X);
    return p;
}

void problem_set_moments(struct problem *p)
{
    for (size_t i = 0; i < p->K; i++)
        for (size_t j = i; j < p->K; j++)
            p->gram.sum[pare_gram_at(p->K, i) + j - i] = p->H[i * p->K + j];
}

void problem_free(struct problem *p)
{
    free(p->W);
    free(p->H);
    pare_gram_free(&p->gram);
}

double problem_cost(const struct problem *p, const float *Q)
{
    double cost = 0;
    for (size_t n = 0; n < p->N; n++)
        for (size_t i = 0; i < p->K; i++) {
            const double e = (double)p->W[n * p->K + i] - (double)Q[n * p->K + i];
            double sum = 0;
            for (size_t j = 0; j < p->K; j++)
                sum += p->H[i * p->K + j] *
                       ((double)p->W[n * p->K + j] - (double)Q[n * p->K + j]);
            cost += e * sum;
        }
    return cost;
}

struct pare_factor problem_factor(const struct problem *p, enum pare_order order,
                                  size_t group)
{
    struct pare_arena scratch = {0};
    struct pare_factor factor;
    const struct pare_factor_options options = {
        .order = order, .group = group, .damping = PARE_DAMPING};
    must(pare_factor_init(&factor, &p->gram, p->K, &options, &scratch, NULL));
    pare_arena_free(&scratch);
    return factor;
}

/* Gauss-Jordan without pivoting: the matrix is positive definite. */
static double *inverse_of(const double *H, size_t K)
{
    double *A = matrix(K * K), *X = matrix(K * K);
    memcpy(A, H, K * K * sizeof *A);
    for (size_t i = 0; i < K; i++)
        X[i * K + i] = 1;
    for (size_t c = 0; c < K; c++) {
        const double pivot = A[c * K + c];
        for (size_t j = 0; j < K; j++) {
            A[c * K + j] /= pivot;
            X[c * K + j] /= pivot;
        }
        for (size_t i = 0; i < K; i++) {
            const double f = i == c ? 0 : A[i * K + c];
            for (size_t j = 0; j < K; j++) {
                A[i * K + j] -= f * A[c * K + j];
                X[i * K + j] -= f * X[c * K + j];
            }
        }
    }
    free(A);
    return X;
}

double *plain_inverse_factor(const struct problem *p, const uint32_t *order,
                             double damping)
{
    const size_t K = p->K;
    double *H = matrix(K * K), mean = 0;
    for (size_t i = 0; i < K; i++)
        mean += p->H[i * K + i] / (double)K;
    for (size_t i = 0; i < K; i++)
        for (size_t j = 0; j < K; j++)
            H[i * K + j] = p->H[order[i] * K + order[j]] / mean + (i == j ? damping : 0);
    double *X = inverse_of(H, K), *U = matrix(K * K);
    for (size_t i = 0; i < K; i++)
        for (size_t j = i; j < K; j++) {
            double sum = X[i * K + j];
            for (size_t k = 0; k < i; k++)
                sum -= U[k * K + i] * U[k * K + j];
            U[i * K + j] = i == j ? sqrt(sum) : sum / U[i * K + i];
        }
    free(H);
    free(X);
    return U;
}
