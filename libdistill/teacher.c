/* The teacher's answers on disk: see teacher.h. */
#include "libdistill/teacher.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libdistill/teacher_file.h"
#include "libdistill/teacher_pass.h"
#include "runtime/base/alloc.h"
#include "runtime/checkpoint/checkpoint.h"

#define MAX_PATH 4096

/* --- Answers ---------------------------------------------------------------------- */

static const unsigned char *rows_of(const struct pare_teacher *teacher, size_t example,
                                    size_t kind)
{
    const struct pare_config *config = &teacher->config;
    const size_t chunk = example / PARE_TEACHER_CHUNK;
    const struct pare_tensor *tensor =
        teacher->chunks[chunk * pare_teacher_kinds(config).end + kind];
    const size_t first = chunk * PARE_TEACHER_CHUNK;
    const uint64_t *starts = teacher->examples->starts;
    const size_t row = pare_teacher_by_example(config, kind)
                           ? example - first
                           : (size_t)(starts[example] - starts[first]);
    return tensor ? (const unsigned char *)tensor->data +
                        row * pare_teacher_width(config, kind) *
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
    const struct pare_teacher_kinds k = pare_teacher_kinds(&teacher->config);
    const unsigned char *rows = rows_of(teacher, example, k.hidden + state);
    if (!rows)
        rows = rows_of(teacher, example, k.first + state);
    pare_kernels()->decode_f16(out, rows, tokens * teacher->config.hidden);
}

void pare_teacher_qkv(const struct pare_teacher *teacher, uint32_t block, size_t example,
                      float *out)
{
    const uint64_t *starts = teacher->examples->starts;
    const size_t kind = pare_teacher_kinds(&teacher->config).qkv + block;
    pare_kernels()->decode_f16(out, rows_of(teacher, example, kind),
                               (size_t)(starts[example + 1] - starts[example]) *
                                   pare_teacher_width(&teacher->config, kind));
}

/* --- Opening ---------------------------------------------------------------------- */

static void forget(struct pare_teacher *teacher)
{
    pare_ckpt_close(teacher->ckpt);
    pare_arena_free(&teacher->arena);
    teacher->ckpt = NULL;
    teacher->chunks = NULL;
}

/* Adds what the file has to what is wanted of the next one; all tokens' states are first
 * tokens' too. */
static void want_what_is_there(const struct pare_teacher *teacher, uint8_t *wanted)
{
    const struct pare_teacher_kinds k = pare_teacher_kinds(&teacher->config);
    const size_t n = pare_teacher_chunks(teacher->examples);
    for (size_t i = 0; teacher->chunks && i < n * k.end; i++)
        wanted[i % k.end] |= teacher->chunks[i] != NULL;
    for (size_t l = 0; l < k.hidden - k.first; l++)
        wanted[k.first + l] &= !wanted[k.hidden + l];
}

static enum pare_status part_path(const char *path, char out[MAX_PATH],
                                  struct pare_error *err)
{
    const int n = snprintf(out, MAX_PATH, "%s.part", path);
    return n > 0 && n < MAX_PATH
               ? PARE_OK
               : pare_fail(err, PARE_ERR_USAGE,
                           "the path of the teacher's cache is too long");
}

/* Completes PATH.part from what is there, and gives it its name. */
static enum pare_status compute(const struct pare_teacher_call *call,
                                const uint8_t *wanted, const struct pare_teacher *old,
                                size_t *resumed, struct pare_error *err)
{
    char path[MAX_PATH];
    struct pare_teacher part = {.config = old->config, .examples = old->examples};
    struct pare_teacher_call part_call = *call;
    PARE_TRY(part_path(call->path, path, err));
    part_call.path = path;
    enum pare_status status = pare_teacher_look(&part_call, wanted, &part, err);
    *resumed = 0;
    for (size_t i = 0; status == PARE_OK && i < part.found.chunks; i++)
        *resumed +=
            !pare_teacher_has(old, wanted, i) && pare_teacher_has(&part, wanted, i);
    if (status == PARE_OK)
        status = pare_teacher_pass(call, path, wanted, old, &part, err);
    forget(&part);
    PARE_TRY(status);
    if (rename(path, call->path))
        return pare_fail(err, PARE_ERR_IO, "%s: cannot rename to %s: %s", path,
                         call->path, strerror(errno));
    return PARE_OK;
}

static enum pare_status open_or_compute(const struct pare_teacher_call *call,
                                        uint8_t *wanted, struct pare_teacher *teacher,
                                        struct pare_error *err)
{
    PARE_TRY(pare_teacher_look(call, wanted, teacher, err));
    if (call->tell)
        call->tell(call->context, &teacher->found);
    if (teacher->found.what == PARE_TEACHER_FITS)
        return PARE_OK;
    struct pare_teacher_found found = teacher->found;
    want_what_is_there(teacher, wanted);
    PARE_TRY(compute(call, wanted, teacher, &found.resumed, err));
    forget(teacher);
    PARE_TRY(pare_teacher_look(call, wanted, teacher, err));
    if (teacher->found.what != PARE_TEACHER_FITS)
        return pare_fail(err, PARE_ERR_INTERNAL, "%s: not what was written", call->path);
    teacher->found = found;
    return PARE_OK;
}

enum pare_status pare_teacher_open(const struct pare_teacher_call *call,
                                   struct pare_teacher **out, struct pare_error *err)
{
    const struct pare_config *config = &call->model->config;
    struct pare_teacher *teacher;
    uint8_t *wanted;
    *out = NULL;
    PARE_TRY(pare_alloc(&wanted, pare_teacher_kinds(config).end, 1, err));
    pare_teacher_wanted(config, call->wants, wanted);
    enum pare_status status = pare_alloc(&teacher, 1, sizeof *teacher, err);
    if (status == PARE_OK) {
        teacher->config = *config;
        teacher->examples = call->examples;
        status = open_or_compute(call, wanted, teacher, err);
        if (status == PARE_OK)
            *out = teacher;
        else
            pare_teacher_free(teacher);
    }
    pare_free(wanted);
    return status;
}

enum pare_status pare_teacher_remove(const char *path, struct pare_error *err)
{
    char part[MAX_PATH];
    PARE_TRY(part_path(path, part, err));
    const char *const both[] = {path, part};
    for (size_t i = 0; i < 2; i++)
        if (unlink(both[i]) && errno != ENOENT)
            return pare_fail(err, PARE_ERR_IO, "%s: cannot remove: %s", both[i],
                             strerror(errno));
    return PARE_OK;
}

void pare_teacher_free(struct pare_teacher *teacher)
{
    if (!teacher)
        return;
    forget(teacher);
    pare_free(teacher);
}
