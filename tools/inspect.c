/* Finding out what is in a file: see inspect.h. */
#include "tools/inspect.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/utf8.h"
#include "runtime/model/container.h"
#include "runtime/model/model.h"

const char *inspect_clean(const char *text, size_t length, char *out, size_t size)
{
    size_t used = 0;
    for (size_t at = 0; at < length;) {
        size_t n = pare_utf8_length((const uint8_t *)text + at, length - at);
        const unsigned char first = (unsigned char)text[at];
        if (used + (n ? n : 1) + 4 > size) {
            memcpy(out + used, "...", 4);
            return out;
        }
        if (!n || first < 0x20 || first == 0x7F)
            out[used++] = '?';
        else
            memcpy(out + used, text + at, n);
        used += !n || first < 0x20 || first == 0x7F ? 0 : n;
        at += n ? n : 1;
    }
    out[used] = '\0';
    return out;
}

const char *inspect_meta_type(enum pare_meta_type type)
{
    static const char *const names[] = {"u8",  "i8",  "u16",  "i16",    "u32",
                                        "i32", "f32", "bool", "string", "array",
                                        "u64", "i64", "f64"};
    return (size_t)type < sizeof names / sizeof *names ? names[type] : "?";
}

static int matches(const struct inspect_report *r, const char *name)
{
    return !r->o->glob || !fnmatch(r->o->glob, name, 0);
}

int inspect_wanted(const struct inspect_report *r, size_t i)
{
    return matches(r, r->ckpt->tensors[i].name);
}

/* Whether `name` is X + suffix for a tensor X + other of I8, or of F16 values. */
static int is_beside(const struct pare_ckpt *ckpt, const char *name, const char *suffix,
                     const char *other)
{
    char stem[PARE_NAME_SIZE + 16];
    const size_t length = strlen(name), end = strlen(suffix);
    if (length <= end || length >= PARE_NAME_SIZE + 8 ||
        strcmp(name + length - end, suffix))
        return 0;
    memcpy(stem, name, length - end);
    snprintf(stem + length - end, sizeof stem - (length - end), "%s", other);
    const struct pare_tensor *weight = pare_ckpt_find(ckpt, stem);
    return weight && (weight->type == PARE_I8 || !strcmp(other, "_values"));
}

/* Whether it says which weights of a sparse matrix are kept. */
static int is_pattern(const struct pare_ckpt *ckpt, const char *name)
{
    return is_beside(ckpt, name, "_sparse", "_values") ||
           is_beside(ckpt, name, "_mask", "_values") ||
           is_beside(ckpt, name, "_ranks", "_values");
}

static int is_named(const struct pare_tensor *tensor, const char *name)
{
    return tensor && !strcmp(tensor->name, name);
}

/* Whether it is what some matrix's inputs are multiplied by, or their range. */
static int is_of_inputs(const struct pare_stored *stored, const char *name)
{
    for (size_t i = 0; stored->input_scales && i < stored->plan.count; i++)
        if (is_named(stored->input_scales[i], name) ||
            is_named(stored->input_ranges[i], name))
            return 1;
    return 0;
}

/* Elements of the model that the tensor holds: none for scales, zero points, patterns and
 * what is said of inputs, which are part of the format's overhead. */
static uint64_t parameters_of(const struct inspect_report *r,
                              const struct pare_tensor *tensor)
{
    char form[PARE_FORM_SIZE];
    if (is_beside(r->ckpt, tensor->name, "_scale", "") ||
        is_beside(r->ckpt, tensor->name, "_scale", "_codes") ||
        is_beside(r->ckpt, tensor->name, "_zero", "_codes") ||
        is_beside(r->ckpt, tensor->name, "_scale", "_values") ||
        is_pattern(r->ckpt, tensor->name) ||
        (r->runs && is_of_inputs(&r->model, tensor->name)))
        return 0;
    const struct pare_slot *slot =
        r->runs ? pare_codes_slot(r->ckpt, &r->model.plan, tensor, form) : NULL;
    return slot ? pare_slot_elements(slot) : pare_tensor_elements(tensor);
}

const char *inspect_type(const struct inspect_report *r, size_t i,
                         char out[PARE_FORM_SIZE])
{
    const struct pare_tensor *tensor = &r->ckpt->tensors[i];
    if (!r->runs || !pare_codes_slot(r->ckpt, &r->model.plan, tensor, out))
        snprintf(out, PARE_FORM_SIZE, "%s", pare_dtype_name(tensor->type));
    return out;
}

/* The bytes of codes and patterns are none. */
static int is_numbers(const struct inspect_report *r, size_t i)
{
    const struct pare_tensor *tensor = &r->ckpt->tensors[i];
    char type[PARE_FORM_SIZE];
    return !is_pattern(r->ckpt, tensor->name) &&
           (tensor->type != PARE_I8 || !strchr(inspect_type(r, i, type), '/'));
}

static enum pare_status take_stats(struct pare_cli *cli, struct inspect_report *r,
                                   struct pare_error *err)
{
    PARE_TRY(pare_alloc(&r->stats, r->ckpt->n_tensors, sizeof *r->stats, err));
    for (size_t i = 0; i < r->ckpt->n_tensors; i++) {
        PARE_TRY(pare_check_interrupted(err));
        pare_progress_report(&cli->progress, "inspect", i, r->ckpt->n_tensors,
                             r->ckpt->tensors[i].name);
        if (inspect_wanted(r, i) && is_numbers(r, i))
            PARE_TRY(pare_tensor_stats(&r->ckpt->tensors[i], &r->stats[i], err));
    }
    pare_progress_report(&cli->progress, "inspect", r->ckpt->n_tensors,
                         r->ckpt->n_tensors, NULL);
    return PARE_OK;
}

static enum pare_status take_sizes(struct inspect_report *r, struct pare_error *err)
{
    if (!r->runs)
        return PARE_OK;
    PARE_TRY(pare_alloc(&r->sizes, r->model.plan.count, sizeof *r->sizes, err));
    PARE_TRY(pare_stored_sizes(&r->model, r->sizes, err));
    r->blocks = pare_sizes_of_blocks(&r->model.plan, r->sizes);
    return PARE_OK;
}

/* Packed as on this machine. */
static enum pare_status take_memory(const char *path, struct inspect_report *r,
                                    struct pare_error *err)
{
    struct pare_model *model;
    PARE_TRY(pare_model_open(path, PARE_PRECISION_FP32, &model, err));
    r->memory_bytes = model->memory_bytes;
    pare_model_free(model);
    return PARE_OK;
}

enum pare_status inspect_gather(struct pare_cli *cli, struct inspect_report *r,
                                struct pare_error *err)
{
    const char *path = cli->operands[0];
    PARE_TRY(pare_ckpt_open(path, &r->ckpt, err));
    size_t wanted = 0;
    for (size_t i = 0; i < r->ckpt->n_tensors; i++) {
        const struct pare_tensor *tensor = &r->ckpt->tensors[i];
        wanted += (size_t)inspect_wanted(r, i);
        r->tensor_bytes += tensor->bytes;
    }
    if (r->o->glob && !wanted)
        return pare_fail(err, PARE_ERR_USAGE, "%s: no tensor matches \"%s\"", path,
                         r->o->glob);
    PARE_TRY(pare_ckpt_sha256(r->ckpt, r->sha256, err));
    const struct pare_stored_options options = {.config = r->o->config};
    enum pare_status status = pare_stored_open(path, &options, &r->model, &r->reason);
    r->runs = status == PARE_OK;
    if (status != PARE_OK && status != PARE_ERR_INPUT)
        return pare_fail(err, status, "%s", r->reason.message);
    for (size_t i = 0; i < r->ckpt->n_tensors; i++)
        r->parameters += parameters_of(r, &r->ckpt->tensors[i]);
    PARE_TRY(take_sizes(r, err));
    if (r->o->memory)
        PARE_TRY(take_memory(path, r, err));
    if (r->o->download)
        PARE_TRY(pare_ckpt_download(r->ckpt, &cli->progress, &r->download_bytes, err));
    return r->o->stats ? take_stats(cli, r, err) : PARE_OK;
}

size_t inspect_types(const struct inspect_report *r,
                     struct inspect_share shares[INSPECT_MOST_TYPES])
{
    size_t n = 0;
    for (size_t i = 0; i < r->ckpt->n_tensors; i++) {
        char type[PARE_FORM_SIZE];
        size_t at = 0;
        inspect_type(r, i, type);
        while (at < n && strcmp(shares[at].type, type))
            at++;
        if (at == n && n == INSPECT_MOST_TYPES)
            continue;
        if (at == n) {
            shares[n] = (struct inspect_share){.count = 0};
            memcpy(shares[n++].type, type, sizeof type);
        }
        shares[at].count++;
        shares[at].bytes += r->ckpt->tensors[i].bytes;
    }
    return n;
}

int inspect_next_matrix(const struct inspect_report *r, size_t *at,
                        struct inspect_matrix *out)
{
    for (; r->runs && *at < r->model.plan.count; ++*at) {
        const struct pare_slot *slot = &r->model.plan.slots[*at];
        if (!r->sizes[*at].weights || !matches(r, r->model.tensors[*at]->name))
            continue;
        const struct pare_weight weight = pare_stored_weight(&r->model, *at);
        *out = (struct inspect_matrix){.name = slot->name,
                                       .is_sparse = weight.sparse.rows > 0,
                                       .shape = {slot->shape[0], slot->shape[1]},
                                       .size = r->sizes[*at]};
        pare_weight_form(&weight, out->form);
        ++*at;
        return 1;
    }
    return 0;
}

double inspect_bits_per_weight(const struct inspect_report *r)
{
    return r->parameters ? 8.0 * (double)r->tensor_bytes / (double)r->parameters : 0;
}

enum pare_status inspect_history(const struct inspect_report *r,
                                 const struct pare_text **steps, size_t *count,
                                 struct pare_error *err)
{
    *steps = NULL;
    *count = 0;
    if (r->ckpt->format != PARE_FORMAT_GGUF)
        return PARE_OK;
    return pare_meta_get_strings(&r->ckpt->meta, "pare.history", steps, count, err);
}

void inspect_free(struct inspect_report *r)
{
    pare_free(r->stats);
    pare_free(r->sizes);
    pare_stored_close(&r->model);
    pare_ckpt_close(r->ckpt);
}
