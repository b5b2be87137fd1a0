/* Metrics against scipy's and scikit-learn's (tests/golden/make_metrics.py), and their
 * corners. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "eval/latency.h"
#include "eval/metrics.h"
#include "runtime/base/alloc.h"
#include "runtime/base/json.h"

static cJSON *golden(void)
{
    char path[1024];
    struct pare_error err = {""};
    cJSON *json = NULL;
    snprintf(path, sizeof path, "%s/metrics.json", getenv("PARE_TEST_DATA"));
    cr_assert_eq(pare_json_parse_file(path, &json, &err), PARE_OK, "%s", err.message);
    return json;
}

static double number(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    cr_assert(cJSON_IsNumber(item), "%s", key);
    return item->valuedouble;
}

static float *floats(const cJSON *object, const char *key)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, key), *item;
    float *out;
    size_t i = 0;
    cr_assert_eq(pare_alloc(&out, (size_t)cJSON_GetArraySize(list), sizeof *out, NULL),
                 PARE_OK);
    cJSON_ArrayForEach(item, list) out[i++] = (float)item->valuedouble;
    return out;
}

static void check_case(const cJSON *object)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, "truth");
    const uint64_t rows = (uint64_t)cJSON_GetArraySize(list);
    const uint32_t labels = (uint32_t)number(object, "labels");
    float *model = floats(object, "model"), *baseline = floats(object, "baseline");
    float *numbers = floats(object, "truth"), *cells = floats(object, "confusion");
    int32_t truth[128];
    for (uint64_t r = 0; r < rows; r++)
        truth[r] = (int32_t)numbers[r];
    static struct pare_metrics m;
    struct pare_comparison c;
    pare_metrics_compute(model, truth, rows, labels, &m);
    pare_compare(model, baseline, truth, rows, labels, &c);
    cr_assert_float_eq(m.accuracy, number(object, "accuracy"), 1e-12);
    cr_assert_float_eq(m.accuracy_interval.low, number(object, "low"), 1e-9);
    cr_assert_float_eq(m.accuracy_interval.high, number(object, "high"), 1e-9);
    cr_assert_float_eq(m.f1, number(object, "f1"), 1e-12);
    cr_assert_float_eq(m.mcc, number(object, "mcc"), 1e-12);
    for (uint32_t i = 0; i < labels * labels; i++)
        cr_assert_eq(m.confusion[i], (uint64_t)cells[i]);
    cr_assert_float_eq(c.retention, number(object, "retention"), 1e-12);
    cr_assert_float_eq(c.agreement, number(object, "agreement"), 1e-12);
    cr_assert_float_eq(c.kl, number(object, "kl"), 1e-9);
    cr_assert_float_eq(c.mcnemar_p, number(object, "mcnemar"), 1e-9);
    pare_free(model);
    pare_free(baseline);
    pare_free(numbers);
    pare_free(cells);
}

Test(metrics, equal_those_of_scipy_and_scikit_learn)
{
    cJSON *cases = golden(), *object;
    cr_assert_eq(cJSON_GetArraySize(cases), 3);
    cJSON_ArrayForEach(object, cases) check_case(object);
    cJSON_Delete(cases);
}

Test(metrics, an_interval_holds_its_bounds_at_none_and_all)
{
    struct pare_interval none = pare_wilson_interval(0, 10);
    struct pare_interval all = pare_wilson_interval(10, 10);
    cr_assert_eq(none.low, 0);
    cr_assert_eq(all.high, 1);
    cr_assert_float_eq(none.high, 1 - all.low, 1e-12);
    cr_assert_float_eq(none.high, 0.27753, 1e-5);
}

Test(metrics, mcnemar_is_one_without_discordance_and_small_when_one_sided)
{
    cr_assert_eq(pare_mcnemar_exact(0, 0), 1);
    cr_assert_float_eq(pare_mcnemar_exact(0, 10), 2.0 / 1024, 1e-12);
    cr_assert_eq(pare_mcnemar_exact(7, 7), 1);
    cr_assert_eq(pare_mcnemar_exact(3, 9), pare_mcnemar_exact(9, 3));
    cr_assert_lt(pare_mcnemar_exact(40000, 50000), 1e-100);
}

Test(metrics, one_predicted_class_gives_zero_correlation)
{
    static struct pare_metrics m;
    const float logits[] = {1, 0, 2, 0, 3, 0};
    const int32_t truth[] = {0, 1, 1};
    pare_metrics_compute(logits, truth, 3, 2, &m);
    cr_assert_eq(m.correct, 1);
    cr_assert_eq(m.mcc, 0);
    cr_assert_eq(m.f1, 0);
}

Test(metrics, what_is_not_defined_is_not_a_number_that_looks_fine)
{
    const float broken[] = {1, NAN}, huge[] = {INFINITY, 0}, fine[] = {1, 2};
    const int32_t truth[] = {0};
    struct pare_comparison c;
    cr_assert(pare_logits_finite(fine, 2));
    cr_assert_not(pare_logits_finite(broken, 2));
    cr_assert_not(pare_logits_finite(huge, 2));
    cr_assert(isnan(pare_softmax_kl(fine, broken, 2)));
    pare_compare(fine, fine, truth, 1, 2, &c);
    cr_assert(isnan(c.retention), "of a baseline that is never right");
    cr_assert_eq(c.agreement, 1);
    cr_assert_eq(c.kl, 0);
}

Test(latency, percentiles_are_nearest_rank)
{
    const double ms[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    cr_assert_eq(pare_percentile(ms, 10, 0.5), 5);
    cr_assert_eq(pare_percentile(ms, 10, 0.9), 9);
    cr_assert_eq(pare_percentile(ms, 10, 0.99), 10);
    cr_assert_eq(pare_percentile(ms, 1, 0.5), 1);
}

Test(latency, settings_parse_or_name_what_does_not)
{
    struct pare_latency_setting settings[4];
    struct pare_error err;
    size_t n;
    cr_assert_eq(pare_latency_parse("1x32,8x64", settings, 4, &n, &err), PARE_OK);
    cr_assert_eq(n, 2);
    cr_assert(settings[1].batch == 8 && settings[1].tokens == 64);
    const char *const bad[] = {
        "",     "1",     "x32",   "0x1",      "1x0",
        "1x2,", "1x2;3", "1x2x3", "100000x1", "1x1,1x1,1x1,1x1,1x1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(pare_latency_parse(bad[i], settings, 4, &n, &err), PARE_ERR_USAGE,
                     "%s", bad[i]);
}
