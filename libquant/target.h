/* Stored forms that a solver can fill: weights that share a scale and an offset, a code
 * each, Q = scale q + offset. The solver chooses codes and scales; what is stored decodes
 * to equal floats (a zero may have another sign).
 */
#ifndef PARE_LIBQUANT_TARGET_H
#define PARE_LIBQUANT_TARGET_H

#include "libquant/grid.h"
#include "runtime/tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_target_kind {
    PARE_TARGET_GROUPS, /* codes in groups, scales in half precision (grid.h) */
    /* blocks of `type`: Q8_0, Q4_0, Q4_1, a type of super-blocks (Q2_K to Q6_K, TQ1_0,
     * TQ2_0); or I8 with a float a row */
    PARE_TARGET_TYPE,
    /* The grid of the published GPTQ: float scales, max - min over 2^b - 1 with a whole
     * zero point, or symmetric with the zero point 2^(b-1). Not stored by this project:
     * for comparisons, and for formats of others. */
    PARE_TARGET_PUBLISHED,
};

struct pare_target {
    enum pare_target_kind kind;
    /* of GROUPS; and bits, group, asymmetric of PUBLISHED; and bf16 of TYPE */
    struct pare_grid grid;
    enum pare_dtype type; /* of TYPE */
};

/* Weights along K that share a scale. */
size_t pare_target_group(const struct pare_target *target, size_t K);
/* PARE_ERR_USAGE when there is no such form, or rows of K do not fit it. */
enum pare_status pare_target_check(const struct pare_target *target, size_t K,
                                   struct pare_error *err) PARE_CHECKED;

/* How a grid follows from what its weights are. */
enum pare_rule {
    PARE_RULE_SIGNED,   /* scale = -m / 2^(b-1), m the largest with its sign */
    PARE_RULE_RANGE,    /* scale = (max - min) / (2^b - 1), whole zero point */
    PARE_RULE_BALANCED, /* scale = max |w| / half of the codes */
    PARE_RULE_MINIMUM,  /* scale = (max - min) / 15, offset = min */
    PARE_RULE_MINIMA,   /* scale = (max - min) / (2^b - 1), offset = min, at most 0 */
    PARE_RULE_TERNARY,  /* scale from the mean of |w| */
};

struct pare_lattice {
    enum pare_rule rule;
    int half;        /* scales (and offsets that are no zero points) are rounded to it */
    float low, high; /* codes */
    float zero;      /* the code of 0, where it is fixed */
    float divisor;   /* of the rule */
    int bf16;        /* what is rounded to half precision is exact in bfloat16 as well */
    /* Weights whose groups' scales are whole multiples of one scale, from least to most,
     * and whose offsets (MINIMA) are those of another, from -most to 0; 0: each group has
     * its own. */
    size_t super;
    float least, most;
};
struct pare_lattice pare_target_lattice(const struct pare_target *target);

/* Where the stored form goes: as in docs/FORMAT.md. */
struct pare_target_data {
    unsigned char *data;  /* codes [N, K b / 8], or blocks, or I8 [N, K] */
    unsigned char *scale; /* F16 [N, groups]; I8: F32 [N]; blocks: not used */
    uint8_t *zero;        /* [N, groups] of an asymmetric grid; else not used */
};

/* Grids of a row, those of its groups and super-blocks `stride` floats apart. */
struct pare_target_row {
    const float *scale, *offset; /* of its groups */
    const float *d, *dmin;       /* of its super-blocks, if any */
    size_t stride;
};

/* Stores one row of K codes. */
void pare_target_store_row(const struct pare_target *target, size_t row, size_t K,
                           const uint8_t *codes, const struct pare_target_row *grids,
                           const struct pare_target_data *out);

#ifdef __cplusplus
}
#endif
#endif
