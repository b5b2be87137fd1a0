/* Sparse weights: the tensors X.weight_sparse, X.weight_mask or X.weight_ranks,
 * X.weight_values and X.weight_scale (docs/FORMAT.md).
 */
#include <string.h>

#include "runtime/base/bytes.h"
#include "runtime/model/container.h"
#include "runtime/model/stored_internal.h"

#define NUMBERS 4 /* of a pattern; codes in groups have one more, their bits */

static size_t number_at(const struct pare_tensor *pattern, size_t i)
{
    return pare_load_u32((const unsigned char *)pattern->data + 4 * i);
}

void pare_stored_pattern(const struct pare_tensor *pattern,
                         const struct pare_tensor *scale, const struct pare_slot *slot,
                         struct pare_sparse *sparse, struct pare_groups *groups)
{
    *sparse = (struct pare_sparse){.rows = number_at(pattern, 0),
                                   .columns = number_at(pattern, 1),
                                   .n = number_at(pattern, 2),
                                   .m = number_at(pattern, 3)};
    if (pattern->shape[0] == NUMBERS || !scale)
        return;
    groups->bits = (int)number_at(pattern, NUMBERS);
    groups->scale = scale->data;
    if (slot->shape[1] % scale->shape[1] == 0)
        groups->size = (size_t)(slot->shape[1] / scale->shape[1]);
}

/* The numbers of the pattern make one of this matrix. */
static enum pare_status check_pattern(const struct pare_stored *stored, size_t i,
                                      const struct pare_tensor *pattern,
                                      struct pare_error *err)
{
    const struct pare_slot *slot = &stored->plan.slots[i];
    const char *path = stored->ckpt->path;
    struct pare_error reason;
    struct pare_sparse sparse;
    struct pare_groups groups;
    if (slot->role != PARE_ROLE_LINEAR && slot->role != PARE_ROLE_HEAD)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: tensor %s: only matrices that are multiplied can be sparse",
                         path, pattern->name);
    if (pattern->type != PARE_I32 || pattern->n_dims != 1 ||
        (pattern->shape[0] != NUMBERS && pattern->shape[0] != NUMBERS + 1))
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: tensor %s: expected %d numbers of type I32, or %d", path,
                         pattern->name, NUMBERS, NUMBERS + 1);
    pare_stored_pattern(pattern, NULL, slot, &sparse, &groups);
    if (pare_sparse_check(&sparse, (size_t)slot->shape[0], (size_t)slot->shape[1],
                          &reason) == PARE_OK)
        return PARE_OK;
    return pare_fail(err, PARE_ERR_INPUT, "%s: tensor %s: %s", path, pattern->name,
                     reason.message);
}

/* X.weight_PART, which has to be there. */
static enum pare_status need_part(const struct pare_stored *stored, size_t i,
                                  const char *part, const struct pare_tensor **out,
                                  struct pare_error *err)
{
    char name[PARE_NAME_SIZE + 8];
    pare_sparse_name(stored->plan.slots[i].name, part, name);
    *out = pare_ckpt_find(stored->ckpt, name);
    return *out ? PARE_OK
                : pare_fail(err, PARE_ERR_INPUT,
                            "%s: tensor %s is missing, which a sparse weight has",
                            stored->ckpt->path, name);
}

static enum pare_status bind_kept(struct pare_stored *stored, size_t i,
                                  struct pare_error *err)
{
    const struct pare_slot *slot = &stored->plan.slots[i];
    struct pare_sparse *sparse = &stored->sparse[i];
    const struct pare_slot wanted = {
        .n_dims = 2,
        .shape = {slot->shape[0] / sparse->rows,
                  pare_sparse_kept_bytes(sparse, (size_t)slot->shape[1])}};
    const struct pare_tensor *kept;
    PARE_TRY(need_part(stored, i, sparse->m ? "ranks" : "mask", &kept, err));
    if (kept->type != PARE_I8)
        return pare_fail(err, PARE_ERR_INPUT, "%s: tensor %s is %s, expected I8",
                         stored->ckpt->path, kept->name, pare_dtype_name(kept->type));
    PARE_TRY(pare_stored_check_shape(stored->ckpt, kept, &wanted, err));
    stored->kept[i] = kept;
    sparse->kept = kept->data;
    return PARE_OK;
}

/* Of codes in groups, or one a row. */
static enum pare_status bind_scales(struct pare_stored *stored, size_t i,
                                    struct pare_error *err)
{
    const struct pare_ckpt *ckpt = stored->ckpt;
    const struct pare_slot *slot = &stored->plan.slots[i];
    const struct pare_tensor *pattern = stored->patterns[i], *scale;
    struct pare_sparse sparse;
    struct pare_groups groups = {0};
    struct pare_error reason;
    PARE_TRY(need_part(stored, i, "scale", &scale, err));
    stored->scales[i] = scale;
    if (pattern->shape[0] == NUMBERS) {
        const struct pare_slot wanted = {.n_dims = 1, .shape = {slot->shape[0]}};
        if (scale->type != PARE_F32)
            return pare_fail(err, PARE_ERR_INPUT, "%s: tensor %s is %s, expected F32",
                             ckpt->path, scale->name, pare_dtype_name(scale->type));
        PARE_TRY(pare_stored_check_shape(ckpt, scale, &wanted, err));
        return pare_stored_check_floats(ckpt, scale, err);
    }
    PARE_TRY(
        pare_stored_find_part(ckpt, scale->name, PARE_F16, slot->shape[0], &scale, err));
    pare_stored_pattern(pattern, scale, slot, &sparse, &groups);
    if (pare_groups_check(groups.bits, groups.size, (size_t)slot->shape[1], &reason) !=
        PARE_OK)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: tensors %s and %s do not make rows of %llu weights: %s",
                         ckpt->path, pattern->name, scale->name,
                         (unsigned long long)slot->shape[1], reason.message);
    return pare_stored_check_halves(ckpt, scale, "scale", err);
}

static enum pare_status check_values(const struct pare_stored *stored, size_t i,
                                     struct pare_error *err)
{
    const struct pare_tensor *values = stored->tensors[i];
    const int coded = stored->patterns[i]->shape[0] != NUMBERS;
    if (values->n_dims != 1 || (values->type != PARE_F16 && values->type != PARE_I8))
        return pare_fail(
            err, PARE_ERR_INPUT,
            "%s: tensor %s is %s of %d dimensions, expected F16 or I8 of one",
            stored->ckpt->path, values->name, pare_dtype_name(values->type),
            values->n_dims);
    return coded && values->type != PARE_I8
               ? pare_fail(err, PARE_ERR_INPUT,
                           "%s: tensor %s is %s, but %s says that its values are codes",
                           stored->ckpt->path, values->name,
                           pare_dtype_name(values->type), stored->patterns[i]->name)
               : PARE_OK;
}

/* Where each strip's values are; they are as many as what is kept asks for. */
static enum pare_status make_index(struct pare_stored *stored, size_t i,
                                   struct pare_error *err)
{
    const struct pare_slot *slot = &stored->plan.slots[i];
    const size_t N = (size_t)slot->shape[0], K = (size_t)slot->shape[1];
    const struct pare_tensor *values = stored->tensors[i], *kept = stored->kept[i];
    struct pare_sparse *sparse = &stored->sparse[i];
    const struct pare_weight weight = pare_stored_weight(stored, i);
    const size_t strips = N / sparse->rows;
    uint64_t *start;
    uint32_t *sets;
    struct pare_error reason;
    PARE_TRY(pare_arena_alloc(&stored->arena, &start, strips + 1, sizeof *start, err));
    PARE_TRY(pare_arena_alloc(&stored->arena, &sets, 256, sizeof *sets, err));
    if (pare_sparse_index(sparse, N, K, pare_weight_value_bits(&weight), start,
                          &reason) != PARE_OK)
        return pare_fail(err, PARE_ERR_INPUT, "%s: tensor %s: %s", stored->ckpt->path,
                         kept->name, reason.message);
    sparse->start = start;
    const uint64_t wanted =
        pare_sparse_stored_bytes(sparse, N, pare_weight_value_bits(&weight));
    if (values->bytes != wanted)
        return pare_fail(
            err, PARE_ERR_INPUT, "%s: tensor %s has %llu bytes, %s asks for %llu",
            stored->ckpt->path, values->name, (unsigned long long)values->bytes,
            kept->name, (unsigned long long)wanted);
    if (sparse->m) {
        pare_sparse_list_sets(sparse->n, sparse->m, sets);
        sparse->sets = sets;
    }
    return PARE_OK;
}

enum pare_status pare_stored_bind_sparse(struct pare_stored *stored, size_t i,
                                         const struct pare_tensor *pattern,
                                         struct pare_error *err)
{
    struct pare_groups groups;
    PARE_TRY(check_pattern(stored, i, pattern, err));
    pare_stored_pattern(pattern, NULL, &stored->plan.slots[i], &stored->sparse[i],
                        &groups);
    stored->patterns[i] = pattern;
    PARE_TRY(bind_kept(stored, i, err));
    PARE_TRY(need_part(stored, i, "values", &stored->tensors[i], err));
    PARE_TRY(check_values(stored, i, err));
    PARE_TRY(
        stored->tensors[i]->type == PARE_I8
            ? bind_scales(stored, i, err)
            : pare_stored_check_halves(stored->ckpt, stored->tensors[i], "value", err));
    return make_index(stored, i, err);
}
