/* What the parts of structured pruning share: prune_structure*.c. */
#ifndef PARE_TOOLS_PRUNE_STRUCTURE_WORK_H
#define PARE_TOOLS_PRUNE_STRUCTURE_WORK_H

#include "libprune/structure.h"
#include "libquant/bias.h"
#include "runtime/model/stored.h"
#include "tools/prune_structure.h"

/* How a matrix did whose inputs went; errors are mean squares of a row's outputs. */
struct structure_result {
    size_t groups, keep; /* groups 0: nothing went */
    double loss;         /* of what was made of it */
    double dropped;      /* without making up for anything */
    double energy;       /* its outputs, about their means */
    double damping;
    size_t dead;
    int escalations, fallback;
};

struct structure_work {
    struct pare_cli *cli;
    const struct structure_options *o;
    const struct structure_common *common;
    struct pare_error *err;
    struct pare_stored stored; /* the input */
    char sha256[65];
    /* The input without the blocks and tokens that go: a view, memory from `arena`; its
     * checkpoint has the metadata of the output. */
    struct pare_stored less;
    struct pare_ckpt ckpt;
    struct pare_meta meta;
    uint32_t *layers;          /* [less.config.layers] of the input's blocks */
    struct pare_tensor tokens; /* the embedding's rows that stay; n_dims 0: all */
    char (*vocab_sha256)[65];  /* [o->vocab.count] */
    /* The output. */
    struct pare_config config;
    struct pare_plan plan; /* slot i is less.plan's slot i */
    /* Of less.plan's slots. */
    uint32_t **kept; /* groups that stay of a matrix whose inputs go; or NULL */
    float **made; /* matrices and biases that became others, in less's shape; or NULL */
    struct structure_result *results;
    struct calibration calibration;
    struct pare_arena arena;
};

/* --- Deciding --- */

/* PARE_ERR_USAGE for options that the model cannot follow. */
enum pare_status structure_check(const struct structure_work *w) PARE_CHECKED;
/* Fills layers, evenly spread if they are a number, and the output's config and plan. */
enum pare_status structure_decide(struct structure_work *w) PARE_CHECKED;
/* The blocks that are asked for are a number, which text may choose. */
int structure_counts_layers(const struct structure_work *w);
/* `out` is the input with those n blocks, and the tokens that stay; a view. */
enum pare_status structure_view(struct structure_work *w, const uint32_t *layers,
                                uint32_t n, struct pare_stored *out) PARE_CHECKED;
/* Reads the text and leaves the tokens it does not have. */
enum pare_status structure_vocabulary(struct structure_work *w) PARE_CHECKED;
/* Chooses the layers on the calibration text. */
enum pare_status structure_choose_layers(struct structure_work *w) PARE_CHECKED;

/* The matrix of less.plan whose inputs go with what slot i computes or reads: attn_output
 * for q, k, v and itself, ffn_down for ffn_up and itself; plan.count: nothing goes.
 * *width: columns of a group; *inputs: it is slot i's columns that go. */
size_t structure_reader(const struct structure_work *w, size_t i, size_t *width,
                        int *inputs);
/* The slot of that name in less.plan, e.g. "ffn_up.weight" of a block. */
size_t structure_slot(const struct structure_work *w, int layer, const char *stem);

/* --- Doing --- */

/* Fills kept, made and results, block by block. */
enum pare_status structure_solve(struct structure_work *w) PARE_CHECKED;
enum pare_status structure_write(struct structure_work *w) PARE_CHECKED;

/* --- Telling --- */

/* For history and report; NULL when there is no memory. */
cJSON *structure_options_json(const struct structure_work *w);
void structure_print_plan(const struct structure_work *w);
enum pare_status structure_write_report(const struct structure_work *w) PARE_CHECKED;
void structure_tell_result(const struct structure_work *w);

#endif
