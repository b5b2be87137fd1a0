/* vocab.txt: one piece a line, the line number from 0 is its id. */
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/text/hf_config.h"
#include "runtime/text/wordpiece.h"

#define VOCAB_MAX_BYTES (64u << 20)

/* The line [text, end) without "\n"; `number` from 1. */
static enum pare_status add_line(struct pare_vocab *vocab, const char *text,
                                 const char *end, size_t number, struct pare_error *err)
{
    if (end > text && end[-1] == '\r')
        end--;
    size_t length = (size_t)(end - text);
    if (memchr(text, '\r', length))
        return pare_fail(err, PARE_ERR_INPUT, "line %zu: carriage return inside the line",
                         number);
    enum pare_status status = pare_vocab_append(vocab, text, length, err);
    return status == PARE_OK ? status : pare_fail_in(err, status, "line %zu", number);
}

enum pare_status pare_vocab_parse_lines(struct pare_vocab *vocab, const char *text,
                                        size_t length, struct pare_error *err)
{
    const char *end = text + length;
    if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        text += 3; /* a byte order mark */
    for (size_t number = 1; text < end; number++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        if (!stop)
            stop = end;
        PARE_TRY(add_line(vocab, text, stop, number, err));
        text = stop < end ? stop + 1 : end;
    }
    if (!vocab->count)
        return pare_fail(err, PARE_ERR_INPUT, "no piece in the file");
    return pare_vocab_index(vocab, "lines", 1, err);
}

static enum pare_status find_special(const struct pare_hf_config *config,
                                     const struct pare_tokenizer *t, const char *key,
                                     const char *name, int32_t *id,
                                     struct pare_error *err)
{
    PARE_TRY(pare_hf_config_token(config, key, name, &name, err));
    *id = pare_vocab_find(&t->vocab, name, strlen(name));
    int needed = id == &t->unk || id == &t->cls || id == &t->sep;
    if (*id < 0 && needed)
        return pare_fail(err, PARE_ERR_INPUT, "no line is the %s \"%s\"", key,
                         pare_show(name, strlen(name)).text);
    return PARE_OK;
}

static enum pare_status find_all_special(const struct pare_hf_config *config,
                                         struct pare_tokenizer *t, struct pare_error *err)
{
    PARE_TRY(find_special(config, t, "unk_token", "[UNK]", &t->unk, err));
    PARE_TRY(find_special(config, t, "cls_token", "[CLS]", &t->cls, err));
    PARE_TRY(find_special(config, t, "sep_token", "[SEP]", &t->sep, err));
    PARE_TRY(find_special(config, t, "pad_token", "[PAD]", &t->pad, err));
    return find_special(config, t, "mask_token", "[MASK]", &t->mask, err);
}

enum pare_status pare_tokenizer_read_vocab(const char *path,
                                           const struct pare_hf_config *config,
                                           struct pare_tokenizer *tokenizer,
                                           struct pare_error *err)
{
    if (config && config->class != PARE_HF_CLASS_NONE &&
        config->class != PARE_HF_CLASS_BERT)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: tokenizer_class \"%s\" is not supported with vocab.txt; "
                         "save it as tokenizer.json",
                         config->path,
                         pare_show(config->class_name, strlen(config->class_name)).text);
    char *text;
    size_t length;
    PARE_TRY(pare_read_file(path, VOCAB_MAX_BYTES, &text, &length, err));
    enum pare_status status =
        pare_vocab_parse_lines(&tokenizer->vocab, text, length, err);
    pare_free(text);
    if (status == PARE_OK)
        status = find_all_special(config, tokenizer, err);
    if (status != PARE_OK)
        return pare_fail_in(err, status, "%s", path);
    PARE_TRY(pare_hf_config_apply(config, 0, tokenizer, err));
    return pare_hf_config_add_tokens(config, tokenizer, err);
}
