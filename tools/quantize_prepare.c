/* What a run of pare-quantize with a solver needs, before it starts: text, memory, time.
 */
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/model/walk.h"
#include "tools/calibration_sites.h"
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

static int is_solved(const void *context, size_t i)
{
    struct pare_target target;
    return quantize_target(context, i, &target);
}

static enum pare_status read_text(struct quantize_work *w, struct pare_arena *arena)
{
    const struct calibration_options *o = &w->o->calibration;
    struct calibration_sites list;
    PARE_TRY(calibration_sites_list(&w->stored, is_solved, w, arena, &list, w->err));
    if (!list.count && !quantize_has_budget(w->o))
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "--calibration has no use: no matrix in the blocks or the head "
                         "is to become codes");
    PARE_TRY(
        calibration_sites_read(w->cli, o, &w->stored, &list, &w->calibration, w->err));
    return w->rounds
               ? PARE_OK
               : calibration_sites_check(&w->stored, &list, &w->calibration, w->err);
}

enum pare_status quantize_prepare(struct quantize_work *w)
{
    const struct calibration_options *o = &w->o->calibration;
    struct pare_arena arena = {0};
    enum solver solver;
    PARE_TRY(solver_options_check(&w->o->solver, o->file != NULL,
                                  input_options_any(&w->o->inputs), &solver, w->err));
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
