/* The pickle inside a PyTorch checkpoint, run by a machine that can build nothing but
 * plain values and descriptions of tensors. Private to the reader of PyTorch files, its
 * tests and the fuzz target. */
#ifndef PARE_CHECKPOINT_PICKLE_H
#define PARE_CHECKPOINT_PICKLE_H

#include "runtime/checkpoint/reader.h"

enum pare_pickle_kind {
    PARE_PICKLE_NONE,
    PARE_PICKLE_BOOL,
    PARE_PICKLE_INT,
    PARE_PICKLE_TEXT,
    PARE_PICKLE_TUPLE,
    PARE_PICKLE_LIST, /* its elements are not kept */
    PARE_PICKLE_DICT, /* tensors and dicts under text keys are kept, nothing else */
    PARE_PICKLE_GLOBAL,
    PARE_PICKLE_STORAGE,
    PARE_PICKLE_TENSOR,
    PARE_PICKLE_OPAQUE, /* a float, set, device, dtype ...: carried along, not looked at
                         */
};

struct pare_pickle_value {
    uint8_t kind;   /* enum pare_pickle_kind */
    uint8_t detail; /* of a global: which one; of a dict: whether it is an OrderedDict */
    uint32_t count; /* bytes of a text, items of a tuple */
    union {
        int64_t number; /* bool, int */
        uint64_t
            place; /* text: in the pickle; tuple, storage, tensor: first item; dict */
    };
};

struct pare_pickle_pair { /* one entry of a dict */
    uint64_t key;         /* a text's place and length */
    uint32_t key_length;
    uint32_t next; /* pair number + 1; 0 at the end */
    struct pare_pickle_value value;
};

struct pare_pickle_dict {
    uint32_t first, last; /* pair numbers + 1; 0 when empty */
};

struct pare_pickle {
    struct pare_source *source; /* of the file around it, for messages and the budget */
    const uint8_t *data;
    uint64_t size, at;
    uint64_t shift; /* where the pickle starts in the file, for messages */
    struct pare_pickle_value root;
    struct pare_pickle_value *stack, *memo, *items;
    size_t n_stack, n_memo, n_items;
    uint32_t *marks;
    size_t n_marks;
    struct pare_pickle_dict *dicts;
    struct pare_pickle_pair *pairs;
    size_t n_dicts, n_pairs;
    size_t stack_capacity, memo_capacity, items_capacity, marks_capacity, dicts_capacity,
        pairs_capacity;
};

struct pare_pickle_tensor {
    const char *key; /* of the storage: the entry data/KEY; not NUL-terminated */
    uint32_t key_length;
    enum pare_dtype type;
    uint64_t numel;  /* elements of the storage */
    uint64_t offset; /* in elements, as sizes and strides */
    int n_dims;
    uint64_t sizes[PARE_MAX_DIMS], strides[PARE_MAX_DIMS];
};

/* Runs the pickle of `size` bytes at `data`. pare_pickle_free is safe after a failure. */
enum pare_status pare_pickle_run(struct pare_source *source, const uint8_t *data,
                                 uint64_t size, uint64_t shift,
                                 struct pare_pickle *pickle,
                                 struct pare_error *err) PARE_CHECKED;
void pare_pickle_free(struct pare_pickle *pickle);

/* The entries of a dict in their order; NULL behind the last. */
const struct pare_pickle_pair *pare_pickle_first(const struct pare_pickle *pickle,
                                                 const struct pare_pickle_value *dict);
const struct pare_pickle_pair *pare_pickle_next(const struct pare_pickle *pickle,
                                                const struct pare_pickle_pair *pair);
struct pare_text pare_pickle_key(const struct pare_pickle *pickle,
                                 const struct pare_pickle_pair *pair);
/* What a value of kind TENSOR describes. */
struct pare_pickle_tensor pare_pickle_describe(const struct pare_pickle *pickle,
                                               const struct pare_pickle_value *tensor);

#endif
