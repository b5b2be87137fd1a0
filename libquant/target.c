/* Stored forms: see target.h. */
#include "libquant/target.h"

#include <string.h>

#include "runtime/base/bytes.h"
#include "runtime/tensor/superblocks.h"

#define BLOCK 32 /* of Q8_0, Q4_0 and Q4_1 */

size_t pare_target_group(const struct pare_target *target, size_t K)
{
    if (target->kind != PARE_TARGET_TYPE)
        return pare_grid_group(&target->grid, K);
    const struct pare_superblock_layout *layout = pare_superblock_layout(target->type);
    if (layout)
        return (size_t)layout->sub;
    return target->type == PARE_I8 ? K : BLOCK;
}

enum pare_status pare_target_check(const struct pare_target *target, size_t K,
                                   struct pare_error *err)
{
    if (target->kind == PARE_TARGET_GROUPS)
        return pare_grid_check(&target->grid, K, err);
    if (target->kind == PARE_TARGET_TYPE && target->type != PARE_I8 &&
        target->type != PARE_Q8_0 && target->type != PARE_Q4_0 &&
        target->type != PARE_Q4_1 && !pare_superblock_layout(target->type))
        return pare_fail(err, PARE_ERR_USAGE, "no solver fills tensors of type %s",
                         pare_dtype_name(target->type));
    if (target->kind == PARE_TARGET_PUBLISHED &&
        (target->grid.bits < 2 || target->grid.bits > 8 || target->grid.ternary))
        return pare_fail(err, PARE_ERR_USAGE, "codes of %d bits: expected 2 to 8",
                         target->grid.bits);
    const size_t super = pare_target_lattice(target).super;
    const size_t group = super ? super : pare_target_group(target, K);
    if (!group || K % group)
        return pare_fail(err, PARE_ERR_USAGE, "groups of %zu do not divide rows of %zu",
                         group, K);
    return PARE_OK;
}

static struct pare_lattice super_lattice(const struct pare_superblock_layout *layout)
{
    const int ternary = layout->scale_low == layout->scale_high;
    return (struct pare_lattice){
        .rule = ternary              ? PARE_RULE_TERNARY
                : layout->has_minima ? PARE_RULE_MINIMA
                                     : PARE_RULE_SIGNED,
        .half = 1,
        .high = (float)layout->top,
        .zero = (float)layout->zero,
        .divisor = (float)(layout->has_minima ? layout->top : layout->zero),
        .super = ternary ? 0 : PARE_SUPERBLOCK,
        .least = (float)layout->scale_low,
        .most = (float)layout->scale_high,
    };
}

static struct pare_lattice type_lattice(enum pare_dtype type)
{
    const struct pare_superblock_layout *layout = pare_superblock_layout(type);
    if (layout)
        return super_lattice(layout);
    switch (type) {
    case PARE_Q4_0:
        return (struct pare_lattice){
            .rule = PARE_RULE_SIGNED, .half = 1, .high = 15, .zero = 8, .divisor = 8};
    case PARE_Q4_1:
        return (struct pare_lattice){
            .rule = PARE_RULE_MINIMUM, .half = 1, .high = 15, .divisor = 15};
    default:
        return (struct pare_lattice){.rule = PARE_RULE_BALANCED,
                                     .half = type == PARE_Q8_0,
                                     .low = 1,
                                     .high = 255,
                                     .zero = 128,
                                     .divisor = 127};
    }
}

static struct pare_lattice grid_lattice(const struct pare_grid *grid, int half)
{
    const float top = (float)((1 << grid->bits) - 1);
    const float middle = (float)(1 << (grid->bits - 1));
    struct pare_lattice lattice = {.half = half, .high = top, .divisor = top};
    if (grid->ternary)
        return (struct pare_lattice){.rule = PARE_RULE_TERNARY,
                                     .half = half,
                                     .low = 1,
                                     .high = 3,
                                     .zero = 2,
                                     .divisor = 1};
    lattice.rule = PARE_RULE_RANGE;
    if (grid->asymmetric)
        return lattice;
    lattice.rule = half ? PARE_RULE_SIGNED : PARE_RULE_BALANCED;
    lattice.zero = middle;
    lattice.divisor = half ? middle : top / 2;
    return lattice;
}

struct pare_lattice pare_target_lattice(const struct pare_target *target)
{
    struct pare_lattice lattice =
        target->kind == PARE_TARGET_TYPE
            ? type_lattice(target->type)
            : grid_lattice(&target->grid, target->kind == PARE_TARGET_GROUPS);
    lattice.bf16 = target->grid.bf16;
    return lattice;
}

static void store_groups(const struct pare_target *target, size_t row, size_t K,
                         const uint8_t *codes, const struct pare_target_row *grids,
                         const struct pare_target_data *out)
{
    const int bits = target->grid.bits;
    const size_t n = K / pare_target_group(target, K);
    pare_codes_pack(bits, codes, out->data + row * pare_codes_bytes(bits, K), K);
    for (size_t g = 0; g < n; g++) {
        const float s = grids->scale[g * grids->stride];
        pare_store_u16(out->scale + 2 * (row * n + g), pare_f32_to_f16(s));
        if (out->zero) /* the offset is -scale zero, exactly */
            out->zero[row * n + g] =
                (uint8_t)(s != 0 ? -grids->offset[g * grids->stride] / s : 0);
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

static void store_blocks(enum pare_dtype type, size_t row, size_t K, const uint8_t *codes,
                         const struct pare_target_row *grids, unsigned char *data)
{
    const size_t bytes = pare_dtype_info(type)->block_bytes;
    for (size_t g = 0; g < K / BLOCK; g++)
        store_block(type, codes + g * BLOCK, grids->scale[g * grids->stride],
                    grids->offset[g * grids->stride],
                    data + (row * K / BLOCK + g) * bytes);
}

/* Super-block b. The groups' scales and offsets are whole multiples, exactly. */
static struct pare_superblock superblock_of(const struct pare_superblock_layout *layout,
                                            size_t b, const struct pare_target_row *grids)
{
    const size_t n = PARE_SUPERBLOCK / (size_t)layout->sub;
    struct pare_superblock block = {0};
    if (n == 1) {
        block.d = grids->scale[b * grids->stride];
        block.scale[0] = 1;
        return block;
    }
    block.d = grids->d[b * grids->stride];
    block.dmin = grids->dmin[b * grids->stride];
    for (size_t j = 0; j < n; j++) {
        const size_t at = (b * n + j) * grids->stride;
        if (block.d != 0)
            block.scale[j] = (int8_t)(grids->scale[at] / block.d);
        if (block.dmin != 0)
            block.minimum[j] = (uint8_t)(-grids->offset[at] / block.dmin);
    }
    return block;
}

static void store_superblocks(const struct pare_superblock_layout *layout, size_t row,
                              size_t K, const uint8_t *codes,
                              const struct pare_target_row *grids, unsigned char *data)
{
    const size_t bytes = pare_dtype_info(layout->type)->block_bytes;
    const size_t n = K / PARE_SUPERBLOCK;
    for (size_t b = 0; b < n; b++) {
        struct pare_superblock block = superblock_of(layout, b, grids);
        memcpy(block.codes, codes + b * PARE_SUPERBLOCK, PARE_SUPERBLOCK);
        pare_superblock_write(layout->type, &block, data + (row * n + b) * bytes);
    }
}

void pare_target_store_row(const struct pare_target *target, size_t row, size_t K,
                           const uint8_t *codes, const struct pare_target_row *grids,
                           const struct pare_target_data *out)
{
    const struct pare_superblock_layout *layout = pare_superblock_layout(target->type);
    if (target->kind == PARE_TARGET_GROUPS)
        store_groups(target, row, K, codes, grids, out);
    else if (layout)
        store_superblocks(layout, row, K, codes, grids, out->data);
    else if (target->type != PARE_I8)
        store_blocks(target->type, row, K, codes, grids, out->data);
    else {
        for (size_t k = 0; k < K; k++)
            out->data[row * K + k] = (unsigned char)(codes[k] - 128);
        memcpy(out->scale + row * sizeof(float), grids->scale, sizeof(float));
    }
}
