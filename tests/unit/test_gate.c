#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/gate.h"

static struct pare_error err;

/* A model with every value NAN; the caller sets what it needs. */
static struct pare_report_model blank(struct pare_report_latency *latency, size_t count)
{
    struct pare_report_model model = {.latency = latency, .n_latency = count};
    for (int q = 0; q < PARE_QUANTITY_FIRST_LATENCY; q++)
        model.values[q] = NAN;
    return model;
}

static struct pare_gate parsed(const char *text)
{
    struct pare_gate gate;
    cr_assert_eq(pare_gate_parse(text, &gate, &err), PARE_OK, "%s: %s", text,
                 err.message);
    return gate;
}

Test(gate, every_part_of_the_grammar_is_understood)
{
    static const struct {
        const char *text;
        enum pare_quantity quantity;
        enum pare_gate_operator op;
        int relative;
        double bound;
        uint64_t batch, tokens;
    } cases[] = {
        {"size<=0.5x", PARE_QUANTITY_SIZE, PARE_GATE_LE, 1, 0.5, 0, 0},
        {"size<70MB", PARE_QUANTITY_SIZE, PARE_GATE_LT, 0, 70e6, 0, 0},
        {"size<70000000", PARE_QUANTITY_SIZE, PARE_GATE_LT, 0, 70e6, 0, 0},
        {"download<=0.1x", PARE_QUANTITY_DOWNLOAD, PARE_GATE_LE, 1, 0.1, 0, 0},
        {"download<9MB", PARE_QUANTITY_DOWNLOAD, PARE_GATE_LT, 0, 9e6, 0, 0},
        {"blockbits<=3.2", PARE_QUANTITY_BLOCK_BITS, PARE_GATE_LE, 0, 3.2, 0, 0},
        {"sparsity>=50%", PARE_QUANTITY_SPARSITY, PARE_GATE_GE, 0, 0.5, 0, 0},
        {"memory <= 64 MiB", PARE_QUANTITY_MEMORY, PARE_GATE_LE, 0, 67108864, 0, 0},
        {"rss<=1GB", PARE_QUANTITY_RSS, PARE_GATE_LE, 0, 1e9, 0, 0},
        {"rss<=1GiB", PARE_QUANTITY_RSS, PARE_GATE_LE, 0, 1073741824, 0, 0},
        {"size<=5KB", PARE_QUANTITY_SIZE, PARE_GATE_LE, 0, 5000, 0, 0},
        {"size<=5kB", PARE_QUANTITY_SIZE, PARE_GATE_LE, 0, 5000, 0, 0},
        {"size<=5KiB", PARE_QUANTITY_SIZE, PARE_GATE_LE, 0, 5120, 0, 0},
        {"load<=1.5s", PARE_QUANTITY_LOAD, PARE_GATE_LE, 0, 1500, 0, 0},
        {"load<=20", PARE_QUANTITY_LOAD, PARE_GATE_LE, 0, 20, 0, 0},
        {"bits<=4.6", PARE_QUANTITY_BITS, PARE_GATE_LE, 0, 4.6, 0, 0},
        {"accuracy>=0.88", PARE_QUANTITY_ACCURACY, PARE_GATE_GE, 0, 0.88, 0, 0},
        {"accuracy>=88%", PARE_QUANTITY_ACCURACY, PARE_GATE_GE, 0, 0.88, 0, 0},
        {"accuracy>=0.9x", PARE_QUANTITY_ACCURACY, PARE_GATE_GE, 1, 0.9, 0, 0},
        {"f1>.5", PARE_QUANTITY_F1, PARE_GATE_GT, 0, 0.5, 0, 0},
        {"mcc>=-0.1", PARE_QUANTITY_MCC, PARE_GATE_GE, 0, -0.1, 0, 0},
        {"retention>=99%", PARE_QUANTITY_RETENTION, PARE_GATE_GE, 0, 0.99, 0, 0},
        {"retention>=1.01", PARE_QUANTITY_RETENTION, PARE_GATE_GE, 0, 1.01, 0, 0},
        {"agreement>=0.97", PARE_QUANTITY_AGREEMENT, PARE_GATE_GE, 0, 0.97, 0, 0},
        {"kl<=5e-2", PARE_QUANTITY_KL, PARE_GATE_LE, 0, 0.05, 0, 0},
        {"mcnemar>0.05", PARE_QUANTITY_MCNEMAR, PARE_GATE_GT, 0, 0.05, 0, 0},
        {"latency<=12ms", PARE_QUANTITY_P50, PARE_GATE_LE, 0, 12, 0, 0},
        {"latency<=800us", PARE_QUANTITY_P50, PARE_GATE_LE, 0, 0.8, 0, 0},
        {"latency[1x64]<=0.5x", PARE_QUANTITY_P50, PARE_GATE_LE, 1, 0.5, 1, 64},
        {" p90 [8x64] < 3 s ", PARE_QUANTITY_P90, PARE_GATE_LT, 0, 3000, 8, 64},
        {"p99[16x512]>=1x", PARE_QUANTITY_P99, PARE_GATE_GE, 1, 1, 16, 512},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pare_gate gate = parsed(cases[i].text);
        cr_expect_eq(gate.quantity, cases[i].quantity, "%s", cases[i].text);
        cr_expect_eq(gate.op, cases[i].op, "%s", cases[i].text);
        cr_expect_eq(gate.relative, cases[i].relative, "%s", cases[i].text);
        cr_expect_lt(fabs(gate.bound - cases[i].bound), 1e-12 * fabs(cases[i].bound),
                     "%s: %.17g", cases[i].text, gate.bound);
        cr_expect(gate.batch == cases[i].batch && gate.tokens == cases[i].tokens, "%s",
                  cases[i].text);
        cr_expect_str_eq(gate.text, cases[i].text);
    }
}

Test(gate, everything_else_is_a_usage_error_with_the_grammar)
{
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"", "unknown quantity"},
        {"speed<=1", "unknown quantity"},
        {"Size<=1", "unknown quantity"},
        {"sizes<=1", "unknown quantity"},
        {"accuracy_low>=0.5", "expected <="},
        {"size", "expected <="},
        {"size=1", "expected <="},
        {"size=<1", "expected <="},
        {"size<=", "expected a number"},
        {"size<=x", "expected a number"},
        {"size<=nan", "expected a number"},
        {"size<=inf", "expected a number"},
        {"size<=1e999", "expected a number"},
        {"size<=0x10", "expected a number"},
        {"size<==1", "expected a number"},
        {"size<=1TB", "unknown unit"},
        {"size<=1 M B", "unknown unit"},
        {"size<=1mb", "unknown unit"},
        {"size<=1x,accuracy>=1x", "unknown unit"},
        {"size<=5ms", "does not fit"},
        {"size<=50%", "does not fit"},
        {"latency<=5MB", "does not fit"},
        {"bits<=4MB", "does not fit"},
        {"size<=-1", "no such value"},
        {"size<=-1x", "not negative"},
        {"mcc>=-2", "no such value"},
        {"accuracy>=88", "a share is"},
        {"accuracy>=101%", "a share is"},
        {"retention>=99", "a share is"},
        {"retention>=0.9x", "takes no x"},
        {"kl<=1x", "takes no x"},
        {"agreement>=1x", "takes no x"},
        {"mcnemar>=1x", "takes no x"},
        {"size[1x64]<=1x", "has no setting"},
        {"latency[64]<=1x", "a setting looks like"},
        {"latency[0x64]<=1x", "a setting looks like"},
        {"latency[1x64<=1x", "a setting looks like"},
        {"latency[1x9999999999]<=1x", "a setting looks like"},
        {"latency[ 1x64]<=1x", "a setting looks like"},
    };
    struct pare_gate gate;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_eq(pare_gate_parse(cases[i].text, &gate, &err), PARE_ERR_USAGE, "%s",
                     cases[i].text);
        cr_expect(strstr(err.message, cases[i].reason), "%s: %s", cases[i].text,
                  err.message);
        cr_expect(strstr(err.message, "latency[1x64]<=0.5x"), "cut: %s", err.message);
    }
    char longest[200];
    memset(longest, ' ', sizeof longest);
    memcpy(longest + sizeof longest - 8, "size<=1", 8);
    cr_expect_eq(pare_gate_parse(longest, &gate, &err), PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "latency[1x64]<=0.5x"), "cut: %s", err.message);
}

static struct pare_verdict check(const char *text, const struct pare_report_model *model,
                                 const struct pare_report_model *baseline)
{
    struct pare_gate gate = parsed(text);
    struct pare_verdict verdict;
    pare_gate_check(&gate, model, baseline, &verdict);
    return verdict;
}

Test(gate, verdicts_follow_the_operator_also_on_the_bound_itself)
{
    struct pare_report_model model = blank(NULL, 0), base = blank(NULL, 0);
    model.values[PARE_QUANTITY_SIZE] = 50;
    base.values[PARE_QUANTITY_SIZE] = 100;
    static const struct {
        const char *text;
        int pass;
    } cases[] = {
        {"size<=0.5x", 1},   {"size>=0.5x", 1},  {"size<0.5x", 0},  {"size>0.5x", 0},
        {"size<=0.49x", 0},  {"size>=0.51x", 0}, {"size<0.51x", 1}, {"size>0.49x", 1},
        {"size<=50", 1},     {"size<50", 0},     {"size<=49", 0},   {"size>49B", 1},
        {"size<=0.05kB", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(check(cases[i].text, &model, &base).pass, cases[i].pass, "%s",
                     cases[i].text);
}

Test(gate, rounding_decides_nothing)
{
    struct pare_report_model model = blank(NULL, 0), base = blank(NULL, 0);
    /* Nine digits of 0.9 * 0.91 / 0.91 and the like. */
    for (int i = 1; i <= 1000; i++) {
        base.values[PARE_QUANTITY_ACCURACY] = i / 1000.0;
        model.values[PARE_QUANTITY_ACCURACY] = i * 0.9 / 1000.0;
        cr_expect(check("accuracy>=0.9x", &model, &base).pass, "%d", i);
        cr_expect(!check("accuracy<0.9x", &model, &base).pass, "%d", i);
        model.values[PARE_QUANTITY_SIZE] = i * 1e5;
        char text[40];
        snprintf(text, sizeof text, "size<=%.1fMB", i / 10.0);
        cr_expect(check(text, &model, &base).pass, "%s", text);
        model.values[PARE_QUANTITY_SIZE] = i * 1e5 + 1;
        cr_expect(!check(text, &model, &base).pass, "%s and a byte", text);
    }
    /* One byte of ten gigabytes more than half is more than half. */
    base.values[PARE_QUANTITY_SIZE] = 1e10;
    model.values[PARE_QUANTITY_SIZE] = 5e9 + 1;
    struct pare_verdict verdict = check("size<=0.5x", &model, &base);
    cr_expect(!verdict.pass);
    cr_expect(strstr(verdict.found_text, "0.5000000001x"), "%s", verdict.found_text);
}

Test(gate, found_values_are_shown_with_the_digits_that_explain_the_verdict)
{
    struct pare_report_model model = blank(NULL, 0), base = blank(NULL, 0);
    model.values[PARE_QUANTITY_SIZE] = 67820544;
    base.values[PARE_QUANTITY_SIZE] = 268713984;
    model.values[PARE_QUANTITY_ACCURACY] = 0.879963;
    model.values[PARE_QUANTITY_MCC] = -0.25;
    cr_expect_str_eq(check("size<=0.5x", &model, &base).found_text,
                     "0.252x (67.8\xC2\xA0MB of\xC2\xA0"
                     "269\xC2\xA0MB)");
    cr_expect_str_eq(check("size<=70MB", &model, NULL).found_text, "67.821\xC2\xA0MB");
    cr_expect_str_eq(check("size<=67.8MB", &model, NULL).found_text, "67.821\xC2\xA0MB");
    cr_expect_str_eq(check("size<=7e7", &model, NULL).found_text, "67820544\xC2\xA0"
                                                                  "B");
    cr_expect_str_eq(check("accuracy>=88%", &model, NULL).found_text, "87.996\xC2\xA0%");
    cr_expect_str_eq(check("accuracy>=0.88", &model, NULL).found_text, "0.87996");
    cr_expect_str_eq(check("mcc>=0", &model, NULL).found_text, "-0.250");
}

Test(gate, what_was_not_measured_does_not_pass)
{
    struct pare_report_latency one = {.batch = 1, .tokens = 32, .threads = 2};
    one.ms[0] = 5;
    one.ms[1] = one.ms[2] = NAN;
    struct pare_report_model model = blank(&one, 1), base = blank(NULL, 0);
    static const char *const texts[] = {
        "size<=1x",   "size<=1GB",         "accuracy>=0",       "kl>=0", "mcnemar<=1",
        "p90<=100ms", "latency[1x64]<=1s", "latency[2x32]<=1s", "p99>=0"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct pare_verdict verdict = check(texts[i], &model, &base);
        cr_expect(!verdict.pass, "%s", texts[i]);
        cr_expect(isnan(verdict.found));
        cr_expect_str_eq(verdict.found_text, "not measured", "%s", texts[i]);
    }
    struct pare_verdict verdict = check("latency<=1x", &model, &base);
    cr_expect(!verdict.pass);
    cr_expect_str_eq(verdict.found_text, "not measured for the baseline");
    verdict = check("latency<=1x", &model, NULL);
    cr_expect(!verdict.pass);
    cr_expect_str_eq(verdict.found_text, "not measured (the result has no baseline)");
    struct pare_report_latency other = one;
    other.ms[0] = 0;
    base = blank(&other, 1);
    verdict = check("latency<=1x", &model, &base);
    cr_expect(!verdict.pass);
    cr_expect(strstr(verdict.found_text, "not positive"));
    cr_expect(check("latency<=5ms", &model, &base).pass);
}

Test(gate, latency_compares_the_same_setting_and_threads)
{
    struct pare_report_latency own[] = {
        {.batch = 1, .tokens = 64, .threads = 2, .ms = {10, 11, 12}},
        {.batch = 8, .tokens = 64, .threads = 2, .ms = {80, 88, 96}},
    };
    struct pare_report_latency theirs[] = {
        {.batch = 8, .tokens = 64, .threads = 2, .ms = {100, 110, 120}},
        {.batch = 1, .tokens = 64, .threads = 1, .ms = {11, 11, 11}},
        {.batch = 1, .tokens = 64, .threads = 2, .ms = {40, 44, 48}},
    };
    struct pare_report_model model = blank(own, 2), base = blank(theirs, 3);
    cr_expect_float_eq(check("latency<=1x", &model, &base).found, 0.25, 1e-12);
    cr_expect_float_eq(check("latency[8x64]<=1x", &model, &base).found, 0.8, 1e-12);
    cr_expect_float_eq(check("p90[8x64]<=1x", &model, &base).found, 0.8, 1e-12);
    cr_expect_float_eq(check("p99[1x64]<=1x", &model, &base).found, 0.25, 1e-12);
    cr_expect_float_eq(check("p99[8x64]<=1s", &model, &base).found, 96, 1e-12);
}
