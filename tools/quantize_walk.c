/* The calibration walk with a solver: second moments of the inputs of a part's matrices,
 * their codes from that, and what the codes make of the hidden states for the next. */
#include <string.h>

#include "libquant/correct.h"
#include "libquant/loss.h"
#include "runtime/base/alloc.h"
#include "runtime/model/walk.h"
#include "tools/quantize.h"

struct solving {
    struct quantize_work *w;
    struct pare_gguf_writer *writer;
    struct pare_weight_source stored;
    struct quantize_form *forms; /* [plan.count]: of the part that is being worked on */
    unsigned char *ready;        /* [plan.count]: the form is what the walk is to find */
    struct pare_gram grams[PARE_SITES];
    struct pare_cross crosses[PARE_SITES]; /* what the original inputs are more */
    struct quantize_buffers buffers;       /* for what is rounded */
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
    const struct solving *s = context;
    const size_t i = (size_t)(slot - s->w->stored.plan.slots);
    if (!s->ready[i])
        return s->stored.find(s->stored.context, slot, weight, err);
    *weight = form_weight(s->w, i, &s->forms[i]);
    return PARE_OK;
}

/* --- Solving ---------------------------------------------------------------------- */

static int wants(void *context, const struct pare_walk_site *site)
{
    const struct solving *s = context;
    struct pare_target target;
    int any = 0;
    for (int i = 0; i < site->n_slots; i++)
        any |= quantize_target(s->w, site->slots[i], &target);
    return any;
}

static enum pare_status add_cross(struct solving *s, const struct pare_walk_site *site,
                                  const float *X, const float *original, size_t rows,
                                  struct pare_error *err)
{
    struct pare_cross *cross = &s->crosses[site->site];
    const struct pare_arena_mark mark = pare_arena_mark(&s->scratch);
    const size_t n = rows * site->K;
    float *more;
    if (!cross->sum)
        PARE_TRY(pare_cross_init(cross, site->K, err));
    PARE_TRY(pare_arena_alloc(&s->scratch, &more, n, sizeof *more, err));
    memcpy(more, original, n * sizeof *more);
    pare_kernels()->axpy(more, -1, X, n);
    const enum pare_status status =
        pare_cross_add(cross, more, X, rows, &s->scratch, err);
    pare_arena_release(&s->scratch, mark);
    return status;
}

static enum pare_status inputs(void *context, const struct pare_walk_site *site,
                               const float *X, const float *original, size_t rows,
                               struct pare_error *err)
{
    struct solving *s = context;
    struct pare_gram *gram = &s->grams[site->site];
    if (!gram->sum)
        PARE_TRY(pare_gram_init(gram, site->K, err));
    if (original)
        PARE_TRY(add_cross(s, site, X, original, rows, err));
    return pare_gram_add(gram, X, rows, site->K, &s->scratch, err);
}

/* A matrix while it is solved for. */
struct matrix {
    struct solving *s;
    size_t slot;
    struct pare_target target;
    const struct pare_gram *gram;
    const struct pare_cross *cross; /* or NULL */
    const struct pare_factor *factor;
    float *W, *aim, *Q; /* [N, K]; aim: W, or what it should be for these inputs */
    size_t N, K;
};

/* Q becomes aim - Q; returns what that costs. */
static enum pare_status cost_of(const struct matrix *m, double *loss,
                                struct pare_error *err)
{
    const struct pare_kernels *kernels = pare_kernels();
    for (size_t n = 0; n < m->N; n++)
        kernels->axpy(m->Q + n * m->K, -1, m->aim + n * m->K, m->K);
    *loss = 0;
    PARE_TRY(pare_quant_loss(m->gram, m->Q, m->N, loss, &m->s->scratch, err));
    *loss /= (double)m->gram->rows * (double)m->N;
    return PARE_OK;
}

/* What rounding to nearest would have cost. */
static enum pare_status compare(const struct matrix *m, struct quantize_solved *solved,
                                struct pare_error *err)
{
    PARE_TRY(cost_of(m, &solved->loss, err));
    if (m->target.kind == PARE_TARGET_GROUPS)
        pare_grid_round(&m->target.grid, m->W, m->N, m->K, m->Q);
    else
        PARE_TRY(pare_rtn_round(m->target.type, m->W, m->N, m->K, m->Q, err));
    return cost_of(m, &solved->rtn, err);
}

static void tell(const struct matrix *m, const struct quantize_solved *solved)
{
    struct quantize_work *w = m->s->w;
    const char *name = w->stored.plan.slots[m->slot].name;
    pare_cli_detail(
        w->cli, "%-32s %-9s error %8.4f %%  outputs %6.4f of rounding's%s%s", name,
        w->items[m->slot].form, 100 * pare_quant_error_relative(&w->errors[m->slot]),
        solved->rtn > 0 ? solved->loss / solved->rtn : 1,
        solved->dead ? "  dead inputs" : "", solved->escalations ? "  more damping" : "");
    if (solved->fallback)
        pare_cli_warn(w->cli,
                      "tensor %s: the second moments of its inputs are of no use; its "
                      "columns were rounded one by one",
                      name);
}

static enum pare_order order_of(const struct matrix *m)
{
    const int order = m->s->w->o->solver.order;
    return order ? (enum pare_order)(order - 1) : pare_gptq_default_order(&m->target);
}

/* Errors of the weights themselves, when others were aimed at. */
static void measure(const struct matrix *m, struct pare_quant_error *error)
{
    *error = (struct pare_quant_error){0};
    for (size_t i = 0; i < m->N * m->K; i++)
        pare_quant_error_add(error, m->W[i], m->Q[i]);
}

static enum pare_status solve_matrix(struct matrix *m, struct pare_error *err)
{
    struct quantize_work *w = m->s->w;
    struct quantize_form *form = &m->s->forms[m->slot];
    struct quantize_solved *solved = &w->solved[m->slot];
    struct pare_gptq_options options = pare_gptq_defaults(&m->target);
    struct pare_gptq_report report = {0};
    const struct pare_quant_rows rows = {m->aim, m->N, m->K, 0};
    options.early = order_of(m) == PARE_ORDER_ALL;
    PARE_TRY(pare_tensor_decode(w->stored.tensors[m->slot], m->W, err));
    quantize_release(w, m->slot);
    if (m->cross)
        PARE_TRY(pare_quant_correct(m->factor, m->cross, m->W, m->N,
                                    (float)w->o->solver.correct, m->aim, &m->s->scratch,
                                    err));
    PARE_TRY(quantize_form_make(w, m->slot, form));
    const struct pare_target_data data = {form->data, form->scale, form->zero};
    PARE_TRY(
        pare_gptq(&rows, m->factor, &options, m->Q, &data, &report, &m->s->scratch, err));
    w->errors[m->slot] = report.error;
    if (m->cross)
        measure(m, &w->errors[m->slot]);
    *solved = (struct quantize_solved){.done = 1,
                                       .damping = m->factor->damping,
                                       .dead = m->factor->dead,
                                       .escalations = m->factor->escalations,
                                       .fallback = m->factor->fallback};
    if (w->o->json || w->cli->verbose)
        PARE_TRY(compare(m, solved, err));
    tell(m, solved);
    return PARE_OK;
}

/* The factor that this matrix needs, unless `factor` has been made for the same already.
 */
static enum pare_status make_factor(const struct matrix *m,
                                    struct pare_factor_options *options,
                                    struct pare_factor *factor, struct pare_error *err)
{
    const size_t group = pare_target_group(&m->target, m->K);
    const enum pare_order order = order_of(m);
    if (factor->H && options->group == group && options->order == order)
        return PARE_OK;
    *options = (struct pare_factor_options){.order = order,
                                            .group = group,
                                            .damping = m->s->w->o->solver.damping,
                                            .strict = m->s->w->o->format.strict};
    pare_factor_free(factor);
    return pare_factor_init(factor, m->gram, m->K, options, &m->s->scratch, err);
}

static enum pare_status solve_slot(struct solving *s, const struct pare_walk_site *site,
                                   int number, struct pare_factor_options *options,
                                   struct pare_factor *factor, struct pare_error *err)
{
    const struct solver_options *o = &s->w->o->solver;
    const struct pare_slot *slot = &s->w->stored.plan.slots[site->slots[number]];
    struct matrix m = {.s = s,
                       .slot = site->slots[number],
                       .gram = &s->grams[site->site],
                       .cross = o->correct > 0 ? &s->crosses[site->site] : NULL,
                       .factor = factor,
                       .N = (size_t)slot->shape[0],
                       .K = site->K};
    if (!quantize_target(s->w, m.slot, &m.target))
        return PARE_OK;
    PARE_TRY(make_factor(&m, options, factor, err));
    enum pare_status status;
    PARE_TRY_OUT(pare_alloc_raw(&m.W, m.N, m.K * sizeof *m.W, err));
    PARE_TRY_OUT(pare_alloc_raw(&m.Q, m.N, m.K * sizeof *m.Q, err));
    m.aim = m.W;
    if (m.cross)
        PARE_TRY_OUT(pare_alloc_raw(&m.aim, m.N, m.K * sizeof *m.aim, err));
    status = solve_matrix(&m, err);
out:
    if (m.aim != m.W)
        pare_free(m.aim);
    pare_free(m.W);
    pare_free(m.Q);
    return status;
}

static enum pare_status solve(void *context, const struct pare_walk_site *site,
                              struct pare_error *err)
{
    struct solving *s = context;
    struct pare_factor_options options = {0};
    struct pare_factor factor = {0};
    enum pare_status status = PARE_OK;
    pare_arena_free(&s->scratch); /* of what was seen; in the end, of what was solved */
    for (int i = 0; status == PARE_OK && i < site->n_slots; i++) {
        status = solve_slot(s, site, i, &options, &factor, err);
        if (status != PARE_OK)
            status = pare_fail_in(err, status, "tensor %s",
                                  s->w->stored.plan.slots[site->slots[i]].name);
    }
    pare_factor_free(&factor);
    pare_gram_free(&s->grams[site->site]);
    pare_cross_free(&s->crosses[site->site]);
    pare_arena_free(&s->scratch);
    return status;
}

/* What was solved is what the walk finds from now on. */
static void replace(void *context, const struct pare_walk_site *site)
{
    struct solving *s = context;
    for (int i = 0; i < site->n_slots; i++)
        s->ready[site->slots[i]] = s->forms[site->slots[i]].data != NULL;
}

/* --- Parts ------------------------------------------------------------------------ */

static int part_of(const struct pare_stored *stored, size_t i)
{
    const struct pare_plan *plan = &stored->plan;
    size_t blocks = 0;
    while (plan->slots[blocks].layer < 0)
        blocks++;
    if (plan->slots[i].layer >= 0)
        return plan->slots[i].layer;
    return i < blocks ? PARE_PART_EMBEDDINGS : (int)stored->config.layers;
}

/* Rounds what no solver is for. */
static enum pare_status begin(void *context, int part, struct pare_error *err)
{
    struct solving *s = context;
    struct quantize_work *w = s->w;
    struct pare_target target;
    (void)err;
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        if (part_of(&w->stored, i) != part || w->items[i].scheme == PARE_SCHEME_KEEP ||
            quantize_target(w, i, &target))
            continue;
        PARE_TRY(quantize_form_round(w, i, &s->buffers, &s->forms[i]));
        s->ready[i] = 1;
        pare_cli_detail(w->cli, "%-32s %-9s error %8.4f %%", w->stored.plan.slots[i].name,
                        w->items[i].form, 100 * pare_quant_error_relative(&w->errors[i]));
    }
    return PARE_OK;
}

static enum pare_status end(void *context, int part, struct pare_error *err)
{
    struct solving *s = context;
    struct quantize_work *w = s->w;
    (void)err;
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        if (part_of(&w->stored, i) != part)
            continue;
        if (w->items[i].scheme == PARE_SCHEME_KEEP)
            PARE_TRY(quantize_keep(w, i, s->writer));
        else
            PARE_TRY(quantize_form_write(w, &s->forms[i], s->writer));
        PARE_TRY(quantize_inputs(w, i, s->writer));
        quantize_form_free(&s->forms[i]);
        quantize_release(w, i);
    }
    return PARE_OK;
}

/* Packed copies are in memory now, what they were made of need not be. */
static void bound(void *context, int part)
{
    const struct solving *s = context;
    for (size_t i = 0; i < s->w->stored.plan.count; i++)
        if (part_of(&s->w->stored, i) == part)
            quantize_release(s->w, i);
}

static void close_solving(struct solving *s)
{
    for (size_t i = 0; s->forms && i < s->w->stored.plan.count; i++)
        quantize_form_free(&s->forms[i]);
    for (int i = 0; i < PARE_SITES; i++) {
        pare_gram_free(&s->grams[i]);
        pare_cross_free(&s->crosses[i]);
    }
    pare_free(s->forms);
    pare_free(s->ready);
    quantize_buffers_free(&s->buffers);
    pare_arena_free(&s->scratch);
}

enum pare_status quantize_walk(struct quantize_work *w, struct pare_gguf_writer *writer)
{
    struct solving s = {
        .w = w, .writer = writer, .stored = pare_model_stored_source(&w->stored)};
    const struct pare_walk_visitor visitor = {.context = &s,
                                              .begin = begin,
                                              .wants = wants,
                                              .inputs = inputs,
                                              .solve = solve,
                                              .replace = replace,
                                              .bound = bound,
                                              .end = end};
    const struct pare_walk walk = {.config = &w->stored.config,
                                   .plan = &w->stored.plan,
                                   .current = {.find = find, .context = &s},
                                   .original = s.stored,
                                   .batches = w->calibration.batches,
                                   .n_batches = w->calibration.n_batches,
                                   .sequential = w->o->solver.sequential,
                                   .both = w->o->solver.correct > 0,
                                   .progress = &w->cli->progress};
    enum pare_status status;
    PARE_TRY_OUT(pare_alloc(&s.forms, w->stored.plan.count, sizeof *s.forms, w->err));
    PARE_TRY_OUT(pare_alloc(&s.ready, w->stored.plan.count, 1, w->err));
    PARE_TRY_OUT(quantize_buffers_make(w, &s.buffers));
    status = pare_walk_run(&walk, &visitor, w->err);
out:
    close_solving(&s);
    return status;
}
