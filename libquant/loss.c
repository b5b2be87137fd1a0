/* e H e^T = 2 sum over i of e_i (H_ii e_i / 2 + sum over j > i of H_ij e_j): the sums in
 * brackets are float products with some rows of the triangle at a time. */
#include "libquant/loss.h"

#include "runtime/tensor/gemm.h"

#define BLOCK 64 /* rows of H in float at a time */

/* Rows first .. first + n of the triangle, from column `first` on, times `scale`. */
static void copy_rows(const struct pare_gram *H, size_t first, size_t n, double scale,
                      float *out)
{
    const size_t width = H->K - first;
    for (size_t r = 0; r < n; r++) {
        const double *row = H->sum + pare_gram_at(H->K, first + r);
        for (size_t j = 0; j < r; j++)
            out[r * width + j] = 0;
        out[r * width + r] = (float)(row[0] * scale / 2);
        for (size_t j = r + 1; j < width; j++)
            out[r * width + j] = (float)(row[j - r] * scale);
    }
}

static double mean_diagonal(const struct pare_gram *H)
{
    double sum = 0;
    for (size_t i = 0; i < H->K; i++)
        sum += pare_gram_diagonal(H, i);
    return sum / (double)H->K;
}

enum pare_status pare_quant_loss(const struct pare_gram *H, const float *E, size_t N,
                                 double *loss, struct pare_arena *scratch,
                                 struct pare_error *err)
{
    const size_t K = H->K;
    const double mean = mean_diagonal(H);
    if (mean == 0)
        return PARE_OK;
    struct pare_arena_mark mark = pare_arena_mark(scratch);
    enum pare_status status;
    float *rows, *sums;
    double total = 0;
    PARE_TRY_OUT(pare_arena_alloc(scratch, &rows, BLOCK, K * sizeof *rows, err));
    PARE_TRY_OUT(pare_arena_alloc(scratch, &sums, N, BLOCK * sizeof *sums, err));
    for (size_t first = 0; first < K; first += BLOCK) {
        const size_t n = K - first < BLOCK ? K - first : BLOCK;
        copy_rows(H, first, n, 1 / mean, rows);
        PARE_TRY_OUT(pare_gemm(N, n, K - first, pare_rows(E + first, K),
                               pare_transposed(rows, K - first), sums, BLOCK, 0, scratch,
                               err));
        for (size_t i = 0; i < N; i++)
            for (size_t r = 0; r < n; r++)
                total += (double)E[i * K + first + r] * (double)sums[i * BLOCK + r];
    }
    *loss += 2 * mean * total;
out:
    pare_arena_release(scratch, mark);
    return status;
}
