/* Calibration text as batches of token ids, for the programs that solve for weights. */
#ifndef PARE_TOOLS_CALIBRATION_H
#define PARE_TOOLS_CALIBRATION_H

#include "runtime/base/json.h"
#include "runtime/checkpoint/meta.h"
#include "tools/train_data.h"

struct calibration_options {
    const char *file;
    int samples, length; /* 0: not given */
};

/* Entries for a table of options, of the struct that `o` points to. */
#define CALIBRATION_OPTIONS(o)                                                           \
    PARE_CLI_STRING(0, "calibration", "FILE", &(o)->file,                                \
                    "text that the model will see the like of: a sentence a line, a "    \
                    "table or JSON lines"),                                              \
        PARE_CLI_INT(0, "samples", "N", &(o)->samples, 0, INT32_MAX,                     \
                     "sentences of it, drawn by the seed; 0: enough for every layer, "   \
                     "if there are as many"),                                            \
        PARE_CLI_INT(0, "length", "N", &(o)->length, 0, INT32_MAX,                       \
                     "tokens of a sentence, at most; 0: as many as the model takes")

struct calibration { /* all zero: none */
    struct pare_batch *batches;
    size_t n_batches;
    size_t sentences;       /* of the file */
    size_t samples, tokens; /* of all batches */
    size_t longest;         /* tokens of the largest batch */
    size_t piece;           /* of what a walk runs of one at a time, at most */
    uint64_t text_bytes;    /* in memory while it was read, about */
    char sha256[65];        /* of the file */
    struct pare_arena arena;
};

/* Reads the file and draws o->samples of its sentences, or `samples` when that is 0 (and
 * no more than there are), cut to the length, in batches of a few thousand tokens. `meta`
 * has the tokenizer. Free with calibration_free, also after a failure. */
enum pare_status calibration_read(struct pare_cli *cli,
                                  const struct calibration_options *o,
                                  const struct pare_meta *meta,
                                  const struct pare_config *config, size_t samples,
                                  struct calibration *c,
                                  struct pare_error *err) PARE_CHECKED;
void calibration_free(struct calibration *c);

/* Adds what the batches were made from to `json`, for a container's history. 0 when there
 * is no memory. */
int calibration_history(const struct calibration *c, const struct calibration_options *o,
                        uint64_t seed, cJSON *json);

#endif
