/* Pruning whole parts of a model: attention heads, feed-forward neurons, blocks, tokens.
 * What comes out is a smaller ordinary container.
 */
#ifndef PARE_TOOLS_PRUNE_STRUCTURE_H
#define PARE_TOOLS_PRUNE_STRUCTURE_H

#include "tools/calibration.h"

enum structure_characters { STRUCTURE_CHARACTERS_ALL, STRUCTURE_CHARACTERS_USED };
extern const char *const structure_characters[];

struct structure_options { /* all zero: nothing is asked for */
    int heads, ffn;
    const char *layers; /* or NULL */
    struct pare_cli_list vocab;
    int vocab_min_count; /* 0: not given */
    int vocab_characters;
    int no_compensation;
};

/* Entries for a table of options, of the struct that `o` points to. */
#define STRUCTURE_OPTIONS(o)                                                             \
    PARE_CLI_INT(0, "heads", "N", &(o)->heads, 1, 1024,                                  \
                 "attention heads that stay of each block, as wide as they are"),        \
        PARE_CLI_INT(0, "ffn", "N", &(o)->ffn, 1, 1 << 18,                               \
                     "feed-forward neurons that stay of each block"),                    \
        PARE_CLI_STRING(0, "layers", "N|LIST", &(o)->layers,                             \
                        "blocks that stay: these (0,2,3,5), or so many: with "           \
                        "--calibration without those that change the predictions "       \
                        "least, else evenly spread"),                                    \
        PARE_CLI_STRINGS(                                                                \
            0, "vocab-of", "FILE", &(o)->vocab,                                          \
            "tokens that stay: those of this text, special and added ones, "             \
            "and single characters"),                                                    \
        PARE_CLI_INT(0, "vocab-min-count", "N", &(o)->vocab_min_count, 1, INT32_MAX,     \
                     "and of the text's only those that are there N times; 1 when not "  \
                     "given"),                                                           \
        PARE_CLI_CHOICE(0, "vocab-characters", "WHICH", &(o)->vocab_characters,          \
                        structure_characters,                                            \
                        "single characters that stay: all, so that no word becomes "     \
                        "unknown for want of them, or those used"),                      \
        PARE_CLI_FLAG(0, "no-compensation", &(o)->no_compensation,                       \
                      "leave the weights that read what stays as they are")

/* The options of pruning in any form. */
struct structure_common {
    const struct calibration_options *calibration;
    double damping, correct;
    int strict, dry_run;
    const char *json; /* or NULL */
};

/* The first option that was given, or NULL: nothing is asked for. */
const char *structure_option_given(const struct structure_options *o);

/* The whole of a run. PARE_ERR_USAGE also for options that have no use. */
enum pare_status structure_run(struct pare_cli *cli, const struct structure_options *o,
                               const struct structure_common *common,
                               struct pare_error *err) PARE_CHECKED;

#endif
