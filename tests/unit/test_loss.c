/* Costs of weight errors against plain sums in double. */
#include <criterion/criterion.h>

#include "libquant/loss.h"
#include "runtime/base/parallel.h"
#include "tests/support/kernel_cases.h"

static float *numbers(size_t n, uint64_t seed)
{
    float *p = malloc(n * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = case_float(&seed, CASE_PLAIN);
    return p;
}

static double loss_of(const struct pare_gram *H, const float *E, size_t N)
{
    struct pare_arena arena = {0};
    double loss = 0;
    cr_assert_eq(pare_quant_loss(H, E, N, &loss, &arena, NULL), PARE_OK);
    pare_arena_free(&arena);
    return loss;
}

/* The squared change of the outputs, input by input. */
Test(loss, is_the_squared_change_of_the_outputs)
{
    static const size_t shapes[][3] = {
        {1, 1, 1}, {3, 7, 5}, {40, 64, 9}, {150, 65, 70}, {300, 200, 33}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const size_t T = shapes[s][0], K = shapes[s][1], N = shapes[s][2];
        float *X = numbers(T * K, s), *E = numbers(N * K, 50 + s);
        struct pare_gram H;
        struct pare_arena arena = {0};
        double expected = 0;
        cr_assert_eq(pare_gram_init(&H, K, NULL), PARE_OK);
        cr_assert_eq(pare_gram_add(&H, X, T, K, &arena, NULL), PARE_OK);
        for (size_t t = 0; t < T; t++)
            for (size_t n = 0; n < N; n++) {
                double change = 0;
                for (size_t k = 0; k < K; k++)
                    change += (double)X[t * K + k] * (double)E[n * K + k];
                expected += change * change;
            }
        cr_assert_float_eq(loss_of(&H, E, N), expected, 2e-6 * expected,
                           "%zu inputs of %zu, %zu outputs", T, K, N);
        pare_gram_free(&H);
        pare_arena_free(&arena);
        free(X);
        free(E);
    }
}

Test(loss, is_nothing_without_inputs_and_the_same_for_any_number_of_threads)
{
    const size_t K = 130, N = 40;
    float *X = numbers(500 * K, 3), *E = numbers(N * K, 4);
    struct pare_gram H;
    struct pare_arena arena = {0};
    cr_assert_eq(pare_gram_init(&H, K, NULL), PARE_OK);
    cr_assert(loss_of(&H, E, N) == 0);
    cr_assert_eq(pare_gram_add(&H, X, 500, K, &arena, NULL), PARE_OK);
    pare_set_threads(1);
    const double one = loss_of(&H, E, N);
    for (int threads = 2; threads <= 7; threads++) {
        pare_set_threads(threads);
        cr_assert(loss_of(&H, E, N) == one);
    }
    pare_gram_free(&H);
    pare_arena_free(&arena);
    free(X);
    free(E);
}
