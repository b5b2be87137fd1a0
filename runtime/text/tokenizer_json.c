/* tokenizer.json of Hugging Face: a WordPiece model with BERT's steps around it, and
 * nothing else. What asks for another step is refused by its name, since leaving it out
 * would give other ids without a word. "truncation" and "padding" are the caller's
 * business and "decoder" is not used: these three are not read.
 */
#include <cjson/cJSON.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/text/hf_config.h"
#include "runtime/text/wordpiece.h"

#define JSON_MAX_BYTES 100000000

/* A member of an object, or NULL; JSON null counts as missing. */
static const cJSON *member(const cJSON *object, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
    return value && !cJSON_IsNull(value) ? value : NULL;
}

/* That `object` is of type `type`, and has no keys but those of the list (up to NULL). */
static enum pare_status check_type(const cJSON *object, const char *what,
                                   const char *type, const char *const *keys,
                                   struct pare_error *err)
{
    if (!cJSON_IsObject(object))
        return pare_fail(err, PARE_ERR_INPUT, "%s: missing or not an object", what);
    const char *found = NULL;
    PARE_TRY(pare_json_string(object, "type", &found, what, err));
    if (!found || strcmp(found, type) != 0)
        return pare_fail(err, PARE_ERR_INPUT, "%s \"%s\" is not supported; only %s is",
                         what, found ? pare_show(found, strlen(found)).text : "", type);
    for (const cJSON *item = object->child; item; item = item->next) {
        size_t i = 0;
        while (keys[i] && strcmp(keys[i], item->string) != 0)
            i++;
        if (!keys[i] && strcmp(item->string, "type") != 0)
            return pare_fail(err, PARE_ERR_INPUT, "%s: \"%s\" is not supported", what,
                             pare_show(item->string, strlen(item->string)).text);
    }
    return PARE_OK;
}

static enum pare_status read_normalizer(const cJSON *root, struct pare_tokenizer *t,
                                        struct pare_error *err)
{
    static const char *const keys[] = {"clean_text", "handle_chinese_chars",
                                       "strip_accents", "lowercase", NULL};
    const cJSON *object = member(root, "normalizer");
    if (!object) {
        t->clean_text = t->chinese_chars = t->strip_accents = t->lower_case = 0;
        return PARE_OK;
    }
    const char *what = "normalizer";
    PARE_TRY(check_type(object, what, "BertNormalizer", keys, err));
    PARE_TRY(pare_json_bool(object, "clean_text", &t->clean_text, what, err));
    PARE_TRY(
        pare_json_bool(object, "handle_chinese_chars", &t->chinese_chars, what, err));
    PARE_TRY(pare_json_bool(object, "lowercase", &t->lower_case, what, err));
    t->strip_accents = t->lower_case;
    return pare_json_bool(object, "strip_accents", &t->strip_accents, what, err);
}

/* The pieces by id. n pieces with n different ids below n are the ids 0 to n - 1. */
static enum pare_status order_pieces(const cJSON *vocab, const char **pieces,
                                     size_t count, struct pare_error *err)
{
    for (const cJSON *item = vocab->child; item; item = item->next) {
        struct pare_shown piece = pare_show(item->string, strlen(item->string));
        double id = cJSON_IsNumber(item) ? item->valuedouble : -1;
        if (!(id >= 0 && id <= INT32_MAX) || id != (double)(int32_t)id)
            return pare_fail(err, PARE_ERR_INPUT,
                             "vocab: the id of \"%s\" is not an integer from 0 to 2^31-1",
                             piece.text);
        if (id >= (double)count)
            return pare_fail(
                err, PARE_ERR_INPUT,
                "vocab: id %.0f of \"%s\" leaves a gap: %zu pieces must have "
                "the ids 0 to %zu",
                id, piece.text, count, count - 1);
        if (pieces[(size_t)id])
            return pare_fail(
                err, PARE_ERR_INPUT, "vocab: id %.0f belongs to \"%s\" and to \"%s\"", id,
                pare_show(pieces[(size_t)id], strlen(pieces[(size_t)id])).text,
                piece.text);
        pieces[(size_t)id] = item->string;
    }
    return PARE_OK;
}

static enum pare_status read_vocab(const cJSON *model, struct pare_tokenizer *t,
                                   struct pare_error *err)
{
    const cJSON *vocab = member(model, "vocab");
    if (!cJSON_IsObject(vocab) || !vocab->child)
        return pare_fail(err, PARE_ERR_INPUT,
                         "model: \"vocab\" is not an object of pieces");
    size_t count = 0;
    for (const cJSON *item = vocab->child; item; item = item->next)
        count++;
    const char **pieces;
    PARE_TRY(pare_alloc(&pieces, count, sizeof *pieces, err));
    enum pare_status status = order_pieces(vocab, pieces, count, err);
    for (size_t i = 0; status == PARE_OK && i < count; i++)
        status = pare_vocab_append(&t->vocab, pieces[i], strlen(pieces[i]), err);
    pare_free(pieces);
    PARE_TRY(status);
    return pare_vocab_index(&t->vocab, "ids", 0, err);
}

static enum pare_status read_model(const cJSON *root, struct pare_tokenizer *t,
                                   struct pare_error *err)
{
    static const char *const keys[] = {"unk_token", "continuing_subword_prefix",
                                       "max_input_chars_per_word", "vocab", NULL};
    const cJSON *model = member(root, "model");
    PARE_TRY(check_type(model, "model", "WordPiece", keys, err));
    PARE_TRY(read_vocab(model, t, err));
    const char *prefix = NULL, *unk = NULL;
    uint64_t max_chars = 0;
    PARE_TRY(pare_json_string(model, "continuing_subword_prefix", &prefix, "model", err));
    PARE_TRY(pare_json_string(model, "unk_token", &unk, "model", err));
    PARE_TRY(pare_json_u64(model, "max_input_chars_per_word", 1, PARE_WORD_MAX_CHARS,
                           &max_chars, "model", err));
    if (!prefix || !unk || !max_chars)
        return pare_fail(err, PARE_ERR_INPUT, "model: \"%s\" is missing",
                         !prefix ? "continuing_subword_prefix"
                         : !unk  ? "unk_token"
                                 : "max_input_chars_per_word");
    t->max_word_chars = (uint32_t)max_chars;
    t->unk = pare_vocab_find(&t->vocab, unk, strlen(unk));
    if (t->unk < 0)
        return pare_fail(err, PARE_ERR_INPUT, "model: unk_token \"%s\" is not in vocab",
                         pare_show(unk, strlen(unk)).text);
    return pare_tokenizer_set_prefix(t, prefix, strlen(prefix), err);
}

static enum pare_status read_added(const cJSON *root, struct pare_tokenizer *t,
                                   struct pare_error *err)
{
    const cJSON *list = member(root, "added_tokens");
    if (!list)
        return PARE_OK;
    if (!cJSON_IsArray(list))
        return pare_fail(err, PARE_ERR_INPUT, "added_tokens: not a list");
    for (const cJSON *item = list->child; item; item = item->next) {
        const char *content, *what = "added_tokens";
        unsigned flags = 0;
        uint64_t id = UINT64_MAX;
        PARE_TRY(pare_hf_added_token(item, what, &content, &flags, err));
        PARE_TRY(pare_json_u64(item, "id", 0, INT32_MAX, &id, what, err));
        if (id == UINT64_MAX)
            return pare_fail(err, PARE_ERR_INPUT, "added_tokens: \"%s\" has no id",
                             pare_show(content, strlen(content)).text);
        PARE_TRY(
            pare_tokenizer_add(t, content, strlen(content), flags, (int64_t)id, err));
    }
    return PARE_OK;
}

/* The vocabulary's id of `name`, which must be the id that the file gives it. */
static enum pare_status special_id(const struct pare_tokenizer *t, const cJSON *name,
                                   const cJSON *given, int32_t *id,
                                   struct pare_error *err)
{
    if (!cJSON_IsString(name) || !cJSON_IsNumber(given))
        return pare_fail(err, PARE_ERR_INPUT,
                         "post_processor: expected a token and its id");
    *id = pare_tokenizer_id(t, name->valuestring, strlen(name->valuestring));
    if (*id < 0 || given->valuedouble != (double)*id)
        return pare_fail(err, PARE_ERR_INPUT,
                         "post_processor: \"%s\" does not have the id %.17g in vocab",
                         pare_show(name->valuestring, strlen(name->valuestring)).text,
                         given->valuedouble);
    return PARE_OK;
}

/* {"SpecialToken": {"id": "[CLS]", "type_id": 0}}, looked up in "special_tokens". */
static enum pare_status template_token(const cJSON *processor, const cJSON *piece,
                                       const struct pare_tokenizer *t, int32_t *id,
                                       struct pare_error *err)
{
    const cJSON *token = member(piece, "SpecialToken");
    const cJSON *name = member(token, "id"), *type = member(token, "type_id");
    const cJSON *entry =
        cJSON_IsString(name)
            ? member(member(processor, "special_tokens"), name->valuestring)
            : NULL;
    const cJSON *ids = member(entry, "ids");
    if (!cJSON_IsNumber(type) || type->valuedouble != 0 || cJSON_GetArraySize(ids) != 1)
        return pare_fail(err, PARE_ERR_INPUT,
                         "post_processor: only a template of one token, the text and one "
                         "token, all of type 0, is supported");
    return special_id(t, name, ids->child, id, err);
}

static enum pare_status read_template(const cJSON *processor, struct pare_tokenizer *t,
                                      struct pare_error *err)
{
    const cJSON *single = member(processor, "single");
    int size = cJSON_GetArraySize(single);
    const cJSON *text = member(cJSON_GetArrayItem(single, size == 3 ? 1 : 0), "Sequence");
    const cJSON *id = member(text, "id"), *type = member(text, "type_id");
    if (!cJSON_IsArray(single) || (size != 1 && size != 3) || !cJSON_IsString(id) ||
        strcmp(id->valuestring, "A") != 0 || !cJSON_IsNumber(type) ||
        type->valuedouble != 0)
        return pare_fail(err, PARE_ERR_INPUT,
                         "post_processor: the template for one text is not [CLS] text "
                         "[SEP]");
    t->add_special = size == 3;
    if (size == 1)
        return PARE_OK;
    PARE_TRY(template_token(processor, cJSON_GetArrayItem(single, 0), t, &t->cls, err));
    return template_token(processor, cJSON_GetArrayItem(single, 2), t, &t->sep, err);
}

/* "[CLS]" and "[SEP]" around the text, or nothing. What is done with a pair of texts is
 * not read: there are no pairs here. */
static enum pare_status read_post_processor(const cJSON *root, struct pare_tokenizer *t,
                                            struct pare_error *err)
{
    static const char *const bert_keys[] = {"sep", "cls", NULL};
    static const char *const template_keys[] = {"single", "pair", "special_tokens", NULL};
    const char *what = "post_processor", *type = "";
    const cJSON *processor = member(root, what);
    if (!processor) {
        t->add_special = 0;
        return PARE_OK;
    }
    PARE_TRY(pare_json_string(processor, "type", &type, what, err));
    if (strcmp(type, "BertProcessing") != 0) {
        PARE_TRY(check_type(processor, what, "TemplateProcessing", template_keys, err));
        return read_template(processor, t, err);
    }
    PARE_TRY(check_type(processor, what, type, bert_keys, err));
    const cJSON *cls = member(processor, "cls"), *sep = member(processor, "sep");
    PARE_TRY(special_id(t, cJSON_GetArrayItem(cls, 0), cJSON_GetArrayItem(cls, 1),
                        &t->cls, err));
    return special_id(t, cJSON_GetArrayItem(sep, 0), cJSON_GetArrayItem(sep, 1), &t->sep,
                      err);
}

/* Special tokens that the template does not give; -1 stays when they are not there. */
static enum pare_status find_special(const struct pare_hf_config *config,
                                     const struct pare_tokenizer *t, const char *key,
                                     const char *name, int32_t *id,
                                     struct pare_error *err)
{
    PARE_TRY(pare_hf_config_token(config, key, name, &name, err));
    if (*id < 0)
        *id = pare_tokenizer_id(t, name, strlen(name));
    return PARE_OK;
}

static enum pare_status read_root(const cJSON *root, const struct pare_hf_config *config,
                                  struct pare_tokenizer *t, struct pare_error *err)
{
    static const char *const no_keys[] = {NULL};
    PARE_TRY(read_model(root, t, err));
    PARE_TRY(read_normalizer(root, t, err));
    PARE_TRY(check_type(member(root, "pre_tokenizer"), "pre_tokenizer",
                        "BertPreTokenizer", no_keys, err));
    PARE_TRY(read_added(root, t, err));
    PARE_TRY(read_post_processor(root, t, err));
    PARE_TRY(find_special(config, t, "cls_token", "[CLS]", &t->cls, err));
    PARE_TRY(find_special(config, t, "sep_token", "[SEP]", &t->sep, err));
    PARE_TRY(find_special(config, t, "pad_token", "[PAD]", &t->pad, err));
    return find_special(config, t, "mask_token", "[MASK]", &t->mask, err);
}

enum pare_status pare_tokenizer_parse_json(const char *text, size_t length,
                                           const char *what,
                                           const struct pare_hf_config *config,
                                           struct pare_tokenizer *tokenizer,
                                           struct pare_error *err)
{
    cJSON *root;
    PARE_TRY(pare_json_parse(text, length, what, &root, err));
    enum pare_status status = read_root(root, config, tokenizer, err);
    if (status != PARE_OK)
        pare_fail_in(err, status, "%s", what);
    cJSON_Delete(root);
    PARE_TRY(status);
    PARE_TRY(pare_hf_config_apply(config, 1, tokenizer, err));
    if (!config || !config->config || config->class == PARE_HF_CLASS_OTHER)
        return PARE_OK;
    if (config->class == PARE_HF_CLASS_BERT)
        tokenizer->add_special = 1; /* transformers sets the template of the class */
    return pare_hf_config_add_tokens(config, tokenizer, err);
}

enum pare_status pare_tokenizer_read_json(const char *path,
                                          const struct pare_hf_config *config,
                                          struct pare_tokenizer *tokenizer,
                                          struct pare_error *err)
{
    char *text;
    size_t length;
    PARE_TRY(pare_read_file(path, JSON_MAX_BYTES, &text, &length, err));
    enum pare_status status =
        pare_tokenizer_parse_json(text, length, path, config, tokenizer, err);
    pare_free(text);
    return status;
}
