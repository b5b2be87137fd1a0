/* Gradients, AdamW and fifty steps of training against PyTorch: tests/data/training, made
 * by tests/golden/make_training.py. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libdistill/backward.h"
#include "libdistill/optimizer.h"
#include "libdistill/schedule.h"
#include "runtime/base/json.h"
#include "runtime/checkpoint/checkpoint.h"

#define OK(call)                                                                         \
    do {                                                                                 \
        struct pare_error error_ = {""};                                                 \
        struct pare_error *err = &error_;                                                \
        cr_assert_eq((call), PARE_OK, "%s: %s", #call, error_.message);                  \
    } while (0)

struct golden {
    struct pare_ckpt *ckpt;
    cJSON *config;
    struct pare_params *params;
};

static double number(const struct golden *g, const char *key)
{
    struct pare_text text = {0};
    OK(pare_meta_get_string(&g->ckpt->meta, key, &text, err));
    char copy[32];
    cr_assert(text.length < sizeof copy);
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    return strtod(copy, NULL);
}

static const struct pare_tensor *tensor(const struct golden *g, const char *prefix,
                                        const char *name)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct pare_tensor *found = pare_ckpt_find(g->ckpt, full);
    cr_assert_not_null(found, "%s", full);
    return found;
}

static const float *floats(const struct golden *g, const char *name)
{
    return tensor(g, "", name)->data;
}

/* Tensors `prefix`NAME of every slot, into a buffer laid out as the parameters. */
static void read_all(const struct golden *g, const char *prefix, float *out)
{
    const struct pare_plan *plan = &g->params->plan;
    for (size_t i = 0; i < plan->count; i++) {
        const struct pare_tensor *t = tensor(g, prefix, plan->slots[i].hf_name);
        cr_assert_eq(pare_tensor_elements(t), pare_slot_elements(&plan->slots[i]));
        memcpy(out + g->params->start[i], t->data, t->bytes);
    }
}

static void open_golden(struct golden *g, const char *name, const char *prefix)
{
    const char *data = getenv("PARE_TEST_DATA");
    cr_assert_not_null(data, "PARE_TEST_DATA is the folder tests/data");
    char path[4096];
    snprintf(path, sizeof path, "%s/training/%s.safetensors", data, name);
    OK(pare_ckpt_open(path, &g->ckpt, err));
    struct pare_text text = {0};
    OK(pare_meta_get_string(&g->ckpt->meta, "config", &text, err));
    OK(pare_json_parse(text.data, text.length, path, &g->config, err));
    struct pare_config config = {0};
    OK(pare_config_from_hf(g->config, path, &config, err));
    OK(pare_params_new(&config, &g->params, err));
    read_all(g, prefix, g->params->value);
}

static void close_golden(struct golden *g)
{
    pare_params_free(g->params);
    cJSON_Delete(g->config);
    pare_ckpt_close(g->ckpt);
}

/* Largest difference from tensors `prefix`NAME, relative to the largest value of that
 * tensor; names the tensor that is worst. */
static double worst(const struct golden *g, const char *prefix, const float *found,
                    int skip_key_bias, const char **name)
{
    const struct pare_plan *plan = &g->params->plan;
    double result = 0;
    for (size_t i = 0; i < plan->count; i++) {
        const float *expected = tensor(g, prefix, plan->slots[i].hf_name)->data;
        const size_t begin = g->params->start[i], n = g->params->start[i + 1] - begin;
        /* A key's bias shifts all scores of a query alike, so its true gradient is zero
         * and AdamW follows rounding errors. */
        if (skip_key_bias && strstr(plan->slots[i].name, "attn_k.bias"))
            continue;
        double largest = 1e-2, difference = 0;
        for (size_t k = 0; k < n; k++) {
            largest = fmax(largest, fabs((double)expected[k]));
            difference =
                fmax(difference, fabs((double)expected[k] - (double)found[begin + k]));
        }
        if (difference / largest > result) {
            result = difference / largest;
            *name = plan->slots[i].name;
        }
    }
    return result;
}

struct engine {
    struct pare_model *model;
    struct pare_acts acts;
    struct pare_backward backward;
    float dlogits[1024];
};

static void open_engine(struct engine *e, struct pare_params *params)
{
    *e = (struct engine){.acts = {.tape = 1}};
    struct pare_weight_source source = pare_params_source(params);
    OK(pare_model_bind(&params->config, &source, &e->model, err));
}

static void close_engine(struct engine *e)
{
    pare_model_free(e->model);
    pare_acts_free(&e->acts);
    pare_backward_free(&e->backward);
}

/* Forward, loss and backward; the mean loss. */
static double differentiate(struct engine *e, struct pare_params *params,
                            const struct pare_batch *batch, const int32_t *labels)
{
    OK(pare_forward(e->model, batch, NULL, &e->acts, err));
    struct pare_loss loss = pare_loss_cross_entropy();
    struct pare_loss_grads grads = {.logits = e->dlogits};
    double sum = 0;
    struct pare_loss_input input = {
        .config = &params->config,
        .batch = batch,
        .acts = &e->acts,
        .labels = labels,
        .scale = 1.0f / (float)batch->n_seq,
    };
    OK(loss.run(loss.context, &input, &grads, &sum, err));
    OK(pare_backward(params, params->value, batch, NULL, &e->acts, &grads, 0,
                     &e->backward, err));
    return sum / (double)batch->n_seq;
}

static void check_gradients(const char *file)
{
    struct golden g;
    struct engine e;
    open_golden(&g, file, "");
    open_engine(&e, g.params);
    const struct pare_tensor *labels = tensor(&g, "", "labels");
    struct pare_batch batch = {
        .n_seq = labels->shape[0],
        .n_tokens = tensor(&g, "", "ids")->shape[0],
        .ids = tensor(&g, "", "ids")->data,
        .types = g.params->config.token_types ? tensor(&g, "", "types")->data : NULL,
        .starts = tensor(&g, "", "starts")->data,
    };
    double loss = differentiate(&e, g.params, &batch, labels->data);
    cr_assert_float_eq(loss, (double)floats(&g, "loss")[0], 2e-6, "loss %.8f", loss);
    const char *name = "";
    double error = worst(&g, "grad.", g.params->grad, 0, &name);
    cr_assert(error < 2e-5, "%s differs by %.3g of its largest gradient", name, error);
    close_engine(&e);
    close_golden(&g);
}

Test(gradients, bert_gets_pytorchs_gradients)
{
    check_gradients("bert");
}

Test(gradients, distilbert_gets_pytorchs_gradients)
{
    check_gradients("distilbert");
}

static struct pare_optimizer_options options_of(const struct golden *g)
{
    struct pare_optimizer_options options = pare_optimizer_options_default();
    options.weight_decay = (float)number(g, "decay");
    options.clip = (float)number(g, "clip");
    return options;
}

static float rate_of(const struct golden *g, uint64_t update)
{
    return pare_schedule_rate(PARE_SCHEDULE_LINEAR, (float)number(g, "lr"),
                              (uint64_t)number(g, "warmup"), (uint64_t)number(g, "steps"),
                              update);
}

/* Gradients come from the file; rows of the token embedding that are zero in a step are
 * left out of `touched`, as the backward pass does. */
Test(gradients, ten_steps_of_adamw_are_pytorchs)
{
    struct golden g;
    open_golden(&g, "adamw", "start.");
    struct pare_params *params = g.params;
    const size_t C = params->config.hidden;
    struct pare_optimizer_options options = options_of(&g);
    struct pare_optimizer *optimizer;
    OK(pare_optimizer_new(params, &options, &optimizer, err));
    const uint64_t steps = (uint64_t)number(&g, "steps");
    for (uint64_t step = 1; step <= steps; step++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "grad.%d.", (int)step);
        read_all(&g, prefix, params->grad);
        params->n_touched = 0;
        for (uint32_t row = 0; row < params->config.vocab; row++)
            for (size_t c = 0; c < C; c++)
                if (params->grad[params->tokens + row * C + c] != 0) {
                    params->touched[params->n_touched++] = row;
                    break;
                }
        double norm, expected = (double)floats(&g, "norms")[step - 1];
        OK(pare_optimizer_step(optimizer, rate_of(&g, step), &norm, err));
        cr_assert_float_eq(norm, expected, 1e-6 * expected);
    }
    pare_optimizer_settle(optimizer);
    const char *name = "";
    double error = worst(&g, "end.", params->value, 0, &name);
    cr_assert(error < 2e-6, "%s differs by %.3g of its largest value", name, error);
    pare_optimizer_free(optimizer);
    close_golden(&g);
}

Test(gradients, fifty_steps_of_training_follow_pytorch)
{
    struct golden g;
    struct engine e;
    open_golden(&g, "run", "");
    open_engine(&e, g.params);
    struct pare_optimizer_options options = options_of(&g);
    struct pare_optimizer *optimizer;
    OK(pare_optimizer_new(g.params, &options, &optimizer, err));
    const uint64_t steps = (uint64_t)number(&g, "steps");
    const size_t B = (size_t)number(&g, "batch");
    const int32_t *ids = tensor(&g, "", "ids")->data;
    const int32_t *labels = tensor(&g, "", "labels")->data;
    const uint32_t *starts = tensor(&g, "", "starts")->data;
    for (uint64_t step = 1; step <= steps; step++) {
        const uint32_t *from = starts + (step - 1) * B;
        uint32_t own[64];
        cr_assert(B < 64);
        for (size_t s = 0; s <= B; s++)
            own[s] = from[s] - from[0];
        struct pare_batch batch = {
            .n_seq = B, .n_tokens = own[B], .ids = ids + from[0], .starts = own};
        pare_optimizer_refresh(optimizer, batch.ids, batch.n_tokens);
        double loss = differentiate(&e, g.params, &batch, labels + (step - 1) * B), norm;
        cr_assert_float_eq(loss, (double)floats(&g, "losses")[step - 1], 1e-4,
                           "step %d: %.7f, PyTorch %.7f", (int)step, loss,
                           (double)floats(&g, "losses")[step - 1]);
        OK(pare_optimizer_step(optimizer, rate_of(&g, step), &norm, err));
    }
    pare_optimizer_settle(optimizer);
    const char *name = "";
    double error = worst(&g, "end.", g.params->value, 1, &name);
    cr_assert(error < 1e-3, "%s differs by %.3g of its largest value", name, error);
    pare_optimizer_free(optimizer);
    close_engine(&e);
    close_golden(&g);
}
