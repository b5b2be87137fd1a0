/* The calibration walk: a model is gone through from its embeddings to its head, a part
 * at a time, for all batches of a calibration set; what its linear layers read is shown
 * to a visitor, which may replace the part's weights; the next part reads what the
 * replaced ones compute.
 *
 * Only the hidden states of all batches (which a file can hold) and one part's weights
 * are in memory. The arithmetic is pare_forward's (forward.h), down to what it leaves
 * out: of a classifier's last block only the rows of first tokens exist behind the keys
 * and values. Batches have no padding, so every row that is seen belongs to a token.
 */
#ifndef PARE_MODEL_WALK_H
#define PARE_MODEL_WALK_H

#include "runtime/base/progress.h"
#include "runtime/model/forward.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Weights that read the same rows. */
struct pare_walk_site {
    int part; /* block, or config.layers for the head */
    enum pare_site site;
    int first;   /* a row is a sequence's first token; else a row is a token */
    size_t K;    /* columns of the rows */
    int n_slots; /* matrices that read them, */
    size_t slots[PARE_LINEAR_PARTS]; /* numbers in the plan */
};

#define PARE_WALK_SITES 5 /* of a part, at most */
#define PARE_WALK_ROWS 768

/* Batches are run in pieces of whole sequences, of 256 tokens unless one has more: tokens
 * of the largest piece. */
size_t pare_walk_piece_tokens(const struct pare_batch *batches, size_t n_batches);

/* The sites of a part in the order of the forward; returns how many there are. */
int pare_walk_sites(const struct pare_config *config, const struct pare_plan *plan,
                    int part, struct pare_walk_site sites[PARE_WALK_SITES]);

struct pare_walk_visitor {
    void *context;
    /* A part's turn comes, beginning with PARE_PART_EMBEDDINGS: what is to replace
     * weights without having seen any inputs must be there after it. Or NULL. */
    enum pare_status (*begin)(void *context, int part, struct pare_error *err);
    /* Whether the site's inputs are to be seen. */
    int (*wants)(void *context, const struct pare_walk_site *site);
    /* X[rows, K]: rows of a batch in order, PARE_WALK_ROWS at a time and the rest of them
     * at its end, which second moments (gram.h) do not notice. `original`: the same rows
     * as the original weights make them, NULL unless walk.both. */
    enum pare_status (*inputs)(void *context, const struct pare_walk_site *site,
                               const float *X, const float *original, size_t rows,
                               struct pare_error *err);
    /* All batches were seen; *again: they are to be once more before `solve`, with all
     * other sites of this pass (one_site: there is none). Or NULL. */
    enum pare_status (*seen)(void *context, const struct pare_walk_site *site, int *again,
                             struct pare_error *err);
    /* walk.both: whether `current` finds the original weights for the part now; or NULL:
     * it may not. They are bound once then. */
    int (*same)(void *context, int part);
    /* All batches were seen. Nothing is bound and no batch in memory while this runs. */
    enum pare_status (*solve)(void *context, const struct pare_walk_site *site,
                              struct pare_error *err);
    /* From now on the source `current` may find other weights in the slots of the site;
     * or NULL: it may after `solve` (not with one_site). */
    void (*replace)(void *context, const struct pare_walk_site *site);
    /* The part's weights were read from their source: matrices in blocks and the head
     * have been copied. Or NULL. */
    void (*bound)(void *context, int part);
    /* The part's outputs have been computed: its weights are not asked for again. Or
     * NULL. */
    enum pare_status (*end)(void *context, int part, struct pare_error *err);
};

struct pare_walk {
    const struct pare_config *config;
    const struct pare_plan *plan;
    /* Asked anew for the weights of a part whenever they may have changed. `original` is
     * used with `both` only. */
    struct pare_weight_source current, original;
    const struct pare_batch *batches;
    size_t n_batches;
    /* Sites one after the other: each sees what the replaced weights of the earlier ones
     * in the same part compute. Else all see what the part's original weights compute
     * from the replaced weights of the parts before. */
    int sequential;
    int both; /* original weights are run beside the current ones */
    /* For less memory, in more time; what is seen is the same. */
    int one_site;             /* a pass over all batches for each site of a part */
    const char *spill_beside; /* hidden states in a file in this file's folder; or NULL */
    const struct pare_progress *progress;
};

/* Whether a model of that config computes first tokens only behind its last block's keys
 * and values, as it does for its logits. */
int pare_walk_first_only(const struct pare_config *config);

/* In parallel; the bits of everything seen do not depend on the number of threads. Errors
 * are those of the forward, the sources and the visitor, and PARE_ERR_INTERRUPTED. */
enum pare_status pare_walk_run(const struct pare_walk *walk,
                               const struct pare_walk_visitor *visitor,
                               struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
