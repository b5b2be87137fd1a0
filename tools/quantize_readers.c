/* Matrices that read the same inputs: see quantize_readers.h. */
#include "tools/quantize_readers.h"

#include <string.h>

#include "runtime/model/container.h"

static int is_matrix_of_layer(const struct pare_slot *slot)
{
    return slot->role == PARE_ROLE_LINEAR || slot->role == PARE_ROLE_HEAD;
}

struct quantize_readers quantize_readers_of(const struct quantize_work *w,
                                            const struct pare_walk_site *site)
{
    const struct pare_plan *plan = &w->stored.plan;
    char wanted[PARE_INPUT_NAME_SIZE], name[PARE_INPUT_NAME_SIZE];
    struct quantize_readers readers = {0};
    pare_input_scale_name(plan->slots[site->slots[0]].name, wanted);
    for (size_t i = 0; i < plan->count; i++) {
        if (!is_matrix_of_layer(&plan->slots[i]))
            continue;
        pare_input_scale_name(plan->slots[i].name, name);
        if (!strcmp(name, wanted))
            readers.slots[readers.n++] = i;
    }
    return readers;
}

int quantize_all_solved(const struct quantize_work *w,
                        const struct quantize_readers *readers)
{
    struct pare_target target;
    for (int i = 0; i < readers->n; i++) {
        const struct pare_weight now = pare_stored_weight(&w->stored, readers->slots[i]);
        if (!quantize_target(w, readers->slots[i], &target) || now.input_scale)
            return 0;
    }
    return 1;
}

int quantize_all_int8(const struct quantize_work *w,
                      const struct quantize_readers *readers)
{
    for (int i = 0; i < readers->n; i++) {
        const struct pare_scheme_item *item = &w->items[readers->slots[i]];
        if (item->type != PARE_I8 || item->grid.bits)
            return 0;
    }
    return 1;
}

/* The first reader for which the site goes without factors; or without a range. */
static size_t in_the_way(const struct quantize_work *w,
                         const struct quantize_readers *readers, int of_range)
{
    struct pare_target target;
    for (int i = 0; i < readers->n; i++) {
        const size_t slot = readers->slots[i];
        const struct pare_weight now = pare_stored_weight(&w->stored, slot);
        if (!quantize_target(w, slot, &target) || now.input_scale ||
            (of_range && (target.kind != PARE_TARGET_TYPE || target.type != PARE_I8)))
            return slot;
    }
    return w->stored.plan.count;
}

static const char *reason_of(const struct quantize_work *w, size_t slot)
{
    if (pare_stored_weight(&w->stored, slot).input_scale)
        return "has factors already";
    return w->items[slot].scheme == PARE_SCHEME_KEEP ? "is left as it is"
                                                     : "becomes another format";
}

/* A matrix that goes without what was asked for, since others share its inputs. */
static void tell_left_out(const struct quantize_work *w,
                          const struct pare_walk_site *site, int factors_wanted)
{
    const struct quantize_readers readers = quantize_readers_of(w, site);
    const size_t count = w->stored.plan.count;
    const size_t no_factors = factors_wanted ? in_the_way(w, &readers, 0) : count;
    const size_t no_range = w->o->inputs.is_static ? in_the_way(w, &readers, 1) : count;
    const size_t other = no_factors < count ? no_factors : no_range;
    struct pare_target target;
    for (int i = 0; other < count && i < readers.n; i++) {
        const size_t slot = readers.slots[i];
        const int solved = quantize_target(w, slot, &target);
        const int int8 =
            solved && target.kind == PARE_TARGET_TYPE && target.type == PARE_I8;
        const int factors = solved && no_factors < count;
        const int range = int8 && no_range < count;
        if (slot == other || (!factors && !range))
            continue;
        pare_cli_warn(w->cli, "tensor %s: its inputs get %s: %s reads them too, and %s",
                      w->stored.plan.slots[slot].name,
                      !range    ? "no factors"
                      : factors ? "neither factors nor a static range"
                                : "no static range",
                      w->stored.plan.slots[other].name, reason_of(w, other));
        return;
    }
}

void quantize_tell_left_out(const struct quantize_work *w, int factors)
{
    const struct pare_config *config = &w->stored.config;
    for (int part = 0; part <= (int)config->layers; part++) {
        struct pare_walk_site sites[PARE_WALK_SITES];
        const int n = pare_walk_sites(config, &w->stored.plan, part, sites);
        for (int i = 0; i < n; i++)
            if (sites[i].site != PARE_SITE_Q)
                tell_left_out(w, &sites[i], factors);
    }
}
