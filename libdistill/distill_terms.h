/* The terms of the distillation loss, one function each; private to libdistill. All add
 * weight * (sum over the sequences) to the returned sum, and the gradient of input->scale
 * times that to `grads`. */
#ifndef PARE_DISTILL_DISTILL_TERMS_H
#define PARE_DISTILL_DISTILL_TERMS_H

#include "libdistill/distill.h"

struct pare_distill_call { /* one batch */
    const struct pare_distill_options *options;
    const struct pare_teacher *teacher;
    struct pare_params *student;
    const struct pare_loss_input *input;
    const struct pare_loss_grads *grads;
    struct pare_arena *scratch;
    struct pare_error *err;
};

enum { /* parts of the loss */
       PARE_PART_HARD,
       PARE_PART_SOFT,
       PARE_PART_COSINE,
       PARE_PART_MSE,
       PARE_PART_FIRST,
       PARE_PART_RELATION,
       PARE_PART_ATTENTION,
       PARE_PARTS,
};

/* hard and soft */
enum pare_status pare_distill_logits(const struct pare_distill_call *call,
                                     double *parts) PARE_CHECKED;
/* cosine, mse, first */
enum pare_status pare_distill_hidden(const struct pare_distill_call *call,
                                     double *parts) PARE_CHECKED;
/* relation, attention */
enum pare_status pare_distill_relation(const struct pare_distill_call *call,
                                       double *parts) PARE_CHECKED;

#endif
