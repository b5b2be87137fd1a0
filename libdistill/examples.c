/* Training data and its order: see examples.h. */
#include "libdistill/examples.h"

#include <string.h>

#include "runtime/base/rng.h"
#include "runtime/base/sha256.h"

/* Streams of the seed: see params.c. Two an epoch. */
#define ORDER_STREAM ((uint64_t)2 << 60)

static size_t length_of(const struct pare_examples *examples, size_t i)
{
    return (size_t)(examples->starts[i + 1] - examples->starts[i]);
}

enum pare_status pare_examples_check(const struct pare_examples *examples,
                                     const struct pare_config *config, int unlabelled,
                                     const char *what, struct pare_error *err)
{
    if (!examples->count)
        return pare_fail(err, PARE_ERR_INPUT, "%s: no examples", what);
    if (examples->count > UINT32_MAX)
        return pare_fail(err, PARE_ERR_INPUT, "%s: more than 2^32 examples", what);
    for (size_t i = 0; i < examples->count; i++) {
        size_t n = length_of(examples, i);
        if (!n || n > config->positions)
            return pare_fail(err, PARE_ERR_INPUT,
                             "%s: example %zu has %zu tokens, expected 1 to %u", what,
                             i + 1, n, config->positions);
        const int32_t label = examples->labels[i];
        const int no_label = unlabelled && label == PARE_NO_LABEL;
        if (!no_label && (label < 0 || (uint32_t)label >= config->labels))
            return pare_fail(err, PARE_ERR_INPUT,
                             "%s: example %zu has label %d, expected 0 to %d", what,
                             i + 1, label, (int)config->labels - 1);
        for (uint64_t t = examples->starts[i]; t < examples->starts[i + 1]; t++)
            if (examples->ids[t] < 0 || (uint32_t)examples->ids[t] >= config->vocab)
                return pare_fail(err, PARE_ERR_INPUT,
                                 "%s: example %zu has token id %d, the vocabulary %u",
                                 what, i + 1, examples->ids[t], config->vocab);
    }
    return PARE_OK;
}

/* Numbers are hashed as little-endian bytes, so the hash is that of the data. */
static void hash_u32(struct pare_sha256 *sha, uint32_t value)
{
    uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                        (uint8_t)(value >> 24)};
    pare_sha256_update(sha, bytes, sizeof bytes);
}

static void hash_examples(const struct pare_examples *examples, int labels, char out[65])
{
    struct pare_sha256 sha;
    pare_sha256_init(&sha);
    for (size_t i = 0; i < examples->count; i++) {
        if (labels)
            hash_u32(&sha, (uint32_t)examples->labels[i]);
        hash_u32(&sha, (uint32_t)length_of(examples, i));
        for (uint64_t t = examples->starts[i]; t < examples->starts[i + 1]; t++)
            hash_u32(&sha, (uint32_t)examples->ids[t]);
    }
    pare_sha256_hex(&sha, out);
}

void pare_examples_sha256(const struct pare_examples *examples, char out[65])
{
    hash_examples(examples, 1, out);
}

void pare_examples_texts_sha256(const struct pare_examples *examples, char out[65])
{
    hash_examples(examples, 0, out);
}

/* Stable sort of a pool by length, bottom-up merging between `items` and `work`. */
static void sort_by_length(const struct pare_examples *examples, uint32_t *items,
                           uint32_t *work, size_t n)
{
    for (size_t run = 1; run < n; run *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * run) {
            size_t middle = begin + run < n ? begin + run : n;
            size_t end = middle + run < n ? middle + run : n;
            size_t left = begin, right = middle;
            for (size_t k = begin; k < end; k++) {
                int take_left = left < middle &&
                                (right == end || length_of(examples, items[left]) <=
                                                     length_of(examples, items[right]));
                work[k] = items[take_left ? left++ : right++];
            }
        }
        memcpy(items, work, n * sizeof *items);
    }
}

/* Whole batches change places; a smaller last one stays last. */
static void shuffle_batches(struct pare_rng *rng, uint32_t *order, size_t count,
                            size_t batch, uint32_t *work)
{
    for (size_t i = count / batch; i > 1; i--) {
        size_t j = (size_t)pare_rng_below(rng, i);
        if (j == i - 1)
            continue;
        uint32_t *a = order + (i - 1) * batch, *b = order + j * batch;
        memcpy(work, a, batch * sizeof *work);
        memcpy(a, b, batch * sizeof *work);
        memcpy(b, work, batch * sizeof *work);
    }
}

void pare_examples_order(const struct pare_examples *examples, uint64_t seed,
                         uint64_t epoch, size_t batch, size_t bucket, uint32_t *order,
                         uint32_t *work)
{
    const size_t count = examples->count;
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    struct pare_rng rng = {.seed = seed, .stream = ORDER_STREAM + 2 * epoch};
    pare_rng_shuffle(&rng, order, count);
    if (bucket <= 1 || batch >= count)
        return;
    const size_t pool = bucket > count / batch ? count : bucket * batch;
    for (size_t begin = 0; begin < count; begin += pool)
        sort_by_length(examples, order + begin, work,
                       count - begin < pool ? count - begin : pool);
    rng = (struct pare_rng){.seed = seed, .stream = ORDER_STREAM + 2 * epoch + 1};
    shuffle_batches(&rng, order, count, batch, work);
}

/* --- Batches ---------------------------------------------------------------------- */

/* Tokens of the largest possible batch: those of the `batch` longest examples, by
 * counting examples of each length. */
static enum pare_status most_tokens(const struct pare_examples *examples, size_t batch,
                                    struct pare_arena *arena, size_t *tokens,
                                    struct pare_error *err)
{
    size_t longest = 0;
    for (size_t i = 0; i < examples->count; i++)
        longest = length_of(examples, i) > longest ? length_of(examples, i) : longest;
    struct pare_arena_mark mark = pare_arena_mark(arena);
    size_t *of_length;
    PARE_TRY(pare_arena_alloc(arena, &of_length, longest + 1, sizeof *of_length, err));
    memset(of_length, 0, (longest + 1) * sizeof *of_length);
    for (size_t i = 0; i < examples->count; i++)
        of_length[length_of(examples, i)]++;
    *tokens = 0;
    for (size_t n = longest; n > 0 && batch; n--) {
        size_t taken = of_length[n] < batch ? of_length[n] : batch;
        *tokens += taken * n;
        batch -= taken;
    }
    pare_arena_release(arena, mark);
    return PARE_OK;
}

enum pare_status pare_batcher_init(struct pare_batcher *batcher,
                                   const struct pare_examples *examples, size_t batch,
                                   struct pare_error *err)
{
    *batcher = (struct pare_batcher){.examples = examples};
    struct pare_arena *arena = &batcher->arena;
    size_t tokens;
    PARE_TRY(most_tokens(examples, batch, arena, &tokens, err));
    if (tokens > UINT32_MAX)
        return pare_fail(err, PARE_ERR_USAGE, "a batch of %zu examples is too large",
                         batch);
    PARE_TRY(pare_arena_alloc(arena, &batcher->ids, tokens, sizeof(int32_t), err));
    PARE_TRY(pare_arena_alloc(arena, &batcher->starts, batch + 1, sizeof(uint32_t), err));
    PARE_TRY(pare_arena_alloc(arena, &batcher->example, batch, sizeof(uint32_t), err));
    return pare_arena_alloc(arena, &batcher->labels, batch, sizeof(int32_t), err);
}

void pare_batcher_free(struct pare_batcher *batcher)
{
    pare_arena_free(&batcher->arena);
}

struct pare_batch pare_batcher_fill(struct pare_batcher *batcher, const uint32_t *order,
                                    size_t first, size_t n)
{
    const struct pare_examples *examples = batcher->examples;
    uint32_t tokens = 0;
    for (size_t s = 0; s < n; s++) {
        uint32_t i = order ? order[s] : (uint32_t)(first + s);
        uint32_t length = (uint32_t)length_of(examples, i);
        batcher->starts[s] = tokens;
        batcher->example[s] = i;
        batcher->labels[s] = examples->labels[i];
        memcpy(batcher->ids + tokens, examples->ids + examples->starts[i],
               length * sizeof(int32_t));
        tokens += length;
    }
    batcher->starts[n] = tokens;
    return (struct pare_batch){
        .n_seq = n, .n_tokens = tokens, .ids = batcher->ids, .starts = batcher->starts};
}
