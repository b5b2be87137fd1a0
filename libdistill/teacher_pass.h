/* The teacher's pass over the examples, into a new cache; private to libdistill. */
#ifndef PARE_DISTILL_TEACHER_PASS_H
#define PARE_DISTILL_TEACHER_PASS_H

#include "libdistill/teacher.h"

/* Whether a file has all the kinds wanted[kinds.end] of a chunk. */
int pare_teacher_has(const struct pare_teacher *file, const uint8_t *wanted,
                     size_t chunk);

/* Writes the file `path` with these kinds. Chunks that `old` has, or `part`, what a
 * stopped pass left, are copied, the others computed. Stopped behind a chunk that was
 * computed, it writes the file with the chunks there are. */
enum pare_status pare_teacher_pass(const struct pare_teacher_call *call, const char *path,
                                   const uint8_t *wanted, const struct pare_teacher *old,
                                   const struct pare_teacher *part,
                                   struct pare_error *err) PARE_CHECKED;

#endif
