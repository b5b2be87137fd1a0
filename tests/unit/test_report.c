#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "eval/report.h"
#include "tests/support/folder.h"
#include "tests/support/markup.h"

static struct pare_error err;
static struct folder folder;

static void make_folder(void)
{
    folder = folder_make();
}

static void remove_folder(void)
{
    folder_remove(&folder);
}

TestSuite(report, .init = make_folder, .fini = remove_folder);

/* What a model and a baseline have; %s: name, sha256. */
#define MODEL(name, sha, size, accuracy, p50)                                            \
    "\"model\":{\"name\":\"" name "\",\"sha256\":\"" sha                                 \
    "\",\"family\":\"bert\",\"layers\":2,\"hidden\":64,\"parameters\":1000,"             \
    "\"types\":{\"F32\":4000,\"Q8_0\":100},\"history\":[{\"tool\":\"pare-convert\","     \
    "\"version\":\"0.1.0\",\"input_sha256\":\"0123456789abcdef0123\",\"options\":"       \
    "{\"dtype\":\"f32\"}},\"a step in words\"]},\"size_bytes\":" #size                   \
    ",\"memory_bytes\":" #size ",\"bits_per_weight\":8.5,\"load_ms\":1.5,"               \
    "\"peak_rss_bytes\":9000000,\"accuracy\":" #accuracy ",\"accuracy_low\":0.5,"        \
    "\"accuracy_high\":0.99,\"f1\":0.9,\"mcc\":0.8,\"latency\":[{\"batch\":1,"           \
    "\"tokens\":64,\"threads\":2,\"repetitions\":9,\"min_ms\":1,\"p50_ms\":" #p50        \
    ",\"p90_ms\":30,\"p99_ms\":40,\"tokens_per_s\":1234.5}]"
#define RUN(data_sha)                                                                    \
    "\"pare_result\":1,\"version\":\"0.1.0\",\"data\":{\"name\":\"dev.tsv\","            \
    "\"sha256\":\"" data_sha "\",\"rows\":872},\"machine\":{\"cpu\":\"A CPU\","          \
    "\"tier\":\"avx2\",\"processors\":2},\"protocol\":{\"threads\":2,\"batch\":8,"       \
    "\"max_length\":128,\"warmup\":1,\"repetitions\":9}"
#define COMPARISON                                                                       \
    "\"retention\":0.989,\"agreement\":0.97,\"kl\":0.0123,\"mcnemar_p\":0.25"
#define INT8                                                                             \
    "{" RUN("d1") "," MODEL("int8.gguf", "aa", 2500000, 0.89,                            \
                            5) "," COMPARISON                                            \
                               ",\"baseline\":{" MODEL("f32.gguf", "bb", 9000000, 0.9,   \
                                                       20) "}}"
#define Q4                                                                               \
    "{" RUN("d1") "," MODEL("q4_0.gguf", "cc", 1250000, 0.8,                             \
                            8) "," COMPARISON                                            \
                               ",\"baseline\":{" MODEL("f32.gguf", "bb", 9000000, 0.9,   \
                                                       21) "}}"
#define F32 "{" RUN("d1") "," MODEL("f32.gguf", "bb", 9000000, 0.9, 22) "}"

static const char *saved(const char *name, const char *json)
{
    const char *path = folder_path(&folder, name);
    put_file(path, json, strlen(json));
    return path;
}

static struct pare_report *report_of(const char *const *texts, size_t count,
                                     const char *requirement)
{
    struct pare_report *report;
    char name[32];
    cr_assert_eq(pare_report_new(&report, &err), PARE_OK);
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "r%zu.json", i);
        cr_assert_eq(pare_report_add(report, saved(name, texts[i]), &err), PARE_OK, "%s",
                     err.message);
    }
    if (requirement)
        cr_assert_eq(pare_report_require(report, requirement, &err), PARE_OK);
    cr_assert_eq(pare_report_finish(report, &err), PARE_OK);
    return report;
}

static char *html_of(const struct pare_report *report, const char *title)
{
    struct pare_report_text out = {0};
    cr_assert_eq(pare_report_html(report, title, &out, &err), PARE_OK);
    return out.data;
}

static char *markdown_of(const struct pare_report *report, const char *title)
{
    struct pare_report_text out = {0};
    cr_assert_eq(pare_report_markdown(report, title, &out, &err), PARE_OK);
    return out.data;
}

static void release(char *text)
{
    struct pare_report_text own = {.data = text};
    pare_report_text_free(&own);
}

/* Every row of a table has as many cells as its head; returns the number of tables. */
static int check_markdown_tables(const char *text)
{
    int tables = 0, cells = 0;
    for (const char *line = text; *line;) {
        const char *end = strchr(line, '\n');
        cr_assert_not_null(end);
        int found = 0;
        for (const char *at = line; *line == '|' && at < end; at++)
            found += *at == '|' && (at == line || at[-1] != '\\');
        tables += found && !cells;
        cr_expect(!found || !cells || found == cells, "%.*s", (int)(end - line), line);
        cells = found;
        line = end + 1;
    }
    return tables;
}

static void check_html(const char *text)
{
    struct markup m = markup_check(text);
    cr_expect_null(m.problem, "%s: %.80s", m.problem, m.where);
    cr_expect_eq(m.scripts, 0);
    cr_expect_eq(m.references, 0);
    for (const char *at = text; (at = strstr(at, "aria-labelledby=\""));) {
        at += strlen("aria-labelledby=\"");
        for (size_t length; (length = strcspn(at, " \""));
             at += length + (at[length] == ' ')) {
            int known = 0;
            for (size_t i = 0; i < m.n_ids; i++)
                known |= strlen(m.ids[i]) == length && !strncmp(m.ids[i], at, length);
            cr_expect(known, "no element has the id %.*s", (int)length, at);
        }
    }
}

/* ---- text ---------------------------------------------------------------------- */

Test(report, foreign_text_is_escaped_for_where_it_goes)
{
    static const struct {
        const char *text, *plain, *html, *markdown;
    } cases[] = {
        {"model_int8-v2.1", "model_int8-v2.1", "model_int8-v2.1", "model_int8-v2.1"},
        {"<b onclick='x'>&amp;\"", "<b onclick='x'>&amp;\"",
         "&lt;b onclick=&#39;x&#39;&gt;&amp;amp;&quot;", "\\<b onclick='x'>\\&amp;\""},
        {"a|b*c`d\\", "a|b*c`d\\", "a|b*c`d\\", "a\\|b\\*c\\`d\\\\"},
        {"_x_ x_y", "_x_ x_y", "_x_ x_y", "\\_x\\_ x_y"},
        {"[a](http://b) www.c", "[a](http://b) www.c", "[a](http://b) www.c",
         "[a\\](http\\://b) www\\.c"},
        {"# x", "# x", "# x", "\\# x"},
        {"> x", "> x", "&gt; x", "\\> x"},
        {"size<=0.5x", "size<=0.5x", "size&lt;=0.5x", "size<=0.5x"},
        {"a\tb\nc\rd", "a b c d", "a b c d", "a b c d"},
        {"a\xC2\xA0z", "a z", "a\xC2\xA0z", "a z"},
        {"\x1b[2J\x7f\xC2\x9B", "\xEF\xBF\xBD[2J\xEF\xBF\xBD\xEF\xBF\xBD",
         "\xEF\xBF\xBD[2J\xEF\xBF\xBD\xEF\xBF\xBD",
         "\xEF\xBF\xBD[2J\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE2\x80\xAE\xE2\x81\xA6 \xEF\xBF\xBE", "\xEF\xBF\xBD\xEF\xBF\xBD \xEF\xBF\xBD",
         "\xEF\xBF\xBD\xEF\xBF\xBD \xEF\xBF\xBD",
         "\xEF\xBF\xBD\xEF\xBF\xBD \xEF\xBF\xBD"},
        {"\xff\xC3", "\xEF\xBF\xBD\xEF\xBF\xBD", "\xEF\xBF\xBD\xEF\xBF\xBD",
         "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"模型 \xF0\x9F\x98\x80", "模型 \xF0\x9F\x98\x80", "模型 \xF0\x9F\x98\x80",
         "模型 \xF0\x9F\x98\x80"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const expected[] = {cases[i].plain, cases[i].html, cases[i].markdown};
        for (int mode = 0; mode < 3; mode++) {
            struct pare_report_text out = {0};
            pare_report_put_safe(&out, cases[i].text, mode);
            cr_expect_str_eq(out.data, expected[mode]);
            pare_report_text_free(&out);
        }
    }
}

Test(report, long_names_keep_both_ends)
{
    char out[64];
    pare_report_shorten("short", 9, out, sizeof out);
    cr_expect_str_eq(out, "short");
    pare_report_shorten("123456789", 9, out, sizeof out);
    cr_expect_str_eq(out, "123456789");
    pare_report_shorten("1234567890", 9, out, sizeof out);
    cr_expect_str_eq(out, "1234\xE2\x80\xA6"
                          "7890");
    pare_report_shorten("äöüäöüäöü", 5, out, sizeof out);
    cr_expect_str_eq(out, "äö\xE2\x80\xA6öü");
    cr_expect_eq(pare_report_width("äö\xE2\x80\xA6öü"), 5);
}

/* ---- front --------------------------------------------------------------------- */

Test(report, the_pareto_front_is_what_nothing_dominates)
{
    const double size[] = {4, 2, 2, 1, 3, 5, NAN, 1, 4};
    const double accuracy[] = {9, 8, 7, 5, 8, NAN, 9, 5, 9};
    const int expected[] = {1, 1, 0, 1, 0, 0, 0, 1, 1}; /* equals stay together */
    int found[9];
    pare_pareto_front(size, accuracy, 9, found);
    for (int i = 0; i < 9; i++)
        cr_expect_eq(found[i], expected[i], "%d", i);
}

Test(report, a_front_climbs_and_covers_every_point)
{
    double size[40], accuracy[40];
    int on_front[40];
    uint32_t state = 7;
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 40; i++) {
            state = state * 1664525u + 1013904223u;
            size[i] = state >> 27;
            accuracy[i] = state >> 20 & 31;
        }
        pare_pareto_front(size, accuracy, 40, on_front);
        for (int i = 0; i < 40; i++) {
            int covered = 0;
            for (int j = 0; j < 40; j++) {
                covered |=
                    on_front[j] && size[j] <= size[i] && accuracy[j] >= accuracy[i];
                if (on_front[i] && on_front[j] && size[i] < size[j])
                    cr_expect_lt(accuracy[i], accuracy[j]);
            }
            cr_expect(covered);
        }
    }
}

/* ---- rows ---------------------------------------------------------------------- */

Test(report, a_baseline_of_many_results_is_one_row_and_ratios_stay_in_their_run)
{
    const char *texts[] = {INT8, Q4};
    struct pare_report *report = report_of(texts, 2, "latency<=0.4x");
    cr_assert_eq(report->n_rows, 3);
    cr_expect_eq(report->n_baselines, 1);
    cr_expect_str_eq(report->rows[0].label, "f32");
    cr_expect_eq(report->rows[0].runs, 2);
    cr_expect_str_eq(report->rows[1].label, "int8");
    cr_expect_str_eq(report->rows[2].label, "q4_0");
    cr_expect(report->rows[0].on_front && report->rows[1].on_front &&
              report->rows[2].on_front);
    cr_expect_float_eq(report->gates[0].verdicts[0].found, 5 / 20.0, 1e-12);
    cr_expect_float_eq(report->gates[0].verdicts[1].found, 8 / 21.0, 1e-12);
    struct pare_report_tally tally = pare_report_tally(report);
    cr_expect_eq(tally.met, 2);
    cr_expect_eq(tally.unmet, 0);
    pare_report_free(report);
}

Test(report, a_result_that_is_another_ones_baseline_joins_its_row)
{
    const char *texts[] = {F32, INT8};
    struct pare_report *report = report_of(texts, 2, "size<=0.5x");
    cr_assert_eq(report->n_rows, 2);
    cr_expect_str_eq(pare_report_row_of(report, 0)->label, "f32");
    cr_expect_str_eq(pare_report_row_of(report, 1)->label, "int8");
    /* It has no baseline of its own: the requirement cannot be checked, so it fails. */
    struct pare_report_tally tally = pare_report_tally(report);
    cr_expect_eq(tally.met, 1);
    cr_expect_eq(tally.unmet, 1);
    cr_expect_str_eq(tally.row->label, "f32");
    cr_expect(strstr(tally.verdict->found_text, "no baseline"));
    pare_report_free(report);
}

Test(report, different_baselines_and_equal_names_stay_apart)
{
    static const char other[] = "{" RUN("d2") "," MODEL(
        "int8.gguf", "dd", 2000000, 0.85,
        5) "," COMPARISON
           ",\"baseline\":{" MODEL("f32.gguf", "bb", 9000000, 0.9, 20) "}}";
    const char *texts[] = {INT8, other, INT8};
    struct pare_report *report = report_of(texts, 3, NULL);
    cr_assert_eq(report->n_rows, 5, "the same model on other data is another row");
    cr_expect_eq(report->n_baselines, 2);
    cr_expect_str_eq(report->rows[1].label, "f32 (2)");
    cr_expect_str_eq(report->rows[2].label, "int8");
    cr_expect_str_eq(report->rows[3].label, "int8 (2)");
    cr_expect_str_eq(report->rows[4].label, "int8 (3)");
    char *markdown = markdown_of(report, "T");
    cr_expect(strstr(markdown, "different data"));
    cr_expect(strstr(markdown, "different baselines"));
    cr_expect_null(strstr(markdown, "different machines"));
    release(markdown);
    pare_report_free(report);
}

/* ---- documents ----------------------------------------------------------------- */

Test(report, both_documents_say_what_was_measured)
{
    const char *texts[] = {INT8, Q4};
    struct pare_report *report = report_of(texts, 2, "accuracy>=0.95x");
    char *markdown = markdown_of(report, "A title"), *html = html_of(report, "A title");
    static const char *const everywhere[] = {
        "2.50 MB",         "0.28×",   "8.50",   "89.00 %",      "50.0–99.0 %",
        "98.90 %",         "97.00 %", "0.0123", "0.250",        "1.50 ms",
        "9.00 MB",         "90.00 %", "0.8000", "5.00 ms",      "30.0 ms",
        "40.0 ms",         "0.25×",   "1234",   "dev.tsv",      "872 rows",
        "A CPU",           "avx2",    "bert",   "pare-convert", "dtype f32",
        "a step in words", "A title", "0.889x", "Pareto front"};
    check_html(html);
    cr_expect_eq(check_markdown_tables(markdown), 4);
    for (char *at = html; (at = strstr(at, "\xC2\xA0"));) /* no-break spaces */
        memmove(at, at + 1, strlen(at)), *at = ' ';
    for (size_t i = 0; i < sizeof everywhere / sizeof *everywhere; i++) {
        cr_expect(strstr(markdown, everywhere[i]), "Markdown: %s", everywhere[i]);
        cr_expect(strstr(html, everywhere[i]), "HTML: %s", everywhere[i]);
    }
    cr_expect_eq(markup_count(markdown, "✓ pass"), 1);
    cr_expect_eq(markup_count(markdown, "✗ fail"), 1);
    cr_expect_eq(markup_count(html, "✓ pass</td>"), 1);
    cr_expect_eq(markup_count(html, "✗ fail</td>"), 1);
    cr_expect_eq(markup_count(html, "<svg "), 2);
    cr_expect_eq(markup_count(html, "<title id="), 2);
    cr_expect_eq(markup_count(html, "<desc id="), 2);
    cr_expect_eq(markup_count(html, "<table>"), 4);
    cr_expect_eq(markup_count(html, "<caption"), 4);
    cr_expect_eq(markup_count(html, "<th "),
                 markup_count(html, "<th scope=\"col\"") +
                     markup_count(html, "<th scope=\"row\">"));
    cr_expect_eq(markup_count(html, "<th>"), 0);
    cr_expect(strstr(html, "<html lang=\"en\">"));
    cr_expect(strstr(html, "prefers-color-scheme: dark"));
    cr_expect(strstr(html, "@media print"));
    release(markdown);
    release(html);
    pare_report_free(report);
}

Test(report, the_same_files_give_the_same_bytes)
{
    const char *texts[] = {INT8, Q4, F32};
    char *first[2] = {0};
    for (int round = 0; round < 3; round++) {
        struct pare_report *report = report_of(texts, 3, "size<=0.5x");
        char *now[] = {markdown_of(report, "T"), html_of(report, "T")};
        for (int i = 0; i < 2; i++) {
            if (round)
                cr_expect_str_eq(now[i], first[i]);
            if (round)
                release(now[i]);
            else
                first[i] = now[i];
        }
        pare_report_free(report);
    }
    release(first[0]);
    release(first[1]);
}

Test(report, missing_keys_are_not_measured_and_never_guessed)
{
    static const char *const poor[] = {
        "{\"pare_result\":1}",
        "{\"pare_result\":1,\"model\":{},\"latency\":[],\"data\":{},\"machine\":null}",
        "{\"pare_result\":1,\"baseline\":{}}",
        "{\"pare_result\":1,\"size_bytes\":5,\"baseline\":{\"size_bytes\":0}}",
        ("{\"pare_result\":1,\"accuracy\":0.5,\"latency\":[{\"batch\":1,\"tokens\":8}],"
         "\"baseline\":{\"latency\":[{\"batch\":1,\"tokens\":8,\"p50_ms\":3}]}}"),
        "{\"pare_result\":1,\"size_bytes\":1,\"accuracy\":1,\"kl\":null}",
    };
    for (size_t i = 0; i < sizeof poor / sizeof *poor; i++) {
        struct pare_report *report = report_of(&poor[i], 1, "kl<=1");
        char *markdown = markdown_of(report, "T"), *html = html_of(report, "T");
        check_html(html);
        cr_expect_geq(check_markdown_tables(markdown), 3);
        cr_expect_geq(markup_count(markdown, PARE_NOT_MEASURED), 12, "%s", poor[i]);
        const char *body = strstr(html, "<body>");
        cr_expect_geq(markup_count(body, PARE_NOT_MEASURED), 12);
        cr_expect_null(strstr(body, "nan"), "%s", poor[i]);
        cr_expect_null(strstr(markdown, "nan"), "%s", poor[i]);
        cr_expect_null(strstr(markdown, "inf "), "%s", poor[i]);
        cr_expect_eq(pare_report_tally(report).unmet, 1);
        release(markdown);
        release(html);
        pare_report_free(report);
    }
    const char *all = "{\"pare_result\":1}";
    const char *many[] = {all, all, INT8};
    struct pare_report *report = report_of(many, 3, NULL);
    cr_expect_str_eq(report->rows[1].label, "r0.json");
    cr_expect_str_eq(report->rows[2].label, "r1.json");
    pare_report_free(report);
}

/* With and without what only some results have. */
Test(report, download_and_zeros_are_columns_when_a_result_has_them)
{
    const char *const texts[] = {
        "{\"pare_result\":1,\"model\":{\"name\":\"a\"},\"size_bytes\":500,"
        "\"download_bytes\":100,\"bits_per_weight\":5,\"block_bits_per_weight\":3.125,"
        "\"sparsity\":0.5,\"baseline\":{\"model\":{\"name\":\"b\"},"
        "\"size_bytes\":2000,\"download_bytes\":1000,\"sparsity\":0}}",
        "{\"pare_result\":1,\"model\":{\"name\":\"c\"},\"size_bytes\":600,"
        "\"sparsity\":0}"};
    for (size_t first = 0; first < 2; first++) {
        struct pare_report *report =
            report_of(texts + first, 2 - first, "download<=0.1x");
        char *markdown = markdown_of(report, "T"), *html = html_of(report, "T");
        check_html(html);
        check_markdown_tables(markdown);
        cr_expect_eq(markup_count(markdown, " Download |"), first ? 0 : 1);
        cr_expect_eq(markup_count(markdown, " Zeros |"), first ? 0 : 1);
        cr_expect_eq(pare_report_tally(report).unmet, 1);
        if (!first) {
            cr_expect(strstr(markdown, "100 B (0.10×)"));
            cr_expect(strstr(markdown, "5.00 (3.12 in blocks)"));
            cr_expect(strstr(markdown, "10.0 % of the download"));
        }
        release(markdown);
        release(html);
        pare_report_free(report);
    }
}

Test(report, hostile_names_stay_text)
{
    /* Tries everything, as the inside of a JSON string. */
    static const char evil[] =
        "</td></title></style></svg><script>alert(1)</script>\\\" onload=\\\"x"
        "|`*_[x](javascript:1)\\n# \\u001b[31m\\u202e&lt;-->\\\\";
    char text[6000];
    snprintf(text, sizeof text,
             "{\"pare_result\":1,\"version\":\"%s\",\"data\":{\"name\":\"%s\",\"sha256\":"
             "\"%s\"},\"machine\":{\"cpu\":\"%s\",\"tier\":\"%s\"},\"size_bytes\":5,"
             "\"accuracy\":0.5,\"latency\":[{\"batch\":1,\"tokens\":8,\"p50_ms\":3}],"
             "\"model\":{\"name\":\"%s\",\"sha256\":\"%s\",\"family\":\"%s\",\"types\":"
             "{\"%s\":1},\"history\":[\"%s\",{\"tool\":\"%s\",\"version\":\"%s\","
             "\"input_sha256\":\"%s\",\"options\":{\"%s\":\"%s\",\"x\":[{\"%s\":1}]},"
             "\"%s\":\"%s\"},7,null,[],{}]},\"baseline\":{\"model\":{\"name\":\"%s\"},"
             "\"size_bytes\":9,\"accuracy\":0.6,\"latency\":[{\"batch\":1,\"tokens\":8,"
             "\"p50_ms\":4}]}}",
             evil, evil, evil, evil, evil, evil, evil, evil, evil, evil, evil, evil, evil,
             evil, evil, evil, evil, evil, evil);
    const char *texts[] = {text, INT8};
    struct pare_report *report = report_of(texts, 2, "size<=0.5x");
    char *markdown = markdown_of(report, "</title><script>\xff|`\n#"),
         *html = html_of(report, "</title><script>\xff|`\n#");
    check_html(html);
    check_markdown_tables(markdown);
    cr_expect_null(strstr(html, "<script"));
    for (const char *at = markdown; (at = strstr(at, "](javascript")); at++)
        cr_expect_eq(at[-1], '\\', "%.40s", at - 20);
    for (const char *at = markdown; (at = strstr(at, "<script")); at++)
        cr_expect_eq(at[-1], '\\', "%.40s", at - 20);
    for (const char *at = markdown; *at; at++)
        cr_expect((unsigned char)*at >= ' ' || *at == '\n');
    cr_expect_null(strstr(markdown, "\xE2\x80\xAE"));
    release(markdown);
    release(html);
    pare_report_free(report);
}

/* ---- strictness ---------------------------------------------------------------- */

Test(report, what_is_no_result_is_refused_with_the_key)
{
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"", "byte 0"},
        {"{", "byte 1"},
        {"[]", "expected a JSON object"},
        {"{}", "\"pare_result\" is missing"},
        {"{\"pare_result\":0}", "\"pare_result\" is missing or 0"},
        {"{\"pare_result\":2}", "layout 2"},
        {"{\"pare_result\":\"1\"}", "\"pare_result\": expected an integer"},
        {"{\"pare_result\":1,\"size_bytes\":\"5\"}", "\"size_bytes\": expected a number"},
        {"{\"pare_result\":1,\"size_bytes\":-5}",
         "\"size_bytes\": expected a number of 0"},
        {"{\"pare_result\":1,\"accuracy\":1.5}", "\"accuracy\": expected a number of 0"},
        {"{\"pare_result\":1,\"accuracy\":[1]}", "\"accuracy\": expected a number"},
        {"{\"pare_result\":1,\"accuracy\":1,\"accuracy\":1}", "accuracy"},
        {"{\"pare_result\":1,\"model\":[]}", "\"model\": expected an object"},
        {"{\"pare_result\":1,\"model\":{\"name\":5}}",
         "model: \"name\": expected a string"},
        {"{\"pare_result\":1,\"model\":{\"types\":[]}}", "\"types\": expected an object"},
        {"{\"pare_result\":1,\"model\":{\"types\":{\"F32\":\"x\"}}}",
         "\"F32\": expected"},
        {"{\"pare_result\":1,\"model\":{\"history\":{}}}",
         "\"history\": expected an array"},
        {"{\"pare_result\":1,\"latency\":{}}", "\"latency\": expected an array"},
        {"{\"pare_result\":1,\"latency\":[5]}", "latency[0]: expected an object"},
        {"{\"pare_result\":1,\"latency\":[{\"batch\":1,\"tokens\":2},{\"batch\":1}]}",
         "latency[1]: \"tokens\" is missing"},
        {"{\"pare_result\":1,\"latency\":[{\"batch\":0,\"tokens\":2}]}", "\"batch\""},
        {"{\"pare_result\":1,\"latency\":[{\"batch\":1.5,\"tokens\":2}]}", "\"batch\""},
        {"{\"pare_result\":1,\"latency\":[{\"batch\":1,\"tokens\":2,\"p50_ms\":true}]}",
         "latency[0]: \"p50_ms\""},
        {"{\"pare_result\":1,\"baseline\":5}", "\"baseline\": expected an object"},
        {"{\"pare_result\":1,\"baseline\":{\"kl\":\"x\"}}", "baseline: \"kl\""},
        {"{\"pare_result\":1,\"data\":\"x\"}", "\"data\": expected an object"},
        {"{\"pare_result\":1,\"machine\":{\"cpu\":1}}", "\"cpu\": expected a string"},
        {"{\"pare_result\":1,\"protocol\":{\"threads\":\"2\"}}", "\"threads\": expected"},
    };
    struct pare_report *report;
    cr_assert_eq(pare_report_new(&report, &err), PARE_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_eq(pare_report_add(report, saved("bad.json", cases[i].text), &err),
                     PARE_ERR_INPUT, "%s", cases[i].text);
        cr_expect(strstr(err.message, cases[i].reason), "%s", err.message);
        cr_expect(strstr(err.message, "bad.json"), "%s", err.message);
    }
    cr_expect_eq(pare_report_add(report, folder_path(&folder, "none.json"), &err),
                 PARE_ERR_IO);
    cr_expect_eq(report->n_results, 0);
    pare_report_free(report);
}

Test(report, more_settings_than_anyone_measures_are_refused)
{
    struct pare_report *report;
    size_t length = 0, size = 64 * 1100;
    char *text = malloc(size);
    length += (size_t)snprintf(text, size, "{\"pare_result\":1,\"latency\":[");
    for (int i = 0; i < 1025; i++)
        length += (size_t)snprintf(text + length, size - length,
                                   "%s{\"batch\":1,\"tokens\":%d,\"p50_ms\":1}",
                                   i ? "," : "", i + 1);
    snprintf(text + length, size - length, "]}");
    cr_assert_eq(pare_report_new(&report, &err), PARE_OK);
    cr_expect_eq(pare_report_add(report, saved("many.json", text), &err), PARE_ERR_INPUT);
    cr_expect(strstr(err.message, "1025 settings"), "%s", err.message);
    pare_report_free(report);
    free(text);
}
