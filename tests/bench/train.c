/* How long the parts of a training step take, on random text: forward, loss, backward,
 * optimiser, and the multiply-adds a second they come to.
 *
 *     bench_train [minilm|distilbert|student] [threads] [batch] [mean tokens] [steps]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libdistill/backward.h"
#include "libdistill/examples.h"
#include "libdistill/optimizer.h"
#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/base/rng.h"

#define EXAMPLES 4096

static struct pare_config config_named(const char *name)
{
    struct pare_config config = {
        .family = PARE_BERT,
        .layers = 6,
        .hidden = 384,
        .heads = 12,
        .ffn = 1536,
        .vocab = 30522,
        .positions = 512,
        .token_types = 2,
        .activation = PARE_ACT_GELU,
        .norm_eps = 1e-12f,
        .has_pooler = 1,
        .labels = 2,
        .dropout = 0.1f,
        .attention_dropout = 0.1f,
        .head_dropout = 0.1f,
    };
    if (strcmp(name, "minilm")) {
        config.family = PARE_DISTILBERT;
        config.token_types = 0;
        config.hidden = 768;
        config.ffn = 3072;
        config.layers = strcmp(name, "student") ? 6 : 2;
    }
    return config;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Lengths from 1/4 to 7/4 of the mean; frequent tokens much more frequent than rare ones,
 * as in text. */
static void random_text(struct pare_examples *examples, uint64_t *starts, int32_t *ids,
                        int32_t *labels, size_t mean, uint32_t vocab)
{
    struct pare_rng rng = {.seed = 1};
    starts[0] = 0;
    for (size_t i = 0; i < EXAMPLES; i++) {
        size_t low = mean / 4 ? mean / 4 : 1;
        size_t n = low + (size_t)pare_rng_below(&rng, 2 * (mean - low) + 1);
        for (size_t t = 0; t < n; t++) {
            float u = pare_rng_uniform(&rng);
            ids[starts[i] + t] = (int32_t)((float)(vocab - 1) * u * u * u * u);
        }
        starts[i + 1] = starts[i] + n;
        labels[i] = (int32_t)pare_rng_below(&rng, 2);
    }
    *examples = (struct pare_examples){EXAMPLES, starts, ids, labels};
}

struct bench {
    struct pare_params *params;
    struct pare_model *model;
    struct pare_optimizer *optimizer;
    struct pare_batcher batcher;
    struct pare_acts acts;
    struct pare_backward backward;
    float *dlogits;
    double refresh, forward, backward_time, update;
    size_t tokens, sequences;
    double macs;
};

/* Of the linear layers, forward and backward, as this trainer needs them: the upper half
 * of the last block's backward runs on first tokens only. */
static double step_macs(const struct pare_config *c, double T, double B)
{
    double C = c->hidden, F = c->ffn, upper = C * C + 2 * C * F, lower = 3 * C * C;
    return 3 * T * c->layers * (upper + lower) - 2 * (T - B) * upper + 3 * B * C * C;
}

static enum pare_status step(struct bench *b, uint64_t number, size_t batch,
                             struct pare_error *err)
{
    struct pare_dropout dropout = {.seed = 1, .step = number};
    size_t first = (size_t)(number * batch) % (EXAMPLES - batch);
    struct pare_batch packed = pare_batcher_fill(&b->batcher, NULL, first, batch);
    double t0 = now();
    pare_optimizer_refresh(b->optimizer, packed.ids, packed.n_tokens);
    double t1 = now();
    PARE_TRY(pare_forward(b->model, &packed, &dropout, &b->acts, err));
    double t2 = now();
    struct pare_loss loss = pare_loss_cross_entropy();
    struct pare_loss_input input = {&b->params->config, &packed,
                                    &b->acts,           b->batcher.labels,
                                    b->batcher.example, 1.0f / (float)batch};
    struct pare_loss_grads grads = {.logits = b->dlogits};
    double sum = 0;
    PARE_TRY(loss.run(loss.context, &input, &grads, &sum, err));
    PARE_TRY(pare_backward(b->params, b->params->value, &packed, &dropout, &b->acts,
                           &grads, 0, &b->backward, err));
    double t3 = now(), norm;
    PARE_TRY(pare_optimizer_step(b->optimizer, 3e-5f, &norm, err));
    double t4 = now();
    b->refresh += t1 - t0;
    b->forward += t2 - t1;
    b->backward_time += t3 - t2;
    b->update += t4 - t3;
    b->tokens += packed.n_tokens;
    b->sequences += packed.n_seq;
    b->macs += step_macs(&b->params->config, (double)packed.n_tokens, (double)batch);
    return PARE_OK;
}

static enum pare_status run(struct bench *b, const struct pare_config *config,
                            const struct pare_examples *examples, size_t batch,
                            uint64_t steps, struct pare_error *err)
{
    struct pare_optimizer_options options = pare_optimizer_options_default();
    PARE_TRY(pare_params_new(config, &b->params, err));
    pare_params_draw_all(b->params, 1);
    struct pare_weight_source source = pare_params_source(b->params);
    PARE_TRY(pare_model_bind(config, &source, &b->model, err));
    PARE_TRY(pare_optimizer_new(b->params, &options, &b->optimizer, err));
    PARE_TRY(pare_batcher_init(&b->batcher, examples, batch, err));
    PARE_TRY(pare_alloc(&b->dlogits, batch * config->labels, sizeof(float), err));
    b->acts.tape = b->acts.first_only = 1;
    const uint64_t warm = 5;
    for (uint64_t number = 0; number < warm + steps; number++) {
        if (number == warm) {
            b->refresh = b->forward = b->backward_time = b->update = b->macs = 0;
            b->tokens = b->sequences = 0;
        }
        PARE_TRY(step(b, number, batch, err));
    }
    return PARE_OK;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "minilm";
    int threads = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1;
    size_t batch = argc > 3 ? strtoul(argv[3], NULL, 10) : 32;
    size_t mean = argc > 4 ? strtoul(argv[4], NULL, 10) : 13;
    uint64_t steps = argc > 5 ? strtoul(argv[5], NULL, 10) : 40;
    struct pare_error err = {""};
    struct pare_config config = config_named(name);
    struct pare_examples examples;
    static uint64_t starts[EXAMPLES + 1];
    static int32_t labels[EXAMPLES];
    int32_t *ids;
    if (batch < 1 || batch >= EXAMPLES || mean < 1 || mean > 256 || !steps ||
        pare_alloc(&ids, EXAMPLES * 2 * mean, sizeof *ids, &err) != PARE_OK)
        return 2;
    pare_set_threads(threads);
    random_text(&examples, starts, ids, labels, mean, config.vocab);
    struct bench b = {0};
    if (run(&b, &config, &examples, batch, steps, &err) != PARE_OK) {
        fprintf(stderr, "bench_train: %s\n", err.message);
        return 1;
    }
    double total = b.refresh + b.forward + b.backward_time + b.update;
    double ms = 1e3 / (double)steps;
    printf("%s, %s, %d threads, batch %zu of %.1f tokens: %.1f samples/s, %.0f tokens/s, "
           "%.1f ms a step\n",
           name, pare_kernels()->tier, threads, batch,
           (double)b.tokens / (double)b.sequences, (double)b.sequences / total,
           (double)b.tokens / total, total * ms);
    printf("  refresh %.1f  forward %.1f  backward %.1f  update %.1f ms;  %.1f GFLOP/s "
           "(linear layers, 2 a multiply-add)\n",
           b.refresh * ms, b.forward * ms, b.backward_time * ms, b.update * ms,
           2e-9 * b.macs / total);
    return 0;
}
