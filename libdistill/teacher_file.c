/* The teacher's cache as a file: see teacher_file.h. */
#include "libdistill/teacher_file.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "runtime/base/bytes.h"
#include "runtime/base/file.h"
#include "runtime/base/parallel.h"
#include "runtime/checkpoint/checkpoint.h"

#define KIND "pare teacher cache"
#define VERSION 2
#define KEY_KIND "general.type"
#define KEY_VERSION "pare.cache_version"
#define KEY_TEACHER "pare.teacher_sha256"
#define KEY_TEXTS "pare.texts_sha256"

/* --- Which tensors ---------------------------------------------------------------- */

struct pare_teacher_kinds pare_teacher_kinds(const struct pare_config *config)
{
    const size_t L = config->layers;
    return (struct pare_teacher_kinds){0, 1, L + 2, 2 * L + 3, 3 * L + 3};
}

void pare_teacher_wanted(const struct pare_config *config,
                         const struct pare_teacher_wants *wants, uint8_t *wanted)
{
    const struct pare_teacher_kinds k = pare_teacher_kinds(config);
    const size_t states = wants->first_tokens ? k.first : k.hidden;
    memset(wanted, 0, k.end);
    wanted[k.logits] = config->labels != 0;
    for (size_t l = 0; wants->hidden && l <= config->layers; l++)
        wanted[states + l] = wants->hidden[l] != 0;
    for (size_t l = 0; wants->qkv && l < config->layers; l++)
        wanted[k.qkv + l] = wants->qkv[l] != 0;
}

void pare_teacher_name(const struct pare_config *config, size_t chunk, size_t kind,
                       char out[PARE_NAME_SIZE])
{
    const struct pare_teacher_kinds k = pare_teacher_kinds(config);
    if (kind == k.logits)
        snprintf(out, PARE_NAME_SIZE, "%zu.logits", chunk);
    else if (kind < k.hidden)
        snprintf(out, PARE_NAME_SIZE, "%zu.first.%zu", chunk, kind - k.first);
    else if (kind < k.qkv)
        snprintf(out, PARE_NAME_SIZE, "%zu.hidden.%zu", chunk, kind - k.hidden);
    else
        snprintf(out, PARE_NAME_SIZE, "%zu.qkv.%zu", chunk, kind - k.qkv);
}

void pare_teacher_crc_name(size_t chunk, char out[PARE_NAME_SIZE])
{
    snprintf(out, PARE_NAME_SIZE, "%zu.crc32", chunk);
}

int pare_teacher_by_example(const struct pare_config *config, size_t kind)
{
    return kind < pare_teacher_kinds(config).hidden;
}

size_t pare_teacher_width(const struct pare_config *config, size_t kind)
{
    const struct pare_teacher_kinds k = pare_teacher_kinds(config);
    if (kind == k.logits)
        return config->labels;
    return kind < k.qkv ? config->hidden
                        : 3 * (size_t)pare_config_attention_width(config);
}

size_t pare_teacher_chunks(const struct pare_examples *examples)
{
    return (examples->count + PARE_TEACHER_CHUNK - 1) / PARE_TEACHER_CHUNK;
}

struct pare_teacher_span pare_teacher_span(const struct pare_examples *examples,
                                           size_t chunk)
{
    struct pare_teacher_span s = {.first = chunk * PARE_TEACHER_CHUNK};
    s.end = s.first + PARE_TEACHER_CHUNK;
    if (s.end > examples->count)
        s.end = examples->count;
    s.tokens = examples->starts[s.end] - examples->starts[s.first];
    return s;
}

struct pare_tensor pare_teacher_shape(const struct pare_config *config,
                                      const struct pare_teacher_span *span, size_t kind)
{
    const uint64_t rows =
        pare_teacher_by_example(config, kind) ? span->end - span->first : span->tokens;
    const enum pare_dtype type = kind == 0 ? PARE_F32 : PARE_F16;
    const uint64_t width = pare_teacher_width(config, kind);
    return (struct pare_tensor){
        .type = type,
        .n_dims = 2,
        .shape = {rows, width},
        .bytes = rows * width * pare_dtype_info(type)->block_bytes,
    };
}

struct pare_tensor pare_teacher_crc_shape(void)
{
    return (struct pare_tensor){
        .type = PARE_I32, .n_dims = 1, .shape = {1}, .bytes = sizeof(uint32_t)};
}

uint32_t pare_teacher_crc(const struct pare_config *config,
                          const struct pare_teacher_span *span, size_t chunk,
                          const void *const *data)
{
    uLong crc = crc32_z(0, NULL, 0);
    for (size_t kind = 0; kind < pare_teacher_kinds(config).end; kind++) {
        char name[PARE_NAME_SIZE];
        if (!data[kind])
            continue;
        pare_teacher_name(config, chunk, kind, name);
        crc = crc32_z(crc, (const Bytef *)name, strlen(name));
        crc = crc32_z(crc, data[kind],
                      (z_size_t)pare_teacher_shape(config, span, kind).bytes);
    }
    return (uint32_t)crc;
}

/* --- Keys ------------------------------------------------------------------------- */

enum pare_status pare_teacher_meta(const struct pare_teacher_call *call,
                                   struct pare_meta *meta, struct pare_error *err)
{
    char texts[65];
    pare_examples_texts_sha256(call->examples, texts);
    PARE_TRY(pare_meta_set_string(meta, KEY_KIND, KIND, strlen(KIND), err));
    PARE_TRY(pare_meta_set_u32(meta, KEY_VERSION, VERSION, err));
    PARE_TRY(
        pare_meta_set_string(meta, KEY_TEACHER, call->sha256, strlen(call->sha256), err));
    return pare_meta_set_string(meta, KEY_TEXTS, texts, strlen(texts), err);
}

static int has_text(const struct pare_meta *meta, const char *key, const char *text)
{
    const struct pare_meta_value *value = pare_meta_find(meta, key);
    return value && value->type == PARE_META_STRING &&
           value->text.length == strlen(text) &&
           !memcmp(value->text.data, text, value->text.length);
}

/* PARE_TEACHER_FITS as far as the keys say. */
static enum pare_teacher_file compare(const struct pare_meta *meta,
                                      const struct pare_teacher_call *call)
{
    const struct pare_meta_value *version = pare_meta_find(meta, KEY_VERSION);
    char texts[65];
    if (!version || version->type != PARE_META_U32 || version->u != VERSION)
        return PARE_TEACHER_OTHER_VERSION;
    if (!has_text(meta, KEY_TEACHER, call->sha256))
        return PARE_TEACHER_OTHER_TEACHER;
    pare_examples_texts_sha256(call->examples, texts);
    return has_text(meta, KEY_TEXTS, texts) ? PARE_TEACHER_FITS
                                            : PARE_TEACHER_OTHER_TEXTS;
}

/* --- Reading ---------------------------------------------------------------------- */

/* NULL: it is not there, or not what it should be. */
static const struct pare_tensor *find(const struct pare_ckpt *ckpt, const char *name,
                                      const struct pare_tensor *want)
{
    const struct pare_tensor *found = pare_ckpt_find(ckpt, name);
    return found && found->type == want->type && found->n_dims == want->n_dims &&
                   !memcmp(found->shape, want->shape,
                           (size_t)want->n_dims * sizeof want->shape[0])
               ? found
               : NULL;
}

struct reading {
    struct pare_teacher *teacher;
    const void **data; /* [chunk][kind] */
    uint8_t *damaged;  /* [chunk] */
};

/* Notes a chunk's tensors, or none of them if the checksum is not theirs. */
static void read_chunk(const struct reading *r, size_t chunk)
{
    const struct pare_teacher *teacher = r->teacher;
    const struct pare_config *config = &teacher->config;
    const size_t K = pare_teacher_kinds(config).end;
    const struct pare_teacher_span span = pare_teacher_span(teacher->examples, chunk);
    const struct pare_tensor **tensors = teacher->chunks + chunk * K;
    const void **data = r->data + chunk * K;
    char name[PARE_NAME_SIZE];
    for (size_t kind = 0; kind < K; kind++) {
        const struct pare_tensor want = pare_teacher_shape(config, &span, kind);
        pare_teacher_name(config, chunk, kind, name);
        tensors[kind] = find(teacher->ckpt, name, &want);
        data[kind] = tensors[kind] ? tensors[kind]->data : NULL;
    }
    const struct pare_tensor want = pare_teacher_crc_shape();
    pare_teacher_crc_name(chunk, name);
    const struct pare_tensor *crc = find(teacher->ckpt, name, &want);
    r->damaged[chunk] =
        !crc || pare_load_u32(crc->data) != pare_teacher_crc(config, &span, chunk, data);
    if (r->damaged[chunk])
        memset(tensors, 0, K * sizeof *tensors);
}

static void read_tile(void *context, size_t begin, size_t end)
{
    for (size_t chunk = begin; chunk < end; chunk++)
        read_chunk(context, chunk);
}

/* Whether a chunk has what is wanted; first tokens' states are among all tokens'. */
static int has_wanted(const struct pare_config *config, const uint8_t *wanted,
                      const struct pare_tensor *const *chunk)
{
    const struct pare_teacher_kinds k = pare_teacher_kinds(config);
    for (size_t kind = 0; kind < k.end; kind++) {
        const int is_first = kind >= k.first && kind < k.hidden;
        if (wanted[kind] && !chunk[kind] &&
            !(is_first && chunk[kind - k.first + k.hidden]))
            return 0;
    }
    return 1;
}

static enum pare_status read_chunks(struct pare_teacher *teacher, const uint8_t *wanted,
                                    struct pare_error *err)
{
    const size_t K = pare_teacher_kinds(&teacher->config).end;
    const size_t n = pare_teacher_chunks(teacher->examples);
    struct pare_teacher_found *found = &teacher->found;
    struct reading r = {.teacher = teacher};
    int fits = 1;
    PARE_TRY(pare_arena_alloc(&teacher->arena, &teacher->chunks, n * K,
                              sizeof *teacher->chunks, err));
    struct pare_arena_mark mark = pare_arena_mark(&teacher->arena);
    PARE_TRY(pare_arena_alloc(&teacher->arena, &r.data, n * K, sizeof *r.data, err));
    PARE_TRY(pare_arena_alloc(&teacher->arena, &r.damaged, n, 1, err));
    pare_parallel_for(n, 1, read_tile, &r);
    for (size_t chunk = 0; chunk < n; chunk++) {
        found->damaged += r.damaged[chunk];
        fits &= has_wanted(&teacher->config, wanted, teacher->chunks + chunk * K);
    }
    pare_arena_release(&teacher->arena, mark);
    found->what = found->damaged ? PARE_TEACHER_DAMAGED
                  : fits         ? PARE_TEACHER_FITS
                                 : PARE_TEACHER_LACKS;
    return PARE_OK;
}

enum pare_status pare_teacher_look(const struct pare_teacher_call *call,
                                   const uint8_t *wanted, struct pare_teacher *teacher,
                                   struct pare_error *err)
{
    struct pare_error ignored = {0};
    teacher->found = (struct pare_teacher_found){
        .what = PARE_TEACHER_NO_FILE, .chunks = pare_teacher_chunks(call->examples)};
    FILE *f = fopen(call->path, "rb");
    if (!f)
        return PARE_OK;
    fclose(f);
    if (pare_ckpt_open(call->path, &teacher->ckpt, &ignored) != PARE_OK ||
        !has_text(&teacher->ckpt->meta, KEY_KIND, KIND))
        return pare_fail(err, PARE_ERR_USAGE,
                         "%s exists and is no teacher cache; remove it or choose another "
                         "--cache",
                         call->path);
    teacher->found.what = compare(&teacher->ckpt->meta, call);
    if (teacher->found.what == PARE_TEACHER_FITS)
        return read_chunks(teacher, wanted, err);
    pare_ckpt_close(teacher->ckpt);
    teacher->ckpt = NULL;
    return PARE_OK;
}
