/* The forms of a file of a given size: see quantize_budget.h. */
#include "tools/quantize_budget.h"
#include "runtime/model/walk.h"

#include <stdio.h>
#include <string.h>

#include "tools/sizes.h"

#define DEFAULT_CANDIDATES "int2,int3,int4,int5,int6,int8,f16"
/* Scales and zero points beside a tensor in the header, names of 72 and padding of 32. */
#define NAMES_BYTES 320
#define HISTORY_BYTES 4096 /* of this program */
#define ROWS 24            /* of the curve that are printed, about */

/* --- Candidates --------------------------------------------------------------------- */

static enum pare_status add_candidate(const struct quantize_work *w, const char *name,
                                      const struct pare_weight *now,
                                      struct pare_arena *arena,
                                      struct scheme_options_use *use,
                                      struct budget_candidates *c)
{
    enum pare_scheme scheme;
    PARE_TRY(pare_scheme_by_name(name, &scheme, w->err));
    if (c->count == BUDGET_CANDIDATES)
        return pare_fail(w->err, PARE_ERR_USAGE, "--candidates: %d at most",
                         BUDGET_CANDIDATES);
    PARE_TRY(scheme_options_items(&w->o->format, scheme, &w->stored.plan, now, arena,
                                  &c->items[c->count], use, w->err));
    c->count++;
    return PARE_OK;
}

static uint64_t bytes_of(const struct quantize_work *w,
                         const struct pare_scheme_item *items)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < w->stored.plan.count; i++)
        sum += items[i].bytes;
    return sum;
}

/* The coarse ones first. */
static void sort_candidates(const struct quantize_work *w, struct budget_candidates *c)
{
    for (size_t i = 1; i < c->count; i++)
        for (size_t j = i;
             j > 0 && bytes_of(w, c->items[j]) < bytes_of(w, c->items[j - 1]); j--) {
            struct pare_scheme_item *items = c->items[j];
            c->items[j] = c->items[j - 1];
            c->items[j - 1] = items;
        }
}

static enum pare_status list_candidates(struct quantize_work *w,
                                        const struct pare_weight *now,
                                        struct pare_arena *arena,
                                        struct budget_candidates *c)
{
    const char *list = w->o->candidates ? w->o->candidates : DEFAULT_CANDIDATES;
    struct scheme_options_use use = {0};
    c->count = 0;
    while (*list) {
        char name[32];
        const size_t n = strcspn(list, ",");
        snprintf(name, sizeof name, "%.*s", (int)(n < 31 ? n : 31), list);
        PARE_TRY(add_candidate(w, name, now, arena, &use, c));
        list += n + (list[n] == ',');
    }
    if (c->count < 2)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "--candidates: a choice needs two at least");
    sort_candidates(w, c);
    return scheme_options_check_use(&w->o->format, &use, w->err);
}

enum pare_status quantize_candidates(struct quantize_work *w,
                                     const struct pare_weight *now,
                                     struct budget_candidates *c)
{
    const size_t count = w->stored.plan.count;
    struct pare_target target;
    PARE_TRY(list_candidates(w, now, &w->stored.arena, c));
    PARE_TRY(
        pare_arena_alloc(&w->stored.arena, &w->items, count, sizeof *w->items, w->err));
    /* Until one is chosen, one that inputs have to be seen for, if there is any. */
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        for (; k < c->count; k++) {
            w->items[i] = c->items[k][i];
            if (quantize_target(w, i, &target))
                break;
        }
        if (k == c->count)
            w->items[i] = c->items[0][i];
    }
    return PARE_OK;
}

/* --- Bytes -------------------------------------------------------------------------- */

/* What may be stored of inputs: factors and a range for each site. */
static uint64_t inputs_bytes(const struct quantize_work *w)
{
    const struct pare_config *config = &w->stored.config;
    uint64_t bytes = 0;
    if (!input_options_any(&w->o->inputs))
        return 0;
    for (int part = 0; part <= (int)config->layers; part++) {
        struct pare_walk_site sites[PARE_WALK_SITES];
        const int n = pare_walk_sites(config, &w->stored.plan, part, sites);
        for (int i = 0; i < n; i++)
            bytes += sites[i].K * sizeof(float) + 2 * sizeof(float) + 2 * NAMES_BYTES;
    }
    return bytes;
}

/* What the file has besides the data of its tensors, at most. */
static uint64_t overhead(const struct quantize_work *w)
{
    const struct pare_ckpt *ckpt = w->stored.ckpt;
    uint64_t data = 0;
    for (size_t i = 0; i < ckpt->n_tensors; i++)
        data += ckpt->tensors[i].bytes;
    return ckpt->bytes - data + HISTORY_BYTES + inputs_bytes(w);
}

static enum pare_status target_bytes(const struct quantize_work *w, uint64_t *target)
{
    if (w->o->target_size)
        return parse_size("target-size", w->o->target_size, target, w->err);
    *target = (uint64_t)(w->o->target_ratio * (double)w->stored.ckpt->bytes);
    return PARE_OK;
}

/* The knapsack: open slots are its items. */
struct knapsack {
    struct pare_choices *items;
    size_t *slots, n;
    uint64_t fixed; /* bytes of all else */
};

static enum pare_status make_knapsack(const struct quantize_work *w,
                                      const struct budget_candidates *c,
                                      const double *loss, struct knapsack *k,
                                      struct pare_arena *arena)
{
    const size_t count = w->stored.plan.count;
    struct pare_choice *choices;
    PARE_TRY(pare_arena_alloc(arena, &k->items, count, sizeof *k->items, w->err));
    PARE_TRY(pare_arena_alloc(arena, &k->slots, count, sizeof *k->slots, w->err));
    PARE_TRY(
        pare_arena_alloc(arena, &choices, count * c->count, sizeof *choices, w->err));
    *k = (struct knapsack){k->items, k->slots, 0, overhead(w)};
    for (size_t i = 0; i < count; i++) {
        k->fixed += pare_slot_is_matrix(&w->stored.plan.slots[i]) ? NAMES_BYTES : 0;
        if (!budget_is_open(w, c, i)) {
            k->fixed += c->items[0][i].bytes;
            continue;
        }
        struct pare_choice *own = choices + k->n * c->count;
        for (size_t j = 0; j < c->count; j++)
            own[j] = (struct pare_choice){c->items[j][i].bytes, loss[i * c->count + j]};
        k->items[k->n] = (struct pare_choices){own, c->count};
        k->slots[k->n++] = i;
    }
    return PARE_OK;
}

/* Whether the smallest file is small enough, before anything is measured. */
static enum pare_status check_target(const struct quantize_work *w,
                                     const struct knapsack *k)
{
    uint64_t target, least = k->fixed;
    char text[2][24];
    if (quantize_has_search(w->o))
        return PARE_OK;
    PARE_TRY(target_bytes(w, &target));
    for (size_t i = 0; i < k->n; i++) {
        uint64_t bytes = k->items[i].of[0].bytes;
        for (size_t j = 1; j < k->items[i].count; j++)
            if (k->items[i].of[j].bytes < bytes)
                bytes = k->items[i].of[j].bytes;
        least += bytes;
    }
    if (target >= least)
        return PARE_OK;
    return pare_fail(w->err, PARE_ERR_USAGE,
                     "a file of %s is too small: with the smallest candidates it has "
                     "%s at most",
                     pare_cli_bytes(target, text[0]), pare_cli_bytes(least, text[1]));
}

/* --- The choice --------------------------------------------------------------------- */

static void print_curve(const struct pare_curve *curve, const struct knapsack *k,
                        uint64_t chosen)
{
    char text[24];
    const size_t step = curve->count / ROWS + 1;
    printf("%14s  %s\n", "file, at most", "predicted loss");
    for (size_t i = 0; i < curve->count; i++) {
        const uint64_t bytes = curve->points[i].bytes;
        const int here = bytes <= chosen &&
                         (i + 1 == curve->count || curve->points[i + 1].bytes > chosen);
        if (here || i % step == 0 || i + 1 == curve->count)
            printf("%14s  %.3g%s\n", pare_cli_bytes(bytes + k->fixed, text),
                   curve->points[i].loss, here ? "  <- the target" : "");
    }
}

static void print_choice(const struct quantize_work *w, const struct knapsack *k,
                         const struct pare_allocation *a)
{
    char text[24];
    printf("%-32s %-9s %12s\n", "tensor", "to", "bytes");
    for (size_t i = 0; i < k->n; i++)
        printf("%-32s %-9s %12llu\n", w->stored.plan.slots[k->slots[i]].name,
               w->items[k->slots[i]].form,
               (unsigned long long)w->items[k->slots[i]].bytes);
    printf("the file has %s at most, predicted loss %.3g%s\n",
           pare_cli_bytes(a->bytes + k->fixed, text), a->loss,
           a->exact ? "" : " (perhaps not the least)");
}

/* A choice for a number of bytes. */
struct choosing {
    struct quantize_work *w;
    const struct budget_candidates *c;
    const struct knapsack *k;
    struct pare_arena *arena;
    struct pare_allocation now;
};

static enum pare_status take(void *context, uint64_t bytes)
{
    struct choosing *choosing = context;
    struct quantize_work *w = choosing->w;
    const struct knapsack *k = choosing->k;
    PARE_TRY(
        pare_allocate(k->items, k->n, bytes, &choosing->now, choosing->arena, w->err));
    for (size_t i = 0; i < k->n; i++)
        w->items[k->slots[i]] = choosing->c->items[choosing->now.chosen[i]][k->slots[i]];
    return PARE_OK;
}

static enum pare_status hit_target(struct choosing *choosing)
{
    uint64_t target;
    PARE_TRY(target_bytes(choosing->w, &target));
    return take(choosing, target - choosing->k->fixed);
}

static enum pare_status choose(struct choosing *choosing, budget_make_fn *make)
{
    struct quantize_work *w = choosing->w;
    const struct knapsack *k = choosing->k;
    struct pare_curve curve;
    const struct budget_search search = {&curve, take, choosing, make};
    PARE_TRY(pare_arena_alloc(choosing->arena, &choosing->now.chosen, k->n,
                              sizeof *choosing->now.chosen, w->err));
    PARE_TRY(pare_allocate_curve(k->items, k->n, &curve, choosing->arena, w->err));
    PARE_TRY(quantize_has_search(w->o) ? budget_search(w, &search)
                                       : hit_target(choosing));
    if (!w->cli->quiet) {
        print_curve(&curve, k, choosing->now.bytes);
        print_choice(w, k, &choosing->now);
    }
    return PARE_OK;
}

enum pare_status quantize_budget(struct quantize_work *w,
                                 const struct budget_candidates *c, budget_make_fn *make)
{
    const size_t losses = w->stored.plan.count * c->count;
    struct knapsack k = {0};
    struct pare_arena arena = {0};
    double *loss;
    enum pare_status status;
    if (!quantize_has_budget(w->o))
        return PARE_OK;
    for (size_t i = 0; i < w->stored.plan.count; i++)
        w->items[i] = c->items[0][i]; /* what is the same in all candidates stays so */
    PARE_TRY_OUT(pare_arena_alloc(&arena, &loss, losses, sizeof *loss, w->err));
    memset(loss, 0, losses * sizeof *loss);
    PARE_TRY_OUT(make_knapsack(w, c, loss, &k, &arena));
    PARE_TRY_OUT(check_target(w, &k));
    PARE_TRY_OUT(budget_measure(w, c, loss));
    PARE_TRY_OUT(make_knapsack(w, c, loss, &k, &arena));
    struct choosing choosing = {.w = w, .c = c, .k = &k, .arena = &arena};
    status = choose(&choosing, make);
out:
    pare_arena_free(&arena);
    return status;
}
