/* Metrics of training runs: what is read from them, what is refused, and the curve. */
#include <math.h>
#include <stdlib.h>

#include "eval/report.h"
#include "runtime/base/alloc.h"
#include "runtime/base/rng.h"
#include "tests/support/folder.h"
#include "tests/support/markup.h"

#define UPDATE(n, loss)                                                                  \
    "{\"kind\":\"update\",\"epoch\":1,\"update\":" #n ",\"loss\":" #loss "}\n"
#define EVAL(n, accuracy, loss, best)                                                    \
    "{\"kind\":\"eval\",\"epoch\":2,\"update\":" #n ",\"dev_accuracy\":" #accuracy       \
    ",\"dev_loss\":" #loss ",\"best\":" #best "}\n"

/* clang-format off */
static const char whole[] =
    UPDATE(1, 0.75)
    UPDATE(2, 0.5)
    EVAL(2, 0.5, 0.7, true)
    UPDATE(3, 0.25)
    UPDATE(5, 0.125)
    EVAL(5, 0.9, 0.4, true)
    "{\"kind\":\"epoch\",\"epoch\":2,\"update\":5,\"loss\":0.4}\n"
    UPDATE(6, 1e-3)
    EVAL(6, 0.9, 0.3, true)
    EVAL(7, 0.8, null, false);
/* clang-format on */

static enum pare_status read_text(const char *text, size_t length,
                                  struct pare_training *training,
                                  struct pare_error *error)
{
    struct folder folder = folder_make();
    const char *path = folder_path(&folder, "run.jsonl");
    put_file(path, text, length);
    enum pare_status status = pare_training_read(path, training, error);
    folder_remove(&folder);
    return status;
}

Test(training, lines_become_losses_and_scores)
{
    struct pare_training t;
    struct pare_error error;
    cr_assert_eq(read_text(whole, sizeof whole - 1, &t, &error), PARE_OK, "%s",
                 error.message);
    cr_assert_str_eq(t.source, "run.jsonl");
    cr_assert_eq(t.n_updates, 5);
    cr_assert_eq(t.updates[3].update, 5);
    cr_assert_eq(t.updates[3].loss, 0.125);
    cr_assert_eq(t.n_scores, 4);
    cr_assert_eq(t.scores[1].accuracy, 0.9);
    cr_assert(isnan(t.scores[3].loss));
    cr_assert_eq(t.best, 2, "the last that the run kept");
    cr_assert_eq(t.epochs, 2);
    pare_training_free(&t);
}

Test(training, what_a_run_does_not_count_is_not_its_best)
{
    static const char pruned[] = UPDATE(1, 0.75) EVAL(1, 0.95, 0.2, false) UPDATE(2, 0.5)
        EVAL(2, 0.79, 0.4, true) UPDATE(3, 0.5) EVAL(3, 0.7, 0.4, false);
    struct pare_training t;
    struct pare_error error;
    cr_assert_eq(read_text(pruned, sizeof pruned - 1, &t, &error), PARE_OK);
    cr_assert_eq(t.best, 1);
    pare_training_free(&t);
    const size_t first = strlen(UPDATE(1, 0.75) EVAL(1, 0.95, 0.2, false));
    cr_assert_eq(read_text(pruned, first, &t, &error), PARE_OK);
    cr_assert_eq(t.best, 0);
    pare_training_free(&t);
}

/* Wherever the file ends, what is whole is read, and the rest left out. */
Test(training, a_cut_last_line_is_left_out)
{
    size_t reads = 0;
    for (size_t length = 0; length < sizeof whole; length++) {
        struct pare_training t;
        struct pare_error error;
        size_t expected = 0;
        for (const char *at = whole; (at = strstr(at, "\"update\",")); at++) {
            const char *end = strchr(at, '\n');
            expected += end <= whole + length;
        }
        enum pare_status status = read_text(whole, length, &t, &error);
        cr_assert_eq(status, expected ? PARE_OK : PARE_ERR_INPUT, "%zu bytes: %s", length,
                     error.message);
        if (status == PARE_OK)
            cr_assert_eq(t.n_updates, expected, "%zu bytes", length);
        reads += status == PARE_OK;
        pare_training_free(&t);
    }
    cr_assert_gt(reads, 300);
}

Test(training, what_is_no_line_of_a_run_is_named_with_its_number)
{
    static const struct {
        const char *text, *phrase;
    } cases[] = {
        {UPDATE(1, 0.7) "nonsense\n" UPDATE(2, 0.6), "run.jsonl:2: "},
        {UPDATE(1, 0.7) UPDATE(2, 0.6) "{\"kind\":\"upd\n", "run.jsonl:3: "},
        {UPDATE(1, 0.7) "\n" UPDATE(2, 0.6), "run.jsonl:2: "},
        {"[1]\n", "run.jsonl:1: expected a JSON object"},
        {"{\"update\":1,\"loss\":1}\n", "run.jsonl:1: \"kind\" is missing"},
        {"{\"kind\":\"update\",\"loss\":1}\n", "run.jsonl:1: \"update\" is missing"},
        {"{\"kind\":\"update\",\"update\":1}\n", "run.jsonl:1: \"loss\" is missing"},
        {"{\"kind\":\"eval\",\"update\":1}\n", "\"dev_accuracy\" is missing"},
        {"{\"kind\":\"update\",\"update\":1,\"loss\":\"1\"}\n", "run.jsonl:1: \"loss\""},
        {"{\"kind\":\"update\",\"update\":1.5,\"loss\":1}\n", "run.jsonl:1: \"update\""},
        {"{\"kind\":\"update\",\"update\":1,\"loss\":1e300}\n", "run.jsonl:1: \"loss\""},
        {"{\"kind\":\"update\",\"update\":1,\"loss\":nan}\n", "run.jsonl:1: "},
        {"{\"kind\":7,\"update\":1,\"loss\":1}\n", "run.jsonl:1: \"kind\""},
        {"{\"kind\":\"other\",\"update\":1,\"loss\":1}\n", "kind \"other\", expected"},
        {UPDATE(3, 0.7) EVAL(3, 1.5, 0.1, true), "run.jsonl:2: \"dev_accuracy\""},
        {UPDATE(3, 0.7) UPDATE(2, 0.6), "run.jsonl:2: update 2 behind update 3"},
        {UPDATE(3, 0.7) UPDATE(3, 0.6), "run.jsonl:2: update 3 behind update 3"},
        {UPDATE(3, 0.7) EVAL(2, 0.5, 0.6, true), "run.jsonl:2: update 2 behind update 3"},
        {EVAL(2, 0.5, 0.6, true), "no update of a training run"},
        {"", "no update of a training run"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pare_training t;
        struct pare_error error;
        cr_assert_eq(read_text(cases[i].text, strlen(cases[i].text), &t, &error),
                     PARE_ERR_INPUT, "%s", cases[i].text);
        cr_assert_not_null(strstr(error.message, cases[i].phrase), "%s", error.message);
        pare_training_free(&t);
    }
}

Test(training, damaged_files_are_read_or_refused)
{
    struct pare_rng rng = {.seed = 3};
    struct folder folder = folder_make();
    const char *path = folder_path(&folder, "run.jsonl");
    int refused = 0;
    for (int i = 0; i < 1500; i++) {
        char text[sizeof whole];
        struct pare_training t;
        struct pare_error error;
        memcpy(text, whole, sizeof whole);
        for (uint64_t n = 1 + pare_rng_below(&rng, 3); n; n--)
            text[pare_rng_below(&rng, sizeof whole - 1)] =
                (char)pare_rng_below(&rng, 256);
        put_file(path, text, sizeof whole - 1);
        enum pare_status status = pare_training_read(path, &t, &error);
        cr_assert(status == PARE_OK || status == PARE_ERR_INPUT, "%s", error.message);
        refused += status == PARE_ERR_INPUT;
        pare_training_free(&t);
    }
    cr_assert(refused > 500, "%d", refused);
    folder_remove(&folder);
}

Test(training, the_curve_is_the_mean_of_what_is_around)
{
    static struct pare_training_update updates[5000];
    static double x[400], y[400];
    struct pare_training t = {.updates = updates};
    static const size_t sizes[] = {1, 2, 47, 96, 399, 400, 401, 5000};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const size_t n = t.n_updates = sizes[s], reach = n / 48;
        for (size_t i = 0; i < n; i++)
            updates[i] = (struct pare_training_update){3 * i + 1, sin((double)i)};
        const size_t count = pare_training_curve(&t, 400, x, y);
        cr_assert_eq(count, n < 400 ? n : 400);
        cr_assert_eq(x[0], 1);
        cr_assert_eq(x[count - 1], (double)(3 * n - 2));
        for (size_t k = 0; k < count; k++) {
            cr_assert(k == 0 || x[k] > x[k - 1]);
            const size_t i = ((size_t)x[k] - 1) / 3;
            double sum = 0, terms = 0;
            for (size_t j = 0; j < n; j++) {
                if (j + reach < i || j > i + reach)
                    continue;
                sum += sin((double)j);
                terms++;
            }
            cr_assert_float_eq(y[k], sum / terms, 1e-12);
        }
    }
}

/* --- In a report -------------------------------------------------------------------- */

static struct pare_report *report_with(const char *const *runs, size_t n)
{
    static const char result[] = "{\"pare_result\":1,\"model\":{\"name\":\"m.gguf\"}}";
    struct folder folder = folder_make();
    const char *path = folder_path(&folder, "result.json");
    struct pare_report *report;
    struct pare_error error;
    put_file(path, result, sizeof result - 1);
    cr_assert_eq(pare_report_new(&report, &error), PARE_OK);
    cr_assert_eq(pare_report_add(report, path, &error), PARE_OK, "%s", error.message);
    for (size_t i = 0; i < n; i++) {
        path = folder_path(&folder, i ? "<b>|`x`.jsonl" : "run.jsonl");
        put_file(path, runs[i], strlen(runs[i]));
        cr_assert_eq(pare_report_add_training(report, path, &error), PARE_OK, "%s",
                     error.message);
    }
    cr_assert_eq(pare_report_finish(report, &error), PARE_OK);
    folder_remove(&folder);
    return report;
}

Test(training, a_report_draws_its_runs)
{
    static const char *const runs[] = {whole, UPDATE(1, 0.5)};
    for (size_t n = 0; n <= 2; n++) {
        struct pare_report_text html = {0}, markdown = {0};
        struct pare_error error;
        struct pare_report *report = report_with(runs, n);
        cr_assert_eq(pare_report_html(report, "T", &html, &error), PARE_OK);
        cr_assert_eq(pare_report_markdown(report, "T", &markdown, &error), PARE_OK);
        const struct markup m = markup_check(html.data);
        cr_expect_null(m.problem, "%s: %.80s", m.problem, m.where);
        cr_expect_eq(m.references, 0);
        cr_expect_null(strstr(html.data, "nan"));
        cr_expect_eq(markup_count(html.data, "id=\"training\""), n > 0);
        cr_expect_eq(markup_count(markdown.data, "## Training"), n > 0);
        /* Loss and accuracy of the first, loss of the second, which has no scores. */
        cr_expect_eq(markup_count(html.data, "<path class=\"series\""),
                     n ? (int)n + 1 : 0);
        cr_expect_eq(markup_count(html.data, "<path class=\"series second\""), n > 0);
        if (n)
            cr_expect(strstr(markdown.data, "90.00 % (update 6)"), "%s", markdown.data);
        if (n == 2) {
            cr_expect(strstr(html.data, "&lt;b&gt;|`x`.jsonl"));
            cr_expect(strstr(markdown.data, "\\<b>\\|\\`x\\`.jsonl"));
        }
        pare_report_text_free(&html);
        pare_report_text_free(&markdown);
        pare_report_free(report);
    }
}
