/* Forms for a file of a given size: each matrix gets the number format that its bytes are
 * best spent on.
 *
 * What each matrix would cost in each format is measured on the calibration text, with
 * that matrix alone in that format and all others as they are: as the solver would make
 * it from the moments of the original inputs; embeddings rounded. The cost is the
 * Kullback-Leibler divergence of a classifier's outputs, or the squared change of an
 * encoder's hidden states, of their square. Below a small cost it is not measured again
 * for finer formats, but taken to go with the mean squared change of the matrix's outputs
 * (libquant/loss.h; embeddings: of the rows, by how often the text has them).
 */
#ifndef PARE_TOOLS_QUANTIZE_BUDGET_H
#define PARE_TOOLS_QUANTIZE_BUDGET_H

#include "libquant/allocate.h"
#include "tools/quantize.h"

#define BUDGET_CANDIDATES 16

/* What each slot would be in each candidate format. */
struct budget_candidates {
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

/* Writes the container of w->items to `path`. */
typedef enum pare_status budget_make_fn(struct quantize_work *w, const char *path);

struct budget_search {
    const struct pare_curve *curve;
    /* Chooses w->items for so many bytes of open slots. */
    enum pare_status (*take)(void *context, uint64_t bytes);
    void *context;
    budget_make_fn *make;
};
/* Leaves in w->items the smallest point of the curve that keeps within --max-drop and
 * --max-kl on --max-drop-on, found by halving: as good as they are on that text, and as
 * far as what is larger is no worse. PARE_ERR_GATE when the largest is not good enough.
 */
enum pare_status budget_search(struct quantize_work *w,
                               const struct budget_search *search) PARE_CHECKED;

/* Fills `c` from the options, and w->items with what text is needed for; `now`: how the
 * matrices are stored. */
enum pare_status quantize_candidates(struct quantize_work *w,
                                     const struct pare_weight *now,
                                     struct budget_candidates *c) PARE_CHECKED;
/* Whether --max-drop and --max-kl can be measured: before anything is. */
enum pare_status budget_search_check(const struct quantize_work *w) PARE_CHECKED;
/* Chooses w->items for the target of the options, and prints curve and choice. Does
 * nothing without a target. The text has been read. */
enum pare_status quantize_budget(struct quantize_work *w,
                                 const struct budget_candidates *c,
                                 budget_make_fn *make) PARE_CHECKED;

#endif
