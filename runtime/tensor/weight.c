/* What a stored weight is, whatever its form: its rows as floats, its name, its size. */
#include <stdio.h>
#include <string.h>

#include "runtime/tensor/linear.h"

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Of a type without scales beside it. */
static void decode_row(const struct pare_weight *weight, size_t row, float *out)
{
    const struct pare_dtype_info *info = pare_dtype_info(weight->type);
    const size_t n = weight->K;
    pare_row_decode(weight->type,
                    (const unsigned char *)weight->data +
                        row * n / info->block * info->block_bytes,
                    out, n);
}

/* Values that are decoded at a time. */
#define CHUNK 256

static void decode_sparse_row(const struct pare_weight *weight, size_t n, float *out)
{
    const struct pare_kernels *kernels = pare_kernels();
    const struct pare_groups *groups = &weight->groups;
    const size_t K = weight->K, piece = groups->bits ? groups->size : K;
    const int zero = groups->bits ? 1 << (groups->bits - 1) : 0;
    uint16_t halves[CHUNK];
    uint8_t codes[CHUNK];
    for (size_t k = 0, some; k < K; k += some) {
        some = smaller(CHUNK, piece - k % piece);
        if (weight->type == PARE_F16) {
            pare_sparse_row_f16(&weight->sparse, weight->data, n, K, k, some, halves);
            kernels->decode_f16(out + k, halves, some);
            continue;
        }
        const float scale = groups->bits
                                ? pare_group_scale(groups, n * (K / piece) + k / piece)
                                : weight->scale[n];
        pare_sparse_row_u8(&weight->sparse, weight->data, pare_weight_value_bits(weight),
                           n, K, k, some, (uint8_t)zero, codes);
        for (size_t i = 0; i < some; i++)
            out[k + i] =
                scale * (float)(groups->bits ? codes[i] - zero : (int8_t)codes[i]);
    }
}

void pare_weight_row(const struct pare_weight *weight, size_t n, float *out)
{
    if (weight->sparse.rows) {
        decode_sparse_row(weight, n, out);
        return;
    }
    if (weight->groups.bits) {
        pare_groups_decode(&weight->groups, weight->data, n, weight->K, 0, weight->K,
                           out);
        return;
    }
    if (weight->type != PARE_I8) {
        decode_row(weight, n, out);
        return;
    }
    const int8_t *row = (const int8_t *)weight->data + n * weight->K;
    for (size_t k = 0; k < weight->K; k++)
        out[k] = (float)row[k] * weight->scale[n];
}

/* What is kept of a sparse weight: "/2:4". */
static void add_pattern(const struct pare_sparse *sparse, char *out, size_t size)
{
    if (sparse->m)
        snprintf(out, size, "/%zu:%zu", sparse->n, sparse->m);
    else if (sparse->rows * sparse->columns > 1)
        snprintf(out, size, "/%zux%zu", sparse->rows, sparse->columns);
    else if (sparse->rows)
        snprintf(out, size, "/mask");
}

const char *pare_weight_form(const struct pare_weight *weight, char out[PARE_FORM_SIZE])
{
    const struct pare_groups *groups = &weight->groups;
    if (groups->bits)
        snprintf(out, PARE_FORM_SIZE, "int%d/%zu%s", groups->bits, groups->size,
                 groups->zero ? "z" : "");
    else
        snprintf(out, PARE_FORM_SIZE, "%s", pare_dtype_name(weight->type));
    const size_t length = strlen(out);
    add_pattern(&weight->sparse, out + length, PARE_FORM_SIZE - length);
    return out;
}

/* Bits or ranks, numbers of the pattern, values. */
static uint64_t sparse_bytes(const struct pare_weight *weight)
{
    const struct pare_sparse *sparse = &weight->sparse;
    const size_t strips = weight->N / sparse->rows;
    return strips * pare_sparse_kept_bytes(sparse, weight->K) +
           pare_sparse_stored_bytes(sparse, weight->N, pare_weight_value_bits(weight)) +
           (weight->groups.bits ? 5 : 4) * sizeof(int32_t);
}

uint64_t pare_weight_bytes(const struct pare_weight *weight)
{
    const struct pare_groups *groups = &weight->groups;
    const int sparse = weight->sparse.rows > 0;
    uint64_t bytes = sparse ? sparse_bytes(weight) : 0;
    if (groups->bits) {
        bytes += weight->N * (weight->K / groups->size) * (groups->zero ? 3 : 2);
        return sparse ? bytes
                      : bytes + weight->N * pare_codes_bytes(groups->bits, weight->K);
    }
    const struct pare_dtype_info *info = pare_dtype_info(weight->type);
    bytes += weight->scale ? weight->N * sizeof(float) : 0;
    return sparse ? bytes
                  : bytes + weight->N * (weight->K / info->block * info->block_bytes);
}
