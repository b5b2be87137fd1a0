/* Row-wise and column-wise steps of the backward pass: see backward_steps.h. */
#include <string.h>

#include "libdistill/backward_steps.h"
#include "runtime/base/parallel.h"

#define ROW_TILE 16        /* tokens of a task */
#define COLUMN_TILE 64     /* columns of a task in sums over tokens */
#define BIAS_TILE 192      /* the same, where sums stay in the first cache level */
#define ELEMENT_TILE 16384 /* floats of a task in element-wise steps */

/* --- Bias ------------------------------------------------------------------------- */

struct bias_sum {
    float *db;
    const float *dy;
    size_t T, N;
    int accumulate;
};

static void bias_columns(void *context, size_t begin, size_t end)
{
    const struct bias_sum *b = context;
    const struct pare_kernels *kernels = pare_kernels();
    if (!b->accumulate)
        memset(b->db + begin, 0, (end - begin) * sizeof *b->db);
    for (size_t t = 0; t < b->T; t++)
        kernels->add(b->db + begin, b->dy + t * b->N + begin, end - begin);
}

void pare_backward_bias(float *db, const float *dy, size_t T, size_t N, int accumulate)
{
    struct bias_sum sum = {db, dy, T, N, accumulate};
    pare_parallel_for(N, BIAS_TILE, bias_columns, &sum);
}

/* --- Layer norm ------------------------------------------------------------------- */

#define STRIP 16      /* columns summed at once, in registers */
#define STRIP_ROWS 64 /* before the next strip: whole pages of rows pass by */

struct norm_call {
    const struct pare_norm_backward *norm;
    float *dy;
    size_t T, C;
    int accumulate;
};

/* Adds rows [t, end), `n` columns from `first` on. The full strip has a constant width,
 * so that compilers turn its loop into vectors. */
static void norm_strip(const struct norm_call *call, size_t t, size_t end, size_t first,
                       size_t n)
{
    const struct pare_norm_backward *norm = call->norm;
    float gamma[STRIP], beta[STRIP];
    memcpy(gamma, norm->dgamma + first, n * sizeof *gamma);
    memcpy(beta, norm->dbeta + first, n * sizeof *beta);
    for (; t < end; t++) {
        const float *dy = call->dy + t * call->C + first;
        const float *x = norm->x + t * call->C + first;
        const float mean = norm->mean[t], rstd = norm->rstd[t];
        if (n == STRIP) {
            for (size_t j = 0; j < STRIP; j++) {
                gamma[j] += dy[j] * ((x[j] - mean) * rstd);
                beta[j] += dy[j];
            }
        } else {
            for (size_t j = 0; j < n; j++) {
                gamma[j] += dy[j] * ((x[j] - mean) * rstd);
                beta[j] += dy[j];
            }
        }
    }
    memcpy(norm->dgamma + first, gamma, n * sizeof *gamma);
    memcpy(norm->dbeta + first, beta, n * sizeof *beta);
}

static void norm_columns(void *context, size_t begin, size_t end)
{
    const struct norm_call *call = context;
    if (!call->accumulate) {
        memset(call->norm->dgamma + begin, 0, (end - begin) * sizeof(float));
        memset(call->norm->dbeta + begin, 0, (end - begin) * sizeof(float));
    }
    for (size_t t = 0; t < call->T; t += STRIP_ROWS)
        for (size_t first = begin; first < end; first += STRIP)
            norm_strip(call, t, call->T - t < STRIP_ROWS ? call->T : t + STRIP_ROWS,
                       first, end - first < STRIP ? end - first : STRIP);
}

static void norm_rows(void *context, size_t begin, size_t end)
{
    const struct norm_call *call = context;
    const struct pare_norm_backward *norm = call->norm;
    const struct pare_kernels *kernels = pare_kernels();
    const size_t C = call->C;
    for (size_t t = begin; t < end; t++)
        kernels->layer_norm_backward(call->dy + t * C, call->dy + t * C, norm->x + t * C,
                                     norm->gamma, norm->mean[t], norm->rstd[t], C);
}

void pare_backward_norm(const struct pare_norm_backward *norm, float *dy, size_t T,
                        size_t C, int accumulate)
{
    struct norm_call call = {norm, dy, T, C, accumulate};
    pare_parallel_for(C, COLUMN_TILE, norm_columns, &call);
    pare_parallel_for(T, ROW_TILE, norm_rows, &call);
}

/* --- Activation ------------------------------------------------------------------- */

struct activation_call {
    enum pare_activation act;
    float *dy;
    const float *x;
};

static void activation_tile(void *context, size_t begin, size_t end)
{
    const struct activation_call *a = context;
    pare_kernels()->activate_backward(a->act, a->dy + begin, a->dy + begin, a->x + begin,
                                      end - begin);
}

void pare_backward_activation(enum pare_activation act, float *dy, const float *x,
                              size_t n)
{
    struct activation_call call = {act, dy, x};
    pare_parallel_for(n, ELEMENT_TILE, activation_tile, &call);
}

/* --- Dropout ---------------------------------------------------------------------- */

struct dropout_call {
    const struct pare_dropout *dropout;
    uint64_t site;
    float rate;
    const float *dy;
    float *dx;
    size_t width;
    const uint32_t *row;
};

static void dropout_rows(void *context, size_t begin, size_t end)
{
    const struct dropout_call *d = context;
    for (size_t t = begin; t < end; t++) {
        const uint64_t row = d->row ? d->row[t] : t;
        float *dx = d->dx + t * d->width;
        if (d->dx != d->dy)
            memcpy(dx, d->dy + t * d->width, d->width * sizeof *dx);
        pare_dropout_apply(d->dropout, d->site, d->rate, dx, d->width, row * d->width);
    }
}

void pare_backward_dropout(const struct pare_dropout *dropout, uint64_t site, float rate,
                           const float *dy, float *dx, size_t T, size_t width,
                           const uint32_t *row)
{
    if (dy == dx && (!dropout || rate <= 0))
        return;
    struct dropout_call call = {dropout, site, rate, dy, dx, width, row};
    pare_parallel_for(T, ROW_TILE, dropout_rows, &call);
}
