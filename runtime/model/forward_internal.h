/* What forward.c, acts.c and walk.c share, and nobody else. */
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

/* pare_forward in steps: after the check and pare_acts_plan, a block reads
 * acts->blocks[l].input, and the head acts->blocks[L-1].output. */
enum pare_status pare_forward_check(const struct pare_model *model,
                                    const struct pare_batch *batch,
                                    struct pare_error *err) PARE_CHECKED;
void pare_forward_embed(const struct pare_model *model, const struct pare_batch *batch,
                        const struct pare_dropout *dropout, struct pare_acts *acts);
enum pare_status pare_forward_block(const struct pare_model *model, uint32_t l,
                                    const struct pare_batch *batch,
                                    const struct pare_dropout *dropout,
                                    struct pare_acts *acts,
                                    struct pare_error *err) PARE_CHECKED;
enum pare_status pare_forward_head(const struct pare_model *model,
                                   const struct pare_batch *batch,
                                   const struct pare_dropout *dropout,
                                   struct pare_acts *acts,
                                   struct pare_error *err) PARE_CHECKED;

#endif
