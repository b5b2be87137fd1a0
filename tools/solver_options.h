/* How codes are chosen: the options of pare-quantize for its solvers. */
#ifndef PARE_TOOLS_SOLVER_OPTIONS_H
#define PARE_TOOLS_SOLVER_OPTIONS_H

#include "libquant/factor.h"
#include "runtime/base/json.h"
#include "tools/cli.h"

enum solver { SOLVER_RTN, SOLVER_WEIGHTED, SOLVER_GPTQ };

struct solver_options {
    int solver; /* enum solver, -1: not given */
    int order;  /* enum pare_order + 1; 0: what is best for the format */
    int passes;
    double damping, correct;
    int sequential;
};

extern const char *const solver_names[];
extern const char *const solver_orders[];

/* Entries for a table of options, of the struct that `o` points to. */
#define SOLVER_OPTIONS(o)                                                                \
    PARE_CLI_CHOICE(0, "solver", "NAME", &(o)->solver, solver_names,                     \
                    "how codes are chosen: rtn, the nearest; weighted, the nearest in "  \
                    "grids that suit weights by their inputs' squares on the "           \
                    "calibration text; or gptq, so that outputs on it change little; "   \
                    "gptq when there is one"),                                           \
        PARE_CLI_CHOICE(0, "act-order", "HOW", &(o)->order, solver_orders,               \
                        "gptq: which weights of a row come first: off, as they are; "    \
                        "groups, large inputs first, a whole group at a time; all, "     \
                        "large inputs first, with grids found before; auto, all from "   \
                        "4 bits on, else and in super-blocks groups"),                   \
        PARE_CLI_INT(0, "passes", "N", &(o)->passes, 0, 100,                             \
                     "gptq: how often the codes it chose are gone through again, each "  \
                     "for what the others around it became"),                            \
        PARE_CLI_DOUBLE(0, "damping", "X", &(o)->damping, 0, 100,                        \
                        "gptq: added to the second moments of the inputs, of the mean "  \
                        "of their diagonal"),                                            \
        PARE_CLI_DOUBLE(0, "correct", "X", &(o)->correct, 0, 1,                          \
                        "gptq: how far weights are changed to make up for what the "     \
                        "quantised layers before did to their inputs: 0 not at all, 1 "  \
                        "all the way"),                                                  \
        PARE_CLI_FLAG(0, "sequential", &(o)->sequential,                                 \
                      "gptq: the layers of a block one after the other, each for "       \
                      "inputs that the quantised ones before it make")

struct solver_options solver_options_default(void);

/* Fills in the solver; `calibrated`: there is a calibration text; `inputs`: it is for the
 * inputs as well. PARE_ERR_USAGE for options that go without a use. */
enum pare_status solver_options_check(const struct solver_options *o, int calibrated,
                                      int inputs, enum solver *solver,
                                      struct pare_error *err) PARE_CHECKED;

/* How far weights are corrected: not at all unless the solver is GPTQ. */
double solver_options_correction(const struct solver_options *o);

/* Adds the options to `json`, for a container's history. 0 when there is no memory. */
int solver_options_history(const struct solver_options *o, cJSON *json);

#endif
