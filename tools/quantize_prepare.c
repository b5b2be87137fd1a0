/* What a run of pare-quantize with a solver needs, before it starts: text, memory, time.
 */
#include <stdio.h>
#include <string.h>

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

int quantize_part_of(const struct pare_stored *stored, size_t i)
{
    const struct pare_plan *plan = &stored->plan;
    size_t blocks = 0;
    while (plan->slots[blocks].layer < 0)
        blocks++;
    if (plan->slots[i].layer >= 0)
        return plan->slots[i].layer;
    return i < blocks ? PARE_PART_EMBEDDINGS : (int)stored->config.layers;
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
    if (!list.count && !quantize_has_budget(w->o))
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "--calibration has no use: no matrix in the blocks or the head "
                         "is to become codes");
    PARE_TRY(calibration_read(w->cli, o, &w->stored.ckpt->meta, &w->stored.config,
                              default_samples(&list), &w->calibration, w->err));
    pare_cli_info(w->cli, "%s: %zu of %zu sentences, %zu tokens", o->file, c->samples,
                  c->sentences, c->tokens);
    return w->rounds ? PARE_OK : check_rows(w, &list);
}

enum pare_status quantize_prepare(struct quantize_work *w)
{
    const struct calibration_options *o = &w->o->calibration;
    struct pare_arena arena = {0};
    enum solver solver;
    PARE_TRY(input_options_check(&w->o->inputs, o->file != NULL, w->err));
    PARE_TRY(solver_options_check(&w->o->solver, o->file != NULL,
                                  input_options_any(&w->o->inputs), &solver, w->err));
    if ((o->samples || o->length) && !o->file)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "--samples and --length are for --calibration");
    w->rounds = solver == SOLVER_RTN;
    if (!o->file)
        return quantize_memory_fit(w);
    PARE_TRY(pare_arena_alloc(&w->stored.arena, &w->solved, w->stored.plan.count,
                              sizeof *w->solved, w->err));
    memset(w->solved, 0, w->stored.plan.count * sizeof *w->solved);
    enum pare_status status = read_text(w, &arena);
    pare_arena_free(&arena);
    return status == PARE_OK ? quantize_memory_fit(w) : status;
}
