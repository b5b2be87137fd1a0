/* Grids of few bits in groups: what a weight may become, as one pure function of the
 * matrix. A trainer rounds with pare_grid_round at every step, an exporter stores with
 * pare_grid_store, and the stored file decodes to the same floats, bit for bit.
 *
 * A group of weights w that share a scale s and the code z that means 0 becomes
 *
 *     q = round(clamp(w (1 / s) + z, low, 2^b - 1))    ties to even
 *     Q = s (q - z)
 *
 * where s is rounded to half precision before the codes are chosen, so that they make up
 * for its rounding, and w (1 / s) is 0 when s is 0.
 *
 *   symmetric   z = 2^(b-1), low = 0, s = -m / 2^(b-1), m the weight of largest magnitude
 *               with its sign (the positive one of two). So m has the code 0 and all
 * codes are used; s may be negative. asymmetric  s = (max - min) / (2^b - 1), z =
 * round(clamp(-min (1 / s), 0, 2^b - 1)), low = 0, with min and max taken over the
 * weights and 0. ternary     b = 2, z = 2, low = 1, s = the mean of |w| (Ma et al. 2024,
 * "The Era of 1-bit LLMs", equations 1 to 3; their epsilon is the rule for s = 0): values
 *               -s, 0 and s. Without a group size the mean is that of the whole tensor.
 *
 * With bf16, s is rounded to bfloat16 first, so that it is exact in both.
 *
 * A group of zeros, and one whose scale is below half precision, becomes zeros. A group
 * that holds a NaN or an infinity, or whose scale is beyond half precision, becomes NaN.
 */
#ifndef PARE_LIBQUANT_GRID_H
#define PARE_LIBQUANT_GRID_H

#include "libquant/rtn.h"
#include "runtime/tensor/codes.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_grid {
    int bits;       /* 2 to 8 */
    size_t group;   /* weights along K that share a scale; 0: the whole row (or tensor) */
    int asymmetric; /* with zero points */
    int ternary;    /* bits is 2 */
    int bf16;       /* scales are such that bfloat16 has them as well */
    float mean;     /* ternary, group 0: the mean of |W| of the whole tensor, for a caller
                       that has only some of its rows; 0: taken from the rows given */
};

/* Weights that share a scale in rows of K. */
size_t pare_grid_group(const struct pare_grid *grid, size_t K);

/* PARE_ERR_USAGE when there is no such grid, or rows of K do not fit it. */
enum pare_status pare_grid_check(const struct pare_grid *grid, size_t K,
                                 struct pare_error *err) PARE_CHECKED;

/* Q of W[N, K] into `out` (may be W). The grid has been checked. In parallel over rows,
 * without memory of its own; the same bits for any number of threads. */
void pare_grid_round(const struct pare_grid *grid, const float *W, size_t N, size_t K,
                     float *out);

/* Where the stored form goes (docs/FORMAT.md). */
struct pare_grid_codes {
    unsigned char *codes; /* [N, K bits / 8] */
    unsigned char *scale; /* F16 [N, K / group] */
    uint8_t *zero;        /* [N, K / group] when the grid is asymmetric, else NULL */
};

/* Stores the rows. Their errors are added to *error. PARE_ERR_INPUT naming row and column
 * when W is not finite, or the row when a scale is beyond half precision. */
enum pare_status pare_grid_store(const struct pare_grid *grid,
                                 const struct pare_quant_rows *rows,
                                 const struct pare_grid_codes *out,
                                 struct pare_quant_error *error,
                                 struct pare_error *err) PARE_CHECKED;

/* Adds the sum of |W| to *sum, row after row: the same for any slices and threads. The
 * mean for a grid of a whole tensor is sum / elements. */
void pare_grid_magnitude(const float *W, size_t N, size_t K, double *sum);

#ifdef __cplusplus
}
#endif
#endif
