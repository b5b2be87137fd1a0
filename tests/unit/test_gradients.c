/* Gradients, AdamW and fifty steps of training against PyTorch: tests/data/training, made
 * by tests/golden/make_training.py. */
#include "libdistill/backward.h"
#include "libdistill/optimizer.h"
#include "libdistill/schedule.h"
#include "tests/support/golden_training.h"

struct golden {
    struct pare_ckpt *file;
    struct pare_params *params;
};

static const void *data_of(const struct golden *g, const char *name)
{
    return golden_tensor(g->file, "", name)->data;
}

static void open_golden(struct golden *g, const char *name, const char *prefix)
{
    g->file = golden_open(name);
    struct pare_config config = golden_config(g->file, "config");
    GOLDEN_OK(pare_params_new(&config, &g->params, err));
    golden_read(g->file, prefix, g->params, g->params->value);
}

static void close_golden(struct golden *g)
{
    pare_params_free(g->params);
    pare_ckpt_close(g->file);
}

static double worst(const struct golden *g, const char *prefix, const float *found,
                    int skip_key_bias, const char **name)
{
    return golden_worst(g->file, prefix, g->params, found, 1e-2, skip_key_bias, name);
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
    GOLDEN_OK(pare_model_bind(&params->config, &source, &e->model, err));
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
    GOLDEN_OK(pare_forward(e->model, batch, NULL, &e->acts, err));
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
    GOLDEN_OK(loss.run(loss.context, &input, &grads, &sum, err));
    GOLDEN_OK(pare_backward(params, params->value, batch, NULL, &e->acts, &grads, 0,
                            &e->backward, err));
    return sum / (double)batch->n_seq;
}

static void check_gradients(const char *file)
{
    struct golden g;
    struct engine e;
    open_golden(&g, file, "");
    open_engine(&e, g.params);
    const struct pare_tensor *labels = golden_tensor(g.file, "", "labels");
    struct pare_batch batch = {
        .n_seq = labels->shape[0],
        .n_tokens = golden_tensor(g.file, "", "ids")->shape[0],
        .ids = data_of(&g, "ids"),
        .types = g.params->config.token_types ? data_of(&g, "types") : NULL,
        .starts = data_of(&g, "starts"),
    };
    double loss = differentiate(&e, g.params, &batch, labels->data);
    cr_assert_float_eq(loss, (double)((const float *)data_of(&g, "loss"))[0], 2e-6,
                       "loss %.8f", loss);
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
    options.weight_decay = (float)golden_number(g->file, "decay");
    options.clip = (float)golden_number(g->file, "clip");
    return options;
}

static float rate_of(const struct golden *g, uint64_t update)
{
    return pare_schedule_rate(PARE_SCHEDULE_LINEAR, (float)golden_number(g->file, "lr"),
                              (uint64_t)golden_number(g->file, "warmup"),
                              (uint64_t)golden_number(g->file, "steps"), update);
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
    GOLDEN_OK(pare_optimizer_new(params, &options, &optimizer, err));
    const uint64_t steps = (uint64_t)golden_number(g.file, "steps");
    const float *norms = data_of(&g, "norms");
    for (uint64_t step = 1; step <= steps; step++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "grad.%d.", (int)step);
        golden_read(g.file, prefix, params, params->grad);
        params->n_touched = 0;
        for (uint32_t row = 0; row < params->config.vocab; row++)
            for (size_t c = 0; c < C; c++)
                if (params->grad[params->tokens + row * C + c] != 0) {
                    params->touched[params->n_touched++] = row;
                    break;
                }
        double norm, expected = (double)norms[step - 1];
        GOLDEN_OK(pare_optimizer_step(optimizer, rate_of(&g, step), &norm, err));
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
    GOLDEN_OK(pare_optimizer_new(g.params, &options, &optimizer, err));
    const uint64_t steps = (uint64_t)golden_number(g.file, "steps");
    const size_t B = (size_t)golden_number(g.file, "batch");
    const int32_t *ids = data_of(&g, "ids");
    const int32_t *labels = data_of(&g, "labels");
    const uint32_t *starts = data_of(&g, "starts");
    const float *losses = data_of(&g, "losses");
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
        cr_assert_float_eq(loss, (double)losses[step - 1], 1e-4,
                           "step %d: %.7f, PyTorch %.7f", (int)step, loss,
                           (double)losses[step - 1]);
        GOLDEN_OK(pare_optimizer_step(optimizer, rate_of(&g, step), &norm, err));
    }
    pare_optimizer_settle(optimizer);
    const char *name = "";
    double error = worst(&g, "end.", g.params->value, 1, &name);
    cr_assert(error < 1e-3, "%s differs by %.3g of its largest value", name, error);
    pare_optimizer_free(optimizer);
    close_engine(&e);
    close_golden(&g);
}
