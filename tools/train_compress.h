/* Training for what comes after it: fake quantisation, masks, and the container of what
 * was trained, stored in its number format.
 */
#ifndef PARE_TOOLS_TRAIN_COMPRESS_H
#define PARE_TOOLS_TRAIN_COMPRESS_H

#include "libdistill/params.h"
#include "libprune/masks.h"
#include "libquant/fake.h"
#include "runtime/model/compressor_chain.h"
#include "tools/scheme_options.h"

struct train_compress_options {
    struct scheme_options format; /* scheme -1: floats */
    int learned, keep_zeros;
    const char *sparsity; /* pare_pattern_parse; NULL: not given */
};

/* Entries for a table of options, of the struct that `o` points to. */
#define TRAIN_COMPRESS_OPTIONS(o)                                                        \
    PARE_CLI_CHOICE(0, "qat", "SCHEME", &(o)->format.scheme, pare_scheme_names,          \
                    "train for this number format, and store the result in it"),         \
        PARE_CLI_FLAG(0, "learn-scales", &(o)->learned,                                  \
                      "with --qat: train the scales of symmetric groups (LSQ)"),         \
        SCHEME_OPTIONS(&(o)->format),                                                    \
        PARE_CLI_FLAG(0, "keep-zeros", &(o)->keep_zeros,                                 \
                      "weights of the blocks that are zero stay zero"),                  \
        PARE_CLI_STRING(0, "sparsity", "PATTERN", &(o)->sparsity,                        \
                        "prune the blocks' weights by magnitude, more and more of them " \
                        "over the first two thirds of the run: a share (0.5, 50%), N:M " \
                        "(2:4), or a share of blocks (80%/1x4)")

struct train_compress_options train_compress_options_default(void);

struct train_compress { /* all zero: none */
    const struct train_compress_options *o;
    struct pare_plan plan; /* of the model to train */
    struct pare_scheme_item *items;
    struct pare_fake *fake;
    struct pare_masks *masks;
    struct pare_compressor_chain chain; /* of both */
    struct pare_arena arena;
};

/* PARE_ERR_USAGE for options that make no sense, whatever the model. */
enum pare_status train_compress_check(const struct train_compress_options *o,
                                      struct pare_error *err) PARE_CHECKED;

/* Decides for a model of this config; does nothing when nothing is asked for. Free with
 * train_compress_free. */
enum pare_status train_compress_init(struct train_compress *q,
                                     const struct train_compress_options *o,
                                     const struct pare_config *config,
                                     struct pare_error *err) PARE_CHECKED;
void train_compress_free(struct train_compress *q);

/* Appends what is trained along to extras[n ..]; returns how many there are then. The
 * array has room for pare_plan.count more. */
size_t train_compress_extras(struct train_compress *q, struct pare_extra *extras,
                             size_t n);
/* When params->value has what training begins with: those, and the scales. */
void train_compress_start(struct train_compress *q, struct pare_params *params);

/* For pare_train_options; NULL when nothing is asked for. */
struct pare_compressor *train_compress_compressor(struct train_compress *q);

/* Writes the trained model: as F32, or in its formats. `meta` has everything but the
 * tensors and what depends on the formats, which is added; masked values become zeros. */
enum pare_status train_compress_write(struct train_compress *q, struct pare_cli *cli,
                                      struct pare_params *params, struct pare_meta *meta,
                                      struct pare_error *err) PARE_CHECKED;

/* Adds the options to `json`, for the container's history and the resume file. 0 when
 * there is no memory. */
int train_compress_history(const struct train_compress *q, cJSON *json);

/* The same as text, for the resume file: NULL when nothing is asked for; the caller frees
 * *out with cJSON_free. */
enum pare_status train_compress_identity(const struct train_compress *q, char **out,
                                         struct pare_error *err) PARE_CHECKED;

#endif
