/* The calibration walk against whole forwards on tapes: what is seen, in which state of
 * the weights, and second moments of it. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/interrupt.h"
#include "runtime/base/parallel.h"
#include "runtime/base/sha256.h"
#include "runtime/model/walk.h"
#include "runtime/tensor/gram.h"
#include "tests/support/folder.h"
#include "tests/support/random_model.h"

#define OK(call)                                                                         \
    do {                                                                                 \
        struct pare_error err = {""};                                                    \
        cr_assert_eq((call), PARE_OK, "%s", err.message);                                \
    } while (0)

static const struct pare_config classifier = {
    .family = PARE_BERT,
    .layers = 3,
    .hidden = 24,
    .heads = 3,
    .ffn = 40,
    .vocab = 61,
    .positions = 40,
    .token_types = 2,
    .activation = PARE_ACT_GELU,
    .norm_eps = 1e-12f,
    .has_pooler = 1,
    .labels = 3,
    .label = {"a", "b", "c"},
};

static struct pare_config encoder(void)
{
    struct pare_config config = classifier;
    config.labels = 0;
    config.has_pooler = 0;
    config.layers = 2;
    return config;
}

#define BATCHES 3
#define MANY 36 /* of several pieces, and of more rows than are shown at once */
static const size_t counts[BATCHES] = {4, MANY, 4};
static const uint32_t lengths[BATCHES][MANY] = {
    {5, 1, 40, 17},
    {16, 33, 2, 9,  40, 39, 1,  8,  22, 40, 40, 40, 5,  6, 7,  40, 40, 31,
     30, 29, 3, 40, 40, 12, 13, 40, 17, 1,  1,  40, 40, 2, 40, 40, 9,  28},
    {7, 7, 1, 30}};

static size_t count_sequences(void)
{
    size_t n = 0;
    for (int b = 0; b < BATCHES; b++)
        n += counts[b];
    return n;
}

/* Weights that a visitor replaces, by slots. */
struct weights {
    const struct pare_plan *plan;
    float *values;
};

static float *slot_values(const struct weights *w, size_t slot)
{
    float *values = w->values;
    for (size_t i = 0; i < slot; i++)
        values += pare_slot_elements(&w->plan->slots[i]);
    return values;
}

static enum pare_status find(void *context, const struct pare_slot *slot,
                             struct pare_weight *weight, struct pare_error *err)
{
    struct weights *w = context;
    for (size_t i = 0; i < w->plan->count; i++)
        if (!strcmp(w->plan->slots[i].name, slot->name)) {
            *weight = (struct pare_weight){.type = PARE_F32,
                                           .N = slot->n_dims == 2 ? slot->shape[0] : 1,
                                           .K = slot->shape[slot->n_dims - 1],
                                           .data = slot_values(w, i)};
            return PARE_OK;
        }
    return pare_fail(err, PARE_ERR_INTERNAL, "%s is not in the plan", slot->name);
}

/* What was seen of a site: all rows behind each other. */
struct seen {
    struct pare_walk_site site;
    float *X, *original;
    size_t rows;
    int passes;
    struct pare_gram gram;
};

#define MOST_SITES 32

struct world {
    struct pare_config config;
    struct random_model model;
    struct random_batch batches[BATCHES];
    struct pare_batch plain[BATCHES];
    struct weights now, original;
    size_t tokens;
    struct seen seen[MOST_SITES];
    size_t n_seen;
    int replace;         /* solve changes weights */
    int refuse;          /* inputs of this part fail */
    int next_part, open; /* what begin expects, and whether a part is going on */
    struct pare_arena scratch;
    /* compare */
    int sequential, both;
    size_t compared;
    int bound;
};

static void set_up(struct world *w, const struct pare_config *config)
{
    memset(w, 0, sizeof *w);
    w->config = *config;
    w->refuse = -2;
    w->next_part = PARE_PART_EMBEDDINGS;
    OK(random_model_make(config, 11, 0.2f, 0, &w->model, &err));
    size_t total = 0;
    for (size_t i = 0; i < w->model.plan.count; i++)
        total += pare_slot_elements(&w->model.plan.slots[i]);
    float *copy = malloc(total * sizeof *copy);
    memcpy(copy, w->model.weights, total * sizeof *copy);
    w->original = (struct weights){&w->model.plan, w->model.weights};
    w->now = (struct weights){&w->model.plan, copy};
    for (int b = 0; b < BATCHES; b++) {
        OK(random_batch_make(config, lengths[b], counts[b], 3 + (uint64_t)b,
                             &w->batches[b], &err));
        w->plain[b] = w->batches[b].batch;
        w->tokens += w->plain[b].n_tokens;
    }
}

static void tear_down(struct world *w)
{
    for (size_t i = 0; i < w->n_seen; i++) {
        free(w->seen[i].X);
        free(w->seen[i].original);
        pare_gram_free(&w->seen[i].gram);
    }
    for (int b = 0; b < BATCHES; b++)
        random_batch_free(&w->batches[b]);
    free(w->now.values);
    pare_arena_free(&w->scratch);
    random_model_free(&w->model);
}

/* --- The visitor ------------------------------------------------------------------ */

static enum pare_status begin(void *context, int part, struct pare_error *err)
{
    struct world *w = context;
    (void)err;
    cr_assert_eq(part, w->next_part);
    cr_assert(!w->open);
    w->open = 1;
    return PARE_OK;
}

static enum pare_status end(void *context, int part, struct pare_error *err)
{
    struct world *w = context;
    (void)err;
    cr_assert_eq(part, w->next_part++);
    cr_assert(w->open);
    w->open = 0;
    return PARE_OK;
}

static int wants_all(void *context, const struct pare_walk_site *site)
{
    (void)context;
    (void)site;
    return 1;
}

static struct seen *seen_at(struct world *w, const struct pare_walk_site *site)
{
    for (size_t i = 0; i < w->n_seen; i++)
        if (w->seen[i].site.part == site->part && w->seen[i].site.site == site->site)
            return &w->seen[i];
    cr_assert(w->n_seen < MOST_SITES);
    struct seen *seen = &w->seen[w->n_seen++];
    seen->site = *site;
    seen->X = malloc(w->tokens * site->K * sizeof *seen->X);
    seen->original = malloc(w->tokens * site->K * sizeof *seen->X);
    OK(pare_gram_init(&seen->gram, site->K, &err));
    return seen;
}

static enum pare_status inputs(void *context, const struct pare_walk_site *site,
                               const float *X, const float *original, size_t rows,
                               struct pare_error *err)
{
    struct world *w = context;
    if (site->part == w->refuse)
        return pare_fail(err, PARE_ERR_INPUT, "no more of this");
    struct seen *seen = seen_at(w, site);
    const size_t at = seen->rows * site->K;
    cr_assert(w->open && site->part == w->next_part);
    cr_assert_eq(original != NULL, w->both);
    cr_assert_leq(rows, PARE_WALK_ROWS);
    memcpy(seen->X + at, X, rows * site->K * sizeof *X);
    if (original)
        memcpy(seen->original + at, original, rows * site->K * sizeof *X);
    seen->rows += rows;
    return pare_gram_add(&seen->gram, X, rows, site->K, &w->scratch, err);
}

static void change(const struct weights *weights, size_t slot)
{
    float *values = slot_values(weights, slot);
    for (size_t i = 0; i < pare_slot_elements(&weights->plan->slots[slot]); i++)
        values[i] = rintf(values[i] * 8) / 8;
}

static const float *tape_of(const struct pare_acts *acts,
                            const struct pare_walk_site *site, size_t *rows,
                            const struct pare_batch *batch)
{
    *rows = site->first ? batch->n_seq : batch->n_tokens;
    if (site->site == PARE_SITE_POOLER)
        return acts->first;
    if (site->site == PARE_SITE_CLASSIFIER)
        return acts->pooled ? acts->pooled : acts->first;
    const struct pare_block_acts *block = &acts->blocks[site->part];
    switch (site->site) {
    case PARE_SITE_ATTN_OUT: return block->context;
    case PARE_SITE_UP: return block->attn_normed;
    case PARE_SITE_DOWN: return block->up_act;
    default: return block->input;
    }
}

/* What was seen of the site is what a whole forward with those weights computes. */
static void compare_site(const struct world *w, const struct pare_walk_site *site,
                         const struct weights *weights, const float *X)
{
    struct pare_weight_source source = {.find = find, .context = (void *)weights};
    struct pare_model *model;
    struct pare_acts acts = {.tape = 1, .first_only = w->config.labels > 0};
    OK(pare_model_bind(&w->config, &source, &model, &err));
    for (int b = 0; b < BATCHES; b++) {
        const struct pare_batch *batch = &w->plain[b];
        size_t rows;
        OK(pare_forward(model, batch, NULL, &acts, &err));
        const float *tape = tape_of(&acts, site, &rows, batch);
        for (size_t r = 0; r < rows; r++) {
            const size_t from = site->site == PARE_SITE_Q ? batch->starts[r] : r;
            cr_assert_arr_eq(X, tape + from * site->K, site->K * sizeof *X,
                             "part %d, site %d, batch %d, row %zu", site->part,
                             (int)site->site, b, r);
            X += site->K;
        }
    }
    pare_acts_free(&acts);
    pare_model_free(model);
}

static void expect_rows(const struct world *w, const struct seen *seen)
{
    const int behind = seen->site.site != PARE_SITE_KV && w->config.labels > 0 &&
                       seen->site.part + 1 >= (int)w->config.layers;
    cr_assert_eq(seen->site.first, behind);
    cr_assert_eq(seen->rows, behind ? count_sequences() : w->tokens);
}

/* Sequential: at this moment the weights are as the site saw them, but for Q's beside
 * KV's, on which no input of this stage depends. Else the block's own weights are
 * changed behind the comparison with what its first site saw. */
static enum pare_status solve(void *context, const struct pare_walk_site *site,
                              struct pare_error *err)
{
    struct world *w = context;
    struct seen *seen = seen_at(w, site);
    (void)err;
    expect_rows(w, seen);
    if (w->sequential || !w->replace)
        compare_site(w, site, &w->now, seen->X);
    if (w->both)
        compare_site(w, site, &w->original, seen->original);
    for (int s = 0; w->replace && s < site->n_slots; s++)
        change(&w->now, site->slots[s]);
    w->compared++;
    return PARE_OK;
}

static enum pare_status solve_nothing(void *context, const struct pare_walk_site *site,
                                      struct pare_error *err)
{
    (void)err;
    expect_rows(context, seen_at(context, site));
    return PARE_OK;
}

static void nothing(void *context, const struct pare_walk_site *site)
{
    (void)context;
    (void)site;
}

static struct pare_walk make_walk(struct world *w)
{
    return (struct pare_walk){.config = &w->config,
                              .plan = &w->model.plan,
                              .current = {.find = find, .context = &w->now},
                              .original = {.find = find, .context = &w->original},
                              .batches = w->plain,
                              .n_batches = BATCHES,
                              .sequential = w->sequential,
                              .both = w->both};
}

static struct pare_walk_visitor visitor_of(struct world *w)
{
    return (struct pare_walk_visitor){.context = w,
                                      .begin = begin,
                                      .wants = wants_all,
                                      .inputs = inputs,
                                      .solve = solve,
                                      .end = end};
}

static void walk(struct world *w)
{
    const struct pare_walk walk = make_walk(w);
    const struct pare_walk_visitor visitor = visitor_of(w);
    OK(pare_walk_run(&walk, &visitor, &err));
    cr_assert_eq(w->next_part, (int)w->config.layers + 1);
    cr_assert_eq(w->compared, w->n_seen);
}

/* --- Tests ------------------------------------------------------------------------ */

Test(walk, unchanged_weights_show_the_bits_of_a_whole_forward)
{
    const struct pare_config configs[] = {classifier, encoder()};
    static const size_t sites[] = {4 + 4 + 5 + 2, 4 + 4};
    for (int c = 0; c < 2; c++)
        for (int mode = 0; mode < 4; mode++) {
            struct world w;
            set_up(&w, &configs[c]);
            w.sequential = mode & 1;
            w.both = mode >> 1;
            walk(&w);
            cr_assert_eq(w.n_seen, sites[c]);
            tear_down(&w);
        }
}

/* Each site sees replaced weights before it and original ones from itself on. */
Test(walk, sites_one_after_the_other_see_what_the_replaced_ones_compute)
{
    for (int both = 0; both < 2; both++) {
        struct world w;
        set_up(&w, &classifier);
        w.sequential = w.replace = 1;
        w.both = both;
        walk(&w);
        tear_down(&w);
    }
}

/* All sites of a part see the parts before it replaced, and the part itself as it was. */
Test(walk, a_part_at_once_sees_what_replaced_parts_compute)
{
    struct world w;
    set_up(&w, &classifier);
    w.replace = w.both = 1;
    walk(&w);
    struct weights then = {&w.model.plan, NULL};
    size_t total = 0;
    for (size_t i = 0; i < w.model.plan.count; i++)
        total += pare_slot_elements(&w.model.plan.slots[i]);
    then.values = malloc(total * sizeof(float));
    memcpy(then.values, w.model.weights, total * sizeof(float));
    int part = 0;
    for (size_t i = 0; i < w.n_seen; i++) {
        const struct pare_walk_site *site = &w.seen[i].site;
        for (; part < site->part; part++)
            for (size_t s = 0; s < w.model.plan.count; s++)
                if (w.model.plan.slots[s].layer == part &&
                    pare_slot_is_matrix(&w.model.plan.slots[s]))
                    change(&then, s);
        compare_site(&w, site, &then, w.seen[i].X);
    }
    free(then.values);
    tear_down(&w);
}

Test(walk, second_moments_are_those_of_the_rows)
{
    struct world w;
    set_up(&w, &classifier);
    walk(&w);
    for (size_t s = 0; s < w.n_seen; s++) {
        const struct seen *seen = &w.seen[s];
        const size_t K = seen->site.K;
        cr_assert_eq(seen->gram.rows, seen->rows);
        for (size_t i = 0; i < K; i++)
            for (size_t j = i; j < K; j++) {
                double sum = 0, size = 0;
                for (size_t t = 0; t < seen->rows; t++) {
                    double x = (double)seen->X[t * K + i] * (double)seen->X[t * K + j];
                    sum += x;
                    size += fabs(x);
                }
                cr_assert_float_eq(seen->gram.sum[pare_gram_at(K, i) + j - i], sum,
                                   4e-6 * size);
            }
    }
    tear_down(&w);
}

/* Bit for bit as if all rows of a batch had been added at once. */
Test(walk, second_moments_do_not_notice_how_batches_are_shown)
{
    struct world w;
    set_up(&w, &classifier);
    cr_assert_gt(w.plain[1].n_tokens, PARE_WALK_ROWS);
    walk(&w);
    for (size_t s = 0; s < w.n_seen; s++) {
        const struct seen *seen = &w.seen[s];
        const float *X = seen->X;
        struct pare_gram gram;
        OK(pare_gram_init(&gram, seen->site.K, &err));
        for (int b = 0; b < BATCHES; b++) {
            const size_t rows = seen->site.first ? w.plain[b].n_seq : w.plain[b].n_tokens;
            OK(pare_gram_add(&gram, X, rows, seen->site.K, &w.scratch, &err));
            X += rows * seen->site.K;
        }
        cr_assert_arr_eq(gram.sum, seen->gram.sum, pare_gram_bytes(seen->site.K));
        pare_gram_free(&gram);
    }
    tear_down(&w);
}

static enum pare_status seen_thrice(void *context, const struct pare_walk_site *site,
                                    int *again, struct pare_error *err)
{
    struct world *w = context;
    struct seen *seen = seen_at(w, site);
    (void)err;
    expect_rows(w, seen);
    *again = ++seen->passes < 3;
    seen->rows = *again ? 0 : seen->rows;
    return PARE_OK;
}

/* Each pass shows the same rows, also behind parts that were replaced. */
Test(walk, as_many_passes_as_the_visitor_asks_for)
{
    struct world w[2];
    for (int i = 0; i < 2; i++) {
        set_up(&w[i], &classifier);
        w[i].replace = w[i].both = 1;
        struct pare_walk walk = make_walk(&w[i]);
        struct pare_walk_visitor visitor = visitor_of(&w[i]);
        visitor.replace = nothing;
        visitor.seen = i ? seen_thrice : NULL;
        visitor.solve = solve_nothing;
        walk.one_site = 1;
        OK(pare_walk_run(&walk, &visitor, &err));
    }
    cr_assert_eq(w[0].n_seen, w[1].n_seen);
    for (size_t s = 0; s < w[0].n_seen; s++) {
        const struct seen *a = &w[0].seen[s], *b = &w[1].seen[s];
        cr_assert_eq(b->passes, 3);
        cr_assert_eq(b->gram.rows, 3 * a->gram.rows);
        cr_assert_arr_eq(a->X, b->X, a->rows * a->site.K * sizeof *a->X);
        cr_assert_arr_eq(a->original, b->original, a->rows * a->site.K * sizeof *a->X);
    }
    tear_down(&w[0]);
    tear_down(&w[1]);
}

static int always(void *context, int part)
{
    (void)context;
    (void)part;
    return 1;
}

static void count_bound(void *context, int part)
{
    struct world *w = context;
    (void)part;
    w->bound++;
}

/* Weights that are the original ones are in memory once while inputs are seen. */
Test(walk, the_same_weights_are_bound_once)
{
    struct world w[2];
    for (int i = 0; i < 2; i++) {
        set_up(&w[i], &classifier);
        w[i].replace = w[i].both = 1;
        struct pare_walk walk = make_walk(&w[i]);
        struct pare_walk_visitor visitor = visitor_of(&w[i]);
        visitor.same = i ? always : NULL;
        visitor.bound = count_bound;
        OK(pare_walk_run(&walk, &visitor, &err));
    }
    /* Embeddings twice; blocks and the head twice each, and blocks twice to go on. */
    cr_assert_eq(w[0].bound, 2 + 2 * 4 + 2 * 3);
    cr_assert_eq(w[1].bound, 2 + 4 + 2 * 3);
    for (size_t s = 0; s < w[0].n_seen; s++) {
        const struct seen *a = &w[0].seen[s], *b = &w[1].seen[s];
        cr_assert_arr_eq(a->X, b->X, a->rows * a->site.K * sizeof *a->X);
        cr_assert_arr_eq(a->original, b->original, a->rows * a->site.K * sizeof *a->X);
    }
    tear_down(&w[0]);
    tear_down(&w[1]);
}

Test(walk, bits_do_not_depend_on_threads)
{
    static const int threads[] = {1, 2, 3, 7};
    struct world w[4];
    for (int t = 0; t < 4; t++) {
        pare_set_threads(threads[t]);
        set_up(&w[t], &classifier);
        w[t].replace = w[t].both = 1;
        walk(&w[t]);
        for (size_t s = 0; s < w[0].n_seen; s++) {
            const struct seen *a = &w[0].seen[s], *b = &w[t].seen[s];
            cr_assert_arr_eq(a->X, b->X, a->rows * a->site.K * sizeof *a->X);
            cr_assert_arr_eq(a->gram.sum, b->gram.sum, pare_gram_bytes(a->site.K));
        }
    }
    for (int t = 0; t < 4; t++)
        tear_down(&w[t]);
}

static int wants_down(void *context, const struct pare_walk_site *site)
{
    (void)context;
    return site->site == PARE_SITE_DOWN && site->part == 1;
}

Test(walk, only_wanted_sites_are_seen)
{
    struct world w;
    set_up(&w, &classifier);
    const struct pare_walk walk = make_walk(&w);
    struct pare_walk_visitor visitor = visitor_of(&w);
    visitor.wants = wants_down;
    OK(pare_walk_run(&walk, &visitor, &err));
    cr_assert_eq(w.n_seen, 1);
    cr_assert_eq(w.seen[0].site.K, classifier.ffn);
    cr_assert_eq(w.compared, 1);
    tear_down(&w);
}

Test(walk, sites_name_the_matrices_that_read_them)
{
    struct world w;
    set_up(&w, &classifier);
    struct pare_walk_site sites[PARE_WALK_SITES];
    size_t matrices = 0;
    for (int part = PARE_PART_EMBEDDINGS; part <= (int)classifier.layers; part++) {
        const int n = pare_walk_sites(&classifier, &w.model.plan, part, sites);
        for (int s = 0; s < n; s++)
            for (int i = 0; i < sites[s].n_slots; i++) {
                const struct pare_slot *slot = &w.model.plan.slots[sites[s].slots[i]];
                cr_assert(slot->role == PARE_ROLE_LINEAR || slot->role == PARE_ROLE_HEAD);
                cr_assert_eq(slot->layer, part < (int)classifier.layers ? part : -1);
                cr_assert_eq(slot->shape[1], sites[s].K);
                matrices++;
            }
    }
    cr_assert_eq(matrices, 3 * 6 + 2);
    tear_down(&w);
}

Test(walk, errors_and_interruptions_end_it)
{
    struct world w;
    struct pare_error err = {""};
    set_up(&w, &classifier);
    w.refuse = 1;
    w.both = 1;
    struct pare_walk walk = make_walk(&w);
    const struct pare_walk_visitor visitor = visitor_of(&w);
    cr_assert_eq(pare_walk_run(&walk, &visitor, &err), PARE_ERR_INPUT);
    cr_assert_str_eq(err.message, "no more of this");
    tear_down(&w);

    set_up(&w, &classifier);
    walk = make_walk(&w);
    pare_interrupt(2);
    cr_assert_eq(pare_walk_run(&walk, &visitor, &err), PARE_ERR_INTERRUPTED);
    pare_interrupt(0);
    w.batches[1].ids[3] = 61;
    w.next_part = PARE_PART_EMBEDDINGS;
    w.open = 0;
    cr_assert_eq(pare_walk_run(&walk, &visitor, &err), PARE_ERR_INPUT);
    cr_assert_str_eq(err.message, "token id 61 is outside the vocabulary of 61");
    tear_down(&w);
}

/* --- Less memory ------------------------------------------------------------------ */

static void replace(void *context, const struct pare_walk_site *site)
{
    struct world *w = context;
    for (int s = 0; s < site->n_slots; s++)
        change(&w->now, site->slots[s]);
}

/* What a walk saw, hashed; weights change when the walk says so. */
static void digest(int sequential, int both, int one_site, const char *beside,
                   char out[65])
{
    struct world w;
    struct pare_sha256 sha;
    set_up(&w, &classifier);
    w.both = both;
    struct pare_walk walk = make_walk(&w);
    walk.sequential = sequential;
    walk.one_site = one_site;
    walk.spill_beside = beside;
    struct pare_walk_visitor visitor = visitor_of(&w);
    visitor.solve = solve_nothing;
    visitor.replace = replace;
    OK(pare_walk_run(&walk, &visitor, &err));
    pare_sha256_init(&sha);
    for (size_t i = 0; i < w.n_seen; i++) {
        const size_t bytes = w.seen[i].rows * w.seen[i].site.K * sizeof(float);
        cr_assert_gt(bytes, 0);
        pare_sha256_update(&sha, w.seen[i].X, bytes);
        if (both)
            pare_sha256_update(&sha, w.seen[i].original, bytes);
    }
    pare_sha256_hex(&sha, out);
    tear_down(&w);
}

Test(walk, with_less_memory_the_same_is_seen)
{
    struct folder folder = folder_make();
    char beside[256], expected[65], found[65];
    snprintf(beside, sizeof beside, "%s", folder_path(&folder, "out"));
    for (int mode = 0; mode < 4; mode++) {
        digest(mode & 1, mode >> 1, 0, NULL, expected);
        for (int less = 1; less < 4; less++) {
            digest(mode & 1, mode >> 1, less & 1, less & 2 ? beside : NULL, found);
            cr_assert_str_eq(found, expected, "mode %d, less %d", mode, less);
        }
    }
    cr_assert_eq(folder_count(&folder), 0, "a file was left");
    folder_remove(&folder);
}

Test(walk, a_folder_that_is_not_there_cannot_take_hidden_states)
{
    struct world w;
    struct pare_error err = {""};
    set_up(&w, &classifier);
    struct pare_walk walk = make_walk(&w);
    const struct pare_walk_visitor visitor = visitor_of(&w);
    walk.spill_beside = "/nowhere/at/all/out";
    cr_assert_eq(pare_walk_run(&walk, &visitor, &err), PARE_ERR_IO);
    cr_assert(strstr(err.message, "/nowhere/at/all/out") != NULL, "%s", err.message);
    tear_down(&w);
}
