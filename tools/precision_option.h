/* --precision: how float products are made, of the programs that run a model. */
#ifndef PARE_TOOLS_PRECISION_OPTION_H
#define PARE_TOOLS_PRECISION_OPTION_H

#include "tools/cli.h"

extern const char *const precision_words[]; /* by enum pare_precision */

/* An entry for a table of options; `value` points to an int. */
#define PRECISION_OPTION(value, help)                                                    \
    PARE_CLI_CHOICE(0, "precision", "P", value, precision_words, help)

#define PRECISION_HELP                                                                   \
    "products of the blocks' linear layers whose weights are floats; bf16 rounds what "  \
    "is multiplied: with AMX fast, and F32 weights take half the memory, slow elsewhere"

#endif
