/* What forward.c and acts.c share, and nobody else. */
#ifndef PARE_MODEL_FORWARD_INTERNAL_H
#define PARE_MODEL_FORWARD_INTERNAL_H

#include "runtime/model/forward.h"

/* Points the fields of `acts` into its arena, for this batch. */
enum pare_status pare_acts_plan(const struct pare_config *config,
                                const struct pare_batch *batch, struct pare_acts *acts,
                                struct pare_error *err) PARE_CHECKED;

/* Whether block l goes on with the first tokens alone behind its attention. */
int pare_acts_is_short(const struct pare_acts *acts, const struct pare_config *config,
                       uint32_t l);

#endif
