/* Factors, ranges and biases in a solver's walk: see quantize_inputs.h. */
#include "tools/quantize_inputs.h"

#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/model/container.h"

const char *const quantize_family_names[] = {"none", "smoothquant", "awq"};

/* --- What is decided -------------------------------------------------------------- */

static const struct quantize_site *site_of(const struct quantize_work *w, size_t i)
{
    return w->sites ? w->sites[i] : NULL;
}

/* The factors of what slot i makes, a row each; NULL: none. */
static const float *maker_scale(const struct quantize_work *w, size_t i)
{
    return w->makers && w->makers[i] ? w->makers[i]->scale : NULL;
}

const float *quantize_input_scale(const struct quantize_work *w, size_t i)
{
    const struct quantize_site *site = site_of(w, i);
    if (site && site->scale)
        return site->folded ? NULL : site->scale;
    return pare_stored_weight(&w->stored, i).input_scale;
}

enum pare_status quantize_scaled_inputs(const struct quantize_work *w,
                                        const struct pare_walk_site *site,
                                        const float **X, size_t rows,
                                        struct pare_arena *arena, struct pare_error *err)
{
    const float *by = quantize_input_scale(w, site->slots[0]);
    float *scaled;
    if (!by)
        return PARE_OK;
    PARE_TRY(pare_arena_alloc(arena, &scaled, rows, site->K * sizeof *scaled, err));
    pare_scale_inputs(*X, by, rows, site->K, scaled);
    *X = scaled;
    return PARE_OK;
}

void quantize_site_weight(const struct quantize_work *w, size_t i,
                          struct pare_weight *weight)
{
    const struct quantize_site *site = site_of(w, i);
    weight->input_scale = quantize_input_scale(w, i);
    if (site && site->is_static)
        weight->input_range = site->range;
}

/* The first slot of the plan that shares the decision. */
static int is_first(const struct quantize_work *w, size_t i)
{
    size_t first = 0;
    while (w->sites[first] != w->sites[i])
        first++;
    return first == i;
}

enum pare_status quantize_site_plan(const struct quantize_work *w, size_t i,
                                    struct pare_gguf_writer *writer)
{
    const struct quantize_site *site = site_of(w, i);
    const struct pare_slot *slot = &w->stored.plan.slots[i];
    const uint64_t ends = 2;
    char name[PARE_INPUT_NAME_SIZE];
    if (!site || !is_first(w, i))
        return PARE_OK;
    pare_input_scale_name(slot->name, name);
    if (site->scale && !site->folded)
        PARE_TRY(
            pare_gguf_writer_plan(writer, name, PARE_F32, 1, &slot->shape[1], w->err));
    pare_input_range_name(slot->name, name);
    return site->is_static
               ? pare_gguf_writer_plan(writer, name, PARE_F32, 1, &ends, w->err)
               : PARE_OK;
}

enum pare_status quantize_site_write(const struct quantize_work *w, size_t i,
                                     struct pare_gguf_writer *writer)
{
    const struct quantize_site *site = site_of(w, i);
    const size_t K = (size_t)w->stored.plan.slots[i].shape[1];
    if (!site || !is_first(w, i))
        return PARE_OK;
    if (site->scale && !site->folded)
        PARE_TRY(
            pare_gguf_writer_data(writer, site->scale, K * sizeof *site->scale, w->err));
    return site->is_static
               ? pare_gguf_writer_data(writer, site->range, sizeof site->range, w->err)
               : PARE_OK;
}

int quantize_site_json(const struct quantize_work *w, size_t i, cJSON *row)
{
    const struct quantize_site *site = site_of(w, i);
    cJSON *range = NULL;
    if (site && site->scale &&
        !(cJSON_AddStringToObject(row, "smooth",
                                  quantize_family_names[site->choice.family]) &&
          cJSON_AddNumberToObject(row, "smooth_exponent", site->choice.exponent) &&
          cJSON_AddNumberToObject(row, "smooth_error", site->choice.error) &&
          cJSON_AddNumberToObject(row, "smooth_error_without", site->plain) &&
          (!site->folded || cJSON_AddTrueToObject(row, "smooth_folded"))))
        return 0;
    if (!site || !site->is_static)
        return 1;
    range = cJSON_AddArrayToObject(row, "input_range");
    for (int end = 0; range && end < 2; end++)
        if (!cJSON_AddItemToArray(range, cJSON_CreateNumber((double)site->range[end])))
            return 0;
    return range != NULL;
}

/* --- Weights with folded factors -------------------------------------------------- */

static void scale_rows(float *W, size_t N, size_t K, const float *by)
{
    for (size_t n = 0; n < N; n++)
        pare_kernels()->scale(W + n * K, by[n], K);
}

void quantize_site_solved(const struct quantize_work *w, size_t i, size_t first,
                          size_t rows, float *W)
{
    const size_t K = (size_t)w->stored.plan.slots[i].shape[1];
    const struct quantize_site *site = site_of(w, i);
    if (maker_scale(w, i))
        scale_rows(W, rows, K, maker_scale(w, i) + first);
    if (site && site->scale)
        pare_smooth_weights(W, rows, K, site->scale, W);
}

static enum pare_status find(void *context, const struct pare_slot *slot,
                             struct pare_weight *weight, struct pare_error *err)
{
    struct quantize_folded *f = context;
    const size_t i = (size_t)(slot - f->w->stored.plan.slots);
    const struct quantize_site *site = site_of(f->w, i);
    const int reads = site && site->folded;
    PARE_TRY(f->stored.find(f->stored.context, slot, weight, err));
    if (!reads && !maker_scale(f->w, i))
        return PARE_OK;
    const size_t n = weight->N * weight->K;
    if (!f->copies[i]) {
        float *copy;
        PARE_TRY(pare_alloc_raw(&copy, n, sizeof *copy, err));
        f->copies[i] = copy;
        for (size_t row = 0; row < weight->N; row++)
            pare_weight_row(weight, row, copy + row * weight->K);
        if (maker_scale(f->w, i)) {
            const int is_bias = slot->n_dims == 1;
            scale_rows(copy, is_bias ? n : weight->N, is_bias ? 1 : weight->K,
                       maker_scale(f->w, i));
        }
        if (reads)
            pare_smooth_weights(copy, weight->N, weight->K, site->scale, copy);
    }
    *weight = (struct pare_weight){.type = PARE_F32,
                                   .N = weight->N,
                                   .K = weight->K,
                                   .data = f->copies[i],
                                   .input_scale = weight->input_scale};
    return PARE_OK;
}

enum pare_status quantize_folded_init(struct quantize_folded *f, struct quantize_work *w)
{
    *f = (struct quantize_folded){.w = w, .stored = pare_model_stored_source(&w->stored)};
    return pare_alloc(&f->copies, w->stored.plan.count, sizeof *f->copies, w->err);
}

struct pare_weight_source quantize_folded_source(struct quantize_folded *f)
{
    return (struct pare_weight_source){.find = find, .context = f};
}

void quantize_folded_release(struct quantize_folded *f, size_t i)
{
    pare_free(f->copies[i]);
    f->copies[i] = NULL;
}

void quantize_folded_free(struct quantize_folded *f)
{
    for (size_t i = 0; f->copies && i < f->w->stored.plan.count; i++)
        quantize_folded_release(f, i);
    pare_free(f->copies);
    f->copies = NULL;
}

/* --- Biases ----------------------------------------------------------------------- */

size_t quantize_bias_slot(const struct quantize_work *w, size_t i)
{
    const struct pare_plan *plan = &w->stored.plan;
    const size_t stem = strlen(plan->slots[i].name) - strlen("weight");
    size_t bias = 0;
    while (strncmp(plan->slots[bias].name, plan->slots[i].name, stem) != 0 ||
           strcmp(plan->slots[bias].name + stem, "bias") != 0)
        bias++;
    return bias;
}

int quantize_bias_is_made(const struct quantize_work *w, size_t i)
{
    const struct pare_plan *plan = &w->stored.plan;
    struct pare_target target;
    if (plan->slots[i].role != PARE_ROLE_BIAS)
        return 0;
    if (maker_scale(w, i))
        return 1;
    for (size_t m = 0; w->o->inputs.correct_bias && m < plan->count; m++)
        if (pare_slot_is_matrix(&plan->slots[m]) && quantize_target(w, m, &target) &&
            quantize_bias_slot(w, m) == i)
            return 1;
    return 0;
}

/* The bias as it was, with folded factors. */
static enum pare_status start_bias(const struct quantize_work *w, size_t bias,
                                   struct quantize_form *form)
{
    const size_t N = (size_t)w->stored.plan.slots[bias].shape[0];
    PARE_TRY(quantize_form_make(w, bias, form));
    memcpy(form->data, w->stored.tensors[bias]->data, form->data_bytes);
    if (maker_scale(w, bias))
        scale_rows((float *)(void *)form->data, N, 1, maker_scale(w, bias));
    return PARE_OK;
}

enum pare_status quantize_make_bias(const struct quantize_work *w, size_t i, size_t first,
                                    size_t rows, const float *W, const float *Q,
                                    const struct pare_means *means,
                                    struct quantize_form *form)
{
    const size_t bias = quantize_bias_slot(w, i);
    if (!quantize_bias_is_made(w, bias))
        return PARE_OK;
    if (!form->data)
        PARE_TRY(start_bias(w, bias, form));
    if (w->o->inputs.correct_bias)
        pare_correct_bias(means, W, Q, rows, (float *)(void *)form->data + first);
    return PARE_OK;
}
