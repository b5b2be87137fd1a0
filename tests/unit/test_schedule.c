/* Learning rates over time and depth, and frozen tensors, down to the bit. */
#include <stdlib.h>

#include "libdistill/optimizer.h"
#include "libdistill/schedule.h"
#include "libdistill/state.h"
#include "runtime/base/alloc.h"
#include "tests/support/folder.h"
#include "tests/support/toy_task.h"

static void one_thread(void)
{
    pare_set_threads(1);
}

TestSuite(schedule, .init = one_thread);

/* --- Over time ---------------------------------------------------------------------- */

Test(schedule, linear_rises_and_falls_linearly)
{
    const enum pare_schedule linear = PARE_SCHEDULE_LINEAR;
    const float expected[] = {0.25f,   0.5f,    0.75f,   1.0f,    1.0f,
                              5 / 6.f, 4 / 6.f, 3 / 6.f, 2 / 6.f, 1 / 6.f};
    for (uint64_t update = 1; update <= 10; update++)
        cr_assert_float_eq(pare_schedule_rate(linear, 1, 4, 10, update),
                           expected[update - 1], 1e-7);
    cr_assert_eq(pare_schedule_rate(linear, 1, 4, 10, 11), 0);
    cr_assert_eq(pare_schedule_rate(linear, 2, 0, 4, 1), 2);
    cr_assert_eq(pare_schedule_rate(linear, 2, 9, 4, 4), 2); /* warm-up alone */
}

Test(schedule, cosine_is_half_a_wave)
{
    const enum pare_schedule cosine = PARE_SCHEDULE_COSINE;
    const double pi = acos(-1.0);
    for (uint64_t steps = 1; steps < 400; steps += 57) {
        const uint64_t warmup = steps / 5;
        for (uint64_t update = 1; update <= steps + 2; update++) {
            const double x = (double)(update - 1 - warmup) / (double)(steps - warmup);
            double expected = 3 * (1 + cos(pi * x)) / 2;
            if (update <= warmup)
                expected = 3 * (double)update / (double)warmup;
            if (update > steps)
                expected = 0;
            cr_assert_float_eq(pare_schedule_rate(cosine, 3, warmup, steps, update),
                               expected, 3e-7, "update %d of %d", (int)update,
                               (int)steps);
        }
    }
}

Test(schedule, constant_stays_behind_the_warm_up)
{
    const enum pare_schedule constant = PARE_SCHEDULE_CONSTANT;
    cr_assert_eq(pare_schedule_rate(constant, 2, 4, 10, 2), 1);
    for (uint64_t update = 4; update < 20; update++)
        cr_assert_eq(pare_schedule_rate(constant, 2, 4, 10, update), 2);
}

/* --- Over depth --------------------------------------------------------------------- */

static float rate_of(const struct pare_params *params, const float *rates,
                     const char *name)
{
    for (size_t i = 0; i < params->plan.count; i++)
        if (!strcmp(params->plan.slots[i].name, name))
            return rates[i];
    cr_assert_fail("there is no %s", name);
    return 0;
}

static struct pare_params *two_blocks(void)
{
    static const struct pare_extra extra = {.name = "train.x", .rows = 1, .columns = 3};
    struct pare_config config = toy_config(PARE_BERT, PARE_ACT_GELU);
    struct pare_params *params;
    TOY_OK(pare_params_new_with(&config, &extra, 1, &params, err));
    return params;
}

Test(schedule, rates_fall_from_the_head_to_the_embeddings)
{
    static const struct {
        const char *name;
        float rate;
    } expected[] = {
        {"token_embd.weight", 0.125f},  {"position_embd.weight", 0.125f},
        {"token_types.weight", 0.125f}, {"token_embd_norm.bias", 0.125f},
        {"blk.0.attn_q.weight", 0.25f}, {"blk.0.layer_output_norm.bias", 0.25f},
        {"blk.1.ffn_down.bias", 0.5f},  {"cls.weight", 1},
        {"cls.output.bias", 1},         {"train.x", 1}};
    struct pare_params *params = two_blocks();
    float rates[64];
    TOY_OK(pare_slot_rates(params, 0.5, NULL, 0, rates, err));
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        cr_assert_eq(rate_of(params, rates, expected[i].name), expected[i].rate, "%s",
                     expected[i].name);
    cr_assert_eq(pare_rates_frozen(params, rates), 0);
    pare_params_free(params);
}

Test(schedule, globs_freeze_what_they_match)
{
    struct pare_params *params = two_blocks();
    float rates[64];
    static const struct {
        const char *globs[3];
        uint32_t frozen;
    } cases[] = {{{"token_embd.weight"}, 0},
                 {{"*embd*", "token_types.*"}, 1},
                 {{"*embd*", "token_types.*", "blk.0.*"}, 2},
                 {{"*embd*", "token_types.*", "blk.1.*"}, 1},
                 {{"[tp]o*", "blk.*"}, 3}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        size_t n = 0;
        while (n < 3 && cases[c].globs[n])
            n++;
        TOY_OK(pare_slot_rates(params, 1, cases[c].globs, n, rates, err));
        cr_assert_eq(rate_of(params, rates, "token_embd.weight"), 0);
        cr_assert_eq(rate_of(params, rates, "cls.weight"), 1);
        cr_assert_eq(pare_rates_frozen(params, rates), cases[c].frozen, "case %zu", c);
    }
    pare_params_free(params);
}

Test(schedule, globs_without_a_tensor_are_refused)
{
    struct pare_params *params = two_blocks();
    float rates[64];
    struct pare_error error;
    const char *const globs[] = {"blk.0.*", "blk.2.*"}, *const all[] = {"*"};
    cr_assert_eq(pare_slot_rates(params, 1, globs, 2, rates, &error), PARE_ERR_USAGE);
    cr_assert_not_null(strstr(error.message, "\"blk.2.*\""), "%s", error.message);
    cr_assert_eq(pare_slot_rates(params, 1, all, 1, rates, &error), PARE_ERR_USAGE);
    cr_assert_not_null(strstr(error.message, "all tensors are frozen"));
    pare_params_free(params);
}

/* --- In the optimiser --------------------------------------------------------------- */

struct pair {
    struct pare_params *params;
    struct pare_optimizer *optimizer;
};

static struct pair open_pair(const float *rates, float clip)
{
    struct pair pair = {.params = two_blocks()};
    struct pare_optimizer_options options = pare_optimizer_options_default();
    options.weight_decay = 0.1f;
    options.clip = clip;
    options.rates = rates;
    toy_values(pair.params, 4);
    TOY_OK(pare_optimizer_new(pair.params, &options, &pair.optimizer, err));
    return pair;
}

static void close_pair(struct pair pair)
{
    pare_optimizer_free(pair.optimizer);
    pare_params_free(pair.params);
}

/* Dense but for the token embedding, where two rows have a gradient and others are late.
 * Slots of rate 0 get none when `skip` is given. */
static void draw_gradient(struct pare_params *params, uint64_t step, const float *skip)
{
    const size_t C = params->config.hidden;
    struct pare_rng rng = {.seed = 77, .stream = step};
    params->n_touched = 0;
    for (size_t i = 0; i < params->plan.count; i++) {
        for (size_t k = params->start[i]; k < params->start[i + 1]; k++) {
            const float g = 0.1f * pare_rng_normal(&rng);
            const size_t row = (k - params->tokens) / C;
            const int late = params->start[i] == params->tokens && row != step % 5 &&
                             row != 7 + step % 3;
            params->grad[k] = late || (skip && skip[i] == 0) ? 0 : g;
        }
    }
    if (skip && rate_of(params, skip, "token_embd.weight") == 0)
        return;
    params->touched[params->n_touched++] = (uint32_t)(step % 5);
    params->touched[params->n_touched++] = (uint32_t)(7 + step % 3);
}

/* A slot with a factor is moved as an optimiser of the smaller rate moves it. */
Test(schedule, a_factor_is_a_rate_of_its_own)
{
    float rates[64];
    struct pare_params *layout = two_blocks();
    TOY_OK(pare_slot_rates(layout, 0.7, NULL, 0, rates, err));
    pare_params_free(layout);
    struct pair mixed = open_pair(rates, 0);
    const float factors[] = {rate_of(mixed.params, rates, "token_embd.weight"),
                             rate_of(mixed.params, rates, "blk.0.ffn_up.weight"), 1};
    double norm;
    for (uint64_t step = 0; step < 20; step++) {
        draw_gradient(mixed.params, step, NULL);
        TOY_OK(
            pare_optimizer_step(mixed.optimizer, 0.01f / (float)(step + 1), &norm, err));
    }
    pare_optimizer_settle(mixed.optimizer);
    for (size_t f = 0; f < 3; f++) {
        size_t compared = 0;
        struct pair whole = open_pair(NULL, 0);
        for (uint64_t step = 0; step < 20; step++) {
            draw_gradient(whole.params, step, NULL);
            TOY_OK(pare_optimizer_step(
                whole.optimizer, 0.01f / (float)(step + 1) * factors[f], &norm, err));
        }
        pare_optimizer_settle(whole.optimizer);
        for (size_t i = 0; i < whole.params->plan.count; i++) {
            const size_t at = whole.params->start[i];
            if (rates[i] != factors[f])
                continue;
            compared++;
            cr_assert_arr_eq(mixed.params->value + at, whole.params->value + at,
                             (whole.params->start[i + 1] - at) * sizeof(float), "%s",
                             whole.params->plan.slots[i].name);
        }
        cr_assert(compared > 2);
        close_pair(whole);
    }
    close_pair(mixed);
}

/* Frozen slots stay, and the rest moves as if their gradients were zero. */
Test(schedule, frozen_tensors_stay_and_are_no_part_of_the_norm)
{
    static const char *const globs[][2] = {{"token_embd.weight", "blk.1.ffn_*"},
                                           {"blk.0.*", "cls.weight"}};
    for (size_t g = 0; g < 2; g++) {
        float rates[64];
        struct pair plain = open_pair(NULL, 0.5f);
        TOY_OK(pare_slot_rates(plain.params, 1, globs[g], 2, rates, err));
        struct pair frozen = open_pair(rates, 0.5f);
        float *before;
        TOY_OK(pare_alloc(&before, plain.params->total, sizeof(float), err));
        memcpy(before, plain.params->value, plain.params->total * sizeof(float));
        for (uint64_t step = 0; step < 20; step++) {
            double norm[2];
            draw_gradient(plain.params, step, rates);
            TOY_OK(pare_optimizer_step(plain.optimizer, 0.01f, &norm[0], err));
            draw_gradient(frozen.params, step, NULL);
            TOY_OK(pare_optimizer_step(frozen.optimizer, 0.01f, &norm[1], err));
            cr_assert_eq(norm[1], norm[0]);
        }
        pare_optimizer_settle(plain.optimizer);
        pare_optimizer_settle(frozen.optimizer);
        for (size_t i = 0; i < plain.params->plan.count; i++) {
            const size_t at = plain.params->start[i];
            const float *expected = rates[i] == 0 ? before : plain.params->value;
            cr_assert_arr_eq(frozen.params->value + at, expected + at,
                             (plain.params->start[i + 1] - at) * sizeof(float), "%s",
                             plain.params->plan.slots[i].name);
        }
        pare_free(before);
        close_pair(plain);
        close_pair(frozen);
    }
}

/* --- In the backward pass ----------------------------------------------------------- */

static uint32_t level_of(const struct pare_params *params, size_t slot)
{
    const struct pare_slot *s = &params->plan.slots[slot];
    if (pare_slot_is_head(s))
        return params->config.layers + 1;
    return s->layer < 0 ? 0 : (uint32_t)s->layer + 1;
}

Test(schedule, a_backward_above_frozen_blocks_has_the_same_gradients)
{
    struct pare_config config = toy_config_with_dropout(PARE_BERT, PARE_ACT_GELU);
    const struct pare_dropout dropout = {.seed = 3, .step = 1};
    struct toy whole, part;
    toy_open(&whole, &config, &dropout);
    toy_gradient(&whole, 0);
    for (uint32_t frozen = 0; frozen <= config.layers + 1; frozen++) {
        toy_open(&part, &config, &dropout);
        part.backward.frozen = frozen;
        toy_gradient(&part, 0);
        for (size_t i = 0; i < part.params->plan.count; i++) {
            const size_t at = part.params->start[i], end = part.params->start[i + 1];
            if (level_of(part.params, i) >= frozen)
                cr_assert_arr_eq(part.params->grad + at, whole.params->grad + at,
                                 (end - at) * sizeof(float));
            else
                for (size_t k = at; k < end; k++)
                    cr_assert_eq(part.params->grad[k], 0);
        }
        toy_close(&part);
    }
    toy_close(&whole);
}

/* --- In a run ----------------------------------------------------------------------- */

Test(schedule, a_run_leaves_frozen_tensors_as_they_are)
{
    static struct task train;
    static const char *const globs[] = {"*embd*", "token_types.*", "blk.0.*"};
    struct pare_config config = config_of_task();
    config.layers = 2;
    make_task(&train, TASK_TRAIN, 1);
    struct pare_train_options options = options_of_task();
    options.epochs = 1;
    options.freeze = globs;
    options.n_freeze = 3;
    struct pare_params *before, *after;
    struct pare_train_result result;
    TOY_OK(pare_params_new(&config, &before, err));
    TOY_OK(pare_params_new(&config, &after, err));
    pare_params_draw_all(before, 9);
    pare_params_draw_all(after, 9);
    TOY_OK(pare_train(after, &train.examples, NULL, &options, NULL, &result, err));
    for (size_t i = 0; i < after->plan.count; i++) {
        const size_t at = after->start[i], end = after->start[i + 1];
        const int same =
            !memcmp(before->value + at, after->value + at, (end - at) * sizeof(float));
        cr_assert_eq(same, level_of(after, i) < 2, "%s", after->plan.slots[i].name);
    }
    pare_params_free(before);
    pare_params_free(after);
}

Test(schedule, a_run_with_all_of_it_resumes_to_the_same_bytes)
{
    struct folder folder = folder_make();
    static const char *const globs[] = {"blk.0.ffn_up.*"};
    struct pare_train_options options = options_of_task();
    options.epochs = 1;
    struct outcome plain = run_well(&options);
    options.schedule = PARE_SCHEDULE_COSINE;
    struct outcome cosine = run_well(&options);
    options.layer_decay = 0.6;
    struct outcome decay = run_well(&options);
    options.freeze = globs;
    options.n_freeze = 1;
    struct outcome whole = run_well(&options);
    cr_assert_str_neq(cosine.sha, plain.sha);
    cr_assert_str_neq(decay.sha, cosine.sha);
    cr_assert_str_neq(whole.sha, decay.sha);
    options.state_path = folder_path(&folder, "state");
    options.resume = 1;
    cr_assert_eq(run(&options, 7).status, PARE_ERR_INTERRUPTED);
    struct outcome resumed = run_well(&options);
    cr_assert_eq(resumed.resumed, 7);
    cr_assert_str_eq(resumed.sha, whole.sha);
    folder_remove(&folder);
}

Test(schedule, another_schedule_is_another_run)
{
    struct folder folder = folder_make();
    static const char *const globs[] = {"blk.0.*", "cls.*"};
    struct pare_train_options first = options_of_task();
    first.state_path = folder_path(&folder, "state");
    first.resume = 1;
    cr_assert_eq(run(&first, 3).status, PARE_ERR_INTERRUPTED);
    struct pare_train_options others[] = {first, first, first};
    others[0].schedule = PARE_SCHEDULE_CONSTANT;
    others[1].layer_decay = 0.9;
    others[2].freeze = globs;
    others[2].n_freeze = 2;
    static const char *const phrases[] = {
        "had schedule linear, this one has constant",
        "had layer decay 1, this one has 0.9",
        "had frozen none, this one has blk.0.* cls.*",
    };
    for (size_t i = 0; i < 3; i++) {
        struct outcome refused = run(&others[i], 0);
        cr_assert_eq(refused.status, PARE_ERR_USAGE);
        cr_assert_not_null(strstr(refused.error.message, phrases[i]), "%s",
                           refused.error.message);
    }
    folder_remove(&folder);
}
