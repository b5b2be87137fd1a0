/* A small model with parameters to differentiate, for the tests of libdistill. */
#ifndef TESTS_UNIT_TOY_TRAINING_H
#define TESTS_UNIT_TOY_TRAINING_H

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "libdistill/backward.h"
#include "runtime/base/parallel.h"
#include "runtime/base/rng.h"

static inline struct pare_config toy_config(enum pare_family family,
                                            enum pare_activation activation)
{
    struct pare_config config = {
        .family = family,
        .layers = 2,
        .hidden = 12,
        .heads = 3,
        .ffn = 20,
        .vocab = 17,
        .positions = 9,
        .token_types = family == PARE_BERT ? 2 : 0,
        .activation = activation,
        .norm_eps = 1e-12f,
        .has_pooler = 1,
        .labels = 3,
        .label = {"no", "perhaps", "yes"},
    };
    return config;
}

static inline struct pare_config toy_config_with_dropout(enum pare_family family,
                                                         enum pare_activation activation)
{
    struct pare_config config = toy_config(family, activation);
    config.dropout = 0.2f;
    config.attention_dropout = 0.3f;
    config.head_dropout = 0.25f;
    return config;
}

#define TOY_SEQUENCES 4
#define TOY_TOKENS 16

/* Sequences of 5, 1, 9 and 1 tokens; two sequences begin with the same token. */
static const int32_t toy_ids[TOY_TOKENS] = {1, 7, 7, 3, 2, 4,  1, 16,
                                            0, 7, 5, 9, 9, 12, 2, 8};
static const int32_t toy_types[TOY_TOKENS] = {0, 0, 1, 1, 1, 0, 0, 0,
                                              0, 1, 1, 1, 1, 1, 1, 1};
static const uint32_t toy_starts[TOY_SEQUENCES + 1] = {0, 5, 6, 15, 16};
static const int32_t toy_labels[TOY_SEQUENCES] = {2, 0, 1, 1};
static const uint32_t toy_examples[TOY_SEQUENCES] = {0, 1, 2, 3};

struct toy {
    struct pare_params *params;
    struct pare_model *model;
    struct pare_acts acts;
    struct pare_backward backward;
    struct pare_batch batch;
    const struct pare_dropout *dropout;
    float dlogits[TOY_SEQUENCES * PARE_MAX_LABELS];
};

#define TOY_OK(call)                                                                     \
    do {                                                                                 \
        struct pare_error toy_error = {0};                                               \
        struct pare_error *err = &toy_error;                                             \
        enum pare_status toy_status = (call);                                            \
        cr_assert_eq(toy_status, PARE_OK, "%s: %s", #call, toy_error.message);           \
    } while (0)

/* Values of about 0.4, norms around 1: no gradient is small by design. */
static inline void toy_values(struct pare_params *params, uint64_t seed)
{
    for (size_t i = 0; i < params->plan.count; i++) {
        struct pare_rng rng = {.seed = seed, .stream = i};
        float centre = params->plan.slots[i].role == PARE_ROLE_NORM_WEIGHT ? 1.0f : 0.0f;
        for (size_t k = params->start[i]; k < params->start[i + 1]; k++)
            params->value[k] = centre + 0.4f * pare_rng_normal(&rng);
    }
}

static inline void toy_open(struct toy *toy, const struct pare_config *config,
                            const struct pare_dropout *dropout)
{
    memset(toy, 0, sizeof *toy);
    pare_set_threads(1); /* a toy is too small to share */
    TOY_OK(pare_params_new(config, &toy->params, err));
    toy_values(toy->params, 11);
    struct pare_weight_source source = pare_params_source(toy->params);
    TOY_OK(pare_model_bind(config, &source, &toy->model, err));
    toy->acts.tape = 1;
    toy->dropout = dropout;
    toy->batch = (struct pare_batch){
        .n_seq = TOY_SEQUENCES,
        .n_tokens = TOY_TOKENS,
        .ids = toy_ids,
        .types = config->token_types ? toy_types : NULL,
        .starts = toy_starts,
    };
}

static inline void toy_close(struct toy *toy)
{
    pare_model_free(toy->model);
    pare_params_free(toy->params);
    pare_acts_free(&toy->acts);
    pare_backward_free(&toy->backward);
}

/* Mean cross-entropy of the batch, in double from the logits on. */
static inline double toy_loss(struct toy *toy)
{
    TOY_OK(pare_forward(toy->model, &toy->batch, toy->dropout, &toy->acts, err));
    const size_t labels = toy->params->config.labels;
    double loss = 0;
    for (size_t s = 0; s < toy->batch.n_seq; s++) {
        double sum = 0;
        for (size_t c = 0; c < labels; c++)
            sum += exp((double)toy->acts.logits[s * labels + c]);
        loss += log(sum) - (double)toy->acts.logits[s * labels + (size_t)toy_labels[s]];
    }
    return loss / (double)toy->batch.n_seq;
}

/* The library's loss and gradient of the same. */
static inline double toy_gradient(struct toy *toy, int accumulate)
{
    struct pare_loss loss = pare_loss_cross_entropy();
    struct pare_loss_grads grads = {.logits = toy->dlogits};
    double sum = 0;
    TOY_OK(pare_forward(toy->model, &toy->batch, toy->dropout, &toy->acts, err));
    struct pare_loss_input input = {
        .config = &toy->params->config,
        .batch = &toy->batch,
        .acts = &toy->acts,
        .labels = toy_labels,
        .example = toy_examples,
        .scale = 1.0f / (float)toy->batch.n_seq,
    };
    TOY_OK(loss.run(loss.context, &input, &grads, &sum, err));
    TOY_OK(pare_backward(toy->params, toy->params->value, &toy->batch, toy->dropout,
                         &toy->acts, &grads, accumulate, &toy->backward, err));
    return sum / (double)toy->batch.n_seq;
}

#endif
