/* datasets/text: every accepted form, and cases D01 to D08 of docs/RELIABILITY.md. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/text.h"
#include "runtime/base/sha256.h"
#include "tests/support/folder.h"

static enum pare_status parse(const char *text, const struct pare_text_options *options,
                              struct pare_dataset *data, struct pare_error *err)
{
    return pare_dataset_parse(text, strlen(text), "x.tsv", options, data, err);
}

static int text_is(const struct pare_dataset *data, size_t i, const char *expected)
{
    return data->texts[i].length == strlen(expected) &&
           !memcmp(data->texts[i].data, expected, strlen(expected));
}

Test(dataset, reads_a_labelled_glue_file)
{
    struct pare_dataset data;
    struct pare_error err;
    const char *text = "sentence\tlabel\na good one \t1\nthe bad one\t0\nthird\t1\n";
    cr_assert_eq(parse(text, NULL, &data, &err), PARE_OK, "%s", err.message);
    cr_assert_eq(data.format, PARE_TEXT_LABELLED);
    cr_assert_eq(data.count, 3);
    cr_assert(text_is(&data, 0, "a good one "), "the text stays as it is in the file");
    cr_assert(text_is(&data, 1, "the bad one"));
    cr_assert_eq(data.labels[0], 1);
    cr_assert_eq(data.labels[1], 0);
    cr_assert_eq(data.label_count, 2);
    cr_assert_eq(data.label_counts[1], 2);
    cr_assert_not(data.one_class);
    char sha[65];
    pare_sha256_of(text, strlen(text), sha);
    cr_assert_str_eq(data.sha256, sha);
    pare_dataset_free(&data);
}

Test(dataset, recognises_the_other_forms)
{
    static const struct {
        const char *text;
        enum pare_text_format format;
        size_t count;
        const char *first;
        int labelled;
    } cases[] = {
        {"index\tsentence\n0\tone\n1\ttwo\n", PARE_TEXT_INDEXED, 2, "one", 0},
        {"one\t0\ntwo\t1\n", PARE_TEXT_LABELLED, 2, "one", 1},
        {"text\tlabel\none\t0 \n", PARE_TEXT_LABELLED, 1, "one", 1},
        {"one\ntwo\n\nthree", PARE_TEXT_PLAIN, 4, "one", 0},
        {"one\tand more\ntwo\n", PARE_TEXT_PLAIN, 2, "one\tand more", 0},
        {"{\"text\": \"a \\u00e9 \\\"b\\\"\", \"label\": 1}\n", PARE_TEXT_JSON, 1,
         "a \xC3\xA9 \"b\"", 1},
        {"{\"label\": \"0\", \"sentence\": \"one\", \"id\": [1]}", PARE_TEXT_JSON, 1,
         "one", 1},
        {"{\"text\": \"one\"}\n{\"text\": \"two\", \"label\": null}", PARE_TEXT_JSON, 2,
         "one", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pare_dataset data;
        struct pare_error err;
        cr_assert_eq(parse(cases[i].text, NULL, &data, &err), PARE_OK, "%zu: %s", i,
                     err.message);
        cr_assert_eq(data.format, cases[i].format, "%zu", i);
        cr_assert_eq(data.count, cases[i].count, "%zu", i);
        cr_assert(text_is(&data, 0, cases[i].first), "%zu", i);
        cr_assert_eq(data.labels != NULL, cases[i].labelled, "%zu", i);
        pare_dataset_free(&data);
    }
}

Test(dataset, D04_line_ends_and_byte_order_mark_do_not_matter)
{
    static const char *const same[] = {
        "sentence\tlabel\none\t1\ntwo\t0\n", "sentence\tlabel\r\none\t1\r\ntwo\t0\r\n",
        "\xEF\xBB\xBFsentence\tlabel\none\t1\ntwo\t0\n",
        "\xEF\xBB\xBFsentence\tlabel\r\none\t1\r\ntwo\t0", "one\t1\ntwo\t0"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct pare_dataset data;
        struct pare_error err;
        cr_assert_eq(parse(same[i], NULL, &data, &err), PARE_OK, "%s", err.message);
        cr_assert_eq(data.count, 2, "%zu", i);
        cr_assert(text_is(&data, 0, "one"));
        cr_assert(text_is(&data, 1, "two"));
        cr_assert_eq(data.labels[0], 1);
        cr_assert_eq(data.labels[1], 0);
        pare_dataset_free(&data);
    }
}

Test(dataset, D03_quotes_are_text)
{
    struct pare_dataset data;
    struct pare_error err;
    cr_assert_eq(parse("\"a \"\"b\" 'c\t1\n\"d\t0\n", NULL, &data, &err), PARE_OK);
    cr_assert_eq(data.count, 2);
    cr_assert(text_is(&data, 0, "\"a \"\"b\" 'c"));
    cr_assert(text_is(&data, 1, "\"d"));
    pare_dataset_free(&data);
}

Test(dataset, D08_one_class_is_accepted_and_told)
{
    struct pare_dataset data;
    struct pare_error err;
    cr_assert_eq(parse("one\t1\ntwo\t1\n", NULL, &data, &err), PARE_OK);
    cr_assert(data.one_class);
    cr_assert_eq(data.label_count, 2);
    cr_assert_eq(data.label_counts[0], 0);
    pare_dataset_free(&data);
}

Test(dataset, refusals_say_where_and_what)
{
    static const struct pare_text_options any = {0}, two = {.label_count = 2},
                                          labels = {.need_labels = 1};
    static const struct {
        const char *id, *text, *phrase;
        const struct pare_text_options *options;
    } cases[] = {
        {"D01", "sentence\tlabel\none\t1\ntwo\n", "x.tsv:3: missing column", &any},
        {"D01", "one\t1\n\ntwo\t0\n", "x.tsv:2: missing column", &any},
        {"D01", "index\tsentence\n0\tone\n1 two\n", "x.tsv:3: missing column", &any},
        {"D01", "one\ntwo\n", "x.tsv:1: missing column", &labels},
        {"D01", "index\tsentence\n0\tone\n", "no labels in this file", &labels},
        {"D01", "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\"}\n",
         "x.tsv:2: missing column: no \"label\"", &any},
        {"D01", "{\"label\": 1}\n", "x.tsv:1: missing column: no \"text\"", &any},
        {"D01", "{\"text\": \"a\"}\n{\"text\": \"b\", \"label\": 1}\n",
         "x.tsv:2: \"label\" in this object but not in those before", &any},
        {"D01", "{\"text\": \"a\"}\n", "x.tsv:1: missing column: no \"label\"", &labels},
        {"D01", "sentence\tlabel\n\t1\n", "x.tsv:2: the sentence is empty", &any},
        {"D02", "sentence\tlabel\none\tgood\n", "x.tsv:2: bad label 'good'", &any},
        {"D02", "sentence\tlabel\none\t1.0\n", "x.tsv:2: bad label '1.0'", &any},
        {"D02", "sentence\tlabel\none\t-1\n", "x.tsv:2: bad label '-1'", &any},
        {"D02", "sentence\tlabel\none\t 1\n", "x.tsv:2: bad label ' 1'", &any},
        {"D02", "sentence\tlabel\none\t\n", "x.tsv:2: the label is empty", &any},
        {"D02", "sentence\tlabel\none\t1\ntwo\t2\n", "x.tsv:3: label 2 is out of range",
         &two},
        {"D02", "sentence\tlabel\none\t99999999999999999999\n", "x.tsv:2: bad label",
         &any},
        {"D02", "sentence\tlabel\none\t5000\n", "x.tsv:2: label 5000 is out of range",
         &any},
        {"D02", "{\"text\": \"a\", \"label\": 1.5}", "x.tsv:1: bad label", &any},
        {"D02", "{\"text\": \"a\", \"label\": [1]}", "x.tsv:1: bad label", &any},
        {"D02", "{\"text\": \"a\", \"label\": 1e300}", "x.tsv:1: bad label", &any},
        {"D02", "index\tsentence\nx\tone\n", "x.tsv:2: bad index 'x'", &any},
        {"D03", "sentence\tlabel\none\tmore\t1\n", "x.tsv:2: extra column", &any},
        {"D03", "index\tsentence\n0\tone\ttwo\n", "x.tsv:2: extra column", &any},
        {"D05", "", "x.tsv: empty file", &any},
        {"D05", "\xEF\xBB\xBF", "x.tsv: empty file", &any},
        {"D05", "sentence\tlabel\n", "x.tsv: a header and no rows", &any},
        {"D05", "sentence\tlabel", "x.tsv: a header and no rows", &any},
        {"T10", "one\t1\nt\xC0\xAF\t0\n", "x.tsv:2: invalid UTF-8 at byte 2", &any},
        {"T10", "\xED\xA0\x80\n", "x.tsv:1: invalid UTF-8 at byte 1", &any},
        {"json", "{\"text\": \"a\"\n", "x.tsv: line 1", &any},
        {"json", "{\"text\": \"a\"}\n[1]\n", "x.tsv:2: expected a JSON object", &any},
        {"json", "{\"text\": \"a\"}\n\n", "x.tsv:2: empty line", &any},
        {"json", "{\"text\": \"a\", \"text\": \"b\"}\n", "x.tsv: line 1", &any},
        {"json", "{\"text\": 7}\n", "x.tsv:1: \"text\" is not a string", &any},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pare_dataset data;
        struct pare_error err = {""};
        enum pare_status status = parse(cases[i].text, cases[i].options, &data, &err);
        cr_expect_eq(status, PARE_ERR_INPUT, "%s %zu: %s", cases[i].id, i, err.message);
        cr_expect(strstr(err.message, cases[i].phrase), "%s %zu: %s", cases[i].id, i,
                  err.message);
        cr_expect_eq(data.count, 0);
        cr_expect_null(data.texts);
    }
}

Test(dataset, D07_a_NUL_is_refused)
{
    struct pare_dataset data;
    struct pare_error err;
    cr_assert_eq(pare_dataset_parse("one\t1\nt\0o\t1\n", 12, "x.tsv", NULL, &data, &err),
                 PARE_ERR_INPUT);
    cr_assert(strstr(err.message, "x.tsv:2: byte 2 of the line is NUL"), "%s",
              err.message);
}

Test(dataset, D06_a_line_may_have_a_mebibyte_and_no_more)
{
    size_t size = PARE_TEXT_MAX_LINE + 1;
    char *line = malloc(size);
    struct pare_dataset data;
    struct pare_error err;
    memset(line, 'a', size);
    cr_assert_eq(pare_dataset_parse(line, size - 1, "x", NULL, &data, &err), PARE_OK);
    cr_assert_eq(data.texts[0].length, PARE_TEXT_MAX_LINE);
    pare_dataset_free(&data);
    cr_assert_eq(pare_dataset_parse(line, size, "x", NULL, &data, &err), PARE_ERR_INPUT);
    cr_assert(strstr(err.message, "x:1: the line is 1048577 bytes long"), "%s",
              err.message);
    free(line);
}

Test(dataset, label_names_stand_for_numbers)
{
    static const char *const names[] = {"negative", "positive"};
    const struct pare_text_options options = {.label_count = 2, .label_names = names};
    struct pare_dataset data;
    struct pare_error err;
    cr_assert_eq(parse("a\tpositive\nb\t0\n", &options, &data, &err), PARE_OK);
    cr_assert_eq(data.labels[0], 1);
    cr_assert_eq(data.labels[1], 0);
    pare_dataset_free(&data);
    cr_assert_eq(
        parse("{\"text\": \"a\", \"label\": \"positive\"}", &options, &data, &err),
        PARE_OK);
    cr_assert_eq(data.labels[0], 1);
    pare_dataset_free(&data);
    cr_assert_eq(parse("a\tPositive\n",
                       &(struct pare_text_options){
                           .need_labels = 1, .label_count = 2, .label_names = names},
                       &data, &err),
                 PARE_ERR_INPUT);
    cr_assert(strstr(err.message, "or the name of a label"), "%s", err.message);
}

Test(dataset, a_chosen_format_is_not_guessed)
{
    struct pare_text_options plain = {.format = PARE_TEXT_PLAIN};
    struct pare_dataset data;
    struct pare_error err;
    cr_assert_eq(parse("sentence\tlabel\none\t1\n", &plain, &data, &err), PARE_OK);
    cr_assert_eq(data.count, 2);
    cr_assert_null(data.labels);
    pare_dataset_free(&data);
}

Test(dataset, loads_from_a_file_and_names_it_in_errors)
{
    struct folder folder = folder_make();
    const char *path = folder_path(&folder, "data.tsv");
    struct pare_dataset data;
    struct pare_error err;
    put_file(path, "one\t1\ntwo\t0", 11);
    cr_assert_eq(pare_dataset_load(path, NULL, &data, &err), PARE_OK, "%s", err.message);
    cr_assert_eq(data.count, 2);
    cr_assert(text_is(&data, 1, "two"));
    pare_dataset_free(&data);
    pare_dataset_free(&data);
    put_file(path, "one\t1\ntwo\tx", 11);
    cr_assert_eq(pare_dataset_load(path, NULL, &data, &err), PARE_ERR_INPUT);
    cr_assert(strstr(err.message, "data.tsv:2: bad label 'x'"), "%s", err.message);
    put_file(path, "", 0);
    cr_assert_eq(pare_dataset_load(path, NULL, &data, &err), PARE_ERR_INPUT);
    cr_assert_eq(pare_dataset_load(folder_path(&folder, "no"), NULL, &data, &err),
                 PARE_ERR_IO);
    cr_assert_eq(pare_dataset_load(folder.path, NULL, &data, &err), PARE_ERR_IO);
    folder_remove(&folder);
}

/* The real files, when they are at hand. */
Test(dataset, reads_sst2)
{
    static const struct {
        const char *name;
        size_t count, positive;
    } files[] = {
        {"train.tsv", 67349, 37569}, {"dev.tsv", 872, 444}, {"test.tsv", 1821, 0}};
    const char *root = getenv("PARE_DATA");
    if (!root)
        cr_skip_test("PARE_DATA is not set: SST-2 is not read");
    for (size_t i = 0; i < 3; i++) {
        char path[512];
        struct pare_dataset data;
        struct pare_error err;
        snprintf(path, sizeof path, "%s/sst2/glue/%s", root, files[i].name);
        cr_assert_eq(pare_dataset_load(path, NULL, &data, &err), PARE_OK, "%s",
                     err.message);
        cr_assert_eq(data.count, files[i].count);
        if (files[i].positive)
            cr_assert_eq(data.label_counts[1], files[i].positive);
        else
            cr_assert_null(data.labels);
        pare_dataset_free(&data);
    }
}

/* ---- text alone ----------------------------------------------------------------- */

Test(dataset, text_alone_leaves_labels_and_blank_lines)
{
    static const struct {
        const char *text;
        enum pare_text_format format;
        size_t count, blank;
    } cases[] = {
        {"one\n\n \ntwo\n", PARE_TEXT_PLAIN, 2, 2},
        {"\none\n", PARE_TEXT_PLAIN, 1, 1},
        {"sentence\tlabel\none\t7\n\ntwo\tno label\n \t1\nthree\t\n", PARE_TEXT_LABELLED,
         3, 2},
        {"index\tsentence\n0\tone\n1\t \n2\ttwo\n", PARE_TEXT_INDEXED, 2, 1},
        {"{\"text\": \"one\"}\n\n{\"text\": \"two\", \"label\": [1]}\n"
         "{\"text\": \"\", \"label\": 1}\n",
         PARE_TEXT_JSON, 2, 2},
    };
    const struct pare_text_options options = {.text_alone = 1, .label_count = 2};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pare_dataset data;
        struct pare_error err;
        cr_assert_eq(parse(cases[i].text, &options, &data, &err), PARE_OK, "%zu: %s", i,
                     err.message);
        cr_expect_eq(data.format, cases[i].format, "%zu", i);
        cr_expect_eq(data.count, cases[i].count, "%zu", i);
        cr_expect_eq(data.blank, cases[i].blank, "%zu", i);
        cr_expect_null(data.labels);
        cr_expect(text_is(&data, 0, "one"), "%zu", i);
        pare_dataset_free(&data);
    }
}

Test(dataset, text_alone_needs_some_text)
{
    const struct pare_text_options options = {.text_alone = 1};
    struct pare_dataset data;
    struct pare_error err;
    cr_expect_eq(parse("\n \n", &options, &data, &err), PARE_ERR_INPUT);
    cr_expect_str_eq(err.message, "x.tsv: nothing but blank lines");
    cr_expect_eq(parse("{\"text\": \"a\"}\n{\"txt\": 1}\n", &options, &data, &err),
                 PARE_ERR_INPUT);
    cr_expect_str_eq(err.message, "x.tsv:2: missing column: no \"text\" in the object");
    cr_expect_eq(parse("sentence\tlabel\none\n", &options, &data, &err), PARE_ERR_INPUT);
}
