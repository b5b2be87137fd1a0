/* The calibration walk: see walk.h. */
#include "runtime/model/walk.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/interrupt.h"
#include "runtime/model/forward_internal.h"
#include "runtime/model/walk_hidden.h"
#include "runtime/model/walk_rows.h"

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
    int wanted[PARE_SITES]; /* number of the site + 1, when it is to be seen now */
    struct pare_walk_rows rows[PARE_SITES];
    uint32_t *starts; /* of a piece of a batch */
    int shared;       /* current weights are the original ones, and bound once */
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

/* Sequences first .. end - 1 of a batch, as a batch of their own. */
static struct pare_batch piece_of(const struct walker *w, const struct pare_batch *batch,
                                  size_t first, size_t end)
{
    const size_t token = batch->starts[first];
    for (size_t s = first; s <= end; s++)
        w->starts[s - first] = batch->starts[s] - (uint32_t)token;
    return (struct pare_batch){.n_seq = end - first,
                               .n_tokens = batch->starts[end] - token,
                               .ids = batch->ids + token,
                               .types = batch->types ? batch->types + token : NULL,
                               .starts = w->starts};
}

/* Where a piece reads and writes in the hidden states of its batch. */
struct place {
    float *in, *out;
};

static struct place place_of(const struct walker *w, const struct pare_batch *batch,
                             size_t first, float *hidden)
{
    const struct pare_config *config = w->walk->config;
    const size_t token = batch->starts[first], width = config->hidden;
    const uint32_t l = (uint32_t)w->part; /* of embeddings: no block */
    const int behind = l == config->layers && w->acts.first_only;
    const int is_short = l < config->layers && pare_acts_is_short(&w->acts, config, l);
    return (struct place){.in = hidden + (behind ? first : token) * width,
                          .out = hidden + (is_short ? first : token) * width};
}

/* Runs the part for one piece of a batch. With a tap nothing but the tap takes notice;
 * else the hidden states become the part's outputs. */
static enum pare_status run_part(struct walker *w, const struct pare_model *model,
                                 const struct pare_batch *piece, struct place hidden,
                                 const struct pare_tap *tap)
{
    const struct pare_config *config = w->walk->config;
    struct pare_acts *acts = &w->acts;
    const size_t row = config->hidden * sizeof(float);
    size_t rows = piece->n_tokens;
    acts->tap = tap;
    PARE_TRY(pare_acts_plan(config, piece, acts, w->err));
    if (w->part < 0) {
        PARE_TRY(pare_forward_check(model, piece, w->err));
        pare_forward_embed(model, piece, NULL, acts);
        memcpy(hidden.out, acts->embedded, rows * row);
        return PARE_OK;
    }
    const uint32_t l = (uint32_t)w->part;
    if (l == config->layers) {
        acts->blocks[l - 1].output = hidden.in;
        return pare_forward_head(model, piece, NULL, acts, w->err);
    }
    acts->blocks[l].input = hidden.in;
    PARE_TRY(pare_forward_block(model, l, piece, NULL, acts, w->err));
    if (pare_acts_is_short(acts, config, l))
        rows = piece->n_seq;
    if (!tap) /* rows of first tokens are before all that is still to be read */
        memcpy(hidden.out, acts->blocks[l].output, rows * row);
    return PARE_OK;
}

/* --- Seeing ----------------------------------------------------------------------- */

static void keep(struct walker *w, int original, enum pare_site site, const float *X,
                 size_t rows)
{
    if (w->wanted[site])
        pare_walk_rows_add(&w->rows[site], original, X, rows);
}

static enum pare_status keep_original(void *context, uint32_t layer, enum pare_site site,
                                      const float *X, size_t rows, struct pare_error *err)
{
    (void)layer;
    (void)err;
    keep(context, 1, site, X, rows);
    return PARE_OK;
}

static enum pare_status keep_current(void *context, uint32_t layer, enum pare_site site,
                                     const float *X, size_t rows, struct pare_error *err)
{
    (void)layer;
    (void)err;
    keep(context, 0, site, X, rows);
    return PARE_OK;
}

/* What was kept, PARE_WALK_ROWS at a time; all of it at the end of a batch. */
static enum pare_status show(struct walker *w, int all)
{
    for (int s = 0; s < PARE_SITES; s++) {
        struct pare_walk_rows *rows = &w->rows[s];
        const float *X, *original;
        size_t n;
        while (w->wanted[s] && (n = pare_walk_rows_next(rows, all, &X, &original)) > 0) {
            PARE_TRY(w->visitor->inputs(w->visitor->context, &w->sites[w->wanted[s] - 1],
                                        X, original, n, w->err));
            pare_walk_rows_drop(rows, n);
        }
    }
    return PARE_OK;
}

static enum pare_status make_rows(struct walker *w)
{
    const struct pare_walk *walk = w->walk;
    const size_t most = pare_walk_piece_tokens(walk->batches, walk->n_batches);
    for (int s = 0; s < PARE_SITES; s++)
        if (w->wanted[s])
            PARE_TRY(pare_walk_rows_init(&w->rows[s], w->sites[w->wanted[s] - 1].K, most,
                                         walk->both, w->err));
    return PARE_OK;
}

static void free_rows(struct walker *w)
{
    for (int s = 0; s < PARE_SITES; s++)
        pare_walk_rows_free(&w->rows[s]);
}

/* Shows the part's inputs for one batch, whose first token is number `token` of all. */
static enum pare_status see_batch(struct walker *w, const struct pare_batch *batch,
                                  size_t token)
{
    const struct pare_tap taps[] = {{keep_current, w}, {keep_original, w}};
    const struct pare_model *models[] = {w->current.model, w->shared ? w->current.model
                                                                     : w->original.model};
    struct stream *const streams[] = {&w->current, &w->original};
    float *hidden[2];
    for (int i = 0; i <= w->walk->both; i++)
        PARE_TRY(pare_hidden_fetch(&streams[i]->hidden, token, batch, w->part < 0,
                                   &hidden[i], w->err));
    for (size_t first = 0, end; first < batch->n_seq; first = end) {
        end = pare_walk_piece_end(batch, first);
        const struct pare_batch piece = piece_of(w, batch, first, end);
        for (int i = 0; i <= w->walk->both; i++)
            PARE_TRY(run_part(w, models[i], &piece, place_of(w, batch, first, hidden[i]),
                              &taps[i]));
        PARE_TRY(show(w, 0));
    }
    return show(w, 1);
}

/* The same for all batches. */
static enum pare_status see_all(struct walker *w)
{
    const struct pare_walk *walk = w->walk;
    size_t at = 0;
    w->shared =
        walk->both && w->visitor->same && w->visitor->same(w->visitor->context, w->part);
    PARE_TRY(bind(w, &w->current));
    if (walk->both && !w->shared)
        PARE_TRY(bind(w, &w->original));
    for (size_t i = 0; i < walk->n_batches; i++) {
        PARE_TRY(pare_check_interrupted(w->err));
        PARE_TRY(see_batch(w, &walk->batches[i], at));
        at += walk->batches[i].n_tokens;
    }
    return PARE_OK;
}

/* Replaces the hidden states of all batches by what the part makes of them. */
static enum pare_status go_on(struct walker *w, struct stream *stream)
{
    const struct pare_walk *walk = w->walk;
    size_t at = 0;
    PARE_TRY(bind(w, stream));
    for (size_t i = 0; i < walk->n_batches; i++) {
        const struct pare_batch *batch = &walk->batches[i];
        float *hidden;
        PARE_TRY(pare_check_interrupted(w->err));
        PARE_TRY(
            pare_hidden_fetch(&stream->hidden, at, batch, w->part < 0, &hidden, w->err));
        for (size_t first = 0, end; first < batch->n_seq; first = end) {
            end = pare_walk_piece_end(batch, first);
            const struct pare_batch piece = piece_of(w, batch, first, end);
            PARE_TRY(run_part(w, stream->model, &piece, place_of(w, batch, first, hidden),
                              NULL));
        }
        PARE_TRY(pare_hidden_store(&stream->hidden, at, batch, w->err));
        at += batch->n_tokens;
    }
    unbind(stream);
    return PARE_OK;
}

/* --- A part ----------------------------------------------------------------------- */

/* One pass over all batches for the sites first .. end - 1 that the visitor wants. */
static enum pare_status see(struct walker *w, int first, int end)
{
    memset(w->wanted, 0, sizeof w->wanted);
    for (int s = first; s < end; s++)
        w->wanted[w->sites[s].site] = w->chosen[s] ? s + 1 : 0;
    enum pare_status status = make_rows(w);
    if (status == PARE_OK)
        status = see_all(w);
    free_rows(w);
    return status;
}

/* Passes, until the visitor has seen enough. */
static enum pare_status see_enough(struct walker *w, int first, int end)
{
    for (int again = 1; again;) {
        PARE_TRY(see(w, first, end));
        again = 0;
        for (int s = first; w->visitor->seen && s < end; s++) {
            int more = 0;
            if (w->chosen[s])
                PARE_TRY(
                    w->visitor->seen(w->visitor->context, &w->sites[s], &more, w->err));
            again |= more;
        }
    }
    return PARE_OK;
}

/* The passes, and what the visitor makes of them. */
static enum pare_status see_and_solve(struct walker *w, int first, int end)
{
    int any = 0;
    for (int s = first; s < end; s++)
        any |= w->chosen[s];
    if (!any)
        return PARE_OK;
    PARE_TRY(see_enough(w, first, end));
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
    if (w->part < (int)w->walk->config->layers) {
        unbind(&w->original);
        PARE_TRY(go_on(w, &w->current));
        if (w->walk->both)
            PARE_TRY(go_on(w, &w->original));
    }
    return visitor->end ? visitor->end(visitor->context, w->part, w->err) : PARE_OK;
}

static size_t most_sequences(const struct pare_walk *walk)
{
    size_t most = 0;
    for (size_t i = 0; i < walk->n_batches; i++)
        most = walk->batches[i].n_seq > most ? walk->batches[i].n_seq : most;
    return most;
}

enum pare_status pare_walk_run(const struct pare_walk *walk,
                               const struct pare_walk_visitor *visitor,
                               struct pare_error *err)
{
    struct walker w = {.walk = walk, .visitor = visitor, .err = err};
    const int layers = (int)walk->config->layers;
    enum pare_status status;
    w.acts.first_only = pare_walk_first_only(walk->config);
    PARE_TRY_OUT(pare_alloc(&w.starts, most_sequences(walk) + 1, sizeof *w.starts, err));
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
    pare_free(w.starts);
    return status;
}
