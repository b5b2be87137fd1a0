/* What a training run would be refused for, found out before anything costly is done. */
#ifndef PARE_DISTILL_TRAIN_CHECK_H
#define PARE_DISTILL_TRAIN_CHECK_H

#include "libdistill/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The errors of pare_train's start for the same arguments: its options, the globs of what
 * is frozen, the examples, and a resume file of another run. A resume file that is
 * damaged is left to pare_train. The loss is not run; nothing is changed. */
enum pare_status pare_train_check(struct pare_params *params,
                                  const struct pare_examples *train,
                                  const struct pare_examples *dev,
                                  const struct pare_train_options *options,
                                  struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
