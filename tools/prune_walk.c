/* All matrices one after the other; with a calibration text, block by block, each for
 * what the pruned ones before it compute. */
#include "runtime/base/alloc.h"
#include "runtime/model/walk.h"
#include "tools/prune.h"
#include "tools/quantize_inputs.h"
#include "tools/quantize_moments.h"

struct solving {
    struct prune_work *w;
    struct pare_weight_source stored;
    unsigned char *ready; /* [plan.count]: the form is what the walk is to find */
    struct quantize_moments moments[PARE_SITES];
    struct pare_arena scratch;
};

static enum pare_status find(void *context, const struct pare_slot *slot,
                             struct pare_weight *weight, struct pare_error *err)
{
    struct solving *s = context;
    const size_t i = (size_t)(slot - s->w->base.stored.plan.slots);
    if (!s->ready[i])
        return s->stored.find(s->stored.context, slot, weight, err);
    *weight = s->w->forms[i].weight;
    return PARE_OK;
}

static int wants(void *context, const struct pare_walk_site *site)
{
    const struct solving *s = context;
    int any = 0;
    if (quantize_resume_has(&s->w->base, site->part))
        return 0;
    for (int i = 0; i < site->n_slots; i++)
        any |= s->w->slots[site->slots[i]].pruned;
    return any;
}

/* With the factors of the site's matrices. */
static enum pare_status inputs(void *context, const struct pare_walk_site *site,
                               const float *X, const float *original, size_t rows,
                               struct pare_error *err)
{
    struct solving *s = context;
    const struct quantize_work *base = &s->w->base;
    const struct pare_arena_mark mark = pare_arena_mark(&s->scratch);
    enum pare_status status;
    PARE_TRY_OUT(quantize_scaled_inputs(base, site, &X, rows, &s->scratch, err));
    if (original)
        PARE_TRY_OUT(
            quantize_scaled_inputs(base, site, &original, rows, &s->scratch, err));
    status = quantize_moments_add(&s->moments[site->site], site->K, X, original, rows, 0,
                                  &s->scratch, err);
out:
    pare_arena_release(&s->scratch, mark);
    return status;
}

static enum pare_status solve(void *context, const struct pare_walk_site *site,
                              struct pare_error *err)
{
    struct solving *s = context;
    struct quantize_moments *moments = &s->moments[site->site];
    const struct pare_cross_source cross = quantize_moments_cross(moments);
    struct prune_solving with = {.w = s->w,
                                 .moments = moments,
                                 .cross = s->w->o->correct > 0 ? &cross : NULL,
                                 .scratch = &s->scratch};
    enum pare_status status = PARE_OK;
    pare_arena_free(&s->scratch); /* of what was seen; in the end, of what was solved */
    for (int i = 0; status == PARE_OK && i < site->n_slots; i++)
        status = prune_solve_slot(&with, site->slots[i], err);
    pare_factor_free(&with.factor);
    quantize_moments_free(moments);
    pare_arena_free(&s->scratch);
    return status;
}

/* Nothing of the part was replaced yet. */
static int same(void *context, int part)
{
    const struct solving *s = context;
    int any = 0;
    for (size_t i = 0; i < s->w->base.stored.plan.count; i++)
        any |= s->ready[i] && quantize_part_of(&s->w->base.stored, i) == part;
    return !any;
}

static void replace(void *context, const struct pare_walk_site *site)
{
    struct solving *s = context;
    for (int i = 0; i < site->n_slots; i++)
        s->ready[site->slots[i]] = s->w->forms[site->slots[i]].weight.N > 0;
}

static enum pare_status begin(void *context, int part, struct pare_error *err)
{
    struct solving *s = context;
    (void)err;
    if (!quantize_resume_has(&s->w->base, part))
        return PARE_OK;
    PARE_TRY(prune_resume_load(s->w, part));
    for (size_t i = 0; i < s->w->base.stored.plan.count; i++)
        if (quantize_part_of(&s->w->base.stored, i) == part) {
            s->ready[i] = s->w->forms[i].weight.N > 0;
            prune_tell_solved(s->w, i);
        }
    return PARE_OK;
}

static void bound(void *context, int part)
{
    const struct solving *s = context;
    for (size_t i = 0; i < s->w->base.stored.plan.count; i++)
        if (quantize_part_of(&s->w->base.stored, i) == part)
            quantize_release(&s->w->base, i);
}

static enum pare_status end(void *context, int part, struct pare_error *err)
{
    struct solving *s = context;
    (void)err;
    return quantize_resume_has(&s->w->base, part) ? PARE_OK
                                                  : prune_resume_save(s->w, part);
}

static enum pare_status walk(struct solving *s)
{
    struct prune_work *w = s->w;
    struct quantize_work *base = &w->base;
    const struct pare_walk_visitor visitor = {.context = s,
                                              .begin = begin,
                                              .wants = wants,
                                              .inputs = inputs,
                                              .same = same,
                                              .solve = solve,
                                              .replace = replace,
                                              .bound = bound,
                                              .end = end};
    const struct pare_walk walk = {.config = &base->stored.config,
                                   .plan = &base->stored.plan,
                                   .current = {.find = find, .context = s},
                                   .original = s->stored,
                                   .batches = w->calibration.batches,
                                   .n_batches = w->calibration.n_batches,
                                   .sequential = w->o->sequential,
                                   .both = w->o->correct > 0,
                                   .progress = &base->cli->progress};
    return pare_walk_run(&walk, &visitor, base->err);
}

/* Without text. */
static enum pare_status one_by_one(struct solving *s)
{
    struct prune_work *w = s->w;
    const struct pare_plan *plan = &w->base.stored.plan;
    struct prune_solving with = {.w = w, .scratch = &s->scratch};
    enum pare_status status = PARE_OK;
    for (size_t i = 0; status == PARE_OK && i < plan->count; i++) {
        pare_progress_report(&w->base.cli->progress, "prune", i, plan->count,
                             plan->slots[i].name);
        status = prune_solve_slot(&with, i, w->base.err);
    }
    pare_factor_free(&with.factor);
    pare_progress_report(&w->base.cli->progress, "prune", plan->count, plan->count, NULL);
    return status;
}

enum pare_status prune_solve(struct prune_work *w)
{
    struct solving s = {.w = w, .stored = pare_model_stored_source(&w->base.stored)};
    enum pare_status status;
    PARE_TRY_OUT(pare_alloc(&s.ready, w->base.stored.plan.count, 1, w->base.err));
    status = w->calibration.samples ? walk(&s) : one_by_one(&s);
out:
    for (int i = 0; i < PARE_SITES; i++)
        quantize_moments_free(&s.moments[i]);
    pare_free(s.ready);
    pare_arena_free(&s.scratch);
    return status;
}
