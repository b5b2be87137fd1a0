/* Asking the teacher, and what is said about its cache. */
#ifndef PARE_TOOLS_DISTILL_TEACHER_H
#define PARE_TOOLS_DISTILL_TEACHER_H

#include "libdistill/teacher.h"
#include "tools/cli.h"

/* pare_teacher_open with the program's progress: warns when a file is replaced or
 * damaged, and says whether the teacher was run. */
enum pare_status distill_teacher_ask(struct pare_cli *cli, struct pare_teacher_call call,
                                     struct pare_teacher **out,
                                     struct pare_error *err) PARE_CHECKED;

/* Whether nothing in the cache was there before. */
int distill_teacher_is_new(const struct pare_teacher *teacher);

#endif
