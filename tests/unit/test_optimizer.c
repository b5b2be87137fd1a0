/* The optimiser's own promises; its agreement with PyTorch is in test_gradients.c. */
#include <stdlib.h>

#include "libdistill/optimizer.h"
#include "runtime/base/alloc.h"
#include "tests/support/toy_training.h"

static struct pare_config toy(void)
{
    struct pare_config config = toy_config(PARE_DISTILBERT, PARE_ACT_GELU);
    config.vocab = 50;
    return config;
}

static void open_one(const struct pare_config *config, struct pare_params **params,
                     struct pare_optimizer **optimizer)
{
    struct pare_optimizer_options options = pare_optimizer_options_default();
    options.weight_decay = 0.1f;
    TOY_OK(pare_params_new(config, params, err));
    toy_values(*params, 4);
    TOY_OK(pare_optimizer_new(*params, &options, optimizer, err));
}

static void close_one(struct pare_params *params, struct pare_optimizer *optimizer)
{
    pare_optimizer_free(optimizer);
    pare_params_free(params);
}

/* Gradient `step`: three rows of the token embedding, everything else dense. all: names
 * every row as touched, so that nothing is late. */
static void draw_gradient(struct pare_params *params, uint64_t step, int all)
{
    const size_t C = params->config.hidden, V = params->config.vocab;
    struct pare_rng rng = {.seed = 77, .stream = step};
    const size_t rows_end = params->tokens + V * C;
    for (size_t k = 0; k < params->total; k++)
        if (k < params->tokens || k >= rows_end)
            params->grad[k] = 0.1f * pare_rng_normal(&rng);
    memset(params->grad + params->tokens, 0, V * C * sizeof(float));
    params->n_touched = 0;
    for (uint32_t i = 0; i < 3; i++) { /* rows 40 to 49 never have a gradient */
        uint32_t row = i * 13 + (uint32_t)pare_rng_below(&rng, 13);
        for (size_t c = 0; c < C; c++)
            params->grad[params->tokens + row * C + c] = 0.1f * pare_rng_normal(&rng);
        params->touched[params->n_touched++] = row;
    }
    if (!all)
        return;
    params->n_touched = V;
    for (uint32_t row = 0; row < V; row++)
        params->touched[row] = row;
}

/* The promise of optimizer.h: late rows get the dense update's bits, whenever they are
 * caught up. */
Test(optimizer, late_rows_equal_the_dense_update_bit_for_bit)
{
    struct pare_config config = toy();
    struct pare_params *dense, *late;
    struct pare_optimizer *dense_optimizer, *late_optimizer;
    open_one(&config, &dense, &dense_optimizer);
    open_one(&config, &late, &late_optimizer);
    const size_t bytes = dense->total * sizeof(float);
    for (uint64_t step = 0; step < 60; step++) {
        const float lr = 0.01f / (float)(step + 1);
        double norm[2];
        draw_gradient(dense, step, 1);
        TOY_OK(pare_optimizer_step(dense_optimizer, lr, &norm[0], err));
        draw_gradient(late, step, 0);
        if (step % 5 == 0) {
            const int32_t ids[] = {3, 47, 3, 20};
            pare_optimizer_refresh(late_optimizer, ids, 4);
        }
        TOY_OK(pare_optimizer_step(late_optimizer, lr, &norm[1], err));
        cr_assert_eq(norm[0], norm[1]);
        if (step % 25 == 24)
            pare_optimizer_settle(late_optimizer);
    }
    cr_assert_arr_neq(late->value, dense->value, bytes, "nothing was late");
    pare_optimizer_settle(late_optimizer);
    cr_assert_arr_eq(late->value, dense->value, bytes);
    cr_assert_arr_eq(late_optimizer->m, dense_optimizer->m, bytes);
    cr_assert_arr_eq(late_optimizer->v, dense_optimizer->v, bytes);
    close_one(dense, dense_optimizer);
    close_one(late, late_optimizer);
}

Test(optimizer, a_refreshed_row_is_what_the_dense_update_has)
{
    struct pare_config config = toy();
    struct pare_params *dense, *late;
    struct pare_optimizer *dense_optimizer, *late_optimizer;
    open_one(&config, &dense, &dense_optimizer);
    open_one(&config, &late, &late_optimizer);
    double norm;
    for (uint64_t step = 0; step < 12; step++) {
        draw_gradient(dense, step, 1);
        TOY_OK(pare_optimizer_step(dense_optimizer, 0.01f, &norm, err));
        draw_gradient(late, step, 0);
        TOY_OK(pare_optimizer_step(late_optimizer, 0.01f, &norm, err));
    }
    const int32_t ids[] = {0, 5, 21, 49, 5};
    pare_optimizer_refresh(late_optimizer, ids, 5);
    const size_t C = config.hidden;
    for (size_t i = 0; i < 5; i++)
        cr_assert_arr_eq(late->value + late->tokens + (size_t)ids[i] * C,
                         dense->value + dense->tokens + (size_t)ids[i] * C,
                         C * sizeof(float), "row %d", ids[i]);
    close_one(dense, dense_optimizer);
    close_one(late, late_optimizer);
}

Test(optimizer, resuming_from_its_moments_gives_the_same_bits)
{
    struct pare_config config = toy();
    struct pare_params *whole, *halves;
    struct pare_optimizer *whole_optimizer, *first, *second;
    open_one(&config, &whole, &whole_optimizer);
    open_one(&config, &halves, &first);
    double norm;
    for (uint64_t step = 0; step < 20; step++) {
        draw_gradient(whole, step, 0);
        TOY_OK(pare_optimizer_step(whole_optimizer, 0.01f, &norm, err));
    }
    for (uint64_t step = 0; step < 9; step++) {
        draw_gradient(halves, step, 0);
        TOY_OK(pare_optimizer_step(first, 0.01f, &norm, err));
    }
    pare_optimizer_settle(first);
    TOY_OK(pare_optimizer_new(halves, &first->options, &second, err));
    memcpy(second->m, first->m, halves->total * sizeof(float));
    memcpy(second->v, first->v, halves->total * sizeof(float));
    pare_optimizer_resume(second, 9);
    for (uint64_t step = 9; step < 20; step++) {
        draw_gradient(halves, step, 0);
        TOY_OK(pare_optimizer_step(second, 0.01f, &norm, err));
    }
    pare_optimizer_settle(whole_optimizer);
    pare_optimizer_settle(second);
    cr_assert_arr_eq(halves->value, whole->value, whole->total * sizeof(float));
    pare_optimizer_free(second);
    close_one(whole, whole_optimizer);
    close_one(halves, first);
}

/* Numbers below the normal ones would make each of its later updates many times slower.
 */
Test(optimizer, a_moment_without_gradients_ends_at_zero)
{
    struct pare_config config = toy();
    struct pare_params *params;
    struct pare_optimizer *optimizer;
    open_one(&config, &params, &optimizer);
    draw_gradient(params, 1, 0);
    const size_t row = params->touched[0], C = config.hidden;
    double norm;
    TOY_OK(pare_optimizer_step(optimizer, 1e-4f, &norm, err));
    const float *m = optimizer->m + params->tokens + row * C;
    cr_assert_neq(m[0], 0);
    memset(params->grad, 0, params->total * sizeof(float));
    params->n_touched = 0;
    for (int step = 0; step < 800; step++)
        TOY_OK(pare_optimizer_step(optimizer, 1e-4f, &norm, err));
    pare_optimizer_settle(optimizer);
    for (size_t k = 0; k < params->total; k++) {
        cr_assert_eq(optimizer->m[k], 0);
        cr_assert(optimizer->v[k] == 0 || optimizer->v[k] >= 0x1p-100f);
    }
    close_one(params, optimizer);
}

Test(optimizer, norms_and_biases_do_not_decay)
{
    struct pare_config config = toy();
    struct pare_params *params;
    struct pare_optimizer *optimizer;
    open_one(&config, &params, &optimizer);
    float *before;
    TOY_OK(pare_alloc(&before, params->total, sizeof(float), err));
    memcpy(before, params->value, params->total * sizeof(float));
    double norm;
    TOY_OK(pare_optimizer_step(optimizer, 0.5f, &norm, err)); /* no gradient at all */
    pare_optimizer_settle(optimizer);
    cr_assert_eq(norm, 0);
    for (size_t i = 0; i < params->plan.count; i++) {
        const struct pare_slot *slot = &params->plan.slots[i];
        float factor = slot->n_dims == 2 ? 1.0f - 0.5f * 0.1f : 1.0f;
        for (size_t k = params->start[i]; k < params->start[i + 1]; k++)
            cr_assert_eq(params->value[k], factor * before[k], "%s", slot->name);
    }
    pare_free(before);
    close_one(params, optimizer);
}

Test(optimizer, a_gradient_that_is_not_finite_names_its_tensor_and_changes_nothing)
{
    struct pare_config config = toy();
    struct pare_params *params;
    struct pare_optimizer *optimizer;
    open_one(&config, &params, &optimizer);
    float *before;
    TOY_OK(pare_alloc(&before, params->total, sizeof(float), err));
    memcpy(before, params->value, params->total * sizeof(float));
    params->grad[params->blocks[1].up.weight + 7] = NAN;
    struct pare_error error;
    double norm;
    cr_assert_eq(pare_optimizer_step(optimizer, 0.1f, &norm, &error), PARE_ERR_INPUT);
    cr_assert_str_eq(error.message,
                     "the gradient of blk.1.ffn_up.weight is not a number at element 7");
    pare_optimizer_settle(optimizer);
    cr_assert_arr_eq(params->value, before, params->total * sizeof(float));
    pare_free(before);
    close_one(params, optimizer);
}
