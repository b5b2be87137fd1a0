/* Fake quantisation: what training sees of a model that will be quantised.
 *
 * A compressor (runtime/model/compressor.h) that makes of every matrix the floats which
 * its scheme stores, by the functions that store it; where that scheme runs on the
 * integer kernels, the inputs of the layer are rounded as those kernels round them.
 * (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
 * Integer-Arithmetic-Only Inference", section 3)
 *
 * With `learned`, the scales of symmetric grids in blocks and head are trained along
 * (learned.h).
 */
#ifndef PARE_LIBQUANT_FAKE_H
#define PARE_LIBQUANT_FAKE_H

#include "libquant/learned.h"
#include "libquant/scheme.h"
#include "runtime/model/compressor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_fake;

/* The plan and the items (pare_scheme_decide) are borrowed. Free with pare_fake_free
 * (NULL allowed). */
enum pare_status pare_fake_new(const struct pare_plan *plan,
                               const struct pare_scheme_item *items, int learned,
                               struct pare_fake **out,
                               struct pare_error *err) PARE_CHECKED;
/* Learned scales begin with those of the weights that training begins with: values +
 * start[i] is the matrix of slot i. Before the first use, also of a run to be resumed. */
void pare_fake_start(struct pare_fake *fake, const float *values, const size_t *start);
void pare_fake_free(struct pare_fake *fake);

/* The interface; it lives as long as `fake`. */
struct pare_compressor *pare_fake_compressor(struct pare_fake *fake);

/* The learned scales of a slot, for storing it; NULL when its scheme finds its own. */
const struct pare_learned *pare_fake_learned(const struct pare_fake *fake, size_t slot);

#ifdef __cplusplus
}
#endif
#endif
