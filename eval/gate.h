/* Requirements on a result: "size<=0.5x", "accuracy>=0.88", "latency[1x64]<=12ms".
 *
 *     requirement = quantity ["[" batch "x" tokens "]"] operator number [unit]
 *     quantity    = size | download | memory | load | rss | bits | blockbits | sparsity
 *                 | accuracy | f1 | mcc | retention | agreement | kl | mcnemar | latency
 *                 | p90 | p99
 *     operator    = <= | >= | < | >
 *     unit        = x                                  times the baseline's value
 *                 | B | kB | MB | GB | KiB | MiB | GiB    of size, download, memory, rss
 *                 | us | ms | s                        of load, latency, p90, p99
 *                 | %                                  of shares
 *
 * Without a unit: bytes, milliseconds, a share of 0 to 1. `latency` is the median (p50);
 * without a setting in brackets the result's first one counts. Blanks are allowed around
 * each part. What was not measured does not pass. */
#ifndef PARE_EVAL_GATE_H
#define PARE_EVAL_GATE_H

#include "eval/report_model.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_gate_operator { PARE_GATE_LE, PARE_GATE_GE, PARE_GATE_LT, PARE_GATE_GT };

struct pare_gate {
    char text[96]; /* as it was given; printable ASCII */
    enum pare_quantity quantity;
    uint64_t batch, tokens; /* 0: the result's first setting */
    enum pare_gate_operator op;
    int relative;     /* `bound` is times the baseline */
    double bound;     /* else in the result file's unit */
    double scale;     /* that unit's size in the result file's unit: 1e6 for MB */
    const char *unit; /* "MB"; what the found value is shown in */
};

/* PARE_ERR_USAGE with the reason and the grammar. */
enum pare_status pare_gate_parse(const char *text, struct pare_gate *out,
                                 struct pare_error *err) PARE_CHECKED;

struct pare_verdict {
    int pass;
    double found;         /* in the unit of `bound`; NAN: not measured */
    char found_text[128]; /* with as many digits as show the verdict; no-break spaces */
};

/* `baseline` is NULL when the result has none. Values count as equal to the bound within
 * the precision of the result file: 1e-9 for shares, 1e-12 for all others, relatively. */
void pare_gate_check(const struct pare_gate *gate, const struct pare_report_model *model,
                     const struct pare_report_model *baseline, struct pare_verdict *out);

#ifdef __cplusplus
}
#endif
#endif
