/* What the files beside a vocabulary say: tokenizer_config.json, special_tokens_map.json
 * and added_tokens.json of a Hugging Face folder. */
#ifndef PARE_TEXT_HF_CONFIG_H
#define PARE_TEXT_HF_CONFIG_H

#include <cjson/cJSON.h>

#include "runtime/base/error.h"
#include "runtime/text/wordpiece.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_hf_class {
    PARE_HF_CLASS_NONE, /* no tokenizer_class: transformers takes it from the model */
    PARE_HF_CLASS_BERT, /* BertTokenizer and those that are the same under another name */
    PARE_HF_CLASS_GENERIC, /* tokenizer.json is all there is to it */
    PARE_HF_CLASS_OTHER,
};

struct pare_hf_config { /* all zero: no such files */
    cJSON *config, *special_map, *added_map;
    enum pare_hf_class class;
    const char *class_name;
    char path[4096];       /* of tokenizer_config.json, for messages */
    char added_path[4096]; /* of added_tokens.json */
};

/* Reads those of the three files that are in `folder`. */
enum pare_status pare_hf_config_open(const char *folder, struct pare_hf_config *config,
                                     struct pare_error *err) PARE_CHECKED;
void pare_hf_config_close(struct pare_hf_config *config);

/* The text of a special token such as "cls_token": from tokenizer_config.json, else
 * special_tokens_map.json, else `otherwise`. It lives as long as the config. */
enum pare_status pare_hf_config_token(const struct pare_hf_config *config,
                                      const char *key, const char *otherwise,
                                      const char **out,
                                      struct pare_error *err) PARE_CHECKED;

/* do_lower_case, strip_accents, tokenize_chinese_chars. With `from_json` the tokenizer
 * holds what tokenizer.json says: a key that is there wins over it, as in transformers;
 * a BERT class whose missing key means something else than tokenizer.json is refused. */
enum pare_status pare_hf_config_apply(const struct pare_hf_config *config, int from_json,
                                      struct pare_tokenizer *tokenizer,
                                      struct pare_error *err) PARE_CHECKED;

/* Adds the tokens that transformers adds: added_tokens_decoder, the five special tokens
 * that are in the vocabulary, additional and extra special tokens. */
enum pare_status pare_hf_config_add_tokens(const struct pare_hf_config *config,
                                           struct pare_tokenizer *tokenizer,
                                           struct pare_error *err) PARE_CHECKED;

/* One added token as Hugging Face writes it: a string, or an object with "content" and
 * flags. `flags` holds the defaults on entry. */
enum pare_status pare_hf_added_token(const cJSON *value, const char *what,
                                     const char **content, unsigned *flags,
                                     struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
