/* The tokens that a text needs: a smaller embedding, and the tokenizer for it. */
#include <string.h>

#include "runtime/base/alloc.h"
#include "tools/prune_structure_work.h"
#include "tools/train_data.h"

static enum pare_status count_file(struct structure_work *w,
                                   const struct pare_tokenizer *tokenizer, size_t number,
                                   uint64_t *count)
{
    const char *path = w->o->vocab.items[number];
    struct train_data data;
    enum pare_status status = train_data_read_unlabelled(path, &data, w->err);
    for (size_t i = 0; status == PARE_OK && i < data.text.count; i++) {
        const struct pare_text *text = &data.text.texts[i];
        if (i % 4096 == 0)
            pare_progress_report(&w->cli->progress, "tokenise", i, data.text.count, path);
        status = pare_tokenizer_count(tokenizer, text->data, text->length, count, w->err);
    }
    if (status == PARE_OK)
        memcpy(w->vocab_sha256[number], data.text.sha256, sizeof data.text.sha256);
    train_data_free(&data);
    return status;
}

/* The rows of the embedding that stay. */
static enum pare_status keep_rows(struct structure_work *w, const uint8_t *keep,
                                  size_t tokens)
{
    const struct pare_tensor *from = w->stored.tensors[0];
    const size_t row = (size_t)from->shape[1] * pare_dtype_info(from->type)->block_bytes;
    unsigned char *data;
    size_t n = 0;
    for (size_t id = 0; id < tokens; id++)
        n += keep[id] != 0;
    PARE_TRY(pare_arena_alloc(&w->arena, &data, n, row, w->err));
    w->tokens = *from;
    w->tokens.shape[0] = n;
    w->tokens.bytes = n * row;
    w->tokens.data = data;
    for (size_t id = 0; id < tokens; id++)
        if (keep[id]) {
            memcpy(data, (const unsigned char *)from->data + id * row, row);
            data += row;
        }
    return PARE_OK;
}

static enum pare_status keep_tokens(struct structure_work *w,
                                    const struct pare_tokenizer *tokenizer)
{
    const size_t tokens = pare_tokenizer_vocab_size(tokenizer);
    const uint64_t least = w->o->vocab_min_count ? (uint64_t)w->o->vocab_min_count : 1;
    struct pare_tokenizer *less = NULL;
    uint64_t *count;
    uint8_t *keep;
    enum pare_status status;
    if (tokens > w->stored.config.vocab)
        return pare_fail(w->err, PARE_ERR_INPUT,
                         "the tokenizer has %zu pieces, the embedding %u rows", tokens,
                         w->stored.config.vocab);
    PARE_TRY(pare_arena_alloc(&w->arena, &count, tokens, sizeof *count, w->err));
    PARE_TRY(pare_arena_alloc(&w->arena, &keep, tokens, 1, w->err));
    PARE_TRY(pare_arena_alloc(&w->arena, &w->vocab_sha256, w->o->vocab.count,
                              sizeof *w->vocab_sha256, w->err));
    memset(count, 0, tokens * sizeof *count);
    for (size_t i = 0; i < w->o->vocab.count; i++)
        PARE_TRY(count_file(w, tokenizer, i, count));
    for (size_t id = 0; id < tokens; id++)
        keep[id] = count[id] >= least;
    pare_tokenizer_needs(tokenizer, w->o->vocab_characters == STRUCTURE_CHARACTERS_ALL,
                         keep);
    PARE_TRY(keep_rows(w, keep, tokens));
    status = pare_tokenizer_keep(tokenizer, keep, &less, w->err);
    if (status == PARE_OK)
        status = pare_tokenizer_to_meta(less, &w->meta, w->err);
    pare_meta_remove(&w->meta, "tokenizer.ggml.scores"); /* one a token, of no use */
    pare_tokenizer_free(less);
    return status;
}

enum pare_status structure_vocabulary(struct structure_work *w)
{
    struct pare_tokenizer *tokenizer;
    if (!w->o->vocab.count)
        return PARE_OK;
    PARE_TRY(pare_tokenizer_from_meta(&w->stored.ckpt->meta, &tokenizer, w->err));
    if (!tokenizer)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "the container has no tokenizer to prune; convert it with its "
                         "vocabulary");
    const enum pare_status status = keep_tokens(w, tokenizer);
    pare_tokenizer_free(tokenizer);
    return status;
}
