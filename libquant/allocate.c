/* Bytes for matrices: see allocate.h. */
#include "libquant/allocate.h"

#include <stdlib.h>
#include <string.h>

#define MOST_NODES 200000 /* of the search, before it is ended */

/* The choices of an item that are worth their bytes: bytes up, losses down. */
struct frontier {
    struct pare_choice *of;
    uint32_t *number; /* in the caller's list */
    size_t count;
};

struct step { /* along the hull of an item */
    uint32_t item;
    uint32_t from, to; /* in its frontier */
    uint64_t bytes;    /* more, */
    double loss;       /* less */
};

struct search {
    size_t n;
    struct frontier *items;
    struct step *steps; /* the best first */
    size_t n_steps;
    uint32_t *at, *best; /* [n] in the frontiers */
    double best_loss;
    uint64_t best_bytes, nodes;
};

/* --- Frontiers and steps ---------------------------------------------------------- */

struct sorted {
    struct pare_choice choice;
    uint32_t number;
};

static int compare_choices(const void *a, const void *b)
{
    const struct sorted *x = a, *y = b;
    if (x->choice.bytes != y->choice.bytes)
        return x->choice.bytes < y->choice.bytes ? -1 : 1;
    if (x->choice.loss < y->choice.loss || x->choice.loss > y->choice.loss)
        return x->choice.loss < y->choice.loss ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static enum pare_status make_frontier(const struct pare_choices *choices,
                                      struct frontier *out, struct pare_arena *arena,
                                      struct pare_error *err)
{
    struct sorted *all;
    const size_t n = choices->count;
    PARE_TRY(pare_arena_alloc(arena, &all, n, sizeof *all, err));
    PARE_TRY(pare_arena_alloc(arena, &out->of, n, sizeof *out->of, err));
    PARE_TRY(pare_arena_alloc(arena, &out->number, n, sizeof *out->number, err));
    for (size_t i = 0; i < n; i++)
        all[i] = (struct sorted){choices->of[i], (uint32_t)i};
    qsort(all, n, sizeof *all, compare_choices);
    out->count = 0;
    for (size_t i = 0; i < n; i++) {
        if (out->count && all[i].choice.loss >= out->of[out->count - 1].loss)
            continue;
        out->of[out->count] = all[i].choice;
        out->number[out->count++] = all[i].number;
    }
    return PARE_OK;
}

static double slope(const struct step *step)
{
    return step->loss / (double)step->bytes;
}

static struct step step_of(const struct frontier *f, size_t item, size_t from, size_t to)
{
    return (struct step){(uint32_t)item, (uint32_t)from, (uint32_t)to,
                         f->of[to].bytes - f->of[from].bytes,
                         f->of[from].loss - f->of[to].loss};
}

/* The hull of an item: from each of its points to the one that saves most for a byte. */
static size_t add_steps(const struct frontier *f, size_t item, struct step *steps)
{
    size_t n = 0;
    for (size_t from = 0; from + 1 < f->count;) {
        struct step best = step_of(f, item, from, from + 1);
        for (size_t to = from + 2; to < f->count; to++) {
            const struct step other = step_of(f, item, from, to);
            if (slope(&other) >= slope(&best))
                best = other;
        }
        steps[n++] = best;
        from = best.to;
    }
    return n;
}

static int compare_steps(const void *a, const void *b)
{
    const struct step *x = a, *y = b;
    const double sx = slope(x), sy = slope(y);
    if (sx < sy || sx > sy)
        return sx > sy ? -1 : 1;
    if (x->item != y->item)
        return x->item < y->item ? -1 : 1;
    return x->from < y->from ? -1 : x->from > y->from;
}

static enum pare_status prepare(const struct pare_choices *items, size_t n,
                                struct search *s, struct pare_arena *arena,
                                struct pare_error *err)
{
    size_t most = 0;
    *s = (struct search){.n = n};
    PARE_TRY(pare_arena_alloc(arena, &s->items, n, sizeof *s->items, err));
    PARE_TRY(pare_arena_alloc(arena, &s->at, n, sizeof *s->at, err));
    PARE_TRY(pare_arena_alloc(arena, &s->best, n, sizeof *s->best, err));
    memset(s->best, 0, n * sizeof *s->best);
    for (size_t i = 0; i < n; i++) {
        PARE_TRY(make_frontier(&items[i], &s->items[i], arena, err));
        most += s->items[i].count;
    }
    PARE_TRY(pare_arena_alloc(arena, &s->steps, most, sizeof *s->steps, err));
    for (size_t i = 0; i < n; i++)
        s->n_steps += add_steps(&s->items[i], i, s->steps + s->n_steps);
    qsort(s->steps, s->n_steps, sizeof *s->steps, compare_steps);
    return PARE_OK;
}

static struct pare_choice smallest(const struct search *s)
{
    struct pare_choice sum = {0};
    for (size_t i = 0; i < s->n; i++) {
        sum.bytes += s->items[i].of[0].bytes;
        sum.loss += s->items[i].of[0].loss;
    }
    return sum;
}

/* Losses in the order of the items: the same sum however it was arrived at. */
static struct pare_choice sum_of(const struct search *s, const uint32_t *at)
{
    struct pare_choice sum = {0};
    for (size_t i = 0; i < s->n; i++) {
        sum.bytes += s->items[i].of[at[i]].bytes;
        sum.loss += s->items[i].of[at[i]].loss;
    }
    return sum;
}

/* --- The search ------------------------------------------------------------------- */

static void take_if_better(struct search *s, const uint32_t *at)
{
    const struct pare_choice sum = sum_of(s, at);
    if (sum.loss > s->best_loss ||
        (!(sum.loss < s->best_loss) && sum.bytes >= s->best_bytes))
        return;
    s->best_loss = sum.loss;
    s->best_bytes = sum.bytes;
    memcpy(s->best, at, s->n * sizeof *at);
}

/* All steps that fit, the best first; one that does not is left out, and with it the
 * later ones of its item. */
static void take_steps(struct search *s, uint64_t budget)
{
    uint64_t left = budget - smallest(s).bytes;
    memset(s->at, 0, s->n * sizeof *s->at);
    for (size_t k = 0; k < s->n_steps; k++) {
        const struct step *step = &s->steps[k];
        if (s->at[step->item] != step->from || step->bytes > left)
            continue;
        s->at[step->item] = step->to;
        left -= step->bytes;
    }
    take_if_better(s, s->at);
}

/* No choice of the items first .. n - 1 with `left` bytes more than their smallest loses
 * less than `loss` (of the smallest) - this: steps, the last one in part. */
static double most_saved(const struct search *s, size_t first, uint64_t left)
{
    double saved = 0;
    for (size_t k = 0; k < s->n_steps; k++) {
        const struct step *step = &s->steps[k];
        if (step->item < first)
            continue;
        if (step->bytes > left)
            return saved + slope(step) * (double)left;
        saved += step->loss;
        left -= step->bytes;
    }
    return saved;
}

/* Items before `item` are decided; `left` is what may be spent above the smallest
 * choices, `loss` that of the decided ones and the smallest of the others. */
static void descend(struct search *s, size_t item, uint64_t left, double loss)
{
    if (item == s->n) {
        take_if_better(s, s->at);
        return;
    }
    if (s->nodes++ > MOST_NODES)
        return;
    const struct frontier *f = &s->items[item];
    for (size_t c = f->count; c-- > 0;) {
        const uint64_t more = f->of[c].bytes - f->of[0].bytes;
        const double then = loss - (f->of[0].loss - f->of[c].loss);
        if (more > left)
            continue;
        /* A little more than the bound, for the sums that are made in another order. */
        if (then - most_saved(s, item + 1, left - more) > s->best_loss * (1 + 1e-12))
            continue;
        s->at[item] = (uint32_t)c;
        descend(s, item + 1, left - more, then);
    }
}

enum pare_status pare_allocate(const struct pare_choices *items, size_t n,
                               uint64_t budget, struct pare_allocation *out,
                               struct pare_arena *scratch, struct pare_error *err)
{
    struct pare_arena_mark mark = pare_arena_mark(scratch);
    struct search s;
    enum pare_status status;
    PARE_TRY_OUT(prepare(items, n, &s, scratch, err));
    const struct pare_choice least = smallest(&s);
    if (least.bytes > budget)
        PARE_TRY_OUT(pare_fail(
            err, PARE_ERR_USAGE, "the smallest forms take %llu bytes, more than %llu",
            (unsigned long long)least.bytes, (unsigned long long)budget));
    s.best_loss = 1e308;
    take_steps(&s, budget);
    descend(&s, 0, budget - least.bytes, least.loss);
    out->bytes = s.best_bytes;
    out->loss = s.best_loss;
    out->exact = s.nodes <= MOST_NODES;
    for (size_t i = 0; i < n; i++)
        out->chosen[i] = s.items[i].number[s.best[i]];
out:
    pare_arena_release(scratch, mark);
    return status;
}

enum pare_status pare_allocate_curve(const struct pare_choices *items, size_t n,
                                     struct pare_curve *out, struct pare_arena *arena,
                                     struct pare_error *err)
{
    struct search s;
    PARE_TRY(prepare(items, n, &s, arena, err));
    PARE_TRY(
        pare_arena_alloc(arena, &out->points, s.n_steps + 1, sizeof *out->points, err));
    memset(s.at, 0, n * sizeof *s.at);
    out->points[0] = sum_of(&s, s.at);
    out->count = 1;
    for (size_t k = 0; k < s.n_steps; k++) {
        s.at[s.steps[k].item] = s.steps[k].to;
        out->points[out->count++] = sum_of(&s, s.at);
    }
    return PARE_OK;
}
