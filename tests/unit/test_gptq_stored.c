/* What GPTQ stores: it decodes to the solution, and no machine changes it. */
#include <criterion/criterion.h>

#include "runtime/base/parallel.h"
#include "tests/support/gptq_stored.h"

Test(gptq, what_is_stored_decodes_to_the_solution_bit_for_bit)
{
    struct problem p = problem_new(67, 192, 8);
    float *row = malloc(p.K * sizeof *row);
    for (size_t t = 0; t < TARGETS; t++) {
        struct pare_factor factor =
            problem_factor(&p, PARE_ORDER_GROUPS, pare_target_group(&targets[t], p.K));
        const struct pare_gptq_options options = pare_gptq_defaults(&targets[t]);
        struct bytes b = bytes_new(&p, &targets[t]);
        float *Q = solve(&p, &factor, &options, &b.stored, NULL);
        for (size_t n = 0; n < p.N; n++) {
            decode_row(&p, &targets[t], &b, n, row);
            for (size_t k = 0; k < p.K; k++)
                cr_assert_eq(row[k], Q[n * p.K + k], "target %zu: (%zu, %zu)", t, n, k);
        }
        free(Q);
        bytes_free(&b);
        pare_factor_free(&factor);
    }
    free(row);
    problem_free(&p);
}

Test(gptq, the_bytes_depend_neither_on_threads_nor_on_the_tier)
{
    static const int threads[] = {1, 2, 3, 7};
    struct problem p = problem_new(70, 576, 9);
    for (size_t t = 0; t < TARGETS; t += 3) {
        struct bytes first = stored_with(&p, &targets[t]);
        for (int tier = 0; pare_cpu_tier(tier); tier++)
            for (int i = 0; i < (tier ? 4 : 1); i++) {
                cr_assert_eq(pare_cpu_select(pare_cpu_tier(tier), NULL), PARE_OK);
                pare_set_threads(threads[i]);
                struct bytes b = stored_with(&p, &targets[t]);
                cr_expect(
                    !memcmp(b.stored.data, first.stored.data, b.data) &&
                        (!b.scale ||
                         !memcmp(b.stored.scale, first.stored.scale, b.scale)) &&
                        (!b.zero || !memcmp(b.stored.zero, first.stored.zero, b.zero)),
                    "target %zu, %s, %d threads", t, pare_cpu_tier(tier), threads[i]);
                bytes_free(&b);
            }
        bytes_free(&first);
    }
    problem_free(&p);
}
