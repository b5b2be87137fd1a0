#include "tools/calibration_sites.h"

enum pare_status calibration_sites_list(const struct pare_stored *stored,
                                        int (*wants)(const void *context, size_t slot),
                                        const void *context, struct pare_arena *arena,
                                        struct calibration_sites *list,
                                        struct pare_error *err)
{
    const struct pare_config *config = &stored->config;
    struct pare_walk_site sites[PARE_WALK_SITES];
    list->count = 0;
    PARE_TRY(pare_arena_alloc(arena, &list->sites,
                              (size_t)(config->layers + 1) * PARE_WALK_SITES,
                              sizeof *list->sites, err));
    for (int part = 0; part <= (int)config->layers; part++) {
        const int n = pare_walk_sites(config, &stored->plan, part, sites);
        for (int s = 0; s < n; s++) {
            int wanted = 0;
            for (int i = 0; i < sites[s].n_slots; i++)
                wanted |= wants(context, sites[s].slots[i]);
            if (wanted)
                list->sites[list->count++] = sites[s];
        }
    }
    return PARE_OK;
}

/* Twice as many rows as a layer has inputs: a layer that sees only the first token of
 * each sentence needs as many sentences. */
static size_t default_samples(const struct calibration_sites *list)
{
    size_t samples = 512;
    for (size_t i = 0; i < list->count; i++)
        if (list->sites[i].first && 2 * list->sites[i].K > samples)
            samples = 2 * list->sites[i].K;
    return samples;
}

enum pare_status calibration_sites_read(struct pare_cli *cli,
                                        const struct calibration_options *o,
                                        const struct pare_stored *stored,
                                        const struct calibration_sites *list,
                                        struct calibration *c, struct pare_error *err)
{
    PARE_TRY(calibration_read(cli, o, &stored->ckpt->meta, &stored->config,
                              default_samples(list), c, err));
    pare_cli_info(cli, "%s: %zu of %zu sentences, %zu tokens", o->file, c->samples,
                  c->sentences, c->tokens);
    return PARE_OK;
}

enum pare_status calibration_sites_check(const struct pare_stored *stored,
                                         const struct calibration_sites *list,
                                         const struct calibration *c,
                                         struct pare_error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct pare_walk_site *site = &list->sites[i];
        const char *name = stored->plan.slots[site->slots[0]].name;
        const size_t rows = site->first ? c->samples : c->tokens;
        if (rows < site->K)
            return pare_fail(
                err, PARE_ERR_INPUT,
                "tensor %s sees %zu rows of the calibration text (%s), its %zu inputs "
                "need as many; give more text or --samples, or --skip the tensor",
                name, rows,
                site->first ? "the first token of each sentence" : "all tokens", site->K);
    }
    return PARE_OK;
}
