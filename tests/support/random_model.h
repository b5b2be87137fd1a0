/* A model with random weights in memory, for tests that need no file. */
#ifndef TESTS_SUPPORT_RANDOM_MODEL_H
#define TESTS_SUPPORT_RANDOM_MODEL_H

#include "runtime/model/forward.h"

struct random_model {
    struct pare_model *model;
    struct pare_arena arena; /* plan and weights */
    struct pare_plan plan;
    float *weights; /* all slots behind each other, in plan order */
};

/* Weights are drawn from `seed`: normal with deviation `spread`; norm weights around 1.
 * live: as for a training run. */
enum pare_status random_model_make(const struct pare_config *config, uint64_t seed,
                                   float spread, int live, struct random_model *out,
                                   struct pare_error *err);
void random_model_free(struct random_model *model);

/* A batch of sequences of the given lengths with random ids (and types). Free with
 * random_batch_free. */
struct random_batch {
    struct pare_batch batch;
    int32_t *ids, *types;
    uint32_t *starts;
};
enum pare_status random_batch_make(const struct pare_config *config,
                                   const uint32_t *lengths, size_t n_seq, uint64_t seed,
                                   struct random_batch *out, struct pare_error *err);
void random_batch_free(struct random_batch *batch);

#endif
