/* Stored forms: see target.h. */
#include "libquant/target.h"

#include <string.h>

#include "runtime/base/bytes.h"

#define BLOCK 32 /* of Q8_0, Q4_0 and Q4_1 */

size_t pare_target_group(const struct pare_target *target, size_t K)
{
    if (target->kind != PARE_TARGET_TYPE)
        return pare_grid_group(&target->grid, K);
    return target->type == PARE_I8 ? K : BLOCK;
}

enum pare_status pare_target_check(const struct pare_target *target, size_t K,
                                   struct pare_error *err)
{
    if (target->kind == PARE_TARGET_GROUPS)
        return pare_grid_check(&target->grid, K, err);
    if (target->kind == PARE_TARGET_TYPE && target->type != PARE_I8 &&
        target->type != PARE_Q8_0 && target->type != PARE_Q4_0 &&
        target->type != PARE_Q4_1)
        return pare_fail(err, PARE_ERR_USAGE, "no solver fills tensors of type %s",
                         pare_dtype_name(target->type));
    if (target->kind == PARE_TARGET_PUBLISHED &&
        (target->grid.bits < 2 || target->grid.bits > 8 || target->grid.ternary))
        return pare_fail(err, PARE_ERR_USAGE, "codes of %d bits: expected 2 to 8",
                         target->grid.bits);
    const size_t group = pare_target_group(target, K);
    if (!group || K % group)
        return pare_fail(err, PARE_ERR_USAGE, "groups of %zu do not divide rows of %zu",
                         group, K);
    return PARE_OK;
}

static struct pare_lattice type_lattice(enum pare_dtype type)
{
    switch (type) {
    case PARE_Q4_0: return (struct pare_lattice){PARE_RULE_SIGNED, 1, 0, 15, 8, 8};
    case PARE_Q4_1: return (struct pare_lattice){PARE_RULE_MINIMUM, 1, 0, 15, 0, 15};
    default:
        return (struct pare_lattice){
            PARE_RULE_BALANCED, type == PARE_Q8_0, 1, 255, 128, 127};
    }
}

struct pare_lattice pare_target_lattice(const struct pare_target *target)
{
    const struct pare_grid *grid = &target->grid;
    const int half = target->kind == PARE_TARGET_GROUPS;
    if (target->kind == PARE_TARGET_TYPE)
        return type_lattice(target->type);
    if (grid->ternary)
        return (struct pare_lattice){PARE_RULE_TERNARY, half, 1, 3, 2, 1};
    const float top = (float)((1 << grid->bits) - 1);
    const float middle = (float)(1 << (grid->bits - 1));
    if (grid->asymmetric)
        return (struct pare_lattice){PARE_RULE_RANGE, half, 0, top, 0, top};
    if (half)
        return (struct pare_lattice){PARE_RULE_SIGNED, half, 0, top, middle, middle};
    return (struct pare_lattice){PARE_RULE_BALANCED, half, 0, top, middle, top / 2};
}

static void store_groups(const struct pare_target *target, size_t row, size_t K,
                         const uint8_t *codes, const float *scale, const float *offset,
                         size_t stride, const struct pare_target_data *out)
{
    const int bits = target->grid.bits;
    const size_t n = K / pare_target_group(target, K);
    pare_codes_pack(bits, codes, out->data + row * pare_codes_bytes(bits, K), K);
    for (size_t g = 0; g < n; g++) {
        const float s = scale[g * stride];
        pare_store_u16(out->scale + 2 * (row * n + g), pare_f32_to_f16(s));
        if (out->zero) /* the offset is -scale zero, exactly */
            out->zero[row * n + g] = (uint8_t)(s != 0 ? -offset[g * stride] / s : 0);
    }
}

static void store_block(enum pare_dtype type, const uint8_t *q, float scale, float offset,
                        unsigned char *block)
{
    pare_store_u16(block, pare_f32_to_f16(scale));
    block += 2;
    if (type == PARE_Q4_1) {
        pare_store_u16(block, pare_f32_to_f16(offset));
        block += 2;
    }
    for (size_t i = 0; i < (type == PARE_Q8_0 ? BLOCK : BLOCK / 2); i++)
        block[i] = type == PARE_Q8_0 ? (unsigned char)(q[i] - 128)
                                     : (unsigned char)(q[i] | q[i + BLOCK / 2] << 4);
}

void pare_target_store_row(const struct pare_target *target, size_t row, size_t K,
                           const uint8_t *codes, const float *scale, const float *offset,
                           size_t stride, const struct pare_target_data *out)
{
    if (target->kind == PARE_TARGET_GROUPS) {
        store_groups(target, row, K, codes, scale, offset, stride, out);
        return;
    }
    if (target->type == PARE_I8) {
        for (size_t k = 0; k < K; k++)
            out->data[row * K + k] = (unsigned char)(codes[k] - 128);
        memcpy(out->scale + row * sizeof(float), scale, sizeof(float));
        return;
    }
    const size_t bytes = pare_dtype_info(target->type)->block_bytes;
    for (size_t g = 0; g < K / BLOCK; g++)
        store_block(target->type, codes + g * BLOCK, scale[g * stride],
                    offset[g * stride], out->data + (row * K / BLOCK + g) * bytes);
}
