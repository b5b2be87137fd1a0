#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/base/json_scan.h"
#include "tests/support/folder.h"

static struct pare_error err;

static enum pare_status parse(const char *text, size_t length, cJSON **out)
{
    err.message[0] = '\0';
    return pare_json_parse(text, length, "file.json", out, &err);
}

Test(json, valid_texts_are_parsed)
{
    const char *texts[] = {"{}",
                           "[]",
                           " \t\r\n{\"a\":1}\n ",
                           "null",
                           "true",
                           "-0",
                           "0.5e-3",
                           "\"\\u00e4\\ud83d\\ude00\\n\\/\\\"\"",
                           "\"\xc3\xa4\xf0\x9f\x98\x80\x7f\"",
                           "[[[[1,2],{\"x\":[]}]],{}]",
                           "{\"a\":{\"a\":1},\"b\":{\"a\":1},\"\":0}",
                           "1e308",
                           "0e999",
                           "1e-999",
                           "1000000000000000019884624838656"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cJSON *tree;
        cr_expect_eq(parse(texts[i], strlen(texts[i]), &tree), PARE_OK, "%s: %s",
                     texts[i], err.message);
        cJSON_Delete(tree);
    }
}

#define BAD(text, reason)                                                                \
    {                                                                                    \
        text, sizeof(text) - 1, reason                                                   \
    }

Test(json, everything_else_is_refused_with_its_place)
{
    static const struct {
        const char *text;
        size_t length;
        const char *reason;
    } cases[] = {
        BAD("", "byte 0: the text ends"),
        BAD("{", "byte 1: the text ends"),
        BAD("[1,", "byte 3: the text ends"),
        BAD("[1,]", "byte 3: expected a value"),
        BAD("{\"a\":1,}", "byte 7: expected a key"),
        BAD("{\"a\" 1}", "byte 5: expected a colon"),
        BAD("{\"a\"", "byte 4: expected a colon"),
        BAD("{a:1}", "byte 1: expected a key"),
        BAD("[1 2]", "byte 3: expected a comma or ]"),
        BAD("{\"a\":1 \"b\":2}", "byte 7: expected a comma or }"),
        BAD("[1}", "byte 2: expected a comma or ]"),
        BAD("{} x", "byte 3: something follows"),
        BAD("{}\0", "byte 2: something follows"),
        BAD("\xef\xbb\xbf{}", "byte 0: expected a value"),
        BAD("\v{}", "byte 0: expected a value"),
        BAD("NaN", "byte 0: expected a value"),
        BAD("Infinity", "byte 0: expected a value"),
        BAD("nul", "byte 0: expected a value"),
        BAD("01", "byte 0: a number with a leading zero"),
        BAD("-", "byte 0: expected a value"),
        BAD("+1", "byte 0: expected a value"),
        BAD(".5", "byte 0: expected a value"),
        BAD("1.", "byte 0: a number that ends"),
        BAD("1e", "byte 0: a number without its exponent"),
        BAD("1e+", "byte 0: a number without its exponent"),
        BAD("0x10", "byte 1: something follows"),
        BAD("1e400", "byte 0: a number too large"),
        BAD("-1.5e309", "byte 0: a number too large"),
        BAD("12345678901234567890123456789012345678901234567890.5e260",
            "byte 0: a number too large"),
        BAD("1e99999999999999999999999", "byte 0: a number too large"),
        BAD("1234567890123456789012345678901234567890123456789012345678901234",
            "more than 63 characters"),
        BAD("\"abc", "byte 0: this string does not end"),
        BAD("\"a\nb\"", "byte 2: a raw control character"),
        BAD("\"a\0b\"", "byte 2: a raw control character"),
        BAD("\"\\x\"", "byte 1: this escape does not exist"),
        BAD("\"\\\0\"", "byte 1: this escape does not exist"),
        BAD("\"\\", "byte 1: this escape does not exist"),
        BAD("\"\\u12\"", "byte 1: this escape does not exist"),
        BAD("\"\\u12x4\"", "byte 1: \\u needs four"),
        BAD("\"\\u0000\"", "byte 1: \\u0000"),
        BAD("\"\\ud800\"", "byte 1: half of a surrogate pair"),
        BAD("\"\\udc00\"", "byte 1: half of a surrogate pair"),
        BAD("\"\\ud800\\ud800\"", "byte 1: half of a surrogate pair"),
        BAD("\"\x80\"", "byte 1: not UTF-8"),
        BAD("\"\xc0\x80\"", "byte 1: not UTF-8"),
        BAD("\"\xc1\xbf\"", "byte 1: not UTF-8"),
        BAD("\"\xe0\x9f\xbf\"", "byte 1: not UTF-8"),
        BAD("\"\xed\xa0\x80\"", "byte 1: not UTF-8"),
        BAD("\"\xf0\x8f\xbf\xbf\"", "byte 1: not UTF-8"),
        BAD("\"\xf4\x90\x80\x80\"", "byte 1: not UTF-8"),
        BAD("\"\xf5\x80\x80\x80\"", "byte 1: not UTF-8"),
        BAD("\"\xc3\"", "byte 1: not UTF-8"),
        BAD("{\"a\":1,\"a\":2}", "byte 8: the key \"a\" occurs twice"),
        BAD("{\"a\":1,\"\\u0061\":2}", "occurs twice"),
        BAD("{\"\\u0061\":1,\"a\":2}", "occurs twice"),
        BAD("{\"\":1,\"\":2}", "occurs twice"),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *tree;
        /* A copy of exact size, so that a sanitizer sees any read behind it. */
        char *copy = malloc(cases[i].length ? cases[i].length : 1);
        memcpy(copy, cases[i].text, cases[i].length);
        cr_expect_eq(parse(copy, cases[i].length, &tree), PARE_ERR_INPUT, "%s",
                     cases[i].text);
        cr_expect_null(tree);
        cr_expect_not_null(strstr(err.message, cases[i].reason), "%s gave %s",
                           cases[i].text, err.message);
        cr_expect_eq(strncmp(err.message, "file.json: ", 11), 0);
        free(copy);
    }
}

Test(json, duplicate_keys_are_found_among_many)
{
    enum { KEYS = 5000 };
    char *text = malloc(KEYS * 40);
    for (int twin = -1; twin < KEYS; twin = twin < 0 ? 0 : twin * 3 + 1) {
        size_t n = (size_t)sprintf(text, "[{");
        for (int i = 0; i < KEYS; i++) /* every third key is written with an escape */
            n += (size_t)sprintf(text + n,
                                 i % 3 ? "\"key%d\":%d," : "\"\\u006bey%d\":%d,", i, i);
        n += (size_t)sprintf(text + n, "\"key%d\":0},{\"key1\":1}]",
                             twin < 0 ? KEYS : twin);
        cJSON *tree;
        enum pare_status status = parse(text, n, &tree);
        cr_assert_eq(status, twin < 0 ? PARE_OK : PARE_ERR_INPUT, "%d: %s", twin,
                     err.message);
        cJSON_Delete(tree);
    }
    free(text);
}

Test(json, nesting_has_a_limit)
{
    for (int depth = 63; depth <= 66; depth++) {
        char text[200] = "";
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        cJSON *tree;
        cr_assert_eq(parse(text, (size_t)(2 * depth), &tree),
                     depth <= PARE_JSON_MAX_DEPTH ? PARE_OK : PARE_ERR_INPUT);
        cJSON_Delete(tree);
    }
}

Test(json, a_small_text_with_a_huge_tree_is_refused)
{
    size_t n = 4000001;
    char *text = malloc(n);
    for (size_t i = 0; i < n; i++)
        text[i] = i % 2 ? '0' : ',';
    text[0] = '[';
    text[n - 1] = ']';
    cJSON *tree;
    cr_assert_eq(parse(text, n, &tree), PARE_ERR_INPUT);
    cr_assert_not_null(strstr(err.message, "bytes of memory"));
    free(text);
}

Test(json, members_are_read_with_type_and_range)
{
    const char *text = "{\"n\":7,\"x\":0.5,\"b\":true,\"s\":\"hi\",\"z\":null,\"neg\":-1,"
                       "\"big\":9007199254740993,\"huge\":1e30}";
    cJSON *tree;
    cr_assert_eq(parse(text, strlen(text), &tree), PARE_OK);
    uint64_t n = 99;
    cr_assert_eq(pare_json_u64(tree, "n", 0, 10, &n, "f", &err), PARE_OK);
    cr_assert_eq(n, 7);
    n = 99;
    cr_assert_eq(pare_json_u64(tree, "none", 0, 10, &n, "f", &err), PARE_OK);
    cr_assert_eq(pare_json_u64(tree, "z", 0, 10, &n, "f", &err), PARE_OK);
    cr_assert_eq(n, 99);
    const char *bad[] = {"x", "b", "s", "neg", "big", "huge"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(pare_json_u64(tree, bad[i], 0, UINT64_MAX, &n, "f", &err),
                     PARE_ERR_INPUT, "%s", bad[i]);
    cr_assert_eq(pare_json_u64(tree, "n", 8, 10, &n, "f", &err), PARE_ERR_INPUT);
    cr_assert_str_eq(err.message, "f: \"n\": expected an integer of 8 to 10, found 7");
    cr_assert_eq(pare_json_u64(tree, "s", 8, 10, &n, "f", &err), PARE_ERR_INPUT);
    cr_assert_str_eq(err.message, "f: \"s\": expected an integer, found \"hi\"");

    double x;
    cr_assert_eq(pare_json_double(tree, "x", 0, 1, &x, "f", &err), PARE_OK);
    cr_assert_eq(x, 0.5);
    cr_assert_eq(pare_json_double(tree, "x", 0.6, 1, &x, "f", &err), PARE_ERR_INPUT);
    cr_assert_eq(pare_json_double(tree, "s", 0, 1, &x, "f", &err), PARE_ERR_INPUT);
    int b = 0;
    cr_assert_eq(pare_json_bool(tree, "b", &b, "f", &err), PARE_OK);
    cr_assert_eq(b, 1);
    cr_assert_eq(pare_json_bool(tree, "n", &b, "f", &err), PARE_ERR_INPUT);
    const char *s = NULL;
    cr_assert_eq(pare_json_string(tree, "s", &s, "f", &err), PARE_OK);
    cr_assert_str_eq(s, "hi");
    cr_assert_eq(pare_json_string(tree, "n", &s, "f", &err), PARE_ERR_INPUT);
    cJSON_Delete(tree);
}

Test(json, a_written_file_reads_back_and_not_a_number_is_not_written)
{
    struct folder folder = folder_make();
    const char *path = folder_path(&folder, "a.json");
    cJSON *tree = cJSON_CreateObject(), *back;
    cJSON_AddNumberToObject(tree, "x", 0.1);
    cr_assert_eq(pare_json_write_file(path, tree, &err), PARE_OK);
    cr_assert(file_is(path, "{\n\t\"x\":\t0.1\n}\n", 14));
    cr_assert_eq(pare_json_parse_file(path, &back, &err), PARE_OK);
    cr_assert(cJSON_Compare(tree, back, 1));
    cJSON_Delete(back);
    cJSON_AddItemToArray(cJSON_AddArrayToObject(tree, "list"), cJSON_CreateNumber(NAN));
    cr_assert_eq(pare_json_write_file(path, tree, &err), PARE_ERR_INTERNAL);
    cr_assert_eq(pare_json_parse_file(path, &back, &err), PARE_OK);
    cJSON_Delete(back);
    cJSON_Delete(tree);
    put_file(path, "", 0);
    cr_assert_eq(pare_json_parse_file(path, &back, &err), PARE_ERR_INPUT);
    cr_assert_eq(pare_json_parse_file(folder.path, &back, &err), PARE_ERR_IO);
    folder_remove(&folder);
}

Test(json, the_scanner_gives_events_and_decoded_tokens)
{
    const char *text = "{\"k\\u00e9\\n\":[1,\"a\",{}],\"x\":{\"y\":[[]]},\"n\":12}";
    struct pare_json_scan scan;
    enum pare_json_event event;
    char token[64];
    uint64_t n;
    pare_json_scan_init(&scan, text, strlen(text), "t", 1);
    cr_assert_eq(pare_json_next(&scan, &event, &err), PARE_OK);
    cr_assert_eq(event, PARE_JSON_OBJECT);
    cr_assert_eq(pare_json_next(&scan, &event, &err), PARE_OK);
    cr_assert_eq(event, PARE_JSON_KEY);
    cr_assert_eq(pare_json_token(&scan, token), 4);
    cr_assert_eq(memcmp(token, "k\xc3\xa9\n", 4), 0);
    cr_assert(pare_json_token_is(&scan, "k\xc3\xa9\n"));
    cr_assert(!pare_json_token_is(&scan, "k"));
    cr_assert_eq(pare_json_next(&scan, &event, &err), PARE_OK);
    cr_assert_eq(event, PARE_JSON_ARRAY);
    cr_assert_eq(pare_json_skip(&scan, event, &err), PARE_OK);
    cr_assert_eq(pare_json_next(&scan, &event, &err), PARE_OK);
    cr_assert(event == PARE_JSON_KEY && pare_json_token_is(&scan, "x"));
    cr_assert_eq(pare_json_next(&scan, &event, &err), PARE_OK);
    cr_assert_eq(pare_json_skip(&scan, event, &err), PARE_OK);
    cr_assert_eq(pare_json_next(&scan, &event, &err), PARE_OK);
    cr_assert(event == PARE_JSON_KEY && pare_json_token_is(&scan, "n"));
    cr_assert_eq(pare_json_next(&scan, &event, &err), PARE_OK);
    cr_assert_eq(pare_json_token_u64(&scan, &n, &err), PARE_OK);
    cr_assert_eq(n, 12);
    cr_assert_eq(pare_json_next(&scan, &event, &err), PARE_OK);
    cr_assert_eq(event, PARE_JSON_OBJECT_END);
    cr_assert_eq(pare_json_next(&scan, &event, &err), PARE_OK);
    cr_assert_eq(event, PARE_JSON_END);
    pare_json_scan_free(&scan);
}

/* cJSON as the second opinion: what the scanner lets pass, cJSON must parse too, and
 * every text of a small alphabet that cJSON refuses must be refused here. */
Test(json, the_scanner_is_never_laxer_than_cjson)
{
    static const char alphabet[] = "{}[],:\"a0-.";
    char text[7];
    for (size_t length = 1; length <= 5; length++) {
        size_t total = 1, letters = sizeof alphabet - 1;
        for (size_t i = 0; i < length; i++)
            total *= letters;
        for (size_t code = 0; code < total; code++) {
            size_t rest = code;
            for (size_t i = 0; i < length; i++, rest /= letters)
                text[i] = alphabet[rest % letters];
            text[length] = '\0';
            struct pare_json_scan scan;
            enum pare_json_event event = PARE_JSON_OBJECT;
            pare_json_scan_init(&scan, text, length, "t", 1);
            enum pare_status status = PARE_OK;
            while (status == PARE_OK && event != PARE_JSON_END)
                status = pare_json_next(&scan, &event, &err);
            pare_json_scan_free(&scan);
            if (status != PARE_OK)
                continue;
            cJSON *tree = cJSON_ParseWithLengthOpts(text, length, NULL, 0);
            cr_assert_not_null(tree, "%s", text);
            cJSON_Delete(tree);
        }
    }
}
