/* Shared by stored.c, stored_codes.c, stored_sparse.c, stored_inputs.c and hf.c and by
 * nothing else. */
#ifndef PARE_MODEL_STORED_INTERNAL_H
#define PARE_MODEL_STORED_INTERNAL_H

#include "runtime/model/stored.h"

/* Fills config, plan, tensors and dropped of a stored whose ckpt is open. */
enum pare_status pare_hf_bind(struct pare_stored *stored,
                              const struct pare_stored_options *options,
                              struct pare_error *err) PARE_CHECKED;

/* PARE_ERR_INPUT when the tensor has not the slot's shape. */
enum pare_status pare_stored_check_shape(const struct pare_ckpt *ckpt,
                                         const struct pare_tensor *tensor,
                                         const struct pare_slot *slot,
                                         struct pare_error *err) PARE_CHECKED;
/* Memory for the lists of tensors of the plan. */
enum pare_status pare_stored_slots(struct pare_stored *stored,
                                   struct pare_error *err) PARE_CHECKED;
/* Binds slot i to `codes`, the tensor X.weight_codes, with its scales and zero points;
 * PARE_ERR_INPUT when they do not fit together. */
enum pare_status pare_stored_bind_codes(struct pare_stored *stored, size_t i,
                                        const struct pare_tensor *codes,
                                        struct pare_error *err) PARE_CHECKED;
/* The same for X.weight_sparse, the numbers of a pattern. */
enum pare_status pare_stored_bind_sparse(struct pare_stored *stored, size_t i,
                                         const struct pare_tensor *pattern,
                                         struct pare_error *err) PARE_CHECKED;
/* The tensor `name`, of that type and so many rows of two dimensions: NULL in *out when
 * it is not there. */
enum pare_status pare_stored_find_part(const struct pare_ckpt *ckpt, const char *name,
                                       enum pare_dtype type, uint64_t rows,
                                       const struct pare_tensor **out,
                                       struct pare_error *err) PARE_CHECKED;
/* PARE_ERR_INPUT when one of the halves is not finite; `what` one of them is. */
enum pare_status pare_stored_check_halves(const struct pare_ckpt *ckpt,
                                          const struct pare_tensor *tensor,
                                          const char *what,
                                          struct pare_error *err) PARE_CHECKED;
/* What the checkpoint says of the slot's sparse values, whose tensors are bound: groups
 * of codes, and the pattern without its index. */
void pare_stored_pattern(const struct pare_tensor *pattern,
                         const struct pare_tensor *scale, const struct pare_slot *slot,
                         struct pare_sparse *sparse, struct pare_groups *groups);
/* Finds X.input_scale and X.input_range of slot i, which is bound; PARE_ERR_INPUT when
 * they do not fit it. */
enum pare_status pare_stored_bind_inputs(struct pare_stored *stored, size_t i,
                                         struct pare_error *err) PARE_CHECKED;
int pare_stored_ignores(const struct pare_stored_options *options, const char *name);
enum pare_status pare_stored_drop(struct pare_stored *stored, const char *name,
                                  struct pare_error *err) PARE_CHECKED;

#endif
