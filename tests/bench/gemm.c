/* bench_gemm [TIER [THREADS [PART [ROWS]]]]: matrix products and linear layers as a share
 * of the peak of the arithmetic units, which is measured in the same run, before and
 * after each figure, of PART (i8, f32, q or one of its types, att, gemm, bf16; all) with
 * up to ROWS rows. The best of several repetitions counts: other work on the machine only
 * slows down.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/tensor/gemm.h"
#include "runtime/tensor/linear.h"
#include "tests/bench/bench.h"
#include "tests/bench/peak.h"

static void *memory(struct pare_arena *arena, size_t bytes)
{
    void *p;
    struct pare_error err;
    must(pare_arena_alloc(arena, &p, bytes, 1, &err), &err);
    return p;
}

static float *floats(struct pare_arena *arena, size_t n, float scale)
{
    float *p = memory(arena, n * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)(rand() % 2001 - 1000) * scale;
    return p;
}

struct rate {
    double best; /* operations a second */
    double peak;
};

/* Runs fn(context) until the best time has stopped falling, with the peak beside it. */
static struct rate measure(void (*fn)(void *), void *context, double operations, int int8)
{
    struct rate rate = {0, 0};
    double begin = now();
    for (int round = 0; round < 400 && (round < 7 || now() - begin < 0.4); round++) {
        double start = now();
        fn(context);
        double speed = operations / (now() - start);
        if (speed > rate.best)
            rate.best = speed;
        if (round % 50 == 0) {
            double peak = int8 ? peak_int8() : peak_f32();
            if (peak > rate.peak)
                rate.peak = peak;
        }
    }
    rate.peak *= pare_threads();
    return rate;
}

static void print_rate(const char *what, struct rate rate, double operations)
{
    printf("%-44s %9.3f ms %8.1f G/s %5.1f %% of %.0f\n", what,
           operations / rate.best * 1e3, rate.best * 1e-9, 100 * rate.best / rate.peak,
           rate.peak * 1e-9);
    fflush(stdout);
}

struct product {
    size_t M, N, K;
    struct pare_matrix A, B;
    float *C;
    int accumulate;
    struct pare_arena *scratch;
    float *own;
};

static void run_gemm_bf16(void *context)
{
    struct product *p = context;
    struct pare_error err;
    must(pare_gemm_bf16(p->M, p->N, p->K, p->A, p->B, p->C, p->N, p->accumulate,
                        p->scratch, &err),
         &err);
}

static void run_gemm(void *context)
{
    struct product *p = context;
    struct pare_error err;
    must(pare_gemm(p->M, p->N, p->K, p->A, p->B, p->C, p->N, p->accumulate, p->scratch,
                   &err),
         &err);
}

#define SMALL_TIMES 64

static void run_small(void *context)
{
    struct product *p = context;
    for (int i = 0; i < SMALL_TIMES; i++)
        pare_gemm_one(&(struct pare_gemm_task){p->M, p->N, p->K, p->A, p->B, p->C, p->N,
                                               p->accumulate},
                      p->own);
}

static void bench_products(int bf16, struct pare_arena *scratch)
{
    static const size_t shapes[][3] = {
        {416, 768, 768},   {416, 3072, 768},  {416, 768, 3072}, {2048, 768, 768},
        {2048, 3072, 768}, {2048, 768, 3072}, {768, 768, 2048}, {3072, 768, 2048},
        {384, 384, 2048},  {1536, 384, 416}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int t = 0; t < 4; t++) {
            struct pare_arena arena = {0};
            struct product p = {.M = shapes[s][0],
                                .N = shapes[s][1],
                                .K = shapes[s][2],
                                .accumulate = t == 1,
                                .scratch = scratch};
            float *a = floats(&arena, p.M * p.K, 1e-3f),
                  *b = floats(&arena, p.K * p.N, 1e-3f);
            p.A = t & 1 ? pare_transposed(a, p.M) : pare_rows(a, p.K);
            p.B = t & 2 ? pare_transposed(b, p.K) : pare_rows(b, p.N);
            p.C = floats(&arena, p.M * p.N, 1e-3f);
            char name[64];
            snprintf(name, sizeof name, "gemm%s %s%s %zu x %zu x %zu%s",
                     bf16 ? " bf16" : "", t & 1 ? "T" : "N", t & 2 ? "T" : "N", p.M, p.N,
                     p.K, p.accumulate ? " accumulating" : "");
            double operations = 2.0 * (double)p.M * (double)p.N * (double)p.K;
            print_rate(name, measure(bf16 ? run_gemm_bf16 : run_gemm, &p, operations, 0),
                       operations);
            pare_arena_free(&arena);
        }
}

static void bench_attention(void)
{
    static const size_t lengths[] = {8, 16, 32, 64, 128, 256, 512};
    int threads = pare_threads();
    pare_set_threads(1);
    for (size_t i = 0; i < 2 * sizeof lengths / sizeof lengths[0]; i++) {
        size_t L = lengths[i / 2], rows = L < 64 ? L : 64;
        struct pare_arena arena = {0};
        struct product p = {.M = rows, .N = i % 2 ? 64 : L, .K = i % 2 ? L : 64};
        const float *qkv = floats(&arena, L * 2304, 1e-3f);
        p.A =
            i % 2 ? pare_rows(floats(&arena, rows * L, 1e-3f), L) : pare_rows(qkv, 2304);
        p.B = i % 2 ? pare_rows(qkv + 1536, 2304) : pare_transposed(qkv + 768, 2304);
        p.C = floats(&arena, p.M * p.N, 1e-3f);
        p.own = memory(&arena, pare_gemm_one_scratch(p.M, p.N, p.K) * sizeof(float));
        char name[64];
        snprintf(name, sizeof name, "one, %s, %zu x %zu x %zu", i % 2 ? "P V" : "Q K",
                 p.M, p.N, p.K);
        double operations = 2.0 * SMALL_TIMES * (double)p.M * (double)p.N * (double)p.K;
        print_rate(name, measure(run_small, &p, operations, 0), operations);
        pare_arena_free(&arena);
    }
    pare_set_threads(threads);
}

/* The linear layers of DistilBERT-base, layer after layer as in a forward. */
#define LAYERS 6

struct stack {
    struct pare_linear qkv[LAYERS], out[LAYERS], up[LAYERS], down[LAYERS];
    size_t M;
    float *x, *y, *z;
    struct pare_arena *scratch;
};

static void run_stack(void *context)
{
    struct stack *s = context;
    struct pare_error err;
    for (int l = 0; l < LAYERS; l++) {
        must(pare_linear_forward(&s->qkv[l], s->x, s->M, s->y, PARE_ACT_NONE, NULL,
                                 s->scratch, &err),
             &err);
        must(pare_linear_forward(&s->out[l], s->x, s->M, s->z, PARE_ACT_NONE, s->x,
                                 s->scratch, &err),
             &err);
        must(pare_linear_forward(&s->up[l], s->x, s->M, s->y, PARE_ACT_GELU, NULL,
                                 s->scratch, &err),
             &err);
        must(pare_linear_forward(&s->down[l], s->y, s->M, s->z, PARE_ACT_NONE, s->x,
                                 s->scratch, &err),
             &err);
    }
}

/* Bytes that are small halves (0x11 0x10) where a block keeps its scale, small otherwise.
 */
static void fill_blocks(unsigned char *data, size_t bytes,
                        const struct pare_dtype_info *info)
{
    for (size_t i = 0; i < bytes; i++)
        data[i] = (unsigned char)(rand() % 256);
    for (size_t i = 0; i < bytes && info->type != PARE_I8; i += info->block_bytes)
        data[i + 1] = 0x08 + (data[i + 1] & 0x83);
}

static void make_linear(struct pare_linear *linear, enum pare_dtype type, int parts,
                        size_t N, size_t K, struct pare_arena *arena)
{
    const struct pare_dtype_info *info = pare_dtype_info(type);
    size_t bytes = N * K / info->block * info->block_bytes;
    struct pare_weight weights[PARE_LINEAR_PARTS];
    struct pare_error err;
    for (int i = 0; i < parts; i++) {
        unsigned char *data = memory(arena, bytes);
        if (type == PARE_F32)
            data = (unsigned char *)floats(arena, N * K, 3e-5f);
        else
            fill_blocks(data, bytes, info);
        weights[i] = (struct pare_weight){
            .type = type,
            .N = N,
            .K = K,
            .data = data,
            .scale = type == PARE_I8 ? floats(arena, N, 1e-6f) : NULL};
    }
    must(pare_linear_init(linear, weights, parts, floats(arena, N * (size_t)parts, 1e-4f),
                          0, arena, &err),
         &err);
}

static void bench_stack(enum pare_dtype type, size_t most, struct pare_arena *scratch)
{
    static const size_t rows[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 2048};
    static struct stack stack;
    struct pare_arena arena = {0};
    for (int l = 0; l < LAYERS; l++) {
        make_linear(&stack.qkv[l], type, 3, 768, 768, &arena);
        make_linear(&stack.out[l], type, 1, 768, 768, &arena);
        make_linear(&stack.up[l], type, 1, 3072, 768, &arena);
        make_linear(&stack.down[l], type, 1, 768, 3072, &arena);
    }
    stack.scratch = scratch;
    stack.x = floats(&arena, 2048 * 768, 1e-3f);
    stack.y = floats(&arena, 2048 * 3072, 1e-3f);
    stack.z = floats(&arena, 2048 * 768, 1e-3f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && rows[i] <= most; i++) {
        stack.M = rows[i];
        char name[64];
        snprintf(name, sizeof name, "24 linears of DistilBERT, %s, %zu rows",
                 pare_dtype_name(type), rows[i]);
        double operations =
            2.0 * LAYERS * (4 * 768 * 768 + 2 * 768 * 3072) * (double)rows[i];
        print_rate(name, measure(run_stack, &stack, operations, type == PARE_I8),
                   operations);
    }
    pare_arena_free(&arena);
}

int main(int argc, char **argv)
{
    struct pare_error err;
    must(pare_cpu_select(argc > 1 ? argv[1] : NULL, &err), &err);
    pare_set_threads(argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1);
    const char *only = argc > 3 ? argv[3] : "";
    const size_t most = argc > 4 ? strtoul(argv[4], NULL, 10) : SIZE_MAX;
    peak_select(pare_kernels()->tier);
    printf("tier %s, %d threads, peak of one: %.0f GFLOP/s, %.0f GOP/s INT8\n",
           pare_kernels()->tier, pare_threads(), peak_f32() * 1e-9, peak_int8() * 1e-9);
    struct pare_arena scratch = {0};
    must(pare_arena_reserve(&scratch, (size_t)64 << 20, &err), &err);
    if (!*only || strstr(only, "i8"))
        bench_stack(PARE_I8, most, &scratch);
    if (!*only || strstr(only, "f32"))
        bench_stack(PARE_F32, most, &scratch);
    static const enum pare_dtype decoded[] = {PARE_Q8_0, PARE_Q4_0, PARE_Q4_1,
                                              PARE_F16,  PARE_BF16, PARE_Q4_K};
    for (int i = 0; i < 6; i++)
        if (!*only || !strcmp(only, "q") || !strcmp(only, pare_dtype_name(decoded[i])))
            bench_stack(decoded[i], most, &scratch);
    if (!*only || strstr(only, "att"))
        bench_attention();
    if (!*only || strstr(only, "gemm"))
        bench_products(0, &scratch);
    if (!*only || strstr(only, "bf16"))
        bench_products(1, &scratch);
    pare_arena_free(&scratch);
    return 0;
}
