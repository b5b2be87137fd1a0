/* What the two halves of the pickle machine share. */
#ifndef PARE_CHECKPOINT_PICKLE_MACHINE_H
#define PARE_CHECKPOINT_PICKLE_MACHINE_H

#include "runtime/checkpoint/pickle.h"

/* PARE_ERR_INPUT "path: byte N: pickle: reason" */
enum pare_status pare_pickle_fail(const struct pare_pickle *p, struct pare_error *err,
                                  const char *reason);
/* At least `count` values above the last mark. */
enum pare_status pare_pickle_need(const struct pare_pickle *p, size_t count,
                                  struct pare_error *err) PARE_CHECKED;
static inline struct pare_pickle_value *pare_pickle_top(const struct pare_pickle *p,
                                                        size_t below)
{
    return &p->stack[p->n_stack - 1 - below];
}
enum pare_status pare_pickle_push(struct pare_pickle *p, struct pare_pickle_value value,
                                  struct pare_error *err) PARE_CHECKED;
enum pare_status pare_pickle_push_kind(struct pare_pickle *p, enum pare_pickle_kind kind,
                                       int64_t number,
                                       struct pare_error *err) PARE_CHECKED;
/* An empty dict. */
enum pare_status pare_pickle_push_dict(struct pare_pickle *p, int ordered,
                                       struct pare_error *err) PARE_CHECKED;

/* The opcodes that refer to Python's world. */
typedef enum pare_status pare_pickle_operation(struct pare_pickle *p,
                                               struct pare_error *err);
pare_pickle_operation pare_pickle_global;
pare_pickle_operation pare_pickle_binpersid;
pare_pickle_operation pare_pickle_reduce;

#endif
