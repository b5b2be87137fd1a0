/* A student that a container holds already, beside the teacher it goes on learning from.
 */
#ifndef PARE_TOOLS_DISTILL_INIT_H
#define PARE_TOOLS_DISTILL_INIT_H

#include "runtime/model/model.h"
#include "runtime/model/stored.h"

/* PARE_ERR_USAGE naming both files and what differs when the student's tokenizer would
 * make other ids of a text than the teacher's, or a label has another name: the teacher
 * answers in its own ids and labels. */
enum pare_status distill_init_check(const struct pare_stored *student,
                                    const char *student_path,
                                    const struct pare_model *teacher,
                                    const char *teacher_path,
                                    struct pare_error *err) PARE_CHECKED;

#endif
