/* Nearest words: see neighbours.h.
 *
 * With rows of length 1 the cosines of a block of words with all words are one matrix
 * product, of which each row then gives up its k greatest.
 */
#include "libdistill/neighbours.h"

#include <math.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/interrupt.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/gemm.h"

#define BLOCK_WORDS 256                /* whose cosines are computed together ... */
#define BLOCK_FLOATS ((size_t)8 << 20) /* ... or fewer, in so much memory */
#define ROWS_OF_A_TILE 64              /* to decode */

struct search {
    const struct pare_weight *embeddings;
    size_t C, n;     /* width; number of words */
    int32_t *word;   /* [n] ascending */
    float *unit;     /* [n, C] their rows, divided by their lengths */
    uint8_t *usable; /* [n] the row has a length */
    size_t asked;    /* words to find neighbours of: */
    uint32_t *of;    /* [asked] by number, ascending */

    size_t k;
    float *x;      /* [block, C] rows of a block's words */
    float *cosine; /* [block, n] */
    float *best;   /* [block, k] */
    int32_t *id;   /* [block, k] */
    size_t first;  /* the block's first of `of` */
    struct pare_arena arena;
};

enum pare_status pare_pieces_check(const struct pare_pieces *pieces,
                                   const struct pare_examples *examples,
                                   struct pare_error *err)
{
    for (size_t i = 0; i < examples->count; i++)
        for (uint64_t t = examples->starts[i]; t < examples->starts[i + 1]; t++)
            if (examples->ids[t] < 0 || (size_t)examples->ids[t] >= pieces->V)
                return pare_fail(err, PARE_ERR_INPUT,
                                 "example %zu has token id %d, the tokenizer %zu pieces",
                                 i + 1, examples->ids[t], pieces->V);
    return PARE_OK;
}

/* --- Words and their rows --------------------------------------------------------- */

static void make_unit_rows(void *context, size_t begin, size_t end)
{
    const struct search *s = context;
    const struct pare_kernels *kernels = pare_kernels();
    for (size_t i = begin; i < end; i++) {
        float *row = s->unit + i * s->C;
        pare_weight_row(s->embeddings, (size_t)s->word[i], row);
        const double length = sqrt(kernels->sum_squares(row, s->C));
        s->usable[i] = length > 0 && isfinite(length);
        for (size_t c = 0; s->usable[i] && c < s->C; c++)
            row[c] = (float)((double)row[c] / length);
    }
}

/* Forgets the words whose rows have no length. */
static void keep_usable(struct search *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!s->usable[i])
            continue;
        s->word[kept] = s->word[i];
        if (kept != i)
            memcpy(s->unit + kept * s->C, s->unit + i * s->C, s->C * sizeof(float));
        kept++;
    }
    s->n = kept;
}

static enum pare_status find_words(struct search *s, const struct pare_pieces *pieces,
                                   struct pare_error *err)
{
    struct pare_arena *arena = &s->arena;
    PARE_TRY(pare_arena_alloc(arena, &s->word, pieces->V, sizeof *s->word, err));
    for (size_t v = 0; v < pieces->V; v++)
        if (pieces->kind[v] == PARE_PIECE_LETTERS)
            s->word[s->n++] = (int32_t)v;
    PARE_TRY(pare_arena_alloc(arena, &s->usable, s->n, 1, err));
    PARE_TRY(pare_arena_alloc(arena, &s->unit, s->n, s->C * sizeof(float), err));
    pare_parallel_for(s->n, ROWS_OF_A_TILE, make_unit_rows, s);
    keep_usable(s);
    return PARE_OK;
}

/* Gives every usable word that the examples have a row in out->row, by ascending id. */
static enum pare_status find_asked(struct search *s, const struct pare_pieces *pieces,
                                   const struct pare_examples *examples,
                                   struct pare_neighbours *out, struct pare_error *err)
{
    uint8_t *seen;
    PARE_TRY(pare_arena_alloc(&s->arena, &seen, pieces->V, 1, err));
    PARE_TRY(pare_arena_alloc(&s->arena, &s->of, s->n, sizeof *s->of, err));
    memset(seen, 0, pieces->V);
    for (size_t i = 0; i < examples->count; i++) {
        const int32_t *ids = examples->ids + examples->starts[i];
        const size_t n = (size_t)(examples->starts[i + 1] - examples->starts[i]);
        for (size_t t = 0; t < n; t++)
            if (pare_is_whole_word(pieces, ids, n, t))
                seen[ids[t]] = 1;
    }
    for (size_t i = 0; i < s->n && s->k; i++)
        if (seen[s->word[i]]) {
            out->row[s->word[i]] = (int32_t)s->asked;
            s->of[s->asked++] = (uint32_t)i;
        }
    return PARE_OK;
}

/* --- Neighbours ------------------------------------------------------------------- */

/* The k greatest of a row, by insertion into a short sorted list: words come by ascending
 * id, so among equals the earlier stays in front. */
static void pick_row(const struct search *s, size_t row)
{
    const float *cosine = s->cosine + row * s->n;
    float *best = s->best + row * s->k;
    int32_t *id = s->id + row * s->k;
    const size_t own = s->of[s->first + row];
    size_t filled = 0;
    for (size_t i = 0; i < s->n; i++) {
        if ((filled == s->k && !(cosine[i] > best[s->k - 1])) || i == own)
            continue;
        size_t at = filled < s->k ? filled++ : s->k - 1;
        for (; at > 0 && cosine[i] > best[at - 1]; at--) {
            best[at] = best[at - 1];
            id[at] = id[at - 1];
        }
        best[at] = cosine[i];
        id[at] = s->word[i];
    }
}

static void pick_rows(void *context, size_t begin, size_t end)
{
    for (size_t row = begin; row < end; row++)
        pick_row(context, row);
}

static enum pare_status run_blocks(struct search *s, struct pare_neighbours *out,
                                   const struct pare_progress *progress,
                                   struct pare_error *err)
{
    struct pare_arena *arena = &s->arena;
    size_t block = BLOCK_FLOATS / s->n;
    block = block > BLOCK_WORDS ? BLOCK_WORDS : block < 1 ? 1 : block;
    PARE_TRY(pare_arena_alloc(arena, &s->x, block, s->C * sizeof(float), err));
    PARE_TRY(pare_arena_alloc(arena, &s->cosine, block, s->n * sizeof(float), err));
    PARE_TRY(pare_arena_alloc(arena, &s->best, block, s->k * sizeof(float), err));
    for (; s->first < s->asked; s->first += block) {
        const size_t m = s->asked - s->first < block ? s->asked - s->first : block;
        PARE_TRY(pare_check_interrupted(err));
        pare_progress_report(progress, "neighbours", s->first, s->asked, NULL);
        for (size_t row = 0; row < m; row++)
            memcpy(s->x + row * s->C, s->unit + s->of[s->first + row] * s->C,
                   s->C * sizeof(float));
        PARE_TRY(pare_gemm(m, s->n, s->C, pare_rows(s->x, s->C),
                           pare_transposed(s->unit, s->C), s->cosine, s->n, 0, arena,
                           err));
        s->id = out->id + s->first * s->k;
        pare_parallel_for(m, 1, pick_rows, s);
    }
    pare_progress_report(progress, "neighbours", s->asked, s->asked, NULL);
    return PARE_OK;
}

static enum pare_status find(struct search *s, const struct pare_pieces *pieces,
                             const struct pare_examples *examples, size_t k,
                             const struct pare_progress *progress,
                             struct pare_neighbours *out, struct pare_error *err)
{
    if (s->embeddings->N < pieces->V)
        return pare_fail(err, PARE_ERR_INPUT,
                         "the tokenizer has %zu pieces, the model's embedding %zu rows",
                         pieces->V, s->embeddings->N);
    PARE_TRY(pare_pieces_check(pieces, examples, err));
    PARE_TRY(find_words(s, pieces, err));
    PARE_TRY(pare_alloc_raw(&out->row, pieces->V, sizeof *out->row, err));
    memset(out->row, 0xFF, pieces->V * sizeof *out->row);
    out->V = pieces->V;
    s->k = s->n > k ? k : s->n ? s->n - 1 : 0;
    PARE_TRY(find_asked(s, pieces, examples, out, err));
    out->words = s->asked;
    out->k = s->k;
    PARE_TRY(pare_alloc_raw(&out->id, s->asked, s->k * sizeof *out->id, err));
    return s->asked ? run_blocks(s, out, progress, err) : PARE_OK;
}

enum pare_status pare_neighbours_find(const struct pare_weight *embeddings,
                                      const struct pare_pieces *pieces,
                                      const struct pare_examples *examples, size_t k,
                                      const struct pare_progress *progress,
                                      struct pare_neighbours *out, struct pare_error *err)
{
    struct search search = {.embeddings = embeddings, .C = embeddings->K};
    *out = (struct pare_neighbours){0};
    enum pare_status status = find(&search, pieces, examples, k, progress, out, err);
    pare_arena_free(&search.arena);
    if (status != PARE_OK)
        pare_neighbours_free(out);
    return status;
}

void pare_neighbours_free(struct pare_neighbours *neighbours)
{
    pare_free(neighbours->row);
    pare_free(neighbours->id);
    *neighbours = (struct pare_neighbours){0};
}
