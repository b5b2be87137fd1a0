/* What a run of pare-quantize with a solver needs, before it starts: text, memory, time.
 */
#include <stdio.h>
#include <string.h>

#include "eval/latency.h"
#include "runtime/base/alloc.h"
#include "runtime/model/walk.h"
#include "tools/quantize.h"

int quantize_target(const struct quantize_work *w, size_t i, struct pare_target *target)
{
    const struct pare_slot *slot = &w->stored.plan.slots[i];
    const struct pare_scheme_item *item = &w->items[i];
    if (item->scheme == PARE_SCHEME_KEEP ||
        (slot->role != PARE_ROLE_LINEAR && slot->role != PARE_ROLE_HEAD))
        return 0;
    *target = (struct pare_target){.kind = item->grid.bits ? PARE_TARGET_GROUPS
                                                           : PARE_TARGET_TYPE,
                                   .grid = item->grid,
                                   .type = item->type};
    struct pare_error no;
    return pare_target_check(target, (size_t)slot->shape[1], &no) == PARE_OK;
}

/* --- Rows ------------------------------------------------------------------------- */

/* The sites that a solver needs, in the order of the model. */
struct site_list {
    struct pare_walk_site *sites;
    size_t count;
};

static enum pare_status list_sites(const struct quantize_work *w,
                                   struct pare_arena *arena, struct site_list *list)
{
    const struct pare_config *config = &w->stored.config;
    struct pare_walk_site sites[PARE_WALK_SITES];
    struct pare_target target;
    list->count = 0;
    PARE_TRY(pare_arena_alloc(arena, &list->sites,
                              (size_t)(config->layers + 1) * PARE_WALK_SITES,
                              sizeof *list->sites, w->err));
    for (int part = 0; part <= (int)config->layers; part++) {
        const int n = pare_walk_sites(config, &w->stored.plan, part, sites);
        for (int s = 0; s < n; s++) {
            int wanted = 0;
            for (int i = 0; i < sites[s].n_slots; i++)
                wanted |= quantize_target(w, sites[s].slots[i], &target);
            if (wanted)
                list->sites[list->count++] = sites[s];
        }
    }
    return PARE_OK;
}

/* Twice as many rows as a layer has inputs: a layer that sees only the first token of
 * each sentence needs as many sentences. */
static size_t default_samples(const struct site_list *list)
{
    size_t samples = 512;
    for (size_t i = 0; i < list->count; i++)
        if (list->sites[i].first && 2 * list->sites[i].K > samples)
            samples = 2 * list->sites[i].K;
    return samples;
}

static enum pare_status check_rows(const struct quantize_work *w,
                                   const struct site_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct pare_walk_site *site = &list->sites[i];
        const char *name = w->stored.plan.slots[site->slots[0]].name;
        const size_t rows = site->first ? w->calibration.samples : w->calibration.tokens;
        if (rows < site->K)
            return pare_fail(
                w->err, PARE_ERR_INPUT,
                "tensor %s sees %zu rows of the calibration text (%s), its %zu inputs "
                "need as many; give more text or --samples, or --skip the tensor",
                name, rows,
                site->first ? "the first token of each sentence" : "all tokens", site->K);
    }
    return PARE_OK;
}

static enum pare_status read_text(struct quantize_work *w, struct pare_arena *arena)
{
    const struct calibration_options *o = &w->o->calibration;
    const struct calibration *c = &w->calibration;
    struct site_list list;
    PARE_TRY(list_sites(w, arena, &list));
    if (!list.count)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "--calibration has no use: no matrix in the blocks or the head "
                         "is to become codes");
    PARE_TRY(calibration_read(w->cli, o, &w->stored.ckpt->meta, &w->stored.config,
                              default_samples(&list), &w->calibration, w->err));
    pare_cli_info(w->cli, "%s: %zu of %zu sentences, %zu tokens", o->file, c->samples,
                  c->sentences, c->tokens);
    return check_rows(w, &list);
}

enum pare_status quantize_prepare(struct quantize_work *w)
{
    const struct calibration_options *o = &w->o->calibration;
    struct pare_arena arena = {0};
    enum solver solver;
    PARE_TRY(solver_options_check(&w->o->solver, o->file != NULL, &solver, w->err));
    if ((o->samples || o->length) && !o->file)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "--samples and --length are for --calibration");
    if (solver == SOLVER_RTN)
        return PARE_OK;
    PARE_TRY(pare_arena_alloc(&w->stored.arena, &w->solved, w->stored.plan.count,
                              sizeof *w->solved, w->err));
    memset(w->solved, 0, w->stored.plan.count * sizeof *w->solved);
    enum pare_status status = read_text(w, &arena);
    pare_arena_free(&arena);
    return status;
}

/* --- Costs ------------------------------------------------------------------------ */

struct costs {
    uint64_t hidden, moments, block, solver, batch;
    uint64_t pairs;  /* inputs that the original weights make, of the part */
    double products; /* multiplications and additions in pairs */
};

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* A matrix: packed and as codes; the factor, what the sweep needs; their arithmetic. */
static void add_matrix(const struct quantize_work *w, const struct pare_walk_site *site,
                       size_t slot, uint64_t *block, struct costs *c)
{
    const struct solver_options *o = &w->o->solver;
    const int both = o->correct > 0, passes = (o->sequential ? 5 : 2) * (1 + both);
    const uint64_t K = site->K, N = w->stored.plan.slots[slot].shape[0];
    const double rows =
        (double)(site->first ? w->calibration.samples : w->calibration.tokens);
    struct pare_target target;
    *block += N * K * sizeof(float) * (uint64_t)(1 + both) + w->items[slot].bytes;
    c->products += rows * (double)N * (double)K * passes;
    if (!quantize_target(w, slot, &target))
        return;
    /* Weights, what they become, the sweep's sums and codes; to correct, the moments as
     * float, the aim and the change. */
    const uint64_t solver =
        K * K * sizeof(float) * (uint64_t)(1 + both) + N * K * (uint64_t)(both ? 21 : 13);
    c->solver = larger(c->solver, solver);
    c->products += (1.5 + 2 * both) * (double)N * (double)K * (double)K;
}

static void add_part(const struct quantize_work *w, const struct pare_walk_site *sites,
                     int n, struct costs *c)
{
    const struct solver_options *o = &w->o->solver;
    const int both = o->correct > 0;
    uint64_t block = 0, moments = 0;
    for (int s = 0; s < n; s++) {
        const uint64_t K = sites[s].K;
        const double size = (double)K * (double)K;
        const size_t rows =
            sites[s].first ? w->calibration.samples : w->calibration.tokens;
        struct pare_target target;
        int wanted = 0;
        for (int i = 0; i < sites[s].n_slots; i++) {
            add_matrix(w, &sites[s], sites[s].slots[i], &block, c);
            wanted |= quantize_target(w, sites[s].slots[i], &target);
        }
        if (!wanted)
            continue;
        const uint64_t bytes = pare_gram_bytes(K) + (both ? K * K * sizeof(double) : 0);
        moments = o->sequential ? larger(moments, bytes) : moments + bytes;
        c->products += (double)rows * size * (0.5 + both) + size * (double)K;
        c->pairs += both ? w->calibration.longest * K * 2 * sizeof(float) : 0;
    }
    c->block = larger(c->block, block);
    c->moments = larger(c->moments, moments);
    c->batch = larger(c->batch, c->pairs);
    c->pairs = 0;
}

static struct costs add_costs(const struct quantize_work *w)
{
    const struct pare_config *config = &w->stored.config;
    const uint64_t C = config->hidden, F = config->ffn;
    const uint64_t streams = w->o->solver.correct > 0 ? 2 : 1;
    struct costs c = {.hidden = streams * w->calibration.tokens * C * sizeof(float)};
    for (int part = 0; part <= (int)config->layers; part++) {
        struct pare_walk_site sites[PARE_WALK_SITES];
        add_part(w, sites, pare_walk_sites(config, &w->stored.plan, part, sites), &c);
    }
    c.batch += streams * w->calibration.longest * (7 * C + F) * sizeof(float);
    return c;
}

#define PROBE 512 /* rows, columns and depth of the product that is timed */

/* Seconds that this machine takes for a pair of a multiplication and an addition. */
static enum pare_status time_product(double *pair, struct pare_error *err)
{
    struct pare_arena arena = {0};
    float *A, *C;
    enum pare_status status;
    PARE_TRY_OUT(pare_arena_alloc(&arena, &A, PROBE, PROBE * sizeof *A, err));
    PARE_TRY_OUT(pare_arena_alloc(&arena, &C, PROBE, PROBE * sizeof *C, err));
    memset(A, 0, (size_t)PROBE * PROBE * sizeof *A);
    *pair = 0;
    for (int i = 0; i < 5; i++) {
        const double start = pare_clock_ms();
        PARE_TRY_OUT(pare_gemm(PROBE, PROBE, PROBE, pare_rows(A, PROBE),
                               pare_rows(A, PROBE), C, PROBE, 0, &arena, err));
        const double took = (pare_clock_ms() - start) / 1000 / PROBE / PROBE / PROBE;
        *pair = i == 0 || took < *pair ? took : *pair;
    }
out:
    pare_arena_free(&arena);
    return status;
}

enum pare_status quantize_costs(const struct quantize_work *w)
{
    const struct costs c = add_costs(w);
    char text[7][24];
    uint64_t input = 0;
    double pair;
    for (size_t i = 0; i < w->stored.ckpt->n_tensors; i++)
        input += w->stored.ckpt->tensors[i].bytes;
    PARE_TRY(time_product(&pair, w->err));
    printf(
        "memory: about %s (hidden states %s, second moments %s, a block %s, the solver "
        "%s, a batch %s),\n"
        "        and, as long as nobody else wants it, %s of the container\n",
        pare_cli_bytes(c.hidden + c.moments + c.block + c.solver + c.batch, text[0]),
        pare_cli_bytes(c.hidden, text[1]), pare_cli_bytes(c.moments, text[2]),
        pare_cli_bytes(c.block, text[3]), pare_cli_bytes(c.solver, text[4]),
        pare_cli_bytes(c.batch, text[5]), pare_cli_bytes(input, text[6]));
    printf("time: about %.1f s\n", 1.5 * c.products * pair);
    return PARE_OK;
}
