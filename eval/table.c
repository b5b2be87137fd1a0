#include "eval/table.h"

#include <math.h>
#include <string.h>

#define NAME_WIDTH 18
#define CELL_WIDTH 16

enum unit { BYTES, NUMBER, SHARE, MILLISECONDS };

struct measure {
    const char *key, *name;
    enum unit unit;
    int has_ratio;
};

static const struct measure measures[] = {
    {"size_bytes", "size", BYTES, 1},
    {"download_bytes", "download", BYTES, 1},
    {"memory_bytes", "memory", BYTES, 1},
    {"peak_rss_bytes", "peak RSS", BYTES, 1},
    {"bits_per_weight", "bits per weight", NUMBER, 1},
    {"block_bits_per_weight", "  in blocks", NUMBER, 1},
    {"sparsity", "zeros in blocks", SHARE, 0},
    {"load_ms", "load", MILLISECONDS, 1},
    {"accuracy", "accuracy", SHARE, 1},
    {"f1", "F1", NUMBER, 0},
    {"mcc", "MCC", NUMBER, 0},
};

static const struct measure comparisons[] = {
    {"retention", "retention", SHARE, 0},
    {"agreement", "agreement", SHARE, 0},
    {"kl", "KL (nats)", NUMBER, 0},
    {"mcnemar_p", "McNemar p", NUMBER, 0},
};

/* NaN when it is not there. */
static double number(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static const char *text(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(item) ? item->valuestring : "";
}

static void format(double value, enum unit unit, char out[32])
{
    if (isnan(value))
        snprintf(out, 32, "-");
    else if (unit == BYTES && value < 1e6)
        snprintf(out, 32, "%.1f kB", value / 1e3);
    else if (unit == BYTES)
        snprintf(out, 32, "%.2f MB", value / 1e6);
    else if (unit == SHARE)
        snprintf(out, 32, "%.2f %%", 100 * value);
    else if (unit == MILLISECONDS)
        snprintf(out, 32, "%.2f ms", value);
    else
        snprintf(out, 32, "%.4g", value);
}

static void print_row(FILE *stream, const char *name, double value, double base,
                      enum unit unit, int has_baseline, int has_ratio)
{
    char cell[32];
    format(value, unit, cell);
    fprintf(stream, "  %-*s %*s", NAME_WIDTH, name, CELL_WIDTH, cell);
    if (has_baseline) {
        format(base, unit, cell);
        fprintf(stream, " %*s", CELL_WIDTH, cell);
    }
    if (has_baseline && has_ratio && base > 0 && !isnan(value))
        fprintf(stream, " %8.3fx", value / base);
    fputc('\n', stream);
}

static const cJSON *same_setting(const cJSON *list, const cJSON *setting)
{
    const cJSON *other;
    cJSON_ArrayForEach(other, list)
    {
        if (number(other, "batch") == number(setting, "batch") &&
            number(other, "tokens") == number(setting, "tokens"))
            return other;
    }
    return NULL;
}

static void print_latency(FILE *stream, const cJSON *result, const cJSON *baseline)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(result, "latency"), *setting;
    const cJSON *base = cJSON_GetObjectItemCaseSensitive(baseline, "latency");
    cJSON_ArrayForEach(setting, list)
    {
        char name[48];
        snprintf(name, sizeof name, "p50 %.0fx%.0f", number(setting, "batch"),
                 number(setting, "tokens"));
        print_row(stream, name, number(setting, "p50_ms"),
                  number(same_setting(base, setting), "p50_ms"), MILLISECONDS,
                  baseline != NULL, 1);
    }
}

static void print_profile(FILE *stream, const cJSON *setting)
{
    const cJSON *op, *list = cJSON_GetObjectItemCaseSensitive(setting, "profile");
    if (!list)
        return;
    fprintf(stream, "\n  profile %.0fx%-*.0f %*s %8s %*s\n", number(setting, "batch"),
            NAME_WIDTH - 10, number(setting, "tokens"), CELL_WIDTH, "ms", "share",
            CELL_WIDTH, "G mult.-adds/s");
    cJSON_ArrayForEach(op, list)
    {
        const double ms = number(op, "ms"), macs = number(op, "multiply_adds");
        fprintf(stream, "  %-*s %*.3f %6.1f %%", NAME_WIDTH, text(op, "op"), CELL_WIDTH,
                ms, 100 * number(op, "share"));
        if (macs > 0 && ms > 0)
            fprintf(stream, " %*.1f", CELL_WIDTH, macs / ms * 1e-6);
        fputc('\n', stream);
    }
}

void pare_result_print_table(FILE *stream, const cJSON *result)
{
    const cJSON *baseline = cJSON_GetObjectItemCaseSensitive(result, "baseline");
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(result, "model");
    const cJSON *of = cJSON_GetObjectItemCaseSensitive(baseline, "model");
    fprintf(stream, "  %-*s %*s", NAME_WIDTH, "", CELL_WIDTH, text(model, "name"));
    if (baseline)
        fprintf(stream, " %*s %9s", CELL_WIDTH, text(of, "name"), "ratio");
    fputc('\n', stream);
    for (size_t i = 0; i < sizeof measures / sizeof *measures; i++)
        if (!isnan(number(result, measures[i].key)))
            print_row(stream, measures[i].name, number(result, measures[i].key),
                      number(baseline, measures[i].key), measures[i].unit,
                      baseline != NULL, measures[i].has_ratio);
    if (!isnan(number(result, "accuracy_low")))
        fprintf(stream, "  %-*s %7.2f to %.2f %%\n", NAME_WIDTH, "  95 % interval",
                100 * number(result, "accuracy_low"),
                100 * number(result, "accuracy_high"));
    for (size_t i = 0; i < sizeof comparisons / sizeof *comparisons; i++)
        if (!isnan(number(result, comparisons[i].key)))
            print_row(stream, comparisons[i].name, number(result, comparisons[i].key),
                      NAN, comparisons[i].unit, 0, 0);
    print_latency(stream, result, baseline);
    const cJSON *setting, *list = cJSON_GetObjectItemCaseSensitive(result, "latency");
    cJSON_ArrayForEach(setting, list) print_profile(stream, setting);
}
