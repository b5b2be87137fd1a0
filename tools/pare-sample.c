/* pare-sample: writes the embedded sample corpus, its vocabulary and a small model's
 * configuration. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "datasets/sample.h"
#include "runtime/base/file.h"
#include "tools/cli.h"

struct options {
    uint64_t train, dev;
};

static enum pare_status write_in(const char *folder, const char *name, const char *text,
                                 size_t length, struct pare_error *err)
{
    char path[4096];
    PARE_TRY(pare_path_join(path, sizeof path, folder, name, err));
    return pare_write_file(path, text, length, err);
}

/* GLUE's form: a header, then sentence<TAB>label. */
static enum pare_status write_tsv(const char *folder, const char *name,
                                  const struct pare_text *texts, const int32_t *labels,
                                  size_t count, struct pare_error *err)
{
    char path[4096];
    struct pare_output *out;
    PARE_TRY(pare_path_join(path, sizeof path, folder, name, err));
    PARE_TRY(pare_output_open(path, &out, err));
    enum pare_status status = pare_output_write(out, "sentence\tlabel\n", 15, err);
    for (size_t i = 0; i < count && status == PARE_OK; i++) {
        status = pare_output_write(out, texts[i].data, texts[i].length, err);
        if (status == PARE_OK)
            status = pare_output_write(out, labels[i] ? "\t1\n" : "\t0\n", 3, err);
    }
    if (status == PARE_OK)
        return pare_output_commit(out, err);
    pare_output_abort(out);
    return status;
}

static enum pare_status write_vocab(const char *folder, const struct pare_text *pieces,
                                    size_t count, struct pare_error *err)
{
    char path[4096];
    struct pare_output *out;
    PARE_TRY(pare_path_join(path, sizeof path, folder, "vocab.txt", err));
    PARE_TRY(pare_output_open(path, &out, err));
    enum pare_status status = PARE_OK;
    for (size_t i = 0; i < count && status == PARE_OK; i++) {
        status = pare_output_write(out, pieces[i].data, pieces[i].length, err);
        if (status == PARE_OK)
            status = pare_output_write(out, "\n", 1, err);
    }
    if (status == PARE_OK)
        return pare_output_commit(out, err);
    pare_output_abort(out);
    return status;
}

/* A DistilBERT small enough to be trained from nothing in a minute or two. */
static enum pare_status write_configs(const char *folder, size_t vocab_size,
                                      struct pare_error *err)
{
    char config[1024];
    static const char tokenizer[] = "{\n  \"do_lower_case\": true,\n"
                                    "  \"model_max_length\": 64,\n"
                                    "  \"tokenizer_class\": \"DistilBertTokenizer\"\n}\n";
    int length = snprintf(
        config, sizeof config,
        "{\n  \"architectures\": [\"DistilBertForSequenceClassification\"],\n"
        "  \"model_type\": \"distilbert\",\n  \"vocab_size\": %zu,\n"
        "  \"max_position_embeddings\": 64,\n  \"n_layers\": 2,\n  \"n_heads\": 4,\n"
        "  \"dim\": 128,\n  \"hidden_dim\": 512,\n  \"activation\": \"gelu\",\n"
        "  \"dropout\": 0.1,\n  \"attention_dropout\": 0.1,\n"
        "  \"seq_classif_dropout\": 0.1,\n  \"initializer_range\": 0.02,\n"
        "  \"sinusoidal_pos_embds\": false,\n  \"pad_token_id\": 0,\n"
        "  \"id2label\": {\"0\": \"negative\", \"1\": \"positive\"},\n"
        "  \"label2id\": {\"negative\": 0, \"positive\": 1}\n}\n",
        vocab_size);
    PARE_TRY(write_in(folder, "config.json", config, (size_t)length, err));
    return write_in(folder, "tokenizer_config.json", tokenizer, sizeof tokenizer - 1,
                    err);
}

static enum pare_status write_all(struct pare_cli *cli, const struct options *options,
                                  struct pare_arena *arena, struct pare_error *err)
{
    struct pare_text *texts, *pieces;
    int32_t *labels;
    size_t train = options->train, dev = options->dev, count;
    if (mkdir(cli->output, 0777) != 0 && errno != EEXIST)
        return pare_fail(err, PARE_ERR_IO, "%s: cannot make the folder: %s", cli->output,
                         strerror(errno));
    PARE_TRY(pare_sample_corpus(cli->seed, train + dev, arena, &texts, &labels, err));
    PARE_TRY(pare_sample_pieces(arena, &pieces, &count, err));
    PARE_TRY(write_tsv(cli->output, "train.tsv", texts, labels, train, err));
    PARE_TRY(write_tsv(cli->output, "dev.tsv", texts + train, labels + train, dev, err));
    PARE_TRY(write_vocab(cli->output, pieces, count, err));
    PARE_TRY(write_configs(cli->output, count, err));
    pare_cli_info(cli, "wrote %zu training and %zu test sentences, %zu pieces to %s",
                  train, dev, count, cli->output);
    return PARE_OK;
}

static enum pare_status run(struct pare_cli *cli, void *context, struct pare_error *err)
{
    struct pare_arena arena = {0};
    enum pare_status status = write_all(cli, context, &arena, err);
    pare_arena_free(&arena);
    return status;
}

int main(int argc, char **argv)
{
    struct options o = {.train = 12000, .dev = 2000};
    const struct pare_cli_option options[] = {
        PARE_CLI_U64(0, "train", "N", &o.train, 1, PARE_SAMPLE_MAX / 2,
                     "sentences in train.tsv"),
        PARE_CLI_U64(0, "dev", "N", &o.dev, 1, PARE_SAMPLE_MAX / 2,
                     "sentences in dev.tsv"),
        PARE_CLI_END};
    static const struct pare_cli_example examples[] = {
        {"pare-sample -o sample", "Writes the corpus that the examples use."},
        {"pare-sample --seed 7 --train 2000 --dev 500 -o small",
         "Writes other and fewer sentences."},
        {NULL, NULL}};
    const struct pare_cli_program program = {
        .name = "pare-sample",
        .summary = "Writes a small sentiment corpus and the configuration of a model for "
                   "it.",
        .usage = "[options] -o FOLDER",
        .description =
            "Makes train.tsv and dev.tsv (sentence, tab, label 0 or 1), vocab.txt, "
            "tokenizer_config.json and config.json in FOLDER: what pare-train needs to "
            "train a small DistilBERT from nothing, without any download. A grammar "
            "makes the sentences; the same seed gives the same files.",
        .output = "the folder to write to; it is made if missing",
        .output_name = "FOLDER",
        .options = options,
        .examples = examples,
        .common = PARE_CLI_OUTPUT | PARE_CLI_NEEDS_OUTPUT | PARE_CLI_SEED};
    return pare_cli_main(&program, argc, argv, run, &o);
}
