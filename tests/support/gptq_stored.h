/* What GPTQ stores, for the tests of it. */
#ifndef PARE_TESTS_GPTQ_STORED_H
#define PARE_TESTS_GPTQ_STORED_H

#include "tests/support/gptq_cases.h"

struct bytes {
    struct pare_target_data stored;
    size_t data, scale, zero;
};

static inline struct bytes bytes_new(const struct problem *p,
                                     const struct pare_target *target)
{
    const size_t groups = p->K / pare_target_group(target, p->K);
    struct bytes b = {0};
    if (target->kind == PARE_TARGET_GROUPS) {
        b.data = p->N * pare_codes_bytes(target->grid.bits, p->K);
        b.scale = 2 * p->N * groups;
        b.zero = target->grid.asymmetric ? p->N * groups : 0;
    } else {
        const struct pare_dtype_info *info = pare_dtype_info(target->type);
        b.data = p->N * p->K / info->block * info->block_bytes;
        b.scale = target->type == PARE_I8 ? 4 * p->N : 0;
    }
    b.stored.data = calloc(1, b.data);
    b.stored.scale = b.scale ? calloc(1, b.scale) : NULL;
    b.stored.zero = b.zero ? calloc(1, b.zero) : NULL;
    return b;
}

static inline void bytes_free(struct bytes *b)
{
    free(b->stored.data);
    free(b->stored.scale);
    free(b->stored.zero);
}

static inline void decode_row(const struct problem *p, const struct pare_target *target,
                              const struct bytes *b, size_t n, float *out)
{
    if (target->kind == PARE_TARGET_GROUPS) {
        const struct pare_groups groups = {target->grid.bits,
                                           pare_target_group(target, p->K),
                                           b->stored.scale, b->stored.zero};
        pare_groups_decode(&groups, b->stored.data, n, p->K, 0, p->K, out);
    } else if (target->type == PARE_I8) {
        for (size_t k = 0; k < p->K; k++)
            out[k] = ((const float *)(const void *)b->stored.scale)[n] *
                     (float)((const int8_t *)b->stored.data)[n * p->K + k];
    } else {
        pare_row_decode(target->type, b->stored.data + n * (b->data / p->N), out, p->K);
    }
}

static inline struct bytes stored_with(const struct problem *p,
                                       const struct pare_target *target)
{
    struct pare_factor factor =
        problem_factor(p, PARE_ORDER_GROUPS, pare_target_group(target, p->K));
    const struct pare_gptq_options options = pare_gptq_defaults(target);
    struct bytes b = bytes_new(p, target);
    free(solve(p, &factor, &options, &b.stored, NULL));
    pare_factor_free(&factor);
    return b;
}

#endif
