/* What the numbers of a tensor look like. */
#ifndef PARE_TENSOR_STATS_H
#define PARE_TENSOR_STATS_H

#include "runtime/tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_stats { /* min, max, mean: of the finite elements, 0 when there are none */
    int known;      /* 0, and all the rest too, for a type that is not decoded here */
    double min, max, mean;
    uint64_t zeros, nonfinite;
    uint64_t first_nonfinite; /* the first one's element number, when there is one */
};

/* Of every element of a tensor of any type; block types are decoded. In parallel; the
 * same result for any number of threads. */
enum pare_status pare_tensor_stats(const struct pare_tensor *tensor,
                                   struct pare_stats *stats,
                                   struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
