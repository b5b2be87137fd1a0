/* Pruned matrices as they are stored: what of them, and in how many bytes. */
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/model/container.h"
#include "tools/prune.h"
#include "tools/quantize_inputs.h"

static struct pare_weight dense_of(const struct prune_work *w, size_t i)
{
    static const float some_scale;
    const struct pare_slot *slot = &w->base.stored.plan.slots[i];
    const struct pare_scheme_item *item = &w->base.items[i];
    struct pare_weight weight = {
        .type = item->type, .N = (size_t)slot->shape[0], .K = (size_t)slot->shape[1]};
    if (item->grid.bits)
        weight.groups = (struct pare_groups){
            .bits = item->grid.bits, .size = pare_grid_group(&item->grid, weight.K)};
    else if (item->type == PARE_I8)
        weight.scale = &some_scale;
    return weight;
}

/* --- Sizes ------------------------------------------------------------------------ */

/* Bytes of a weight with so many kept weights in whole blocks. */
static uint64_t sparse_bytes(const struct pare_weight *dense,
                             const struct pare_sparse *sparse, size_t kept)
{
    const size_t N = dense->N, K = dense->K, strips = N / sparse->rows;
    const size_t numbers = dense->groups.bits ? 5 : 4;
    const size_t scales = dense->groups.bits ? N * (K / dense->groups.size) * 2
                          : dense->scale     ? N * sizeof(float)
                                             : 0;
    return strips * pare_sparse_kept_bytes(sparse, K) + numbers * sizeof(int32_t) +
           scales + (kept * (size_t)pare_weight_value_bits(dense) + 7) / 8;
}

static void name_form(const struct prune_work *w, size_t i, struct prune_slot *slot)
{
    struct pare_weight weight = dense_of(w, i);
    weight.sparse = slot->sparse;
    pare_weight_form(&weight, slot->form);
}

void prune_form_plan(struct prune_work *w, size_t i)
{
    struct prune_slot *slot = &w->slots[i];
    const struct pare_scheme_item *item = &w->base.items[i];
    slot->bytes = item->bytes;
    memcpy(slot->form, item->form, sizeof slot->form);
    if (!slot->pruned)
        return;
    const struct pare_weight dense = dense_of(w, i);
    const size_t kept = slot->pattern.m && !slot->keep && slot->sparse.m
                            ? dense.N * dense.K / slot->pattern.m * slot->pattern.n
                            : dense.N * dense.K - slot->zeros;
    const uint64_t sparse =
        dense.type == PARE_F32 ? UINT64_MAX : sparse_bytes(&dense, &slot->sparse, kept);
    slot->bytes = pare_weight_bytes(&dense);
    if (sparse < slot->bytes)
        slot->bytes = sparse;
    else
        slot->sparse = (struct pare_sparse){0};
    name_form(w, i, slot);
}

int prune_form_pays(const struct prune_work *w, size_t i, size_t zeros, size_t tokens)
{
    struct pare_weight weight = dense_of(w, i);
    weight.sparse = w->slots[i].sparse;
    const double all = (double)weight.N * (double)weight.K;
    return pare_linear_sparse_pays(&weight, 1 - (double)zeros / all, tokens);
}

/* --- Patterns of given zeros ------------------------------------------------------ */

static size_t kept_blocks(const float *W, size_t N, size_t K, size_t rows, size_t columns)
{
    size_t kept = 0;
    for (size_t n = 0; n < N; n += rows)
        for (size_t k = 0; k < K; k += columns) {
            int any = 0;
            for (size_t i = n; i < n + rows && !any; i++)
                for (size_t j = k; j < k + columns; j++)
                    any |= W[i * K + j] < 0 || W[i * K + j] > 0;
            kept += (size_t)any;
        }
    return kept;
}

/* Whether no more than n of every m are kept. */
static int is_of_m(const float *W, size_t N, size_t K, size_t n, size_t m)
{
    for (size_t at = 0; at < N * K; at += m) {
        size_t kept = 0;
        for (size_t j = at; j < at + m; j++)
            kept += W[j] < 0 || W[j] > 0;
        if (kept > n)
            return 0;
    }
    return 1;
}

struct pare_sparse prune_find_pattern(const float *W, size_t N, size_t K, int bits)
{
    static const uint8_t blocks[][2] = {{1, 1},  {1, 4},  {4, 1},   {1, 8},
                                        {8, 1},  {1, 16}, {16, 1},  {1, 32},
                                        {32, 1}, {4, 4},  {16, 16}, {32, 32}};
    static const uint8_t ratios[][2] = {{1, 4}, {2, 4}, {2, 8}, {4, 8}, {3, 4}};
    struct pare_sparse best = {.rows = 1, .columns = 1};
    uint64_t least = UINT64_MAX; /* bits */
    for (size_t c = 0; c < sizeof blocks / sizeof *blocks; c++) {
        const struct pare_sparse sparse = {.rows = blocks[c][0], .columns = blocks[c][1]};
        if (N % sparse.rows || K % sparse.columns)
            continue;
        const uint64_t all = N / sparse.rows * pare_sparse_kept_bytes(&sparse, K) * 8 +
                             (uint64_t)bits * sparse.rows * sparse.columns *
                                 kept_blocks(W, N, K, sparse.rows, sparse.columns);
        if (all < least) {
            least = all;
            best = sparse;
        }
    }
    for (size_t c = 0; c < sizeof ratios / sizeof *ratios; c++) {
        const size_t n = ratios[c][0], m = ratios[c][1];
        const struct pare_sparse sparse = {.rows = 1, .columns = 1, .n = n, .m = m};
        if (K % m || !is_of_m(W, N, K, n, m))
            continue;
        const uint64_t all =
            N * pare_sparse_kept_bytes(&sparse, K) * 8 + (uint64_t)bits * (N * K / m * n);
        if (all < least) {
            least = all;
            best = sparse;
        }
    }
    return best;
}

/* --- Making ----------------------------------------------------------------------- */

enum pare_status prune_form_make(const struct prune_work *w, size_t i,
                                 struct prune_form *form)
{
    const struct pare_weight weight = dense_of(w, i);
    const struct pare_dtype_info *info = pare_dtype_info(weight.type);
    const size_t N = weight.N, K = weight.K;
    *form = (struct prune_form){.weight = weight};
    form->data_bytes = weight.groups.bits ? N * pare_codes_bytes(weight.groups.bits, K)
                                          : N * K * info->block_bytes;
    if (weight.groups.bits)
        form->scale_bytes = N * (K / weight.groups.size) * 2;
    else if (weight.type == PARE_I8)
        form->scale_bytes = N * sizeof(float);
    PARE_TRY(pare_alloc_raw(&form->data, form->data_bytes, 1, w->base.err));
    return form->scale_bytes
               ? pare_alloc_raw(&form->scale, form->scale_bytes, 1, w->base.err)
               : PARE_OK;
}

void prune_form_free(struct prune_form *form)
{
    pare_free(form->data);
    pare_free(form->scale);
    pare_free(form->kept);
    pare_free(form->start);
    pare_free(form->sets);
    *form = (struct prune_form){0};
}

void prune_form_bind(const struct prune_work *w, size_t i, struct prune_form *form)
{
    struct pare_weight *weight = &form->weight;
    const struct pare_weight now = pare_stored_weight(&w->base.stored, i);
    weight->data = form->data;
    weight->input_scale = now.input_scale;
    weight->sparse.kept = form->kept;
    weight->sparse.start = form->start;
    weight->sparse.sets = form->sets;
    weight->scale = NULL;
    if (weight->groups.bits)
        weight->groups.scale = form->scale;
    else if (weight->type == PARE_I8)
        weight->scale = (const float *)(const void *)form->scale;
    if (pare_weight_is_i8(weight))
        weight->input_range = now.input_range;
}

enum pare_status prune_form_index(const struct prune_work *w, struct prune_form *form)
{
    struct pare_weight *weight = &form->weight;
    struct pare_sparse *sparse = &weight->sparse;
    PARE_TRY(pare_alloc_raw(&form->start, weight->N / sparse->rows + 1,
                            sizeof *form->start, w->base.err));
    sparse->kept = form->kept;
    if (sparse->m) {
        PARE_TRY(pare_alloc_raw(&form->sets, 256, sizeof *form->sets, w->base.err));
        pare_sparse_list_sets(sparse->n, sparse->m, form->sets);
    }
    sparse->start = form->start;
    return pare_sparse_index(sparse, weight->N, weight->K, pare_weight_value_bits(weight),
                             form->start, w->base.err);
}

/* One bit a block of the strip that has anything; of N:M as many as must have one. */
static void strip_bits(const struct pare_sparse *sparse, const float *q, size_t K,
                       uint8_t *bits)
{
    memset(bits, 0, (K / sparse->columns + 7) / 8);
    for (size_t i = 0; i < sparse->rows; i++)
        for (size_t k = 0; k < K; k++) {
            const size_t j = k / sparse->columns;
            const int kept = q[i * K + k] < 0 || q[i * K + k] > 0;
            bits[j / 8] |= (uint8_t)(kept << j % 8);
        }
    for (size_t g = 0; sparse->m && g < K; g += sparse->m) {
        size_t missing = sparse->n;
        for (size_t k = g; k < g + sparse->m; k++)
            missing -= bits[k / 8] >> k % 8 & 1;
        for (size_t k = g; missing && k < g + sparse->m; k++)
            if (!(bits[k / 8] >> k % 8 & 1)) {
                bits[k / 8] |= (uint8_t)(1 << k % 8);
                missing--;
            }
    }
}

/* Elements of a strip's rows: bytes, or halves. */
static const void *strip_elements(const struct prune_form *form, size_t strip,
                                  uint8_t *codes)
{
    const struct pare_weight *weight = &form->weight;
    const size_t rows = weight->sparse.rows, K = weight->K;
    const int bits = weight->groups.bits;
    const size_t row_bytes = form->data_bytes / weight->N;
    const unsigned char *data = form->data + strip * rows * row_bytes;
    for (size_t i = 0; bits && i < rows; i++)
        pare_codes_unpack(bits, data + i * row_bytes, codes + i * K, K);
    return bits ? codes : data;
}

/* Strip after strip into form->kept and `values`; returns the bytes of these. */
static size_t store_strips(struct prune_form *form, const float *Q, unsigned char *values,
                           uint8_t *bits, uint8_t *codes)
{
    const struct pare_weight *weight = &form->weight;
    const struct pare_sparse *sparse = &weight->sparse;
    const size_t K = weight->K, kept = pare_sparse_kept_bytes(sparse, K);
    size_t at = 0;
    for (size_t s = 0; s < weight->N / sparse->rows; s++) {
        strip_bits(sparse, Q + s * sparse->rows * K, K, bits);
        at += pare_sparse_store_strip(sparse, K, bits, strip_elements(form, s, codes),
                                      pare_weight_value_bits(weight),
                                      form->kept + s * kept, values + at);
    }
    return at;
}

static enum pare_status pack(struct prune_work *w, const float *Q,
                             struct prune_form *form)
{
    const struct pare_weight *weight = &form->weight;
    const size_t N = weight->N, K = weight->K, rows = weight->sparse.rows;
    unsigned char *values = NULL;
    uint8_t *bits = NULL, *codes = NULL;
    enum pare_status status;
    form->kept_bytes = N / rows * pare_sparse_kept_bytes(&weight->sparse, K);
    PARE_TRY_OUT(pare_alloc_raw(&form->kept, form->kept_bytes, 1, w->base.err));
    PARE_TRY_OUT(pare_alloc_raw(&values, N * K, 2, w->base.err));
    PARE_TRY_OUT(pare_alloc_raw(&bits, K, 1, w->base.err));
    PARE_TRY_OUT(pare_alloc_raw(&codes, rows, K, w->base.err));
    const size_t bytes = store_strips(form, Q, values, bits, codes);
    pare_free(form->data);
    form->data = NULL;
    PARE_TRY_OUT(prune_form_index(w, form));
    form->data_bytes = (size_t)pare_sparse_stored_bytes(&weight->sparse, N,
                                                        pare_weight_value_bits(weight));
    PARE_TRY_OUT(pare_alloc(&form->data, form->data_bytes, 1, w->base.err));
    memcpy(form->data, values, bytes);
out:
    pare_free(values);
    pare_free(bits);
    pare_free(codes);
    return status;
}

enum pare_status prune_form_pack(struct prune_work *w, size_t i, const float *Q,
                                 struct prune_form *form)
{
    struct prune_slot *slot = &w->slots[i];
    form->weight.sparse = slot->sparse;
    form->weight.sparse.kept = NULL;
    if (slot->sparse.rows)
        PARE_TRY(pack(w, Q, form));
    prune_form_bind(w, i, form);
    slot->bytes = pare_weight_bytes(&form->weight);
    name_form(w, i, slot);
    return PARE_OK;
}

/* --- Writing ---------------------------------------------------------------------- */

static int has(void *context, size_t i)
{
    const struct prune_work *w = context;
    return w->forms[i].weight.N > 0;
}

static enum pare_status plan_sparse(const struct prune_work *w, size_t i,
                                    struct pare_gguf_writer *writer)
{
    const struct pare_slot *slot = &w->base.stored.plan.slots[i];
    const struct prune_form *form = &w->forms[i];
    const struct pare_weight *weight = &form->weight;
    const uint64_t strips = weight->N / weight->sparse.rows;
    const uint64_t numbers = weight->groups.bits ? 5 : 4;
    const uint64_t kept[] = {strips, form->kept_bytes / strips};
    const uint64_t values =
        weight->type == PARE_F16 ? form->data_bytes / 2 : form->data_bytes;
    char name[PARE_NAME_SIZE + 8];
    pare_sparse_name(slot->name, "sparse", name);
    PARE_TRY(pare_gguf_writer_plan(writer, name, PARE_I32, 1, &numbers, w->base.err));
    pare_sparse_name(slot->name, weight->sparse.m ? "ranks" : "mask", name);
    PARE_TRY(pare_gguf_writer_plan(writer, name, PARE_I8, 2, kept, w->base.err));
    pare_sparse_name(slot->name, "values", name);
    return pare_gguf_writer_plan(writer, name, weight->type, 1, &values, w->base.err);
}

static enum pare_status plan(void *context, size_t i, struct pare_gguf_writer *writer)
{
    const struct prune_work *w = context;
    const struct pare_slot *slot = &w->base.stored.plan.slots[i];
    const struct pare_weight *weight = &w->forms[i].weight;
    const int bits = weight->groups.bits;
    char name[PARE_NAME_SIZE + 8];
    if (weight->sparse.rows) {
        PARE_TRY(plan_sparse(w, i, writer));
    } else if (bits) {
        const uint64_t coded[] = {weight->N, pare_codes_bytes(bits, weight->K)};
        pare_codes_name(slot->name, name);
        PARE_TRY(pare_gguf_writer_plan(writer, name, PARE_I8, 2, coded, w->base.err));
    } else {
        PARE_TRY(pare_gguf_writer_plan(writer, slot->name, weight->type, 2, slot->shape,
                                       w->base.err));
    }
    pare_scale_name(slot->name, name);
    if (bits) {
        const uint64_t scaled[] = {weight->N, weight->K / weight->groups.size};
        return pare_gguf_writer_plan(writer, name, PARE_F16, 2, scaled, w->base.err);
    }
    return weight->type == PARE_I8 ? pare_gguf_writer_plan(writer, name, PARE_F32, 1,
                                                           slot->shape, w->base.err)
                                   : PARE_OK;
}

static enum pare_status write_sparse(const struct prune_work *w,
                                     const struct prune_form *form,
                                     struct pare_gguf_writer *writer)
{
    const struct pare_weight *weight = &form->weight;
    const struct pare_sparse *sparse = &weight->sparse;
    const int32_t numbers[] = {(int32_t)sparse->rows, (int32_t)sparse->columns,
                               (int32_t)sparse->n, (int32_t)sparse->m,
                               weight->groups.bits};
    const size_t count = weight->groups.bits ? 5 : 4;
    PARE_TRY(
        pare_gguf_writer_data(writer, numbers, count * sizeof *numbers, w->base.err));
    return pare_gguf_writer_data(writer, form->kept, form->kept_bytes, w->base.err);
}

static enum pare_status write(void *context, size_t i, struct pare_gguf_writer *writer)
{
    const struct prune_work *w = context;
    const struct prune_form *form = &w->forms[i];
    if (form->weight.sparse.rows)
        PARE_TRY(write_sparse(w, form, writer));
    PARE_TRY(pare_gguf_writer_data(writer, form->data, form->data_bytes, w->base.err));
    return form->scale_bytes ? pare_gguf_writer_data(writer, form->scale,
                                                     form->scale_bytes, w->base.err)
                             : PARE_OK;
}

struct quantize_made prune_made(struct prune_work *w)
{
    return (struct quantize_made){w, has, plan, write};
}
