/* --precision: how float products are made, of the programs that run a model. */
#ifndef PARE_TOOLS_PRECISION_OPTION_H
#define PARE_TOOLS_PRECISION_OPTION_H

#include "tools/cli.h"

extern const char *const precision_words[]; /* by enum pare_precision */

/* An entry for a table of options; `value` points to an int. */
#define PRECISION_OPTION(value, help)                                                    \
    PARE_CLI_CHOICE(0, "precision", "P", value, precision_words, help)

#define PRECISION_HELP                                                                   \
    "products that are not those of integers; bf16 rounds what is multiplied and packs " \
    "weights in half the memory, fast where the CPU has AMX, slow elsewhere"

#endif
