/* Training data as plain arrays, and the order in which a run sees it.
 *
 * Sequences are packed behind each other in a batch (runtime/model/forward.h), so length
 * costs nothing but its own tokens and no batch is padded. Bucketing still is of use when
 * lengths differ a lot: batches of similar length take similar time and the largest one,
 * which memory is planned for, is known; the price is less mixing.
 */
#ifndef PARE_DISTILL_EXAMPLES_H
#define PARE_DISTILL_EXAMPLES_H

#include "runtime/model/forward.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_NO_LABEL (-1)

struct pare_examples {
    size_t count;
    const uint64_t *starts; /* [count + 1]: example i is ids starts[i] .. starts[i+1]-1 */
    const int32_t *ids;
    const int32_t *labels; /* [count]: PARE_NO_LABEL for text that nobody labelled */
};

/* PARE_ERR_INPUT naming the example (counted from 1) when one is empty, longer than the
 * model's positions, has an id or label out of range, or has no label although
 * `unlabelled` is 0; `what` names the data. */
enum pare_status pare_examples_check(const struct pare_examples *examples,
                                     const struct pare_config *config, int unlabelled,
                                     const char *what,
                                     struct pare_error *err) PARE_CHECKED;

void pare_examples_sha256(const struct pare_examples *examples, char out[65]);
/* The same of the ids alone: equal for texts with other labels. */
void pare_examples_texts_sha256(const struct pare_examples *examples, char out[65]);

/* Order of epoch `epoch`: a permutation of all examples that is cut into batches of
 * `batch` (the last may be smaller). bucket > 1: examples of `bucket` neighbouring
 * batches are sorted by length before they are cut, then the batches are shuffled.
 * `order` and `work` hold `count` numbers. */
void pare_examples_order(const struct pare_examples *examples, uint64_t seed,
                         uint64_t epoch, size_t batch, size_t bucket, uint32_t *order,
                         uint32_t *work);

struct pare_batcher { /* room for any batch of `batch` of the examples */
    const struct pare_examples *examples;
    int32_t *ids;
    uint32_t *starts, *example;
    int32_t *labels;
    struct pare_arena arena;
};

enum pare_status pare_batcher_init(struct pare_batcher *batcher,
                                   const struct pare_examples *examples, size_t batch,
                                   struct pare_error *err) PARE_CHECKED;
void pare_batcher_free(struct pare_batcher *batcher);

/* The batch of the n examples order[0], order[1] .., or of first, first + 1 .. when order
 * is NULL; valid until the next call. */
struct pare_batch pare_batcher_fill(struct pare_batcher *batcher, const uint32_t *order,
                                    size_t first, size_t n);

#ifdef __cplusplus
}
#endif
#endif
