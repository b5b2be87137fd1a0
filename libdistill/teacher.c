/* The teacher's answers on disk: see teacher.h. */
#include "libdistill/teacher.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/interrupt.h"
#include "runtime/base/parallel.h"
#include "runtime/checkpoint/gguf_writer.h"

#define BATCH 32 /* sequences of a forward */
#define KIND "pare teacher cache"
#define KEY_KIND "general.type"
#define KEY_TEACHER "pare.teacher_sha256"
#define KEY_EXAMPLES "pare.examples_sha256"

/* --- Which tensors ---------------------------------------------------------------- */

/* Kinds of a chunk's tensors, in the order of the file. Logits and first tokens' states
 * have a row an example, the others a row a token. */
struct kinds {
    size_t logits, first, hidden, qkv, end; /* where each kind begins */
};

static struct kinds kinds_of(const struct pare_config *config)
{
    const size_t L = config->layers;
    return (struct kinds){0, 1, L + 2, 2 * L + 3, 3 * L + 3};
}

static int wanted(const struct pare_config *config,
                  const struct pare_teacher_wants *wants, size_t kind)
{
    const struct kinds k = kinds_of(config);
    if (kind == k.logits)
        return config->labels != 0;
    if (kind < k.hidden)
        return wants->hidden && wants->first_tokens && wants->hidden[kind - k.first];
    if (kind < k.qkv)
        return wants->hidden && !wants->first_tokens && wants->hidden[kind - k.hidden];
    return wants->qkv && wants->qkv[kind - k.qkv];
}

static void name_of(const struct pare_config *config, size_t chunk, size_t kind,
                    char out[PARE_NAME_SIZE])
{
    const struct kinds k = kinds_of(config);
    if (kind == k.logits)
        snprintf(out, PARE_NAME_SIZE, "%zu.logits", chunk);
    else if (kind < k.hidden)
        snprintf(out, PARE_NAME_SIZE, "%zu.first.%zu", chunk, kind - k.first);
    else if (kind < k.qkv)
        snprintf(out, PARE_NAME_SIZE, "%zu.hidden.%zu", chunk, kind - k.hidden);
    else
        snprintf(out, PARE_NAME_SIZE, "%zu.qkv.%zu", chunk, kind - k.qkv);
}

static int is_by_example(const struct pare_config *config, size_t kind)
{
    return kind < kinds_of(config).hidden;
}

static size_t width_of(const struct pare_config *config, size_t kind)
{
    const struct kinds k = kinds_of(config);
    if (kind == k.logits)
        return config->labels;
    return kind < k.qkv ? config->hidden : 3 * (size_t)config->hidden;
}

static size_t chunk_count(const struct pare_examples *examples)
{
    return (examples->count + PARE_TEACHER_CHUNK - 1) / PARE_TEACHER_CHUNK;
}

struct span { /* examples [first, end) of a chunk */
    size_t first, end;
    uint64_t tokens;
};

static struct span span_of(const struct pare_examples *examples, size_t chunk)
{
    struct span s = {.first = chunk * PARE_TEACHER_CHUNK};
    s.end = s.first + PARE_TEACHER_CHUNK;
    if (s.end > examples->count)
        s.end = examples->count;
    s.tokens = examples->starts[s.end] - examples->starts[s.first];
    return s;
}

static struct pare_tensor shape_of(const struct pare_config *config,
                                   const struct span *span, size_t kind)
{
    return (struct pare_tensor){
        .type = kind == 0 ? PARE_F32 : PARE_F16,
        .n_dims = 2,
        .shape = {is_by_example(config, kind) ? span->end - span->first : span->tokens,
                  width_of(config, kind)},
    };
}

/* --- Reading ---------------------------------------------------------------------- */

static int has_text(const struct pare_meta *meta, const char *key, const char *text)
{
    const struct pare_meta_value *value = pare_meta_find(meta, key);
    return value && value->type == PARE_META_STRING &&
           value->text.length == strlen(text) &&
           !memcmp(value->text.data, text, value->text.length);
}

/* NULL: it is not there, or not what it should be. */
static const struct pare_tensor *find_tensor(const struct pare_teacher *teacher,
                                             size_t chunk, size_t kind)
{
    char name[PARE_NAME_SIZE];
    const struct span span = span_of(teacher->examples, chunk);
    const struct pare_tensor want = shape_of(&teacher->config, &span, kind);
    name_of(&teacher->config, chunk, kind, name);
    const struct pare_tensor *found = pare_ckpt_find(teacher->ckpt, name);
    return found && found->type == want.type && found->n_dims == 2 &&
                   found->shape[0] == want.shape[0] && found->shape[1] == want.shape[1]
               ? found
               : NULL;
}

/* Whether a chunk has what is wanted; first tokens' states are among all tokens'. */
static int has_wanted(const struct pare_teacher *teacher,
                      const struct pare_teacher_wants *wants,
                      const struct pare_tensor *const *chunk)
{
    const struct kinds k = kinds_of(&teacher->config);
    for (size_t kind = 0; kind < k.end; kind++) {
        const int is_first = kind >= k.first && kind < k.hidden;
        if (wanted(&teacher->config, wants, kind) && !chunk[kind] &&
            !(is_first && chunk[kind - k.first + k.hidden]))
            return 0;
    }
    return 1;
}

/* Notes the tensors in teacher->chunks. *fits: all that is wanted is there. */
static enum pare_status find_tensors(struct pare_teacher *teacher,
                                     const struct pare_teacher_wants *wants, int *fits,
                                     struct pare_error *err)
{
    const size_t K = kinds_of(&teacher->config).end, n = chunk_count(teacher->examples);
    PARE_TRY(pare_arena_alloc(&teacher->arena, &teacher->chunks, n * K,
                              sizeof *teacher->chunks, err));
    *fits = 1;
    for (size_t chunk = 0; chunk < n; chunk++) {
        for (size_t kind = 0; kind < K; kind++)
            teacher->chunks[chunk * K + kind] = find_tensor(teacher, chunk, kind);
        *fits &= has_wanted(teacher, wants, teacher->chunks + chunk * K);
    }
    return PARE_OK;
}

/* *fits = 0 when there is no such file, or one of something else. */
static enum pare_status open_cache(struct pare_teacher *teacher, const char *path,
                                   const char *sha256, const char *examples_sha256,
                                   const struct pare_teacher_wants *wants, int *fits,
                                   struct pare_error *err)
{
    struct pare_error ignored = {0};
    *fits = 0;
    FILE *f = fopen(path, "rb");
    if (!f)
        return PARE_OK;
    fclose(f);
    if (pare_ckpt_open(path, &teacher->ckpt, &ignored) != PARE_OK)
        return pare_fail(err, PARE_ERR_USAGE,
                         "%s exists and is no teacher cache; remove it or choose another "
                         "--cache",
                         path);
    const struct pare_meta *meta = &teacher->ckpt->meta;
    if (!has_text(meta, KEY_KIND, KIND))
        return pare_fail(err, PARE_ERR_USAGE,
                         "%s exists and is no teacher cache; remove it or choose another "
                         "--cache",
                         path);
    if (has_text(meta, KEY_TEACHER, sha256) &&
        has_text(meta, KEY_EXAMPLES, examples_sha256))
        PARE_TRY(find_tensors(teacher, wants, fits, err));
    if (!*fits) {
        pare_ckpt_close(teacher->ckpt);
        teacher->ckpt = NULL;
    }
    return PARE_OK;
}

static const unsigned char *rows_of(const struct pare_teacher *teacher, size_t example,
                                    size_t kind)
{
    const struct pare_config *config = &teacher->config;
    const size_t chunk = example / PARE_TEACHER_CHUNK;
    const struct pare_tensor *tensor =
        teacher->chunks[chunk * kinds_of(config).end + kind];
    const size_t first = chunk * PARE_TEACHER_CHUNK;
    const uint64_t *starts = teacher->examples->starts;
    const size_t row = is_by_example(config, kind)
                           ? example - first
                           : (size_t)(starts[example] - starts[first]);
    return tensor ? (const unsigned char *)tensor->data +
                        row * width_of(config, kind) *
                            pare_dtype_info(tensor->type)->block_bytes
                  : NULL;
}

void pare_teacher_logits(const struct pare_teacher *teacher, size_t example, float *out)
{
    memcpy(out, rows_of(teacher, example, 0), teacher->config.labels * sizeof *out);
}

void pare_teacher_hidden(const struct pare_teacher *teacher, uint32_t state,
                         size_t example, size_t tokens, float *out)
{
    const struct kinds k = kinds_of(&teacher->config);
    const unsigned char *rows = rows_of(teacher, example, k.hidden + state);
    if (!rows)
        rows = rows_of(teacher, example, k.first + state);
    pare_kernels()->decode_f16(out, rows, tokens * teacher->config.hidden);
}

void pare_teacher_qkv(const struct pare_teacher *teacher, uint32_t block, size_t example,
                      float *out)
{
    const uint64_t *starts = teacher->examples->starts;
    const size_t kind = kinds_of(&teacher->config).qkv + block;
    pare_kernels()->decode_f16(out, rows_of(teacher, example, kind),
                               (size_t)(starts[example + 1] - starts[example]) *
                                   width_of(&teacher->config, kind));
}

/* --- Computing -------------------------------------------------------------------- */

struct writing {
    const struct pare_model *model;
    const struct pare_examples *examples;
    const struct pare_teacher_wants *wants;
    struct pare_gguf_writer *writer;
    struct pare_batcher batcher;
    struct pare_acts acts;
    float *first;         /* [BATCH, C] states of first tokens */
    unsigned char **data; /* [kinds] a chunk's tensors, NULL: not wanted */
    struct pare_arena arena;
    struct pare_error *err;
};

struct encode {
    const float *from;
    unsigned char *to;
};

static void encode_tile(void *context, size_t begin, size_t end)
{
    const struct encode *e = context;
    pare_row_encode(PARE_F16, e->from + begin, e->to + begin * sizeof(uint16_t),
                    end - begin);
}

/* The rows [row, row + rows) of one tensor, if it is wanted. */
static enum pare_status keep(const struct writing *w, size_t kind, size_t row,
                             const float *from, size_t rows)
{
    const size_t width = width_of(&w->model->config, kind), n = rows * width;
    const size_t size = kind == 0 ? sizeof(float) : sizeof(uint16_t);
    if (!w->data[kind])
        return PARE_OK;
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(from[i]) <= 65504.0f)) /* also not a number */
            return pare_fail(w->err, PARE_ERR_INPUT,
                             "the teacher computes %g: its weights are damaged, or too "
                             "large to keep its states as F16",
                             (double)from[i]);
    unsigned char *to = w->data[kind] + row * width * size;
    if (kind == 0)
        memcpy(to, from, n * size);
    else
        pare_parallel_for(n, 16384, encode_tile, &(struct encode){from, to});
    return PARE_OK;
}

static enum pare_status keep_first(const struct writing *w, size_t kind, size_t row,
                                   const float *state, const struct pare_batch *batch)
{
    const size_t C = w->model->config.hidden;
    if (!w->data[kind])
        return PARE_OK;
    for (size_t s = 0; s < batch->n_seq; s++)
        memcpy(w->first + s * C, state + batch->starts[s] * C, C * sizeof *w->first);
    return keep(w, kind, row, w->first, batch->n_seq);
}

static enum pare_status compute_batch(struct writing *w, const struct span *span,
                                      size_t first, size_t n)
{
    const struct pare_config *config = &w->model->config;
    const struct pare_batch batch = pare_batcher_fill(&w->batcher, NULL, first, n);
    const struct kinds k = kinds_of(config);
    PARE_TRY(pare_forward(w->model, &batch, NULL, &w->acts, w->err));
    const size_t token =
        (size_t)(w->examples->starts[first] - w->examples->starts[span->first]);
    if (config->labels)
        PARE_TRY(keep(w, 0, first - span->first, w->acts.logits, n));
    for (uint32_t l = 0; l <= config->layers; l++) {
        const float *state = l ? w->acts.blocks[l - 1].output : w->acts.embedded;
        PARE_TRY(keep(w, k.hidden + l, token, state, batch.n_tokens));
        PARE_TRY(keep_first(w, k.first + l, first - span->first, state, &batch));
    }
    for (uint32_t l = 0; l < config->layers; l++)
        PARE_TRY(keep(w, k.qkv + l, token, w->acts.blocks[l].qkv, batch.n_tokens));
    return PARE_OK;
}

static enum pare_status compute_chunk(struct writing *w, size_t chunk)
{
    const struct pare_config *config = &w->model->config;
    const struct span span = span_of(w->examples, chunk);
    struct pare_arena_mark mark = pare_arena_mark(&w->arena);
    for (size_t kind = 0; kind < kinds_of(config).end; kind++) {
        const struct pare_tensor shape = shape_of(config, &span, kind);
        w->data[kind] = NULL;
        if (wanted(config, w->wants, kind))
            PARE_TRY(pare_arena_alloc(
                &w->arena, &w->data[kind], shape.shape[0],
                shape.shape[1] * pare_dtype_info(shape.type)->block_bytes, w->err));
    }
    for (size_t first = span.first; first < span.end; first += BATCH) {
        const size_t n = span.end - first < BATCH ? span.end - first : BATCH;
        PARE_TRY(pare_check_interrupted(w->err));
        PARE_TRY(compute_batch(w, &span, first, n));
    }
    for (size_t kind = 0; kind < kinds_of(config).end; kind++) {
        const struct pare_tensor shape = shape_of(config, &span, kind);
        if (w->data[kind])
            PARE_TRY(pare_gguf_writer_data(w->writer, w->data[kind],
                                           shape.shape[0] * shape.shape[1] *
                                               pare_dtype_info(shape.type)->block_bytes,
                                           w->err));
    }
    pare_arena_release(&w->arena, mark);
    return PARE_OK;
}

static enum pare_status plan_tensors(const struct writing *w)
{
    const struct pare_config *config = &w->model->config;
    for (size_t chunk = 0; chunk < chunk_count(w->examples); chunk++) {
        const struct span span = span_of(w->examples, chunk);
        for (size_t kind = 0; kind < kinds_of(config).end; kind++) {
            char name[PARE_NAME_SIZE];
            if (!wanted(config, w->wants, kind))
                continue;
            const struct pare_tensor shape = shape_of(config, &span, kind);
            name_of(config, chunk, kind, name);
            PARE_TRY(pare_gguf_writer_plan(w->writer, name, shape.type, 2, shape.shape,
                                           w->err));
        }
    }
    return PARE_OK;
}

static enum pare_status compute_all(struct writing *w,
                                    const struct pare_progress *progress)
{
    const size_t n = chunk_count(w->examples);
    w->acts.tape = w->wants->hidden || w->wants->qkv;
    w->acts.first_only = !w->acts.tape;
    PARE_TRY(plan_tensors(w));
    PARE_TRY(pare_batcher_init(&w->batcher, w->examples, BATCH, w->err));
    PARE_TRY(pare_arena_alloc(&w->arena, &w->data, kinds_of(&w->model->config).end,
                              sizeof *w->data, w->err));
    PARE_TRY(pare_arena_alloc(&w->arena, &w->first, BATCH * w->model->config.hidden,
                              sizeof *w->first, w->err));
    for (size_t chunk = 0; chunk < n; chunk++) {
        pare_progress_report(progress, "teacher", chunk, n, NULL);
        PARE_TRY(compute_chunk(w, chunk));
    }
    pare_progress_report(progress, "teacher", n, n, NULL);
    return PARE_OK;
}

static enum pare_status write_cache(const char *path, const struct pare_model *model,
                                    const struct pare_examples *examples,
                                    const struct pare_teacher_wants *wants,
                                    const struct pare_meta *meta,
                                    const struct pare_progress *progress,
                                    struct pare_error *err)
{
    struct writing w = {.model = model, .examples = examples, .wants = wants, .err = err};
    PARE_TRY(pare_gguf_writer_open(path, meta, &w.writer, err));
    enum pare_status status = compute_all(&w, progress);
    pare_batcher_free(&w.batcher);
    pare_acts_free(&w.acts);
    pare_arena_free(&w.arena);
    if (status == PARE_OK)
        return pare_gguf_writer_commit(w.writer, err);
    pare_gguf_writer_abort(w.writer);
    return status;
}

/* --- Both ------------------------------------------------------------------------- */

static enum pare_status fill_meta(struct pare_meta *meta, const char *sha256,
                                  const char *examples_sha256, struct pare_error *err)
{
    PARE_TRY(pare_meta_set_string(meta, KEY_KIND, KIND, strlen(KIND), err));
    PARE_TRY(pare_meta_set_string(meta, KEY_TEACHER, sha256, strlen(sha256), err));
    return pare_meta_set_string(meta, KEY_EXAMPLES, examples_sha256,
                                strlen(examples_sha256), err);
}

static enum pare_status open_or_compute(struct pare_teacher *teacher, const char *path,
                                        const struct pare_model *model,
                                        const char *sha256,
                                        const struct pare_teacher_wants *wants,
                                        const struct pare_progress *progress,
                                        int *computed, struct pare_error *err)
{
    char examples_sha256[65];
    int fits;
    pare_examples_sha256(teacher->examples, examples_sha256);
    PARE_TRY(open_cache(teacher, path, sha256, examples_sha256, wants, &fits, err));
    *computed = !fits;
    if (fits)
        return PARE_OK;
    struct pare_meta meta = {0};
    enum pare_status status = fill_meta(&meta, sha256, examples_sha256, err);
    if (status == PARE_OK)
        status = write_cache(path, model, teacher->examples, wants, &meta, progress, err);
    pare_meta_free(&meta);
    PARE_TRY(status);
    PARE_TRY(open_cache(teacher, path, sha256, examples_sha256, wants, &fits, err));
    if (!fits)
        return pare_fail(err, PARE_ERR_INTERNAL, "%s: not what was written", path);
    return PARE_OK;
}

enum pare_status pare_teacher_open(const char *path, const struct pare_model *model,
                                   const char *sha256,
                                   const struct pare_examples *examples,
                                   const struct pare_teacher_wants *wants,
                                   const struct pare_progress *progress,
                                   struct pare_teacher **out, int *computed,
                                   struct pare_error *err)
{
    struct pare_teacher *teacher;
    *out = NULL;
    PARE_TRY(pare_alloc(&teacher, 1, sizeof *teacher, err));
    teacher->config = model->config;
    teacher->examples = examples;
    enum pare_status status =
        open_or_compute(teacher, path, model, sha256, wants, progress, computed, err);
    if (status != PARE_OK) {
        pare_teacher_free(teacher);
        return status;
    }
    *out = teacher;
    return PARE_OK;
}

void pare_teacher_free(struct pare_teacher *teacher)
{
    if (!teacher)
        return;
    pare_ckpt_close(teacher->ckpt);
    pare_arena_free(&teacher->arena);
    pare_free(teacher);
}
