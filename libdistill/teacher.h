/* What a teacher says about every example, computed once and kept in a file.
 *
 * The file is GGUF with tensors for each PARE_TEACHER_CHUNK examples, so that it is
 * written as it is computed and mapped when it is read: "N.logits" F32 [examples, Z],
 * and, where a loss wants them, "N.hidden.S" F16 [tokens, C] for hidden state S (0: the
 * embedding's output, l: that of block l - 1), or "N.first.S" F16 [examples, C] when only
 * first tokens' are wanted, and "N.qkv.L" F16 [tokens, 3C] for block L.
 * Keys say which teacher and which examples it belongs to; a file of others is replaced.
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

struct pare_teacher {
    struct pare_config config;
    const struct pare_examples *examples; /* borrowed */
    struct pare_ckpt *ckpt;
    const struct pare_tensor **chunks; /* [chunk][1 + 2 (L + 1) + L], NULL: not kept */
    struct pare_arena arena;
};

/* Opens the cache at `path` when it is of this teacher (`sha256` names its content) and
 * these examples and has all that is wanted; else runs the teacher, writes the file anew
 * and sets *computed. PARE_ERR_INPUT when a hidden state is not finite or beyond F16. */
enum pare_status pare_teacher_open(const char *path, const struct pare_model *model,
                                   const char *sha256,
                                   const struct pare_examples *examples,
                                   const struct pare_teacher_wants *wants,
                                   const struct pare_progress *progress,
                                   struct pare_teacher **out, int *computed,
                                   struct pare_error *err) PARE_CHECKED;
void pare_teacher_free(struct pare_teacher *teacher); /* NULL allowed */

/* Logits [Z] of one example. */
void pare_teacher_logits(const struct pare_teacher *teacher, size_t example, float *out);
/* Hidden state [n, C] of an example of n tokens, or its first `tokens` of them; 1 when
 * only first tokens' are there. */
void pare_teacher_hidden(const struct pare_teacher *teacher, uint32_t state,
                         size_t example, size_t tokens, float *out);
/* Queries, keys and values [n, 3C] in a block. */
void pare_teacher_qkv(const struct pare_teacher *teacher, uint32_t block, size_t example,
                      float *out);

#ifdef __cplusplus
}
#endif
#endif
