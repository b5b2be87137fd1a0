/* What a run of pare-quantize with a solver takes, and how it is made to take less: see
 * quantize.h. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/parallel.h"
#include "runtime/model/walk.h"
#include "tools/quantize_inputs.h"
#include "tools/quantize_moments.h"
#include "tools/sizes.h"

#define BASE ((uint64_t)16 << 20)    /* the program, its libraries, the vocabulary */
#define THREAD ((uint64_t)128 << 10) /* its stack, and what the system has of it */
#define MARGIN 32                    /* of the rest, one part more: what is not listed */
#define PASS PARE_WALK_ROWS     /* rows that are packed together for second moments */
#define UNIT 128                /* columns of the sweep */
#define SLICE ((size_t)1 << 20) /* weights that are solved for together, when few */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

int quantize_is_both(const struct quantize_work *w)
{
    return solver_options_correction(&w->o->solver) > 0;
}

size_t quantize_slice_rows(const struct quantize_work *w, size_t N, size_t K)
{
    if (!w->saving.slices)
        return N;
    const size_t rows = SLICE / K / PARE_SWEEP_ROWS * PARE_SWEEP_ROWS;
    return rows < PARE_SWEEP_ROWS ? PARE_SWEEP_ROWS : rows < N ? rows : N;
}

/* What a pass over some sites of a part holds: moments while inputs are seen and while
 * matrices are solved for; rows that are seen; what is packed of them. */
struct pass {
    uint64_t seeing, solving, rows, packed, solver;
    uint64_t seen_by; /* scratch that each thread has while inputs are seen */
};

/* What all threads take to solve for the target. */
static uint64_t workers_bytes(const struct quantize_work *w,
                              const struct pare_target *target, size_t K)
{
    const struct pare_gptq_options options = quantize_gptq_options(w, target);
    const uint64_t bytes = quantize_is_nearest(w) ? pare_grids_worker_bytes(target, K)
                                                  : pare_gptq_worker_bytes(&options, K);
    return (uint64_t)pare_threads() * bytes;
}

static void add_slot(const struct quantize_work *w, const struct pare_walk_site *site,
                     size_t slot, struct pass *pass)
{
    const uint64_t both = quantize_is_both(w), K = site->K;
    const size_t N = (size_t)w->stored.plan.slots[slot].shape[0];
    const uint64_t rows = quantize_slice_rows(w, N, site->K);
    struct pare_target target;
    if (!quantize_target(w, slot, &target))
        return;
    /* While a factor is made: H and packed panels. With it: to correct, a panel of
     * moments as float; of the rows the weights, what they become, the sweep's sums and
     * codes, the aim and the change; packed panels, and inverses of the sweep's units. */
    const uint64_t factor = K * K * sizeof(float), packed = K * PASS * sizeof(float);
    const uint64_t H = pare_gram_bytes(site->K);
    const uint64_t correcting = both * PARE_CROSS_COLUMNS * K * sizeof(float);
    const uint64_t solving = factor + correcting + rows * K * (both ? 21 : 13) + packed +
                             3 * K * UNIT * sizeof(float) +
                             workers_bytes(w, &target, site->K);
    if (w->saving.bands && !quantize_compares(w))
        pass->solver = larger(pass->solver, larger(H + factor + packed, solving));
    else /* H of all sites is part of the moments */
        pass->solver = larger(pass->solver, (w->saving.bands ? H : 0) + solving);
}

/* Whether inputs may be multiplied by factors when they are seen. */
static int is_scaled(const struct quantize_work *w, size_t slot)
{
    struct pare_smooth_choice candidates[INPUT_CANDIDATES];
    struct pare_error no;
    size_t n = 0;
    int fixed;
    if (quantize_input_scale(w, slot))
        return 1;
    return input_options_candidates(&w->o->inputs, candidates, &n, &fixed, &no) ==
               PARE_OK &&
           n > 0;
}

static struct pass add_pass(const struct quantize_work *w,
                            const struct pare_walk_site *sites, int first, int end)
{
    const int both = quantize_is_both(w), bands = w->saving.bands;
    const uint64_t rows = PASS - 1 + w->calibration.piece;
    struct pass pass = {0};
    for (int s = first; s < end; s++) {
        const uint64_t K = sites[s].K;
        struct pare_target target;
        int wanted = 0;
        for (int i = 0; i < sites[s].n_slots; i++) {
            add_slot(w, &sites[s], sites[s].slots[i], &pass);
            wanted |= quantize_target(w, sites[s].slots[i], &target);
        }
        if (!wanted)
            continue;
        pass.seeing += quantize_moments_seeing(K, both, bands);
        pass.solving += quantize_moments_solving(K, both, bands);
        pass.solving += bands ? 0 : pare_gram_bytes(K);
        pass.seen_by = larger(pass.seen_by, pare_gram_worker_bytes(K));
        pass.rows += (uint64_t)(1 + both) * rows * K * sizeof(float);
        /* Two packed operands; with factors, the rows times them; the difference. */
        const int copies = 2 + (1 + both) * is_scaled(w, sites[s].slots[0]) + both;
        pass.packed = larger(pass.packed, (uint64_t)copies * K * PASS * sizeof(float));
    }
    return pass;
}

static void take_pass(const struct pass *pass, uint64_t hidden, uint64_t block,
                      uint64_t forms, uint64_t batch, struct quantize_memory *m)
{
    const uint64_t acts =
        batch + pass->rows + pass->packed + (uint64_t)pare_threads() * pass->seen_by;
    const uint64_t seeing = hidden + block + forms + pass->seeing + acts;
    const uint64_t solving = hidden + forms + pass->solving + pass->solver;
    if (larger(seeing, solving) <= m->all)
        return;
    *m = (struct quantize_memory){.hidden = hidden,
                                  .moments =
                                      seeing > solving ? pass->seeing : pass->solving,
                                  .block = forms + (seeing > solving ? block : 0),
                                  .batch = seeing > solving ? acts : 0,
                                  .solver = seeing > solving ? 0 : pass->solver,
                                  .all = larger(seeing, solving)};
}

/* Whether a part is in memory twice while its inputs are seen: some of it is replaced
 * before. */
static int is_bound_twice(const struct quantize_work *w, int part)
{
    struct pare_target target;
    int any = w->o->solver.sequential;
    for (size_t i = 0; i < w->stored.plan.count; i++)
        any |= quantize_part_of(&w->stored, i) == part &&
               w->items[i].scheme != PARE_SCHEME_KEEP && !quantize_target(w, i, &target);
    return quantize_is_both(w) && any;
}

/* Packed weights of a part, once, and what it is stored as. */
static void part_bytes(const struct quantize_work *w, int part, uint64_t *block,
                       uint64_t *forms)
{
    *block = *forms = 0;
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        const struct pare_slot *slot = &w->stored.plan.slots[i];
        if (quantize_part_of(&w->stored, i) != part)
            continue;
        *forms += w->items[i].scheme == PARE_SCHEME_KEEP ? 0 : w->items[i].bytes;
        *block += pare_slot_elements(slot) * sizeof(float); /* embeddings: in place */
    }
}

static uint64_t batch_bytes(const struct quantize_work *w)
{
    const struct pare_config *config = &w->stored.config;
    const uint64_t C = config->hidden, A = pare_config_attention_width(config);
    const uint64_t row = 3 * C + 4 * A + config->ffn;
    const uint64_t panels = larger(larger(C, A), config->ffn);
    return w->calibration.piece * (row + row / 8 + panels) * sizeof(float);
}

static uint64_t hidden_bytes(const struct quantize_work *w)
{
    const uint64_t tokens =
        w->saving.spill ? w->calibration.longest : w->calibration.tokens;
    return (uint64_t)(1 + quantize_is_both(w)) * tokens * w->stored.config.hidden *
           sizeof(float);
}

/* The survey of inputs before the walk; in the walk, copies with folded factors. */
static void add_survey(const struct quantize_work *w, struct quantize_memory *m)
{
    const uint64_t C = w->stored.config.hidden;
    const uint64_t batch = batch_bytes(w),
                   hidden = hidden_bytes(w) / (1 + quantize_is_both(w));
    uint64_t bytes, block = 0;
    double products;
    quantize_survey_costs(w, &bytes, &products);
    if (!bytes)
        return;
    for (int part = PARE_PART_EMBEDDINGS; part <= (int)w->stored.config.layers; part++) {
        uint64_t packed, forms;
        part_bytes(w, part, &packed, &forms);
        block = larger(block, packed);
    }
    const uint64_t copies = 2 * C * C * sizeof(float);
    m->block += copies;
    m->all = larger(m->all + copies, hidden + batch + block + bytes);
}

struct quantize_memory quantize_memory(const struct quantize_work *w)
{
    const struct pare_config *config = &w->stored.config;
    const uint64_t hidden = hidden_bytes(w), batch = batch_bytes(w);
    struct quantize_memory m = {0};
    for (int part = PARE_PART_EMBEDDINGS; part <= (int)config->layers; part++) {
        struct pare_walk_site sites[PARE_WALK_SITES];
        const int n = pare_walk_sites(config, &w->stored.plan, part, sites);
        const int step = w->saving.one_site || w->o->solver.sequential ? 1 : n ? n : 1;
        const struct pass none = {0};
        uint64_t block, forms;
        part_bytes(w, part, &block, &forms);
        take_pass(&none, hidden, block, forms, batch, &m);
        for (int first = 0; first < n; first += step) {
            const struct pass pass = add_pass(w, sites, first, first + step);
            take_pass(&pass, hidden, block * (uint64_t)(1 + is_bound_twice(w, part)),
                      forms, batch, &m);
        }
    }
    add_survey(w, &m);
    m.all += m.all / MARGIN + BASE + w->calibration.text_bytes;
    m.all += (uint64_t)(pare_threads() - 1) * THREAD;
    return m;
}

enum pare_status quantize_memory_fit(struct quantize_work *w)
{
    static const struct quantize_saving savings[] = {
        {.slices = 0},         {.slices = 1},         {.slices = 1, .spill = 1},
        {1, 1, 1, .bands = 0}, {1, 1, 1, .bands = 1}, {1, 1, 1, .bands = 2},
        {1, 1, 1, .bands = 4}};
    const size_t n = sizeof savings / sizeof *savings;
    uint64_t allowed;
    char text[2][24];
    if (!w->o->max_ram)
        return PARE_OK;
    PARE_TRY(parse_size("max-ram", w->o->max_ram, &allowed, w->err));
    if (!w->calibration.samples)
        return pare_fail(w->err, PARE_ERR_USAGE, "--max-ram is for --calibration");
    for (size_t i = 0; i < n; i++) {
        w->saving = savings[i];
        if (quantize_memory(w).all <= allowed)
            return PARE_OK;
    }
    return pare_fail(w->err, PARE_ERR_MEMORY, "--max-ram %s: this takes %s at least%s",
                     w->o->max_ram, pare_cli_bytes(quantize_memory(w).all, text[0]),
                     quantize_is_both(w) ? "; --correct 0 takes less" : "");
}
