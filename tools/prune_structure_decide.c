/* What is to stay, decided before any work, and the input without what does not. */
#include <stdio.h>
#include <string.h>

#include "libdistill/student.h"
#include "tools/number_list.h"
#include "tools/prune_structure_work.h"

const char *const structure_characters[] = {"all", "used", NULL};

#define BLOCK_FORMATS 32 /* columns that pare-quantize's formats take together */

const char *structure_option_given(const struct structure_options *o)
{
    return o->heads              ? "heads"
           : o->ffn              ? "ffn"
           : o->layers           ? "layers"
           : o->vocab.count      ? "vocab-of"
           : o->vocab_min_count  ? "vocab-min-count"
           : o->vocab_characters ? "vocab-characters"
           : o->no_compensation  ? "no-compensation"
                                 : NULL;
}

/* --- Options ---------------------------------------------------------------------- */

static enum pare_status check_use(const struct structure_work *w)
{
    const struct structure_options *o = w->o;
    const struct calibration_options *c = w->common->calibration;
    const int solves = o->heads || o->ffn;
    if (!solves && !o->layers && !o->vocab.count)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "--%s goes with --heads, --ffn or --vocab-of",
                         structure_option_given(o));
    if ((o->vocab_min_count || o->vocab_characters) && !o->vocab.count)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "--vocab-min-count and --vocab-characters are for --vocab-of");
    if (o->no_compensation && (!solves || !c->file))
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "--no-compensation is for --heads and --ffn with --calibration: "
                         "without text nothing is made up for");
    if (w->common->correct > 0 && (!solves || !c->file || o->no_compensation))
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "--correct is for --heads and --ffn with --calibration, and "
                         "without --no-compensation");
    if ((c->samples || c->length) && !c->file)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "--samples and --length are for --calibration");
    if (c->file && !solves && !structure_counts_layers(w))
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "--calibration has no use: it chooses heads, neurons, or a "
                         "number of blocks");
    return PARE_OK;
}

static enum pare_status check_sizes(const struct structure_work *w)
{
    const struct pare_config *now = &w->stored.config;
    const uint32_t heads = (uint32_t)w->o->heads, ffn = (uint32_t)w->o->ffn;
    if (heads > now->heads)
        return pare_fail(w->err, PARE_ERR_USAGE, "--heads %u: the model has %u", heads,
                         now->heads);
    if (ffn > now->ffn)
        return pare_fail(w->err, PARE_ERR_USAGE, "--ffn %u: the model has %u", ffn,
                         now->ffn);
    if (ffn % BLOCK_FORMATS && now->ffn % BLOCK_FORMATS == 0)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "--ffn %u: expected a multiple of %d, which the formats of "
                         "pare-quantize take together, as the %u there are",
                         ffn, BLOCK_FORMATS, now->ffn);
    return PARE_OK;
}

/* Codes have no columns that could go, and factors of inputs would have to be cut too. */
static enum pare_status check_types(const struct structure_work *w)
{
    const struct pare_stored *stored = &w->stored;
    for (size_t i = 0; i < stored->plan.count; i++) {
        const struct pare_weight weight = pare_stored_weight(stored, i);
        const char *name = stored->plan.slots[i].name;
        char form[PARE_FORM_SIZE];
        const int plain = weight.type == PARE_F32 || weight.type == PARE_F16 ||
                          weight.type == PARE_BF16;
        if (!plain || weight.sparse.rows)
            return pare_fail(
                w->err, PARE_ERR_USAGE,
                "tensor %s is %s: parts of a model are pruned as F32, F16 or "
                "BF16, before it is quantised",
                name, pare_weight_form(&weight, form));
        if (weight.input_scale)
            return pare_fail(w->err, PARE_ERR_USAGE,
                             "tensor %s has factors on its inputs: parts of a model are "
                             "pruned before it is quantised",
                             name);
    }
    return PARE_OK;
}

/* --- Blocks ----------------------------------------------------------------------- */

int structure_counts_layers(const struct structure_work *w)
{
    return w->o->layers && !strchr(w->o->layers, ',');
}

static enum pare_status check_list(const struct structure_work *w, const uint32_t *list,
                                   size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i] >= w->stored.config.layers)
            return pare_fail(w->err, PARE_ERR_USAGE,
                             "--layers: the model has blocks 0 to %u, there is no block "
                             "%u",
                             w->stored.config.layers - 1, list[i]);
        if (i && list[i] <= list[i - 1])
            return pare_fail(w->err, PARE_ERR_USAGE,
                             "--layers %.80s: blocks stay in their order", w->o->layers);
    }
    return PARE_OK;
}

/* Memory for all of them; *n: how many stay. */
static enum pare_status decide_layers(struct structure_work *w, uint32_t *n)
{
    const uint32_t L = w->stored.config.layers;
    const size_t most = L + 1u;
    size_t count = L;
    PARE_TRY(pare_arena_alloc(&w->arena, &w->layers, most, sizeof *w->layers, w->err));
    for (uint32_t l = 0; l < L; l++)
        w->layers[l] = l;
    *n = L;
    if (!w->o->layers)
        return PARE_OK;
    PARE_TRY(number_list_parse("layers", w->o->layers, most, w->layers, &count, w->err));
    *n = (uint32_t)count;
    if (!structure_counts_layers(w))
        return check_list(w, w->layers, count);
    *n = w->layers[0];
    if (!*n || *n > L)
        return pare_fail(w->err, PARE_ERR_USAGE, "--layers %u: the model has %u blocks",
                         *n, L);
    for (uint32_t s = 0; s < *n; s++)
        w->layers[s] = pare_student_block(s, *n, L);
    return PARE_OK;
}

/* Where the slot of a view comes from: blocks lie behind each other and are alike. */
static size_t origin(const struct pare_stored *from, const uint32_t *layers, uint32_t n,
                     size_t i)
{
    const struct pare_plan *plan = &from->plan;
    size_t first = 0, each = 0;
    while (plan->slots[first].layer < 0)
        first++;
    while (first + each < plan->count && plan->slots[first + each].layer == 0)
        each++;
    if (i < first)
        return i;
    if (i < first + n * each)
        return first + layers[(i - first) / each] * each + (i - first) % each;
    return i + (from->config.layers - n) * each;
}

enum pare_status structure_view(struct structure_work *w, const uint32_t *layers,
                                uint32_t n, struct pare_stored *out)
{
    *out = w->stored; /* scales and the like are NULL for all slots */
    out->ckpt = &w->ckpt;
    out->config.layers = n;
    if (w->tokens.n_dims)
        out->config.vocab = (uint32_t)w->tokens.shape[0];
    PARE_TRY(pare_plan_make(&out->config, &w->arena, &out->plan, w->err));
    PARE_TRY(pare_arena_alloc(&w->arena, &out->tensors, out->plan.count,
                              sizeof *out->tensors, w->err));
    for (size_t i = 0; i < out->plan.count; i++)
        out->tensors[i] = w->stored.tensors[origin(&w->stored, layers, n, i)];
    if (w->tokens.n_dims)
        out->tensors[0] = &w->tokens; /* the plan begins with it */
    return PARE_OK;
}

/* --- Slots ------------------------------------------------------------------------ */

size_t structure_slot(const struct structure_work *w, int layer, const char *stem)
{
    char name[PARE_NAME_SIZE];
    size_t i = 0;
    snprintf(name, sizeof name, "blk.%d.%s", layer, stem);
    while (i < w->less.plan.count && strcmp(w->less.plan.slots[i].name, name) != 0)
        i++;
    return i;
}

size_t structure_reader(const struct structure_work *w, size_t i, size_t *width,
                        int *inputs)
{
    static const struct {
        const char *stem, *reader;
        int heads, inputs;
    } cut[] = {{"attn_q.", "attn_output.weight", 1, 0},
               {"attn_k.", "attn_output.weight", 1, 0},
               {"attn_v.", "attn_output.weight", 1, 0},
               {"attn_output.weight", "attn_output.weight", 1, 1},
               {"ffn_up.", "ffn_down.weight", 0, 0},
               {"ffn_down.weight", "ffn_down.weight", 0, 1}};
    const struct pare_slot *slot = &w->less.plan.slots[i];
    for (size_t c = 0; slot->layer >= 0 && c < sizeof cut / sizeof *cut; c++) {
        const int changes = cut[c].heads ? w->config.heads != w->less.config.heads
                                         : w->config.ffn != w->less.config.ffn;
        if (!changes || !strstr(slot->name, cut[c].stem))
            continue;
        *width = cut[c].heads ? pare_config_head_width(&w->less.config) : 1;
        *inputs = cut[c].inputs;
        return structure_slot(w, slot->layer, cut[c].reader);
    }
    return w->less.plan.count;
}

/* --- All -------------------------------------------------------------------------- */

static enum pare_status allocate(struct structure_work *w)
{
    const size_t count = w->less.plan.count;
    PARE_TRY(pare_arena_alloc(&w->arena, &w->kept, count, sizeof *w->kept, w->err));
    PARE_TRY(pare_arena_alloc(&w->arena, &w->made, count, sizeof *w->made, w->err));
    PARE_TRY(pare_arena_alloc(&w->arena, &w->results, count, sizeof *w->results, w->err));
    memset(w->kept, 0, count * sizeof *w->kept);
    memset(w->made, 0, count * sizeof *w->made);
    memset(w->results, 0, count * sizeof *w->results);
    return PARE_OK;
}

enum pare_status structure_check(const struct structure_work *w)
{
    PARE_TRY(check_use(w));
    PARE_TRY(check_sizes(w));
    return check_types(w);
}

enum pare_status structure_decide(struct structure_work *w)
{
    uint32_t n;
    PARE_TRY(decide_layers(w, &n));
    PARE_TRY(structure_view(w, w->layers, n, &w->less));
    w->config = w->less.config;
    if (w->o->heads)
        pare_config_set_heads(&w->config, (uint32_t)w->o->heads,
                              pare_config_head_width(&w->less.config));
    if (w->o->ffn)
        w->config.ffn = (uint32_t)w->o->ffn;
    PARE_TRY(pare_config_check(&w->config, "what would be left", w->err));
    PARE_TRY(pare_plan_make(&w->config, &w->arena, &w->plan, w->err));
    return allocate(w);
}
