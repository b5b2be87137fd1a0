/* Every function of the kernel table, run over fixed pseudo-random inputs of many sizes.
 *
 * test_kernels.c compares the outputs of two tiers byte by byte; kernel_digest.c hashes
 * them, so that two machines can be compared. Inputs lie at the end of a page behind
 * which nothing may be touched, which also gives them odd alignments.
 */
#ifndef PARE_TESTS_KERNEL_CASES_H
#define PARE_TESTS_KERNEL_CASES_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/kernels/kernels.h"

/* Memory with an inaccessible page behind its last byte, and one in front of its page. */
struct guarded {
    unsigned char *map;
    size_t map_bytes;
    void *data;
};

struct guarded guarded_new(size_t bytes);
void guarded_free(struct guarded g);

/* splitmix64 */
uint64_t case_random(uint64_t *state);

/* PLAIN: about -4 .. 4. WIDE: any exponent. SPECIAL: mostly plain, with zeros of both
 * signs, subnormals, the largest numbers, infinities and NaN among them. */
enum case_kind { CASE_PLAIN, CASE_WIDE, CASE_SPECIAL, CASE_KINDS };

float case_float(uint64_t *state, enum case_kind kind);
struct guarded case_floats(uint64_t *state, size_t n, enum case_kind kind);
struct guarded case_bytes(uint64_t *state, size_t n);

enum case_function {
    CASE_ACTIVATE, /* and the five that follow: by activation */
    CASE_ACTIVATE_BACKWARD = CASE_ACTIVATE + PARE_ACT_SILU + 1,
    CASE_ADD = CASE_ACTIVATE_BACKWARD + PARE_ACT_SILU + 1,
    CASE_ADD_TO,
    CASE_AXPY,
    CASE_SCALE,
    CASE_DOT,
    CASE_SUM,
    CASE_MAX,
    CASE_SOFTMAX,
    CASE_SOFTMAX_BACKWARD,
    CASE_LOGSUMEXP,
    CASE_LAYER_NORM,
    CASE_LAYER_NORM_BACKWARD,
    CASE_QUANTIZE,
    CASE_DEQUANTIZE,
    CASE_ADAMW,
    CASE_DROPOUT,
    CASE_SUM_SQUARES,
    CASE_DECODE_F16,
    CASE_DECODE_BF16,
    CASE_DECODE_Q8_0,
    CASE_DECODE_Q4_0,
    CASE_DECODE_Q4_1,
    CASE_PACK,
    CASE_PACK_COPY,
    CASE_GROUP_RANGE,
    CASE_GROUP_MAGNITUDE,
    CASE_GROUP_ROUND,
    CASE_ROUND_AFFINE,
    CASE_DEVIATE,
    CASE_DEVIATE_POWER,
    CASE_RANK_ONE,
    CASE_PANEL_F16,
    CASE_PANEL_BF16,
    CASE_PANEL_Q8_0,
    CASE_PANEL_Q4_0,
    CASE_PANEL_Q4_1,
    CASE_PANEL_CODES,
    CASE_FUNCTIONS
};

const char *case_name(int function);

#define CASE_SIZES 32
extern const size_t case_sizes[CASE_SIZES];

/* The output of one call: up to three arrays of floats and a few bytes. */
struct case_output {
    unsigned char *data;
    size_t bytes, capacity;
};

/* Floats, every NaN with the same bits. */
void case_put_floats(struct case_output *out, const float *data, size_t n);

/* Runs `function` of table `k` on n elements and appends what it gave. */
void case_run(const struct pare_kernels *k, int function, size_t n, enum case_kind kind,
              struct case_output *out);

#endif
