/* Which range a layer's inputs are quantised to when it is the same for all of them: the
 * observers of static quantisation.
 *
 *   MINMAX      from the smallest to the largest input
 *   PERCENTILE  leaves out the 0.01 % smallest and the 0.01 % largest
 *   MSE         least mean squared difference of what becomes of an input: every pair of
 *               the ends of MINMAX, each shrunk by 0 .. 63 64ths
 *   ENTROPY     the calibration of TensorRT (Migacz 2017, "8-bit inference with
 *               TensorRT"), which ONNX Runtime has too: inputs are clipped to +-T, and of
 *               128 T the one is taken whose 256 codes tell least apart, by the
 *               Kullback-Leibler divergence of the histogram from what the codes make of
 *               it
 *
 * All but MINMAX look at a histogram of PARE_OBSERVER_BINS bins over the range of MINMAX,
 * where an input counts as the middle of its bin; its counts are whole numbers. A range
 * always holds 0.
 */
#ifndef PARE_LIBQUANT_OBSERVER_H
#define PARE_LIBQUANT_OBSERVER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum pare_observer {
    PARE_OBSERVER_MINMAX,
    PARE_OBSERVER_PERCENTILE,
    PARE_OBSERVER_MSE,
    PARE_OBSERVER_ENTROPY,
};

#define PARE_OBSERVER_BINS 2048

/* Inputs between the ends of a range that holds 0, low < high. */
struct pare_histogram {
    double low, high;
    uint64_t counts[PARE_OBSERVER_BINS], total;
};

/* Adds X[rows, K], input k times by[k] (NULL: times 1). What lies outside counts for the
 * first or the last bin. */
void pare_histogram_add(struct pare_histogram *histogram, const float *X, size_t rows,
                        size_t K, const float *by);

/* The range that the observer takes. */
void pare_observer_range(enum pare_observer observer,
                         const struct pare_histogram *histogram, float range[2]);

#ifdef __cplusplus
}
#endif
#endif
