/* Which blocks a model can do without: one after the other goes the one without which the
 * outputs on the calibration text change least, given those that went before it (as in
 * Kim et al. 2024, "Shortened LLaMA", arXiv:2402.02834, whose measure is the perplexity,
 * once for each block).
 */
#include <math.h>
#include <string.h>

#include "runtime/base/interrupt.h"
#include "runtime/model/forward.h"
#include "tools/output_change.h"
#include "tools/prune_structure_work.h"

#define PROBED_TOKENS 6000 /* of the text, about, for each block */

struct probe {
    struct structure_work *w;
    struct pare_model *model;
    struct pare_block *blocks; /* [L] of the whole model, which `model` has some of */
    struct pare_acts acts;
    size_t n_batches;
    float *outputs; /* of the whole model */
    float *scratch; /* [width] */
    struct pare_arena arena;
};

static enum pare_status open_probe(struct probe *p)
{
    struct structure_work *w = p->w;
    struct pare_stored whole;
    uint32_t all[512];
    const uint32_t L = w->stored.config.layers;
    size_t tokens = 0;
    for (uint32_t l = 0; l < L; l++)
        all[l] = l;
    PARE_TRY(structure_view(w, all, L, &whole));
    const struct pare_weight_source source = pare_model_stored_source(&whole);
    PARE_TRY(pare_model_bind(&whole.config, &source, &p->model, w->err));
    PARE_TRY(pare_arena_alloc(&p->arena, &p->blocks, L, sizeof *p->blocks, w->err));
    memcpy(p->blocks, p->model->blocks, L * sizeof *p->blocks);
    while (p->n_batches < w->calibration.n_batches && tokens < PROBED_TOKENS)
        tokens += w->calibration.batches[p->n_batches++].n_tokens;
    const size_t width = whole.config.labels ? whole.config.labels : whole.config.hidden;
    PARE_TRY(pare_arena_alloc(&p->arena, &p->outputs, tokens, width * sizeof *p->outputs,
                              w->err));
    p->acts.first_only = whole.config.labels > 0;
    return pare_arena_alloc(&p->arena, &p->scratch, width, sizeof *p->scratch, w->err);
}

/* Runs the model of these n blocks; keeps its outputs when change is NULL, else compares
 * with them. */
static enum pare_status run(struct probe *p, const uint32_t *layers, uint32_t n,
                            double *change)
{
    const struct structure_work *w = p->w;
    const struct pare_config *config = &p->model->config;
    float *at = p->outputs;
    double sum = 0;
    p->model->config.layers = n;
    for (uint32_t s = 0; s < n; s++)
        p->model->blocks[s] = p->blocks[layers[s]];
    for (size_t b = 0; b < p->n_batches; b++) {
        const struct pare_batch *batch = &w->calibration.batches[b];
        size_t rows, width;
        PARE_TRY(pare_check_interrupted(w->err));
        PARE_TRY(pare_forward(p->model, batch, NULL, &p->acts, w->err));
        const float *out = output_rows(config, batch, &p->acts, &rows, &width);
        for (size_t r = 0; change && r < rows; r++)
            sum +=
                output_change(config, at + r * width, out + r * width, width, p->scratch);
        if (!change)
            memcpy(at, out, rows * width * sizeof *out);
        at += rows * width;
    }
    if (change)
        *change = isfinite(sum) ? sum : HUGE_VAL;
    return PARE_OK;
}

static void without(const uint32_t *layers, uint32_t n, uint32_t number, uint32_t *out)
{
    for (uint32_t s = 0, to = 0; s < n; s++)
        if (s != number)
            out[to++] = layers[s];
}

/* Of the n layers, the number of the one to go. */
static enum pare_status find_least(struct probe *p, const uint32_t *layers, uint32_t n,
                                   uint32_t *number)
{
    uint32_t rest[512];
    double least = HUGE_VAL;
    *number = n - 1;
    for (uint32_t s = 0; s < n; s++) {
        double change;
        without(layers, n, s, rest);
        PARE_TRY(run(p, rest, n - 1, &change));
        pare_cli_detail(p->w->cli, "%u blocks, without block %-3u outputs change by %g",
                        n - 1, layers[s], change);
        if (change < least)
            *number = s;
        least = change < least ? change : least;
    }
    return PARE_OK;
}

static enum pare_status choose(struct probe *p)
{
    struct structure_work *w = p->w;
    const uint32_t L = w->stored.config.layers, wanted = w->less.config.layers;
    uint32_t list[512], number;
    for (uint32_t l = 0; l < L; l++)
        list[l] = l;
    PARE_TRY(open_probe(p));
    PARE_TRY(run(p, list, L, NULL));
    for (uint32_t n = L; n > wanted; n--) {
        pare_progress_report(&w->cli->progress, "choose blocks", L - n, L - wanted, NULL);
        PARE_TRY(find_least(p, list, n, &number));
        without(list, n, number, list);
    }
    memcpy(w->layers, list, wanted * sizeof *list);
    return PARE_OK;
}

enum pare_status structure_choose_layers(struct structure_work *w)
{
    struct probe p = {.w = w};
    enum pare_status status;
    if (!structure_counts_layers(w) || !w->calibration.samples)
        return PARE_OK;
    status = choose(&p);
    if (p.model)
        p.model->config.layers = w->stored.config.layers;
    pare_model_free(p.model);
    pare_acts_free(&p.acts);
    pare_arena_free(&p.arena);
    return status == PARE_OK
               ? structure_view(w, w->layers, w->less.config.layers, &w->less)
               : status;
}
