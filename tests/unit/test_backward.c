/* The backward pass against finite differences of the forward, and its promises: same
 * bits for any thread count and tier, sums of several batches. Against PyTorch's
 * gradients: test_gradients.c. */
#include "tests/support/finite_differences.h"
#include "tests/support/toy_training.h"

#include <stdio.h>

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"

static double loss_of(void *toy)
{
    return toy_loss(toy);
}

static void check_gradients(const struct pare_config *config,
                            const struct pare_dropout *dropout)
{
    struct toy toy;
    toy_open(&toy, config, dropout);
    double loss = toy_gradient(&toy, 0);
    slope_expect(loss, toy_loss(&toy), "the loss itself");
    slope_check(&(struct slope_loss){toy.params, toy.params->grad, loss_of, &toy});
    toy_close(&toy);
}

static const struct pare_dropout mask = {.seed = 3, .step = 41};

Test(backward, bert_agrees_with_finite_differences)
{
    struct pare_config config = toy_config(PARE_BERT, PARE_ACT_GELU);
    check_gradients(&config, NULL);
}

Test(backward, bert_with_dropout_agrees_with_finite_differences)
{
    struct pare_config config = toy_config_with_dropout(PARE_BERT, PARE_ACT_GELU_TANH);
    check_gradients(&config, &mask);
}

Test(backward, distilbert_agrees_with_finite_differences)
{
    struct pare_config config = toy_config(PARE_DISTILBERT, PARE_ACT_GELU);
    check_gradients(&config, NULL);
}

Test(backward, distilbert_with_dropout_agrees_with_finite_differences)
{
    struct pare_config config = toy_config_with_dropout(PARE_DISTILBERT, PARE_ACT_SILU);
    check_gradients(&config, &mask);
}

Test(backward, relu_blocks_agree_with_finite_differences)
{
    struct pare_config config = toy_config(PARE_BERT, PARE_ACT_RELU);
    config.layers = 1;
    check_gradients(&config, NULL);
}

Test(backward, a_classifier_without_a_pooler_agrees_with_finite_differences)
{
    struct pare_config config = toy_config_with_dropout(PARE_BERT, PARE_ACT_GELU);
    config.has_pooler = 0;
    config.layers = 3;
    check_gradients(&config, &mask);
}

/* Heads that together are narrower than the hidden state, and wider. */
Test(backward, heads_of_a_width_of_their_own_agree_with_finite_differences)
{
    struct pare_config config = toy_config_with_dropout(PARE_BERT, PARE_ACT_GELU);
    pare_config_set_heads(&config, 2, 4);
    check_gradients(&config, &mask);
    pare_config_set_heads(&config, 3, 5);
    check_gradients(&config, NULL);
}

Test(backward, first_tokens_alone_give_the_same_bits)
{
    struct pare_config config = toy_config_with_dropout(PARE_BERT, PARE_ACT_GELU);
    for (config.layers = 1; config.layers <= 3; config.layers++) {
        struct toy toy;
        pare_config_set_heads(&config, 3, 3 + config.layers);
        config.has_pooler = config.layers != 2;
        toy_open(&toy, &config, &mask);
        float *all;
        TOY_OK(pare_alloc(&all, toy.params->total, sizeof *all, err));
        toy_gradient(&toy, 0);
        memcpy(all, toy.params->grad, toy.params->total * sizeof *all);
        toy.acts.first_only = 1;
        toy_gradient(&toy, 0);
        cr_assert_arr_eq(toy.params->grad, all, toy.params->total * sizeof *all);
        pare_free(all);
        toy_close(&toy);
    }
}

Test(backward, two_batches_accumulate_to_their_sum)
{
    struct pare_config config = toy_config_with_dropout(PARE_BERT, PARE_ACT_GELU);
    struct toy toy;
    toy_open(&toy, &config, &mask);
    const size_t total = toy.params->total;
    float *first;
    TOY_OK(pare_alloc(&first, total, sizeof *first, err));
    toy_gradient(&toy, 0);
    memcpy(first, toy.params->grad, total * sizeof *first);
    static const uint32_t starts[] = {0, 3, 7};
    static const int32_t ids[] = {13, 14, 1, 2, 3, 4, 13};
    struct pare_batch whole = toy.batch;
    toy.batch =
        (struct pare_batch){.n_seq = 2, .n_tokens = 7, .ids = ids, .starts = starts};
    toy_gradient(&toy, 1);
    float *sum;
    TOY_OK(pare_alloc(&sum, total, sizeof *sum, err));
    memcpy(sum, toy.params->grad, total * sizeof *sum);
    toy_gradient(&toy, 0); /* the second batch alone */
    for (size_t k = 0; k < total; k++)
        cr_assert_float_eq(sum[k], first[k] + toy.params->grad[k], 2e-6, "element %zu",
                           k);
    toy.batch = whole;
    toy_gradient(&toy, 0); /* rows that only the second batch used are zero again */
    cr_assert_arr_eq(toy.params->grad, first, total * sizeof *first);
    pare_free(first);
    pare_free(sum);
    toy_close(&toy);
}

Test(backward, touched_rows_are_the_tokens_of_the_batch_in_order)
{
    struct pare_config config = toy_config(PARE_DISTILBERT, PARE_ACT_GELU);
    struct toy toy;
    toy_open(&toy, &config, NULL);
    toy_gradient(&toy, 0);
    static const uint32_t expected[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 16};
    cr_assert_eq(toy.params->n_touched, 11);
    cr_assert_arr_eq(toy.params->touched, expected, sizeof expected);
    toy_close(&toy);
}

/* The toy's model in another precision. */
static void set_precision(struct toy *toy, enum pare_precision precision)
{
    toy->params->precision = precision;
    pare_model_free(toy->model);
    struct pare_weight_source source = pare_params_source(toy->params);
    TOY_OK(pare_model_bind(&toy->params->config, &source, &toy->model, err));
}

/* Wide enough that every step is cut into several tiles. */
static void check_threads_and_tiers(enum pare_precision precision)
{
    struct pare_config config = toy_config_with_dropout(PARE_BERT, PARE_ACT_GELU);
    config.hidden = 156;
    config.ffn = 331;
    struct toy toy;
    toy_open(&toy, &config, &mask);
    toy.acts.first_only = precision == PARE_PRECISION_BF16;
    static const int threads[] = {1, 2, 3, 7};
    char expected[65] = "", found[65];
    for (int tier = 0; pare_cpu_tier(tier); tier++) {
        TOY_OK(pare_cpu_select(pare_cpu_tier(tier), err));
        set_precision(&toy, precision); /* a linear keeps the tier it was made for */
        for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
            pare_set_threads(threads[i]);
            toy_gradient(&toy, 0);
            /* Negative zeros count as what they are: bits. */
            uint64_t hash = 14695981039346656037u;
            for (size_t k = 0; k < toy.params->total; k++) {
                uint32_t bits;
                memcpy(&bits, &toy.params->grad[k], sizeof bits);
                hash = (hash ^ bits) * 1099511628211u;
            }
            snprintf(found, sizeof found, "%016llx", (unsigned long long)hash);
            if (!*expected)
                memcpy(expected, found, sizeof found);
            cr_assert_str_eq(found, expected, "tier %s, %d threads", pare_cpu_tier(tier),
                             threads[i]);
        }
    }
    toy_close(&toy);
}

Test(backward, gradients_do_not_depend_on_threads_or_tier)
{
    check_threads_and_tiers(PARE_PRECISION_FP32);
}

Test(backward, gradients_in_bfloat16_do_not_depend_on_threads_or_tier)
{
    check_threads_and_tiers(PARE_PRECISION_BF16);
}

/* Roundings of 2^-9 a factor, in a few products behind each other: every tensor's
 * gradient turns by a percent or two, and by more than nothing. */
Test(backward, gradients_in_bfloat16_point_where_those_in_float_do)
{
    struct pare_config config = toy_config_with_dropout(PARE_BERT, PARE_ACT_GELU);
    config.hidden = 48;
    config.ffn = 80;
    struct toy toy;
    toy_open(&toy, &config, &mask);
    struct pare_params *params = toy.params;
    for (size_t k = 0; k < params->total; k++) /* no attention to one token alone */
        params->value[k] *= 0.4f;
    float *exact;
    TOY_OK(pare_alloc(&exact, params->total, sizeof *exact, err));
    toy_gradient(&toy, 0);
    memcpy(exact, params->grad, params->total * sizeof *exact);
    set_precision(&toy, PARE_PRECISION_BF16);
    toy_gradient(&toy, 0);
    for (size_t i = 0; i < params->plan.count; i++) {
        const char *name = params->plan.slots[i].name;
        double error = 0, size = 0;
        for (size_t k = params->start[i]; k < params->start[i + 1]; k++) {
            error += pow((double)params->grad[k] - (double)exact[k], 2);
            size += pow((double)exact[k], 2);
        }
        if (strstr(name, "attn_k.bias")) /* truly zero: nothing but roundings */
            continue;
        cr_expect(error > 1e-8 * size && error < 1e-3 * size, "%s turns by %.2g", name,
                  sqrt(error / size));
    }
    pare_free(exact);
    toy_close(&toy);
}
