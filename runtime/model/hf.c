/* Hugging Face checkpoints: their tensor names mapped to the plan.
 *
 * A name is brought into one form first: without the prefix that models with a head put
 * before the encoder's tensors ("bert.", "distilbert."), and with LayerNorm's old names
 * gamma and beta (TensorFlow's) as weight and bias. Buffers (position_ids) are passed
 * over; heads of pretraining are left out and named to the caller; anything else that the
 * config does not ask for is an error, as is what is missing.
 */
#include <stdio.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/names.h"
#include "runtime/model/stored_internal.h"

struct binder {
    struct pare_stored *stored;
    const struct pare_stored_options *options;
    const char **canonical; /* [n_tensors]; NULL for a tensor that is not used */
    unsigned char *bound;   /* [n_tensors] */
    struct pare_names names;
    struct pare_error *err;
};

/* --- config.json --- */

static enum pare_status read_config(struct pare_stored *stored,
                                    const struct pare_stored_options *options,
                                    struct pare_error *err)
{
    char beside[4096];
    const char *path = options ? options->config : NULL;
    if (!path) {
        const char *slash = strrchr(stored->ckpt->path, '/');
        int length = slash ? (int)(slash - stored->ckpt->path) + 1 : 0;
        if (snprintf(beside, sizeof beside, "%.*sconfig.json", length,
                     stored->ckpt->path) >= (int)sizeof beside)
            return pare_fail(err, PARE_ERR_USAGE, "%s: the path is too long",
                             stored->ckpt->path);
        path = beside;
        if (!pare_path_exists(path))
            return pare_fail(
                err, PARE_ERR_INPUT,
                "%s: there is no config.json beside it; name it with --config",
                stored->ckpt->path);
    }
    cJSON *json;
    PARE_TRY(pare_json_parse_file(path, &json, err));
    enum pare_status status = pare_config_from_hf(json, path, &stored->config, err);
    cJSON_Delete(json);
    return status;
}

/* --- Names --- */

static int ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

/* The one form of a name. */
static enum pare_status canonical_name(struct binder *b, const char *name,
                                       const char **out)
{
    const char *prefix = b->stored->config.family == PARE_BERT ? "bert." : "distilbert.";
    if (!strncmp(name, prefix, strlen(prefix)))
        name += strlen(prefix);
    *out = name;
    const char *now = NULL;
    size_t keep = strlen(name);
    if (ends_with(name, "LayerNorm.gamma")) {
        keep -= strlen("gamma");
        now = "weight";
    } else if (ends_with(name, "LayerNorm.beta")) {
        keep -= strlen("beta");
        now = "bias";
    }
    if (!now)
        return PARE_OK;
    char *renamed;
    PARE_TRY(
        pare_arena_alloc(&b->stored->arena, &renamed, keep + strlen(now) + 1, 1, b->err));
    memcpy(renamed, name, keep);
    memcpy(renamed + keep, now, strlen(now) + 1);
    *out = renamed;
    return PARE_OK;
}

/* Not weights: positions 0, 1, 2 ... and zeros that PyTorch keeps with a module. */
static int is_buffer(const char *name)
{
    return !strcmp(name, "embeddings.position_ids") ||
           !strcmp(name, "embeddings.token_type_ids");
}

static int is_pretraining_head(const char *name)
{
    static const char *const starts[] = {"cls.predictions.", "cls.seq_relationship.",
                                         "vocab_transform.", "vocab_layer_norm.",
                                         "vocab_projector."};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (!strncmp(name, starts[i], strlen(starts[i])))
            return 1;
    return 0;
}

static const char *name_of(void *context, uint32_t number, size_t *length)
{
    const struct binder *b = context;
    *length = strlen(b->canonical[number]);
    return b->canonical[number];
}

static enum pare_status enter_names(struct binder *b)
{
    struct pare_stored *stored = b->stored;
    const struct pare_ckpt *ckpt = stored->ckpt;
    for (size_t i = 0; i < ckpt->n_tensors; i++) {
        const char *name = ckpt->tensors[i].name, *canonical;
        b->canonical[i] = NULL;
        PARE_TRY(canonical_name(b, name, &canonical));
        if (is_buffer(canonical))
            continue;
        if (is_pretraining_head(canonical) || pare_stored_ignores(b->options, name)) {
            PARE_TRY(pare_stored_drop(stored, name, b->err));
            continue;
        }
        b->canonical[i] = canonical;
        uint32_t other;
        PARE_TRY(pare_names_add(&b->names, canonical, strlen(canonical), (uint32_t)i,
                                &other, b->err));
        if (other != PARE_NO_NAME)
            return pare_fail(b->err, PARE_ERR_INPUT,
                             "%s: tensors %s and %s are the same weight under two names",
                             ckpt->path, ckpt->tensors[other].name, name);
    }
    return PARE_OK;
}

static uint32_t find(const struct binder *b, const char *canonical)
{
    return pare_names_find(&b->names, canonical, strlen(canonical));
}

/* --- What the tensors say about the config --- */

/* A checkpoint of the bare encoder may come with a config that speaks of labels, and one
 * with a classifier may come with a config that does not: the tensors decide. */
static enum pare_status complete_config(struct binder *b)
{
    struct pare_config *config = &b->stored->config;
    const struct pare_ckpt *ckpt = b->stored->ckpt;
    const int bert = config->family == PARE_BERT;
    config->has_pooler =
        find(b, bert ? "pooler.dense.weight" : "pre_classifier.weight") != PARE_NO_NAME;
    const uint32_t head = find(b, "classifier.weight");
    if (head == PARE_NO_NAME) {
        if (config->labels)
            return pare_fail(b->err, PARE_ERR_INPUT,
                             "%s: tensor classifier.weight is missing, expected [%u, %u] "
                             "by the config",
                             ckpt->path, config->labels, config->hidden);
        return PARE_OK;
    }
    config->has_pooler = 1; /* no classifier of these families goes without */
    const struct pare_tensor *tensor = &ckpt->tensors[head];
    if (config->labels || tensor->n_dims != 2 || tensor->shape[0] > PARE_MAX_LABELS)
        return PARE_OK;
    config->labels = (uint32_t)tensor->shape[0];
    for (uint32_t i = 0; i < config->labels; i++)
        snprintf(config->label[i], sizeof config->label[i], "LABEL_%u", i);
    return PARE_OK;
}

/* --- Slots --- */

static enum pare_status bind_slots(struct binder *b)
{
    struct pare_stored *stored = b->stored;
    const struct pare_ckpt *ckpt = stored->ckpt;
    for (size_t i = 0; i < stored->plan.count; i++) {
        const struct pare_slot *slot = &stored->plan.slots[i];
        const uint32_t at = find(b, slot->hf_name);
        char shape[64];
        if (at == PARE_NO_NAME)
            return pare_fail(
                b->err, PARE_ERR_INPUT,
                "%s: tensor %s is missing, expected %s by the config", ckpt->path,
                slot->hf_name,
                pare_shape_text(slot->n_dims, slot->shape, shape, sizeof shape));
        const struct pare_tensor *tensor = &ckpt->tensors[at];
        PARE_TRY(pare_stored_check_shape(ckpt, tensor, slot, b->err));
        const struct pare_dtype_info *info = pare_dtype_info(tensor->type);
        if (!info->is_float)
            return pare_fail(b->err, PARE_ERR_INPUT,
                             "%s: tensor %s is %s, expected F32, F16, BF16 or F64",
                             ckpt->path, tensor->name, info->name);
        stored->tensors[i] = tensor;
        b->bound[at] = 1;
    }
    return PARE_OK;
}

static enum pare_status refuse_rest(const struct binder *b)
{
    const struct pare_ckpt *ckpt = b->stored->ckpt;
    const char *first = NULL;
    size_t count = 0;
    for (size_t i = 0; i < ckpt->n_tensors; i++) {
        if (!b->canonical[i] || b->bound[i])
            continue;
        if (!count++)
            first = ckpt->tensors[i].name;
    }
    if (!count)
        return PARE_OK;
    char more[48] = "";
    if (count > 1)
        snprintf(more, sizeof more, " (and %zu more)", count - 1);
    return pare_fail(
        b->err, PARE_ERR_INPUT,
        "%s: tensor %s%s does not belong to a %s of this config; leave it out "
        "with --ignore",
        ckpt->path, first, more, pare_family_name(b->stored->config.family));
}

static enum pare_status bind(struct binder *b)
{
    struct pare_stored *stored = b->stored;
    const size_t n = stored->ckpt->n_tensors;
    PARE_TRY(
        pare_arena_alloc(&stored->arena, &b->canonical, n, sizeof *b->canonical, b->err));
    PARE_TRY(pare_arena_alloc(&stored->arena, &b->bound, n, 1, b->err));
    memset(b->bound, 0, n);
    PARE_TRY(enter_names(b));
    PARE_TRY(complete_config(b));
    PARE_TRY(pare_plan_make(&stored->config, &stored->arena, &stored->plan, b->err));
    PARE_TRY(pare_stored_slots(stored, b->err));
    PARE_TRY(bind_slots(b));
    return refuse_rest(b);
}

enum pare_status pare_hf_bind(struct pare_stored *stored,
                              const struct pare_stored_options *options,
                              struct pare_error *err)
{
    PARE_TRY(read_config(stored, options, err));
    struct binder b = {
        .stored = stored, .options = options, .names = {.name = name_of}, .err = err};
    b.names.context = &b;
    enum pare_status status = bind(&b);
    pare_names_free(&b.names);
    return status;
}
