/* Structured pruning from a container to the next: see prune_structure.h. Blocks and
 * tokens go first; what is left is worked on block by block.
 */
#include "tools/prune_structure.h"

#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/memory.h"
#include "runtime/model/container.h"
#include "tools/calibration_sites.h"
#include "tools/outputs.h"
#include "tools/prune_structure_work.h"

/* --- Text ------------------------------------------------------------------------- */

static int is_solved(const void *context, size_t i)
{
    const struct structure_work *w = context;
    size_t width;
    int inputs = 0;
    return structure_reader(w, i, &width, &inputs) < w->less.plan.count && inputs;
}

/* The calibration text, in the tokens that stay. */
static enum pare_status read_text(struct structure_work *w)
{
    struct calibration_sites list;
    if (!w->common->calibration->file)
        return PARE_OK;
    PARE_TRY(calibration_sites_list(&w->less, is_solved, w, &w->arena, &list, w->err));
    PARE_TRY(calibration_sites_read(w->cli, w->common->calibration, &w->less, &list,
                                    &w->calibration, w->err));
    return calibration_sites_check(&w->less, &list, &w->calibration, w->err);
}

/* --- Metadata --------------------------------------------------------------------- */

static enum pare_status copy_meta(struct structure_work *w)
{
    const struct pare_meta *from = &w->stored.ckpt->meta;
    for (size_t i = 0; i < from->count; i++)
        PARE_TRY(pare_meta_copy_value(&w->meta, &from->values[i], w->err));
    return PARE_OK;
}

static enum pare_status complete_meta(struct structure_work *w)
{
    PARE_TRY(pare_config_to_meta(&w->config, &w->meta, w->err));
    cJSON *options = structure_options_json(w);
    if (!options)
        return pare_fail_memory(w->err, sizeof(cJSON));
    const enum pare_status status =
        pare_history_add(&w->meta, "pare-prune", w->sha256, options, w->err);
    cJSON_Delete(options);
    return status;
}

/* --- Tensors ---------------------------------------------------------------------- */

/* What is written of slot i. */
struct cut {
    const struct pare_tensor *from;
    const float *made;    /* instead of the tensor's values; or NULL */
    const uint32_t *kept; /* groups of rows or of columns that stay; NULL: all */
    size_t width;
    int inputs; /* of columns */
};

static struct cut cut_of(const struct structure_work *w, size_t i)
{
    struct cut cut = {.from = w->less.tensors[i], .made = w->made[i]};
    const size_t reader = structure_reader(w, i, &cut.width, &cut.inputs);
    if (reader < w->less.plan.count)
        cut.kept = w->kept[reader];
    return cut;
}

/* Row n of the output is this row of the input. */
static size_t row_from(const struct cut *cut, size_t n)
{
    return !cut->kept || cut->inputs
               ? n
               : cut->kept[n / cut->width] * cut->width + n % cut->width;
}

static size_t column_from(const struct cut *cut, size_t k)
{
    return !cut->kept || !cut->inputs
               ? k
               : cut->kept[k / cut->width] * cut->width + k % cut->width;
}

/* Row n of K numbers as it is stored; `floats` and `bytes` have room for it. */
static const void *stored_row(const struct cut *cut, size_t n, size_t K, float *floats,
                              unsigned char *bytes)
{
    const size_t each = pare_dtype_info(cut->from->type)->block_bytes;
    const size_t row = row_from(cut, n);
    const size_t width =
        cut->from->n_dims == 1 && cut->kept ? 1 : (size_t)pare_tensor_row(cut->from);
    if (!cut->made)
        return (const unsigned char *)cut->from->data + row * width * each;
    for (size_t k = 0; k < K; k++)
        floats[k] = cut->made[row * width + column_from(cut, k)];
    pare_row_encode(cut->from->type, floats, bytes, K);
    return bytes;
}

/* A vector that is cut is rows of one. */
static enum pare_status write_slot(const struct structure_work *w, size_t i,
                                   struct pare_gguf_writer *writer)
{
    const struct pare_slot *slot = &w->plan.slots[i];
    const struct cut cut = cut_of(w, i);
    const size_t each = pare_dtype_info(cut.from->type)->block_bytes;
    const size_t K =
        slot->n_dims == 1 && cut.kept ? 1 : (size_t)slot->shape[slot->n_dims - 1];
    const size_t N = (size_t)pare_slot_elements(slot) / K;
    enum pare_status status = PARE_OK;
    float *floats;
    unsigned char *bytes = NULL;
    PARE_TRY(pare_check_interrupted(w->err));
    PARE_TRY(pare_alloc_raw(&floats, K, sizeof *floats, w->err));
    PARE_TRY_OUT(pare_alloc_raw(&bytes, K, each, w->err));
    for (size_t n = 0; n < N; n++)
        PARE_TRY_OUT(pare_gguf_writer_data(writer, stored_row(&cut, n, K, floats, bytes),
                                           K * each, w->err));
out:
    pare_free(floats);
    pare_free(bytes);
    return status;
}

enum pare_status structure_write(struct structure_work *w)
{
    struct pare_gguf_writer *writer = NULL;
    const struct pare_plan *plan = &w->plan;
    enum pare_status status;
    PARE_TRY(complete_meta(w));
    PARE_TRY(pare_gguf_writer_open(w->cli->output, &w->meta, &writer, w->err));
    for (size_t i = 0; i < plan->count; i++)
        PARE_TRY_OUT(
            pare_gguf_writer_plan(writer, plan->slots[i].name, w->less.tensors[i]->type,
                                  plan->slots[i].n_dims, plan->slots[i].shape, w->err));
    for (size_t i = 0; i < plan->count; i++)
        PARE_TRY_OUT(write_slot(w, i, writer));
    return pare_gguf_writer_commit(writer, w->err);
out:
    pare_gguf_writer_abort(writer);
    return status;
}

/* --- A run ------------------------------------------------------------------------ */

/* What is written goes over nothing that is read. */
static enum pare_status check_files(struct structure_work *w)
{
    const size_t n = w->o->vocab.count;
    const char *container = w->common->dry_run ? NULL : w->cli->output;
    const char **inputs;
    PARE_TRY(pare_arena_alloc(&w->arena, &inputs, n + 1, sizeof *inputs, w->err));
    for (size_t i = 0; i < n; i++)
        inputs[i] = w->o->vocab.items[i];
    inputs[n] = w->common->calibration->file;
    PARE_TRY(outputs_refuse(w->stored.ckpt, inputs, n + 1, w->cli->output,
                            w->common->json, w->err));
    return outputs_check(container, w->common->json, w->err);
}

static enum pare_status prune(struct structure_work *w)
{
    pare_memory_return();
    PARE_TRY(copy_meta(w));
    w->ckpt = *w->stored.ckpt;
    PARE_TRY(check_files(w));
    PARE_TRY(structure_check(w));
    PARE_TRY(structure_vocabulary(w));
    w->ckpt.meta = w->meta;
    PARE_TRY(structure_decide(w));
    PARE_TRY(read_text(w));
    PARE_TRY(pare_ckpt_sha256(w->stored.ckpt, w->sha256, w->err));
    PARE_TRY(structure_choose_layers(w));
    if (w->common->dry_run) {
        structure_print_plan(w);
    } else {
        PARE_TRY(structure_solve(w));
        PARE_TRY(structure_write(w));
    }
    if (w->common->json)
        PARE_TRY(structure_write_report(w));
    if (!w->common->dry_run)
        structure_tell_result(w);
    return PARE_OK;
}

enum pare_status structure_run(struct pare_cli *cli, const struct structure_options *o,
                               const struct structure_common *common,
                               struct pare_error *err)
{
    struct structure_work w = {.cli = cli, .o = o, .common = common, .err = err};
    PARE_TRY(pare_stored_open_container(cli->operands[0], &w.stored, err));
    const enum pare_status status = prune(&w);
    calibration_free(&w.calibration);
    pare_meta_free(&w.meta);
    pare_arena_free(&w.arena);
    pare_stored_close(&w.stored);
    return status;
}
