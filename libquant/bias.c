/* Bias correction: see bias.h. */
#include "libquant/bias.h"

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"

static void add_rows(double *sum, const float *X, size_t rows, size_t K)
{
    for (size_t t = 0; t < rows; t++)
        for (size_t k = 0; k < K; k++)
            sum[k] += (double)X[t * K + k];
}

enum pare_status pare_means_add(struct pare_means *means, size_t K, const float *X,
                                const float *original, size_t rows,
                                struct pare_error *err)
{
    if (!means->now)
        PARE_TRY(pare_alloc(&means->now, K, sizeof *means->now, err));
    if (!means->original)
        PARE_TRY(pare_alloc(&means->original, K, sizeof *means->original, err));
    means->K = K;
    add_rows(means->now, X, rows, K);
    add_rows(means->original, original ? original : X, rows, K);
    means->rows += rows;
    return PARE_OK;
}

void pare_means_free(struct pare_means *means)
{
    pare_free(means->now);
    pare_free(means->original);
    *means = (struct pare_means){0};
}

struct correcting {
    const struct pare_means *means;
    const float *W, *Q;
    float *bias;
};

static void correct_rows(void *context, size_t begin, size_t end)
{
    const struct correcting *c = context;
    const struct pare_means *m = c->means;
    for (size_t n = begin; n < end; n++) {
        const float *w = c->W + n * m->K, *q = c->Q + n * m->K;
        double lost = 0;
        for (size_t k = 0; k < m->K; k++)
            lost += (double)w[k] * m->original[k] - (double)q[k] * m->now[k];
        c->bias[n] += (float)(lost / (double)m->rows);
    }
}

void pare_correct_bias(const struct pare_means *means, const float *W, const float *Q,
                       size_t N, float *bias)
{
    struct correcting correcting = {means, W, Q, bias};
    pare_parallel_for(N, 16, correct_rows, &correcting);
}
