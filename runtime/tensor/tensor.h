/* Tensors as they lie in files, and the number formats they are stored in.
 *
 * Letters mean one thing everywhere: B sequences in a batch, T tokens in a batch (all
 * sequences behind each other, no padding), C hidden width, F feed-forward width, H
 * heads, D = C / H head width, L layers, V vocabulary; in matrix products M rows of the
 * activations, N outputs, K inputs. Weights are [N, K] row-major, as in Hugging Face
 * checkpoints: row n makes output n.
 */
#ifndef PARE_TENSOR_TENSOR_H
#define PARE_TENSOR_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Values below 1000 are GGUF's type numbers; the others exist in other formats only. All
 * can be read and listed; what can be computed with is in pare_dtype_info.is_float. */
enum pare_dtype {
    PARE_F32 = 0,
    PARE_F16 = 1,
    PARE_Q4_0 = 2,
    PARE_Q4_1 = 3,
    PARE_Q5_0 = 6,
    PARE_Q5_1 = 7,
    PARE_Q8_0 = 8,
    PARE_Q8_1 = 9,
    PARE_Q2_K = 10,
    PARE_Q3_K = 11,
    PARE_Q4_K = 12,
    PARE_Q5_K = 13,
    PARE_Q6_K = 14,
    PARE_Q8_K = 15,
    PARE_IQ2_XXS = 16,
    PARE_IQ2_XS = 17,
    PARE_IQ3_XXS = 18,
    PARE_IQ1_S = 19,
    PARE_IQ4_NL = 20,
    PARE_IQ3_S = 21,
    PARE_IQ2_S = 22,
    PARE_IQ4_XS = 23,
    PARE_I8 = 24,
    PARE_I16 = 25,
    PARE_I32 = 26,
    PARE_I64 = 27,
    PARE_F64 = 28,
    PARE_IQ1_M = 29,
    PARE_BF16 = 30,
    PARE_TQ1_0 = 34,
    PARE_TQ2_0 = 35,
    PARE_MXFP4 = 39,
    PARE_NVFP4 = 40,
    PARE_Q1_0 = 41,
    PARE_Q2_0 = 42,
    PARE_U8 = 1000,
    PARE_BOOL = 1001,
    PARE_U16 = 1002,
    PARE_U32 = 1003,
    PARE_U64 = 1004,
    PARE_F8_E4M3 = 1005,
    PARE_F8_E5M2 = 1006,
};

struct pare_dtype_info {
    enum pare_dtype type;
    const char *name;     /* "F32", "Q4_0" ... */
    uint32_t block;       /* elements of a block; 1 for plain types */
    uint32_t block_bytes; /* bytes of a block */
    int is_float;         /* can be decoded to float by pare_row_decode */
};

/* NULL for a number that is not one of the types above. */
const struct pare_dtype_info *pare_dtype_info(enum pare_dtype type);
/* By name, any case ("f16", "Q8_0"); NULL when unknown. */
const struct pare_dtype_info *pare_dtype_by_name(const char *name);
const char *pare_dtype_name(enum pare_dtype type);

#define PARE_MAX_DIMS 8

struct pare_tensor {
    const char *name;
    enum pare_dtype type;
    int n_dims;                    /* 0 for a scalar */
    uint64_t shape[PARE_MAX_DIMS]; /* outermost first; the last dimension is contiguous */
    uint64_t bytes;                /* of data */
    const void *data;              /* row-major, little-endian, unaligned */
};

/* Product of the dimensions, 1 for a scalar. Cannot overflow for tensors that came from
 * a reader of ours (they were checked with pare_tensor_size). */
uint64_t pare_tensor_elements(const struct pare_tensor *tensor);
/* Elements of the last dimension, 1 for a scalar; and how many such rows there are. */
uint64_t pare_tensor_row(const struct pare_tensor *tensor);
uint64_t pare_tensor_rows(const struct pare_tensor *tensor);

/* Bytes of a tensor of that type and shape. PARE_ERR_INPUT on overflow, on an unknown
 * type, or when the last dimension is not a multiple of the type's block. */
enum pare_status pare_tensor_size(enum pare_dtype type, int n_dims, const uint64_t *shape,
                                  uint64_t *bytes, struct pare_error *err) PARE_CHECKED;

/* "[30522, 768]" for messages; returns `out`. */
char *pare_shape_text(int n_dims, const uint64_t *shape, char *out, size_t size);

/* Decodes n elements (a multiple of the block) of a float type to float. Exact for every
 * type but F64 and super-blocks with minima, which are rounded once. Source may be
 * unaligned. */
void pare_row_decode(enum pare_dtype type, const void *source, float *out, size_t n);
/* Encodes with round-to-nearest (ties to even for F16 and BF16; the scale rules of the
 * GGUF reference for Q8_0, Q4_0, Q4_1; docs/FORMAT.md has the formulas). Types of
 * super-blocks have no such rule: the solvers store them (superblocks.h). */
void pare_row_encode(enum pare_dtype type, const float *source, void *out, size_t n);

/* The whole tensor as float into `out` (pare_tensor_elements of them), in parallel. */
enum pare_status pare_tensor_decode(const struct pare_tensor *tensor, float *out,
                                    struct pare_error *err) PARE_CHECKED;

float pare_f16_to_f32(uint16_t half);
uint16_t pare_f32_to_f16(float value); /* nearest even; overflow to infinity */
float pare_bf16_to_f32(uint16_t bits);
uint16_t pare_f32_to_bf16(float value); /* nearest even; NaN stays NaN */

#ifdef __cplusplus
}
#endif
#endif
