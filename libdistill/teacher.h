/* What a teacher says about every example, computed once and kept in a file.
 *
 * The file is GGUF with tensors for each PARE_TEACHER_CHUNK examples, so that it is
 * written as it is computed and mapped when it is read: "N.logits" F32 [examples, Z],
 * and, where a loss wants them, "N.hidden.S" F16 [tokens, C] for hidden state S (0: the
 * embedding's output, l: that of block l - 1), or "N.first.S" F16 [examples, C] when only
 * first tokens' are wanted, and "N.qkv.L" F16 [tokens, 3A] for block L; last "N.crc32"
 * I32 [1], the CRC-32 of the names and data of the chunk's other tensors in the order of
 * the file. Opening checks them all: a chunk that is damaged is computed again.
 * Keys say which version of this format it has, and which teacher and which texts it
 * belongs to, whatever their labels; a file of others is replaced. One of these that
 * lacks something gets it and keeps what it has, so that it can serve several losses.
 *
 * It is written as PATH.part and gets its name when it is complete. When the pass is
 * stopped behind a chunk it computed, PATH.part stays, of the same form: chunks that are
 * missing are zeros with a checksum that is not theirs. The next pass goes on from there.
 */
#ifndef PARE_DISTILL_TEACHER_H
#define PARE_DISTILL_TEACHER_H

#include "libdistill/examples.h"
#include "runtime/base/progress.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_TEACHER_CHUNK 1024

struct pare_teacher_wants {
    const uint8_t *hidden; /* [L + 1] which hidden states; NULL: none */
    const uint8_t *qkv;    /* [L] which blocks' queries, keys and values; NULL: none */
    int first_tokens;      /* hidden states of first tokens only */
};

enum pare_teacher_file { /* what is in the place of the cache */
                         PARE_TEACHER_NO_FILE,
                         PARE_TEACHER_FITS,
                         PARE_TEACHER_LACKS,   /* something that is wanted */
                         PARE_TEACHER_DAMAGED, /* in some chunks */
                         PARE_TEACHER_OTHER_TEACHER,
                         PARE_TEACHER_OTHER_TEXTS,
                         PARE_TEACHER_OTHER_VERSION, /* of the format */
};

struct pare_teacher_found {
    enum pare_teacher_file what;
    size_t chunks, damaged; /* chunks the examples have, and damaged ones */
    size_t resumed;         /* those that a stopped pass left in PATH.part */
};

struct pare_teacher_call {
    const char *path; /* of the cache */
    const struct pare_model *model;
    const char *name;   /* the model's, for messages */
    const char *sha256; /* names its content */
    const struct pare_examples *examples;
    const struct pare_teacher_wants *wants;
    /* Is told what was found before the teacher is run and the file replaced; NULL
     * allowed. */
    void (*tell)(void *context, const struct pare_teacher_found *found);
    void *context;
    const struct pare_progress *progress; /* or NULL */
};

struct pare_teacher {
    struct pare_teacher_found found;
    struct pare_config config;
    const struct pare_examples *examples; /* borrowed */
    struct pare_ckpt *ckpt;
    const struct pare_tensor **chunks; /* [chunk][1 + 2 (L + 1) + L], NULL: not kept */
    struct pare_arena arena;
};

/* Opens the cache when it is of this teacher and these examples, whole, and has all that
 * is wanted; else runs the teacher for the chunks that are not like that and writes the
 * file anew. PARE_ERR_USAGE when there is a file that is no cache, PARE_ERR_INPUT
 * naming model, state and example when a number is not finite or beyond F16,
 * PARE_ERR_INTERRUPTED when asked to stop: the file at PATH is as it was. The call's
 * examples must outlive *out. */
enum pare_status pare_teacher_open(const struct pare_teacher_call *call,
                                   struct pare_teacher **out,
                                   struct pare_error *err) PARE_CHECKED;
void pare_teacher_free(struct pare_teacher *teacher); /* NULL allowed */

/* Removes PATH and PATH.part; a missing file is not an error. */
enum pare_status pare_teacher_remove(const char *path,
                                     struct pare_error *err) PARE_CHECKED;

/* Logits [Z] of one example. */
void pare_teacher_logits(const struct pare_teacher *teacher, size_t example, float *out);
/* Hidden state [n, C] of an example of n tokens, or its first `tokens` of them; 1 when
 * only first tokens' are there. */
void pare_teacher_hidden(const struct pare_teacher *teacher, uint32_t state,
                         size_t example, size_t tokens, float *out);
/* Queries, keys and values [n, 3A] in a block. */
void pare_teacher_qkv(const struct pare_teacher *teacher, uint32_t block, size_t example,
                      float *out);

#ifdef __cplusplus
}
#endif
#endif
