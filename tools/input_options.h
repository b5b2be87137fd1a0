/* What is done about the inputs of linear layers: options of pare-quantize. */
#ifndef PARE_TOOLS_INPUT_OPTIONS_H
#define PARE_TOOLS_INPUT_OPTIONS_H

#include "libquant/observer.h"
#include "libquant/smooth.h"
#include "runtime/base/json.h"
#include "tools/cli.h"

struct input_options {
    /* off, auto, smoothquant, awq or an exponent; NULL: auto with static ranges, for
     * which it did much (docs/RESULTS.md), else off */
    const char *smooth;
    int is_static; /* index of input_activations */
    int observer;  /* enum pare_observer, -1: not given */
    int correct_bias;
};

extern const char *const input_activations[]; /* dynamic, static */
extern const char *const input_observers[];

/* Entries for a table of options, of the struct that `o` points to. */
#define INPUT_OPTIONS(o)                                                                 \
    PARE_CLI_STRING(                                                                     \
        0, "smooth", "HOW", &(o)->smooth,                                                \
        "move what is hard to quantise between inputs and weights of each "              \
        "layer by factors: off; smoothquant or awq, with the exponent that "             \
        "measures best, if it is better than none; auto, the best of both; "             \
        "a number from 0 to 1, SmoothQuant with that exponent; not given: auto "         \
        "with --activations static, else off"),                                          \
        PARE_CLI_CHOICE(0, "activations", "HOW", &(o)->is_static, input_activations,     \
                        "int8: the range that inputs are quantised to: dynamic, each "   \
                        "token's own; static, one for each layer, from the calibration " \
                        "text"),                                                         \
        PARE_CLI_CHOICE(0, "observer", "NAME", &(o)->observer, input_observers,          \
                        "how static ranges are found; mse when not given"),              \
        PARE_CLI_FLAG(0, "bias-correction", &(o)->correct_bias,                          \
                      "add to biases what quantised weights take from a layer's mean "   \
                      "outputs on the calibration text")

struct input_options input_options_default(void);

enum pare_observer input_options_observer(const struct input_options *o);

/* Whether anything is to be done. */
int input_options_any(const struct input_options *o);

/* The candidates of --smooth, no smoothing first; *n is 0 when it is off. `fixed`: the
 * second of two is to be taken, whatever is measured. PARE_ERR_USAGE for another word. */
#define INPUT_CANDIDATES 24
enum pare_status
input_options_candidates(const struct input_options *o,
                         struct pare_smooth_choice candidates[INPUT_CANDIDATES],
                         size_t *n, int *fixed, struct pare_error *err) PARE_CHECKED;

/* PARE_ERR_USAGE for options that go without a use; `calibrated`: there is a text. */
enum pare_status input_options_check(const struct input_options *o, int calibrated,
                                     struct pare_error *err) PARE_CHECKED;

/* Adds the options to `json`, for a container's history. 0 when there is no memory. */
int input_options_history(const struct input_options *o, cJSON *json);

#endif
