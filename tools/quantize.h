/* What the parts of pare-quantize share. */
#ifndef PARE_TOOLS_QUANTIZE_H
#define PARE_TOOLS_QUANTIZE_H

#include "libquant/bias.h"
#include "libquant/fake.h"
#include "libquant/gptq.h"
#include "libquant/nearest.h"
#include "libquant/scheme.h"
#include "libquant/sweep.h"
#include "runtime/base/journal.h"
#include "runtime/checkpoint/gguf_writer.h"
#include "runtime/model/stored.h"
#include "runtime/tensor/cross.h"
#include "tools/calibration.h"
#include "tools/input_options.h"
#include "tools/scheme_options.h"
#include "tools/solver_options.h"

struct quantize_options {
    struct scheme_options format;
    struct solver_options solver;
    struct calibration_options calibration;
    struct input_options inputs;
    const char *max_ram;                  /* or NULL */
    const char *target_size, *candidates; /* or NULL */
    double target_ratio;                  /* -1: not given */
    double max_drop, max_kl;              /* points of accuracy, nats; -1: not given */
    const char *search_on;                /* labelled text for these */
    int dry_run;
    const char *json;
};

/* Whether forms are chosen for a size (quantize_budget.h). */
static inline int quantize_has_search(const struct quantize_options *o)
{
    return o->max_drop >= 0 || o->max_kl >= 0;
}

static inline int quantize_has_budget(const struct quantize_options *o)
{
    return o->target_size || o->target_ratio >= 0 || quantize_has_search(o);
}

/* What is done for less memory, in more time. The bytes that are written are the same. */
struct quantize_saving {
    int slices;   /* matrices are solved for some rows at a time */
    int spill;    /* hidden states are in a file */
    int one_site; /* a pass over the text for each layer of a block */
    int bands;    /* second moments in so many bands, with a pass for each; 0: whole */
};

/* How the solver did on a matrix. */
struct quantize_solved {
    int done;         /* it was the solver's */
    double loss, rtn; /* mean squared change of a row's output; and by rounding */
    double damping;
    size_t dead; /* inputs that were always zero */
    int escalations, fallback;
};

/* Matrices that another program has made of slots: they are planned and written by it. */
struct quantize_made {
    void *context;
    int (*has)(void *context, size_t i);
    enum pare_status (*plan)(void *context, size_t i, struct pare_gguf_writer *writer);
    enum pare_status (*write)(void *context, size_t i, struct pare_gguf_writer *writer);
};

struct quantize_costs;
struct quantize_moments; /* quantize_moments.h */
struct quantize_site;    /* quantize_inputs.h */

struct quantize_work {
    struct pare_cli *cli;
    const struct quantize_options *o; /* of pare-quantize */
    struct pare_stored stored;
    struct pare_scheme_item *items; /* [plan.count] */
    const struct pare_fake *fake;   /* that the tensors were trained with, or NULL */
    const struct quantize_made *made;
    struct calibration calibration; /* samples is 0 when there is none */
    char sha256[65];                /* of the input */
    struct quantize_saving saving;
    struct pare_journal *journal; /* with a calibration: of finished parts */
    char partial[4096];           /* its path */
    int finished, saved; /* parts that an earlier run left; whether this one added any */
    int rounds;          /* the solver rounds, calibrated or not */
    int trial;           /* of a search: begun anew when it was stopped */
    /* What is decided about the inputs of slot i, and of those that slot i makes; NULL:
     * nothing. */
    struct quantize_site **sites, **makers;
    struct quantize_solved *solved;  /* [plan.count], with a calibration */
    struct pare_quant_error *errors; /* [plan.count], of the quantised ones */
    struct pare_error *err;
};

/* A matrix as it will be stored (docs/FORMAT.md); all zero: none. */
struct quantize_form {
    unsigned char *data, *scale;
    uint8_t *zero;
    size_t row_bytes, data_bytes, scale_bytes, zero_bytes;
};

/* Buffers for slices of rows of the largest matrix, and for all its scales. */
struct quantize_buffers {
    float *W;
    unsigned char *codes, *scale;
    uint8_t *zero;
};
enum pare_status quantize_buffers_make(const struct quantize_work *w,
                                       struct quantize_buffers *b) PARE_CHECKED;
void quantize_buffers_free(struct quantize_buffers *b);

/* Empty memory for slot i as its item says. Free with quantize_form_free. */
enum pare_status quantize_form_make(const struct quantize_work *w, size_t i,
                                    struct quantize_form *form) PARE_CHECKED;
void quantize_form_free(struct quantize_form *form);
/* Rounds slot i to nearest. */
enum pare_status quantize_form_round(struct quantize_work *w, size_t i,
                                     struct quantize_buffers *b,
                                     struct quantize_form *form) PARE_CHECKED;
enum pare_status quantize_form_write(const struct quantize_work *w,
                                     const struct quantize_form *form,
                                     struct pare_gguf_writer *writer) PARE_CHECKED;
/* Slot i as it was stored. */
enum pare_status quantize_keep(const struct quantize_work *w, size_t i,
                               struct pare_gguf_writer *writer) PARE_CHECKED;

/* What the container says of the inputs of slot i, behind its own tensors: factors and
 * range, with the first of the slots that share them. */
enum pare_status quantize_inputs(const struct quantize_work *w, size_t i,
                                 struct pare_gguf_writer *writer) PARE_CHECKED;

/* Whether a matrix that no solver is for gets searched grids as that item all the same.
 */
int quantize_is_searched(const struct quantize_work *w,
                         const struct pare_scheme_item *item);
/* Gives back the memory of slot i's data in the mapped container. */
void quantize_release(const struct quantize_work *w, size_t i);

/* PARE_ERR_USAGE for options that do not go together. */
enum pare_status quantize_options_check(const struct quantize_options *o,
                                        struct pare_error *err) PARE_CHECKED;
/* For history and report; NULL when there is no memory. */
cJSON *quantize_options_json(const struct quantize_work *w);
/* The metadata of the container that is to be written, into an empty `meta`. */
enum pare_status quantize_meta(const struct quantize_work *w,
                               struct pare_meta *meta) PARE_CHECKED;
/* Which run this is, for what it leaves when it is stopped. */
enum pare_status quantize_identify(const struct quantize_work *w,
                                   char identity[65]) PARE_CHECKED;
void quantize_print_plan(const struct quantize_work *w);
/* To --json. `plan`: what the run would need, NULL without a calibration text; of a run
 * that was made there are errors instead. */
enum pare_status quantize_write_report(const struct quantize_work *w,
                                       const struct quantize_costs *plan) PARE_CHECKED;
void quantize_tell_result(const struct quantize_work *w);

/* Plans and writes every tensor as its item says; fills `errors`. */
enum pare_status quantize_tensors(struct quantize_work *work,
                                  struct pare_gguf_writer *writer) PARE_CHECKED;

/* --- With a solver --- */

/* What the solver is to make of slot i. 0: rounding is all there is. */
int quantize_target(const struct quantize_work *w, size_t i, struct pare_target *target);
/* Checks the options, and reads the calibration text if there is one to be read;
 * PARE_ERR_INPUT when a matrix would see fewer rows than it has inputs. */
enum pare_status quantize_prepare(struct quantize_work *w) PARE_CHECKED;
/* Writes the tensors part by part of the calibration walk. They have been planned. */
enum pare_status quantize_walk(struct quantize_work *w,
                               struct pare_gguf_writer *writer) PARE_CHECKED;
/* The part of the walk that slot i belongs to. */
int quantize_part_of(const struct pare_stored *stored, size_t i);
/* Rows of a matrix that are solved for together. */
size_t quantize_slice_rows(const struct quantize_work *w, size_t N, size_t K);
/* Whether weights are rounded one by one, in whichever grids. */
int quantize_is_nearest(const struct quantize_work *w);
/* How GPTQ makes the target of a matrix: as the options say, else what is best for it. */
enum pare_order quantize_order(const struct quantize_work *w,
                               const struct pare_target *target);
struct pare_gptq_options quantize_gptq_options(const struct quantize_work *w,
                                               const struct pare_target *target);
/* How its weights are rounded one by one; cost[K], of errors at each input, or NULL. */
struct pare_nearest quantize_nearest(const struct quantize_work *w,
                                     const struct pare_target *target, const float *cost);
/* What matrices with the same inputs are solved for with. */
struct quantize_solving {
    struct quantize_work *w;
    struct quantize_moments *moments;
    const struct pare_cross_source *cross; /* of these; or NULL */
    struct pare_arena *scratch;
    struct pare_factor factor; /* of the last one; freed by the caller */
    struct pare_factor_options options;
};
/* Whether the outputs' errors are to be told, which takes the second moments once more.
 */
int quantize_compares(const struct quantize_work *w);
/* Makes forms[i], and that of its bias when it changes; one that no solver is for stays
 * empty. */
enum pare_status quantize_solve(struct quantize_solving *with, size_t i,
                                struct quantize_form *forms,
                                struct pare_error *err) PARE_CHECKED;
/* Warns of what the solver had to do without on slot i. */
void quantize_tell_solved(const struct quantize_work *w, size_t i);
/* Finished parts beside the output, for the next run with the same `identity` (64 digits)
 * if this one is stopped. */
enum pare_status quantize_resume_open(struct quantize_work *w,
                                      const char *identity) PARE_CHECKED;
int quantize_resume_has(const struct quantize_work *w, int part);
/* Fills the forms and figures of the part, which is the next that was kept. */
enum pare_status quantize_resume_load(struct quantize_work *w, int part,
                                      struct quantize_form *forms) PARE_CHECKED;
enum pare_status quantize_resume_save(struct quantize_work *w, int part,
                                      const struct quantize_form *forms) PARE_CHECKED;
/* `status`: how the run ended. */
void quantize_resume_close(struct quantize_work *w, enum pare_status status);
/* Decides on `saving` for --max-ram; PARE_ERR_MEMORY with what is possible. */
enum pare_status quantize_memory_fit(struct quantize_work *w) PARE_CHECKED;
/* Bytes of memory at the worst moment: while a part's inputs are seen, or while it is
 * solved for. */
struct quantize_memory {
    uint64_t hidden, moments, block, batch, solver;
    uint64_t all;
};
struct quantize_memory quantize_memory(const struct quantize_work *w);
/* Whether the original model runs beside the one that is quantised. */
int quantize_is_both(const struct quantize_work *w);

/* What a run will need: memory, also of the survey before it; bytes on the disk; time. */
struct quantize_costs {
    struct quantize_memory memory;
    uint64_t survey;
    uint64_t container, partial, hidden, moments;
    double seconds;
};
enum pare_status quantize_costs(const struct quantize_work *w,
                                struct quantize_costs *c) PARE_CHECKED;
void quantize_print_costs(const struct quantize_work *w, const struct quantize_costs *c);
/* 0 when there is no memory. */
int quantize_costs_json(const struct quantize_costs *c, cJSON *json);

#endif
