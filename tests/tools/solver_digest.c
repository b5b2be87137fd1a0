/* solver_digest [TIER]: one digest a stored form, of what GPTQ makes of a small layer
 * with the default options, and one of corrected weights. The output is the same for
 * every tier, compiler and machine (tests/tools/arm64_digest.sh).
 */
#include <stdio.h>
#include <stdlib.h>

#include "libquant/correct.h"
#include "libquant/gptq.h"
#include "runtime/base/parallel.h"
#include "runtime/kernels/kernels.h"
#include "tests/support/kernel_cases.h"
#include "tests/support/solver_problem.h"

/* FNV-1a */
static void print_digest(const float *data, size_t n, const char *name)
{
    const unsigned char *p = (const unsigned char *)data;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n * sizeof *data; i++)
        hash = (hash ^ p[i]) * 0x100000001b3u;
    printf("%016llx %s\n", (unsigned long long)hash, name);
}

static void must(enum pare_status status, const struct pare_error *err)
{
    if (!status)
        return;
    fprintf(stderr, "%s\n", err->message);
    exit((int)status);
}

static void print_target(const struct problem *p, const struct pare_target *target,
                         const char *name)
{
    struct pare_arena scratch = {0};
    struct pare_error err;
    struct pare_gptq_report report = {0};
    struct pare_factor factor = problem_factor(p, pare_gptq_default_order(target),
                                               pare_target_group(target, p->K));
    const struct pare_gptq_options options = pare_gptq_defaults(target);
    const struct pare_quant_rows rows = {p->W, p->N, p->K, 0};
    float *Q = malloc(p->N * p->K * sizeof *Q);
    must(pare_gptq(&rows, &factor, &options, Q, NULL, &report, &scratch, &err), &err);
    print_digest(Q, p->N * p->K, name);
    free(Q);
    pare_factor_free(&factor);
    pare_arena_free(&scratch);
}

static void print_grids(const struct problem *p)
{
    static const int bits[] = {2, 3, 4, 5, 6, 7, 8};
    for (int i = 0; i < 14; i++) {
        char name[64];
        const struct pare_target target = {
            .kind = PARE_TARGET_GROUPS,
            .grid = {.bits = bits[i / 2], .group = 32, .asymmetric = i % 2}};
        snprintf(name, sizeof name, "%d bits, zero points %d", bits[i / 2], i % 2);
        print_target(p, &target, name);
    }
    const struct pare_target ternary = {.kind = PARE_TARGET_GROUPS,
                                        .grid = {.bits = 2, .group = 32, .ternary = 1}};
    print_target(p, &ternary, "ternary");
}

static void print_types(const struct problem *p)
{
    static const enum pare_dtype types[] = {PARE_Q8_0, PARE_Q4_0, PARE_Q4_1, PARE_I8};
    for (int i = 0; i < 4; i++) {
        const struct pare_target target = {.kind = PARE_TARGET_TYPE, .type = types[i]};
        print_target(p, &target, pare_dtype_name(types[i]));
    }
}

static void print_superblocks(void)
{
    static const enum pare_dtype types[] = {PARE_Q2_K, PARE_Q3_K,  PARE_Q4_K, PARE_Q5_K,
                                            PARE_Q6_K, PARE_TQ1_0, PARE_TQ2_0};
    struct problem p = problem_new(70, 512, 32);
    for (int i = 0; i < 7; i++) {
        const struct pare_target target = {.kind = PARE_TARGET_TYPE, .type = types[i]};
        print_target(&p, &target, pare_dtype_name(types[i]));
    }
    problem_free(&p);
}

static void print_corrected(const struct problem *p)
{
    struct pare_arena scratch = {0};
    struct pare_error err;
    struct pare_cross cross;
    struct pare_factor factor = problem_factor(p, PARE_ORDER_ALL, 32);
    float *V = malloc(p->N * p->K * sizeof *V);
    must(pare_cross_init(&cross, p->K, &err), &err);
    must(pare_cross_add(&cross, p->W, p->W + p->K, p->N - 1, &scratch, &err), &err);
    const struct pare_cross_source C = pare_cross_in_memory(&cross);
    must(pare_quant_correct(&factor, &C, p->W, p->N, 0.75f, V, &scratch, &err), &err);
    print_digest(V, p->N * p->K, "corrected");
    free(V);
    pare_cross_free(&cross);
    pare_factor_free(&factor);
    pare_arena_free(&scratch);
}

int main(int argc, char **argv)
{
    struct pare_error err;
    must(pare_cpu_select(argc > 1 ? argv[1] : NULL, &err), &err);
    struct problem p = problem_new(70, 576, 31);
    print_grids(&p);
    print_types(&p);
    print_superblocks();
    print_corrected(&p);
    problem_free(&p);
    return 0;
}
