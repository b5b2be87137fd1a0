/* What the parts of pare-prune share. */
#ifndef PARE_TOOLS_PRUNE_H
#define PARE_TOOLS_PRUNE_H

#include "libprune/solve.h"
#include "tools/quantize.h"

enum prune_solver { PRUNE_MAGNITUDE, PRUNE_WANDA, PRUNE_SPARSEGPT };
extern const char *const prune_solvers[];
enum prune_spreading { PRUNE_UNIFORM, PRUNE_GLOBAL, PRUNE_SENSITIVITY };
extern const char *const prune_spreads[];

struct prune_options {
    const char *sparsity; /* or NULL */
    int solver;           /* enum prune_solver, -1: not given */
    int spread;           /* enum prune_spreading */
    int scheme;           /* enum pare_scheme */
    int group_size;       /* -1: not given */
    int passes;
    double damping, correct;
    int sequential;
    struct pare_cli_list override, skip;
    struct calibration_options calibration;
    int strict, dry_run;
    const char *json;
};

/* What is to become of a slot. */
struct prune_slot {
    int pruned; /* it is a matrix of a block, and not skipped */
    int keep;   /* its zeros stay, nothing else goes */
    int spread; /* its share is one of all matrices' */
    int other;  /* its shape does not fit the pattern: single weights go instead */
    struct pare_pattern pattern;
    size_t zeros;              /* at least */
    struct pare_sparse sparse; /* how it is stored; rows 0: dense */
    char form[PARE_FORM_SIZE];
    uint64_t bytes; /* about, until it has been made */
};

/* How it went. */
struct prune_result {
    struct pare_quant_error error;
    size_t zeros;
    double loss, energy; /* mean square of a row's outputs: of what they lost, of all */
    double damping;
    size_t dead;
    int escalations, fallback;
};

/* A matrix as it will be stored (docs/FORMAT.md). */
struct prune_form {
    struct pare_weight weight; /* points to what follows; N 0: there is none */
    unsigned char *data, *scale;
    uint8_t *kept;
    uint64_t *start;
    uint32_t *sets;
    size_t data_bytes, scale_bytes, kept_bytes;
};

struct prune_work {
    struct quantize_work base; /* its tensors that are not pruned are kept */
    const struct prune_options *o;
    enum prune_solver solver;
    struct calibration calibration; /* samples is 0 when there is none */
    struct prune_slot *slots;       /* [plan.count], as the next two */
    struct prune_result *results;
    struct prune_form *forms;
};

/* --- Deciding --- */

struct prune_options prune_options_default(void);
/* The first option that was given of those that are not for pruning in any form, or
 * NULL. */
const char *prune_options_given(const struct prune_options *o);
/* PARE_ERR_USAGE for options that do not go together. */
enum pare_status prune_options_check(const struct prune_options *o,
                                     struct pare_error *err) PARE_CHECKED;
/* Fills slots and items. */
enum pare_status prune_decide(struct prune_work *w) PARE_CHECKED;
/* How many zeros slot i gets, and how it is stored. */
enum pare_status prune_decide_zeros(struct prune_work *w, size_t i) PARE_CHECKED;
/* Another share for each matrix, when it is to be spread. */
enum pare_status prune_spread(struct prune_work *w) PARE_CHECKED;
/* Reads the calibration text if there is one to be read. */
enum pare_status prune_prepare(struct prune_work *w) PARE_CHECKED;
/* The codes that slot i gets; 0: it stays floats. */
int prune_target(const struct prune_work *w, size_t i, struct pare_target *target);

/* --- Doing --- */

/* Weights of slot i as they are stored now, as floats W[N, K]. */
void prune_read(const struct prune_work *w, size_t i, float *W);
/* Makes all forms; with a calibration, block by block, each for what those before it
 * compute. */
enum pare_status prune_solve(struct prune_work *w) PARE_CHECKED;
/* What matrices with the same inputs are solved for with. */
struct prune_solving {
    struct prune_work *w;
    struct quantize_moments *moments;      /* or NULL */
    const struct pare_cross_source *cross; /* of these; or NULL */
    struct pare_arena *scratch;
    struct pare_factor factor; /* of the last one; freed by the caller */
    struct pare_factor_options options;
};
/* Makes forms[i] and results[i]. */
enum pare_status prune_solve_slot(struct prune_solving *with, size_t i,
                                  struct pare_error *err) PARE_CHECKED;
void prune_tell_solved(const struct prune_work *w, size_t i);

/* --- Forms --- */

/* How the zeros of W[N, K] are best stored when nothing is known of them. */
struct pare_sparse prune_find_pattern(const float *W, size_t N, size_t K, int bits);
/* Bytes of slot i if it is stored so, with so many zeros, and its form. */
void prune_form_plan(struct prune_work *w, size_t i);
/* Whether slot i, stored so with so many zeros, is quicker with some tokens than the
 * dense matrix of its format, on the kernels in use. */
int prune_form_pays(const struct prune_work *w, size_t i, size_t zeros, size_t tokens);
/* Memory for the codes of all weights, and their scales. Free with prune_form_free. */
enum pare_status prune_form_make(const struct prune_work *w, size_t i,
                                 struct prune_form *form) PARE_CHECKED;
/* What is stored of Q, whose codes, halves or floats are in the form: what is not zero,
 * unless all is smaller. Slot i says so then. */
enum pare_status prune_form_pack(struct prune_work *w, size_t i, const float *Q,
                                 struct prune_form *form) PARE_CHECKED;
/* Puts the form's pointers into its weight, and the inputs' factors. */
void prune_form_bind(const struct prune_work *w, size_t i, struct prune_form *form);
enum pare_status prune_form_index(const struct prune_work *w,
                                  struct prune_form *form) PARE_CHECKED;
void prune_form_free(struct prune_form *form);
/* For quantize_tensors. */
struct quantize_made prune_made(struct prune_work *w);

/* --- Finished parts, as in quantize_resume.c --- */
enum pare_status prune_identify(const struct prune_work *w,
                                char identity[65]) PARE_CHECKED;
enum pare_status prune_resume_load(struct prune_work *w, int part) PARE_CHECKED;
enum pare_status prune_resume_save(struct prune_work *w, int part) PARE_CHECKED;

/* --- Telling --- */

/* For history and report; NULL when there is no memory. */
cJSON *prune_options_json(const struct prune_work *w);
enum pare_status prune_meta(const struct prune_work *w,
                            struct pare_meta *meta) PARE_CHECKED;
void prune_print_plan(const struct prune_work *w);
enum pare_status prune_write_report(const struct prune_work *w) PARE_CHECKED;
void prune_tell_result(const struct prune_work *w);

#endif
