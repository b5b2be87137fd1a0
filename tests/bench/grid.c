/* bench_grid [TIER [THREADS]]: time of rounding a matrix of 3072 x 768 to each grid. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "libquant/grid.h"
#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/base/rng.h"
#include "runtime/kernels/kernels.h"

#define N 3072
#define K 768

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    static const struct pare_grid grids[] = {
        {.bits = 4, .group = 32},
        {.bits = 4, .group = 128},
        {.bits = 4, .group = 32, .asymmetric = 1},
        {.bits = 2, .group = 32},
        {.bits = 8},
        {.bits = 2, .ternary = 1},
        {.bits = 2, .group = 128, .ternary = 1},
    };
    struct pare_rng rng = {.seed = 1};
    struct pare_error err;
    float *W, *out;
    if (pare_cpu_select(argc > 1 ? argv[1] : NULL, &err) ||
        pare_alloc(&W, N * K, sizeof *W, &err) ||
        pare_alloc(&out, N * K, sizeof *out, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    pare_set_threads(argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1);
    for (size_t i = 0; i < N * K; i++)
        W[i] = pare_rng_normal(&rng);
    for (size_t g = 0; g < sizeof grids / sizeof *grids; g++) {
        double best = 1e9;
        for (int round = 0; round < 30; round++) {
            double begin = now();
            pare_grid_round(&grids[g], W, N, K, out);
            double taken = now() - begin;
            best = taken < best ? taken : best;
        }
        printf("%d bits, groups of %4zu%s%s: %.3f ms\n", grids[g].bits, grids[g].group,
               grids[g].asymmetric ? ", asymmetric" : "",
               grids[g].ternary ? ", ternary" : "", 1e3 * best);
    }
    pare_free(W);
    pare_free(out);
    return 0;
}
