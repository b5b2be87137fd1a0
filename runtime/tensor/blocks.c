/* Values to stored rows and back.
 *
 * Decoding runs on the kernels; what is here beside it is the portable conversion of
 * single values and the encoding, which follows the reference quantisers of GGUF bit for
 * bit: single float operations, no fused ones. The scale is rounded to half precision
 * only after the codes were chosen with the unrounded one.
 *
 *   Q8_0  d = max|x| / 127           q = round(x / d), halves away from zero
 *   Q4_0  d = x_m / -8               q = trunc(x / d + 8.5), at most 15; x_m is the first
 *                                    value of largest magnitude, with its sign
 *   Q4_1  d = (max - min) / 15       q = trunc((x - min) / d + 0.5), m = min
 *
 * "x / d" is x * (1 / d) there and here; a block of zeros has 1 / d = 0.
 */
#include <math.h>
#include <string.h>

#include "runtime/base/bytes.h"
#include "runtime/base/parallel.h"
#include "runtime/kernels/kernels.h"
#include "runtime/tensor/superblocks.h"

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754 binary16: sign 1, exponent 5 (bias 15), fraction 10. */
float pare_f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 31) /* infinity, or a NaN, made quiet as the CPU does */
        return float_of(sign | 0x7F800000 | fraction << 13 | (fraction ? 1u << 22 : 0));
    if (exponent)
        return float_of(sign | (exponent + 112) << 23 | fraction << 13);
    float magnitude = (float)fraction * 0x1p-24f; /* exact */
    return float_of(sign | bits_of(magnitude));
}

uint16_t pare_f32_to_f16(float value)
{
    uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000;
    bits &= 0x7FFFFFFF;
    if (bits > 0x7F800000)
        return (uint16_t)(sign | 0x7E00 | (bits >> 13 & 0x3FF));
    if (bits >= 0x47800000) /* 65536 and above; 65520 to 65536 round up below */
        return (uint16_t)(sign | 0x7C00);
    if (bits < 0x38800000) { /* below 2^-14: the result is subnormal, unit 2^-24 */
        if (bits < 0x33000000)
            return (uint16_t)sign; /* below half a unit */
        uint32_t shift = 126 - (bits >> 23);
        uint32_t fraction = (bits & 0x7FFFFF) | 0x800000;
        uint32_t kept = fraction >> shift, rest = fraction & ((1u << shift) - 1);
        uint32_t half = 1u << (shift - 1);
        kept += rest > half || (rest == half && kept & 1);
        return (uint16_t)(sign | kept);
    }
    bits += 0xFFF + (bits >> 13 & 1);                    /* nearest, ties to even */
    return (uint16_t)(sign | (bits - 0x38000000) >> 13); /* bias 127 to 15 */
}

float pare_bf16_to_f32(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}

uint16_t pare_f32_to_bf16(float value)
{
    uint32_t bits = bits_of(value);
    if ((bits & 0x7FFFFFFF) > 0x7F800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/* --- rows --- */

/* Floats in memory from or to little-endian bytes. */
static void copy_f32(void *to, const void *from, size_t n)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (n)
        memcpy(to, from, 4 * n);
#else
    for (size_t i = 0; i < 4 * n; i += 4) {
        uint32_t swapped = pare_load_u32((const uint8_t *)from + i);
        memcpy((uint8_t *)to + i, &swapped, 4);
    }
#endif
}

void pare_row_decode(enum pare_dtype type, const void *source, float *out, size_t n)
{
    const struct pare_kernels *kernels = pare_kernels();
    const uint8_t *from = source;
    switch (type) {
    case PARE_F32: copy_f32(out, source, n); break;
    case PARE_F64:
        for (size_t i = 0; i < n; i++)
            out[i] = (float)pare_load_f64(from + 8 * i);
        break;
    case PARE_F16: kernels->decode_f16(out, source, n); break;
    case PARE_BF16: kernels->decode_bf16(out, source, n); break;
    case PARE_Q8_0: kernels->decode_q8_0(out, source, n); break;
    case PARE_Q4_0: kernels->decode_q4_0(out, source, n); break;
    case PARE_Q4_1: kernels->decode_q4_1(out, source, n); break;
    default: /* callers ask pare_dtype_info.is_float first */
        if (pare_superblock_layout(type))
            pare_superblock_decode(type, source, out, n);
    }
}

/* trunc(value) held inside [low, high]; a NaN becomes low. */
static int code(float value, int low, int high)
{
    if (!(value > (float)low))
        return low;
    return value < (float)high ? (int)value : high;
}

static float inverse(float d)
{
    return d != 0.0f ? 1.0f / d : 0.0f;
}

static void encode_q8_0(const float *x, uint8_t *block)
{
    float largest = 0.0f;
    for (int i = 0; i < 32; i++)
        if (fabsf(x[i]) > largest)
            largest = fabsf(x[i]);
    float d = largest / 127.0f, id = inverse(d);
    pare_store_u16(block, pare_f32_to_f16(d));
    for (int i = 0; i < 32; i++) {
        float scaled = x[i] * id, whole = floorf(fabsf(scaled));
        float rounded = whole + floorf(2.0f * (fabsf(scaled) - whole));
        int q = code(rounded, 0, 127);
        block[2 + i] = (uint8_t)(int8_t)(scaled < 0.0f ? -q : q);
    }
}

static void encode_q4_0(const float *x, uint8_t *block)
{
    float largest = x[0];
    for (int i = 1; i < 32; i++)
        if (fabsf(x[i]) > fabsf(largest))
            largest = x[i];
    float d = largest / -8.0f, id = inverse(d);
    pare_store_u16(block, pare_f32_to_f16(d));
    for (int i = 0; i < 16; i++) {
        int low = code(x[i] * id + 8.5f, 0, 15);
        int high = code(x[i + 16] * id + 8.5f, 0, 15);
        block[2 + i] = (uint8_t)(low | high << 4);
    }
}

static void encode_q4_1(const float *x, uint8_t *block)
{
    float min = x[0], max = x[0];
    for (int i = 1; i < 32; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    float d = (max - min) / 15.0f, id = inverse(d);
    pare_store_u16(block, pare_f32_to_f16(d));
    pare_store_u16(block + 2, pare_f32_to_f16(min));
    for (int i = 0; i < 16; i++) {
        int low = code((x[i] - min) * id + 0.5f, 0, 15);
        int high = code((x[i + 16] - min) * id + 0.5f, 0, 15);
        block[4 + i] = (uint8_t)(low | high << 4);
    }
}

void pare_row_encode(enum pare_dtype type, const float *source, void *out, size_t n)
{
    uint8_t *to = out;
    switch (type) {
    case PARE_F32: copy_f32(out, source, n); break;
    case PARE_F64:
        for (size_t i = 0; i < n; i++)
            pare_store_f64(to + 8 * i, source[i]);
        break;
    case PARE_F16:
        for (size_t i = 0; i < n; i++)
            pare_store_u16(to + 2 * i, pare_f32_to_f16(source[i]));
        break;
    case PARE_BF16:
        for (size_t i = 0; i < n; i++)
            pare_store_u16(to + 2 * i, pare_f32_to_bf16(source[i]));
        break;
    case PARE_Q8_0:
        for (size_t i = 0; i < n; i += 32)
            encode_q8_0(source + i, to + i / 32 * 34);
        break;
    case PARE_Q4_0:
        for (size_t i = 0; i < n; i += 32)
            encode_q4_0(source + i, to + i / 32 * 18);
        break;
    case PARE_Q4_1:
        for (size_t i = 0; i < n; i += 32)
            encode_q4_1(source + i, to + i / 32 * 20);
        break;
    default: break;
    }
}

/* --- whole tensors --- */

struct decoding {
    enum pare_dtype type;
    const struct pare_dtype_info *info;
    const uint8_t *data;
    float *out;
};

static void decode_tile(void *context, size_t begin, size_t end)
{
    const struct decoding *job = context;
    pare_row_decode(job->type,
                    job->data + begin / job->info->block * job->info->block_bytes,
                    job->out + begin, end - begin);
}

enum pare_status pare_tensor_decode(const struct pare_tensor *tensor, float *out,
                                    struct pare_error *err)
{
    const struct pare_dtype_info *info = pare_dtype_info(tensor->type);
    if (!info || !info->is_float)
        return pare_fail(err, PARE_ERR_INPUT,
                         "tensor %s: values of type %s cannot be read as numbers here",
                         tensor->name, pare_dtype_name(tensor->type));
    struct decoding job = {tensor->type, info, tensor->data, out};
    /* Every block size divides the tile. */
    pare_parallel_for((size_t)pare_tensor_elements(tensor), (size_t)1 << 16, decode_tile,
                      &job);
    return PARE_OK;
}
