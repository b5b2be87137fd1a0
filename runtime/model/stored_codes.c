/* Weights in groups: the tensors X.weight_codes, X.weight_scale and X.weight_zero, and
 * what every stored weight is to a layer.
 */
#include <string.h>

#include "runtime/base/bytes.h"
#include "runtime/model/container.h"
#include "runtime/model/stored_internal.h"

enum pare_status pare_stored_find_part(const struct pare_ckpt *ckpt, const char *name,
                                       enum pare_dtype type, uint64_t rows,
                                       const struct pare_tensor **out,
                                       struct pare_error *err)
{
    const struct pare_tensor *tensor = *out = pare_ckpt_find(ckpt, name);
    char shape[200];
    if (!tensor)
        return PARE_OK;
    if (tensor->type != type)
        return pare_fail(err, PARE_ERR_INPUT, "%s: tensor %s is %s, expected %s",
                         ckpt->path, name, pare_dtype_name(tensor->type),
                         pare_dtype_name(type));
    if (tensor->n_dims != 2 || tensor->shape[0] != rows)
        return pare_fail(
            err, PARE_ERR_INPUT,
            "%s: tensor %s has shape %s, expected %llu rows by the config", ckpt->path,
            name, pare_shape_text(tensor->n_dims, tensor->shape, shape, sizeof shape),
            (unsigned long long)rows);
    return PARE_OK;
}

/* Bits and group size, as the shapes say. */
static struct pare_groups layout(const struct pare_tensor *codes,
                                 const struct pare_tensor *scale, uint64_t K)
{
    struct pare_groups groups = {0};
    if (codes->shape[1] <= K && codes->shape[1] * 8 % K == 0)
        groups.bits = (int)(codes->shape[1] * 8 / K);
    if (K % scale->shape[1] == 0)
        groups.size = (size_t)(K / scale->shape[1]);
    return groups;
}

/* The shapes of codes and scales fit each other and the slot. */
static enum pare_status check_layout(const struct pare_ckpt *ckpt,
                                     const struct pare_tensor *codes,
                                     const struct pare_tensor *scale, uint64_t K,
                                     struct pare_error *err)
{
    char first[200], second[200];
    const struct pare_groups groups = layout(codes, scale, K);
    struct pare_error reason;
    if (pare_groups_check(groups.bits, groups.size, (size_t)K, &reason) == PARE_OK)
        return PARE_OK;
    return pare_fail(
        err, PARE_ERR_INPUT,
        "%s: tensors %s %s and %s %s do not make rows of %llu weights: %s", ckpt->path,
        codes->name, pare_shape_text(codes->n_dims, codes->shape, first, sizeof first),
        scale->name, pare_shape_text(scale->n_dims, scale->shape, second, sizeof second),
        (unsigned long long)K, reason.message);
}

enum pare_status pare_stored_check_halves(const struct pare_ckpt *ckpt,
                                          const struct pare_tensor *tensor,
                                          const char *what, struct pare_error *err)
{
    const unsigned char *halves = tensor->data;
    for (uint64_t i = 0; i < tensor->bytes / 2; i++)
        if ((pare_load_u16(halves + 2 * i) & 0x7C00) == 0x7C00)
            return pare_fail(err, PARE_ERR_INPUT, "%s: tensor %s: %s %llu is not finite",
                             ckpt->path, tensor->name, what, (unsigned long long)i);
    return PARE_OK;
}

static enum pare_status check_zeros(const struct pare_ckpt *ckpt,
                                    const struct pare_tensor *zero,
                                    const struct pare_tensor *scale, int bits,
                                    struct pare_error *err)
{
    const uint8_t *codes = zero->data;
    char shape[200];
    if (zero->shape[1] != scale->shape[1])
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: tensor %s has %llu columns, its scales have shape %s",
                         ckpt->path, zero->name, (unsigned long long)zero->shape[1],
                         pare_shape_text(2, scale->shape, shape, sizeof shape));
    for (uint64_t i = 0; i < zero->bytes; i++)
        if (codes[i] >> bits)
            return pare_fail(err, PARE_ERR_INPUT,
                             "%s: tensor %s: zero point %llu is %d, no code of %d bits",
                             ckpt->path, zero->name, (unsigned long long)i, codes[i],
                             bits);
    return PARE_OK;
}

enum pare_status pare_stored_bind_codes(struct pare_stored *stored, size_t i,
                                        const struct pare_tensor *codes,
                                        struct pare_error *err)
{
    const struct pare_ckpt *ckpt = stored->ckpt;
    const struct pare_slot *slot = &stored->plan.slots[i];
    const uint64_t N = slot->shape[0], K = slot->shape[1];
    const struct pare_tensor *scale, *zero;
    char name[PARE_NAME_SIZE + 8];
    PARE_TRY(pare_stored_find_part(ckpt, codes->name, PARE_I8, N, &codes, err));
    pare_scale_name(slot->name, name);
    PARE_TRY(pare_stored_find_part(ckpt, name, PARE_F16, N, &scale, err));
    if (!scale)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: tensor %s has codes, but its scales %s are missing",
                         ckpt->path, codes->name, name);
    PARE_TRY(check_layout(ckpt, codes, scale, K, err));
    PARE_TRY(pare_stored_check_halves(ckpt, scale, "scale", err));
    pare_zero_name(slot->name, name);
    PARE_TRY(pare_stored_find_part(ckpt, name, PARE_I8, N, &zero, err));
    if (zero)
        PARE_TRY(check_zeros(ckpt, zero, scale, layout(codes, scale, K).bits, err));
    stored->tensors[i] = codes;
    stored->scales[i] = scale;
    stored->zeros[i] = zero;
    return PARE_OK;
}

/* The length of X.weight in "X.weight_codes", for the end "_codes"; 0 for other names. */
static size_t stem_length(const char *name, const char *suffix)
{
    const size_t length = strlen(name), end = strlen(suffix);
    return length > end && !strcmp(name + length - end, suffix) ? length - end : 0;
}

/* What X.weight_codes, or of a sparse weight X.weight_values, is to a layer. */
static struct pare_weight weight_of(const struct pare_ckpt *ckpt,
                                    const struct pare_slot *slot,
                                    const struct pare_tensor *tensor)
{
    struct pare_weight weight = {.type = tensor->type};
    char name[PARE_NAME_SIZE + 8];
    pare_scale_name(slot->name, name);
    const struct pare_tensor *scale = pare_ckpt_find(ckpt, name);
    pare_sparse_name(slot->name, "sparse", name);
    const struct pare_tensor *pattern = pare_ckpt_find(ckpt, name);
    if (pattern) {
        pare_stored_pattern(pattern, scale, slot, &weight.sparse, &weight.groups);
        return weight;
    }
    weight.groups = layout(tensor, scale, slot->shape[1]);
    pare_zero_name(slot->name, name);
    const struct pare_tensor *zero = pare_ckpt_find(ckpt, name);
    weight.groups.zero = zero ? zero->data : NULL;
    return weight;
}

const struct pare_slot *pare_codes_slot(const struct pare_ckpt *ckpt,
                                        const struct pare_plan *plan,
                                        const struct pare_tensor *tensor,
                                        char form[PARE_FORM_SIZE])
{
    size_t length = stem_length(tensor->name, "_codes");
    if (!length)
        length = stem_length(tensor->name, "_values");
    for (size_t i = 0; length && i < plan->count; i++) {
        const struct pare_slot *slot = &plan->slots[i];
        if (strncmp(slot->name, tensor->name, length) || slot->name[length])
            continue;
        const struct pare_weight weight = weight_of(ckpt, slot, tensor);
        pare_weight_form(&weight, form);
        return slot;
    }
    return NULL;
}

size_t pare_stored_parts(const struct pare_stored *stored, size_t i,
                         const struct pare_tensor *parts[PARE_STORED_PARTS])
{
    const struct pare_tensor *const all[PARE_STORED_PARTS] = {
        stored->patterns ? stored->patterns[i] : NULL,
        stored->kept ? stored->kept[i] : NULL, stored->tensors[i], stored->scales[i],
        stored->zeros ? stored->zeros[i] : NULL};
    size_t n = 0;
    for (size_t p = 0; p < PARE_STORED_PARTS; p++)
        if (all[p])
            parts[n++] = all[p];
    return n;
}

struct pare_weight pare_stored_weight(const struct pare_stored *stored, size_t i)
{
    const struct pare_slot *slot = &stored->plan.slots[i];
    const struct pare_tensor *tensor = stored->tensors[i], *scale = stored->scales[i];
    struct pare_weight weight = {
        .type = tensor->type,
        .N = slot->n_dims == 2 ? (size_t)slot->shape[0] : 1,
        .K = (size_t)slot->shape[slot->n_dims - 1],
        .data = tensor->data,
    };
    if (scale && scale->type == PARE_F32)
        weight.scale = scale->data;
    if (stored->sparse && stored->sparse[i].rows) {
        pare_stored_pattern(stored->patterns[i], scale, slot, &weight.sparse,
                            &weight.groups);
        weight.sparse = stored->sparse[i];
    } else if (scale && scale->type != PARE_F32) {
        weight.groups = layout(tensor, scale, slot->shape[1]);
        weight.groups.scale = scale->data;
        weight.groups.zero = stored->zeros[i] ? stored->zeros[i]->data : NULL;
    }
    if (stored->input_scales && stored->input_scales[i])
        weight.input_scale = stored->input_scales[i]->data;
    if (stored->input_ranges && stored->input_ranges[i])
        weight.input_range = stored->input_ranges[i]->data;
    return weight;
}
