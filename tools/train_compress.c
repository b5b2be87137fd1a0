#include "tools/train_compress.h"

#include <stdio.h>
#include <string.h>

#include "runtime/model/container.h"
#include "tools/quantize.h"

struct train_compress_options train_compress_options_default(void)
{
    return (struct train_compress_options){.format = scheme_options_default()};
}

enum pare_status train_compress_check(const struct train_compress_options *o,
                                      struct pare_error *err)
{
    const struct scheme_options *f = &o->format;
    struct pare_pattern pattern;
    if (o->sparsity)
        PARE_TRY(pare_pattern_parse(o->sparsity, &pattern, err));
    if (f->scheme >= 0)
        return scheme_options_check(f, err);
    if (o->learned || f->embeddings >= 0 || f->group_size >= 0 || f->asymmetric ||
        f->skip.count || f->override.count || f->strict)
        return pare_fail(err, PARE_ERR_USAGE,
                         "options of the number format say nothing without --qat SCHEME");
    return PARE_OK;
}

/* How the matrices of a model in training are stored: as floats. */
static enum pare_status decide_formats(struct train_compress *q, struct pare_error *err)
{
    struct pare_weight *now;
    PARE_TRY(pare_arena_alloc(&q->arena, &now, q->plan.count, sizeof *now, err));
    for (size_t i = 0; i < q->plan.count; i++) {
        const struct pare_slot *slot = &q->plan.slots[i];
        now[i] = (struct pare_weight){
            .type = PARE_F32,
            .N = slot->n_dims == 2 ? (size_t)slot->shape[0] : 1,
            .K = (size_t)slot->shape[slot->n_dims - 1],
        };
    }
    return scheme_options_decide(&q->o->format, &q->plan, now, &q->arena, &q->items, err);
}

/* A scale that is the mean of a whole tensor would have to know the mask. */
static enum pare_status check_together(const struct train_compress *q,
                                       struct pare_error *err)
{
    for (size_t i = 0; i < q->plan.count; i++)
        if (q->items[i].grid.ternary && !q->items[i].grid.group &&
            q->plan.slots[i].role == PARE_ROLE_LINEAR)
            return pare_fail(err, PARE_ERR_USAGE,
                             "pruned ternary weights need a --group-size");
    return PARE_OK;
}

enum pare_status train_compress_init(struct train_compress *q,
                                     const struct train_compress_options *o,
                                     const struct pare_config *config,
                                     struct pare_error *err)
{
    const int quantises = o->format.scheme >= 0;
    const int prunes = o->keep_zeros || o->sparsity;
    *q = (struct train_compress){.o = o};
    if (!quantises && !prunes)
        return PARE_OK;
    PARE_TRY(pare_plan_make(config, &q->arena, &q->plan, err));
    if (quantises) {
        PARE_TRY(decide_formats(q, err));
        PARE_TRY(pare_fake_new(&q->plan, q->items, o->learned, &q->fake, err));
    }
    if (prunes) {
        struct pare_masks_options masks = pare_masks_options_default();
        masks.keep_zeros = o->keep_zeros;
        if (o->sparsity)
            PARE_TRY(pare_pattern_parse(o->sparsity, &masks.pattern, err));
        PARE_TRY(pare_masks_new(&q->plan, &masks, &q->masks, err));
    }
    if (!quantises || !prunes)
        return PARE_OK;
    PARE_TRY(check_together(q, err));
    return pare_compressor_chain_init(&q->chain, &q->plan,
                                      pare_masks_compressor(q->masks),
                                      pare_fake_compressor(q->fake), err);
}

void train_compress_free(struct train_compress *q)
{
    pare_compressor_chain_free(&q->chain);
    pare_masks_free(q->masks);
    pare_fake_free(q->fake);
    pare_arena_free(&q->arena);
    *q = (struct train_compress){0};
}

struct pare_compressor *train_compress_compressor(struct train_compress *q)
{
    if (q->fake && q->masks)
        return &q->chain.both;
    if (q->masks)
        return pare_masks_compressor(q->masks);
    return q->fake ? pare_fake_compressor(q->fake) : NULL;
}

size_t train_compress_extras(struct train_compress *q, struct pare_extra *extras,
                             size_t n)
{
    const struct pare_compressor *compressor = train_compress_compressor(q);
    for (size_t i = 0; compressor && i < compressor->n_extras; i++) {
        const struct pare_compressor_extra *from = &compressor->extras[i];
        extras[n] = (struct pare_extra){
            .rows = from->rows, .columns = from->columns, .of = from->slot + 1};
        memcpy(extras[n++].name, from->name, sizeof from->name);
    }
    return n;
}

void train_compress_start(struct train_compress *q, struct pare_params *params)
{
    const struct pare_compressor *compressor = train_compress_compressor(q);
    if (!compressor)
        return;
    if (q->masks)
        pare_masks_start(q->masks, params->value, params->start);
    if (q->fake)
        pare_fake_start(q->fake, params->value, params->start);
    const size_t first = params->plan.count - compressor->n_extras;
    for (size_t i = 0; i < compressor->n_extras; i++) {
        const struct pare_compressor_extra *extra = &compressor->extras[i];
        memcpy(params->value + params->start[first + i], extra->start,
               extra->rows * extra->columns * sizeof(float));
    }
}

/* --- The container ---------------------------------------------------------------- */

/* The trained values as if they lay in a checkpoint. */
static enum pare_status as_stored(const struct pare_params *params,
                                  struct pare_arena *arena, struct pare_stored *stored,
                                  struct pare_error *err)
{
    const size_t count = params->n_model;
    struct pare_tensor *tensors;
    *stored = (struct pare_stored){.config = params->config, .plan = params->plan};
    stored->plan.count = count;
    PARE_TRY(pare_arena_alloc(arena, &tensors, count, sizeof *tensors, err));
    PARE_TRY(pare_arena_alloc(arena, &stored->tensors, count, sizeof(void *), err));
    PARE_TRY(pare_arena_alloc(arena, &stored->scales, count, sizeof(void *), err));
    PARE_TRY(pare_arena_alloc(arena, &stored->zeros, count, sizeof(void *), err));
    memset(stored->scales, 0, count * sizeof(void *));
    memset(stored->zeros, 0, count * sizeof(void *));
    for (size_t i = 0; i < count; i++) {
        const struct pare_slot *slot = &params->plan.slots[i];
        tensors[i] = (struct pare_tensor){
            .name = slot->name,
            .type = PARE_F32,
            .n_dims = slot->n_dims,
            .bytes = pare_slot_elements(slot) * sizeof(float),
            .data = params->value + params->start[i],
        };
        memcpy(tensors[i].shape, slot->shape,
               (size_t)slot->n_dims * sizeof slot->shape[0]);
        stored->tensors[i] = &tensors[i];
    }
    return PARE_OK;
}

static enum pare_status write_tensors(struct quantize_work *work, struct pare_meta *meta,
                                      struct pare_arena *arena)
{
    struct pare_gguf_writer *writer;
    PARE_TRY(pare_arena_alloc(arena, &work->errors, work->stored.plan.count,
                              sizeof *work->errors, work->err));
    memset(work->errors, 0, work->stored.plan.count * sizeof *work->errors);
    PARE_TRY(pare_gguf_writer_open(work->cli->output, meta, &writer, work->err));
    enum pare_status status = quantize_tensors(work, writer);
    if (status == PARE_OK)
        return pare_gguf_writer_commit(writer, work->err);
    pare_gguf_writer_abort(writer);
    return status;
}

/* What is masked is zero from now on in the values too. */
static enum pare_status put_zeros(struct train_compress *q, struct pare_params *params,
                                  struct pare_error *err)
{
    if (!q->masks)
        return PARE_OK;
    const struct pare_compressor *c = pare_masks_compressor(q->masks);
    for (size_t i = 0; i < q->plan.count; i++) {
        float *v = params->value + params->start[i];
        if (c->covers[i])
            PARE_TRY(
                c->apply(c->context, i, 0, (size_t)q->plan.slots[i].shape[0], v, v, err));
    }
    return PARE_OK;
}

static enum pare_status write_formats(struct train_compress *q, struct pare_cli *cli,
                                      const struct pare_params *params,
                                      struct pare_meta *meta, struct pare_error *err)
{
    const enum pare_scheme scheme = scheme_options_scheme(&q->o->format);
    const char *name = pare_scheme_name(scheme);
    PARE_TRY(pare_meta_set_string(meta, "pare.scheme", name, strlen(name), err));
    PARE_TRY(pare_file_type_set(meta, pare_scheme_type(scheme, PARE_F32), err));
    struct pare_arena arena = {0};
    struct quantize_work work = {
        .cli = cli, .items = q->items, .fake = q->fake, .err = err};
    enum pare_status status = as_stored(params, &arena, &work.stored, err);
    if (status == PARE_OK)
        status = write_tensors(&work, meta, &arena);
    pare_arena_free(&arena);
    return status;
}

enum pare_status train_compress_write(struct train_compress *q, struct pare_cli *cli,
                                      struct pare_params *params, struct pare_meta *meta,
                                      struct pare_error *err)
{
    PARE_TRY(put_zeros(q, params, err));
    if (q->fake)
        return write_formats(q, cli, params, meta, err);
    pare_meta_remove(meta, "pare.scheme"); /* no longer quantised, if it was */
    PARE_TRY(pare_file_type_set(meta, PARE_F32, err));
    return pare_params_write(params, meta, cli->output, err);
}

static int quantisation_history(const struct train_compress *q, cJSON *json)
{
    if (!q->fake)
        return 1;
    cJSON *qat = cJSON_AddObjectToObject(json, "qat");
    return qat && scheme_options_history(&q->o->format, qat) &&
           (!q->o->learned || cJSON_AddTrueToObject(qat, "learned_scales"));
}

int train_compress_history(const struct train_compress *q, cJSON *json)
{
    int ok = quantisation_history(q, json);
    if (ok && q->o->keep_zeros)
        ok = cJSON_AddTrueToObject(json, "keep_zeros") != NULL;
    if (ok && q->o->sparsity)
        ok = cJSON_AddStringToObject(json, "sparsity", q->o->sparsity) != NULL;
    return ok;
}

enum pare_status train_compress_identity(const struct train_compress *q, char **out,
                                         struct pare_error *err)
{
    *out = NULL;
    if (!q->fake && !q->masks)
        return PARE_OK;
    cJSON *json = cJSON_CreateObject();
    if (json && train_compress_history(q, json))
        *out = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    return *out ? PARE_OK : pare_fail_memory(err, sizeof(cJSON));
}
