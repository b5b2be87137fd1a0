/* Tensor after tensor from one container to the next, a slice of rows at a time. */
#include <string.h>

#include "libquant/nearest.h"
#include "runtime/base/alloc.h"
#include "runtime/model/container.h"
#include "tools/quantize_inputs.h"

#define COPIED ((uint64_t)4 << 20) /* bytes of the input that are written together */
#define SLICE ((size_t)1 << 20)    /* weights in memory at a time, about */

static size_t rows_of_slice(size_t K)
{
    return K < SLICE ? SLICE / K : 1;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Scales of a row. */
static size_t row_groups(const struct pare_scheme_item *item, size_t K)
{
    return item->grid.bits ? K / pare_grid_group(&item->grid, K) : 1;
}

enum pare_status quantize_buffers_make(const struct quantize_work *w,
                                       struct quantize_buffers *b)
{
    size_t floats = 1, groups = 1;
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        const struct pare_slot *slot = &w->stored.plan.slots[i];
        if (!pare_slot_is_matrix(slot))
            continue;
        const size_t N = (size_t)slot->shape[0], K = (size_t)slot->shape[1];
        floats = larger(floats, rows_of_slice(K) * K);
        groups = larger(groups, N * row_groups(&w->items[i], K));
    }
    PARE_TRY(pare_alloc_raw(&b->W, floats, sizeof *b->W, w->err));
    PARE_TRY(pare_alloc_raw(&b->codes, floats, sizeof(float), w->err));
    PARE_TRY(pare_alloc_raw(&b->zero, groups, 1, w->err));
    return pare_alloc_raw(&b->scale, groups, sizeof(float), w->err);
}

void quantize_buffers_free(struct quantize_buffers *b)
{
    pare_free(b->W);
    pare_free(b->codes);
    pare_free(b->scale);
    pare_free(b->zero);
}

void quantize_release(const struct quantize_work *w, size_t i)
{
    const struct pare_tensor *parts[PARE_STORED_PARTS];
    const size_t n = pare_stored_parts(&w->stored, i, parts);
    for (size_t p = 0; p < n; p++)
        pare_ckpt_release(w->stored.ckpt, parts[p]->data, parts[p]->bytes);
}

/* Rows n to n + rows of a matrix, as floats in b->W. */
static enum pare_status decode_slice(const struct quantize_work *w,
                                     const struct pare_tensor *tensor, size_t n,
                                     size_t rows, struct quantize_buffers *b)
{
    const size_t K = (size_t)tensor->shape[1];
    const uint32_t bytes = pare_dtype_info(tensor->type)->block_bytes;
    const struct pare_tensor slice = {.name = tensor->name,
                                      .type = tensor->type,
                                      .n_dims = 2,
                                      .shape = {rows, K},
                                      .bytes = rows * K * bytes,
                                      .data = (const unsigned char *)tensor->data +
                                              n * K * bytes};
    PARE_TRY(pare_check_interrupted(w->err));
    PARE_TRY(pare_tensor_decode(&slice, b->W, w->err));
    pare_ckpt_release(w->stored.ckpt, slice.data, slice.bytes);
    return PARE_OK;
}

/* The mean magnitude of the whole matrix, for a grid that wants it. */
static enum pare_status take_mean(const struct quantize_work *w,
                                  const struct pare_tensor *tensor,
                                  struct pare_grid *grid, struct quantize_buffers *b)
{
    const size_t N = (size_t)tensor->shape[0], K = (size_t)tensor->shape[1];
    double sum = 0;
    if (!grid->ternary || grid->group)
        return PARE_OK;
    for (size_t n = 0; n < N; n += rows_of_slice(K)) {
        const size_t rows = N - n < rows_of_slice(K) ? N - n : rows_of_slice(K);
        PARE_TRY(decode_slice(w, tensor, n, rows, b));
        pare_grid_magnitude(b->W, rows, K, &sum);
    }
    grid->mean = (float)(sum / ((double)N * (double)K));
    return PARE_OK;
}

/* Whether a matrix that no solver is for gets searched grids all the same: where there is
 * a solver, embeddings of up to 3 bits do; with 4 it did not help (docs/RESULTS.md). */
int quantize_is_searched(const struct quantize_work *w,
                         const struct pare_scheme_item *item)
{
    return w->solved && !w->rounds && !w->fake && item->grid.bits && item->grid.bits <= 3;
}

/* The nearest codes in grids of which each is shrunk to fit its weights best. */
static enum pare_status search_slice(struct quantize_work *w, size_t i,
                                     const struct pare_target *target,
                                     const struct pare_quant_rows *slice,
                                     const struct pare_grid_codes *codes)
{
    const struct pare_nearest nearest = pare_nearest_defaults(target, NULL);
    const struct pare_target_data data = {codes->codes, codes->scale, codes->zero};
    float *Q;
    PARE_TRY(pare_alloc_raw(&Q, slice->N, slice->K * sizeof *Q, w->err));
    const enum pare_status status =
        pare_nearest_round(&nearest, slice, Q, &data, &w->errors[i], w->err);
    pare_free(Q);
    return status;
}

/* Quantises the slice of rows from n on; its codes lie in b->codes then. */
static enum pare_status quantize_slice(struct quantize_work *w, size_t i,
                                       const struct pare_grid *grid, size_t n,
                                       size_t rows, struct quantize_buffers *b)
{
    const struct pare_tensor *tensor = w->stored.tensors[i];
    const size_t K = (size_t)tensor->shape[1];
    const size_t at = n * row_groups(&w->items[i], K);
    const struct pare_quant_rows slice = {b->W, rows, K, n};
    PARE_TRY(decode_slice(w, tensor, n, rows, b));
    const struct pare_grid_codes codes = {b->codes, b->scale + 2 * at,
                                          grid->asymmetric ? b->zero + at : NULL};
    const struct pare_target target = {grid->bits ? PARE_TARGET_GROUPS : PARE_TARGET_TYPE,
                                       *grid, w->items[i].type};
    const struct pare_learned *learned = w->fake ? pare_fake_learned(w->fake, i) : NULL;
    enum pare_status status;
    if (learned)
        status = pare_learned_store(learned, &slice, &codes, &w->errors[i], w->err);
    else if (quantize_is_searched(w, &w->items[i]))
        status = search_slice(w, i, &target, &slice, &codes);
    else if (grid->bits)
        status = pare_grid_store(grid, &slice, &codes, &w->errors[i], w->err);
    else if (grid->bf16 && pare_dtype_info(target.type)->block > 1)
        status = pare_nearest_blocks(&target, &slice, b->codes, &w->errors[i], w->err);
    else
        status = pare_rtn_quantize(
            w->items[i].type, &slice, b->codes,
            w->items[i].type == PARE_I8 ? (float *)(void *)b->scale + at : NULL,
            &w->errors[i], w->err);
    return status == PARE_OK ? status
                             : pare_fail_in(w->err, status, "tensor %s", tensor->name);
}

/* Sizes of the parts of slot i's stored form. */
static struct quantize_form form_sizes(const struct quantize_work *w, size_t i)
{
    const struct pare_slot *slot = &w->stored.plan.slots[i];
    const struct pare_scheme_item *item = &w->items[i];
    const struct pare_dtype_info *to = pare_dtype_info(item->type);
    const size_t N = (size_t)slot->shape[0], K = (size_t)slot->shape[1];
    const int bits = item->grid.bits;
    if (slot->n_dims == 1)
        return (struct quantize_form){.data_bytes = N * sizeof(float)};
    const size_t groups = N * row_groups(item, K);
    struct quantize_form form = {
        .row_bytes = bits ? pare_codes_bytes(bits, K) : K / to->block * to->block_bytes,
        .scale_bytes = to->type == PARE_I8 ? groups * (bits ? 2 : sizeof(float)) : 0,
        .zero_bytes = item->grid.asymmetric ? groups : 0};
    form.data_bytes = N * form.row_bytes;
    return form;
}

enum pare_status quantize_form_write(const struct quantize_work *w,
                                     const struct quantize_form *form,
                                     struct pare_gguf_writer *writer)
{
    if (form->data)
        PARE_TRY(pare_gguf_writer_data(writer, form->data, form->data_bytes, w->err));
    if (form->scale_bytes)
        PARE_TRY(pare_gguf_writer_data(writer, form->scale, form->scale_bytes, w->err));
    return form->zero_bytes
               ? pare_gguf_writer_data(writer, form->zero, form->zero_bytes, w->err)
               : PARE_OK;
}

/* Rounds slot i; its codes go to the writer, or to form->data when that is NULL, and its
 * scales stay in the buffers. */
static enum pare_status round_matrix(struct quantize_work *w, size_t i,
                                     struct quantize_buffers *b,
                                     struct quantize_form *form,
                                     struct pare_gguf_writer *writer)
{
    const struct pare_tensor *tensor = w->stored.tensors[i];
    const size_t N = (size_t)tensor->shape[0], K = (size_t)tensor->shape[1];
    struct pare_grid grid = w->items[i].grid;
    PARE_TRY(take_mean(w, tensor, &grid, b));
    for (size_t n = 0; n < N; n += rows_of_slice(K)) {
        const size_t rows = N - n < rows_of_slice(K) ? N - n : rows_of_slice(K);
        PARE_TRY(quantize_slice(w, i, &grid, n, rows, b));
        if (writer)
            PARE_TRY(
                pare_gguf_writer_data(writer, b->codes, rows * form->row_bytes, w->err));
        else
            memcpy(form->data + n * form->row_bytes, b->codes, rows * form->row_bytes);
    }
    return PARE_OK;
}

static enum pare_status quantize_matrix(struct quantize_work *w, size_t i,
                                        struct quantize_buffers *b,
                                        struct pare_gguf_writer *writer)
{
    struct quantize_form form = form_sizes(w, i);
    PARE_TRY(round_matrix(w, i, b, &form, writer));
    form.scale = b->scale;
    form.zero = b->zero;
    return quantize_form_write(w, &form, writer);
}

enum pare_status quantize_form_make(const struct quantize_work *w, size_t i,
                                    struct quantize_form *form)
{
    *form = form_sizes(w, i);
    PARE_TRY(pare_alloc_raw(&form->data, form->data_bytes, 1, w->err));
    if (form->scale_bytes)
        PARE_TRY(pare_alloc_raw(&form->scale, form->scale_bytes, 1, w->err));
    return form->zero_bytes ? pare_alloc_raw(&form->zero, form->zero_bytes, 1, w->err)
                            : PARE_OK;
}

void quantize_form_free(struct quantize_form *form)
{
    pare_free(form->data);
    pare_free(form->scale);
    pare_free(form->zero);
    *form = (struct quantize_form){0};
}

enum pare_status quantize_form_round(struct quantize_work *w, size_t i,
                                     struct quantize_buffers *b,
                                     struct quantize_form *form)
{
    PARE_TRY(quantize_form_make(w, i, form));
    PARE_TRY(round_matrix(w, i, b, form, NULL));
    if (form->scale)
        memcpy(form->scale, b->scale, form->scale_bytes);
    if (form->zero)
        memcpy(form->zero, b->zero, form->zero_bytes);
    return PARE_OK;
}

/* --- What is stored beside each other --- */

static enum pare_status plan_like(struct pare_gguf_writer *writer,
                                  const struct pare_tensor *tensor,
                                  struct pare_error *err)
{
    return pare_gguf_writer_plan(writer, tensor->name, tensor->type, tensor->n_dims,
                                 tensor->shape, err);
}

static enum pare_status plan_kept(const struct quantize_work *w, size_t i,
                                  struct pare_gguf_writer *writer)
{
    const struct pare_tensor *parts[PARE_STORED_PARTS];
    const size_t n = pare_stored_parts(&w->stored, i, parts);
    for (size_t p = 0; p < n; p++)
        PARE_TRY(plan_like(writer, parts[p], w->err));
    return PARE_OK;
}

/* What the container says of the inputs of slot i goes along with it: with the first of
 * the slots that share it. */
static int is_first(const struct pare_tensor *const *list, size_t i)
{
    size_t first = 0;
    while (list && list[first] != list[i])
        first++;
    return list && list[i] && first == i;
}

static enum pare_status plan_inputs(const struct quantize_work *w, size_t i,
                                    struct pare_gguf_writer *writer)
{
    const struct pare_stored *stored = &w->stored;
    const struct pare_tensor *const *const lists[] = {stored->input_scales,
                                                      stored->input_ranges};
    for (int l = 0; l < 2; l++)
        if (is_first(lists[l], i))
            PARE_TRY(plan_like(writer, lists[l][i], w->err));
    return quantize_site_plan(w, i, writer);
}

enum pare_status quantize_inputs(const struct quantize_work *w, size_t i,
                                 struct pare_gguf_writer *writer)
{
    const struct pare_stored *stored = &w->stored;
    const struct pare_tensor *const *const lists[] = {stored->input_scales,
                                                      stored->input_ranges};
    for (int l = 0; l < 2; l++)
        if (is_first(lists[l], i))
            PARE_TRY(pare_gguf_writer_data(writer, lists[l][i]->data, lists[l][i]->bytes,
                                           w->err));
    return quantize_site_write(w, i, writer);
}

static enum pare_status plan_tensor(const struct quantize_work *w, size_t i,
                                    struct pare_gguf_writer *writer)
{
    const struct pare_slot *slot = &w->stored.plan.slots[i];
    const struct pare_scheme_item *item = &w->items[i];
    const int codes = item->grid.bits;
    char name[PARE_NAME_SIZE + 8], scale[PARE_NAME_SIZE + 8], zero[PARE_NAME_SIZE + 8];
    pare_codes_name(slot->name, name);
    pare_scale_name(slot->name, scale);
    pare_zero_name(slot->name, zero);
    if (item->scheme == PARE_SCHEME_KEEP)
        return plan_kept(w, i, writer);
    if (!codes) {
        PARE_TRY(pare_gguf_writer_plan(writer, slot->name, item->type, slot->n_dims,
                                       slot->shape, w->err));
        return item->type == PARE_I8 ? pare_gguf_writer_plan(writer, scale, PARE_F32, 1,
                                                             slot->shape, w->err)
                                     : PARE_OK;
    }
    const uint64_t K = slot->shape[1];
    const uint64_t coded[] = {slot->shape[0], pare_codes_bytes(codes, (size_t)K)};
    const uint64_t scaled[] = {slot->shape[0], row_groups(item, (size_t)K)};
    PARE_TRY(pare_gguf_writer_plan(writer, name, PARE_I8, 2, coded, w->err));
    PARE_TRY(pare_gguf_writer_plan(writer, scale, PARE_F16, 2, scaled, w->err));
    return item->grid.asymmetric
               ? pare_gguf_writer_plan(writer, zero, PARE_I8, 2, scaled, w->err)
               : PARE_OK;
}

static enum pare_status plan_slot(const struct quantize_work *w, size_t i,
                                  struct pare_gguf_writer *writer)
{
    if (w->made && w->made->has(w->made->context, i))
        PARE_TRY(w->made->plan(w->made->context, i, writer));
    else
        PARE_TRY(plan_tensor(w, i, writer));
    return plan_inputs(w, i, writer);
}

enum pare_status quantize_keep(const struct quantize_work *w, size_t i,
                               struct pare_gguf_writer *writer)
{
    const struct pare_tensor *parts[PARE_STORED_PARTS];
    const size_t n = pare_stored_parts(&w->stored, i, parts);
    for (size_t p = 0; p < n; p++)
        for (uint64_t at = 0; at < parts[p]->bytes; at += COPIED) {
            const unsigned char *data = parts[p]->data;
            const uint64_t rest = parts[p]->bytes - at;
            PARE_TRY(pare_gguf_writer_data(writer, data + at,
                                           rest < COPIED ? rest : COPIED, w->err));
            pare_ckpt_release(w->stored.ckpt, data + at, rest < COPIED ? rest : COPIED);
        }
    return PARE_OK;
}

enum pare_status quantize_tensors(struct quantize_work *w,
                                  struct pare_gguf_writer *writer)
{
    const struct pare_plan *plan = &w->stored.plan;
    struct quantize_buffers b = {0};
    enum pare_status status;
    for (size_t i = 0; i < plan->count; i++)
        PARE_TRY_OUT(plan_slot(w, i, writer));
    if (w->calibration.samples)
        return quantize_walk(w, writer);
    PARE_TRY_OUT(quantize_buffers_make(w, &b));
    for (size_t i = 0; i < plan->count; i++) {
        pare_progress_report(&w->cli->progress, "quantise", i, plan->count,
                             plan->slots[i].name);
        const int made = w->made && w->made->has(w->made->context, i);
        const int kept = w->items[i].scheme == PARE_SCHEME_KEEP;
        if (made)
            PARE_TRY_OUT(w->made->write(w->made->context, i, writer));
        else if (kept)
            PARE_TRY_OUT(quantize_keep(w, i, writer));
        else
            PARE_TRY_OUT(quantize_matrix(w, i, &b, writer));
        PARE_TRY_OUT(quantize_inputs(w, i, writer));
        if (made || kept)
            continue;
        pare_cli_detail(w->cli, "%-32s %-9s error %8.4f %%", plan->slots[i].name,
                        w->items[i].form, 100 * pare_quant_error_relative(&w->errors[i]));
    }
    pare_progress_report(&w->cli->progress, "quantise", plan->count, plan->count, NULL);
out:
    quantize_buffers_free(&b);
    return status;
}
