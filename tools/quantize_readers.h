/* Matrices that read the same inputs, and so share factors and a range. */
#ifndef PARE_TOOLS_QUANTIZE_READERS_H
#define PARE_TOOLS_QUANTIZE_READERS_H

#include "tools/quantize_inputs.h"

struct quantize_readers {
    int n;
    size_t slots[PARE_SMOOTH_MATRICES];
};
/* All that share the inputs of the site, also those that a site of first tokens has. */
struct quantize_readers quantize_readers_of(const struct quantize_work *w,
                                            const struct pare_walk_site *site);

/* Whether a solver fills all of them, and nothing is said of their inputs yet. */
int quantize_all_solved(const struct quantize_work *w,
                        const struct quantize_readers *readers);
/* Whether their inputs are quantised a whole token at a time. */
int quantize_all_int8(const struct quantize_work *w,
                      const struct quantize_readers *readers);

/* Warns, once a site, of matrices that get no factors (if these are wanted) or no static
 * range since others read the same. */
void quantize_tell_left_out(const struct quantize_work *w, int factors);

#endif
