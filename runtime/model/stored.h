/* A model as it lies in a checkpoint: its config, its plan, and the tensor of every slot.
 *
 * Conversion, quantisation and pruning start here. Whatever the origin, each tensor
 * exists, has its slot's shape (or is the codes of it, docs/FORMAT.md) and a type that a
 * weight may have; nothing in the checkpoint is left over without having been named in
 * `dropped`.
 */
#ifndef PARE_MODEL_STORED_H
#define PARE_MODEL_STORED_H

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/model/plan.h"
#include "runtime/tensor/linear.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_stored_options { /* all zero: the defaults */
    const char *config;      /* Hugging Face's config.json; NULL: beside the checkpoint */
    const char *const *ignore; /* globs (fnmatch) over tensor names to leave out */
    size_t n_ignore;
};

struct pare_stored {
    struct pare_ckpt *ckpt;
    struct pare_config config;
    struct pare_plan plan;
    /* [plan.count]; codes, for weights in groups; values, for sparse ones */
    const struct pare_tensor **tensors;
    const struct pare_tensor **scales; /* [plan.count]: of I8 and codes, else NULL */
    const struct pare_tensor **zeros;  /* [plan.count]: of codes that have them */
    /* [plan.count]: of sparse weights, else NULL: the numbers of the pattern, and bits or
     * ranks; and what they say (rows 0: dense). NULL when there are none at all. */
    const struct pare_tensor **patterns, **kept;
    struct pare_sparse *sparse;
    /* [plan.count]: of matrices whose inputs have them, else NULL; the same tensor for
     * all matrices that read the same inputs. NULL when there are none at all. */
    const struct pare_tensor **input_scales, **input_ranges;
    const char **dropped; /* names of heads of pretraining and of ignored tensors */
    size_t n_dropped;
    struct pare_arena arena;
};

/* Opens a container, or a Hugging Face checkpoint with its config.json. options NULL: the
 * defaults. On success the caller closes `out`; on failure it is closed already. */
enum pare_status pare_stored_open(const char *path,
                                  const struct pare_stored_options *options,
                                  struct pare_stored *out,
                                  struct pare_error *err) PARE_CHECKED;
/* The same for what must be a container: PARE_ERR_INPUT for another format. */
enum pare_status pare_stored_open_container(const char *path, struct pare_stored *out,
                                            struct pare_error *err) PARE_CHECKED;
void pare_stored_close(struct pare_stored *stored); /* safe on a zeroed one */

/* Slot i as the layers take it, in place. Scales and zero points of codes have been
 * looked at: they are finite, and within the codes. */
struct pare_weight pare_stored_weight(const struct pare_stored *stored, size_t i);

/* PARE_ERR_INPUT when the F32 tensor cannot be used in place: it is not aligned. */
enum pare_status pare_stored_check_floats(const struct pare_ckpt *ckpt,
                                          const struct pare_tensor *tensor,
                                          struct pare_error *err) PARE_CHECKED;

/* The tensors that hold slot i, in their order in the container; returns how many. */
#define PARE_STORED_PARTS 5
size_t pare_stored_parts(const struct pare_stored *stored, size_t i,
                         const struct pare_tensor *parts[PARE_STORED_PARTS]);

/* The slot whose X.weight_codes or X.weight_values this is, in a checkpoint that was
 * bound to the plan; NULL for every other tensor. *form is what pare_weight_form says of
 * it. */
const struct pare_slot *pare_codes_slot(const struct pare_ckpt *ckpt,
                                        const struct pare_plan *plan,
                                        const struct pare_tensor *tensor,
                                        char form[PARE_FORM_SIZE]);

#ifdef __cplusplus
}
#endif
#endif
