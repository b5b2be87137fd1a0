/* What a model's outputs mind: see quantize_probe.h. */
#include "tools/quantize_probe.h"

#include <math.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/interrupt.h"
#include "tools/output_change.h"

#define PROBED_TOKENS 6000 /* of the text, about, for each matrix */

#define NO_MODEL 1e30 /* the cost of outputs that are no numbers */

static enum pare_status find(void *context, const struct pare_slot *slot,
                             struct pare_weight *weight, struct pare_error *err)
{
    const struct budget_probe *p = context;
    const size_t i = (size_t)(slot - p->w->stored.plan.slots);
    if (i != p->slot)
        return p->stored.find(p->stored.context, slot, weight, err);
    *weight = (struct pare_weight){.type = PARE_F32,
                                   .N = (size_t)slot->shape[0],
                                   .K = (size_t)slot->shape[1],
                                   .data = p->Q,
                                   .input_scale =
                                       pare_stored_weight(&p->w->stored, i).input_scale};
    return PARE_OK;
}

static enum pare_status bind(struct budget_probe *p, int part)
{
    struct pare_arena *arena = &p->parts[part + 1];
    pare_arena_release(arena, (struct pare_arena_mark){0});
    return pare_model_bind_part(p->model, &p->w->stored.plan, &p->source, part, arena,
                                p->w->err);
}

/* Runs the batches; keeps the outputs when loss is NULL, else compares with them. */
static enum pare_status run(struct budget_probe *p, double *loss)
{
    const struct quantize_work *w = p->w;
    const struct pare_config *config = &w->stored.config;
    float *at = p->outputs;
    size_t all = 0;
    double sum = 0;
    for (size_t b = 0; b < p->n_batches; b++) {
        const struct pare_batch *batch = &w->calibration.batches[b];
        size_t rows, width;
        PARE_TRY(pare_check_interrupted(w->err));
        PARE_TRY(pare_forward(p->model, batch, NULL, &p->acts, w->err));
        const float *out = output_rows(config, batch, &p->acts, &rows, &width);
        for (size_t r = 0; loss && r < rows; r++)
            sum += output_change(config, at + r * width, out + r * width, width, p->p);
        if (!loss)
            memcpy(at, out, rows * width * sizeof *out);
        at += rows * width;
        all += rows;
    }
    if (loss)
        *loss = !isfinite(sum) ? NO_MODEL : all && sum > 0 ? sum / (double)all : 0;
    return PARE_OK;
}

enum pare_status budget_probe_open(struct budget_probe *p, struct quantize_work *w)
{
    const struct pare_config *config = &w->stored.config;
    const size_t width = config->labels ? config->labels : config->hidden;
    size_t tokens = 0;
    *p = (struct budget_probe){.w = w};
    while (p->n_batches < w->calibration.n_batches && tokens < PROBED_TOKENS)
        tokens += w->calibration.batches[p->n_batches++].n_tokens;
    p->slot = w->stored.plan.count;
    p->stored = pare_model_stored_source(&w->stored);
    p->source = (struct pare_weight_source){.find = find, .context = p};
    p->acts.first_only = config->labels > 0;
    PARE_TRY(pare_model_new(config, &p->model, w->err));
    PARE_TRY(pare_alloc(&p->parts, config->layers + 2, sizeof *p->parts, w->err));
    PARE_TRY(pare_alloc_raw(&p->outputs, tokens, width * sizeof *p->outputs, w->err));
    PARE_TRY(pare_alloc_raw(&p->p, width, sizeof *p->p, w->err));
    for (int part = PARE_PART_EMBEDDINGS; part <= (int)config->layers; part++)
        PARE_TRY(bind(p, part));
    return run(p, NULL);
}

void budget_probe_close(struct budget_probe *p)
{
    for (uint32_t i = 0; p->parts && i < p->w->stored.config.layers + 2; i++)
        pare_arena_free(&p->parts[i]);
    pare_model_free(p->model);
    pare_acts_free(&p->acts);
    pare_free(p->parts);
    pare_free(p->outputs);
    pare_free(p->p);
}

enum pare_status budget_probe_slot(struct budget_probe *p, size_t i, const float *Q,
                                   double *cost)
{
    const int part = quantize_part_of(&p->w->stored, i);
    p->slot = i;
    p->Q = Q;
    PARE_TRY(bind(p, part));
    PARE_TRY(run(p, cost));
    p->slot = p->w->stored.plan.count;
    return bind(p, part);
}
