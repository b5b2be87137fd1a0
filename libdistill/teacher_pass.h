/* The teacher's pass over the examples, into a new cache; private to libdistill. */
#ifndef PARE_DISTILL_TEACHER_PASS_H
#define PARE_DISTILL_TEACHER_PASS_H

#include "libdistill/teacher.h"

/* Writes the cache at call->path with the kinds wanted[kinds.end]. Chunks in which `old`
 * has them all are copied, the others computed; old->chunks may be NULL. */
enum pare_status pare_teacher_pass(const struct pare_teacher_call *call,
                                   const uint8_t *wanted, const struct pare_teacher *old,
                                   struct pare_error *err) PARE_CHECKED;

#endif
