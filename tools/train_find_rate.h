/* --find-lr of the programs that train: the range test, and its table on standard output.
 */
#ifndef PARE_TOOLS_TRAIN_FIND_RATE_H
#define PARE_TOOLS_TRAIN_FIND_RATE_H

#include "libdistill/trainer.h"
#include "tools/cli.h"

/* Uses the parameters up; writes no file. */
enum pare_status train_find_rate(struct pare_cli *cli, struct pare_params *params,
                                 const struct pare_examples *train,
                                 const struct pare_train_options *options,
                                 struct pare_error *err) PARE_CHECKED;

#endif
