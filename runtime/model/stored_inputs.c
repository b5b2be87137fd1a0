/* What is stored of a linear layer's inputs: the tensors X.input_scale and X.input_range,
 * one for all matrices that read the same inputs.
 */
#include <math.h>
#include <stdint.h>

#include "runtime/model/container.h"
#include "runtime/model/stored_internal.h"

/* The tensor of `count` floats, aligned; NULL in *out when there is none. */
static enum pare_status find_floats(const struct pare_ckpt *ckpt, const char *name,
                                    uint64_t count, const struct pare_tensor **out,
                                    struct pare_error *err)
{
    const struct pare_slot slot = {.n_dims = 1, .shape = {count}};
    const struct pare_tensor *tensor = *out = pare_ckpt_find(ckpt, name);
    if (!tensor)
        return PARE_OK;
    PARE_TRY(pare_stored_check_shape(ckpt, tensor, &slot, err));
    if (tensor->type != PARE_F32)
        return pare_fail(err, PARE_ERR_INPUT, "%s: tensor %s is %s, expected F32",
                         ckpt->path, name, pare_dtype_name(tensor->type));
    return pare_stored_check_floats(ckpt, tensor, err);
}

static enum pare_status check_scale(const struct pare_ckpt *ckpt,
                                    const struct pare_tensor *scale,
                                    struct pare_error *err)
{
    const float *values = scale->data;
    for (uint64_t k = 0; k < scale->shape[0]; k++)
        if (!(values[k] > 0) || !isfinite(values[k]))
            return pare_fail(err, PARE_ERR_INPUT,
                             "%s: tensor %s: factor %llu is %g, expected one above 0",
                             ckpt->path, scale->name, (unsigned long long)k,
                             (double)values[k]);
    return PARE_OK;
}

/* A range so small that quantise_u8 would call it zeros is none. */
#define LEAST_RANGE 1e-30f

static enum pare_status check_range(const struct pare_stored *stored, size_t i,
                                    const struct pare_tensor *range,
                                    struct pare_error *err)
{
    const float *values = range->data, width = values[1] - values[0];
    const struct pare_tensor *weight = stored->tensors[i];
    if (!(values[0] <= 0) || !(values[1] >= 0) || !(width >= LEAST_RANGE) ||
        !isfinite(width))
        return pare_fail(
            err, PARE_ERR_INPUT,
            "%s: tensor %s is the range %g to %g, expected a finite one that "
            "holds 0",
            stored->ckpt->path, range->name, (double)values[0], (double)values[1]);
    if (weight->type != PARE_I8 || !stored->scales[i] ||
        stored->scales[i]->type != PARE_F32)
        return pare_fail(
            err, PARE_ERR_INPUT,
            "%s: tensor %s is the range of inputs in bytes, but %s is not I8 "
            "with one scale a row",
            stored->ckpt->path, range->name, weight->name);
    return PARE_OK;
}

enum pare_status pare_stored_bind_inputs(struct pare_stored *stored, size_t i,
                                         struct pare_error *err)
{
    const struct pare_slot *slot = &stored->plan.slots[i];
    const struct pare_tensor **scale = &stored->input_scales[i];
    const struct pare_tensor **range = &stored->input_ranges[i];
    char name[PARE_INPUT_NAME_SIZE];
    if (slot->role != PARE_ROLE_LINEAR && slot->role != PARE_ROLE_HEAD)
        return PARE_OK;
    pare_input_scale_name(slot->name, name);
    PARE_TRY(find_floats(stored->ckpt, name, slot->shape[1], scale, err));
    if (*scale)
        PARE_TRY(check_scale(stored->ckpt, *scale, err));
    pare_input_range_name(slot->name, name);
    PARE_TRY(find_floats(stored->ckpt, name, 2, range, err));
    return *range ? check_range(stored, i, *range, err) : PARE_OK;
}
