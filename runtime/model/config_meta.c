/* A config from and to a container's metadata. docs/FORMAT.md has the keys as a table.
 *
 * The bert.* keys are those llama.cpp's BERT loader asks for; the pare.* keys say what
 * they cannot. A file without pare.family was written by another program: it is a plain
 * BERT with GELU, and which of its optional tensors exist is seen in stored.c.
 */
#include "runtime/model/config_internal.h"

#include <string.h>

#define KEY_FAMILY "pare.family"
#define KEY_ACTIVATION "pare.activation"
#define KEY_POOLER "pare.pooler"
#define KEY_DROPOUT "pare.dropout.hidden"
#define KEY_ATTENTION_DROPOUT "pare.dropout.attention"
#define KEY_HEAD_DROPOUT "pare.dropout.head"
#define KEY_LABELS "bert.classifier.output_labels"
#define KEY_EPS "bert.attention.layer_norm_epsilon"
#define KEY_CAUSAL "bert.attention.causal"
#define KEY_POOLING "bert.pooling_type"
#define KEY_KV_HEADS "bert.attention.head_count_kv"
#define KEY_KEY_LENGTH "bert.attention.key_length"
#define KEY_VALUE_LENGTH "bert.attention.value_length"
#define KEY_VOCAB "bert.vocab_size"
#define KEY_TOKENS "tokenizer.ggml.tokens"
#define KEY_TYPES "pare.token_types"

/* The name of the file before the message of a getter that failed. */
static enum pare_status in_file(enum pare_status status, const char *what,
                                struct pare_error *err)
{
    return status == PARE_OK ? PARE_OK : pare_fail_in(err, status, "%s", what);
}

/* A number every container has. */
static enum pare_status need_u32(const struct pare_meta *meta, const char *what,
                                 const char *key, uint32_t *out, struct pare_error *err)
{
    if (!pare_meta_find(meta, key))
        return pare_fail(err, PARE_ERR_INPUT, "%s: key %s is missing", what, key);
    return in_file(pare_meta_get_u32(meta, key, 0, UINT32_MAX, out, err), what, err);
}

static int text_is(struct pare_text text, const char *word)
{
    return text.length == strlen(word) && !memcmp(text.data, word, text.length);
}

static int shown_length(struct pare_text text)
{
    return (int)(text.length < 64 ? text.length : 64);
}

static enum pare_status read_family(const struct pare_meta *meta, const char *what,
                                    struct pare_config *config, struct pare_error *err)
{
    struct pare_text arch = {"", 0}, family = {"bert", 4}, act = {"gelu", 4};
    PARE_TRY(in_file(pare_meta_get_string(meta, "general.architecture", &arch, err), what,
                     err));
    if (!arch.length)
        return pare_fail(err, PARE_ERR_INPUT, "%s: key general.architecture is missing",
                         what);
    if (!text_is(arch, "bert"))
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: architecture \"%.*s\" is not supported (bert is)", what,
                         shown_length(arch), arch.data);
    PARE_TRY(in_file(pare_meta_get_string(meta, KEY_FAMILY, &family, err), what, err));
    if (text_is(family, "distilbert"))
        config->family = PARE_DISTILBERT;
    else if (!text_is(family, "bert"))
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: " KEY_FAMILY " is \"%.*s\" (bert and distilbert are known)",
                         what, shown_length(family), family.data);
    PARE_TRY(in_file(pare_meta_get_string(meta, KEY_ACTIVATION, &act, err), what, err));
    return pare_activation_parse(act.data, act.length, what, &config->activation, err);
}

static enum pare_status read_labels(const struct pare_meta *meta, const char *what,
                                    struct pare_config *config, struct pare_error *err)
{
    const struct pare_text *labels = NULL;
    size_t count = 0;
    PARE_TRY(in_file(pare_meta_get_strings(meta, KEY_LABELS, &labels, &count, err), what,
                     err));
    if (!labels)
        return PARE_OK;
    PARE_TRY(pare_config_range(what, "number of labels", count, 0, PARE_MAX_LABELS, err));
    config->labels = (uint32_t)count;
    for (uint32_t i = 0; i < config->labels; i++)
        PARE_TRY(pare_config_set_label(config, i, labels[i].data, labels[i].length, what,
                                       err));
    return PARE_OK;
}

/* Without bert.vocab_size, which other programs leave out, the vocabulary is the list of
 * tokens; with both, the list must not be longer. */
static enum pare_status read_vocabulary(const struct pare_meta *meta, const char *what,
                                        struct pare_config *config,
                                        struct pare_error *err)
{
    const struct pare_text *tokens = NULL;
    size_t count = 0;
    PARE_TRY(in_file(pare_meta_get_strings(meta, KEY_TOKENS, &tokens, &count, err), what,
                     err));
    if (tokens && count <= UINT32_MAX)
        config->vocab = (uint32_t)count;
    if (!tokens || pare_meta_find(meta, KEY_VOCAB))
        PARE_TRY(need_u32(meta, what, KEY_VOCAB, &config->vocab, err));
    if (tokens && count > config->vocab)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: " KEY_TOKENS " has %zu tokens, " KEY_VOCAB " is %u", what,
                         count, config->vocab);
    return PARE_OK;
}

/* Other programs cannot say that a BERT has no token types: its count is 1 then. */
static enum pare_status read_token_types(const struct pare_meta *meta, const char *what,
                                         struct pare_config *config,
                                         struct pare_error *err)
{
    if (pare_meta_find(meta, KEY_TYPES))
        return need_u32(meta, what, KEY_TYPES, &config->token_types, err);
    if (config->family == PARE_DISTILBERT)
        return PARE_OK;
    return need_u32(meta, what, "tokenizer.ggml.token_type_count", &config->token_types,
                    err);
}

/* Settings of the format that change the result and that are not computed here. */
static enum pare_status refuse_unsupported(const struct pare_meta *meta, const char *what,
                                           const struct pare_config *config,
                                           struct pare_error *err)
{
    int causal = 0;
    uint32_t kv_heads = config->heads;
    PARE_TRY(in_file(pare_meta_get_bool(meta, KEY_CAUSAL, &causal, err), what, err));
    if (causal)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: " KEY_CAUSAL " is true: causal encoders are not supported",
                         what);
    PARE_TRY(in_file(pare_meta_get_u32(meta, KEY_KV_HEADS, 0, UINT32_MAX, &kv_heads, err),
                     what, err));
    if (kv_heads != config->heads)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: " KEY_KV_HEADS
                         " is %u with %u heads: grouped heads are not "
                         "supported",
                         what, kv_heads, config->heads);
    return PARE_OK;
}

/* The width of a head, where it is not the hidden width over the heads; which it is when
 * there is no such key. Values have that of keys. */
static enum pare_status read_head_width(const struct pare_meta *meta, const char *what,
                                        struct pare_config *config,
                                        struct pare_error *err)
{
    uint32_t key = 0, value = 0;
    const int whole = config->heads && config->hidden % config->heads == 0;
    if (whole)
        key = value = config->hidden / config->heads;
    PARE_TRY(
        in_file(pare_meta_get_u32(meta, KEY_KEY_LENGTH, 1, PARE_MAX_HIDDEN, &key, err),
                what, err));
    PARE_TRY(in_file(
        pare_meta_get_u32(meta, KEY_VALUE_LENGTH, 1, PARE_MAX_HIDDEN, &value, err), what,
        err));
    if (key != value)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: " KEY_KEY_LENGTH " is %u, " KEY_VALUE_LENGTH
                         " %u: keys and values of different widths are not supported",
                         what, key, value);
    if (key)
        pare_config_set_heads(config, config->heads, key);
    return PARE_OK;
}

enum pare_status pare_config_from_meta(const struct pare_meta *meta, const char *what,
                                       struct pare_config *config, struct pare_error *err)
{
    memset(config, 0, sizeof *config);
    PARE_TRY(read_family(meta, what, config, err));
    PARE_TRY(need_u32(meta, what, "bert.block_count", &config->layers, err));
    PARE_TRY(need_u32(meta, what, "bert.embedding_length", &config->hidden, err));
    PARE_TRY(need_u32(meta, what, "bert.attention.head_count", &config->heads, err));
    PARE_TRY(read_head_width(meta, what, config, err));
    PARE_TRY(need_u32(meta, what, "bert.feed_forward_length", &config->ffn, err));
    PARE_TRY(need_u32(meta, what, "bert.context_length", &config->positions, err));
    PARE_TRY(read_vocabulary(meta, what, config, err));
    PARE_TRY(read_token_types(meta, what, config, err));
    PARE_TRY(refuse_unsupported(meta, what, config, err));
    if (!pare_meta_find(meta, KEY_EPS))
        return pare_fail(err, PARE_ERR_INPUT, "%s: key " KEY_EPS " is missing", what);
    config->dropout = config->attention_dropout = config->head_dropout = 0.1f;
    const struct {
        const char *key;
        float *out;
    } reals[] = {
        {KEY_EPS, &config->norm_eps},
        {KEY_DROPOUT, &config->dropout},
        {KEY_ATTENTION_DROPOUT, &config->attention_dropout},
        {KEY_HEAD_DROPOUT, &config->head_dropout},
    };
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        PARE_TRY(
            in_file(pare_meta_get_f32(meta, reals[i].key, reals[i].out, err), what, err));
    PARE_TRY(in_file(pare_meta_get_bool(meta, KEY_POOLER, &config->has_pooler, err), what,
                     err));
    PARE_TRY(read_labels(meta, what, config, err));
    return pare_config_check(config, what, err);
}

enum pare_status pare_config_to_meta(const struct pare_config *config,
                                     struct pare_meta *meta, struct pare_error *err)
{
    const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {
        {"bert.block_count", config->layers},
        {"bert.context_length", config->positions},
        {"bert.embedding_length", config->hidden},
        {"bert.feed_forward_length", config->ffn},
        {"bert.attention.head_count", config->heads},
        {KEY_VOCAB, config->vocab},
        {KEY_TYPES, config->token_types},
        /* What a reader of BERT files asks for even when there are no types. */
        {"tokenizer.ggml.token_type_count",
         config->token_types ? config->token_types : 1},
    };
    const char *family = pare_family_name(config->family);
    const char *act = pare_activation_name(config->activation);
    PARE_TRY(pare_meta_set_string(meta, "general.architecture", "bert", 4, err));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        PARE_TRY(pare_meta_set_u32(meta, numbers[i].key, numbers[i].value, err));
    pare_meta_remove(meta, KEY_KEY_LENGTH);
    pare_meta_remove(meta, KEY_VALUE_LENGTH);
    if (config->head_width) {
        PARE_TRY(pare_meta_set_u32(meta, KEY_KEY_LENGTH, config->head_width, err));
        PARE_TRY(pare_meta_set_u32(meta, KEY_VALUE_LENGTH, config->head_width, err));
    }
    /* 4 rank: a classifier is on top; else 0 none, or what the source said (1 mean ...)
     */
    if (config->labels || !pare_meta_find(meta, KEY_POOLING))
        PARE_TRY(pare_meta_set_u32(meta, KEY_POOLING, config->labels ? 4 : 0, err));
    PARE_TRY(pare_meta_set_f32(meta, KEY_EPS, config->norm_eps, err));
    PARE_TRY(pare_meta_set_bool(meta, KEY_CAUSAL, 0, err));
    PARE_TRY(pare_meta_set_string(meta, KEY_FAMILY, family, strlen(family), err));
    PARE_TRY(pare_meta_set_string(meta, KEY_ACTIVATION, act, strlen(act), err));
    PARE_TRY(pare_meta_set_bool(meta, KEY_POOLER, config->has_pooler, err));
    PARE_TRY(pare_meta_set_f32(meta, KEY_DROPOUT, config->dropout, err));
    PARE_TRY(
        pare_meta_set_f32(meta, KEY_ATTENTION_DROPOUT, config->attention_dropout, err));
    PARE_TRY(pare_meta_set_f32(meta, KEY_HEAD_DROPOUT, config->head_dropout, err));
    pare_meta_remove(meta, KEY_LABELS);
    if (!config->labels)
        return PARE_OK;
    struct pare_text labels[PARE_MAX_LABELS];
    for (uint32_t i = 0; i < config->labels; i++)
        labels[i] = (struct pare_text){config->label[i], strlen(config->label[i])};
    return pare_meta_set_strings(meta, KEY_LABELS, labels, config->labels, err);
}
