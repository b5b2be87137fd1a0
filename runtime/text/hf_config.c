/* Settings of a Hugging Face tokenizer outside tokenizer.json and vocab.txt, read as
 * transformers 4 and 5 read them for BertTokenizerFast. */
#include "runtime/text/hf_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"

/* Classes that are BertTokenizer under another name, without "Fast" at the end. */
static const char *const bert_classes[] = {
    "BertTokenizer",       "DistilBertTokenizer",  "ElectraTokenizer",
    "MobileBertTokenizer", "SqueezeBertTokenizer", "ConvBertTokenizer",
    "LayoutLMTokenizer",
};

static enum pare_hf_class class_of(const char *name)
{
    if (strcmp(name, "PreTrainedTokenizerFast") == 0 ||
        strcmp(name, "TokenizersBackend") == 0)
        return PARE_HF_CLASS_GENERIC;
    for (size_t i = 0; i < sizeof bert_classes / sizeof *bert_classes; i++) {
        size_t length = strlen(bert_classes[i]);
        if (strncmp(name, bert_classes[i], length) == 0 &&
            (!name[length] || strcmp(name + length, "Fast") == 0))
            return PARE_HF_CLASS_BERT;
    }
    return PARE_HF_CLASS_OTHER;
}

static enum pare_status read_object(const char *folder, const char *name, char *path,
                                    size_t size, cJSON **out, struct pare_error *err)
{
    PARE_TRY(pare_path_join(path, size, folder, name, err));
    if (!pare_path_exists(path))
        return PARE_OK;
    PARE_TRY(pare_json_parse_file(path, out, err));
    if (!cJSON_IsObject(*out))
        return pare_fail(err, PARE_ERR_INPUT, "%s: not a JSON object", path);
    return PARE_OK;
}

enum pare_status pare_hf_config_open(const char *folder, struct pare_hf_config *config,
                                     struct pare_error *err)
{
    memset(config, 0, sizeof *config);
    char path[4096];
    enum pare_status status;
    PARE_TRY_OUT(read_object(folder, "tokenizer_config.json", config->path,
                             sizeof config->path, &config->config, err));
    PARE_TRY_OUT(read_object(folder, "special_tokens_map.json", path, sizeof path,
                             &config->special_map, err));
    PARE_TRY_OUT(read_object(folder, "added_tokens.json", config->added_path,
                             sizeof config->added_path, &config->added_map, err));
    if (config->config)
        PARE_TRY_OUT(pare_json_string(config->config, "tokenizer_class",
                                      &config->class_name, config->path, err));
    if (config->class_name)
        config->class = class_of(config->class_name);
    return PARE_OK;
out:
    pare_hf_config_close(config);
    return status;
}

void pare_hf_config_close(struct pare_hf_config *config)
{
    cJSON_Delete(config->config);
    cJSON_Delete(config->special_map);
    cJSON_Delete(config->added_map);
    memset(config, 0, sizeof *config);
}

static enum pare_status flag(const cJSON *object, const char *key, unsigned bit,
                             unsigned *flags, const char *what, struct pare_error *err)
{
    int on = (*flags & bit) != 0;
    PARE_TRY(pare_json_bool(object, key, &on, what, err));
    *flags = on ? *flags | bit : *flags & ~bit;
    return PARE_OK;
}

enum pare_status pare_hf_added_token(const cJSON *value, const char *what,
                                     const char **content, unsigned *flags,
                                     struct pare_error *err)
{
    *content = NULL;
    if (cJSON_IsString(value)) {
        *content = value->valuestring;
    } else if (cJSON_IsObject(value)) {
        PARE_TRY(pare_json_string(value, "content", content, what, err));
        PARE_TRY(flag(value, "special", PARE_ADDED_SPECIAL, flags, what, err));
        PARE_TRY(flag(value, "single_word", PARE_ADDED_SINGLE_WORD, flags, what, err));
        PARE_TRY(flag(value, "lstrip", PARE_ADDED_LSTRIP, flags, what, err));
        PARE_TRY(flag(value, "rstrip", PARE_ADDED_RSTRIP, flags, what, err));
        PARE_TRY(flag(value, "normalized", PARE_ADDED_NORMALIZED, flags, what, err));
    }
    if (!*content)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: an added token is neither a string nor an object with "
                         "\"content\"",
                         what);
    if (!**content)
        return pare_fail(err, PARE_ERR_INPUT, "%s: an added token is empty", what);
    return PARE_OK;
}

/* The JSON value of a special token, or NULL. */
static const cJSON *special(const struct pare_hf_config *config, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(config->config, key);
    if (!value || cJSON_IsNull(value))
        value = cJSON_GetObjectItemCaseSensitive(config->special_map, key);
    return value && !cJSON_IsNull(value) ? value : NULL;
}

enum pare_status pare_hf_config_token(const struct pare_hf_config *config,
                                      const char *key, const char *otherwise,
                                      const char **out, struct pare_error *err)
{
    *out = otherwise;
    const cJSON *value = config ? special(config, key) : NULL;
    unsigned unused = 0;
    if (!value)
        return PARE_OK;
    return pare_hf_added_token(value, key, out, &unused, err);
}

/* One switch: the key if it is there; else what the class does without the key. */
static enum pare_status apply(const struct pare_hf_config *config, const char *key,
                              int otherwise, int from_json, int *value,
                              struct pare_error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(config->config, key);
    if (item && !cJSON_IsNull(item))
        return pare_json_bool(config->config, key, value, config->path, err);
    if (from_json && config->class == PARE_HF_CLASS_BERT && *value != otherwise)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: %s without \"%s\" means %s, but tokenizer.json says %s: "
                         "write the key",
                         config->path, config->class_name, key,
                         otherwise ? "true" : "false", *value ? "true" : "false");
    if (!from_json)
        *value = otherwise;
    return PARE_OK;
}

enum pare_status pare_hf_config_apply(const struct pare_hf_config *config, int from_json,
                                      struct pare_tokenizer *tokenizer,
                                      struct pare_error *err)
{
    if (!config || !config->config)
        return PARE_OK;
    if (from_json &&
        (config->class == PARE_HF_CLASS_GENERIC || config->class == PARE_HF_CLASS_OTHER))
        return PARE_OK;
    int had_lower = tokenizer->lower_case;
    PARE_TRY(apply(config, "do_lower_case", 1, from_json, &tokenizer->lower_case, err));
    PARE_TRY(apply(config, "tokenize_chinese_chars", 1, from_json,
                   &tokenizer->chinese_chars, err));
    /* Accents go with the case unless somebody says otherwise. */
    if (had_lower == tokenizer->strip_accents)
        tokenizer->strip_accents = tokenizer->lower_case;
    return apply(config, "strip_accents", tokenizer->lower_case, from_json,
                 &tokenizer->strip_accents, err);
}

static enum pare_status add(struct pare_tokenizer *t, const cJSON *value, int64_t id,
                            unsigned defaults, const char *what, struct pare_error *err)
{
    const char *content;
    unsigned flags = defaults;
    PARE_TRY(pare_hf_added_token(value, what, &content, &flags, err));
    return pare_tokenizer_add(t, content, strlen(content), flags, id, err);
}

static int is_added(const struct pare_tokenizer *t, int32_t id)
{
    for (size_t i = 0; i < t->added_count; i++)
        if (t->added[i].id == id)
            return 1;
    return 0;
}

/* "added_tokens_decoder": {"100": {"content": "[UNK]", ...}, ...}, in the order of ids.
 */
static enum pare_status add_decoder(const struct pare_hf_config *config,
                                    struct pare_tokenizer *t, struct pare_error *err)
{
    const cJSON *tokens =
        cJSON_GetObjectItemCaseSensitive(config->config, "added_tokens_decoder");
    if (!tokens || cJSON_IsNull(tokens))
        return PARE_OK;
    if (!cJSON_IsObject(tokens))
        return pare_fail(err, PARE_ERR_INPUT, "added_tokens_decoder is not an object");
    for (const cJSON *token = tokens->child; token; token = token->next) {
        char *end;
        errno = 0;
        unsigned long long id = strtoull(token->string, &end, 10);
        if (token->string[0] < '0' || token->string[0] > '9' || *end || errno ||
            id > INT32_MAX)
            return pare_fail(err, PARE_ERR_INPUT,
                             "added_tokens_decoder has the key \"%s\": not an id",
                             pare_show(token->string, strlen(token->string)).text);
        PARE_TRY(add(t, token, (int64_t)id, 0, "added_tokens_decoder", err));
    }
    return PARE_OK;
}

/* Those of the five that the vocabulary has and nobody has added yet. */
static enum pare_status add_special(const struct pare_hf_config *config,
                                    struct pare_tokenizer *t, struct pare_error *err)
{
    static const char *const names[5][2] = {{"unk_token", "[UNK]"},
                                            {"sep_token", "[SEP]"},
                                            {"pad_token", "[PAD]"},
                                            {"cls_token", "[CLS]"},
                                            {"mask_token", "[MASK]"}};
    for (size_t i = 0; i < 5; i++) {
        const cJSON *value = special(config, names[i][0]);
        if (!value && config->class == PARE_HF_CLASS_GENERIC)
            continue; /* it has no names of its own */
        const char *content = names[i][1];
        unsigned flags = PARE_ADDED_SPECIAL;
        if (value)
            PARE_TRY(pare_hf_added_token(value, names[i][0], &content, &flags, err));
        int32_t id = pare_tokenizer_id(t, content, strlen(content));
        if (id >= 0 && !is_added(t, id))
            PARE_TRY(pare_tokenizer_add(t, content, strlen(content),
                                        flags | PARE_ADDED_SPECIAL, id, err));
    }
    return PARE_OK;
}

static enum pare_status add_list(const struct pare_hf_config *config, const char *key,
                                 struct pare_tokenizer *t, struct pare_error *err)
{
    const cJSON *list = special(config, key);
    if (!list || (cJSON_IsObject(list) && !list->child))
        return PARE_OK;
    if (!cJSON_IsArray(list))
        return pare_fail(err, PARE_ERR_INPUT, "\"%s\" is not a list", key);
    for (const cJSON *value = list->child; value; value = value->next) {
        const char *content;
        unsigned flags = PARE_ADDED_SPECIAL;
        PARE_TRY(pare_hf_added_token(value, key, &content, &flags, err));
        int32_t id = pare_tokenizer_id(t, content, strlen(content));
        if (id < 0 || !is_added(t, id))
            PARE_TRY(pare_tokenizer_add(t, content, strlen(content),
                                        flags | PARE_ADDED_SPECIAL, id, err));
    }
    return PARE_OK;
}

/* The file of old versions: nothing in it may be news, for its flags are not in it. */
static enum pare_status check_added_map(const struct pare_hf_config *config,
                                        const struct pare_tokenizer *t,
                                        struct pare_error *err)
{
    const cJSON *first = config->added_map ? config->added_map->child : NULL;
    for (const cJSON *token = first; token; token = token->next) {
        int32_t id = pare_tokenizer_id(t, token->string, strlen(token->string));
        if (!cJSON_IsNumber(token) || id < 0 || token->valuedouble != (double)id)
            return pare_fail(
                err, PARE_ERR_INPUT,
                "%s: \"%s\" is not in the vocabulary under this id: save the "
                "tokenizer as tokenizer.json",
                config->added_path, pare_show(token->string, strlen(token->string)).text);
    }
    return PARE_OK;
}

enum pare_status pare_hf_config_add_tokens(const struct pare_hf_config *config,
                                           struct pare_tokenizer *tokenizer,
                                           struct pare_error *err)
{
    static const struct pare_hf_config none;
    if (!config)
        config = &none;
    enum pare_status status;
    PARE_TRY_OUT(add_decoder(config, tokenizer, err));
    PARE_TRY_OUT(add_special(config, tokenizer, err));
    PARE_TRY_OUT(add_list(config, "additional_special_tokens", tokenizer, err));
    PARE_TRY_OUT(add_list(config, "extra_special_tokens", tokenizer, err));
    return check_added_map(config, tokenizer, err);
out:
    return config->path[0] ? pare_fail_in(err, status, "%s", config->path) : status;
}
