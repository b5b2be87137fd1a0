/* What a student learns from: labelled text, more text without labels, and changed copies
 * of all of it for the teacher to label. Options, their defaults and the data, for
 * pare-distill.
 */
#ifndef PARE_TOOLS_TRANSFER_DATA_H
#define PARE_TOOLS_TRANSFER_DATA_H

#include "libdistill/augment.h"
#include "runtime/base/json.h"
#include "tools/train_data.h"

struct transfer_options {
    const char *unlabelled; /* file, or NULL */
    int variants, neighbours;
    double mask, replace, ngram;
};

/* Entries for a table of options, of the struct that `o` points to. */
#define TRANSFER_OPTIONS(o)                                                              \
    PARE_CLI_STRING(0, "unlabelled", "FILE", &(o)->unlabelled,                           \
                    "more text for the teacher to label: a sentence a line, a table or " \
                    "JSON lines"),                                                       \
        PARE_CLI_INT(0, "augment", "N", &(o)->variants, 0, 1000,                         \
                     "changed copies of each sentence for the teacher to label"),        \
        PARE_CLI_DOUBLE(0, "augment-mask", "P", &(o)->mask, 0, 1,                        \
                        "probability that a word of a copy is masked"),                  \
        PARE_CLI_DOUBLE(0, "augment-replace", "P", &(o)->replace, 0, 1,                  \
                        "probability that it becomes a word near to it in the "          \
                        "teacher's embedding"),                                          \
        PARE_CLI_DOUBLE(0, "augment-ngram", "P", &(o)->ngram, 0, 1,                      \
                        "probability that a copy is cut to 1 to 5 words"),               \
        PARE_CLI_INT(0, "augment-neighbours", "K", &(o)->neighbours, 1, 1000,            \
                     "how many near words there are to choose from")

/* No more text, no copies; 15 near words as Jiao et al., "TinyBERT" (2020); the
 * probabilities of pare_augment_options_default. */
struct transfer_options transfer_options_default(void);

/* PARE_ERR_USAGE when there is to be text for the teacher to label: for a run that does
 * not ask it. */
enum pare_status transfer_options_refuse(const struct transfer_options *o,
                                         struct pare_error *err) PARE_CHECKED;

struct transfer_data { /* all zero: none */
    struct train_data unlabelled;
    struct pare_ids ids; /* labelled and unlabelled text behind each other, if both */
    uint64_t *starts;
    int32_t *labels;
    struct pare_augmented augmented;
    /* The labelled text in its order, the unlabelled, then the copies. */
    struct pare_examples examples;
};

/* Makes data->examples. `train` is tokenised already and must outlive `data`;
 * `embeddings` is the teacher's token embedding; the seed is the program's. Free with
 * transfer_data_free, also after a failure. */
enum pare_status transfer_data_make(struct pare_cli *cli,
                                    const struct transfer_options *o,
                                    const struct pare_tokenizer *tokenizer,
                                    const struct pare_weight *embeddings,
                                    size_t max_tokens, const struct train_data *train,
                                    struct transfer_data *data,
                                    struct pare_error *err) PARE_CHECKED;
void transfer_data_free(struct transfer_data *data);

/* Adds the options that were used to `json`, for a container's history. 0 when there is
 * no memory. */
int transfer_options_history(const struct transfer_options *o,
                             const struct transfer_data *data, cJSON *json);

#endif
