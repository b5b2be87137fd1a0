/* The data that a student learns from: labelled, unlabelled, and changed copies. */
#include "runtime/base/rng.h"
#include "tests/support/tokenizers.h"
#include "tools/transfer_data.h"

#define OK(call)                                                                         \
    do {                                                                                 \
        struct pare_error error_ = {""};                                                 \
        struct pare_error *err = &error_;                                                \
        cr_assert_eq((call), PARE_OK, "%s", err->message);                               \
    } while (0)

struct bench {
    struct folder folder;
    struct pare_tokenizer *tokenizer;
    float table[32 * 4];
    struct pare_weight embeddings;
    struct pare_cli cli;
    struct train_data train;
};

static const char pieces[] =
    "[PAD] [UNK] [CLS] [SEP] [MASK] the film is good bad great dull plot ##s . !";

static const char *write_text(const struct bench *b, const char *name, const char *text)
{
    const char *path = folder_path(&b->folder, name);
    put_file(path, text, strlen(text));
    return path;
}

static void set_up(struct bench *b)
{
    static const struct pare_cli_program program = {.name = "test"};
    struct pare_rng rng = {.seed = 2};
    *b = (struct bench){.folder = folder_make(),
                        .tokenizer = tokenizer_of(pieces, 1),
                        .cli = {.program = &program, .seed = 4, .quiet = 1}};
    const size_t V = pare_tokenizer_vocab_size(b->tokenizer);
    for (size_t i = 0; i < V * 4; i++)
        b->table[i] = pare_rng_normal(&rng);
    b->embeddings =
        (struct pare_weight){.type = PARE_F32, .N = V, .K = 4, .data = b->table};
    const char *path = write_text(b, "train.tsv",
                                  "the film is good .\t1\nthe plots is bad !\t0\n"
                                  "dull\t0\n");
    OK(train_data_read(&b->cli, path, 2, NULL, &b->train, err));
    OK(train_data_tokenize(&b->cli, b->tokenizer, 8, &b->train, err));
}

static void tear_down(struct bench *b)
{
    train_data_free(&b->train);
    pare_tokenizer_free(b->tokenizer);
    folder_remove(&b->folder);
}

static struct transfer_data make(struct bench *b, const struct transfer_options *o)
{
    struct transfer_data data;
    OK(transfer_data_make(&b->cli, o, b->tokenizer, &b->embeddings, 8, &b->train, &data,
                          err));
    return data;
}

/* The pieces of example i, a space behind each. */
static const char *spell(const struct bench *b, const struct pare_examples *examples,
                         size_t i)
{
    static char text[4][256];
    static unsigned turn;
    char *out = text[turn++ % 4];
    size_t used = 0;
    for (uint64_t t = examples->starts[i]; t < examples->starts[i + 1]; t++) {
        struct pare_text piece = pare_tokenizer_piece(b->tokenizer, examples->ids[t]);
        used += (size_t)snprintf(out + used, 256 - used, "%.*s ", (int)piece.length,
                                 piece.data);
    }
    return out;
}

Test(transfer_data, is_the_labelled_text_when_nothing_else_is_asked_for)
{
    struct bench b;
    set_up(&b);
    const struct transfer_options o = transfer_options_default();
    struct transfer_data data = make(&b, &o);
    cr_expect_eq(data.examples.count, 3);
    cr_expect_eq(data.examples.ids, b.train.examples.ids, "nothing was copied");
    transfer_data_free(&data);
    tear_down(&b);
}

Test(transfer_data, adds_text_without_labels)
{
    static const char *const files[] = {
        "great film\n\nthe plot is dull or something very long !\n",
        "sentence\tlabel\ngreat film\t1\nthe plot is dull or something very long !\t0\n",
        "index\tsentence\n0\tgreat film\n1\tthe plot is dull or something very long !\n",
        ("{\"text\": \"great film\", \"label\": 1}\n"
         "{\"text\": \"the plot is dull or something very long !\"}\n"),
    };
    struct bench b;
    set_up(&b);
    struct transfer_options o = transfer_options_default();
    for (size_t f = 0; f < 4; f++) {
        o.unlabelled = write_text(&b, "more", files[f]);
        struct transfer_data data = make(&b, &o);
        const struct pare_examples *e = &data.examples;
        cr_assert_eq(e->count, 5, "file %zu", f);
        cr_expect_str_eq(spell(&b, e, 1), "[CLS] the plot ##s is bad ! [SEP] ");
        cr_expect_str_eq(spell(&b, e, 3), "[CLS] great film [SEP] ");
        cr_expect_str_eq(spell(&b, e, 4), "[CLS] the plot is dull [UNK] [UNK] [SEP] ");
        static const int32_t labels[] = {1, 0, 0, PARE_NO_LABEL, PARE_NO_LABEL};
        cr_expect(!memcmp(e->labels, labels, sizeof labels), "file %zu", f);
        transfer_data_free(&data);
    }
    tear_down(&b);
}

Test(transfer_data, copies_are_made_of_both_and_have_no_label)
{
    struct bench b;
    set_up(&b);
    struct transfer_options o = transfer_options_default();
    o.unlabelled = write_text(&b, "more", "great film\nthe plot is dull\n");
    o.variants = 6;
    o.neighbours = 3;
    struct transfer_data data = make(&b, &o), again = make(&b, &o);
    const struct pare_examples *e = &data.examples;
    cr_assert(e->count > 15, "%zu", e->count);
    cr_assert_eq(data.augmented.originals, 5);
    cr_expect_eq(e->count + data.augmented.dropped, 35);
    cr_expect_str_eq(spell(&b, e, 3), "[CLS] great film [SEP] ");
    cr_expect_eq(e->labels[0], 1);
    for (size_t i = 3; i < e->count; i++)
        cr_expect_eq(e->labels[i], PARE_NO_LABEL);
    char a[65], c[65];
    pare_examples_sha256(e, a);
    pare_examples_sha256(&again.examples, c);
    cr_expect_str_eq(a, c);
    transfer_data_free(&again);
    b.cli.seed = 5;
    again = make(&b, &o);
    pare_examples_sha256(&again.examples, c);
    cr_expect(strcmp(a, c) != 0, "the seed is the program's");
    transfer_data_free(&again);
    transfer_data_free(&data);
    tear_down(&b);
}

Test(transfer_data, failures_name_the_file_and_leave_nothing)
{
    struct bench b;
    set_up(&b);
    struct transfer_options o = transfer_options_default();
    struct transfer_data data;
    struct pare_error error;
    o.unlabelled = write_text(&b, "more", "{\"text\": 1}\n");
    cr_expect_eq(transfer_data_make(&b.cli, &o, b.tokenizer, &b.embeddings, 8, &b.train,
                                    &data, &error),
                 PARE_ERR_INPUT);
    cr_expect_not_null(strstr(error.message, "more:1: \"text\" is not a string"), "%s",
                       error.message);
    transfer_data_free(&data);
    o.unlabelled = NULL;
    o.variants = 2;
    o.mask = 0.9;
    cr_expect_eq(transfer_data_make(&b.cli, &o, b.tokenizer, &b.embeddings, 8, &b.train,
                                    &data, &error),
                 PARE_ERR_USAGE);
    transfer_data_free(&data);
    tear_down(&b);
}

Test(transfer_data, the_history_says_what_was_done)
{
    struct bench b;
    set_up(&b);
    struct transfer_options o = transfer_options_default();
    struct transfer_data data = make(&b, &o);
    cJSON *json = cJSON_CreateObject();
    cr_assert(transfer_options_history(&o, &data, json));
    char *text = cJSON_PrintUnformatted(json);
    cr_expect_str_eq(text, "{\"augment\":0}");
    cJSON_free(text);
    cJSON_Delete(json);
    transfer_data_free(&data);
    o.unlabelled = write_text(&b, "more", "great film\n");
    o.variants = 2;
    data = make(&b, &o);
    json = cJSON_CreateObject();
    cr_assert(transfer_options_history(&o, &data, json));
    text = cJSON_PrintUnformatted(json);
    cr_expect_str_eq(
        text, "{\"unlabelled_sha256\":"
              "\"d451bedd6418ce0ff26675c621fc74a4e803a30fe046a2d36a9d3d9590118e20\","
              "\"augment\":2,\"augment_mask\":0.1,\"augment_replace\":0.2,"
              "\"augment_ngram\":0.25,\"augment_neighbours\":15}");
    cJSON_free(text);
    cJSON_Delete(json);
    transfer_data_free(&data);
    tear_down(&b);
}
