/* One matrix: what of it goes, and what the rest becomes. */
#include <string.h>

#include "libquant/correct.h"
#include "libquant/loss.h"
#include "runtime/base/alloc.h"
#include "tools/prune.h"
#include "tools/quantize_moments.h"

struct matrix {
    struct prune_solving *with;
    size_t slot, N, K;
    float *W, *aim, *Q; /* [N, K]; aim: W, or what it should be for these inputs */
    struct prune_form *form;
};

void prune_read(const struct prune_work *w, size_t i, float *W)
{
    const struct pare_weight weight = pare_stored_weight(&w->base.stored, i);
    for (size_t n = 0; n < weight.N; n++)
        pare_weight_row(&weight, n, W + n * weight.K);
}

static enum pare_criterion criterion_of(const struct prune_work *w, size_t i)
{
    static const enum pare_criterion criteria[] = {
        [PRUNE_MAGNITUDE] = PARE_PRUNE_MAGNITUDE,
        [PRUNE_WANDA] = PARE_PRUNE_WANDA,
        [PRUNE_SPARSEGPT] = PARE_PRUNE_SPARSEGPT};
    return w->slots[i].keep ? PARE_PRUNE_KEEP : criteria[w->solver];
}

/* The factor that this matrix needs, unless it has been made for the same already. */
static enum pare_status make_factor(const struct matrix *m,
                                    const struct pare_prune_options *options,
                                    struct pare_error *err)
{
    struct prune_solving *with = m->with;
    const struct prune_options *o = with->w->o;
    struct pare_factor_options how = pare_prune_order(options, m->K);
    const struct pare_gram *gram = NULL;
    how.damping = o->damping;
    how.strict = o->strict && with->moments;
    if (with->factor.H && with->moments && with->options.order == how.order &&
        with->options.group == how.group && with->options.together == how.together)
        return PARE_OK;
    with->options = how;
    pare_factor_free(&with->factor);
    if (with->moments)
        PARE_TRY(quantize_moments_gram(with->moments, &gram, err));
    return pare_factor_init(&with->factor, gram, m->K, &how, with->scratch, err);
}

/* Mean square of the outputs of E[N, K]. */
static enum pare_status energy(const struct matrix *m, const float *E, double *mean,
                               struct pare_error *err)
{
    const struct pare_gram *gram;
    double sum = 0;
    PARE_TRY(quantize_moments_gram(m->with->moments, &gram, err));
    PARE_TRY(pare_quant_loss(gram, E, m->N, &sum, m->with->scratch, err));
    *mean = sum / ((double)gram->rows * (double)m->N);
    return PARE_OK;
}

/* What the outputs lost; aim is lost too. */
static enum pare_status compare(const struct matrix *m, struct prune_result *result,
                                struct pare_error *err)
{
    const struct prune_work *w = m->with->w;
    if (!m->with->moments || !(w->o->json || w->base.cli->verbose))
        return PARE_OK;
    PARE_TRY(energy(m, m->aim, &result->energy, err));
    pare_kernels()->axpy(m->aim, -1, m->Q, m->N * m->K);
    return energy(m, m->aim, &result->loss, err);
}

void prune_tell_solved(const struct prune_work *w, size_t i)
{
    if (w->results[i].fallback)
        pare_cli_warn(w->base.cli,
                      "tensor %s: the second moments of its inputs are of no use; its "
                      "weights were pruned by magnitude",
                      w->base.stored.plan.slots[i].name);
}

static void tell(const struct prune_work *w, size_t i)
{
    const struct prune_result *r = &w->results[i];
    const struct pare_slot *slot = &w->base.stored.plan.slots[i];
    pare_cli_detail(
        w->base.cli, "%-32s %-16s zeros %6.2f %%  error %7.3f %%  outputs %7.3f %%%s%s",
        slot->name, w->slots[i].form,
        100.0 * (double)r->zeros / (double)pare_slot_elements(slot),
        100 * pare_quant_error_relative(&r->error),
        r->energy > 0 ? 100 * r->loss / r->energy : 0, r->dead ? "  dead inputs" : "",
        r->escalations ? "  more damping" : "");
    prune_tell_solved(w, i);
}

/* The floats are halves from now on, and these what is stored. */
static enum pare_status to_halves(const struct matrix *m, struct pare_error *err)
{
    const struct pare_quant_rows rows = {m->Q, m->N, m->K, 0};
    struct pare_quant_error error = {0};
    PARE_TRY(pare_rtn_quantize(PARE_F16, &rows, m->form->data, NULL, &error, err));
    pare_kernels()->decode_f16(m->Q, m->form->data, m->N * m->K);
    return PARE_OK;
}

static enum pare_status run(struct matrix *m, struct pare_error *err)
{
    struct prune_solving *with = m->with;
    struct prune_work *w = with->w;
    struct prune_result *result = &w->results[m->slot];
    const struct pare_quant_rows rows = {m->W, m->N, m->K, 0};
    const struct pare_quant_rows aim = {m->aim, m->N, m->K, 0};
    const struct pare_target_data stored = {m->form->data, m->form->scale, NULL};
    struct pare_prune_report report;
    struct pare_target target;
    const int codes = prune_target(w, m->slot, &target);
    const struct pare_gptq_options how = pare_prune_codes(&target);
    const struct pare_prune_options options = {.pattern = w->slots[m->slot].pattern,
                                               .criterion = criterion_of(w, m->slot),
                                               .passes = w->o->passes,
                                               .codes = codes ? &how : NULL};
    PARE_TRY(make_factor(m, &options, err));
    if (with->cross)
        PARE_TRY(pare_quant_correct(&with->factor, with->cross, m->W, m->N,
                                    (float)w->o->correct, m->aim, with->scratch, err));
    PARE_TRY(pare_prune(&aim, &with->factor, &options, m->Q, codes ? &stored : NULL,
                        &report, with->scratch, err));
    if (target.type == PARE_F16)
        PARE_TRY(to_halves(m, err));
    else if (target.type == PARE_F32)
        memcpy(m->form->data, m->Q, m->form->data_bytes);
    *result = (struct prune_result){.zeros = report.zeros};
    if (with->moments) {
        result->damping = with->factor.damping;
        result->dead = with->factor.dead;
        result->escalations = with->factor.escalations;
        result->fallback = with->factor.fallback;
    }
    PARE_TRY(pare_grids_measure(&rows, m->Q, &result->error, with->scratch, err));
    PARE_TRY(prune_form_pack(w, m->slot, m->Q, m->form));
    return compare(m, result, err);
}

enum pare_status prune_solve_slot(struct prune_solving *with, size_t i,
                                  struct pare_error *err)
{
    struct prune_work *w = with->w;
    const struct pare_slot *slot = &w->base.stored.plan.slots[i];
    struct matrix m = {.with = with,
                       .slot = i,
                       .N = (size_t)slot->shape[0],
                       .K = (size_t)slot->shape[1],
                       .form = &w->forms[i]};
    enum pare_status status;
    if (!w->slots[i].pruned)
        return PARE_OK;
    PARE_TRY(pare_check_interrupted(err));
    PARE_TRY_OUT(pare_alloc_raw(&m.W, m.N, m.K * sizeof *m.W, err));
    PARE_TRY_OUT(pare_alloc_raw(&m.Q, m.N, m.K * sizeof *m.Q, err));
    m.aim = m.W;
    if (with->cross || w->o->json || w->base.cli->verbose)
        PARE_TRY_OUT(pare_alloc_raw(&m.aim, m.N, m.K * sizeof *m.aim, err));
    prune_read(w, i, m.W);
    quantize_release(&w->base, i);
    if (m.aim != m.W)
        memcpy(m.aim, m.W, m.N * m.K * sizeof *m.W);
    PARE_TRY_OUT(prune_form_make(w, i, m.form));
    PARE_TRY_OUT(run(&m, err));
    tell(w, i);
    status = PARE_OK;
out:
    if (m.aim != m.W)
        pare_free(m.aim);
    pare_free(m.W);
    pare_free(m.Q);
    return status == PARE_OK ? status
                             : pare_fail_in(err, status, "tensor %s", slot->name);
}
