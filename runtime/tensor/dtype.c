/* The number formats and the arithmetic of shapes. */
#include <stdio.h>
#include <strings.h>

#include "runtime/tensor/tensor.h"

/* Block sizes after ggml's type table (docs/FORMAT.md has the layouts in use). */
static const struct pare_dtype_info types[] = {
    {PARE_F32, "F32", 1, 4, 1},
    {PARE_F16, "F16", 1, 2, 1},
    {PARE_Q4_0, "Q4_0", 32, 18, 1},
    {PARE_Q4_1, "Q4_1", 32, 20, 1},
    {PARE_Q5_0, "Q5_0", 32, 22, 0},
    {PARE_Q5_1, "Q5_1", 32, 24, 0},
    {PARE_Q8_0, "Q8_0", 32, 34, 1},
    {PARE_Q8_1, "Q8_1", 32, 36, 0},
    {PARE_Q2_K, "Q2_K", 256, 84, 1},
    {PARE_Q3_K, "Q3_K", 256, 110, 1},
    {PARE_Q4_K, "Q4_K", 256, 144, 1},
    {PARE_Q5_K, "Q5_K", 256, 176, 1},
    {PARE_Q6_K, "Q6_K", 256, 210, 1},
    {PARE_Q8_K, "Q8_K", 256, 292, 0},
    {PARE_IQ2_XXS, "IQ2_XXS", 256, 66, 0},
    {PARE_IQ2_XS, "IQ2_XS", 256, 74, 0},
    {PARE_IQ3_XXS, "IQ3_XXS", 256, 98, 0},
    {PARE_IQ1_S, "IQ1_S", 256, 50, 0},
    {PARE_IQ4_NL, "IQ4_NL", 32, 18, 0},
    {PARE_IQ3_S, "IQ3_S", 256, 110, 0},
    {PARE_IQ2_S, "IQ2_S", 256, 82, 0},
    {PARE_IQ4_XS, "IQ4_XS", 256, 136, 0},
    {PARE_I8, "I8", 1, 1, 0},
    {PARE_I16, "I16", 1, 2, 0},
    {PARE_I32, "I32", 1, 4, 0},
    {PARE_I64, "I64", 1, 8, 0},
    {PARE_F64, "F64", 1, 8, 1},
    {PARE_IQ1_M, "IQ1_M", 256, 56, 0},
    {PARE_BF16, "BF16", 1, 2, 1},
    {PARE_TQ1_0, "TQ1_0", 256, 54, 1},
    {PARE_TQ2_0, "TQ2_0", 256, 66, 1},
    {PARE_MXFP4, "MXFP4", 32, 17, 0},
    {PARE_NVFP4, "NVFP4", 64, 36, 0},
    {PARE_Q1_0, "Q1_0", 128, 18, 0},
    {PARE_Q2_0, "Q2_0", 64, 18, 0},
    {PARE_U8, "U8", 1, 1, 0},
    {PARE_BOOL, "BOOL", 1, 1, 0},
    {PARE_U16, "U16", 1, 2, 0},
    {PARE_U32, "U32", 1, 4, 0},
    {PARE_U64, "U64", 1, 8, 0},
    {PARE_F8_E4M3, "F8_E4M3", 1, 1, 0},
    {PARE_F8_E5M2, "F8_E5M2", 1, 1, 0},
};

#define N_TYPES (sizeof types / sizeof *types)

const struct pare_dtype_info *pare_dtype_info(enum pare_dtype type)
{
    for (size_t i = 0; i < N_TYPES; i++)
        if (types[i].type == type)
            return &types[i];
    return NULL;
}

const struct pare_dtype_info *pare_dtype_by_name(const char *name)
{
    for (size_t i = 0; i < N_TYPES; i++)
        if (strcasecmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

const char *pare_dtype_name(enum pare_dtype type)
{
    const struct pare_dtype_info *info = pare_dtype_info(type);
    return info ? info->name : "unknown type";
}

uint64_t pare_tensor_elements(const struct pare_tensor *tensor)
{
    uint64_t elements = 1;
    for (int i = 0; i < tensor->n_dims; i++)
        elements *= tensor->shape[i];
    return elements;
}

uint64_t pare_tensor_row(const struct pare_tensor *tensor)
{
    return tensor->n_dims ? tensor->shape[tensor->n_dims - 1] : 1;
}

uint64_t pare_tensor_rows(const struct pare_tensor *tensor)
{
    uint64_t rows = 1;
    for (int i = 0; i + 1 < tensor->n_dims; i++)
        rows *= tensor->shape[i];
    return rows;
}

/* The product of all dimensions, of which a zero makes the product zero only if the
 * others do not overflow: no shape that cannot exist passes as empty. */
static int multiply(int n_dims, const uint64_t *shape, uint64_t *elements)
{
    int empty = 0;
    *elements = 1;
    for (int i = 0; i < n_dims; i++) {
        if (!shape[i])
            empty = 1;
        else if (__builtin_mul_overflow(*elements, shape[i], elements))
            return 0;
    }
    if (empty)
        *elements = 0;
    return 1;
}

enum pare_status pare_tensor_size(enum pare_dtype type, int n_dims, const uint64_t *shape,
                                  uint64_t *bytes, struct pare_error *err)
{
    char text[200];
    const struct pare_dtype_info *info = pare_dtype_info(type);
    if (!info)
        return pare_fail(err, PARE_ERR_INPUT, "number format %d is not known", (int)type);
    if (n_dims < 0 || n_dims > PARE_MAX_DIMS)
        return pare_fail(err, PARE_ERR_INPUT, "%d dimensions, at most %d are supported",
                         n_dims, PARE_MAX_DIMS);
    uint64_t row = n_dims ? shape[n_dims - 1] : 1, elements;
    if (row % info->block)
        return pare_fail(err, PARE_ERR_INPUT,
                         "shape %s: the last dimension is not a multiple of %u, the "
                         "block of %s",
                         pare_shape_text(n_dims, shape, text, sizeof text), info->block,
                         info->name);
    if (!multiply(n_dims, shape, &elements) ||
        __builtin_mul_overflow(elements / info->block, info->block_bytes, bytes) ||
        *bytes > INT64_MAX)
        return pare_fail(err, PARE_ERR_INPUT, "shape %s of %s is too large",
                         pare_shape_text(n_dims, shape, text, sizeof text), info->name);
    return PARE_OK;
}

char *pare_shape_text(int n_dims, const uint64_t *shape, char *out, size_t size)
{
    size_t used = 0;
    int n = snprintf(out, size, "[");
    for (int i = 0; i <= n_dims && n >= 0 && used + (size_t)n < size; i++) {
        used += (size_t)n;
        if (i < n_dims)
            n = snprintf(out + used, size - used, i ? ", %llu" : "%llu",
                         (unsigned long long)shape[i]);
        else
            n = snprintf(out + used, size - used, "]");
    }
    return out;
}
