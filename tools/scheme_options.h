/* The options that say how a container's matrices are stored, which pare-quantize and the
 * programs that train for a format share.
 */
#ifndef PARE_TOOLS_SCHEME_OPTIONS_H
#define PARE_TOOLS_SCHEME_OPTIONS_H

#include "libquant/scheme.h"
#include "runtime/base/json.h"
#include "tools/cli.h"

struct scheme_options {
    int scheme, embeddings; /* enum pare_scheme, -1: not given */
    int group_size;         /* -1: not given */
    int asymmetric;
    struct pare_cli_list skip, override;
    int strict;
    int scale_format; /* of scale_formats; not of SCHEME_OPTIONS */
};

/* Entries for a table of options, of the struct that `o` points to; the scheme itself has
 * another name in each program. */
#define SCHEME_OPTIONS(o)                                                                \
    PARE_CLI_CHOICE(0, "embeddings", "SCHEME", &(o)->embeddings, pare_scheme_names,      \
                    "that of the token and position embeddings, when it is another"),    \
        PARE_CLI_INT(0, "group-size", "N", &(o)->group_size, 0, PARE_GROUP_MOST,         \
                     "weights that share a scale in int2 to int7, int8g and ternary: a " \
                     "multiple of 32, or 0 for a whole row (ternary: the whole "         \
                     "tensor); 32 when not given (ternary: 0); int8 as the main "        \
                     "scheme becomes int8g with N above 0"),                             \
        PARE_CLI_FLAG(0, "asymmetric", &(o)->asymmetric,                                 \
                      "store a zero point beside each scale of int2 to int7 and "        \
                      "int8g; int8 as the main scheme becomes int8g with it"),           \
        PARE_CLI_STRINGS(0, "override", "GLOB=SCHEME", &(o)->override,                   \
                         "that of the tensors whose names match; the last match "        \
                         "counts"),                                                      \
        PARE_CLI_STRINGS(0, "skip", "GLOB", &(o)->skip,                                  \
                         "leave the tensors whose names match as they are"),             \
        PARE_CLI_FLAG(0, "strict", &(o)->strict,                                         \
                      "fail when a tensor's rows do not fit the blocks of its scheme, "  \
                      "instead of storing it as q8_0, q4_1 or q4_0 (super-blocks of "    \
                      "256) or as f16")

extern const char *const scale_formats[];

struct scheme_options scheme_options_default(void);
/* The main scheme: that of codes for INT8 with a group size or zero points. */
enum pare_scheme scheme_options_scheme(const struct scheme_options *o);

/* PARE_ERR_USAGE for what no model could make right; the programs call it before they
 * read one. */
enum pare_status scheme_options_check(const struct scheme_options *o,
                                      struct pare_error *err) PARE_CHECKED;

/* *items [plan->count], from the arena, for matrices that are stored as `now` says.
 * PARE_ERR_USAGE also for options that no tensor has a use for. */
enum pare_status scheme_options_decide(const struct scheme_options *o,
                                       const struct pare_plan *plan,
                                       const struct pare_weight *now,
                                       struct pare_arena *arena,
                                       struct pare_scheme_item **items,
                                       struct pare_error *err) PARE_CHECKED;

/* What the options were of use for. */
struct scheme_options_use {
    int groups, scales;
};
/* The same for another scheme than o->scheme, without an error for options that are of no
 * use: adds to *use what they are. */
enum pare_status
scheme_options_items(const struct scheme_options *o, enum pare_scheme scheme,
                     const struct pare_plan *plan, const struct pare_weight *now,
                     struct pare_arena *arena, struct pare_scheme_item **items,
                     struct scheme_options_use *use, struct pare_error *err) PARE_CHECKED;
enum pare_status scheme_options_check_use(const struct scheme_options *o,
                                          const struct scheme_options_use *use,
                                          struct pare_error *err) PARE_CHECKED;

/* "GLOB=VALUE" of --override: the last "=" separates. PARE_ERR_USAGE saying what was
 * `expected`. */
enum pare_status scheme_options_split(const char *text, const char *expected,
                                      struct pare_arena *arena, const char **glob,
                                      const char **value,
                                      struct pare_error *err) PARE_CHECKED;

/* Adds the options to `json`, for a container's history. 0 when there is no memory. */
int scheme_options_history(const struct scheme_options *o, cJSON *json);

#endif
