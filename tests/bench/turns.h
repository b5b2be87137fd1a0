/* Timing forms of linear layers in turns. Each pass goes through as many layers of a
 * shape as hold so many megabytes, so that none stays in a cache by itself. */
#ifndef PARE_TESTS_BENCH_TURNS_H
#define PARE_TESTS_BENCH_TURNS_H

#include "runtime/base/rng.h"
#include "runtime/tensor/linear.h"
#include "tests/bench/bench.h"

#define MOST_LAYERS 64
#define ROUNDS 15

static inline void *memory(struct pare_arena *arena, size_t bytes)
{
    void *p;
    struct pare_error err;
    must(pare_arena_alloc(arena, &p, bytes, 1, &err), &err);
    return p;
}

struct stack {
    struct pare_linear layers[MOST_LAYERS];
    size_t count;
    struct pare_arena arena;
};

/* `count` layers of the weight, each packed on its own. */
static inline void stack_layers(struct stack *s, const struct pare_weight *weight,
                                size_t count)
{
    struct pare_error err;
    float *bias = memory(&s->arena, weight->N * sizeof *bias);
    for (size_t n = 0; n < weight->N; n++)
        bias[n] = 0.01f * (float)(n % 7);
    s->count = count;
    for (size_t i = 0; i < count; i++)
        must(pare_linear_init(&s->layers[i], weight, 1, bias, 0, &s->arena, &err), &err);
}

static inline size_t layers_of(size_t N, size_t K, size_t megabytes)
{
    const size_t count = (megabytes << 20) / (N * K) + 1;
    return count < MOST_LAYERS ? count : MOST_LAYERS;
}

/* Seconds a layer. */
static inline double run_stack(const struct stack *s, const float *x, size_t M, float *y,
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

static inline int compare_times(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The median time a layer of each stack, in turns. */
static inline void time_stacks(const struct stack *stacks, size_t count, const float *x,
                               size_t M, float *y, struct pare_arena *scratch,
                               double *median)
{
    double times[16][ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        for (size_t s = 0; s < count; s++)
            times[s][round] = run_stack(&stacks[s], x, M, y, scratch);
    for (size_t s = 0; s < count; s++) {
        qsort(times[s], ROUNDS, sizeof(double), compare_times);
        median[s] = times[s][ROUNDS / 2];
    }
}

#endif
