/* Schemes: what a number format does to each tensor of a model, decided before any work
 * starts, so that it can be shown, summed and refused.
 */
#ifndef PARE_LIBQUANT_SCHEME_H
#define PARE_LIBQUANT_SCHEME_H

#include "libquant/grid.h"
#include "runtime/model/plan.h"
#include "runtime/tensor/linear.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_scheme {
    PARE_SCHEME_KEEP, /* as it is */
    PARE_SCHEME_F32,
    PARE_SCHEME_F16,
    PARE_SCHEME_BF16,
    PARE_SCHEME_INT8, /* I8 with one scale a row; activations quantised when it runs */
    PARE_SCHEME_Q8_0,
    PARE_SCHEME_Q4_0,
    PARE_SCHEME_Q4_1,
    PARE_SCHEME_Q6_K, /* super-blocks */
    PARE_SCHEME_Q5_K,
    PARE_SCHEME_Q4_K,
    PARE_SCHEME_Q3_K,
    PARE_SCHEME_Q2_K,
    PARE_SCHEME_TQ2_0,
    PARE_SCHEME_TQ1_0,
    PARE_SCHEME_INT8_GROUPS, /* codes in groups: grid.h */
    PARE_SCHEME_INT7,
    PARE_SCHEME_INT6,
    PARE_SCHEME_INT5,
    PARE_SCHEME_INT4,
    PARE_SCHEME_INT3,
    PARE_SCHEME_INT2,
    PARE_SCHEME_TERNARY,
    PARE_SCHEMES,
};

/* The names in the order of the enum, NULL behind them: "keep", "f32" ... */
extern const char *const pare_scheme_names[PARE_SCHEMES + 1];
const char *pare_scheme_name(enum pare_scheme scheme);
/* PARE_ERR_USAGE listing the names when there is none such. */
enum pare_status pare_scheme_by_name(const char *name, enum pare_scheme *out,
                                     struct pare_error *err) PARE_CHECKED;
/* The type of a matrix of that scheme; `now` for KEEP, I8 for codes. */
enum pare_dtype pare_scheme_type(enum pare_scheme scheme, enum pare_dtype now);

struct pare_scheme_rule {
    const char *glob; /* over container names (fnmatch): "blk.*.attn_*.weight" */
    enum pare_scheme scheme;
};

struct pare_scheme_options {
    enum pare_scheme linears;    /* matrices inside the blocks */
    enum pare_scheme embeddings; /* token and position embeddings */
    enum pare_scheme pooler;     /* the dense layer before the classifier */
    enum pare_scheme others;     /* classifier and token types: small, and sensitive */
    const struct pare_scheme_rule *rules; /* for matrices; the last that matches wins */
    size_t n_rules;
    int group_size; /* of schemes with groups; 0: the whole row (ternary: tensor), -1: 32
                       (ternary: the whole tensor) */
    int asymmetric; /* codes in groups, not ternary ones, with zero points */
    int bf16;       /* scales in half precision are exact in bfloat16 as well */
    int strict;     /* a row that does not fit the blocks is an error, not a fallback */
};

/* What scheme means for each part of a model, without rules. */
struct pare_scheme_options pare_scheme_defaults(enum pare_scheme scheme);

struct pare_scheme_item { /* one a slot of the plan */
    enum pare_scheme scheme;
    enum pare_dtype type;
    struct pare_grid grid;     /* of codes in groups; bits 0 for other types, which have
                                  no more than its bf16 */
    char form[PARE_FORM_SIZE]; /* pare_weight_form of it */
    uint64_t bytes;            /* of data, scales and zero points */
    /* Its rows are no multiple of the block asked for: a type of blocks of 32 instead of
     * super-blocks, or F16. */
    int fallback;
};

/* Decides for every slot of the plan; now[i] is how slot i is stored. Norms and biases
 * are kept, and so are sparse matrices that no rule names. PARE_ERR_USAGE when a rule
 * matches no matrix, when a matrix that is quantised already would be quantised again,
 * and for a fallback when strict. */
enum pare_status pare_scheme_decide(const struct pare_plan *plan,
                                    const struct pare_weight *now,
                                    const struct pare_scheme_options *options,
                                    struct pare_scheme_item *items,
                                    struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
