/* A linear layer's weight in the form the kernels want, and the product with it: the one
 * place where a stored number format meets arithmetic.
 *
 * Stored types and how they run:
 *   F32                       packed into panels at load, float kernels
 *   F16 BF16 Q8_0 Q4_0 Q4_1   kept as stored (in place in the mapped file), decoded panel
 *   and super-blocks          by panel into the float kernels
 *   I8 + weight_scale[N]      packed for the integer kernels; activations are quantised a
 *                             token at a time to unsigned 8 bit
 *                             (pare_kernels.quantize_u8)
 *   codes in groups           (codes.h) packed for the integer kernels, codes of 2 bits
 *                             in 2, of 3 and 4 bits in 4, of 5 to 8 bits in 8;
 *                             activations are quantised to unsigned 8 bit as well, each
 *                             group of inputs that shares a scale of the weights on its
 *                             own
 *   F32, changing (training)  not packed at all, packed on the fly by each product, as
 *                             float or rounded to bfloat16
 *   sparse (sparse.h)         kept as stored; a task expands the panels it needs, of F16
 *                             to floats, of I8 and codes to what the dense ones are
 *                             packed as; but
 *     I8, zeros in fours      packed for kernels that skip these (kernels/quads.h)
 *     I8 and codes of 3 bits  packed for a kernel of few rows that reads no zeros
 *     and more                (kernels/masked.h), as well; the bits are the same
 *   all but I8 and codes, in  rounded to bfloat16 and packed at load for the kernels that
 *   BF16                      round the inputs to it as well (gemm_bf16.h)
 *
 * Whatever the type (but in training), each input may be multiplied by a factor of its
 * own first (input_scale); the quantiser of the integer kernels does that on its way.
 */
#ifndef PARE_TENSOR_LINEAR_H
#define PARE_TENSOR_LINEAR_H

#include "runtime/base/arena.h"
#include "runtime/kernels/kernels.h"
#include "runtime/tensor/codes.h"
#include "runtime/tensor/gemm.h"
#include "runtime/tensor/sparse.h"
#include "runtime/tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One weight as stored: [N, K] rows, and one scale a row for I8 (NULL otherwise). When
 * groups.bits is not 0, type is I8, `data` the codes and `scale` unused. When sparse.rows
 * is not 0, type is F16 or I8, and `data` the values or codes of what is kept. */
struct pare_weight {
    enum pare_dtype type;
    size_t N, K;
    const void *data;
    const float *scale;
    const float *input_scale; /* [K], multiply the inputs first; NULL: nothing does */
    /* I8 with one scale a row: the inputs (times input_scale) are quantised to the range
     * input_range[0] .. input_range[1], which holds 0, and what lies outside becomes its
     * end; NULL: to the range of each token's. */
    const float *input_range;
    /* F32 in training: the inputs are rounded to what the integer kernels would see, in
     * groups of that many (pare_round_inputs); 0: they are not. */
    size_t input_group;
    struct pare_groups groups;
    struct pare_sparse sparse;
};

/* Whether it is I8 with one scale a row. */
static inline int pare_weight_is_i8(const struct pare_weight *weight)
{
    return weight->type == PARE_I8 && !weight->groups.bits;
}

/* Bits of a value of a sparse weight. */
static inline int pare_weight_value_bits(const struct pare_weight *weight)
{
    if (weight->type != PARE_I8)
        return 16;
    return weight->groups.bits ? weight->groups.bits : 8;
}

/* What it is stored as, for people: "F32", "I8", or "int4/32" for codes of 4 bits in
 * groups of 32, with a "z" behind it when they have zero points. Returns `out`. */
#define PARE_FORM_SIZE 24
const char *pare_weight_form(const struct pare_weight *weight, char out[PARE_FORM_SIZE]);

/* Bytes of all that is stored of it: data or codes, scales, zero points. */
uint64_t pare_weight_bytes(const struct pare_weight *weight);

struct pare_linear_part { /* private to linear.c: one packed or borrowed weight */
    struct pare_weight weight;
    size_t row; /* first output of this part */
    void *packed;
    int32_t *weight_sum; /* pare_split_sum of each row */
    float *scale;        /* padded copy of weight.scale */
    /* Of a sparse weight one of these, or none: it runs as it is stored. */
    struct pare_quads quads; /* start NULL: not these */
    unsigned char *masked;   /* panels of kernels/masked.h behind each other */
    uint64_t *masked_start;  /* of each panel, and behind the last one */
};

/* The range that inputs are quantised to when it is given: codes are x inverse + zero. */
struct pare_input_grid {
    float scale, inverse; /* scale 0: the range is that of each token */
    int32_t zero;
};

/* The same rounding as that of a token with this range (pare_kernels.quantize_u8). */
struct pare_input_grid pare_input_grid_of(float low, float high);

/* Inputs that a row of I8 with one scale can have: their weights' sum fits
 * pare_split_sum, and no sum of products overflows. */
#define PARE_I8_MOST 32768

#define PARE_LINEAR_PARTS 3 /* query, key and value as one product */

struct pare_linear {
    size_t N, K;       /* N: of all parts together */
    const float *bias; /* [N] or NULL; borrowed */
    int n_parts;
    struct pare_linear_part parts[PARE_LINEAR_PARTS];
    size_t packed_bytes;      /* memory beyond what the file's mapping holds */
    const float *input_scale; /* of all parts, or NULL */
    struct pare_input_grid input_grid;
    int live; /* F32 that changes between products: nothing is packed */
    enum pare_precision precision;      /* of products that are not those of integers */
    const struct pare_kernels *kernels; /* the tier it was packed for, and runs on */
};

/* How a linear layer is to be used: any of these together. */
#define PARE_LINEAR_LIVE 1u /* F32 weights that change between products (training) */
#define PARE_LINEAR_BF16 2u /* products of floats in PARE_PRECISION_BF16 */

/* Prepares `linear` from parts stacked along N (one product reads the activations once).
 * `weights` data is borrowed and must outlive the linear; packed copies come from
 * `arena`. All parts read the same inputs and share input_scale and input_range. `use`:
 * see above; live parts must be F32 with neither. */
enum pare_status pare_linear_init(struct pare_linear *linear,
                                  const struct pare_weight *weights, int n_parts,
                                  const float *bias, unsigned use,
                                  struct pare_arena *arena,
                                  struct pare_error *err) PARE_CHECKED;

/* Y[M, N] = act(X[M, K] W^T + bias) (+ residual[M, N] when not NULL; act and residual are
 * exclusive). X, Y and residual are dense row-major; Y may be residual. The bias is added
 * to the finished sum, then act or residual. */
enum pare_status pare_linear_forward(const struct pare_linear *linear, const float *X,
                                     size_t M, float *Y, enum pare_activation act,
                                     const float *residual, struct pare_arena *scratch,
                                     struct pare_error *err) PARE_CHECKED;

/* The same for parts [first, first + count) of the linear alone, without act or residual:
 * only their columns of Y[M, N] are written. */
enum pare_status pare_linear_forward_parts(const struct pare_linear *linear, int first,
                                           int count, const float *X, size_t M, float *Y,
                                           struct pare_arena *scratch,
                                           struct pare_error *err) PARE_CHECKED;

/* Row m of out[M, K] = row m of x[M, K] times by[K], element by element. In parallel. */
void pare_scale_inputs(const float *x, const float *by, size_t M, size_t K, float *out);

/* out[M, K] = x[M, K] quantised to unsigned 8 bit by the row in groups of `group` inputs
 * (pare_kernels.quantize_u8) and decoded again: scale (q - zero). In parallel. */
void pare_round_inputs(const float *x, size_t M, size_t K, size_t group, float *out);

/* Whether M rows times a sparse weight of this form, of whose weights that share is kept,
 * are quicker than times the dense one of the same type, on the kernels in use. Nothing
 * is read but its form. */
int pare_linear_sparse_pays(const struct pare_weight *weight, double kept, size_t M);

/* Row `n` of the weight as float (dequantised), K values: for solvers, tests, tied heads.
 */
void pare_weight_row(const struct pare_weight *weight, size_t n, float *out);

#ifdef __cplusplus
}
#endif
#endif
