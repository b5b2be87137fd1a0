/* The calibration walk with a solver: second moments of the inputs of a part's matrices,
 * their codes from that, and what the codes make of the hidden states for the next. */
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/model/walk.h"
#include "tools/quantize_inputs.h"
#include "tools/quantize_moments.h"

struct solving {
    struct quantize_work *w;
    struct pare_gguf_writer *writer;
    struct quantize_folded folded;
    struct quantize_form *forms; /* [plan.count]: of the part that is being worked on */
    unsigned char *ready;        /* [plan.count]: the form is what the walk is to find */
    struct quantize_moments moments[PARE_SITES];
    struct pare_spill *spill; /* of moments in bands; or NULL */
    struct pare_arena scratch;
};

/* --- Weights for the walk --------------------------------------------------------- */

static struct pare_weight form_weight(const struct quantize_work *w, size_t i,
                                      const struct quantize_form *form)
{
    const struct pare_slot *slot = &w->stored.plan.slots[i];
    const struct pare_scheme_item *item = &w->items[i];
    struct pare_weight weight = {.type = item->type,
                                 .N = (size_t)slot->shape[0],
                                 .K = (size_t)slot->shape[1],
                                 .data = form->data};
    if (slot->n_dims == 1) /* a bias */
        return (struct pare_weight){
            .type = PARE_F32, .N = 1, .K = weight.N, .data = form->data};
    quantize_site_weight(w, i, &weight);
    if (item->grid.bits)
        weight.groups =
            (struct pare_groups){.bits = item->grid.bits,
                                 .size = pare_grid_group(&item->grid, weight.K),
                                 .scale = form->scale,
                                 .zero = item->grid.asymmetric ? form->zero : NULL};
    else if (item->type == PARE_I8)
        weight.scale = (const float *)(const void *)form->scale;
    return weight;
}

static enum pare_status find(void *context, const struct pare_slot *slot,
                             struct pare_weight *weight, struct pare_error *err)
{
    struct solving *s = context;
    const size_t i = (size_t)(slot - s->w->stored.plan.slots);
    if (!s->ready[i]) {
        const struct pare_weight_source source = quantize_folded_source(&s->folded);
        return source.find(source.context, slot, weight, err);
    }
    *weight = form_weight(s->w, i, &s->forms[i]);
    return PARE_OK;
}

/* --- Solving ---------------------------------------------------------------------- */

static int wants(void *context, const struct pare_walk_site *site)
{
    const struct solving *s = context;
    struct pare_target target;
    int any = 0;
    if (quantize_resume_has(s->w, site->part))
        return 0;
    for (int i = 0; i < site->n_slots; i++)
        any |= quantize_target(s->w, site->slots[i], &target);
    return any;
}

/* With the factors of the site's matrices. */
static enum pare_status inputs(void *context, const struct pare_walk_site *site,
                               const float *X, const float *original, size_t rows,
                               struct pare_error *err)
{
    struct solving *s = context;
    const struct pare_arena_mark mark = pare_arena_mark(&s->scratch);
    enum pare_status status;
    PARE_TRY_OUT(quantize_scaled_inputs(s->w, site, &X, rows, &s->scratch, err));
    if (original)
        PARE_TRY_OUT(
            quantize_scaled_inputs(s->w, site, &original, rows, &s->scratch, err));
    status = quantize_moments_add(&s->moments[site->site], site->K, X, original, rows,
                                  s->w->o->inputs.correct_bias, &s->scratch, err);
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
    struct quantize_solving with = {
        .w = s->w,
        .moments = moments,
        .cross = solver_options_correction(&s->w->o->solver) > 0 ? &cross : NULL,
        .scratch = &s->scratch};
    enum pare_status status = PARE_OK;
    pare_arena_free(&s->scratch); /* of what was seen; in the end, of what was solved */
    for (int i = 0; status == PARE_OK && i < site->n_slots; i++) {
        status = quantize_solve(&with, site->slots[i], s->forms, err);
        if (status != PARE_OK)
            status = pare_fail_in(err, status, "tensor %s",
                                  s->w->stored.plan.slots[site->slots[i]].name);
    }
    pare_factor_free(&with.factor);
    quantize_moments_free(moments);
    pare_arena_free(&s->scratch);
    return status;
}

static enum pare_status seen(void *context, const struct pare_walk_site *site, int *again,
                             struct pare_error *err)
{
    struct solving *s = context;
    return quantize_moments_seen(&s->moments[site->site], again, err);
}

/* Nothing of the part was replaced yet, or rounded before the walk came to it. */
static int same(void *context, int part)
{
    const struct solving *s = context;
    int any = 0;
    for (size_t i = 0; i < s->w->stored.plan.count; i++)
        any |= s->ready[i] && quantize_part_of(&s->w->stored, i) == part;
    return !any;
}

/* What was solved is what the walk finds from now on. */
static void replace(void *context, const struct pare_walk_site *site)
{
    struct solving *s = context;
    for (int i = 0; i < site->n_slots; i++) {
        const size_t slot = site->slots[i], bias = quantize_bias_slot(s->w, slot);
        s->ready[slot] = s->forms[slot].data != NULL;
        s->ready[bias] = s->forms[bias].data != NULL;
    }
}

/* --- Parts ------------------------------------------------------------------------ */

/* What an earlier run made of the part. */
static enum pare_status load(struct solving *s, int part)
{
    PARE_TRY(quantize_resume_load(s->w, part, s->forms));
    for (size_t i = 0; i < s->w->stored.plan.count; i++)
        if (quantize_part_of(&s->w->stored, i) == part) {
            s->ready[i] = s->forms[i].data != NULL;
            quantize_tell_solved(s->w, i);
        }
    return PARE_OK;
}

static enum pare_status round_part(struct solving *s, int part,
                                   struct quantize_buffers *buffers)
{
    struct quantize_work *w = s->w;
    struct pare_target target;
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        if (quantize_part_of(&w->stored, i) != part ||
            w->items[i].scheme == PARE_SCHEME_KEEP || quantize_target(w, i, &target))
            continue;
        if (!buffers->W)
            PARE_TRY(quantize_buffers_make(w, buffers));
        PARE_TRY(quantize_form_round(w, i, buffers, &s->forms[i]));
        s->ready[i] = 1;
        pare_cli_detail(w->cli, "%-32s %-9s error %8.4f %%", w->stored.plan.slots[i].name,
                        w->items[i].form, 100 * pare_quant_error_relative(&w->errors[i]));
    }
    return PARE_OK;
}

/* Rounds what no solver is for. */
static enum pare_status begin(void *context, int part, struct pare_error *err)
{
    struct solving *s = context;
    struct quantize_buffers buffers = {0};
    (void)err;
    if (quantize_resume_has(s->w, part))
        return load(s, part);
    const enum pare_status status = round_part(s, part, &buffers);
    quantize_buffers_free(&buffers);
    return status;
}

static enum pare_status end(void *context, int part, struct pare_error *err)
{
    struct solving *s = context;
    struct quantize_work *w = s->w;
    (void)err;
    if (!quantize_resume_has(w, part))
        PARE_TRY(quantize_resume_save(w, part, s->forms));
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        if (quantize_part_of(&w->stored, i) != part)
            continue;
        if (w->items[i].scheme == PARE_SCHEME_KEEP && !s->forms[i].data)
            PARE_TRY(quantize_keep(w, i, s->writer));
        else
            PARE_TRY(quantize_form_write(w, &s->forms[i], s->writer));
        PARE_TRY(quantize_inputs(w, i, s->writer));
        quantize_form_free(&s->forms[i]);
        quantize_folded_release(&s->folded, i);
        quantize_release(w, i);
    }
    return PARE_OK;
}

/* Packed copies are in memory now, what they were made of need not be. */
static void bound(void *context, int part)
{
    const struct solving *s = context;
    for (size_t i = 0; i < s->w->stored.plan.count; i++)
        if (quantize_part_of(&s->w->stored, i) == part)
            quantize_release(s->w, i);
}

static void close_solving(struct solving *s)
{
    for (size_t i = 0; s->forms && i < s->w->stored.plan.count; i++)
        quantize_form_free(&s->forms[i]);
    for (int i = 0; i < PARE_SITES; i++)
        quantize_moments_free(&s->moments[i]);
    pare_spill_close(s->spill);
    quantize_folded_free(&s->folded);
    pare_free(s->forms);
    pare_free(s->ready);
    pare_arena_free(&s->scratch);
}

enum pare_status quantize_walk(struct quantize_work *w, struct pare_gguf_writer *writer)
{
    struct solving s = {.w = w, .writer = writer};
    const struct pare_walk_visitor visitor = {.context = &s,
                                              .begin = begin,
                                              .wants = wants,
                                              .inputs = inputs,
                                              .seen = seen,
                                              .same = same,
                                              .solve = solve,
                                              .replace = replace,
                                              .bound = bound,
                                              .end = end};
    const struct pare_walk walk = {.config = &w->stored.config,
                                   .plan = &w->stored.plan,
                                   .current = {.find = find, .context = &s},
                                   .original = quantize_folded_source(&s.folded),
                                   .batches = w->calibration.batches,
                                   .n_batches = w->calibration.n_batches,
                                   .sequential = w->o->solver.sequential,
                                   .both = solver_options_correction(&w->o->solver) > 0,
                                   .one_site = w->saving.one_site,
                                   .spill_beside =
                                       w->saving.spill ? w->cli->output : NULL,
                                   .progress = &w->cli->progress};
    enum pare_status status;
    PARE_TRY_OUT(pare_alloc(&s.forms, w->stored.plan.count, sizeof *s.forms, w->err));
    PARE_TRY_OUT(pare_alloc(&s.ready, w->stored.plan.count, 1, w->err));
    PARE_TRY_OUT(quantize_folded_init(&s.folded, w));
    if (w->saving.bands)
        PARE_TRY_OUT(pare_spill_open(w->cli->output, &s.spill, w->err));
    for (int i = 0; i < PARE_SITES; i++)
        s.moments[i] =
            (struct quantize_moments){.bands = w->saving.bands, .spill = s.spill};
    status = pare_walk_run(&walk, &visitor, w->err);
out:
    close_solving(&s);
    return status;
}
