/* Inside of a WordPiece tokenizer, for the loaders and the encoder of this folder. */
#ifndef PARE_TEXT_WORDPIECE_H
#define PARE_TEXT_WORDPIECE_H

#include "runtime/text/added.h"
#include "runtime/text/tokenizer.h"
#include "runtime/text/vocab.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Longer words than this cannot be asked for: it bounds the work for a word of n
 * characters, which is n times the longest piece. Hugging Face's default is 100. */
#define PARE_WORD_MAX_CHARS 1000
/* And no more added tokens: they are compared one by one when they are added. */
#define PARE_ADDED_MAX 20000

struct pare_added_token {
    int32_t id;
    unsigned flags; /* enum pare_added_flag */
};

struct pare_tokenizer {
    struct pare_vocab vocab;
    char *prefix; /* of a piece that continues a word: "##" */
    size_t prefix_length;
    uint32_t max_word_chars;
    int clean_text, chinese_chars, strip_accents, lower_case;
    int add_special;                  /* [CLS] and [SEP] around every text */
    int32_t unk, cls, sep, pad, mask; /* ids; -1: there is none */
    struct pare_added_token *added;   /* in the order they were added */
    size_t added_count, added_capacity;
    /* From here on: derived by pare_tokenizer_finish. */
    struct pare_added_matcher in_text, in_normalized;
    uint64_t prefix_hash;
    uint8_t ascii[256]; /* see ascii_table in wordpiece.c */
};

/* An empty tokenizer with Hugging Face's defaults (uncased, "##", 100). */
enum pare_status pare_tokenizer_new(struct pare_tokenizer **out,
                                    struct pare_error *err) PARE_CHECKED;
enum pare_status pare_tokenizer_set_prefix(struct pare_tokenizer *tokenizer,
                                           const char *prefix, size_t length,
                                           struct pare_error *err) PARE_CHECKED;
/* Adds a token, or gives one that was added before new flags. The vocabulary must be
 * indexed. `id` -1: its id in the vocabulary, else the next one; any other id must be
 * that one. */
enum pare_status pare_tokenizer_add(struct pare_tokenizer *tokenizer, const char *content,
                                    size_t length, unsigned flags, int64_t id,
                                    struct pare_error *err) PARE_CHECKED;
/* The id of a piece, of the vocabulary or added; -1: none. */
int32_t pare_tokenizer_id(const struct pare_tokenizer *tokenizer, const char *piece,
                          size_t length);
/* Checks that the ids needed are there and derives what the encoder needs. */
enum pare_status pare_tokenizer_finish(struct pare_tokenizer *tokenizer,
                                       struct pare_error *err) PARE_CHECKED;

/* The normalised form of valid UTF-8, as the encoder sees it (for added tokens that are
 * looked for there, and for tests). The caller frees *out with pare_free. */
enum pare_status pare_wordpiece_normalize(const struct pare_tokenizer *tokenizer,
                                          const char *text, size_t length, char **out,
                                          size_t *out_length,
                                          struct pare_error *err) PARE_CHECKED;
/* The table for `ascii`, from clean_text and lower_case. */
void pare_wordpiece_ascii_table(struct pare_tokenizer *tokenizer);

/* The loaders behind pare_tokenizer_load. `config` may be NULL: there is none. */
struct pare_hf_config;
enum pare_status pare_tokenizer_read_json(const char *path,
                                          const struct pare_hf_config *config,
                                          struct pare_tokenizer *tokenizer,
                                          struct pare_error *err) PARE_CHECKED;
enum pare_status pare_tokenizer_read_vocab(const char *path,
                                           const struct pare_hf_config *config,
                                           struct pare_tokenizer *tokenizer,
                                           struct pare_error *err) PARE_CHECKED;
/* The same from the text of a tokenizer.json; `what` names it in messages. */
enum pare_status pare_tokenizer_parse_json(const char *text, size_t length,
                                           const char *what,
                                           const struct pare_hf_config *config,
                                           struct pare_tokenizer *tokenizer,
                                           struct pare_error *err) PARE_CHECKED;
/* Pieces from the bytes of a vocab.txt, one a line, into an empty vocabulary. */
enum pare_status pare_vocab_parse_lines(struct pare_vocab *vocab, const char *text,
                                        size_t length,
                                        struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
