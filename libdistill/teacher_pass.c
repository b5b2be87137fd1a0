/* The teacher's pass over the examples: see teacher_pass.h. */
#include "libdistill/teacher_pass.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "libdistill/teacher_file.h"
#include "runtime/base/bytes.h"
#include "runtime/base/interrupt.h"
#include "runtime/base/parallel.h"
#include "runtime/checkpoint/gguf_writer.h"

#define BATCH 32 /* sequences of a forward */

struct pass {
    const struct pare_teacher_call *call;
    const char *path;
    const struct pare_config *config;
    const uint8_t *wanted;
    const struct pare_teacher *old, *part;
    size_t kinds, next;     /* the chunk to be written */
    size_t computed, whole; /* chunks so far */
    struct pare_gguf_writer *writer;
    struct pare_batcher batcher;
    struct pare_acts acts;
    float *first;         /* [BATCH, C] states of first tokens */
    unsigned char **data; /* [kinds] a chunk's tensors, NULL: not wanted */
    const void **ready;   /* [kinds] what is to be written */
    struct pare_arena arena;
    struct pare_error *err;
};

/* --- A chunk's answers ------------------------------------------------------------ */

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

/* "hidden state 2 (of block 1)", blocks counted from 0 as in the options of a loss. */
static void describe(const struct pare_config *config, size_t kind, char out[96])
{
    const struct pare_teacher_kinds k = pare_teacher_kinds(config);
    const size_t state = kind < k.hidden ? kind - k.first : kind - k.hidden;
    if (kind == k.logits)
        snprintf(out, 96, "the logits");
    else if (kind >= k.qkv)
        snprintf(out, 96, "queries, keys and values of block %zu", kind - k.qkv);
    else if (state)
        snprintf(out, 96, "hidden state %zu (of block %zu)", state, state - 1);
    else
        snprintf(out, 96, "hidden state 0 (the embedding's)");
}

/* The example that a row of a tensor of the chunk belongs to. */
static size_t example_of(const struct pass *p, const struct pare_teacher_span *span,
                         size_t kind, size_t row)
{
    const uint64_t *starts = p->call->examples->starts;
    size_t example = span->first;
    if (pare_teacher_by_example(p->config, kind))
        return example + row;
    while (starts[example + 1] - starts[span->first] <= row)
        example++;
    return example;
}

static enum pare_status fail(const struct pass *p, const struct pare_teacher_span *span,
                             size_t kind, size_t row, float found)
{
    char what[96];
    describe(p->config, kind, what);
    return pare_fail(p->err, PARE_ERR_INPUT,
                     "%s: the teacher computes %g in %s for example %zu: its weights are "
                     "damaged, or too large to keep its states as F16",
                     p->call->name, (double)found, what,
                     example_of(p, span, kind, row) + 1);
}

/* The rows [row, row + rows) of one tensor, if it is wanted. */
static enum pare_status keep(const struct pass *p, const struct pare_teacher_span *span,
                             size_t kind, size_t row, const float *from, size_t rows)
{
    const size_t width = pare_teacher_width(p->config, kind), n = rows * width;
    const size_t size = kind == 0 ? sizeof(float) : sizeof(uint16_t);
    if (!p->data[kind])
        return PARE_OK;
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(from[i]) <= 65504.0f)) /* also not a number */
            return fail(p, span, kind, row + i / width, from[i]);
    unsigned char *to = p->data[kind] + row * width * size;
    if (kind == 0)
        memcpy(to, from, n * size);
    else
        pare_parallel_for(n, 16384, encode_tile, &(struct encode){from, to});
    return PARE_OK;
}

static enum pare_status keep_first(const struct pass *p,
                                   const struct pare_teacher_span *span, size_t kind,
                                   size_t row, const float *state,
                                   const struct pare_batch *batch)
{
    const size_t C = p->config->hidden;
    if (!p->data[kind])
        return PARE_OK;
    for (size_t s = 0; s < batch->n_seq; s++)
        memcpy(p->first + s * C, state + batch->starts[s] * C, C * sizeof *p->first);
    return keep(p, span, kind, row, p->first, batch->n_seq);
}

static enum pare_status compute_batch(struct pass *p,
                                      const struct pare_teacher_span *span, size_t first,
                                      size_t n)
{
    const struct pare_teacher_kinds k = pare_teacher_kinds(p->config);
    const struct pare_batch batch = pare_batcher_fill(&p->batcher, NULL, first, n);
    const uint64_t *starts = p->call->examples->starts;
    const size_t token = (size_t)(starts[first] - starts[span->first]);
    PARE_TRY(pare_forward(p->call->model, &batch, NULL, &p->acts, p->err));
    /* In the forward's order: what is not finite is named where it comes up. */
    for (uint32_t l = 0; l <= p->config->layers; l++) {
        const float *state = l ? p->acts.blocks[l - 1].output : p->acts.embedded;
        PARE_TRY(keep(p, span, k.hidden + l, token, state, batch.n_tokens));
        PARE_TRY(keep_first(p, span, k.first + l, first - span->first, state, &batch));
        if (l < p->config->layers)
            PARE_TRY(
                keep(p, span, k.qkv + l, token, p->acts.blocks[l].qkv, batch.n_tokens));
    }
    return keep(p, span, k.logits, first - span->first, p->acts.logits, n);
}

static enum pare_status compute(struct pass *p, const struct pare_teacher_span *span)
{
    for (size_t kind = 0; kind < p->kinds; kind++) {
        p->data[kind] = NULL;
        if (p->wanted[kind])
            PARE_TRY(pare_arena_alloc(&p->arena, &p->data[kind],
                                      pare_teacher_shape(p->config, span, kind).bytes, 1,
                                      p->err));
        p->ready[kind] = p->data[kind];
    }
    for (size_t first = span->first; first < span->end; first += BATCH) {
        const size_t n = span->end - first < BATCH ? span->end - first : BATCH;
        PARE_TRY(pare_check_interrupted(p->err));
        PARE_TRY(compute_batch(p, span, first, n));
    }
    return PARE_OK;
}

int pare_teacher_has(const struct pare_teacher *file, const uint8_t *wanted, size_t chunk)
{
    const size_t kinds = pare_teacher_kinds(&file->config).end;
    for (size_t kind = 0; kind < kinds; kind++)
        if (wanted[kind] && !(file->chunks && file->chunks[chunk * kinds + kind]))
            return 0;
    return 1;
}

/* Whether one of the files has the chunk: then it is ready. */
static int find(struct pass *p, size_t chunk)
{
    const struct pare_teacher *file =
        pare_teacher_has(p->old, p->wanted, chunk) ? p->old : p->part;
    if (!pare_teacher_has(file, p->wanted, chunk))
        return 0;
    for (size_t kind = 0; kind < p->kinds; kind++)
        p->ready[kind] =
            p->wanted[kind] ? file->chunks[chunk * p->kinds + kind]->data : NULL;
    return 1;
}

/* --- The file --------------------------------------------------------------------- */

/* What is ready of a chunk, with its checksum or, of one that is not whole, another. */
static enum pare_status put(struct pass *p, const struct pare_teacher_span *span,
                            size_t chunk, int whole)
{
    uint8_t bytes[sizeof(uint32_t)];
    const uint32_t crc = pare_teacher_crc(p->config, span, chunk, p->ready);
    for (size_t kind = 0; kind < p->kinds; kind++)
        if (p->ready[kind])
            PARE_TRY(pare_gguf_writer_data(
                p->writer, p->ready[kind],
                pare_teacher_shape(p->config, span, kind).bytes, p->err));
    pare_store_u32(bytes, whole ? crc : ~crc);
    return pare_gguf_writer_data(p->writer, bytes, sizeof bytes, p->err);
}

/* Zeros for a chunk that is missing. */
static enum pare_status clear(struct pass *p, const struct pare_teacher_span *span)
{
    for (size_t kind = 0; kind < p->kinds; kind++) {
        const size_t bytes = (size_t)pare_teacher_shape(p->config, span, kind).bytes;
        unsigned char *zeros = NULL;
        if (p->wanted[kind]) {
            PARE_TRY(pare_arena_alloc(&p->arena, &zeros, bytes, 1, p->err));
            memset(zeros, 0, bytes);
        }
        p->ready[kind] = zeros;
    }
    return PARE_OK;
}

static enum pare_status write_chunk(struct pass *p, size_t chunk, int stopped)
{
    const struct pare_teacher_span span = pare_teacher_span(p->call->examples, chunk);
    struct pare_arena_mark mark = pare_arena_mark(&p->arena);
    const int found = find(p, chunk);
    if (!found)
        PARE_TRY(stopped ? clear(p, &span) : compute(p, &span));
    PARE_TRY(put(p, &span, chunk, found || !stopped));
    pare_arena_release(&p->arena, mark);
    p->computed += !found && !stopped;
    p->whole += found || !stopped;
    return PARE_OK;
}

static enum pare_status plan_chunk(const struct pass *p, size_t chunk)
{
    const struct pare_teacher_span span = pare_teacher_span(p->call->examples, chunk);
    char name[PARE_NAME_SIZE];
    for (size_t kind = 0; kind < p->kinds; kind++) {
        if (!p->wanted[kind])
            continue;
        const struct pare_tensor shape = pare_teacher_shape(p->config, &span, kind);
        pare_teacher_name(p->config, chunk, kind, name);
        PARE_TRY(pare_gguf_writer_plan(p->writer, name, shape.type, shape.n_dims,
                                       shape.shape, p->err));
    }
    const struct pare_tensor crc = pare_teacher_crc_shape();
    pare_teacher_crc_name(chunk, name);
    return pare_gguf_writer_plan(p->writer, name, crc.type, crc.n_dims, crc.shape,
                                 p->err);
}

static enum pare_status write_all(struct pass *p)
{
    const struct pare_examples *examples = p->call->examples;
    const struct pare_teacher_kinds k = pare_teacher_kinds(p->config);
    const size_t n = pare_teacher_chunks(examples);
    for (size_t kind = k.first; kind < k.end; kind++)
        p->acts.tape |= p->wanted[kind];
    p->acts.first_only = !p->acts.tape;
    for (size_t chunk = 0; chunk < n; chunk++)
        PARE_TRY(plan_chunk(p, chunk));
    PARE_TRY(pare_batcher_init(&p->batcher, examples, BATCH, p->err));
    PARE_TRY(pare_arena_alloc(&p->arena, &p->data, p->kinds, sizeof *p->data, p->err));
    PARE_TRY(pare_arena_alloc(&p->arena, &p->ready, p->kinds, sizeof *p->ready, p->err));
    PARE_TRY(pare_arena_alloc(&p->arena, &p->first, BATCH * p->config->hidden,
                              sizeof *p->first, p->err));
    for (; p->next < n; p->next++) {
        pare_progress_report(p->call->progress, "teacher", p->next, n, NULL);
        PARE_TRY(write_chunk(p, p->next, 0));
    }
    pare_progress_report(p->call->progress, "teacher", n, n, NULL);
    return PARE_OK;
}

static enum pare_status commit(struct pass *p)
{
    struct pare_gguf_writer *writer = p->writer;
    p->writer = NULL;
    return pare_gguf_writer_commit(writer, p->err);
}

/* Stopped: the file with the chunks there are. */
static enum pare_status write_stopped(struct pass *p)
{
    const size_t n = pare_teacher_chunks(p->call->examples);
    for (; p->next < n; p->next++)
        PARE_TRY(write_chunk(p, p->next, 1));
    PARE_TRY(commit(p));
    return pare_fail(p->err, PARE_ERR_INTERRUPTED,
                     "stopped with %zu of %zu parts of the teacher's answers; goes on "
                     "from %s",
                     p->whole, n, p->path);
}

static enum pare_status write_file(struct pass *p)
{
    struct pare_meta meta = {0};
    enum pare_status status = pare_teacher_meta(p->call, &meta, p->err);
    if (status == PARE_OK)
        status = pare_gguf_writer_open(p->path, &meta, &p->writer, p->err);
    if (status == PARE_OK)
        status = write_all(p);
    if (status == PARE_OK)
        status = commit(p);
    else if (status == PARE_ERR_INTERRUPTED && p->computed)
        status = write_stopped(p);
    pare_gguf_writer_abort(p->writer);
    pare_meta_free(&meta);
    return status;
}

enum pare_status pare_teacher_pass(const struct pare_teacher_call *call, const char *path,
                                   const uint8_t *wanted, const struct pare_teacher *old,
                                   const struct pare_teacher *part,
                                   struct pare_error *err)
{
    const struct pare_config *config = &call->model->config;
    struct pass p = {.call = call,
                     .path = path,
                     .config = config,
                     .wanted = wanted,
                     .old = old,
                     .part = part,
                     .kinds = pare_teacher_kinds(config).end,
                     .err = err};
    enum pare_status status = write_file(&p);
    pare_batcher_free(&p.batcher);
    pare_acts_free(&p.acts);
    pare_arena_free(&p.arena);
    return status;
}
