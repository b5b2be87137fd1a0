/* What a run of pare-quantize with a solver takes of disk and time, and what it says of
 * that and of memory (quantize_memory.c). */
#include <stdio.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/model/walk.h"
#include "tools/quantize_inputs.h"
#include "tools/quantize_moments.h"

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Over the text for a part, with the one that goes on. */
static int count_passes(const struct quantize_work *w, const struct pare_walk_site *sites,
                        int n)
{
    struct pare_target target;
    int passes = 0;
    for (int s = 0; s < n; s++) {
        int wanted = 0;
        for (int i = 0; i < sites[s].n_slots; i++)
            wanted |= quantize_target(w, sites[s].slots[i], &target);
        if (wanted)
            passes +=
                quantize_moments_passes(sites[s].K, quantize_is_both(w), w->saving.bands);
    }
    return 1 + (w->saving.one_site || w->o->solver.sequential ? passes : passes > 0);
}

#define UNIT 128 /* columns of the sweep, whose codes a pass goes through again */

/* To solve for a matrix of NK weights in rows of K. */
static double solver_products(const struct quantize_work *w, double NK, double K)
{
    const double passes = quantize_is_nearest(w) ? 0 : w->o->solver.passes;
    return NK * ((1.5 + 2 * quantize_is_both(w)) * K + 1.5 * UNIT * passes);
}

/* Multiplications and additions, in pairs. */
static double add_products(const struct quantize_work *w)
{
    const struct pare_config *config = &w->stored.config;
    const int both = quantize_is_both(w);
    double products = 0;
    for (int part = 0; part <= (int)config->layers; part++) {
        struct pare_walk_site sites[PARE_WALK_SITES];
        const int n = pare_walk_sites(config, &w->stored.plan, part, sites);
        const int passes = count_passes(w, sites, n);
        for (int s = 0; s < n; s++) {
            const double K = (double)sites[s].K;
            const double rows =
                (double)(sites[s].first ? w->calibration.samples : w->calibration.tokens);
            struct pare_target target;
            int wanted = 0;
            for (int i = 0; i < sites[s].n_slots; i++) {
                const size_t slot = sites[s].slots[i];
                const double NK = (double)w->stored.plan.slots[slot].shape[0] * K;
                const int solved = quantize_target(w, slot, &target);
                wanted |= solved;
                products += rows * NK * passes * (1 + both);
                products += solved ? solver_products(w, NK, K) : 0;
            }
            products += wanted ? K * K * (rows * (0.5 + both) + K) : 0;
        }
    }
    return products;
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

/* Of second moments in a file, for the site that has the most of them. */
static uint64_t moments_in_file(const struct quantize_work *w)
{
    uint64_t most = 0;
    struct pare_target target;
    for (size_t i = 0; i < w->stored.plan.count; i++)
        if (quantize_target(w, i, &target))
            most = larger(most,
                          quantize_moments_file((size_t)w->stored.plan.slots[i].shape[1],
                                                quantize_is_both(w), w->saving.bands));
    return most;
}

static void add_disk(const struct quantize_work *w, struct quantize_costs *c)
{
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        c->container += w->items[i].bytes;
        c->partial += w->items[i].scheme == PARE_SCHEME_KEEP ? 0 : w->items[i].bytes;
    }
    if (w->saving.spill)
        c->hidden = (uint64_t)(1 + quantize_is_both(w)) * w->calibration.tokens *
                    w->stored.config.hidden * sizeof(float);
    c->moments = moments_in_file(w);
}

enum pare_status quantize_costs(const struct quantize_work *w, struct quantize_costs *c)
{
    double pair, products;
    *c = (struct quantize_costs){.memory = quantize_memory(w)};
    PARE_TRY(time_product(&pair, w->err));
    quantize_survey_costs(w, &c->survey, &products);
    add_disk(w, c);
    c->seconds = 1.5 * (add_products(w) + products) * pair;
    return PARE_OK;
}

static void print_savings(const struct quantize_saving *saving)
{
    if (!saving->slices)
        return;
    printf("        to fit: matrices in slices%s",
           saving->spill ? ", hidden states in a file" : "");
    if (saving->bands)
        printf(", passes over the text for each layer, second moments in a file in %d "
               "bands or more",
               saving->bands);
    else if (saving->one_site)
        printf(", a pass over the text for each layer");
    printf("\n");
}

void quantize_print_costs(const struct quantize_work *w, const struct quantize_costs *c)
{
    const struct quantize_memory *m = &c->memory;
    char text[6][24];
    printf("memory: about %s (hidden states %s, second moments %s, a block %s, a batch "
           "%s, the solver %s)\n",
           pare_cli_bytes(m->all, text[0]), pare_cli_bytes(m->hidden, text[1]),
           pare_cli_bytes(m->moments, text[2]), pare_cli_bytes(m->block, text[3]),
           pare_cli_bytes(m->batch, text[4]), pare_cli_bytes(m->solver, text[5]));
    print_savings(&w->saving);
    if (c->survey)
        printf("        of it the survey of inputs, before the rest: %s\n",
               pare_cli_bytes(c->survey, text[0]));
    printf("disk: about %s (the container %s, OUTPUT.partial %s, hidden states %s, "
           "second moments %s)\n",
           pare_cli_bytes(c->container + c->partial + c->hidden + c->moments, text[0]),
           pare_cli_bytes(c->container, text[1]), pare_cli_bytes(c->partial, text[2]),
           pare_cli_bytes(c->hidden, text[3]), pare_cli_bytes(c->moments, text[4]));
    printf("time: about %.1f s\n", c->seconds);
    if (quantize_has_budget(w->o))
        printf("        without the measuring of formats, which has been done: a run "
               "does it again\n");
}

int quantize_costs_json(const struct quantize_costs *c, cJSON *json)
{
    const struct quantize_memory *m = &c->memory;
    const uint64_t disk = c->container + c->partial + c->hidden + c->moments;
    cJSON *plan = cJSON_AddObjectToObject(json, "plan");
    return plan && cJSON_AddNumberToObject(plan, "memory", (double)m->all) &&
           cJSON_AddNumberToObject(plan, "memory_hidden_states", (double)m->hidden) &&
           cJSON_AddNumberToObject(plan, "memory_second_moments", (double)m->moments) &&
           cJSON_AddNumberToObject(plan, "memory_block", (double)m->block) &&
           cJSON_AddNumberToObject(plan, "memory_batch", (double)m->batch) &&
           cJSON_AddNumberToObject(plan, "memory_solver", (double)m->solver) &&
           cJSON_AddNumberToObject(plan, "disk", (double)disk) &&
           cJSON_AddNumberToObject(plan, "seconds", c->seconds);
}
