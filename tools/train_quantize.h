/* Training for a number format: fake quantisation of what is trained, and its container,
 * stored in that format.
 */
#ifndef PARE_TOOLS_TRAIN_QUANTIZE_H
#define PARE_TOOLS_TRAIN_QUANTIZE_H

#include "libdistill/params.h"
#include "libquant/fake.h"
#include "tools/scheme_options.h"

struct train_quantize_options {
    struct scheme_options format; /* scheme -1: floats */
    int learned;
};

/* Entries for a table of options, of the struct that `o` points to. */
#define TRAIN_QUANTIZE_OPTIONS(o)                                                        \
    PARE_CLI_CHOICE(0, "qat", "SCHEME", &(o)->format.scheme, pare_scheme_names,          \
                    "train for this number format, and store the result in it"),         \
        PARE_CLI_FLAG(0, "learn-scales", &(o)->learned,                                  \
                      "with --qat: train the scales of symmetric groups (LSQ)"),         \
        SCHEME_OPTIONS(&(o)->format)

struct train_quantize_options train_quantize_options_default(void);

struct train_quantize { /* all zero: none */
    const struct train_quantize_options *o;
    struct pare_plan plan; /* of the model to train */
    struct pare_scheme_item *items;
    struct pare_fake *fake;
    struct pare_arena arena;
};

/* Decides the formats for a model of this config; does nothing without --qat. Free with
 * train_quantize_free. */
enum pare_status train_quantize_init(struct train_quantize *q,
                                     const struct train_quantize_options *o,
                                     const struct pare_config *config,
                                     struct pare_error *err) PARE_CHECKED;
void train_quantize_free(struct train_quantize *q);

/* Appends what is trained along to extras[n ..]; returns how many there are then. The
 * array has room for pare_plan.count more. */
size_t train_quantize_extras(const struct train_quantize *q, struct pare_extra *extras,
                             size_t n);
/* When params->value has what training begins with: those, and the scales. */
void train_quantize_start(struct train_quantize *q, struct pare_params *params);

/* For pare_train_options; NULL without --qat. */
struct pare_compressor *train_quantize_compressor(const struct train_quantize *q);

/* Writes the trained model: as F32, or in its formats. `meta` has everything but the
 * tensors and what depends on the formats, which is added. */
enum pare_status train_quantize_write(const struct train_quantize *q,
                                      struct pare_cli *cli,
                                      const struct pare_params *params,
                                      struct pare_meta *meta,
                                      struct pare_error *err) PARE_CHECKED;

/* Adds the options to `json`, for the container's history and the resume file. 0 when
 * there is no memory. */
int train_quantize_history(const struct train_quantize *q, cJSON *json);

/* The same as text, for the resume file: NULL without --qat; the caller frees *out with
 * cJSON_free. */
enum pare_status train_quantize_identity(const struct train_quantize *q, char **out,
                                         struct pare_error *err) PARE_CHECKED;

#endif
