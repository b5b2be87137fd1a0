/* The teacher's cache as a file: which tensors it has, and whether they are whole;
 * private to libdistill.
 */
#ifndef PARE_DISTILL_TEACHER_FILE_H
#define PARE_DISTILL_TEACHER_FILE_H

#include "libdistill/teacher.h"

/* Kinds of a chunk's tensors, in the order of the file. Logits and first tokens' states
 * have a row an example, the others a row a token. */
struct pare_teacher_kinds {
    size_t logits, first, hidden, qkv, end; /* where each kind begins */
};

struct pare_teacher_kinds pare_teacher_kinds(const struct pare_config *config);
size_t pare_teacher_width(const struct pare_config *config, size_t kind);
int pare_teacher_by_example(const struct pare_config *config, size_t kind);

struct pare_teacher_span { /* examples [first, end) of a chunk */
    size_t first, end;
    uint64_t tokens;
};

size_t pare_teacher_chunks(const struct pare_examples *examples);
struct pare_teacher_span pare_teacher_span(const struct pare_examples *examples,
                                           size_t chunk);

/* Type and shape of a tensor, and its bytes. */
struct pare_tensor pare_teacher_shape(const struct pare_config *config,
                                      const struct pare_teacher_span *span, size_t kind);
void pare_teacher_name(const struct pare_config *config, size_t chunk, size_t kind,
                       char out[PARE_NAME_SIZE]);

/* The checksum's tensor, and its value from data[kind] (NULL: not in the file). */
struct pare_tensor pare_teacher_crc_shape(void);
void pare_teacher_crc_name(size_t chunk, char out[PARE_NAME_SIZE]);
uint32_t pare_teacher_crc(const struct pare_config *config,
                          const struct pare_teacher_span *span, size_t chunk,
                          const void *const *data);

/* wanted[kinds.end]: whether a file has to have tensors of a kind. */
void pare_teacher_wanted(const struct pare_config *config,
                         const struct pare_teacher_wants *wants, uint8_t *wanted);

/* The keys of a file for this call. */
enum pare_status pare_teacher_meta(const struct pare_teacher_call *call,
                                   struct pare_meta *meta,
                                   struct pare_error *err) PARE_CHECKED;

/* Looks at the file: fills teacher->found, and when the file is of this teacher and
 * these examples ckpt and chunks, where those of a damaged chunk are NULL. */
enum pare_status pare_teacher_look(const struct pare_teacher_call *call,
                                   const uint8_t *wanted, struct pare_teacher *teacher,
                                   struct pare_error *err) PARE_CHECKED;

#endif
