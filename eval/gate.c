#include "eval/gate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- parsing ------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum pare_unit of;
    double scale; /* in bytes, milliseconds, shares */
} units[] = {
    {"B", PARE_UNIT_BYTES, 1},
    {"kB", PARE_UNIT_BYTES, 1e3},
    {"KB", PARE_UNIT_BYTES, 1e3},
    {"MB", PARE_UNIT_BYTES, 1e6},
    {"GB", PARE_UNIT_BYTES, 1e9},
    {"KiB", PARE_UNIT_BYTES, 1024},
    {"MiB", PARE_UNIT_BYTES, 1024.0 * 1024},
    {"GiB", PARE_UNIT_BYTES, 1024.0 * 1024 * 1024},
    {"us", PARE_UNIT_MS, 1e-3},
    {"ms", PARE_UNIT_MS, 1},
    {"s", PARE_UNIT_MS, 1e3},
    {"%", PARE_UNIT_SHARE, 1e-2},
};
#define UNITS (sizeof units / sizeof *units)

static const char *const operators[] = {"<=", ">=", "<", ">"};

static enum pare_status refuse(const char *text, const char *reason,
                               struct pare_error *err)
{
    return pare_fail(
        err, PARE_ERR_USAGE,
        "requirement '%.60s': %s; write QUANTITY[BxT] OPERATOR NUMBER[UNIT]: quantity "
        "size download memory load rss bits blockbits sparsity accuracy f1 mcc "
        "retention agreement kl mcnemar latency p90 p99, the setting [batch x tokens] "
        "with the last three only; "
        "operator <= >= < >; unit x (times the baseline) B kB MB GB KiB MiB GiB us ms s "
        "%%. Example: latency[1x64]<=0.5x",
        text, reason);
}

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " ");
}

static const char *parse_quantity(const char *at, struct pare_gate *out)
{
    size_t length = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789");
    for (int q = 0; q < PARE_QUANTITIES; q++) {
        const char *name = pare_quantity_info(q)->name;
        if (name && strlen(name) == length && !strncmp(at, name, length)) {
            out->quantity = q;
            return skip_blanks(at + length);
        }
    }
    return NULL;
}

static const char *parse_count(const char *at, uint64_t *out)
{
    size_t digits = strspn(at, "0123456789");
    *out = 0;
    for (size_t i = 0; i < digits; i++)
        *out = *out * 10 + (uint64_t)(at[i] - '0');
    return digits && digits < 10 && *out ? at + digits : NULL;
}

/* "[1x64]", or nothing. */
static const char *parse_setting(const char *at, struct pare_gate *out)
{
    if (*at != '[')
        return at;
    at = parse_count(at + 1, &out->batch);
    if (!at || *at != 'x')
        return NULL;
    at = parse_count(at + 1, &out->tokens);
    return at && *at == ']' ? skip_blanks(at + 1) : NULL;
}

static const char *parse_operator(const char *at, struct pare_gate *out)
{
    for (int i = 0; i < 4; i++) {
        size_t length = strlen(operators[i]);
        if (!strncmp(at, operators[i], length)) {
            out->op = i;
            return skip_blanks(at + length);
        }
    }
    return NULL;
}

/* strtod alone would take "inf", "nan" and hexadecimal. */
static const char *parse_number(const char *at, double *out)
{
    char *end;
    *out = strtod(at, &end);
    size_t length = (size_t)(end - at);
    if (!length || strspn(at, "0123456789.eE+-") < length || !isfinite(*out))
        return NULL;
    return skip_blanks(end);
}

/* NULL, or why the unit does not fit. */
static const char *set_unit(const char *word, struct pare_gate *out)
{
    const struct pare_quantity_info *info = pare_quantity_info(out->quantity);
    static const char *const plain[] = {"", "B", "ms", ""};
    out->unit = plain[info->unit];
    out->scale = 1;
    if (!*word)
        return NULL;
    if (!strcmp(word, "x")) {
        out->relative = 1;
        out->unit = "x";
        return info->has_ratio ? NULL
                               : "this quantity compares with the baseline already, so "
                                 "it takes no x";
    }
    for (size_t i = 0; i < UNITS; i++) {
        if (strcmp(word, units[i].name))
            continue;
        if (units[i].of != info->unit)
            return "the unit does not fit the quantity";
        out->unit = units[i].name;
        out->scale = units[i].scale;
        out->bound *= units[i].scale;
        return NULL;
    }
    return "unknown unit";
}

/* NULL, or why no result could be meant. */
static const char *check_bound(const struct pare_gate *gate)
{
    const struct pare_quantity_info *info = pare_quantity_info(gate->quantity);
    if (gate->relative)
        return gate->bound >= 0 ? NULL : "a ratio is not negative";
    if (info->unit == PARE_UNIT_SHARE && gate->bound > (info->max > 1 ? 10 : 1))
        return "a share is 0 to 1, or 0 % to 100 %";
    if (gate->bound < info->min || gate->bound > info->max)
        return "no such value is possible";
    return NULL;
}

enum pare_status pare_gate_parse(const char *text, struct pare_gate *out,
                                 struct pare_error *err)
{
    memset(out, 0, sizeof *out);
    const char *at = skip_blanks(text);
    if (strlen(text) >= sizeof out->text)
        return refuse(text, "too long", err);
    at = parse_quantity(at, out);
    if (!at)
        return refuse(text, "unknown quantity", err);
    if (*at == '[' && out->quantity < PARE_QUANTITY_FIRST_LATENCY)
        return refuse(text, "this quantity has no setting", err);
    at = parse_setting(at, out);
    if (!at)
        return refuse(text, "a setting looks like [1x64]", err);
    at = parse_operator(at, out);
    if (!at)
        return refuse(text, "expected <= >= < or >", err);
    at = parse_number(at, &out->bound);
    if (!at)
        return refuse(text, "expected a number", err);
    char word[8] = "";
    size_t length = strcspn(at, " ");
    if (length >= sizeof word || *skip_blanks(at + length))
        return refuse(text, "unknown unit", err);
    memcpy(word, at, length);
    const char *reason = set_unit(word, out);
    if (!reason)
        reason = check_bound(out);
    if (reason)
        return refuse(text, reason, err);
    snprintf(out->text, sizeof out->text, "%s", text);
    return PARE_OK;
}

/* ---- checking ------------------------------------------------------------------ */

static int holds(const struct pare_gate *gate, double found)
{
    int is_share = pare_quantity_info(gate->quantity)->unit == PARE_UNIT_SHARE;
    double slack = (is_share ? 1e-9 : 1e-12) * fabs(gate->bound);
    switch (gate->op) {
    case PARE_GATE_LE: return found <= gate->bound + slack;
    case PARE_GATE_GE: return found >= gate->bound - slack;
    case PARE_GATE_LT: return found < gate->bound - slack;
    default: return found > gate->bound + slack;
    }
}

static double value_of(const struct pare_gate *gate,
                       const struct pare_report_model *model,
                       const struct pare_report_latency *setting)
{
    if (gate->quantity < PARE_QUANTITY_FIRST_LATENCY)
        return model->values[gate->quantity];
    return setting ? setting->ms[gate->quantity - PARE_QUANTITY_FIRST_LATENCY] : NAN;
}

/* With so many digits that a reader comes to the same verdict: 0.5004 rather than a 0.500
 * that failed. */
static void show(const struct pare_gate *gate, double found, int pass, char *out,
                 size_t size)
{
    double unit = gate->relative ? 1 : gate->scale;
    int whole_bytes = !strcmp(gate->unit, "B");
    for (int decimals = whole_bytes ? 0 : 3; decimals <= 15; decimals++) {
        snprintf(out, size, "%.*f", decimals, found / unit);
        if (holds(gate, strtod(out, NULL) * unit) == pass)
            break;
    }
    size_t length = strlen(out);
    snprintf(out + length, size - length, "%s%s",
             *gate->unit && !gate->relative ? "\xC2\xA0" : "", gate->unit);
}

static void check_absolute(const struct pare_gate *gate, double value,
                           struct pare_verdict *out)
{
    out->found = value;
    out->pass = holds(gate, value);
    show(gate, value, out->pass, out->found_text, sizeof out->found_text);
}

static void check_relative(const struct pare_gate *gate, double value, double base,
                           struct pare_verdict *out)
{
    enum pare_unit unit = pare_quantity_info(gate->quantity)->unit;
    char ratio[48], a[PARE_VALUE_SIZE], b[PARE_VALUE_SIZE];
    out->found = value / base;
    out->pass = holds(gate, out->found);
    show(gate, out->found, out->pass, ratio, sizeof ratio);
    snprintf(out->found_text, sizeof out->found_text, "%s (%s of\xC2\xA0%s)", ratio,
             pare_unit_format(unit, value, a), pare_unit_format(unit, base, b));
}

void pare_gate_check(const struct pare_gate *gate, const struct pare_report_model *model,
                     const struct pare_report_model *baseline, struct pare_verdict *out)
{
    const struct pare_report_latency *setting = NULL, *same = NULL;
    if (gate->quantity >= PARE_QUANTITY_FIRST_LATENCY)
        setting = pare_report_latency_find(model, gate->batch, gate->tokens, 0);
    if (setting && baseline)
        same = pare_report_latency_find(baseline, setting->batch, setting->tokens,
                                        setting->threads);
    double value = value_of(gate, model, setting);
    double base = baseline ? value_of(gate, baseline, same) : NAN;
    *out = (struct pare_verdict){.found = NAN};
    if (isnan(value))
        snprintf(out->found_text, sizeof out->found_text, PARE_NOT_MEASURED);
    else if (!gate->relative)
        check_absolute(gate, value, out);
    else if (base > 0)
        check_relative(gate, value, base, out);
    else
        snprintf(out->found_text, sizeof out->found_text,
                 !baseline     ? PARE_NOT_MEASURED " (the result has no baseline)"
                 : isnan(base) ? PARE_NOT_MEASURED " for the baseline"
                               : PARE_NOT_MEASURED " (the baseline's value is not "
                                                   "positive)");
}
