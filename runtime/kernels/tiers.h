/* What the tiers' files hand to dispatch.c, and nobody else. */
#ifndef PARE_KERNELS_TIERS_H
#define PARE_KERNELS_TIERS_H

#include "runtime/kernels/kernels.h"

/* The row functions (rows.h compiled once a tier); the GEMM records in them are empty. */
extern const struct pare_kernels pare_rows_scalar;
extern const struct pare_gemm_f32 pare_gemm_f32_scalar;
extern const struct pare_gemm_u8s8 pare_gemm_u8s8_scalar;
extern const struct pare_gemm_bf16 pare_gemm_bf16_scalar;
extern const struct pare_gemm_grouped pare_gemm_grouped_scalar;
extern const struct pare_gemm_quads pare_gemm_quads_scalar;
extern const struct pare_gemm_masked pare_gemm_masked_scalar;
void pare_pack_scalar(void *out, size_t width, const void *in, size_t stride, size_t rows,
                      size_t n);
void pare_pack_copy_scalar(void *out, size_t width, const void *in, size_t stride,
                           size_t columns, size_t n);
void pare_expand_u8_scalar(uint8_t *out, const uint8_t *values, const uint8_t *bits,
                           uint8_t gap, size_t n);

#if defined(__x86_64__)
extern const struct pare_kernels pare_rows_avx2;
extern const struct pare_gemm_f32 pare_gemm_f32_avx2;
extern const struct pare_gemm_u8s8 pare_gemm_u8s8_avx2;
extern const struct pare_gemm_bf16 pare_gemm_bf16_avx2;
extern const struct pare_gemm_grouped pare_gemm_grouped_avx2;
extern const struct pare_gemm_quads pare_gemm_quads_avx2;
extern const struct pare_gemm_masked pare_gemm_masked_avx2;
void pare_pack_avx2(void *out, size_t width, const void *in, size_t stride, size_t rows,
                    size_t n);
void pare_pack_copy_avx2(void *out, size_t width, const void *in, size_t stride,
                         size_t columns, size_t n);
void pare_expand_u8_avx2(uint8_t *out, const uint8_t *values, const uint8_t *bits,
                         uint8_t gap, size_t n);
void pare_expand_u8_avx512vbmi2(uint8_t *out, const uint8_t *values, const uint8_t *bits,
                                uint8_t gap, size_t n);
extern const struct pare_kernels pare_rows_avx512;
extern const struct pare_gemm_f32 pare_gemm_f32_avx512;
extern const struct pare_gemm_u8s8 pare_gemm_u8s8_amx;
extern const struct pare_gemm_u8s8 pare_gemm_u8s8_avx512vnni;
extern const struct pare_gemm_bf16 pare_gemm_bf16_amx;
extern const struct pare_gemm_grouped pare_gemm_grouped_avx512vnni;
extern const struct pare_gemm_quads pare_gemm_quads_avx512vnni;
extern const struct pare_gemm_masked pare_gemm_masked_avx512vbmi2;
void pare_pack_avx512(void *out, size_t width, const void *in, size_t stride, size_t rows,
                      size_t n);
void pare_pack_copy_avx512(void *out, size_t width, const void *in, size_t stride,
                           size_t columns, size_t n);
#endif

#if defined(__aarch64__)
extern const struct pare_kernels pare_rows_neon;
extern const struct pare_gemm_f32 pare_gemm_f32_neon;
extern const struct pare_gemm_u8s8 pare_gemm_u8s8_neon;
extern const struct pare_gemm_bf16 pare_gemm_bf16_neon;
extern const struct pare_gemm_grouped pare_gemm_grouped_neon;
extern const struct pare_gemm_quads pare_gemm_quads_neon;
extern const struct pare_gemm_masked pare_gemm_masked_neon;
extern const struct pare_gemm_u8s8 pare_gemm_u8s8_neondot;
extern const struct pare_gemm_grouped pare_gemm_grouped_neondot;
extern const struct pare_gemm_quads pare_gemm_quads_neondot;
extern const struct pare_gemm_u8s8 pare_gemm_u8s8_neoni8mm;
extern const struct pare_gemm_grouped pare_gemm_grouped_neoni8mm;
void pare_expand_u8_neon(uint8_t *out, const uint8_t *values, const uint8_t *bits,
                         uint8_t gap, size_t n);
void pare_pack_neon(void *out, size_t width, const void *in, size_t stride, size_t rows,
                    size_t n);
#endif

#endif
