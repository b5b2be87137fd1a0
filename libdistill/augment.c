/* Augmentation: see augment.h.
 *
 * The range that an n-gram keeps is drawn first and the words outside of it are passed
 * over: the same distribution as cutting the finished variant.
 */
#include "libdistill/augment.h"

#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/base/rng.h"

/* Streams of the seed: see params.c. One a variant, room for PARE_MAX_VARIANTS each. */
#define AUGMENT_STREAM ((uint64_t)4 << 60)
#define NGRAM_WORDS 5
#define EXAMPLES_OF_A_TILE 256

struct maker {
    const struct pare_examples *from;
    const struct pare_pieces *pieces;
    const struct pare_neighbours *neighbours;
    const struct pare_augment_options *options;
    int32_t *ids;     /* room for all variants, each as long as its example */
    uint32_t *length; /* [count, K], 0 for a variant that is nothing new */
};

struct pare_augment_options pare_augment_options_default(void)
{
    return (struct pare_augment_options){.mask = 0.1, .replace = 0.2, .ngram = 0.25};
}

/* --- One variant ------------------------------------------------------------------ */

static int happens(struct pare_rng *rng, double probability)
{
    return (double)pare_rng_uniform(rng) < probability;
}

/* The end of the word that begins at t; a special token ends behind itself. */
static size_t word_end(const struct maker *m, const int32_t *x, size_t n, size_t t)
{
    const uint8_t *kind = m->pieces->kind;
    size_t end = t + 1;
    if (kind[x[t]] != PARE_PIECE_SPECIAL)
        while (end < n && kind[x[end]] == PARE_PIECE_CONTINUES)
            end++;
    return end;
}

static size_t count_words(const struct maker *m, const int32_t *x, size_t n)
{
    size_t words = 0;
    for (size_t t = 0; t < n; t = word_end(m, x, n, t))
        words += m->pieces->kind[x[t]] != PARE_PIECE_SPECIAL;
    return words;
}

/* Words first .. end - 1 are kept. */
struct range {
    size_t first, end;
};

static struct range draw_range(const struct maker *m, struct pare_rng *rng, size_t words)
{
    if (!happens(rng, m->options->ngram))
        return (struct range){0, words};
    const size_t n = 1 + (size_t)pare_rng_below(rng, NGRAM_WORDS);
    if (n >= words)
        return (struct range){0, words};
    const size_t first = (size_t)pare_rng_below(rng, words - n + 1);
    return (struct range){first, first + n};
}

/* Writes what becomes of the word of n pieces at x, and returns how many pieces it is. */
static size_t make_word(const struct maker *m, struct pare_rng *rng, const int32_t *x,
                        size_t n, int32_t *out)
{
    const struct pare_neighbours *near = m->neighbours;
    const double drawn = (double)pare_rng_uniform(rng);
    if (drawn < m->options->mask) {
        out[0] = m->pieces->mask;
        return 1;
    }
    const int replace = drawn < m->options->mask + m->options->replace;
    if (replace && n == 1 && near->row && near->row[x[0]] >= 0) {
        const int32_t *ids = near->id + (size_t)near->row[x[0]] * near->k;
        out[0] = ids[pare_rng_below(rng, near->k)];
        return 1;
    }
    memcpy(out, x, n * sizeof *x);
    return n;
}

/* A variant of the n pieces at x, which have so many words; returns its length. */
static size_t make_variant(const struct maker *m, struct pare_rng *rng, const int32_t *x,
                           size_t n, size_t words, int32_t *out)
{
    const struct range kept = draw_range(m, rng, words);
    size_t length = 0, word = 0, end;
    for (size_t t = 0; t < n; t = end) {
        end = word_end(m, x, n, t);
        if (m->pieces->kind[x[t]] == PARE_PIECE_SPECIAL) {
            out[length++] = x[t];
            continue;
        }
        if (word >= kept.first && word < kept.end)
            length += make_word(m, rng, x + t, end - t, out + length);
        word++;
    }
    return length;
}

/* --- All of them ------------------------------------------------------------------ */

static int same(const int32_t *a, size_t a_length, const int32_t *b, size_t b_length)
{
    return a_length == b_length && !memcmp(a, b, a_length * sizeof *a);
}

static void make_variants(const struct maker *m, size_t i)
{
    const struct pare_examples *from = m->from;
    const size_t K = m->options->variants;
    const size_t n = (size_t)(from->starts[i + 1] - from->starts[i]);
    const int32_t *x = from->ids + from->starts[i];
    int32_t *room = m->ids + (from->starts[i] - from->starts[0]) * K;
    uint32_t *length = m->length + i * K;
    const size_t words = count_words(m, x, n);
    for (size_t v = 0; v < K; v++) {
        struct pare_rng rng = {.seed = m->options->seed,
                               .stream =
                                   AUGMENT_STREAM + (uint64_t)i * PARE_MAX_VARIANTS + v};
        int32_t *out = room + v * n;
        const size_t made = make_variant(m, &rng, x, n, words, out);
        int is_new = !same(out, made, x, n);
        for (size_t u = 0; u < v && is_new; u++)
            is_new = !same(out, made, room + u * n, length[u]);
        length[v] = is_new ? (uint32_t)made : 0;
    }
}

static void make_tile(void *context, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        make_variants(context, i);
}

static enum pare_status check_options(const struct maker *m, struct pare_error *err)
{
    const struct pare_augment_options *o = m->options;
    if (!(o->mask >= 0 && o->replace >= 0 && o->mask + o->replace <= 1 + 1e-9) ||
        !(o->ngram >= 0 && o->ngram <= 1))
        return pare_fail(err, PARE_ERR_USAGE,
                         "augmentation: mask %g, replace %g, n-gram %g: expected "
                         "probabilities, of which the first two add up to at most 1",
                         o->mask, o->replace, o->ngram);
    if (o->variants > PARE_MAX_VARIANTS)
        return pare_fail(err, PARE_ERR_USAGE, "augmentation: at most %zu variants",
                         PARE_MAX_VARIANTS);
    if (o->variants && o->mask > 0 && m->pieces->mask < 0)
        return pare_fail(err, PARE_ERR_USAGE,
                         "augmentation: the vocabulary has no [MASK]; mask with "
                         "probability 0");
    if (m->from->count > UINT32_MAX)
        return pare_fail(err, PARE_ERR_INPUT, "augmentation: more than 2^32 examples");
    return pare_pieces_check(m->pieces, m->from, err);
}

/* Appends an example of n ids, which may lie in out->ids behind all that is in use. */
static void append(struct pare_augmented *out, const int32_t *ids, size_t n,
                   int32_t label)
{
    const size_t i = out->examples.count++;
    memmove(out->ids + out->starts[i], ids, n * sizeof *ids);
    out->starts[i + 1] = out->starts[i] + n;
    out->labels[i] = label;
}

/* Closes the gaps between the variants. */
static void gather(const struct maker *m, struct pare_augmented *out)
{
    const struct pare_examples *from = m->from;
    const size_t K = m->options->variants;
    const int32_t *room = m->ids;
    for (size_t i = 0; i < from->count; i++) {
        const size_t n = (size_t)(from->starts[i + 1] - from->starts[i]);
        for (size_t v = 0; v < K; v++, room += n) {
            const size_t length = m->length[i * K + v];
            if (length)
                append(out, room, length, PARE_NO_LABEL);
            else
                out->dropped++;
        }
    }
}

static enum pare_status run(struct maker *m, struct pare_augmented *out,
                            struct pare_error *err)
{
    const struct pare_examples *from = m->from;
    const size_t K = m->options->variants, count = from->count;
    const int originals = !m->options->leave_out_originals;
    const size_t each = K + (size_t)originals;
    const size_t tokens = count ? (size_t)(from->starts[count] - from->starts[0]) : 0;
    PARE_TRY(check_options(m, err));
    PARE_TRY(pare_alloc_raw(&m->length, count, K * sizeof *m->length, err));
    PARE_TRY(pare_alloc_raw(&out->ids, tokens, each * sizeof *out->ids, err));
    PARE_TRY(pare_alloc_raw(&out->labels, count, each * sizeof *out->labels, err));
    PARE_TRY(pare_alloc_raw(&out->starts, count + 1, (each + 1) * sizeof(uint64_t), err));
    out->starts[0] = 0;
    m->ids = out->ids + (originals ? tokens : 0);
    for (size_t i = 0; originals && i < count; i++)
        append(out, from->ids + from->starts[i],
               (size_t)(from->starts[i + 1] - from->starts[i]), from->labels[i]);
    out->originals = out->examples.count;
    if (K)
        pare_parallel_for(count, EXAMPLES_OF_A_TILE, make_tile, m);
    gather(m, out);
    out->examples.starts = out->starts;
    out->examples.ids = out->ids;
    out->examples.labels = out->labels;
    return PARE_OK;
}

enum pare_status pare_augment(const struct pare_examples *from,
                              const struct pare_pieces *pieces,
                              const struct pare_neighbours *neighbours,
                              const struct pare_augment_options *options,
                              struct pare_augmented *out, struct pare_error *err)
{
    static const struct pare_neighbours none = {0};
    struct maker maker = {.from = from,
                          .pieces = pieces,
                          .neighbours = neighbours ? neighbours : &none,
                          .options = options};
    *out = (struct pare_augmented){0};
    enum pare_status status = run(&maker, out, err);
    pare_free(maker.length);
    if (status != PARE_OK)
        pare_augmented_free(out);
    return status;
}

void pare_augmented_free(struct pare_augmented *augmented)
{
    pare_free(augmented->starts);
    pare_free(augmented->ids);
    pare_free(augmented->labels);
    *augmented = (struct pare_augmented){0};
}
