/* Forms for a file of a given size: each matrix gets the number format that its bytes are
 * best spent on.
 *
 * What a matrix loses in a format is predicted. A calibration walk with the original
 * weights gives the mean squared change of the matrix's outputs when its weights are
 * rounded (libquant/loss.h; rows of embeddings: by how often the text has them). How much
 * the model's outputs mind is measured once for each matrix, with it alone rounded to a
 * format in the middle, and taken to grow with the squared change: for a classifier half
 * of d (diag(p) - p p^T) d^T, the change of the logits d in the second-order form of the
 * Kullback-Leibler divergence (no logarithm: the same on every machine), for an encoder
 * the squared change of the hidden states, of their square.
 */
#ifndef PARE_TOOLS_QUANTIZE_BUDGET_H
#define PARE_TOOLS_QUANTIZE_BUDGET_H

#include "libquant/allocate.h"
#include "tools/quantize.h"

#define BUDGET_CANDIDATES 16

/* What each slot would be in each candidate format. */
struct budget_candidates {
    enum pare_scheme schemes[BUDGET_CANDIDATES];
    struct pare_scheme_item *items[BUDGET_CANDIDATES]; /* [plan.count] */
    size_t count;
};

/* Whether a choice is to be made for slot i. */
int budget_is_open(const struct quantize_work *w, const struct budget_candidates *c,
                   size_t i);

/* loss[i * c->count + k]: what slot i is predicted to cost in candidate k. */
enum pare_status budget_measure(struct quantize_work *w,
                                const struct budget_candidates *c,
                                double *loss) PARE_CHECKED;

/* Chooses w->items for the target of the options, and prints curve and choice. Does
 * nothing without a target. The text has been read. */
enum pare_status quantize_budget(struct quantize_work *w) PARE_CHECKED;

#endif
