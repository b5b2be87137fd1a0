#include "tools/transfer_data.h"

#include <string.h>

#include "runtime/base/alloc.h"

struct transfer_options transfer_options_default(void)
{
    const struct pare_augment_options augment = pare_augment_options_default();
    return (struct transfer_options){
        .neighbours = 15,
        .mask = augment.mask,
        .replace = augment.replace,
        .ngram = augment.ngram,
    };
}

enum pare_status transfer_options_refuse(const struct transfer_options *o,
                                         struct pare_error *err)
{
    if (!o->unlabelled && !o->variants)
        return PARE_OK;
    return pare_fail(
        err, PARE_ERR_USAGE,
        "--%s is text for the teacher to label, and no loss looks at what it "
        "says: give one, such as --soft, a weight",
        o->unlabelled ? "unlabelled" : "augment");
}

/* Appends the examples of `more`; ids, starts and labels have room for them. */
static void append(struct transfer_data *data, const struct pare_examples *more)
{
    const size_t have = data->examples.count, tokens = (size_t)more->starts[more->count];
    memcpy(data->ids.ids + data->ids.count, more->ids, tokens * sizeof(int32_t));
    memcpy(data->labels + have, more->labels, more->count * sizeof(int32_t));
    for (size_t i = 0; i <= more->count; i++)
        data->starts[have + i] = data->ids.count + more->starts[i];
    data->ids.count += tokens;
    data->examples.count += more->count;
}

static enum pare_status join(struct transfer_data *data, const struct pare_examples *a,
                             const struct pare_examples *b, struct pare_error *err)
{
    const size_t count = a->count + b->count;
    data->ids.capacity = (size_t)(a->starts[a->count] + b->starts[b->count]);
    PARE_TRY(pare_alloc_raw(&data->ids.ids, data->ids.capacity, sizeof(int32_t), err));
    PARE_TRY(pare_alloc_raw(&data->starts, count + 1, sizeof *data->starts, err));
    PARE_TRY(pare_alloc_raw(&data->labels, count, sizeof *data->labels, err));
    data->examples = (struct pare_examples){0, data->starts, data->ids.ids, data->labels};
    append(data, a);
    append(data, b);
    return PARE_OK;
}

static enum pare_status add_unlabelled(struct pare_cli *cli, const char *path,
                                       const struct pare_tokenizer *tokenizer,
                                       size_t max_tokens, struct transfer_data *data,
                                       struct pare_error *err)
{
    struct train_data *text = &data->unlabelled;
    const struct pare_examples labelled = data->examples;
    PARE_TRY(train_data_read_unlabelled(path, text, err));
    PARE_TRY(train_data_tokenize(cli, tokenizer, max_tokens, text, err));
    pare_cli_info(cli,
                  "%s: %zu sentences, %zu cut to the longest length, %zu blank lines",
                  path, text->text.count, text->truncated, text->text.blank);
    return join(data, &labelled, &text->examples, err);
}

static enum pare_status add_variants(struct pare_cli *cli,
                                     const struct transfer_options *o,
                                     const struct pare_pieces *pieces,
                                     const struct pare_weight *embeddings,
                                     struct transfer_data *data, struct pare_error *err)
{
    const struct pare_augment_options options = {
        .seed = cli->seed,
        .variants = (size_t)o->variants,
        .mask = o->mask,
        .replace = o->replace,
        .ngram = o->ngram,
    };
    struct pare_neighbours near = {0};
    if (o->replace > 0)
        PARE_TRY(pare_neighbours_find(embeddings, pieces, &data->examples,
                                      (size_t)o->neighbours, &cli->progress, &near, err));
    enum pare_status status =
        pare_augment(&data->examples, pieces, &near, &options, &data->augmented, err);
    pare_neighbours_free(&near);
    PARE_TRY(status);
    const struct pare_augmented *made = &data->augmented;
    data->examples = made->examples;
    pare_cli_info(cli, "%zu changed copies of %zu sentences; %zu were nothing new",
                  made->examples.count - made->originals, made->originals, made->dropped);
    return PARE_OK;
}

enum pare_status transfer_data_make(struct pare_cli *cli,
                                    const struct transfer_options *o,
                                    const struct pare_tokenizer *tokenizer,
                                    const struct pare_weight *embeddings,
                                    size_t max_tokens, const struct train_data *train,
                                    struct transfer_data *data, struct pare_error *err)
{
    *data = (struct transfer_data){.examples = train->examples};
    if (o->unlabelled)
        PARE_TRY(add_unlabelled(cli, o->unlabelled, tokenizer, max_tokens, data, err));
    if (!o->variants)
        return PARE_OK;
    struct pare_pieces pieces = {.V = pare_tokenizer_vocab_size(tokenizer),
                                 .mask = pare_tokenizer_mask_id(tokenizer)};
    uint8_t *kind;
    PARE_TRY(pare_alloc_raw(&kind, pieces.V, 1, err));
    pare_tokenizer_kinds(tokenizer, kind);
    pieces.kind = kind;
    enum pare_status status = add_variants(cli, o, &pieces, embeddings, data, err);
    pare_free(kind);
    return status;
}

void transfer_data_free(struct transfer_data *data)
{
    train_data_free(&data->unlabelled);
    pare_ids_free(&data->ids);
    pare_free(data->starts);
    pare_free(data->labels);
    pare_augmented_free(&data->augmented);
    *data = (struct transfer_data){0};
}

int transfer_options_history(const struct transfer_options *o,
                             const struct transfer_data *data, cJSON *json)
{
    if (o->unlabelled &&
        !cJSON_AddStringToObject(json, "unlabelled_sha256", data->unlabelled.text.sha256))
        return 0;
    return cJSON_AddNumberToObject(json, "augment", o->variants) &&
           (!o->variants ||
            (cJSON_AddNumberToObject(json, "augment_mask", o->mask) &&
             cJSON_AddNumberToObject(json, "augment_replace", o->replace) &&
             cJSON_AddNumberToObject(json, "augment_ngram", o->ngram) &&
             cJSON_AddNumberToObject(json, "augment_neighbours", o->neighbours)));
}
