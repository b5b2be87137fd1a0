#include "tools/calibration.h"

#include <stdio.h>
#include <string.h>

#include "runtime/model/walk.h"

#define BATCH_TOKENS 1536 /* of a batch, unless one sentence has more */

static size_t length_of(const struct pare_examples *examples, size_t i)
{
    return (size_t)(examples->starts[i + 1] - examples->starts[i]);
}

static enum pare_status tokenize(struct pare_cli *cli,
                                 const struct calibration_options *o,
                                 const struct pare_meta *meta,
                                 const struct pare_config *config,
                                 struct train_data *data, struct pare_error *err)
{
    struct pare_tokenizer *tokenizer;
    PARE_TRY(pare_tokenizer_from_meta(meta, &tokenizer, err));
    if (!tokenizer)
        return pare_fail(err, PARE_ERR_USAGE,
                         "the container has no tokenizer for the calibration text; "
                         "convert it with its vocabulary");
    const size_t longest = o->length && (uint32_t)o->length < config->positions
                               ? (size_t)o->length
                               : config->positions;
    enum pare_status status = train_data_tokenize(cli, tokenizer, longest, data, err);
    pare_tokenizer_free(tokenizer);
    return status;
}

static enum pare_status choose(struct pare_cli *cli, const struct calibration_options *o,
                               const struct pare_examples *examples, size_t samples,
                               struct calibration *c, uint32_t **order,
                               struct pare_arena *arena, struct pare_error *err)
{
    uint32_t *work;
    if ((size_t)o->samples > examples->count)
        return pare_fail(err, PARE_ERR_USAGE,
                         "%s has %zu sentences, fewer than the %d of --samples", o->file,
                         examples->count, o->samples);
    c->samples = o->samples ? (size_t)o->samples : samples;
    if (c->samples > examples->count)
        c->samples = examples->count;
    PARE_TRY(pare_arena_alloc(arena, order, examples->count, sizeof **order, err));
    PARE_TRY(pare_arena_alloc(arena, &work, examples->count, sizeof *work, err));
    pare_examples_order(examples, cli->seed, 0, 1, 1, *order, work);
    return PARE_OK;
}

/* The batch of samples first .. end, whose ids are behind each other. */
static enum pare_status add_batch(const struct pare_examples *examples,
                                  struct calibration *c, const uint32_t *order,
                                  size_t first, size_t end, struct pare_error *err)
{
    uint32_t *starts;
    int32_t *ids;
    size_t tokens = 0;
    for (size_t i = first; i < end; i++)
        tokens += length_of(examples, order[i]);
    PARE_TRY(pare_arena_alloc(&c->arena, &starts, end - first + 1, sizeof *starts, err));
    PARE_TRY(pare_arena_alloc(&c->arena, &ids, tokens, sizeof *ids, err));
    starts[0] = 0;
    for (size_t i = first; i < end; i++) {
        const size_t n = length_of(examples, order[i]), at = starts[i - first];
        memcpy(ids + at, examples->ids + examples->starts[order[i]], n * sizeof *ids);
        starts[i - first + 1] = (uint32_t)(at + n);
    }
    c->batches[c->n_batches++] = (struct pare_batch){
        .n_seq = end - first, .n_tokens = tokens, .ids = ids, .starts = starts};
    c->tokens += tokens;
    c->longest = tokens > c->longest ? tokens : c->longest;
    return PARE_OK;
}

static enum pare_status cut(const struct pare_examples *examples, struct calibration *c,
                            const uint32_t *order, struct pare_error *err)
{
    PARE_TRY(
        pare_arena_alloc(&c->arena, &c->batches, c->samples, sizeof *c->batches, err));
    for (size_t first = 0, end; first < c->samples; first = end) {
        size_t tokens = length_of(examples, order[first]);
        for (end = first + 1; end < c->samples; end++) {
            tokens += length_of(examples, order[end]);
            if (tokens > BATCH_TOKENS)
                break;
        }
        PARE_TRY(add_batch(examples, c, order, first, end, err));
    }
    c->piece = pare_walk_piece_tokens(c->batches, c->n_batches);
    return PARE_OK;
}

enum pare_status calibration_read(struct pare_cli *cli,
                                  const struct calibration_options *o,
                                  const struct pare_meta *meta,
                                  const struct pare_config *config, size_t samples,
                                  struct calibration *c, struct pare_error *err)
{
    struct train_data data;
    struct pare_arena arena = {0};
    uint32_t *order;
    enum pare_status status;
    *c = (struct calibration){0};
    PARE_TRY_OUT(train_data_read_unlabelled(o->file, &data, err));
    PARE_TRY_OUT(tokenize(cli, o, meta, config, &data, err));
    PARE_TRY_OUT(pare_examples_check(&data.examples, config, 1, o->file, err));
    PARE_TRY_OUT(choose(cli, o, &data.examples, samples, c, &order, &arena, err));
    c->sentences = data.examples.count;
    memcpy(c->sha256, data.text.sha256, sizeof c->sha256);
    /* What is read, its token ids, and what is made of them. */
    c->text_bytes = data.text.map.size + 4 * data.ids.count * sizeof *data.ids.ids;
    status = cut(&data.examples, c, order, err);
out:
    pare_arena_free(&arena);
    train_data_free(&data);
    return status;
}

void calibration_free(struct calibration *c)
{
    pare_arena_free(&c->arena);
    *c = (struct calibration){0};
}

int calibration_history(const struct calibration *c, const struct calibration_options *o,
                        uint64_t seed, cJSON *json)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)seed);
    return cJSON_AddStringToObject(json, "calibration_sha256", c->sha256) &&
           cJSON_AddNumberToObject(json, "samples", (double)c->samples) &&
           (!o->length || cJSON_AddNumberToObject(json, "length", o->length)) &&
           cJSON_AddNumberToObject(json, "tokens", (double)c->tokens) &&
           cJSON_AddStringToObject(json, "seed", digits);
}
