/* One matrix with a solver: codes from its weights and the moments of its inputs. */
#include "libquant/correct.h"
#include "libquant/loss.h"
#include "libquant/nearest.h"
#include "runtime/base/alloc.h"
#include "tools/quantize_inputs.h"
#include "tools/quantize_moments.h"

int quantize_compares(const struct quantize_work *w)
{
    return w->o->json || w->cli->verbose;
}

/* Some rows of a matrix while they are solved for. */
struct matrix {
    struct quantize_solving *with;
    size_t slot;
    struct pare_target target;
    struct quantize_form *form, *bias;
    float *W, *aim, *Q; /* [rows, K]; aim: W, or what it should be for these inputs */
    float *cost;        /* [K]: what errors count, when the solver is WEIGHTED; or NULL */
    size_t N, K;
    size_t first, rows;
};

/* Adds what it costs that `aim` became Q; Q is lost. */
static enum pare_status add_cost(const struct matrix *m, double *loss,
                                 struct pare_error *err)
{
    const struct pare_kernels *kernels = pare_kernels();
    const struct quantize_solving *with = m->with;
    const struct pare_gram *gram;
    double sum = 0;
    PARE_TRY(quantize_moments_gram(with->moments, &gram, err));
    for (size_t n = 0; n < m->rows; n++)
        kernels->axpy(m->Q + n * m->K, -1, m->aim + n * m->K, m->K);
    PARE_TRY(pare_quant_loss(gram, m->Q, m->rows, &sum, with->scratch, err));
    *loss += sum / ((double)gram->rows * (double)m->N);
    return PARE_OK;
}

/* And what rounding to nearest would have cost. */
static enum pare_status compare(const struct matrix *m, struct quantize_solved *solved,
                                struct pare_error *err)
{
    PARE_TRY(add_cost(m, &solved->loss, err));
    const struct pare_quant_rows rows = {m->W, m->rows, m->K, m->first};
    PARE_TRY(pare_nearest_plain(&m->target, &rows, m->Q, err));
    return add_cost(m, &solved->rtn, err);
}

void quantize_tell_solved(const struct quantize_work *w, size_t i)
{
    if (w->solved[i].fallback)
        pare_cli_warn(w->cli,
                      "tensor %s: the second moments of its inputs are of no use; its "
                      "columns were rounded one by one",
                      w->stored.plan.slots[i].name);
}

static void tell(const struct matrix *m, const struct quantize_solved *solved)
{
    struct quantize_work *w = m->with->w;
    const char *name = w->stored.plan.slots[m->slot].name;
    pare_cli_detail(
        w->cli, "%-32s %-9s error %8.4f %%  outputs %6.4f of rounding's%s%s", name,
        w->items[m->slot].form, 100 * pare_quant_error_relative(&w->errors[m->slot]),
        solved->rtn > 0 ? solved->loss / solved->rtn : 1,
        solved->dead ? "  dead inputs" : "", solved->escalations ? "  more damping" : "");
    quantize_tell_solved(w, m->slot);
}

int quantize_is_nearest(const struct quantize_work *w)
{
    return w->rounds || w->o->solver.solver == SOLVER_WEIGHTED;
}

enum pare_order quantize_order(const struct quantize_work *w,
                               const struct pare_target *target)
{
    const int order = w->o->solver.order;
    return order ? (enum pare_order)(order - 1) : pare_gptq_default_order(target);
}

struct pare_gptq_options quantize_gptq_options(const struct quantize_work *w,
                                               const struct pare_target *target)
{
    struct pare_gptq_options options = pare_gptq_defaults(target);
    options.early = quantize_order(w, target) == PARE_ORDER_ALL;
    options.passes = w->o->solver.passes;
    return options;
}

struct pare_nearest quantize_nearest(const struct quantize_work *w,
                                     const struct pare_target *target, const float *cost)
{
    struct pare_nearest nearest = pare_nearest_defaults(target, cost);
    if (w->rounds && !pare_target_lattice(target).super)
        nearest.search = PARE_SEARCH_RANGE;
    return nearest;
}

/* Adds the errors of the weights themselves, when others were aimed at. */
static void measure(const struct matrix *m, struct pare_quant_error *error)
{
    for (size_t i = 0; i < m->rows * m->K; i++)
        pare_quant_error_add(error, m->W[i], m->Q[i]);
}

/* Weights of the rows at hand, and what is aimed at. */
static enum pare_status read_rows(const struct matrix *m, struct pare_error *err)
{
    const struct quantize_work *w = m->with->w;
    const struct pare_tensor *tensor = w->stored.tensors[m->slot];
    const uint64_t row = tensor->bytes / m->N;
    struct pare_tensor slice = *tensor;
    slice.shape[0] = m->rows;
    slice.bytes = m->rows * row;
    slice.data = (const unsigned char *)tensor->data + m->first * row;
    PARE_TRY(pare_tensor_decode(&slice, m->W, err));
    pare_ckpt_release(w->stored.ckpt, slice.data, slice.bytes);
    quantize_site_solved(w, m->slot, m->first, m->rows, m->W);
    if (!m->with->cross)
        return PARE_OK;
    return pare_quant_correct(&m->with->factor, m->with->cross, m->W, m->rows,
                              (float)w->o->solver.correct, m->aim, m->with->scratch, err);
}

static enum pare_status solve_rows(const struct matrix *m, struct pare_error *err)
{
    struct quantize_work *w = m->with->w;
    const struct quantize_form *form = m->form;
    const struct pare_gptq_options options = quantize_gptq_options(w, &m->target);
    struct pare_gptq_report report = {.error = w->errors[m->slot]};
    const struct pare_quant_rows rows = {m->aim, m->rows, m->K, m->first};
    const struct pare_target_data data = {
        form->data + m->first * form->row_bytes,
        form->scale ? form->scale + m->first * (form->scale_bytes / m->N) : NULL,
        form->zero ? form->zero + m->first * (form->zero_bytes / m->N) : NULL};
    PARE_TRY(read_rows(m, err));
    if (quantize_is_nearest(w)) {
        const struct pare_nearest nearest = quantize_nearest(w, &m->target, m->cost);
        PARE_TRY(pare_nearest_round(&nearest, &rows, m->Q, &data, &report.error, err));
    } else {
        PARE_TRY(pare_gptq(&rows, &m->with->factor, &options, m->Q, &data, &report,
                           m->with->scratch, err));
    }
    PARE_TRY(quantize_make_bias(w, m->slot, m->first, m->rows, m->W, m->Q,
                                &m->with->moments->means, m->bias));
    if (m->with->cross)
        measure(m, &w->errors[m->slot]);
    else
        w->errors[m->slot] = report.error;
    return quantize_compares(w) ? compare(m, &w->solved[m->slot], err) : PARE_OK;
}

static enum pare_status solve_matrix(struct matrix *m, struct pare_error *err)
{
    struct quantize_work *w = m->with->w;
    const struct pare_factor *factor = &m->with->factor;
    const size_t slice = m->rows;
    w->errors[m->slot] = (struct pare_quant_error){0};
    if (!quantize_is_nearest(w))
        w->solved[m->slot] = (struct quantize_solved){.done = 1,
                                                      .damping = factor->damping,
                                                      .dead = factor->dead,
                                                      .escalations = factor->escalations,
                                                      .fallback = factor->fallback};
    for (; m->first < m->N; m->first += m->rows) {
        m->rows = m->N - m->first < slice ? m->N - m->first : slice;
        PARE_TRY(pare_check_interrupted(err));
        PARE_TRY(solve_rows(m, err));
    }
    tell(m, &w->solved[m->slot]);
    return PARE_OK;
}

/* The factor that this matrix needs, unless it has been made for the same already. */
static enum pare_status make_factor(const struct matrix *m, struct pare_error *err)
{
    struct quantize_solving *with = m->with;
    const size_t group = pare_target_group(&m->target, m->K);
    const enum pare_order order = quantize_order(with->w, &m->target);
    if (with->factor.H && with->options.group == group && with->options.order == order)
        return PARE_OK;
    with->options = (struct pare_factor_options){.order = order,
                                                 .group = group,
                                                 .damping = with->w->o->solver.damping,
                                                 .strict = with->w->o->format.strict};
    const struct pare_gram *gram;
    pare_factor_free(&with->factor);
    PARE_TRY(quantize_moments_gram(with->moments, &gram, err));
    PARE_TRY(
        pare_factor_init(&with->factor, gram, m->K, &with->options, with->scratch, err));
    if (!quantize_compares(with->w))
        quantize_moments_drop(with->moments);
    return PARE_OK;
}

/* What the errors at each input count for weighted rounding. */
static enum pare_status weigh(struct matrix *m, struct pare_error *err)
{
    struct quantize_work *w = m->with->w;
    const double damping = w->o->solver.damping;
    const struct pare_gram *gram;
    PARE_TRY(quantize_moments_gram(m->with->moments, &gram, err));
    PARE_TRY(pare_alloc_raw(&m->cost, m->K, sizeof *m->cost, err));
    w->solved[m->slot] =
        (struct quantize_solved){.done = 1,
                                 .damping = damping,
                                 .fallback = !pare_nearest_costs(gram, damping, m->cost)};
    return PARE_OK;
}

enum pare_status quantize_solve(struct quantize_solving *with, size_t slot_number,
                                struct quantize_form *forms, struct pare_error *err)
{
    struct quantize_work *w = with->w;
    const struct pare_slot *slot = &w->stored.plan.slots[slot_number];
    struct matrix m = {.with = with,
                       .slot = slot_number,
                       .form = &forms[slot_number],
                       .bias = &forms[quantize_bias_slot(w, slot_number)],
                       .N = (size_t)slot->shape[0],
                       .K = (size_t)slot->shape[1]};
    if (!quantize_target(w, slot_number, &m.target))
        return PARE_OK;
    if (!quantize_is_nearest(w))
        PARE_TRY(make_factor(&m, err));
    PARE_TRY(quantize_form_make(w, slot_number, m.form));
    m.rows = quantize_slice_rows(w, m.N, m.K);
    enum pare_status status;
    PARE_TRY_OUT(pare_alloc_raw(&m.W, m.rows, m.K * sizeof *m.W, err));
    PARE_TRY_OUT(pare_alloc_raw(&m.Q, m.rows, m.K * sizeof *m.Q, err));
    m.aim = m.W;
    if (with->cross)
        PARE_TRY_OUT(pare_alloc_raw(&m.aim, m.rows, m.K * sizeof *m.aim, err));
    if (w->o->solver.solver == SOLVER_WEIGHTED)
        PARE_TRY_OUT(weigh(&m, err));
    if (w->rounds)
        w->solved[m.slot] = (struct quantize_solved){.done = 1};
    status = solve_matrix(&m, err);
out:
    pare_free(m.cost);
    if (m.aim != m.W)
        pare_free(m.aim);
    pare_free(m.W);
    pare_free(m.Q);
    return status;
}
