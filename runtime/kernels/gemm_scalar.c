/* The matrix kernels in plain C: the reference of the other tiers. */
#include <math.h>
#include <string.h>

#include "runtime/kernels/tiers.h"

#define MR 4
#define NR 16

static void gemm_f32_4x16_scalar(size_t kc, const float *a, const float *b, float *c,
                                 size_t ldc, int m, int n, int accumulate,
                                 struct pare_ahead ahead)
{
    (void)ahead;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float sum = accumulate ? c[(size_t)i * ldc + (size_t)j] : 0.0f;
            for (size_t k = 0; k < kc; k++)
                sum = fmaf(a[k * (size_t)m + (size_t)i], b[k * NR + (size_t)j], sum);
            c[(size_t)i * ldc + (size_t)j] = sum;
        }
}

const struct pare_gemm_f32 pare_gemm_f32_scalar = {
    .name = "f32_4x16_scalar", .mr = MR, .nr = NR, .run = gemm_f32_4x16_scalar};

static void pack_a_scalar(void *out, const uint8_t *rows, size_t stride, int m,
                          size_t groups)
{
    uint8_t *to = out;
    for (size_t g = 0; g < groups; g++)
        for (int i = 0; i < m; i++, to += 4)
            memcpy(to, rows + (size_t)i * stride + 4 * g, 4);
}

static void gemm_u8s8_4x16_scalar(size_t groups, const void *a, const int8_t *b,
                                  int32_t *acc, size_t ldacc, int m,
                                  struct pare_ahead ahead)
{
    (void)ahead;
    const uint8_t *x = a;
    for (int i = 0; i < m; i++) {
        int32_t sum[NR] = {0};
        for (size_t g = 0; g < groups; g++)
            for (int j = 0; j < NR; j++)
                for (int k = 0; k < 4; k++)
                    sum[j] += x[(g * (size_t)m + (size_t)i) * 4 + (size_t)k] *
                              b[(g * NR + (size_t)j) * 4 + (size_t)k];
        memcpy(acc + (size_t)i * ldacc, sum, sizeof sum);
    }
}

const struct pare_gemm_u8s8 pare_gemm_u8s8_scalar = {.name = "u8s8_4x16_scalar",
                                                     .mr = MR,
                                                     .nr = NR,
                                                     .a_bytes = 1,
                                                     .a_offset = 0,
                                                     .pack_a = pack_a_scalar,
                                                     .run = gemm_u8s8_4x16_scalar};

void pare_pack_scalar(void *out, size_t width, const void *in, size_t stride, size_t rows,
                      size_t n)
{
    unsigned char *to = out;
    const unsigned char *from = in;
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < n; k++)
            memcpy(to + 4 * (k * width + i), from + i * stride + 4 * k, 4);
}

void pare_pack_copy_scalar(void *out, size_t width, const void *in, size_t stride,
                           size_t columns, size_t n)
{
    unsigned char *to = out;
    const unsigned char *from = in;
    for (size_t k = 0; k < n; k++)
        memcpy(to + 4 * k * width, from + k * stride, 4 * columns);
}
