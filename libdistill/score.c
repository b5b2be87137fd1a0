/* Scoring a model on labelled examples: see trainer.h. */
#include "libdistill/trainer.h"
#include "runtime/base/interrupt.h"

enum pare_status pare_score_examples(const struct pare_model *model,
                                     const struct pare_examples *examples, size_t batch,
                                     struct pare_acts *acts, struct pare_score *score,
                                     struct pare_error *err)
{
    *score = (struct pare_score){.examples = examples->count};
    struct pare_batcher batcher;
    enum pare_status status = pare_batcher_init(&batcher, examples, batch, err);
    double sum = 0;
    for (size_t first = 0; first < examples->count && status == PARE_OK; first += batch) {
        size_t n = examples->count - first < batch ? examples->count - first : batch;
        struct pare_batch packed = pare_batcher_fill(&batcher, NULL, first, n);
        status = pare_check_interrupted(err);
        if (status == PARE_OK)
            status = pare_forward(model, &packed, NULL, acts, err);
        if (status != PARE_OK)
            break;
        uint64_t correct;
        sum += pare_cross_entropy(acts->logits, model->config.labels, batcher.labels, n,
                                  &correct);
        score->correct += correct;
    }
    score->loss = sum / (double)examples->count;
    pare_batcher_free(&batcher);
    return status;
}
