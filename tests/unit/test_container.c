/* What is written into containers: config keys, provenance, identity, file type. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "runtime/model/container.h"
#include "tests/support/folder.h"
#include "tests/support/safetensors.h"

static const struct pare_config classifier = {
    .family = PARE_BERT,
    .layers = 2,
    .hidden = 24,
    .heads = 3,
    .ffn = 40,
    .vocab = 61,
    .positions = 24,
    .token_types = 2,
    .activation = PARE_ACT_GELU_TANH,
    .norm_eps = 1e-6f,
    .has_pooler = 1,
    .labels = 3,
    .label = {"bad", "fair", "good"},
    .dropout = 0.1f,
    .attention_dropout = 0.2f,
    .head_dropout = 0.3f,
};

static struct pare_config distilbert(void)
{
    struct pare_config config = classifier;
    config.family = PARE_DISTILBERT;
    config.token_types = 0;
    config.activation = PARE_ACT_RELU;
    config.labels = 0;
    memset(config.label, 0, sizeof config.label);
    config.has_pooler = 0;
    return config;
}

static struct pare_meta to_meta(const struct pare_config *config)
{
    struct pare_meta meta = {0};
    struct pare_error err = {""};
    cr_assert_eq(pare_config_to_meta(config, &meta, &err), PARE_OK, "%s", err.message);
    return meta;
}

Test(container, a_config_comes_back_from_its_keys)
{
    struct pare_config configs[4] = {classifier, distilbert(), classifier, classifier};
    configs[2].token_types = 0; /* what only some other programs make */
    configs[2].activation = PARE_ACT_SILU;
    pare_config_set_heads(&configs[3], 2, 8);
    for (int i = 0; i < 4; i++) {
        struct pare_meta meta = to_meta(&configs[i]);
        struct pare_config back;
        struct pare_error err = {""};
        cr_assert_eq(pare_config_from_meta(&meta, "m", &back, &err), PARE_OK, "%s",
                     err.message);
        cr_assert_eq(memcmp(&back, &configs[i], sizeof back), 0, "config %d", i);
        pare_meta_free(&meta);
    }
}

/* llama.cpp's names; written where heads are not the hidden width over their number. */
Test(container, heads_of_a_width_of_their_own_have_keys)
{
    static const char *const keys[] = {"bert.attention.key_length",
                                       "bert.attention.value_length"};
    struct pare_config narrow = classifier, back;
    struct pare_error err = {""};
    struct pare_meta meta = to_meta(&narrow);
    for (int i = 0; i < 2; i++) {
        cr_assert_null(pare_meta_find(&meta, keys[i]));
        cr_assert_eq(pare_meta_set_u32(&meta, keys[i], 8, &err), PARE_OK);
    }
    cr_assert_eq(pare_config_from_meta(&meta, "m", &back, &err), PARE_OK);
    cr_assert_eq(back.head_width, 0, "24 / 3 is 8 in any case");
    cr_assert_eq(pare_meta_set_u32(&meta, keys[1], 4, &err), PARE_OK);
    cr_assert_eq(pare_config_from_meta(&meta, "m", &back, &err), PARE_ERR_INPUT);
    cr_assert_str_eq(err.message,
                     "m: bert.attention.key_length is 8, bert.attention.value_length 4: "
                     "keys and values of different widths are not supported");
    cr_assert_eq(pare_meta_set_u32(&meta, keys[0], 4000, &err), PARE_OK);
    cr_assert_eq(pare_meta_set_u32(&meta, keys[1], 4000, &err), PARE_OK);
    cr_assert_eq(pare_config_from_meta(&meta, "m", &back, &err), PARE_ERR_INPUT);
    cr_assert_str_eq(err.message, "m: width of all heads is 12000, expected 1 to 8192");
    pare_meta_free(&meta);
    pare_config_set_heads(&narrow, 2, 8);
    meta = to_meta(&narrow);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pare_meta_find(&meta, keys[i])->u, 8);
    pare_meta_free(&meta);
}

Test(container, writing_a_config_again_leaves_no_key_behind)
{
    struct pare_config other = distilbert(), first = classifier, back;
    pare_config_set_heads(&first, 2, 8);
    struct pare_meta meta = to_meta(&first);
    cr_assert_eq(pare_config_to_meta(&other, &meta, NULL), PARE_OK);
    cr_assert_eq(pare_config_from_meta(&meta, "m", &back, NULL), PARE_OK);
    cr_assert_eq(memcmp(&back, &other, sizeof back), 0);
    pare_meta_free(&meta);
}

/* One number changed or a key removed (value -1): the message names it. */
static void key_refused(const char *key, long long value, const char *message)
{
    struct pare_meta meta = to_meta(&classifier);
    struct pare_config config;
    struct pare_error err = {""};
    if (value < 0)
        pare_meta_remove(&meta, key);
    else
        cr_assert_eq(pare_meta_set_u32(&meta, key, (uint32_t)value, NULL), PARE_OK);
    cr_assert_eq(pare_config_from_meta(&meta, "m", &config, &err), PARE_ERR_INPUT, "%s",
                 key);
    cr_assert_str_eq(err.message, message);
    pare_meta_free(&meta);
}

Test(container, numbers_that_make_no_model_are_refused)
{
    key_refused("bert.block_count", 513, "m: number of layers is 513, expected 1 to 512");
    key_refused("bert.block_count", 0, "m: number of layers is 0, expected 1 to 512");
    key_refused("bert.block_count", -1, "m: key bert.block_count is missing");
    key_refused("bert.embedding_length", 0, "m: hidden size is 0, expected 1 to 8192");
    key_refused("bert.embedding_length", 8200,
                "m: hidden size is 8200, expected 1 to 8192");
    key_refused("bert.attention.head_count", 0,
                "m: number of heads is 0, expected 1 to 1024");
    key_refused("bert.attention.head_count", 5,
                "m: hidden size 24 is not a multiple of the 5 heads");
    key_refused(
        "bert.attention.head_count_kv", 1,
        "m: bert.attention.head_count_kv is 1 with 3 heads: grouped heads are not "
        "supported");
    key_refused("bert.feed_forward_length", 0,
                "m: feed-forward size is 0, expected 1 to 262144");
    key_refused("bert.context_length", 4000000000,
                "m: number of positions is 4000000000, expected 1 to 1048576");
    key_refused("bert.vocab_size", 0, "m: vocabulary size is 0, expected 1 to 4194304");
    key_refused("pare.token_types", 1025,
                "m: number of token types is 1025, expected 0 to 1024");
    key_refused("bert.attention.layer_norm_epsilon", -1,
                "m: key bert.attention.layer_norm_epsilon is missing");
}

static void string_refused(const char *key, const char *value, const char *message)
{
    struct pare_meta meta = to_meta(&classifier);
    struct pare_config config;
    struct pare_error err = {""};
    cr_assert_eq(pare_meta_set_string(&meta, key, value, strlen(value), NULL), PARE_OK);
    cr_assert_eq(pare_config_from_meta(&meta, "m", &config, &err), PARE_ERR_INPUT);
    cr_assert_str_eq(err.message, message);
    pare_meta_free(&meta);
}

Test(container, words_that_are_not_known_are_refused)
{
    string_refused("general.architecture", "llama",
                   "m: architecture \"llama\" is not supported (bert is)");
    string_refused("pare.family", "roberta",
                   "m: pare.family is \"roberta\" (bert and distilbert are known)");
    string_refused("pare.activation", "mish",
                   "m: activation \"mish\" is not supported (gelu, gelu_new, "
                   "gelu_pytorch_tanh, relu, silu are)");
}

Test(container, settings_of_the_format_that_are_not_computed_are_refused)
{
    struct pare_meta meta = to_meta(&classifier);
    struct pare_config config;
    struct pare_error err = {""};
    cr_assert_eq(pare_meta_set_bool(&meta, "bert.attention.causal", 1, NULL), PARE_OK);
    cr_assert_eq(pare_config_from_meta(&meta, "m", &config, &err), PARE_ERR_INPUT);
    cr_assert_str_eq(
        err.message,
        "m: bert.attention.causal is true: causal encoders are not supported");
    pare_meta_free(&meta);
    meta = to_meta(&classifier);
    cr_assert_eq(pare_meta_set_f32(&meta, "pare.dropout.head", NAN, NULL), PARE_OK);
    cr_assert_eq(pare_config_from_meta(&meta, "m", &config, &err), PARE_ERR_INPUT);
    cr_assert_str_eq(err.message, "m: a dropout rate is nan, expected 0 to below 1");
    pare_meta_free(&meta);
}

Test(container, a_vocabulary_longer_than_the_embedding_is_refused)
{
    struct pare_meta meta = to_meta(&classifier);
    struct pare_text tokens[62];
    struct pare_config config;
    struct pare_error err = {""};
    for (int i = 0; i < 62; i++)
        tokens[i] = (struct pare_text){"x", 1};
    cr_assert_eq(pare_meta_set_strings(&meta, "tokenizer.ggml.tokens", tokens, 61, &err),
                 PARE_OK);
    cr_assert_eq(pare_config_from_meta(&meta, "m", &config, &err), PARE_OK);
    cr_assert_eq(pare_meta_set_strings(&meta, "tokenizer.ggml.tokens", tokens, 62, &err),
                 PARE_OK);
    cr_assert_eq(pare_config_from_meta(&meta, "m", &config, &err), PARE_ERR_INPUT);
    cr_assert_str_eq(err.message, "m: tokenizer.ggml.tokens has 62 tokens, "
                                  "bert.vocab_size is 61");
    /* Files of other programs leave the size out: the list says it. */
    pare_meta_remove(&meta, "bert.vocab_size");
    cr_assert_eq(pare_config_from_meta(&meta, "m", &config, &err), PARE_OK);
    cr_assert_eq(config.vocab, 62);
    pare_meta_free(&meta);
}

Test(container, labels_must_be_distinct_and_fit)
{
    struct pare_meta meta = to_meta(&classifier);
    struct pare_config config;
    struct pare_error err = {""};
    const char long_name[65] = "................................"
                               "................................";
    const struct pare_text twice[] = {{"a", 1}, {"a", 1}}, too_long[] = {{long_name, 64}},
                           nul[] = {{"a\0b", 3}};
    const struct {
        const struct pare_text *labels;
        size_t count;
        const char *message;
    } cases[] = {
        {twice, 2, "m: labels 0 and 1 are both called \"a\""},
        {too_long, 1, "m: the name of label 0 is empty or longer than 63 bytes"},
        {nul, 1, "m: the name of label 0 is empty or longer than 63 bytes"},
    };
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(pare_meta_set_strings(&meta, "bert.classifier.output_labels",
                                           cases[i].labels, cases[i].count, NULL),
                     PARE_OK);
        cr_assert_eq(pare_config_from_meta(&meta, "m", &config, &err), PARE_ERR_INPUT);
        cr_assert_str_eq(err.message, cases[i].message);
    }
    pare_meta_free(&meta);
}

/* --- Provenance --- */

Test(container, history_keeps_earlier_steps_and_says_nothing_of_time_or_place)
{
    struct pare_meta meta = {0};
    cJSON *options = cJSON_CreateObject();
    cJSON_AddStringToObject(options, "dtype", "f16");
    cr_assert_eq(pare_history_add(&meta, "pare-convert", "aa", options, NULL), PARE_OK);
    cr_assert_eq(pare_history_add(&meta, "pare-quantize", "bb", NULL, NULL), PARE_OK);
    cJSON_Delete(options);
    const struct pare_text *steps;
    size_t count;
    cr_assert_eq(pare_meta_get_strings(&meta, "pare.history", &steps, &count, NULL),
                 PARE_OK);
    cr_assert_eq(count, 2);
    static const char *const expected[] = {
        "{\"tool\":\"pare-convert\",\"version\":\"" PARE_VERSION
        "\",\"input_sha256\":\"aa\",\"options\":{\"dtype\":\"f16\"}}",
        "{\"tool\":\"pare-quantize\",\"version\":\"" PARE_VERSION
        "\",\"input_sha256\":\"bb\",\"options\":{}}"};
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(steps[i].length, strlen(expected[i]));
        cr_assert_eq(memcmp(steps[i].data, expected[i], steps[i].length), 0);
    }
    pare_meta_free(&meta);
}

Test(container, scales_are_called_after_their_weight)
{
    char name[PARE_NAME_SIZE + 8];
    pare_scale_name("blk.0.attn_q.weight", name);
    cr_assert_str_eq(name, "blk.0.attn_q.weight_scale");
}

Test(container, file_type_is_that_of_the_format_or_absent)
{
    struct pare_meta meta = {0};
    uint32_t value = 99;
    cr_assert_eq(pare_file_type_set(&meta, PARE_Q8_0, NULL), PARE_OK);
    cr_assert_eq(pare_meta_get_u32(&meta, "general.file_type", 0, 99, &value, NULL),
                 PARE_OK);
    cr_assert_eq(value, 7);
    cr_assert_not_null(pare_meta_find(&meta, "general.quantization_version"));
    cr_assert_eq(pare_file_type_set(&meta, PARE_BF16, NULL), PARE_OK);
    cr_assert_eq(pare_meta_get_u32(&meta, "general.file_type", 0, 99, &value, NULL),
                 PARE_OK);
    cr_assert_eq(value, 32);
    cr_assert_null(pare_meta_find(&meta, "general.quantization_version"));
    cr_assert_eq(pare_file_type_set(&meta, PARE_I8, NULL), PARE_OK);
    cr_assert_null(pare_meta_find(&meta, "general.file_type"));
    pare_meta_free(&meta);
}

/* --- Identity --- */

static void hash_of(const char *path, char out[65])
{
    struct pare_ckpt *ckpt;
    struct pare_error err = {""};
    cr_assert_eq(pare_ckpt_open(path, &ckpt, &err), PARE_OK, "%s", err.message);
    cr_assert_eq(pare_ckpt_sha256(ckpt, out, &err), PARE_OK);
    pare_ckpt_close(ckpt);
}

Test(container, the_hash_is_of_the_content_not_of_its_order)
{
    struct folder folder = folder_make();
    float a[] = {1, 2, 3, 4}, b[] = {5, 6};
    struct pare_tensor tensors[] = {
        {.name = "b", .n_dims = 1, .shape = {2}, .bytes = 8, .data = b},
        {.name = "a", .n_dims = 2, .shape = {2, 2}, .bytes = 16, .data = a}};
    const char *path = folder_path(&folder, "m.safetensors");
    char first[65], other[65];
    cr_assert_eq(safetensors_write(path, tensors, 2), 0);
    hash_of(path, first);

    const struct pare_tensor swapped[] = {tensors[1], tensors[0]};
    cr_assert_eq(safetensors_write(path, swapped, 2), 0);
    hash_of(path, other);
    cr_assert_str_eq(first, other);

    const char *shard1 = folder_path(&folder, "1.safetensors");
    const char *shard2 = folder_path(&folder, "2.safetensors");
    static const char index[] =
        "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}";
    cr_assert_eq(safetensors_write(shard1, &tensors[1], 1), 0);
    cr_assert_eq(safetensors_write(shard2, &tensors[0], 1), 0);
    put_file(folder_path(&folder, "model.safetensors.index.json"), index,
             sizeof index - 1);
    hash_of(folder_path(&folder, "model.safetensors.index.json"), other);
    cr_assert_str_eq(first, other);

    tensors[1].shape[0] = 4, tensors[1].shape[1] = 1;
    cr_assert_eq(safetensors_write(path, tensors, 2), 0);
    hash_of(path, other);
    cr_assert_str_neq(first, other);
    tensors[1].shape[0] = 2, tensors[1].shape[1] = 2;
    a[3] = 4.0000005f;
    cr_assert_eq(safetensors_write(path, tensors, 2), 0);
    hash_of(path, other);
    cr_assert_str_neq(first, other);
    folder_remove(&folder);
}

static void write_gguf(const char *path, const struct pare_meta *meta)
{
    struct pare_gguf_writer *writer;
    const uint64_t shape[] = {2};
    const float data[] = {1, 2};
    cr_assert_eq(pare_gguf_writer_open(path, meta, &writer, NULL), PARE_OK);
    cr_assert_eq(pare_gguf_writer_plan(writer, "t", PARE_F32, 1, shape, NULL), PARE_OK);
    cr_assert_eq(pare_gguf_writer_data(writer, data, sizeof data, NULL), PARE_OK);
    cr_assert_eq(pare_gguf_writer_commit(writer, NULL), PARE_OK);
}

Test(container, the_hash_covers_keys_but_not_the_history)
{
    struct folder folder = folder_make();
    const char *path = folder_path(&folder, "m.gguf");
    struct pare_meta meta = to_meta(&classifier);
    char first[65], other[65];
    write_gguf(path, &meta);
    hash_of(path, first);
    cr_assert_eq(pare_history_add(&meta, "x", "y", NULL, NULL), PARE_OK);
    write_gguf(path, &meta);
    hash_of(path, other);
    cr_assert_str_eq(first, other);
    cr_assert_eq(pare_meta_set_u32(&meta, "bert.block_count", 3, NULL), PARE_OK);
    write_gguf(path, &meta);
    hash_of(path, other);
    cr_assert_str_neq(first, other);
    pare_meta_free(&meta);
    folder_remove(&folder);
}

Test(container, non_finite_elements_are_counted_in_every_type)
{
    float values[3000] = {0};
    values[2047] = NAN;
    values[2999] = -INFINITY;
    uint16_t halves[3000], brains[3000];
    for (int i = 0; i < 3000; i++) {
        halves[i] = pare_f32_to_f16(values[i]);
        brains[i] = pare_f32_to_bf16(values[i]);
    }
    const struct pare_tensor tensors[] = {
        {.type = PARE_F32, .n_dims = 1, .shape = {3000}, .bytes = 12000, .data = values},
        {.type = PARE_F16, .n_dims = 1, .shape = {3000}, .bytes = 6000, .data = halves},
        {.type = PARE_BF16, .n_dims = 1, .shape = {3000}, .bytes = 6000, .data = brains},
        {.type = PARE_I8, .n_dims = 1, .shape = {3000}, .bytes = 3000, .data = values}};
    for (int i = 0; i < 4; i++) {
        uint64_t first = 7;
        cr_assert_eq(pare_tensor_nonfinite(&tensors[i], &first), i < 3 ? 2 : 0);
        cr_assert_eq(first, i < 3 ? 2047 : 0);
    }
}
