/* What the matrices of a stored model take, and how many of their weights are zero. */
#ifndef PARE_MODEL_SIZES_H
#define PARE_MODEL_SIZES_H

#include "runtime/model/stored.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_size {
    uint64_t weights;
    uint64_t bytes; /* of all that is stored of them: pare_weight_bytes */
    uint64_t zeros; /* weights that decode to 0, or are not stored */
};

double pare_size_bits(const struct pare_size *size);     /* a weight; 0 without any */
double pare_size_sparsity(const struct pare_size *size); /* share of zeros, the same */

/* Fills sizes[plan.count], all 0 for what is no matrix. In parallel; all matrices are
 * read, and their memory is given back. */
enum pare_status pare_stored_sizes(const struct pare_stored *stored,
                                   struct pare_size *sizes,
                                   struct pare_error *err) PARE_CHECKED;

/* The sum over the matrices inside the blocks. */
struct pare_size pare_sizes_of_blocks(const struct pare_plan *plan,
                                      const struct pare_size *sizes);

#ifdef __cplusplus
}
#endif
#endif
