/* The calibration walk: see walk.h. */
#include "runtime/model/walk.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/interrupt.h"
#include "runtime/model/forward_internal.h"
#include "runtime/model/walk_hidden.h"

/* --- Sites ------------------------------------------------------------------------ */

int pare_walk_first_only(const struct pare_config *config)
{
    return config->labels > 0;
}

static size_t slot_named(const struct pare_plan *plan, const char *name)
{
    size_t i = 0;
    while (i < plan->count && strcmp(plan->slots[i].name, name) != 0)
        i++;
    return i;
}

static struct pare_walk_site *add_site(struct pare_walk_site *sites, int *n, int part,
                                       enum pare_site site, int first)
{
    sites[*n] = (struct pare_walk_site){.part = part, .site = site, .first = first};
    return &sites[(*n)++];
}

static void add_slot(const struct pare_plan *plan, struct pare_walk_site *site,
                     const char *stem)
{
    char name[PARE_NAME_SIZE];
    if (site->site >= PARE_SITE_POOLER)
        snprintf(name, sizeof name, "%s.weight", stem);
    else
        snprintf(name, sizeof name, "blk.%d.%s.weight", site->part, stem);
    const size_t i = slot_named(plan, name);
    site->K = (size_t)plan->slots[i].shape[1];
    site->slots[site->n_slots++] = i;
}

static int head_sites(const struct pare_config *config, const struct pare_plan *plan,
                      struct pare_walk_site *sites)
{
    const int part = (int)config->layers;
    int n = 0;
    if (config->has_pooler)
        add_slot(plan, add_site(sites, &n, part, PARE_SITE_POOLER, 1), "cls");
    if (config->labels)
        add_slot(plan, add_site(sites, &n, part, PARE_SITE_CLASSIFIER, 1), "cls.output");
    return n;
}

int pare_walk_sites(const struct pare_config *config, const struct pare_plan *plan,
                    int part, struct pare_walk_site sites[PARE_WALK_SITES])
{
    int n = 0;
    if (part < 0)
        return 0;
    if ((uint32_t)part == config->layers)
        return head_sites(config, plan, sites);
    const int first =
        pare_walk_first_only(config) && (uint32_t)part + 1 == config->layers;
    struct pare_walk_site *kv =
        add_site(sites, &n, part, first ? PARE_SITE_KV : PARE_SITE_QKV, 0);
    struct pare_walk_site *q = first ? add_site(sites, &n, part, PARE_SITE_Q, 1) : kv;
    add_slot(plan, q, "attn_q");
    add_slot(plan, kv, "attn_k");
    add_slot(plan, kv, "attn_v");
    add_slot(plan, add_site(sites, &n, part, PARE_SITE_ATTN_OUT, first), "attn_output");
    add_slot(plan, add_site(sites, &n, part, PARE_SITE_UP, first), "ffn_up");
    add_slot(plan, add_site(sites, &n, part, PARE_SITE_DOWN, first), "ffn_down");
    return n;
}

/* Sites of one stage read nothing that depends on the weights of another of it. */
static int stage_of(enum pare_site site)
{
    return site == PARE_SITE_KV || site == PARE_SITE_Q ? PARE_SITE_QKV : (int)site;
}

/* --- Hidden states ---------------------------------------------------------------- */

/* The hidden states of all batches, and the part of the model that computes the next. */
struct stream {
    const struct pare_weight_source *source;
    struct pare_model *model;
    struct pare_arena weights;
    int bound; /* the part's weights are in memory */
    struct pare_hidden hidden;
};

struct walker {
    const struct pare_walk *walk;
    const struct pare_walk_visitor *visitor;
    struct stream current, original; /* original: walk->both only */
    struct pare_acts acts;           /* of the batch that is being run */
    struct pare_walk_site sites[PARE_WALK_SITES];
    int chosen[PARE_WALK_SITES]; /* the visitor wants to see it */
    int n_sites;
    int part;
    int wanted[PARE_SITES];  /* number of the site + 1, when it is to be seen now */
    float *pair[PARE_SITES]; /* what the original weights made of this batch */
    size_t pair_rows[PARE_SITES];
    struct pare_error *err;
};

static enum pare_status open_stream(const struct walker *w, struct stream *stream,
                                    const struct pare_weight_source *source)
{
    const struct pare_walk *walk = w->walk;
    stream->source = source;
    PARE_TRY(pare_model_new(walk->config, &stream->model, w->err));
    return pare_hidden_open(&stream->hidden, walk->batches, walk->n_batches,
                            walk->config->hidden, walk->spill_beside, w->err);
}

static void close_stream(struct stream *stream)
{
    pare_model_free(stream->model);
    pare_arena_free(&stream->weights);
    pare_hidden_close(&stream->hidden);
}

static enum pare_status bind(const struct walker *w, struct stream *stream)
{
    if (stream->bound)
        return PARE_OK;
    pare_arena_release(&stream->weights, (struct pare_arena_mark){0});
    PARE_TRY(pare_model_bind_part(stream->model, w->walk->plan, stream->source, w->part,
                                  &stream->weights, w->err));
    stream->bound = 1;
    if (w->visitor->bound)
        w->visitor->bound(w->visitor->context, w->part);
    return PARE_OK;
}

/* Nothing is run while a visitor solves; its memory and a block's need not add up. */
static void unbind(struct stream *stream)
{
    pare_arena_free(&stream->weights);
    stream->bound = 0;
}

/* Runs the part for one batch, whose hidden states are at `hidden`. With a tap nothing
 * but the tap takes notice; else the hidden states become the part's outputs. */
static enum pare_status run_part(struct walker *w, struct stream *stream,
                                 const struct pare_batch *batch, float *hidden,
                                 const struct pare_tap *tap)
{
    const struct pare_config *config = w->walk->config;
    struct pare_acts *acts = &w->acts;
    const size_t row = config->hidden * sizeof *hidden;
    size_t rows = batch->n_tokens;
    acts->tap = tap;
    PARE_TRY(pare_acts_plan(config, batch, acts, w->err));
    if (w->part < 0) {
        PARE_TRY(pare_forward_check(stream->model, batch, w->err));
        pare_forward_embed(stream->model, batch, NULL, acts);
        memcpy(hidden, acts->embedded, rows * row);
        return PARE_OK;
    }
    const uint32_t l = (uint32_t)w->part;
    if (l == config->layers) {
        acts->blocks[l - 1].output = hidden;
        return pare_forward_head(stream->model, batch, NULL, acts, w->err);
    }
    acts->blocks[l].input = hidden;
    PARE_TRY(pare_forward_block(stream->model, l, batch, NULL, acts, w->err));
    if (pare_acts_is_short(acts, config, l))
        rows = batch->n_seq;
    if (!tap)
        memcpy(hidden, acts->blocks[l].output, rows * row);
    return PARE_OK;
}

/* The same for a batch whose first token is number `token` of all. */
static enum pare_status run_batch(struct walker *w, struct stream *stream,
                                  const struct pare_batch *batch, size_t token,
                                  const struct pare_tap *tap)
{
    float *hidden;
    PARE_TRY(
        pare_hidden_fetch(&stream->hidden, token, batch, w->part < 0, &hidden, w->err));
    PARE_TRY(run_part(w, stream, batch, hidden, tap));
    return tap ? PARE_OK : pare_hidden_store(&stream->hidden, token, batch, w->err);
}

/* --- Seeing ----------------------------------------------------------------------- */

static enum pare_status keep_original(void *context, uint32_t layer, enum pare_site site,
                                      const float *X, size_t rows, struct pare_error *err)
{
    struct walker *w = context;
    (void)layer;
    (void)err;
    if (!w->wanted[site])
        return PARE_OK;
    const size_t K = w->sites[w->wanted[site] - 1].K;
    memcpy(w->pair[site], X, rows * K * sizeof *X);
    w->pair_rows[site] = rows;
    return PARE_OK;
}

static enum pare_status show(void *context, uint32_t layer, enum pare_site site,
                             const float *X, size_t rows, struct pare_error *err)
{
    struct walker *w = context;
    (void)layer;
    if (!w->wanted[site])
        return PARE_OK;
    return w->visitor->inputs(w->visitor->context, &w->sites[w->wanted[site] - 1], X,
                              w->pair[site], rows, err);
}

static enum pare_status make_pairs(struct walker *w)
{
    size_t tokens = 0;
    for (size_t i = 0; i < w->walk->n_batches; i++)
        if (w->walk->batches[i].n_tokens > tokens)
            tokens = w->walk->batches[i].n_tokens;
    for (int s = 0; s < PARE_SITES; s++)
        if (w->wanted[s])
            PARE_TRY(pare_alloc_raw(&w->pair[s], tokens,
                                    w->sites[w->wanted[s] - 1].K * sizeof **w->pair,
                                    w->err));
    return PARE_OK;
}

static void free_pairs(struct walker *w)
{
    for (int s = 0; s < PARE_SITES; s++) {
        pare_free(w->pair[s]);
        w->pair[s] = NULL;
    }
}

/* Runs the part for all batches with those taps, or to replace the hidden states. */
static enum pare_status run_all(struct walker *w, const struct pare_tap *current,
                                const struct pare_tap *original)
{
    const struct pare_walk *walk = w->walk;
    size_t at = 0;
    PARE_TRY(bind(w, &w->current));
    if (walk->both)
        PARE_TRY(bind(w, &w->original));
    for (size_t i = 0; i < walk->n_batches; i++) {
        const struct pare_batch *batch = &walk->batches[i];
        PARE_TRY(pare_check_interrupted(w->err));
        if (walk->both)
            PARE_TRY(run_batch(w, &w->original, batch, at, original));
        PARE_TRY(run_batch(w, &w->current, batch, at, current));
        at += batch->n_tokens;
    }
    return PARE_OK;
}

/* --- A part ----------------------------------------------------------------------- */

/* One pass over all batches for the sites first .. end - 1 that the visitor wants. */
static enum pare_status see(struct walker *w, int first, int end)
{
    const struct pare_tap current = {show, w}, original = {keep_original, w};
    memset(w->wanted, 0, sizeof w->wanted);
    for (int s = first; s < end; s++)
        w->wanted[w->sites[s].site] = w->chosen[s] ? s + 1 : 0;
    enum pare_status status = w->walk->both ? make_pairs(w) : PARE_OK;
    if (status == PARE_OK)
        status = run_all(w, &current, &original);
    free_pairs(w);
    return status;
}

/* The pass, and what the visitor makes of it. */
static enum pare_status see_and_solve(struct walker *w, int first, int end)
{
    int any = 0;
    for (int s = first; s < end; s++)
        any |= w->chosen[s];
    if (!any)
        return PARE_OK;
    PARE_TRY(see(w, first, end));
    unbind(&w->current);
    unbind(&w->original);
    pare_arena_free(&w->acts.arena);
    pare_arena_free(&w->acts.scratch);
    for (int s = first; s < end; s++)
        if (w->chosen[s])
            PARE_TRY(w->visitor->solve(w->visitor->context, &w->sites[s], w->err));
    return PARE_OK;
}

/* The number behind the last site of the stage that begins with number `first`. */
static int stage_end(const struct walker *w, int first)
{
    int s = first + 1;
    while (s < w->n_sites && (!w->walk->sequential || stage_of(w->sites[s].site) ==
                                                          stage_of(w->sites[first].site)))
        s++;
    return s;
}

/* Sites that see the same weights. */
static enum pare_status run_stage(struct walker *w, int first, int end)
{
    const struct pare_walk_visitor *visitor = w->visitor;
    const int step = w->walk->one_site ? 1 : end - first;
    for (int s = first; s < end; s += step)
        PARE_TRY(see_and_solve(w, s, s + step));
    for (int s = first; visitor->replace && s < end; s++)
        if (w->chosen[s])
            visitor->replace(visitor->context, &w->sites[s]);
    return PARE_OK;
}

static enum pare_status walk_part(struct walker *w)
{
    const struct pare_walk_visitor *visitor = w->visitor;
    w->current.bound = w->original.bound = 0;
    if (visitor->begin)
        PARE_TRY(visitor->begin(visitor->context, w->part, w->err));
    w->n_sites = pare_walk_sites(w->walk->config, w->walk->plan, w->part, w->sites);
    for (int s = 0; s < w->n_sites; s++)
        w->chosen[s] = visitor->wants(visitor->context, &w->sites[s]);
    for (int first = 0; first < w->n_sites;) {
        const int end = stage_end(w, first);
        PARE_TRY(run_stage(w, first, end));
        first = end;
    }
    if (w->part < (int)w->walk->config->layers)
        PARE_TRY(run_all(w, NULL, NULL));
    return visitor->end ? visitor->end(visitor->context, w->part, w->err) : PARE_OK;
}

enum pare_status pare_walk_run(const struct pare_walk *walk,
                               const struct pare_walk_visitor *visitor,
                               struct pare_error *err)
{
    struct walker w = {.walk = walk, .visitor = visitor, .err = err};
    const int layers = (int)walk->config->layers;
    enum pare_status status;
    w.acts.first_only = pare_walk_first_only(walk->config);
    PARE_TRY_OUT(open_stream(&w, &w.current, &walk->current));
    if (walk->both)
        PARE_TRY_OUT(open_stream(&w, &w.original, &walk->original));
    for (w.part = PARE_PART_EMBEDDINGS; w.part <= layers; w.part++) {
        pare_progress_report(walk->progress, "calibrate", (uint64_t)(w.part + 1),
                             (uint64_t)layers + 2, NULL);
        PARE_TRY_OUT(walk_part(&w));
    }
    pare_progress_report(walk->progress, "calibrate", (uint64_t)layers + 2,
                         (uint64_t)layers + 2, NULL);
out:
    close_stream(&w.current);
    close_stream(&w.original);
    pare_acts_free(&w.acts);
    return status;
}
