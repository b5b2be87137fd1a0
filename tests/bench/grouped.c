/* bench_grouped [TIER [THREADS [MEGABYTES [M]]]]: linear layers with codes in groups
 * beside I8 and F32, in turns; megabytes of I8 weights (default 24): see turns.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/turns.h"

static const struct form {
    const char *name;
    int bits;
    size_t group; /* 0: I8 or F32 */
} forms[] = {{"I8", 8, 0},         {"F32", 32, 0},     {"int4/32", 4, 32},
             {"int4/128", 4, 128}, {"int2/32", 2, 32}, {"int2/128", 2, 128},
             {"int6/128", 6, 128}};
#define FORMS (sizeof forms / sizeof *forms)

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

static void make_stack(struct stack *s, const struct form *form, size_t N, size_t K,
                       size_t count)
{
    struct pare_arena data = {0};
    const struct pare_weight weight = make_weight(form, N, K, &data);
    stack_layers(s, &weight, count);
    pare_arena_free(&data); /* all forms are packed */
}

static void bench_shape(size_t N, size_t K, size_t megabytes, size_t only)
{
    static const size_t rows[] = {1, 8, 32, 128, 512};
    static struct stack stacks[FORMS];
    struct pare_arena arena = {0}, scratch = {0};
    struct pare_error err;
    const size_t count = layers_of(N, K, megabytes);
    must(pare_arena_reserve(&scratch, (size_t)64 << 20, &err), &err);
    for (size_t f = 0; f < FORMS; f++)
        make_stack(&stacks[f], &forms[f], N, K, count);
    struct pare_rng rng = {.seed = 1};
    float *x = memory(&arena, 512 * K * sizeof *x), *y = memory(&arena, 512 * N * 4);
    for (size_t i = 0; i < 512 * K; i++)
        x[i] = pare_rng_normal(&rng);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        double times[FORMS];
        if (only && rows[r] != only)
            continue;
        time_stacks(stacks, FORMS, x, rows[r], y, &scratch, times);
        printf("%4zu x %4zu, M %3zu:", N, K, rows[r]);
        for (size_t f = 0; f < FORMS; f++)
            printf("  %s %.1f us (%.2f)", forms[f].name, 1e6 * times[f],
                   times[0] / times[f]);
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
