#include "tests/support/kernel_cases.h"

#include <sys/mman.h>
#include <unistd.h>

struct guarded guarded_new(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t body = (bytes + page - 1) / page * page;
    struct guarded g = {.map_bytes = body + 2 * page};
    g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                 -1, 0);
    if (g.map == MAP_FAILED || mprotect(g.map, page, PROT_NONE) ||
        mprotect(g.map + page + body, page, PROT_NONE))
        abort();
    g.data = g.map + page + body - bytes;
    return g;
}

void guarded_free(struct guarded g)
{
    munmap(g.map, g.map_bytes);
}

uint64_t case_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

float case_float(uint64_t *state, enum case_kind kind)
{
    static const float specials[] = {
        0.0f, -0.0f,  1e-42f, -1e-42f, 3.4028235e38f, INFINITY, -INFINITY,
        NAN,  1e-30f, -88.0f, 88.7f,   -104.0f,       -3.4e38f, 16777216.0f};
    uint64_t r = case_random(state);
    if (kind == CASE_SPECIAL && r % 7 == 0)
        return specials[(r >> 8) % (sizeof specials / sizeof specials[0])];
    float value = ((float)(int32_t)(r >> 32)) * 0x1p-29f;
    if (kind == CASE_WIDE)
        value = ldexpf(value, (int)(r % 200) - 100);
    return value;
}

struct guarded case_floats(uint64_t *state, size_t n, enum case_kind kind)
{
    struct guarded g = guarded_new(n * sizeof(float));
    for (size_t i = 0; i < n; i++)
        ((float *)g.data)[i] = case_float(state, kind);
    return g;
}

struct guarded case_bytes(uint64_t *state, size_t n)
{
    struct guarded g = guarded_new(n);
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)g.data)[i] = (unsigned char)case_random(state);
    return g;
}

const char *case_name(int function)
{
    static const char *const acts[] = {"none", "gelu", "gelu_tanh",
                                       "relu", "tanh", "silu"};
    static const char *const backs[] = {"none_backward",      "gelu_backward",
                                        "gelu_tanh_backward", "relu_backward",
                                        "tanh_backward",      "silu_backward"};
    static const char *const rest[] = {"add",
                                       "add_to",
                                       "axpy",
                                       "scale",
                                       "dot",
                                       "sum",
                                       "max",
                                       "softmax",
                                       "softmax_backward",
                                       "logsumexp",
                                       "layer_norm",
                                       "layer_norm_backward",
                                       "quantize_u8",
                                       "dequantize_acc",
                                       "adamw",
                                       "dropout",
                                       "sum_squares",
                                       "decode_f16",
                                       "decode_bf16",
                                       "decode_q8_0",
                                       "decode_q4_0",
                                       "decode_q4_1",
                                       "pack",
                                       "pack_copy",
                                       "group_range",
                                       "group_magnitude",
                                       "group_round",
                                       "round_affine",
                                       "deviate",
                                       "deviate_power",
                                       "rank_one",
                                       "panel_f16",
                                       "panel_bf16",
                                       "panel_q8_0",
                                       "panel_q4_0",
                                       "panel_q4_1",
                                       "panel_codes"};
    if (function < CASE_ACTIVATE_BACKWARD)
        return acts[function];
    if (function < CASE_ADD)
        return backs[function - CASE_ACTIVATE_BACKWARD];
    return rest[function - CASE_ADD];
}

const size_t case_sizes[CASE_SIZES] = {
    0,  1,  2,  3,   7,   8,   9,   15,  16,  17,  31,  32,  33,   47,   48,   49,
    63, 64, 65, 127, 128, 129, 255, 256, 257, 384, 768, 771, 1000, 3072, 3073, 4099};

static void case_put(struct case_output *out, const void *data, size_t bytes)
{
    if (out->bytes + bytes > out->capacity) {
        out->capacity = 2 * out->capacity + bytes;
        out->data = realloc(out->data, out->capacity);
        if (!out->data)
            abort();
    }
    if (bytes)
        memcpy(out->data + out->bytes, data, bytes);
    out->bytes += bytes;
}

void case_put_floats(struct case_output *out, const float *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float value = data[i];
        uint32_t bits = 0x7fc00000;
        if (value == value)
            memcpy(&bits, &value, sizeof bits);
        case_put(out, &bits, sizeof bits);
    }
}

static void case_decode(const struct pare_kernels *k, int function, size_t n, float *y,
                        uint64_t *seed)
{
    size_t bytes = function == CASE_DECODE_Q8_0   ? n / 32 * 34
                   : function == CASE_DECODE_Q4_0 ? n / 32 * 18
                   : function == CASE_DECODE_Q4_1 ? n / 32 * 20
                                                  : 2 * n;
    struct guarded x = case_bytes(seed, bytes);
    switch (function) {
    case CASE_DECODE_F16: k->decode_f16(y, x.data, n); break;
    case CASE_DECODE_BF16: k->decode_bf16(y, x.data, n); break;
    case CASE_DECODE_Q8_0: k->decode_q8_0(y, x.data, n); break;
    case CASE_DECODE_Q4_0: k->decode_q4_0(y, x.data, n); break;
    default: k->decode_q4_1(y, x.data, n); break;
    }
    guarded_free(x);
}

/* Heights of tiles and panels. */
static const size_t rows_of[] = {1, 3, 4, 5, 6, 8, 11, 13, 14, 16, 17, 32};

/* n words of a few rows, which lie a little apart; heights and widths as the GEMM's. */
static void case_pack(const struct pare_kernels *k, int function, size_t n,
                      struct case_output *out, uint64_t *seed)
{
    size_t rows = rows_of[n % 12], width = rows + n % 3;
    size_t stride = function == CASE_PACK ? 4 * n + n % 5 : 4 * rows + n % 5;
    size_t lines = function == CASE_PACK ? rows : n;
    struct guarded x = case_bytes(seed, n ? (lines - 1) * stride + stride - n % 5 : 0);
    struct guarded y = guarded_new(n ? ((n - 1) * width + rows) * 4 : 0);
    if (function == CASE_PACK)
        k->pack(y.data, width, x.data, stride, rows, n);
    else
        k->pack_copy(y.data, width, x.data, stride, rows, n);
    case_put(out, y.data, n ? ((n - 1) * width + rows) * 4 : 0);
    guarded_free(x);
    guarded_free(y);
}

/* The stored rows lie a byte or two apart. */
static void case_panel(const struct pare_kernels *k, int function, size_t n,
                       struct case_output *out, uint64_t *seed)
{
    pare_panel_fn *const panels[] = {k->panel_f16, k->panel_bf16, k->panel_q8_0,
                                     k->panel_q4_0, k->panel_q4_1};
    static const size_t blocks[][2] = {{1, 2},   {1, 2},   {32, 34},
                                       {32, 18}, {32, 20}, {4, 4}};
    const size_t *block = blocks[function - CASE_PANEL_F16];
    const size_t rows = rows_of[n % 12], width = rows + n % 3;
    n = n / block[0] * block[0];
    const size_t bytes = n / block[0] * block[1], stride = bytes + rows % 3;
    const size_t floats = n ? (n - 1) * width + rows : 0;
    struct guarded x = case_bytes(seed, n ? (rows - 1) * stride + bytes : 0);
    struct guarded y = guarded_new(floats * sizeof(float));
    struct guarded s = case_floats(seed, 2 * rows, CASE_PLAIN);
    if (function == CASE_PANEL_CODES)
        k->panel_codes(y.data, width, x.data, stride, rows, n, s.data, 32,
                       (const float *)s.data + rows);
    else
        panels[function - CASE_PANEL_F16](y.data, width, x.data, stride, rows, n);
    case_put_floats(out, y.data, floats);
    guarded_free(s);
    guarded_free(x);
    guarded_free(y);
}

static void case_dequantize(const struct pare_kernels *k, size_t n, float *y,
                            const float *x, const float *bias, uint64_t *seed)
{
    struct guarded acc = case_bytes(seed, 4 * n), sums = case_bytes(seed, 4 * n);
    for (size_t i = 0; i < n; i++)
        ((int32_t *)sums.data)[i] = pare_split_sum(((int32_t *)sums.data)[i] >> 9);
    int32_t zero = (int32_t)(case_random(seed) % 256);
    if (case_random(seed) % 4 == 0)
        bias = NULL;
    k->dequantize_acc(y, acc.data, zero, 0.37f, sums.data, x, bias, n);
    guarded_free(acc);
    guarded_free(sums);
}

/* With factors, with a range that is given, and with both. */
static void case_quantize(const struct pare_kernels *k, size_t n, const float *x,
                          const float *by, uint8_t *q, struct case_output *out)
{
    float scale[1];
    int32_t zero;
    k->quantize_u8(q, x, by, n, scale, &zero);
    case_put(out, q, n);
    case_put(out, &zero, sizeof zero);
    case_put_floats(out, scale, 1);
    for (int i = 0; i < 2; i++) {
        const int finite = k->quantize_u8_fixed(q, x, i ? by : NULL, n, 37.5f, 117);
        case_put(out, q, n);
        case_put(out, &finite, sizeof finite);
    }
}

/* As many groups as n elements make, of up to 70; no special numbers among the scales'
 * codes, which a caller makes finite. */
static void case_groups(const struct pare_kernels *k, int function, size_t n,
                        const float *x, struct case_output *out, uint64_t *seed)
{
    size_t size = 1 + n % 70, groups = n / size;
    struct guarded ga = case_floats(seed, groups, CASE_SPECIAL);
    struct guarded gb = case_floats(seed, groups, CASE_PLAIN);
    struct guarded gy = guarded_new(groups * size * sizeof(float));
    struct guarded gq = guarded_new(groups * size);
    float *a = ga.data, *b = gb.data;
    if (function == CASE_GROUP_RANGE)
        k->group_range(a, b, x, groups, size);
    else if (function == CASE_GROUP_MAGNITUDE)
        k->group_magnitude(a, x, groups, size);
    else
        for (size_t i = 0; i < groups; i++)
            b[i] = rintf(b[i]) + 4;
    if (function == CASE_GROUP_ROUND) {
        k->group_round(gy.data, gq.data, x, groups, size, a, b, (float)(n % 2), 7);
        case_put_floats(out, gy.data, groups * size);
        case_put(out, gq.data, groups * size);
        k->group_round(NULL, gq.data, x, groups, size, a, b, 0, 255);
        case_put(out, gq.data, groups * size);
        k->group_round(gy.data, NULL, x, groups, size, a, b, 0, 3);
        case_put_floats(out, gy.data, groups * size);
    }
    case_put_floats(out, a, groups);
    case_put_floats(out, b, groups);
    guarded_free(ga);
    guarded_free(gb);
    guarded_free(gy);
    guarded_free(gq);
}

static void case_round_affine(const struct pare_kernels *k, size_t n, float *y, float *x,
                              const float *scale, const float *offset, uint8_t *q,
                              struct case_output *out)
{
    struct guarded gi = guarded_new(n * sizeof(float));
    float *inverse = gi.data;
    for (size_t i = 0; i < n; i++)
        inverse[i] = scale[i] != 0 ? 1 / scale[i] : 0;
    struct pare_lane_grid grid = {scale, offset, inverse, offset, 0, 15};
    k->round_affine(y, q, x, &grid, n);
    case_put(out, q, n);
    case_put_floats(out, y, n);
    grid.low = 1;
    grid.high = 255;
    k->round_affine(x, NULL, x, &grid, n);
    guarded_free(gi);
}

/* Few rows of n, a little apart, and many rows of few. */
static void case_rank_one(const struct pare_kernels *k, size_t n, const float *b,
                          struct case_output *out, uint64_t *seed)
{
    for (int many = 0; many < 2; many++) {
        const size_t m = many ? n : 1 + n % 5, columns = many ? n % 67 : n;
        const size_t ldc = columns + n % 3, floats = m && columns ? m * ldc - n % 3 : 0;
        struct guarded gc = case_floats(seed, floats, CASE_PLAIN);
        struct guarded ga = case_floats(seed, m, CASE_SPECIAL);
        k->rank_one(gc.data, ldc, ga.data, b, columns ? m : 0, columns);
        case_put_floats(out, gc.data, floats);
        guarded_free(gc);
        guarded_free(ga);
    }
}

void case_run(const struct pare_kernels *k, int function, size_t n, enum case_kind kind,
              struct case_output *out)
{
    uint64_t seed = (uint64_t)function * 1000003 + n * 7919 + (uint64_t)kind;
    if (function >= CASE_DECODE_Q8_0 && function <= CASE_DECODE_Q4_1)
        n = n / 32 * 32;
    struct guarded gy = case_floats(&seed, n, kind), gx = case_floats(&seed, n, kind);
    struct guarded gz = case_floats(&seed, n, kind), gw = case_floats(&seed, n, kind);
    struct guarded gq = guarded_new(n);
    float *y = gy.data, *x = gx.data, *z = gz.data, *w = gw.data, a = 0.123f;
    float one[2] = {0, 0};
    int32_t zero = 0;
    double square;
    switch (function) {
    case CASE_ADD: k->add(y, x, n); break;
    case CASE_ADD_TO: k->add_to(y, x, z, n); break;
    case CASE_AXPY: k->axpy(y, a, x, n); break;
    case CASE_SCALE: k->scale(y, a, n); break;
    case CASE_DOT: one[0] = k->dot(y, x, n); break;
    case CASE_SUM: one[0] = k->sum(x, n); break;
    case CASE_MAX: one[0] = k->max(x, n); break;
    case CASE_SOFTMAX: k->softmax(y, a, n); break;
    case CASE_SOFTMAX_BACKWARD: k->softmax_backward(y, x, a, n); break;
    case CASE_LOGSUMEXP: one[0] = k->logsumexp(x, n); break;
    case CASE_LAYER_NORM: k->layer_norm(y, x, z, w, 1e-5f, n, &one[0], &one[1]); break;
    case CASE_LAYER_NORM_BACKWARD:
        k->layer_norm_backward(y, z, x, w, 0.01f, 1.7f, n);
        break;
    case CASE_QUANTIZE:
        case_quantize(k, n, x, z, gq.data, out);
        k->quantize_u8(gq.data, x, NULL, n, one, &zero);
        case_put(out, gq.data, n);
        break;
    case CASE_DEQUANTIZE: case_dequantize(k, n, y, x, z, &seed); break;
    case CASE_ADAMW:
        for (size_t i = 0; i < n; i++)
            w[i] = fabsf(w[i]);
        k->adamw(y, x, w, z, n,
                 &(struct pare_adamw){.beta1 = 0.9f,
                                      .beta2 = 0.999f,
                                      .eps = 1e-8f,
                                      .lr = 3e-4f,
                                      .weight_decay = 0.01f,
                                      .bias_correction1 = 0.271f,
                                      .bias_correction2 = 0.003f,
                                      .grad_scale = 0.5f});
        break;
    case CASE_DROPOUT: k->dropout(y, n, seed, seed % 1000, 13107, 1.25f); break;
    case CASE_SUM_SQUARES:
        square = k->sum_squares(x, n);
        if (square != square)
            square = 0;
        case_put(out, &square, sizeof square);
        break;
    case CASE_DECODE_F16:
    case CASE_DECODE_BF16:
    case CASE_DECODE_Q8_0:
    case CASE_DECODE_Q4_0:
    case CASE_DECODE_Q4_1: case_decode(k, function, n, y, &seed); break;
    case CASE_PACK:
    case CASE_PACK_COPY: case_pack(k, function, n, out, &seed); break;
    case CASE_GROUP_RANGE:
    case CASE_GROUP_MAGNITUDE:
    case CASE_GROUP_ROUND: case_groups(k, function, n, x, out, &seed); break;
    case CASE_ROUND_AFFINE: case_round_affine(k, n, y, x, z, w, gq.data, out); break;
    case CASE_DEVIATE:
        k->deviate(y, w, x, z, a, n);
        k->deviate(NULL, w, y, x, 3 * a, n);
        break;
    case CASE_DEVIATE_POWER: k->deviate_power(w, x, z, a, 2.4f, n); break;
    case CASE_RANK_ONE: case_rank_one(k, n, x, out, &seed); break;
    case CASE_PANEL_F16:
    case CASE_PANEL_BF16:
    case CASE_PANEL_Q8_0:
    case CASE_PANEL_Q4_0:
    case CASE_PANEL_Q4_1:
    case CASE_PANEL_CODES: case_panel(k, function, n, out, &seed); break;
    default:
        if (function < CASE_ACTIVATE_BACKWARD)
            k->activate((enum pare_activation)function, y, x, n);
        else
            k->activate_backward(
                (enum pare_activation)(function - CASE_ACTIVATE_BACKWARD), y, z, x, n);
    }
    case_put_floats(out, y, n);
    case_put_floats(out, x, n);
    case_put_floats(out, w, n);
    case_put_floats(out, one, 2);
    case_put(out, &zero, sizeof zero);
    guarded_free(gy);
    guarded_free(gx);
    guarded_free(gz);
    guarded_free(gw);
    guarded_free(gq);
}
