/* --find-lr of the programs that train: the range test, and its table on standard output.
 */
#ifndef PARE_TOOLS_TRAIN_FIND_RATE_H
#define PARE_TOOLS_TRAIN_FIND_RATE_H

#include "libdistill/trainer.h"
#include "tools/cli.h"
#include "tools/train_options.h"

/* PARE_ERR_USAGE when an output is missing that --find-lr does not need, or when --resume
 * stands beside it: there is nothing to go on with. */
enum pare_status train_find_rate_check(const struct pare_cli *cli,
                                       const struct train_options *o,
                                       struct pare_error *err) PARE_CHECKED;

/* Uses the parameters up; writes no file. */
enum pare_status train_find_rate(struct pare_cli *cli, struct pare_params *params,
                                 const struct pare_examples *train,
                                 const struct pare_train_options *options,
                                 struct pare_error *err) PARE_CHECKED;

#endif
