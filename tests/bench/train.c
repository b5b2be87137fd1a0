/* A training step beside PyTorch's: forward, loss, backward and AdamW on random text of
 * one length, as one line of JSON: milliseconds of a step and its parts (medians), the
 * multiply-adds it takes, their share of the arithmetic units' peak (measured behind each
 * step, on as many threads; the median of the steps' shares), and peak memory.
 * processor_ms is the least processor time of a step, of all threads together: other work
 * on the machine hardly enters. train_rounds.py runs it in turns with torch_step.py.
 *
 *     bench_train [distilbert|student|minilm] [threads [batch [tokens
 *                 [steps [dropout [fp32|bf16 [whole]]]]]]]
 *
 * whole: all of the last block is computed, forwards and backwards, as PyTorch does, and
 * as a loss of hidden states needs it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "libdistill/backward.h"
#include "libdistill/examples.h"
#include "libdistill/optimizer.h"
#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/base/rng.h"
#include "tests/bench/peak.h"

#define EXAMPLES 2048
#define WARM_STEPS 3
#define MOST_LAYERS 6
#define PEAK_SECONDS 0.02

struct setting {
    const char *name;
    int threads;
    size_t batch, tokens, steps;
    float dropout;
    const char *precision;
    int whole;
};

static struct pare_config config_of(const struct setting *setting)
{
    struct pare_config config = {
        .family = PARE_DISTILBERT,
        .layers = strcmp(setting->name, "student") ? 6 : 2,
        .hidden = 768,
        .heads = 12,
        .ffn = 3072,
        .vocab = 30522,
        .positions = 512,
        .activation = PARE_ACT_GELU,
        .norm_eps = 1e-12f,
        .has_pooler = 1,
        .labels = 2,
        .dropout = setting->dropout,
        .attention_dropout = setting->dropout,
        .head_dropout = setting->dropout,
    };
    if (!strcmp(setting->name, "minilm")) {
        config.family = PARE_BERT;
        config.token_types = 2;
        config.hidden = 384;
        config.ffn = 1536;
    }
    return config;
}

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double now(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

/* Frequent tokens are much more frequent than rare ones, as in text. */
static void random_text(struct pare_examples *examples, uint64_t *starts, int32_t *ids,
                        int32_t *labels, size_t tokens, uint32_t vocab)
{
    struct pare_rng rng = {.seed = 1};
    for (size_t t = 0; t < EXAMPLES * tokens; t++) {
        float u = pare_rng_uniform(&rng);
        ids[t] = (int32_t)((float)(vocab - 1) * u * u * u * u);
    }
    for (size_t i = 0; i <= EXAMPLES; i++)
        starts[i] = i * tokens;
    for (size_t i = 0; i < EXAMPLES; i++)
        labels[i] = (int32_t)pare_rng_below(&rng, 2);
    *examples = (struct pare_examples){EXAMPLES, starts, ids, labels};
}

enum part { REFRESH, FORWARD, BACKWARD, UPDATE, WHOLE, PROCESSOR, PARTS };

struct bench {
    struct pare_params *params;
    struct pare_model *model;
    struct pare_optimizer *optimizer;
    struct pare_batcher batcher;
    struct pare_acts acts;
    struct pare_backward backward;
    float *dlogits;
    float *dhidden[2 + MOST_LAYERS]; /* whole: [tokens, hidden] of zeros for the last */
    double *seconds[PARTS];          /* [steps] */
    double *peak;                    /* [steps]: operations a second, of all threads */
    double *share;                   /* [steps]: what the step did of that */
    double settle;
};

/* Multiply-adds of matrix products, as this trainer makes them: three times the forward's
 * (activations, their gradients, the weights' gradients). Of the last block only keys and
 * values are computed for all tokens. */
static double macs_made(const struct pare_config *c, double B, double n)
{
    const double C = c->hidden, F = c->ffn, L = c->layers, T = B * n;
    const double inner = T * (4 * C * C + 2 * C * F) + B * 2 * n * n * C;
    const double last = T * 2 * C * C + B * (2 * C * C + 2 * C * F) + B * 2 * n * C;
    return 3 * ((L - 1) * inner + last + B * C * C);
}

/* The same of a trainer that computes all of the last block. */
static double macs_whole(const struct pare_config *c, double B, double n)
{
    const double C = c->hidden, F = c->ffn, L = c->layers, T = B * n;
    return 3 * (L * (T * (4 * C * C + 2 * C * F) + B * 2 * n * n * C) + B * C * C);
}

static double macs_of(const struct setting *setting, const struct pare_config *config)
{
    return (setting->whole ? macs_whole : macs_made)(config, (double)setting->batch,
                                                     (double)setting->tokens);
}

static enum pare_status step(struct bench *b, uint64_t number, size_t batch,
                             double seconds[PARTS], struct pare_error *err)
{
    const struct pare_dropout dropout = {.seed = 1, .step = number};
    const size_t first = (size_t)(number * batch) % (EXAMPLES - batch + 1);
    struct pare_batch packed = pare_batcher_fill(&b->batcher, NULL, first, batch);
    const double processor = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    const double t0 = now();
    pare_optimizer_refresh(b->optimizer, packed.ids, packed.n_tokens);
    const double t1 = now();
    PARE_TRY(pare_forward(b->model, &packed, &dropout, &b->acts, err));
    const double t2 = now();
    const struct pare_loss loss = pare_loss_cross_entropy();
    const struct pare_loss_input input = {
        .config = &b->params->config,
        .batch = &packed,
        .acts = &b->acts,
        .labels = b->batcher.labels,
        .example = b->batcher.example,
        .scale = 1.0f / (float)batch,
    };
    const struct pare_loss_grads grads = {
        .logits = b->dlogits,
        .hidden = b->acts.first_only ? NULL : b->dhidden,
    };
    double sum = 0, norm;
    PARE_TRY(loss.run(loss.context, &input, &grads, &sum, err));
    PARE_TRY(pare_backward(b->params, b->params->value, &packed, &dropout, &b->acts,
                           &grads, 0, &b->backward, err));
    const double t3 = now();
    PARE_TRY(pare_optimizer_step(b->optimizer, 3e-5f, &norm, err));
    const double t4 = now();
    const double parts[PARTS] = {
        t1 - t0, t2 - t1, t3 - t2,
        t4 - t3, t4 - t0, seconds_of(CLOCK_PROCESS_CPUTIME_ID) - processor};
    memcpy(seconds, parts, sizeof parts);
    return PARE_OK;
}

static double peaks[256];

static void measure_peak(void *context, size_t begin, size_t end)
{
    (void)context;
    for (size_t i = begin; i < end; i++)
        peaks[i] = peak_f32_sustained(PEAK_SECONDS);
}

/* All threads at once: a CPU may be slower with more of its units at work. */
static double peak_of_threads(int threads)
{
    double sum = 0;
    pare_parallel_for((size_t)threads, 1, measure_peak, NULL);
    for (int i = 0; i < threads; i++)
        sum += peaks[i];
    return sum;
}

static enum pare_status run(struct bench *b, const struct pare_config *config,
                            const struct pare_examples *examples,
                            const struct setting *setting, struct pare_error *err)
{
    const struct pare_optimizer_options options = pare_optimizer_options_default();
    PARE_TRY(pare_params_new(config, &b->params, err));
    pare_params_draw_all(b->params, 1);
    if (!strcmp(setting->precision, "bf16"))
        b->params->precision = PARE_PRECISION_BF16;
    struct pare_weight_source source = pare_params_source(b->params);
    PARE_TRY(pare_model_bind(config, &source, &b->model, err));
    PARE_TRY(pare_optimizer_new(b->params, &options, &b->optimizer, err));
    PARE_TRY(pare_batcher_init(&b->batcher, examples, setting->batch, err));
    PARE_TRY(
        pare_alloc(&b->dlogits, setting->batch * config->labels, sizeof(float), err));
    for (int part = 0; part < PARTS; part++)
        PARE_TRY(pare_alloc(&b->seconds[part], setting->steps, sizeof(double), err));
    PARE_TRY(pare_alloc(&b->peak, setting->steps, sizeof(double), err));
    PARE_TRY(pare_alloc(&b->share, setting->steps, sizeof(double), err));
    b->acts.tape = 1;
    b->acts.first_only = !setting->whole;
    if (setting->whole)
        PARE_TRY(pare_alloc(&b->dhidden[config->layers], setting->batch * setting->tokens,
                            config->hidden * sizeof(float), err));
    for (size_t number = 0; number < WARM_STEPS + setting->steps; number++) {
        double seconds[PARTS];
        PARE_TRY(step(b, number, setting->batch, seconds, err));
        if (number < WARM_STEPS)
            continue;
        const size_t i = number - WARM_STEPS;
        for (int part = 0; part < PARTS; part++)
            b->seconds[part][i] = seconds[part];
        b->peak[i] = peak_of_threads(setting->threads);
    }
    const double begin = now();
    pare_optimizer_settle(b->optimizer); /* what the steps have put off */
    b->settle = (now() - begin) / (double)(WARM_STEPS + setting->steps);
    const double operations = 2 * macs_of(setting, config);
    for (size_t i = 0; i < setting->steps; i++)
        b->share[i] = operations / (b->seconds[WHOLE][i] + b->settle) / b->peak[i];
    return PARE_OK;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, ascending);
    return values[n / 2];
}

static void print(const struct setting *setting, const struct pare_config *config,
                  struct bench *b)
{
    double ms[PARTS];
    for (int part = 0; part < PARTS; part++)
        ms[part] = 1e3 * median(b->seconds[part], setting->steps);
    ms[PROCESSOR] = 1e3 * b->seconds[PROCESSOR][0]; /* sorted: the least */
    ms[WHOLE] += 1e3 * b->settle;
    const double B = (double)setting->batch, n = (double)setting->tokens;
    const double macs = macs_of(setting, config);
    const double flops = 2e3 * macs / ms[WHOLE];
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf(
        "{\"program\": \"pare\", \"tier\": \"%s\", \"model\": \"%s\", \"precision\": "
        "\"%s\", "
        "\"threads\": %d, \"ms\": %.2f, \"samples_per_s\": %.1f, \"refresh_ms\": %.2f, "
        "\"forward_ms\": %.2f, \"backward_ms\": %.2f, \"update_ms\": %.2f, "
        "\"settle_ms\": %.2f, \"processor_ms\": %.2f, \"gmacs\": %.2f, "
        "\"gmacs_of_whole_last_block\": %.2f, "
        "\"gflops\": %.1f, \"peak_gflops\": %.1f, \"share_of_peak\": %.3f, "
        "\"peak_rss_mb\": %.0f}\n",
        pare_kernels()->tier, setting->name, setting->precision, setting->threads,
        ms[WHOLE], 1e3 * B / ms[WHOLE], ms[REFRESH], ms[FORWARD], ms[BACKWARD],
        ms[UPDATE], 1e3 * b->settle, ms[PROCESSOR], 1e-9 * macs,
        1e-9 * macs_whole(config, B, n), 1e-9 * flops,
        1e-9 * median(b->peak, setting->steps), median(b->share, setting->steps),
        (double)usage.ru_maxrss * 1024e-6);
}

int main(int argc, char **argv)
{
    const struct setting setting = {
        .name = argc > 1 ? argv[1] : "distilbert",
        .threads = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1,
        .batch = argc > 3 ? strtoul(argv[3], NULL, 10) : 32,
        .tokens = argc > 4 ? strtoul(argv[4], NULL, 10) : 64,
        .steps = argc > 5 ? strtoul(argv[5], NULL, 10) : 15,
        .dropout = argc > 6 ? strtof(argv[6], NULL) : 0.1f,
        .precision = argc > 7 ? argv[7] : "fp32",
        .whole = argc > 8 && !strcmp(argv[8], "whole"),
    };
    const struct pare_config config = config_of(&setting);
    struct pare_error err = {""};
    struct pare_examples examples;
    static uint64_t starts[EXAMPLES + 1];
    static int32_t labels[EXAMPLES];
    int32_t *ids;
    if (setting.threads < 1 || setting.threads > 256 || setting.batch < 1 ||
        setting.batch > EXAMPLES || setting.tokens < 1 || setting.tokens > 512 ||
        !setting.steps ||
        pare_alloc(&ids, EXAMPLES * setting.tokens, sizeof *ids, &err) != PARE_OK)
        return 2;
    pare_set_threads(setting.threads);
    random_text(&examples, starts, ids, labels, setting.tokens, config.vocab);
    peak_select(pare_kernels()->tier);
    struct bench b = {0};
    if (run(&b, &config, &examples, &setting, &err) != PARE_OK) {
        fprintf(stderr, "bench_train: %s\n", err.message);
        return 1;
    }
    print(&setting, &config, &b);
    return 0;
}
