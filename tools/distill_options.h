/* The options of pare-distill: what the student is, and what it learns from. */
#ifndef PARE_TOOLS_DISTILL_OPTIONS_H
#define PARE_TOOLS_DISTILL_OPTIONS_H

#include "libdistill/distill.h"
#include "libdistill/student.h"
#include "runtime/base/json.h"
#include "tools/cli.h"

struct distill_options {
    int family; /* index into distill_family_words, -1: not given */
    int layers, hidden, heads, ffn;
    const char *from, *init;
    double hard, soft, cosine, mse, first, relation, attention, temperature;
    const char *map, *relation_blocks;
    int relation_heads, project;
};

extern const char *const distill_family_words[];

/* Entries for a table of options, of the struct that `o` points to. */
#define STUDENT_OPTIONS(o)                                                               \
    PARE_CLI_CHOICE(0, "family", "NAME", &(o)->family, distill_family_words,             \
                    "architecture of the student, distilbert by default"),               \
        PARE_CLI_INT('l', "layers", "N", &(o)->layers, 0, 512,                           \
                     "blocks of the student, 0 for half of the teacher's"),              \
        PARE_CLI_STRING(0, "from", "N,N..", &(o)->from,                                  \
                        "the teacher's blocks to start from, 0 first; evenly spread "    \
                        "from first to last by default"),                                \
        PARE_CLI_INT(0, "ffn", "N", &(o)->ffn, 0, 1 << 18,                               \
                     "feed-forward width, 0 for the teacher's"),                         \
        PARE_CLI_INT(0, "hidden", "N", &(o)->hidden, 0, PARE_MAX_HIDDEN,                 \
                     "hidden width, 0 for the teacher's"),                               \
        PARE_CLI_INT(0, "heads", "N", &(o)->heads, 0, 1024,                              \
                     "attention heads, 0 for heads as wide as the teacher's"),           \
        PARE_CLI_STRING(0, "init", "WHAT", &(o)->init,                                   \
                        "\"teacher\", \"random\", or a container with a student to go "  \
                        "on with")

#define LOSS_OPTIONS(o)                                                                  \
    PARE_CLI_DOUBLE(0, "hard", "W", &(o)->hard, 0, 1e6,                                  \
                    "weight of the cross-entropy with the labels"),                      \
        PARE_CLI_DOUBLE(0, "soft", "W", &(o)->soft, 0, 1e6,                              \
                        "weight of the divergence from the teacher's probabilities"),    \
        PARE_CLI_DOUBLE(0, "temperature", "T", &(o)->temperature, 1e-3, 1e3,             \
                        "temperature of those probabilities"),                           \
        PARE_CLI_DOUBLE(0, "cosine", "W", &(o)->cosine, 0, 1e6,                          \
                        "weight of 1 - cosine of hidden states (DistilBERT)"),           \
        PARE_CLI_DOUBLE(0, "mse", "W", &(o)->mse, 0, 1e6,                                \
                        "weight of the squared distance of hidden states (TinyBERT)"),   \
        PARE_CLI_DOUBLE(0, "first", "W", &(o)->first, 0, 1e6,                            \
                        "weight of that of first tokens' directions (PKD)"),             \
        PARE_CLI_STRING(0, "map", "S:T,..", &(o)->map,                                   \
                        "hidden states to compare, student:teacher, 0 the embedding's; " \
                        "evenly spread by default"),                                     \
        PARE_CLI_FLAG(0, "project", &(o)->project,                                       \
                      "a learned projection between hidden states of equal width too"),  \
        PARE_CLI_DOUBLE(0, "relation", "W", &(o)->relation, 0, 1e6,                      \
                        "weight of the relations of queries, of keys and of values "     \
                        "(MiniLMv2)"),                                                   \
        PARE_CLI_DOUBLE(0, "attention", "W", &(o)->attention, 0, 1e6,                    \
                        "weight of the attention distributions (MiniLM)"),               \
        PARE_CLI_STRING(0, "relation-blocks", "S:T", &(o)->relation_blocks,              \
                        "blocks whose relations are compared; the last ones by "         \
                        "default"),                                                      \
        PARE_CLI_INT(0, "relation-heads", "N", &(o)->relation_heads, 0, 1024,            \
                     "heads to split them into, 0 for the teacher's attention heads")

struct distill_options distill_options_default(void);

/* PARE_ERR_USAGE when an option would do nothing: one of a loss that has no weight, or
 * --from with --init random. */
enum pare_status distill_options_check(const struct distill_options *o,
                                       struct pare_error *err) PARE_CHECKED;

/* Whether a loss that has a weight looks at what the teacher says. */
int distill_options_ask(const struct distill_options *o);

/* The student that is asked for. `from` gets the blocks of --from (PARE_MAX_PAIRS). */
enum pare_status distill_options_student(const struct distill_options *o,
                                         const struct pare_config *teacher,
                                         uint32_t *from,
                                         struct pare_student_options *options,
                                         struct pare_error *err) PARE_CHECKED;

/* PARE_ERR_USAGE when there are options for a new student although --init names a
 * container: that one has its shape, and its family. */
enum pare_status distill_options_go_on(const struct distill_options *o,
                                       const struct pare_config *student,
                                       const struct pare_config *teacher,
                                       struct pare_error *err) PARE_CHECKED;

/* The loss that is asked for. */
enum pare_status distill_options_loss(const struct distill_options *o,
                                      const struct pare_config *student,
                                      const struct pare_config *teacher,
                                      struct pare_distill_options *options,
                                      struct pare_error *err) PARE_CHECKED;

/* Adds what decides the result to `json`, for the container's history and the resume
 * file. 0 when there is no memory. */
int distill_options_history(const struct distill_options *o,
                            const struct pare_distill_options *loss, cJSON *json);

#endif
