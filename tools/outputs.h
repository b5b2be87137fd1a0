/* The files a program writes: a container, and a report beside it. */
#ifndef PARE_TOOLS_OUTPUTS_H
#define PARE_TOOLS_OUTPUTS_H

#include "runtime/checkpoint/checkpoint.h"

/* What is written goes over nothing that is read, the checkpoint or `inputs` (of which
 * some may be NULL), and the report not over the container. Either may be NULL: it is not
 * written. */
enum pare_status outputs_refuse(const struct pare_ckpt *ckpt, const char *const *inputs,
                                size_t n_inputs, const char *container,
                                const char *report, struct pare_error *err) PARE_CHECKED;

/* Whether they can be written, before the work. */
enum pare_status outputs_check(const char *container, const char *report,
                               struct pare_error *err) PARE_CHECKED;

#endif
