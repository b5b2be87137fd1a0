/* What a solver's walk does about the inputs of the layers: factors, ranges, biases. */
#ifndef PARE_TOOLS_QUANTIZE_INPUTS_H
#define PARE_TOOLS_QUANTIZE_INPUTS_H

#include "libquant/bias.h"
#include "runtime/model/walk.h"
#include "tools/quantize.h"

/* What is decided about the inputs of some matrices. */
struct quantize_site {
    float *scale;   /* [K], multiply the inputs; NULL: nothing does */
    int folded;     /* what makes the inputs is multiplied instead: nothing is stored */
    int is_static;  /* the inputs are quantised to `range` */
    float range[2]; /* after the factors */
    struct pare_smooth_choice choice;
    double plain; /* the error without factors */
};

extern const char *const quantize_family_names[]; /* by enum pare_smooth_family */

/* Looks at the inputs of all layers in the original model and decides: fills w->sites and
 * w->makers. Nothing to do: they stay NULL. */
enum pare_status quantize_survey(struct quantize_work *w) PARE_CHECKED;

/* Whether --activations static has inputs to be for: that int8 matrices alone read. */
int quantize_has_static(const struct quantize_work *w);

/* What that takes: bytes of memory, beside hidden states, a block and a batch, and
 * multiplications. Both are 0 when there is nothing to look for. */
void quantize_survey_costs(const struct quantize_work *w, uint64_t *bytes,
                           double *products);

/* Writes or plans what is decided of the inputs of slot i, with the first of the slots
 * that share it. */
enum pare_status quantize_site_plan(const struct quantize_work *w, size_t i,
                                    struct pare_gguf_writer *writer) PARE_CHECKED;
enum pare_status quantize_site_write(const struct quantize_work *w, size_t i,
                                     struct pare_gguf_writer *writer) PARE_CHECKED;

/* Adds what is decided of the inputs of slot i to its row of the report. 0 when there is
 * no memory. */
int quantize_site_json(const struct quantize_work *w, size_t i, cJSON *row);

/* --- In the walk --- */

/* What the inputs of slot i are multiplied by before a solver sees them; NULL: nothing.
 * Folded factors are in them already. */
const float *quantize_input_scale(const struct quantize_work *w, size_t i);
/* *X[rows, site->K] times that of the site's matrices, from the arena, if there is any.
 */
enum pare_status quantize_scaled_inputs(const struct quantize_work *w,
                                        const struct pare_walk_site *site,
                                        const float **X, size_t rows,
                                        struct pare_arena *arena,
                                        struct pare_error *err) PARE_CHECKED;
/* The factors and the range that slot i runs with. */
void quantize_site_weight(const struct quantize_work *w, size_t i,
                          struct pare_weight *weight);

/* The stored weights, with the folded factors in them. */
struct quantize_folded {
    const struct quantize_work *w;
    struct pare_weight_source stored;
    float **copies; /* [plan.count]: of the part that is being worked on */
};
enum pare_status quantize_folded_init(struct quantize_folded *f,
                                      struct quantize_work *w) PARE_CHECKED;
struct pare_weight_source quantize_folded_source(struct quantize_folded *f);
void quantize_folded_release(struct quantize_folded *f, size_t i); /* slot i's copy */
void quantize_folded_free(struct quantize_folded *f);

/* Rows first .. first + rows - 1 of the matrix of slot i as its solver is to see them:
 * with their own factors, and those of what they make. */
void quantize_site_solved(const struct quantize_work *w, size_t i, size_t first,
                          size_t rows, float *W);

/* Rows first .. first + rows - 1 (of W and Q) of the bias of matrix i, as it is to be
 * stored, into `form`, when it is another than before: multiplied by the factors of what
 * it makes, and with --bias-correction with what its weights lost added
 * (libquant/bias.h). */
enum pare_status quantize_make_bias(const struct quantize_work *w, size_t i, size_t first,
                                    size_t rows, const float *W, const float *Q,
                                    const struct pare_means *means,
                                    struct quantize_form *form) PARE_CHECKED;
/* Whether slot i is a bias for which that is so. */
int quantize_bias_is_made(const struct quantize_work *w, size_t i);
/* The slot of the bias of matrix i. */
size_t quantize_bias_slot(const struct quantize_work *w, size_t i);

#endif
