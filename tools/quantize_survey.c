/* Before a solver's walk: what the layers of the original model read, and what is decided
 * about it. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/model/container.h"
#include "tools/quantize_inputs.h"
#include "tools/quantize_readers.h"

/* Rows of a site that are kept, for ranges and for the search. */
#define KEPT_ROWS 1024
#define SEARCH_ROWS 256

struct survey {
    struct quantize_work *w;
    struct pare_inputs inputs[PARE_SITES];
    struct pare_smooth_choice candidates[INPUT_CANDIDATES];
    size_t n_candidates;
    int fixed; /* the second candidate is taken */
    struct pare_arena scratch;
};

static int wants(void *context, const struct pare_walk_site *site)
{
    const struct survey *s = context;
    const struct quantize_readers readers = quantize_readers_of(s->w, site);
    if (site->site == PARE_SITE_Q || !quantize_all_solved(s->w, &readers))
        return 0;
    return s->n_candidates > 0 || quantize_all_int8(s->w, &readers);
}

static enum pare_status inputs(void *context, const struct pare_walk_site *site,
                               const float *X, const float *original, size_t rows,
                               struct pare_error *err)
{
    struct survey *s = context;
    struct pare_inputs *inputs = &s->inputs[site->site];
    (void)original;
    if (!inputs->K)
        PARE_TRY(pare_inputs_init(inputs, site->K, KEPT_ROWS, err));
    pare_inputs_add(inputs, X, rows);
    return PARE_OK;
}

static void bound(void *context, int part)
{
    const struct survey *s = context;
    for (size_t i = 0; i < s->w->stored.plan.count; i++)
        if (quantize_part_of(&s->w->stored, i) == part)
            quantize_release(s->w, i);
}

/* Rows of embeddings are looked up in place. */
static enum pare_status end(void *context, int part, struct pare_error *err)
{
    (void)err;
    bound(context, part);
    return PARE_OK;
}

/* --- Deciding --------------------------------------------------------------------- */

static size_t slot_named(const struct pare_plan *plan, int layer, const char *stem)
{
    char name[PARE_NAME_SIZE];
    size_t i = 0;
    snprintf(name, sizeof name, "blk.%d.%s.weight", layer, stem);
    while (strcmp(plan->slots[i].name, name) != 0)
        i++;
    return i;
}

/* The matrix whose outputs the site reads without anything between them that factors do
 * not pass through; plan.count when there is none, or no solver is for it. */
static size_t maker_of(const struct quantize_work *w, const struct pare_walk_site *site)
{
    const struct pare_plan *plan = &w->stored.plan;
    struct pare_target target;
    size_t maker = plan->count;
    if (site->site == PARE_SITE_ATTN_OUT)
        maker = slot_named(plan, site->part, "attn_v");
    if (site->site == PARE_SITE_DOWN && w->stored.config.activation == PARE_ACT_RELU)
        maker = slot_named(plan, site->part, "ffn_up");
    return maker < plan->count && quantize_target(w, maker, &target) ? maker
                                                                     : plan->count;
}

static enum pare_status choose(struct survey *s, const struct pare_smooth_site *matrices,
                               struct quantize_site *decided, struct pare_error *err)
{
    size_t best;
    struct pare_smooth_choice candidates[INPUT_CANDIDATES];
    memcpy(candidates, s->candidates, sizeof candidates);
    PARE_TRY(pare_smooth_search(matrices, SEARCH_ROWS, candidates, s->n_candidates, &best,
                                &s->scratch, err));
    if (s->fixed)
        best = 1;
    decided->choice = candidates[best];
    decided->plain = candidates[0].error;
    if (decided->choice.family == PARE_SMOOTH_NONE)
        return PARE_OK;
    PARE_TRY(pare_arena_alloc(&s->w->stored.arena, &decided->scale, matrices->inputs->K,
                              sizeof *decided->scale, err));
    return pare_smooth_factors(matrices, decided->choice.family, decided->choice.exponent,
                               decided->scale, &s->scratch, err);
}

#define LEAST_RANGE 1e-20f /* inputs that are always 0 fit into any range */

static enum pare_status observe(struct survey *s, const struct pare_inputs *in,
                                struct quantize_site *decided, struct pare_error *err)
{
    struct pare_histogram *histogram;
    PARE_TRY(pare_arena_alloc(&s->scratch, &histogram, 1, sizeof *histogram, err));
    pare_inputs_range(in, decided->scale, decided->range);
    decided->is_static = 1;
    if (!(decided->range[1] - decided->range[0] > LEAST_RANGE)) {
        decided->range[0] = 0;
        decided->range[1] = 1;
        return PARE_OK;
    }
    *histogram = (struct pare_histogram){.low = (double)decided->range[0],
                                         .high = (double)decided->range[1]};
    pare_histogram_add(histogram, in->sample, in->kept, in->K, decided->scale);
    pare_observer_range(input_options_observer(&s->w->o->inputs), histogram,
                        decided->range);
    return PARE_OK;
}

static void tell(const struct survey *s, const struct quantize_readers *readers,
                 const struct quantize_site *decided)
{
    char name[PARE_INPUT_NAME_SIZE];
    pare_input_scale_name(s->w->stored.plan.slots[readers->slots[0]].name, name);
    if (s->n_candidates)
        pare_cli_detail(s->w->cli, "%-32s %s %.4g%s  outputs %6.4f of no factors'", name,
                        quantize_family_names[decided->choice.family],
                        decided->choice.exponent, decided->folded ? ", folded" : "",
                        decided->plain > 0 ? decided->choice.error / decided->plain : 1);
    pare_input_range_name(s->w->stored.plan.slots[readers->slots[0]].name, name);
    if (decided->is_static)
        pare_cli_detail(s->w->cli, "%-32s %.4g .. %.4g", name, (double)decided->range[0],
                        (double)decided->range[1]);
}

static enum pare_status decide(struct survey *s, const struct pare_walk_site *site,
                               const struct quantize_readers *readers,
                               struct pare_smooth_site *matrices, struct pare_error *err)
{
    struct quantize_work *w = s->w;
    struct quantize_site *decided;
    const int is_static = w->o->inputs.is_static && quantize_all_int8(w, readers);
    matrices->fixed = is_static;
    PARE_TRY(pare_arena_alloc(&w->stored.arena, &decided, 1, sizeof *decided, err));
    *decided = (struct quantize_site){0};
    if (s->n_candidates)
        PARE_TRY(choose(s, matrices, decided, err));
    if (is_static)
        PARE_TRY(observe(s, matrices->inputs, decided, err));
    const size_t maker = maker_of(w, site);
    decided->folded = decided->scale && maker < w->stored.plan.count;
    if (decided->folded)
        w->makers[maker] = w->makers[quantize_bias_slot(w, maker)] = decided;
    for (int i = 0; i < readers->n; i++)
        w->sites[readers->slots[i]] = decided;
    tell(s, readers, decided);
    return PARE_OK;
}

static enum pare_status solve(void *context, const struct pare_walk_site *site,
                              struct pare_error *err)
{
    struct survey *s = context;
    const struct quantize_readers readers = quantize_readers_of(s->w, site);
    struct pare_smooth_site matrices = {.inputs = &s->inputs[site->site], .n = readers.n};
    const struct pare_arena_mark mark = pare_arena_mark(&s->scratch);
    for (int i = 0; i < readers.n; i++) {
        const size_t slot = readers.slots[i];
        float *W;
        matrices.N[i] = (size_t)s->w->stored.plan.slots[slot].shape[0];
        PARE_TRY(
            pare_arena_alloc(&s->scratch, &W, matrices.N[i], site->K * sizeof *W, err));
        PARE_TRY(pare_tensor_decode(s->w->stored.tensors[slot], W, err));
        quantize_release(s->w, slot);
        matrices.W[i] = W;
        if (!quantize_target(s->w, slot, &matrices.targets[i]))
            return pare_fail(err, PARE_ERR_INTERNAL, "no solver for slot %zu", slot);
    }
    PARE_TRY(decide(s, site, &readers, &matrices, err));
    pare_arena_release(&s->scratch, mark);
    pare_inputs_free(&s->inputs[site->site]);
    return PARE_OK;
}

/* Rows, and what the search holds: matrices, one of them rounded, inputs in two forms,
 * outputs. */
static void add_site_costs(const struct survey *s, const struct pare_walk_site *site,
                           uint64_t *kept, uint64_t *search, double *products)
{
    const struct quantize_readers readers = quantize_readers_of(s->w, site);
    uint64_t all = 0, most = 0;
    for (int i = 0; i < readers.n; i++) {
        const uint64_t N = s->w->stored.plan.slots[readers.slots[i]].shape[0];
        all += N;
        most = N > most ? N : most;
    }
    const uint64_t floats =
        (all + most) * site->K + SEARCH_ROWS * (2 * (uint64_t)site->K + most);
    *kept += KEPT_ROWS * site->K * sizeof(float);
    *search = floats * sizeof(float) > *search ? floats * sizeof(float) : *search;
    *products +=
        2.0 * SEARCH_ROWS * (double)s->n_candidates * (double)all * (double)site->K;
}

void quantize_survey_costs(const struct quantize_work *w, uint64_t *bytes,
                           double *products)
{
    const struct pare_config *config = &w->stored.config;
    struct survey s = {.w = (struct quantize_work *)w};
    struct pare_error no;
    *bytes = 0;
    *products = 0;
    if (input_options_candidates(&w->o->inputs, s.candidates, &s.n_candidates, &s.fixed,
                                 &no) != PARE_OK ||
        (!s.n_candidates && !w->o->inputs.is_static))
        return;
    for (int part = 0; part <= (int)config->layers; part++) {
        struct pare_walk_site sites[PARE_WALK_SITES];
        const int n = pare_walk_sites(config, &w->stored.plan, part, sites);
        uint64_t kept = 0, search = 0;
        for (int i = 0; i < n; i++) {
            const double N = (double)w->stored.plan.slots[sites[i].slots[0]].shape[0];
            const size_t rows =
                sites[i].first ? w->calibration.samples : w->calibration.tokens;
            *products += (double)rows * N * (double)sites[i].K * sites[i].n_slots;
            kept = w->saving.one_site ? 0 : kept;
            if (wants(&s, &sites[i]))
                add_site_costs(&s, &sites[i], &kept, &search, products);
            *bytes = kept + search > *bytes ? kept + search : *bytes;
        }
    }
}

int quantize_has_static(const struct quantize_work *w)
{
    const struct pare_config *config = &w->stored.config;
    const struct survey s = {.w = (struct quantize_work *)w};
    for (int part = 0; part <= (int)config->layers; part++) {
        struct pare_walk_site sites[PARE_WALK_SITES];
        const int n = pare_walk_sites(config, &w->stored.plan, part, sites);
        for (int i = 0; i < n; i++)
            if (wants((void *)&s, &sites[i]))
                return 1;
    }
    return 0;
}

enum pare_status quantize_survey(struct quantize_work *w)
{
    const struct input_options *o = &w->o->inputs;
    const size_t count = w->stored.plan.count;
    struct survey s = {.w = w};
    const struct pare_walk_visitor visitor = {.context = &s,
                                              .wants = wants,
                                              .inputs = inputs,
                                              .solve = solve,
                                              .bound = bound,
                                              .end = end};
    const struct pare_walk walk = {.config = &w->stored.config,
                                   .plan = &w->stored.plan,
                                   .current = pare_model_stored_source(&w->stored),
                                   .batches = w->calibration.batches,
                                   .n_batches = w->calibration.n_batches,
                                   .one_site = w->saving.one_site,
                                   .spill_beside =
                                       w->saving.spill ? w->cli->output : NULL,
                                   .progress = &w->cli->progress};
    PARE_TRY(
        input_options_candidates(o, s.candidates, &s.n_candidates, &s.fixed, w->err));
    if (!w->calibration.samples || (!s.n_candidates && !o->is_static))
        return PARE_OK;
    PARE_TRY(
        pare_arena_alloc(&w->stored.arena, &w->sites, count, sizeof *w->sites, w->err));
    PARE_TRY(
        pare_arena_alloc(&w->stored.arena, &w->makers, count, sizeof *w->makers, w->err));
    memset(w->sites, 0, count * sizeof *w->sites);
    memset(w->makers, 0, count * sizeof *w->makers);
    if (!w->trial)
        quantize_tell_left_out(w, s.n_candidates > 0);
    enum pare_status status = pare_walk_run(&walk, &visitor, w->err);
    for (int i = 0; i < PARE_SITES; i++)
        pare_inputs_free(&s.inputs[i]);
    pare_arena_free(&s.scratch);
    return status;
}
