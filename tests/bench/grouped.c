/* bench_grouped [TIER [THREADS [MEGABYTES [M]]]]: linear layers with codes in groups
 * beside I8 and F32, in turns. Each pass goes through as many layers of a shape as hold
 * that many megabytes of I8 weights (default 24), so that none stays in a cache by
 * itself.
 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/rng.h"
#include "runtime/tensor/linear.h"
#include "tests/bench/bench.h"

static const struct form {
    const char *name;
    int bits;
    size_t group; /* 0: I8 or F32 */
} forms[] = {{"I8", 8, 0},         {"F32", 32, 0},     {"int4/32", 4, 32},
             {"int4/128", 4, 128}, {"int2/32", 2, 32}, {"int2/128", 2, 128},
             {"int6/128", 6, 128}};
#define FORMS (sizeof forms / sizeof *forms)
#define MOST_LAYERS 64
#define ROUNDS 15

static void *memory(struct pare_arena *arena, size_t bytes)
{
    void *p;
    struct pare_error err;
    must(pare_arena_alloc(arena, &p, bytes, 1, &err), &err);
    return p;
}

/* Random codes, small scales; of F32 small values. */
static struct pare_weight make_weight(const struct form *form, size_t N, size_t K,
                                      struct pare_arena *arena)
{
    struct pare_weight w = {
        .type = form->bits == 32 ? PARE_F32 : PARE_I8, .N = N, .K = K};
    struct pare_rng rng = {.seed = N + K};
    const size_t bytes = N * K * (size_t)form->bits / 8;
    unsigned char *data = memory(arena, bytes);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (unsigned char)pare_rng_next(&rng);
    w.data = data;
    if (form->bits == 32) {
        float *values = (float *)(void *)data;
        for (size_t i = 0; i < N * K; i++)
            values[i] = pare_rng_uniform(&rng) - 0.5f;
    } else if (form->group) {
        uint16_t *scale = memory(arena, N * (K / form->group) * 2);
        for (size_t i = 0; i < N * (K / form->group); i++)
            scale[i] = pare_f32_to_f16(pare_rng_uniform(&rng) * 0.01f);
        w.groups = (struct pare_groups){form->bits, form->group,
                                        (const unsigned char *)scale, NULL};
    } else {
        float *scale = memory(arena, N * sizeof *scale);
        for (size_t n = 0; n < N; n++)
            scale[n] = pare_rng_uniform(&rng) * 0.001f;
        w.scale = scale;
    }
    return w;
}

struct stack {
    struct pare_linear layers[MOST_LAYERS];
    size_t count;
    struct pare_arena arena;
};

static void make_stack(struct stack *s, const struct form *form, size_t N, size_t K,
                       size_t count)
{
    struct pare_error err;
    struct pare_arena data = {0};
    const struct pare_weight weight = make_weight(form, N, K, &data);
    float *bias = memory(&s->arena, N * sizeof *bias);
    for (size_t n = 0; n < N; n++)
        bias[n] = 0.01f * (float)(n % 7);
    s->count = count;
    for (size_t i = 0; i < count; i++)
        must(pare_linear_init(&s->layers[i], &weight, 1, bias, 0, &s->arena, &err), &err);
    pare_arena_free(&data); /* all forms are packed */
}

static double run_stack(const struct stack *s, const float *x, size_t M, float *y,
                        struct pare_arena *scratch)
{
    struct pare_error err;
    const double begin = now();
    for (size_t i = 0; i < s->count; i++)
        must(pare_linear_forward(&s->layers[i], x, M, y, PARE_ACT_NONE, NULL, scratch,
                                 &err),
             &err);
    return (now() - begin) / (double)s->count;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void bench_shape(size_t N, size_t K, size_t megabytes, size_t only)
{
    static const size_t rows[] = {1, 8, 32, 128, 512};
    static struct stack stacks[FORMS];
    struct pare_arena arena = {0}, scratch = {0};
    struct pare_error err;
    size_t count = (megabytes << 20) / (N * K) + 1;
    count = count < MOST_LAYERS ? count : MOST_LAYERS;
    must(pare_arena_reserve(&scratch, (size_t)64 << 20, &err), &err);
    for (size_t f = 0; f < FORMS; f++)
        make_stack(&stacks[f], &forms[f], N, K, count);
    struct pare_rng rng = {.seed = 1};
    float *x = memory(&arena, 512 * K * sizeof *x), *y = memory(&arena, 512 * N * 4);
    for (size_t i = 0; i < 512 * K; i++)
        x[i] = pare_rng_normal(&rng);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        double times[FORMS][ROUNDS];
        if (only && rows[r] != only)
            continue;
        for (int round = 0; round < ROUNDS; round++)
            for (size_t f = 0; f < FORMS; f++)
                times[f][round] = run_stack(&stacks[f], x, rows[r], y, &scratch);
        for (size_t f = 0; f < FORMS; f++)
            qsort(times[f], ROUNDS, sizeof(double), compare);
        printf("%4zu x %4zu, M %3zu:", N, K, rows[r]);
        for (size_t f = 0; f < FORMS; f++)
            printf("  %s %.1f us (%.2f)", forms[f].name, 1e6 * times[f][ROUNDS / 2],
                   times[0][ROUNDS / 2] / times[f][ROUNDS / 2]);
        printf("\n");
        fflush(stdout);
    }
    for (size_t f = 0; f < FORMS; f++)
        pare_arena_free(&stacks[f].arena);
    pare_arena_free(&arena);
    pare_arena_free(&scratch);
}

int main(int argc, char **argv)
{
    struct pare_error err;
    must(pare_cpu_select(argc > 1 ? argv[1] : NULL, &err), &err);
    pare_set_threads(argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1);
    const size_t megabytes = argc > 3 ? (size_t)strtol(argv[3], NULL, 10) : 24;
    const size_t only = argc > 4 ? (size_t)strtol(argv[4], NULL, 10) : 0;
    printf("tier %s, %d threads; time of a layer, median of %d turns (speed, I8 = 1)\n",
           pare_kernels()->tier, pare_threads(), ROUNDS);
    bench_shape(768, 768, megabytes, only);
    bench_shape(3072, 768, megabytes, only);
    bench_shape(768, 3072, megabytes, only);
    return 0;
}
