/* Binding a checkpoint to the plan of its config; the container's side. Hugging Face's is
 * hf.c.
 */
#include "runtime/model/stored_internal.h"

#include <fnmatch.h>
#include <stdint.h>
#include <string.h>

#include "runtime/model/container.h"

enum pare_status pare_stored_check_shape(const struct pare_ckpt *ckpt,
                                         const struct pare_tensor *tensor,
                                         const struct pare_slot *slot,
                                         struct pare_error *err)
{
    int same = tensor->n_dims == slot->n_dims;
    for (int i = 0; same && i < slot->n_dims; i++)
        same = tensor->shape[i] == slot->shape[i];
    if (same)
        return PARE_OK;
    char expected[64], found[200];
    return pare_fail(
        err, PARE_ERR_INPUT, "%s: tensor %s has shape %s, expected %s by the config",
        ckpt->path, tensor->name,
        pare_shape_text(tensor->n_dims, tensor->shape, found, sizeof found),
        pare_shape_text(slot->n_dims, slot->shape, expected, sizeof expected));
}

enum pare_status pare_stored_check_floats(const struct pare_ckpt *ckpt,
                                          const struct pare_tensor *tensor,
                                          struct pare_error *err)
{
    if ((uintptr_t)tensor->data % sizeof(float))
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: tensor %s is not aligned to 4 bytes (general.alignment)",
                         ckpt->path, tensor->name);
    return PARE_OK;
}

int pare_stored_ignores(const struct pare_stored_options *options, const char *name)
{
    for (size_t i = 0; options && i < options->n_ignore; i++)
        if (!fnmatch(options->ignore[i], name, 0))
            return 1;
    return 0;
}

enum pare_status pare_stored_drop(struct pare_stored *stored, const char *name,
                                  struct pare_error *err)
{
    if (!stored->dropped)
        PARE_TRY(pare_arena_alloc(&stored->arena, &stored->dropped,
                                  stored->ckpt->n_tensors, sizeof *stored->dropped, err));
    stored->dropped[stored->n_dropped++] = name;
    return PARE_OK;
}

enum pare_status pare_stored_slots(struct pare_stored *stored, struct pare_error *err)
{
    const size_t count = stored->plan.count;
    const struct pare_tensor ***lists[] = {
        &stored->tensors, &stored->scales,       &stored->zeros,       &stored->patterns,
        &stored->kept,    &stored->input_scales, &stored->input_ranges};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        PARE_TRY(
            pare_arena_alloc(&stored->arena, lists[i], count, sizeof **lists[i], err));
        memset(*lists[i], 0, count * sizeof **lists[i]);
    }
    PARE_TRY(pare_arena_alloc(&stored->arena, &stored->sparse, count,
                              sizeof *stored->sparse, err));
    memset(stored->sparse, 0, count * sizeof *stored->sparse);
    return PARE_OK;
}

/* --- Containers --- */

/* X.weight_codes of slot X.weight, X.weight_sparse; NULL when there is none. */
static const struct pare_tensor *find_codes(const struct pare_ckpt *ckpt,
                                            const char *weight_name)
{
    char name[PARE_NAME_SIZE + 8];
    pare_codes_name(weight_name, name);
    return pare_ckpt_find(ckpt, name);
}

static const struct pare_tensor *find_sparse(const struct pare_ckpt *ckpt,
                                             const char *weight_name)
{
    char name[PARE_NAME_SIZE + 8];
    pare_sparse_name(weight_name, "sparse", name);
    return pare_ckpt_find(ckpt, name);
}

/* Files of other programs do not say which of the optional tensors there are. */
static void complete_foreign(struct pare_stored *stored)
{
    if (pare_meta_find(&stored->ckpt->meta, "pare.family"))
        return;
    const struct pare_ckpt *ckpt = stored->ckpt;
    stored->config.has_pooler = pare_ckpt_find(ckpt, "cls.weight") ||
                                find_codes(ckpt, "cls.weight") ||
                                find_sparse(ckpt, "cls.weight");
    if (!pare_ckpt_find(ckpt, "token_types.weight") &&
        !find_codes(ckpt, "token_types.weight"))
        stored->config.token_types = 0;
}

static enum pare_status check_type(const struct pare_ckpt *ckpt,
                                   const struct pare_tensor *tensor,
                                   const struct pare_slot *slot, struct pare_error *err)
{
    const struct pare_dtype_info *info = pare_dtype_info(tensor->type);
    if (!pare_slot_is_matrix(slot) && tensor->type != PARE_F32)
        return pare_fail(err, PARE_ERR_INPUT, "%s: tensor %s is %s, expected F32",
                         ckpt->path, tensor->name, info->name);
    if (tensor->type == PARE_F64 || (!info->is_float && tensor->type != PARE_I8))
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: tensor %s has type %s, which no weight can have",
                         ckpt->path, tensor->name, info->name);
    return PARE_OK;
}

static enum pare_status bind_scale(struct pare_stored *stored, size_t i,
                                   struct pare_error *err)
{
    const struct pare_ckpt *ckpt = stored->ckpt;
    char name[PARE_NAME_SIZE + 8];
    pare_scale_name(stored->plan.slots[i].name, name);
    const struct pare_tensor *scale = pare_ckpt_find(ckpt, name);
    if (!scale)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: tensor %s is I8, but its scales %s are missing", ckpt->path,
                         stored->tensors[i]->name, name);
    const struct pare_slot slot = {.n_dims = 1,
                                   .shape = {stored->plan.slots[i].shape[0]}};
    PARE_TRY(pare_stored_check_shape(ckpt, scale, &slot, err));
    PARE_TRY(check_type(ckpt, scale, &slot, err));
    stored->scales[i] = scale;
    return pare_stored_check_floats(ckpt, scale, err);
}

/* A weight as one tensor, with scales if it is I8. */
static enum pare_status bind_tensor(struct pare_stored *stored, size_t i,
                                    const struct pare_tensor *tensor,
                                    struct pare_error *err)
{
    const struct pare_slot *slot = &stored->plan.slots[i];
    PARE_TRY(pare_stored_check_shape(stored->ckpt, tensor, slot, err));
    PARE_TRY(check_type(stored->ckpt, tensor, slot, err));
    stored->tensors[i] = tensor;
    return tensor->type == PARE_I8 ? bind_scale(stored, i, err) : PARE_OK;
}

static enum pare_status bind_slot(struct pare_stored *stored, size_t i,
                                  struct pare_error *err)
{
    const struct pare_ckpt *ckpt = stored->ckpt;
    const struct pare_slot *slot = &stored->plan.slots[i];
    const int matrix = pare_slot_is_matrix(slot);
    const struct pare_tensor *tensor = pare_ckpt_find(ckpt, slot->name);
    const struct pare_tensor *codes = matrix ? find_codes(ckpt, slot->name) : NULL;
    const struct pare_tensor *sparse = matrix ? find_sparse(ckpt, slot->name) : NULL;
    const struct pare_tensor *first = tensor ? tensor : codes;
    char shape[64];
    if (first && (sparse || (tensor && codes)))
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: tensors %s and %s are one weight in two forms", ckpt->path,
                         first->name, tensor && codes ? codes->name : sparse->name);
    if (sparse)
        PARE_TRY(pare_stored_bind_sparse(stored, i, sparse, err));
    else if (codes)
        PARE_TRY(pare_stored_bind_codes(stored, i, codes, err));
    else if (tensor)
        PARE_TRY(bind_tensor(stored, i, tensor, err));
    else
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: tensor %s is missing, expected %s by the config",
                         ckpt->path, slot->name,
                         pare_shape_text(slot->n_dims, slot->shape, shape, sizeof shape));
    return pare_stored_bind_inputs(stored, i, err);
}

/* Marks what the plan took; the rest is ignored by a glob, or too much. */
static enum pare_status refuse_rest(struct pare_stored *stored,
                                    const struct pare_stored_options *options,
                                    struct pare_error *err)
{
    const struct pare_ckpt *ckpt = stored->ckpt;
    unsigned char *used;
    PARE_TRY(pare_arena_alloc(&stored->arena, &used, ckpt->n_tensors, 1, err));
    memset(used, 0, ckpt->n_tensors);
    for (size_t i = 0; i < stored->plan.count; i++) {
        const struct pare_tensor *parts[PARE_STORED_PARTS + 2];
        size_t n = pare_stored_parts(stored, i, parts);
        parts[n++] = stored->input_scales[i];
        parts[n++] = stored->input_ranges[i];
        for (size_t p = 0; p < n; p++)
            if (parts[p])
                used[parts[p] - ckpt->tensors] = 1;
    }
    for (size_t i = 0; i < ckpt->n_tensors; i++) {
        const char *name = ckpt->tensors[i].name;
        if (used[i])
            continue;
        if (!pare_stored_ignores(options, name))
            return pare_fail(err, PARE_ERR_INPUT,
                             "%s: tensor %s does not belong to a %s of this config",
                             ckpt->path, name, pare_family_name(stored->config.family));
        PARE_TRY(pare_stored_drop(stored, name, err));
    }
    return PARE_OK;
}

static enum pare_status bind_container(struct pare_stored *stored,
                                       const struct pare_stored_options *options,
                                       struct pare_error *err)
{
    struct pare_ckpt *ckpt = stored->ckpt;
    PARE_TRY(pare_config_from_meta(&ckpt->meta, ckpt->path, &stored->config, err));
    complete_foreign(stored);
    PARE_TRY(pare_plan_make(&stored->config, &stored->arena, &stored->plan, err));
    PARE_TRY(pare_stored_slots(stored, err));
    for (size_t i = 0; i < stored->plan.count; i++)
        PARE_TRY(bind_slot(stored, i, err));
    return refuse_rest(stored, options, err);
}

enum pare_status pare_stored_open(const char *path,
                                  const struct pare_stored_options *options,
                                  struct pare_stored *out, struct pare_error *err)
{
    memset(out, 0, sizeof *out);
    PARE_TRY(pare_ckpt_open(path, &out->ckpt, err));
    enum pare_status status = out->ckpt->format == PARE_FORMAT_GGUF
                                  ? bind_container(out, options, err)
                                  : pare_hf_bind(out, options, err);
    if (status != PARE_OK)
        pare_stored_close(out);
    return status;
}

enum pare_status pare_stored_open_container(const char *path, struct pare_stored *out,
                                            struct pare_error *err)
{
    memset(out, 0, sizeof *out);
    PARE_TRY(pare_ckpt_open(path, &out->ckpt, err));
    enum pare_status status;
    if (out->ckpt->format == PARE_FORMAT_GGUF)
        status = bind_container(out, NULL, err);
    else
        status = pare_fail(err, PARE_ERR_INPUT,
                           "%s: this is a %s checkpoint; run pare-convert on it first",
                           path, pare_format_name(out->ckpt->format));
    if (status != PARE_OK)
        pare_stored_close(out);
    return status;
}

void pare_stored_close(struct pare_stored *stored)
{
    pare_ckpt_close(stored->ckpt);
    pare_arena_free(&stored->arena);
    memset(stored, 0, sizeof *stored);
}
