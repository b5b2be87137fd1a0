/* pare-convert: any checkpoint in, one container out. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/model/container.h"
#include "runtime/model/stored.h"
#include "runtime/model/transcode.h"
#include "runtime/text/tokenizer.h"
#include "tools/cli.h"

struct options {
    int dtype, nonfinite; /* indices into the lists below */
    const char *config, *tokenizer;
    struct pare_cli_list ignore;
};

static const char *const dtype_words[] = {"f32", "f16", "bf16", NULL};
static const enum pare_dtype dtypes[] = {PARE_F32, PARE_F16, PARE_BF16};
static const char *const nonfinite_words[] = {"error", "keep", "zero", NULL};

/* --- The tokenizer --- */

/* Where Hugging Face's tokenizer files are: the input itself if it is a folder, else the
 * folder it lies in. */
static enum pare_status input_folder(const char *input, char *out, size_t size,
                                     struct pare_error *err)
{
    const char *slash = strrchr(input, '/');
    int length = (int)strlen(input);
    if (!pare_path_is_folder(input))
        length = slash ? (int)(slash - input) + 1 : 0;
    if (snprintf(out, size, "%.*s", length, length ? input : ".") >= (int)size)
        return pare_fail(err, PARE_ERR_USAGE, "%s: the path is too long", input);
    if (!length)
        snprintf(out, size, ".");
    return PARE_OK;
}

static enum pare_status leave_out_tokenizer(struct pare_meta *meta,
                                            struct pare_error *err)
{
    static const char *const starts[] = {"tokenizer.", "pare.tokenizer."};
    for (size_t i = meta->count; i-- > 0;) {
        char key[256];
        snprintf(key, sizeof key, "%s", meta->values[i].key);
        for (int s = 0; s < 2; s++)
            if (!strncmp(key, starts[s], strlen(starts[s])) &&
                strcmp(key, "tokenizer.ggml.token_type_count"))
                pare_meta_remove(meta, key);
    }
    return pare_meta_set_string(meta, "tokenizer.ggml.model", "no_vocab", 8, err);
}

static enum pare_status check_tokenizer(struct pare_cli *cli, const char *where,
                                        const struct pare_tokenizer *tokenizer,
                                        const struct pare_config *config,
                                        struct pare_error *err)
{
    const size_t pieces = pare_tokenizer_vocab_size(tokenizer);
    if (pieces > config->vocab)
        return pare_fail(
            err, PARE_ERR_INPUT,
            "%s: the tokenizer has %zu pieces, the model's embedding only %u "
            "rows",
            where, pieces, config->vocab);
    if (pieces < config->vocab)
        pare_cli_info(cli,
                      "%s: %zu pieces for %u rows of the embedding; the others are "
                      "never used",
                      where, pieces, config->vocab);
    return PARE_OK;
}

/* Loads the tokenizer from Hugging Face's files, or checks the one in `meta`. */
static enum pare_status add_tokenizer(struct pare_cli *cli, const struct options *o,
                                      const struct pare_stored *stored,
                                      struct pare_meta *meta, struct pare_error *err)
{
    const char *input = cli->operands[0], *path = o->tokenizer;
    char folder[4096];
    struct pare_tokenizer *tokenizer = NULL;
    if (!path && stored->ckpt->format != PARE_FORMAT_GGUF) {
        PARE_TRY(input_folder(input, folder, sizeof folder, err));
        path = pare_tokenizer_exists(folder) ? folder : NULL;
    }
    const int wanted = !path || strcmp(path, "none");
    if (path && wanted)
        PARE_TRY(pare_tokenizer_load(path, &tokenizer, err));
    else if (wanted) {
        enum pare_status status = pare_tokenizer_from_meta(meta, &tokenizer, err);
        if (status != PARE_OK)
            return pare_fail_in(err, status, "%s", input);
    }
    if (!tokenizer) {
        if (wanted)
            pare_cli_warn(cli,
                          "%s: no tokenizer was found; the container will not have "
                          "one",
                          input);
        return leave_out_tokenizer(meta, err);
    }
    enum pare_status status =
        check_tokenizer(cli, path ? path : input, tokenizer, &stored->config, err);
    if (status == PARE_OK)
        status = pare_tokenizer_to_meta(tokenizer, meta, err);
    pare_tokenizer_free(tokenizer);
    return status;
}

/* --- Metadata --- */

static enum pare_status add_history(const struct options *o,
                                    const struct pare_stored *stored,
                                    struct pare_meta *meta, struct pare_error *err)
{
    char sha256[65];
    PARE_TRY(pare_ckpt_sha256(stored->ckpt, sha256, err));
    enum pare_status status = PARE_OK;
    cJSON *options = cJSON_CreateObject();
    int made =
        options && cJSON_AddStringToObject(options, "dtype", dtype_words[o->dtype]);
    if (made && o->nonfinite != PARE_NONFINITE_ERROR)
        made = cJSON_AddStringToObject(options, "nonfinite",
                                       nonfinite_words[o->nonfinite]) != NULL;
    if (made && o->ignore.count) {
        cJSON *list = cJSON_CreateStringArray(o->ignore.items, (int)o->ignore.count);
        made = list && cJSON_AddItemToObject(options, "ignore", list);
    }
    status = made ? pare_history_add(meta, "pare-convert", sha256, options, err)
                  : pare_fail_memory(err, sizeof(cJSON));
    cJSON_Delete(options);
    return status;
}

/* Keys of a GGUF input are kept; those that say what this container is are set anew. */
static enum pare_status make_meta(struct pare_cli *cli, const struct options *o,
                                  const struct pare_stored *stored,
                                  struct pare_meta *meta, struct pare_error *err)
{
    const struct pare_meta *from = &stored->ckpt->meta;
    for (size_t i = 0; stored->ckpt->format == PARE_FORMAT_GGUF && i < from->count; i++)
        PARE_TRY(pare_meta_copy_value(meta, &from->values[i], err));
    PARE_TRY(pare_config_to_meta(&stored->config, meta, err));
    PARE_TRY(pare_file_type_set(meta, dtypes[o->dtype], err));
    PARE_TRY(add_tokenizer(cli, o, stored, meta, err));
    return add_history(o, stored, meta, err);
}

/* --- Tensors --- */

static enum pare_status refuse_quantised(const struct pare_stored *stored,
                                         struct pare_error *err)
{
    for (size_t i = 0; i < stored->plan.count; i++) {
        const struct pare_tensor *tensor = stored->tensors[i];
        if (stored->input_scales[i])
            return pare_fail(err, PARE_ERR_INPUT,
                             "%s: tensor %s: a quantised model is not converted back",
                             stored->ckpt->path, stored->input_scales[i]->name);
        if (stored->sparse[i].rows)
            return pare_fail(err, PARE_ERR_INPUT,
                             "%s: tensor %s: a sparse matrix is not converted back",
                             stored->ckpt->path, tensor->name);
        if (tensor->type == PARE_I8 || pare_dtype_info(tensor->type)->block > 1)
            return pare_fail(err, PARE_ERR_INPUT,
                             "%s: tensor %s is %s: a quantised model is not converted "
                             "back",
                             stored->ckpt->path, tensor->name,
                             pare_dtype_name(tensor->type));
    }
    return PARE_OK;
}

static enum pare_status write_tensors(struct pare_cli *cli, const struct options *o,
                                      const struct pare_stored *stored,
                                      struct pare_gguf_writer *writer,
                                      struct pare_error *err)
{
    const struct pare_plan *plan = &stored->plan;
    for (size_t i = 0; i < plan->count; i++) {
        const struct pare_slot *slot = &plan->slots[i];
        PARE_TRY(pare_gguf_writer_plan(
            writer, slot->name, pare_slot_is_matrix(slot) ? dtypes[o->dtype] : PARE_F32,
            slot->n_dims, slot->shape, err));
    }
    for (size_t i = 0; i < plan->count; i++) {
        const struct pare_slot *slot = &plan->slots[i];
        uint64_t nonfinite;
        PARE_TRY(pare_check_interrupted(err));
        pare_progress_report(&cli->progress, "convert", i, plan->count, slot->name);
        enum pare_status status = pare_transcode(
            stored->tensors[i], pare_slot_is_matrix(slot) ? dtypes[o->dtype] : PARE_F32,
            (enum pare_nonfinite)o->nonfinite, writer, &nonfinite, err);
        if (status == PARE_ERR_INPUT)
            return pare_fail_in(err, status, "%s", stored->ckpt->path);
        PARE_TRY(status);
        if (nonfinite)
            pare_cli_warn(cli, "tensor %s: %llu values that are not finite were %s",
                          stored->tensors[i]->name, (unsigned long long)nonfinite,
                          o->nonfinite == PARE_NONFINITE_ZERO ? "set to zero" : "kept");
    }
    pare_progress_report(&cli->progress, "convert", plan->count, plan->count, NULL);
    return PARE_OK;
}

static enum pare_status write_container(struct pare_cli *cli, const struct options *o,
                                        const struct pare_stored *stored,
                                        const struct pare_meta *meta,
                                        struct pare_error *err)
{
    struct pare_gguf_writer *writer;
    PARE_TRY(pare_gguf_writer_open(cli->output, meta, &writer, err));
    enum pare_status status = write_tensors(cli, o, stored, writer, err);
    if (status == PARE_OK)
        return pare_gguf_writer_commit(writer, err);
    pare_gguf_writer_abort(writer);
    return status;
}

/* --- The program --- */

static void tell_dropped(struct pare_cli *cli, const struct pare_stored *stored)
{
    for (size_t i = 0; i < stored->n_dropped; i++)
        pare_cli_info(cli, "left out: %s", stored->dropped[i]);
}

static void tell_result(struct pare_cli *cli, const struct options *o,
                        const struct pare_stored *stored)
{
    const struct pare_config *c = &stored->config;
    uint64_t parameters = 0;
    for (size_t i = 0; i < stored->plan.count; i++)
        parameters += pare_slot_elements(&stored->plan.slots[i]);
    char bytes[24];
    pare_cli_info(
        cli, "%s: %s, %u layers of %u, vocabulary %u, %u labels; %llu parameters, %s",
        cli->output, pare_family_name(c->family), c->layers, c->hidden, c->vocab,
        c->labels, (unsigned long long)parameters,
        pare_cli_bytes(parameters * pare_dtype_info(dtypes[o->dtype])->block_bytes,
                       bytes));
}

static enum pare_status convert(struct pare_cli *cli, const struct options *o,
                                const struct pare_stored *stored, struct pare_error *err)
{
    struct pare_meta meta = {0};
    enum pare_status status;
    tell_dropped(cli, stored);
    PARE_TRY_OUT(pare_ckpt_refuse_output(stored->ckpt, cli->output, err));
    PARE_TRY_OUT(refuse_quantised(stored, err));
    PARE_TRY_OUT(make_meta(cli, o, stored, &meta, err));
    PARE_TRY_OUT(write_container(cli, o, stored, &meta, err));
    tell_result(cli, o, stored);
out:
    pare_meta_free(&meta);
    return status;
}

static enum pare_status run(struct pare_cli *cli, void *context, struct pare_error *err)
{
    const struct options *o = context;
    const struct pare_stored_options options = {
        .config = o->config, .ignore = o->ignore.items, .n_ignore = o->ignore.count};
    struct pare_stored stored;
    PARE_TRY(pare_stored_open(cli->operands[0], &options, &stored, err));
    enum pare_status status = convert(cli, o, &stored, err);
    pare_stored_close(&stored);
    return status;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    const struct pare_cli_option options[] = {
        PARE_CLI_CHOICE('d', "dtype", "TYPE", &o.dtype, dtype_words,
                        "number format of matrices and embeddings; norms and biases stay "
                        "f32"),
        PARE_CLI_STRING(0, "config", "FILE", &o.config,
                        "the model's config.json, when it is not beside the checkpoint"),
        PARE_CLI_STRING(0, "tokenizer", "PATH", &o.tokenizer,
                        "a folder, tokenizer.json or vocab.txt, when they are not beside "
                        "the checkpoint; \"none\" for a container without tokenizer"),
        PARE_CLI_STRINGS(0, "ignore", "GLOB", &o.ignore,
                         "leave out the tensors whose names match"),
        PARE_CLI_CHOICE(0, "nonfinite", "WHAT", &o.nonfinite, nonfinite_words,
                        "what to do with NaN and infinities"),
        PARE_CLI_END,
    };
    const struct pare_cli_example examples[] = {
        {"pare-convert distilbert-sst2/ -o sst2.gguf",
         "A Hugging Face folder (config.json, model.safetensors, tokenizer files)."},
        {"pare-convert pytorch_model.bin --config config.json --dtype f16 -o m.gguf",
         "A PyTorch file, at half the size."},
        {"pare-convert sst2.gguf --dtype bf16 -o sst2-bf16.gguf",
         "A container in another number format."},
        {NULL, NULL},
    };
    const struct pare_cli_program program = {
        .name = "pare-convert",
        .summary = "Turns a checkpoint into the container that all other programs read.",
        .usage = "[options] INPUT -o OUTPUT.gguf",
        .description =
            "INPUT is a Hugging Face folder, a .safetensors file, a PyTorch .bin or .pt "
            "file, an index of shards, or a GGUF container; the model is a BERT or "
            "DistilBERT, with or without a sequence classifier.\n\n"
            "Every tensor must be the one the config asks for: a missing, extra or "
            "misshaped one is an error that names it. Heads of pretraining are left out "
            "and named. Nothing in a checkpoint is executed.",
        .operands = "INPUT",
        .output = "the container to write",
        .options = options,
        .examples = examples,
        .min_operands = 1,
        .max_operands = 1,
        .common = PARE_CLI_OUTPUT | PARE_CLI_NEEDS_OUTPUT,
    };
    return pare_cli_main(&program, argc, argv, run, &o);
}
