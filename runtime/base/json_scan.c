/* JSON after RFC 8259, with nothing the RFC leaves open: keys are unique, text is UTF-8
 * without U+0000, numbers fit a double, nesting is at most PARE_JSON_MAX_DEPTH. */
#include "runtime/base/json_scan.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/utf8.h"

enum expectation {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_END, /* behind '[' */
    EXPECT_KEY,
    EXPECT_KEY_OR_END, /* behind '{' */
    EXPECT_COMMA_OR_END,
    EXPECT_NOTHING,
};

#define MAX_NUMBER_LENGTH 63 /* what cJSON copies before it converts */
#define FIRST_KEYS (sizeof((struct pare_json_level *)0)->first_keys / sizeof(uint32_t))

void pare_json_scan_init(struct pare_json_scan *scan, const char *text, size_t length,
                         const char *what, int check_keys)
{
    memset(scan, 0, sizeof *scan);
    scan->text = text;
    scan->length = length;
    scan->what = what;
    scan->keys_checked = check_keys;
    scan->expect = EXPECT_VALUE;
    scan->token = text;
}

void pare_json_scan_free(struct pare_json_scan *scan)
{
    for (int i = 0; i < PARE_JSON_MAX_DEPTH; i++)
        pare_names_free(&scan->levels[i].keys);
    for (int i = 0; i < 2; i++) {
        pare_free(scan->decoded[i]);
        scan->decoded[i] = NULL;
    }
}

static enum pare_status fail_at(const struct pare_json_scan *scan, size_t at,
                                struct pare_error *err, const char *reason)
{
    return pare_fail(err, PARE_ERR_INPUT, "%s: byte %llu: %s", scan->what,
                     (unsigned long long)(scan->shift + at), reason);
}

enum pare_status pare_json_scan_fail(const struct pare_json_scan *scan,
                                     struct pare_error *err, const char *format, ...)
{
    char reason[PARE_ERROR_MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return fail_at(scan, (size_t)(scan->token - scan->text), err, reason);
}

/* --- strings --- */

/* The four hexadecimal digits at p, or -1. */
static int32_t hex4(const char *p)
{
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Moves *at over the escape that starts there. */
static enum pare_status check_escape(const struct pare_json_scan *scan, size_t *at,
                                     struct pare_error *err)
{
    const char *p = scan->text + *at;
    size_t left = scan->length - *at;
    if (left >= 2 && p[1] != '\0' && strchr("\"\\/bfnrt", p[1])) {
        *at += 2;
        return PARE_OK;
    }
    if (left < 6 || p[1] != 'u')
        return fail_at(scan, *at, err, "this escape does not exist in JSON");
    int32_t unit = hex4(p + 2);
    if (unit < 0)
        return fail_at(scan, *at, err, "\\u needs four hexadecimal digits");
    if (unit == 0)
        return fail_at(scan, *at, err, "\\u0000 is not allowed");
    *at += 6;
    if (unit < 0xD800 || unit > 0xDFFF)
        return PARE_OK;
    int32_t low = left >= 12 && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : -1;
    if (unit > 0xDBFF || low < 0xDC00 || low > 0xDFFF)
        return fail_at(scan, *at - 6, err, "half of a surrogate pair");
    *at += 6;
    return PARE_OK;
}

/* The string whose opening quote is at scan->at; becomes the token. */
static enum pare_status scan_string(struct pare_json_scan *scan, struct pare_error *err)
{
    size_t at = scan->at + 1;
    scan->token = scan->text + at;
    scan->escaped = 0;
    for (;;) {
        if (at >= scan->length)
            return fail_at(scan, scan->at, err, "this string does not end");
        uint8_t c = (uint8_t)scan->text[at];
        if (c == '"')
            break;
        if (c == '\\') {
            scan->escaped = 1;
            PARE_TRY(check_escape(scan, &at, err));
        } else if (c < 0x20) {
            return fail_at(scan, at, err, "a raw control character in a string");
        } else {
            size_t length =
                pare_utf8_length((const uint8_t *)scan->text + at, scan->length - at);
            if (!length)
                return fail_at(scan, at, err, "not UTF-8");
            at += length;
        }
    }
    scan->token_length = (size_t)(scan->text + at - scan->token);
    scan->at = at + 1;
    return PARE_OK;
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = length - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(lead[length] | c);
    return length;
}

/* Decodes escapes that scan_string found to be valid. */
static size_t decode(const char *raw, size_t length, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    size_t n = 0;
    for (size_t i = 0; i < length;) {
        if (raw[i] != '\\') {
            out[n++] = raw[i++];
        } else if (raw[i + 1] != 'u') {
            out[n++] = to[strchr(from, raw[i + 1]) - from];
            i += 2;
        } else {
            uint32_t c = (uint32_t)hex4(raw + i + 2);
            i += 6;
            if (c >= 0xD800 && c <= 0xDBFF) {
                c = 0x10000 + ((c - 0xD800) << 10) + (uint32_t)hex4(raw + i + 2) - 0xDC00;
                i += 6;
            }
            n += put_utf8(out + n, c);
        }
    }
    return n;
}

size_t pare_json_token(const struct pare_json_scan *scan, char *out)
{
    if (scan->escaped)
        return decode(scan->token, scan->token_length, out);
    if (scan->token_length)
        memcpy(out, scan->token, scan->token_length);
    return scan->token_length;
}

int pare_json_token_is(const struct pare_json_scan *scan, const char *text)
{
    size_t length = strlen(text);
    if (!scan->escaped)
        return scan->token_length == length && memcmp(scan->token, text, length) == 0;
    if (scan->token_length > 6 * length) /* no escape is longer for one byte */
        return 0;
    char decoded[256];
    return scan->token_length <= sizeof decoded &&
           decode(scan->token, scan->token_length, decoded) == length &&
           memcmp(decoded, text, length) == 0;
}

/* --- duplicate keys --- */

/* The key whose first byte is at `offset`, decoded into buffer `which` if it must be. */
static const char *key_at(struct pare_json_scan *scan, uint32_t offset, int which,
                          size_t *length)
{
    const char *raw = scan->text + offset;
    size_t n = 0;
    int escaped = 0;
    for (; raw[n] != '"'; n++)
        if (raw[n] == '\\') {
            escaped = 1;
            n++;
        }
    *length = n;
    if (!escaped)
        return raw;
    *length = decode(raw, n, scan->decoded[which]);
    return scan->decoded[which];
}

static const char *key_for_table(void *context, uint32_t number, size_t *length)
{
    return key_at(context, number, 1, length);
}

/* The keys of this object so far against the new one at `offset`. */
static enum pare_status find_duplicate(struct pare_json_scan *scan,
                                       struct pare_json_level *level, uint32_t offset,
                                       uint32_t *other, struct pare_error *err)
{
    size_t length, there;
    const char *key = key_at(scan, offset, 0, &length);
    *other = PARE_NO_NAME;
    if (level->n_keys < FIRST_KEYS) {
        for (uint32_t i = 0; i < level->n_keys; i++) {
            const char *name = key_at(scan, level->first_keys[i], 1, &there);
            if (there == length && memcmp(name, key, length) == 0)
                *other = level->first_keys[i];
        }
        level->first_keys[level->n_keys++] = offset;
        return PARE_OK;
    }
    level->keys.name = key_for_table;
    level->keys.context = scan;
    if (level->n_keys == FIRST_KEYS)
        for (size_t i = 0; i < FIRST_KEYS; i++) {
            const char *first = key_at(scan, level->first_keys[i], 0, &length);
            PARE_TRY(pare_names_add(&level->keys, first, length, level->first_keys[i],
                                    other, err));
        }
    level->n_keys++;
    key = key_at(scan, offset, 0, &length);
    return pare_names_add(&level->keys, key, length, offset, other, err);
}

static enum pare_status check_key(struct pare_json_scan *scan, struct pare_error *err)
{
    if (!scan->keys_checked)
        return PARE_OK;
    if (scan->escaped)
        for (int i = 0; i < 2; i++)
            PARE_TRY(pare_grow(&scan->decoded[i], &scan->decoded_capacity[i],
                               scan->token_length, 1, err));
    uint32_t other;
    PARE_TRY(find_duplicate(scan, &scan->levels[scan->depth - 1],
                            (uint32_t)(scan->token - scan->text), &other, err));
    if (other == PARE_NO_NAME)
        return PARE_OK;
    return pare_json_scan_fail(scan, err, "the key \"%.*s\" occurs twice in one object",
                               (int)(scan->token_length < 100 ? scan->token_length : 100),
                               scan->token);
}

/* --- numbers --- */

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Whether a number with an exponent is finite: its digits without the point, then the
 * exponent made to match, so that no locale has a say. */
static int is_finite_number(const char *text, size_t length)
{
    char digits[MAX_NUMBER_LENGTH + 16];
    size_t n = 0, i = 0;
    long exponent = 0, written = 0;
    int fraction = 0;
    for (; i < length && text[i] != 'e' && text[i] != 'E'; i++) {
        if (text[i] == '.')
            fraction = 1;
        else
            digits[n++] = text[i];
        if (fraction && is_digit(text[i]))
            exponent--;
    }
    int negative = i + 1 < length && text[i + 1] == '-';
    for (; i < length; i++)
        if (is_digit(text[i]) && written < 100000)
            written = written * 10 + (text[i] - '0');
    exponent += negative ? -written : written;
    snprintf(digits + n, sizeof digits - n, "e%ld", exponent);
    return isfinite(strtod(digits, NULL));
}

static enum pare_status scan_number(struct pare_json_scan *scan, struct pare_error *err)
{
    const char *p = scan->text + scan->at, *end = scan->text + scan->length;
    const char *start = p;
    int has_exponent = 0;
    scan->token = start;
    if (p < end && *p == '-')
        p++;
    if (p >= end || !is_digit(*p))
        return fail_at(scan, scan->at, err, "expected a value");
    if (*p == '0' && p + 1 < end && is_digit(p[1]))
        return fail_at(scan, scan->at, err, "a number with a leading zero");
    while (p < end && is_digit(*p))
        p++;
    if (p < end && *p == '.') {
        p++;
        if (p >= end || !is_digit(*p))
            return fail_at(scan, scan->at, err, "a number that ends with its point");
        while (p < end && is_digit(*p))
            p++;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        has_exponent = 1;
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        if (p >= end || !is_digit(*p))
            return fail_at(scan, scan->at, err, "a number without its exponent");
        while (p < end && is_digit(*p))
            p++;
    }
    scan->token_length = (size_t)(p - start);
    scan->escaped = 0;
    if (scan->token_length > MAX_NUMBER_LENGTH)
        return fail_at(scan, scan->at, err, "a number of more than 63 characters");
    if (has_exponent && !is_finite_number(start, scan->token_length))
        return fail_at(scan, scan->at, err, "a number too large for a double");
    scan->at += scan->token_length;
    return PARE_OK;
}

enum pare_status pare_json_token_u64(const struct pare_json_scan *scan, uint64_t *out,
                                     struct pare_error *err)
{
    uint64_t value = 0;
    int valid = scan->token_length > 0 && scan->token_length <= 16; /* 2^53: 16 digits */
    for (size_t i = 0; valid && i < scan->token_length; i++) {
        valid = is_digit(scan->token[i]);
        value = value * 10 + (uint64_t)(scan->token[i] - '0');
    }
    if (!valid || value > (uint64_t)1 << 53)
        return pare_json_scan_fail(scan, err,
                                   "expected an integer of 0 to 2^53, found %.*s",
                                   (int)scan->token_length, scan->token);
    *out = value;
    return PARE_OK;
}

/* --- structure --- */

static enum pare_status open_level(struct pare_json_scan *scan, int is_object,
                                   enum pare_json_event *event, struct pare_error *err)
{
    if (scan->depth == PARE_JSON_MAX_DEPTH)
        return fail_at(scan, scan->at, err, "nested more than 64 levels deep");
    struct pare_json_level *level = &scan->levels[scan->depth++];
    level->is_object = is_object;
    level->n_keys = 0;
    scan->token = scan->text + scan->at++;
    scan->token_length = 1;
    scan->expect = is_object ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
    *event = is_object ? PARE_JSON_OBJECT : PARE_JSON_ARRAY;
    return PARE_OK;
}

static void after_value(struct pare_json_scan *scan)
{
    scan->expect = scan->depth ? EXPECT_COMMA_OR_END : EXPECT_NOTHING;
}

static enum pare_status close_level(struct pare_json_scan *scan,
                                    enum pare_json_event *event)
{
    struct pare_json_level *level = &scan->levels[--scan->depth];
    pare_names_free(&level->keys);
    *event = level->is_object ? PARE_JSON_OBJECT_END : PARE_JSON_ARRAY_END;
    scan->token = scan->text + scan->at++;
    scan->token_length = 1;
    after_value(scan);
    return PARE_OK;
}

static void skip_space(struct pare_json_scan *scan)
{
    while (scan->at < scan->length && scan->text[scan->at] != '\0' &&
           strchr(" \t\n\r", scan->text[scan->at]))
        scan->at++;
}

static enum pare_status scan_word(struct pare_json_scan *scan,
                                  enum pare_json_event *event, struct pare_error *err)
{
    static const struct {
        const char *text;
        enum pare_json_event event;
    } words[] = {
        {"true", PARE_JSON_TRUE}, {"false", PARE_JSON_FALSE}, {"null", PARE_JSON_NULL}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i].text);
        if (scan->length - scan->at >= length &&
            memcmp(scan->text + scan->at, words[i].text, length) == 0) {
            scan->token = scan->text + scan->at;
            scan->token_length = length;
            scan->at += length;
            *event = words[i].event;
            return PARE_OK;
        }
    }
    return fail_at(scan, scan->at, err, "expected a value");
}

static enum pare_status scan_value(struct pare_json_scan *scan,
                                   enum pare_json_event *event, struct pare_error *err)
{
    char c = scan->text[scan->at];
    if (c == '{' || c == '[')
        return open_level(scan, c == '{', event, err);
    if (c == '"') {
        *event = PARE_JSON_STRING;
        PARE_TRY(scan_string(scan, err));
    } else if (c == '-' || is_digit(c)) {
        *event = PARE_JSON_NUMBER;
        PARE_TRY(scan_number(scan, err));
    } else {
        PARE_TRY(scan_word(scan, event, err));
    }
    after_value(scan);
    return PARE_OK;
}

static enum pare_status scan_key(struct pare_json_scan *scan, enum pare_json_event *event,
                                 struct pare_error *err)
{
    if (scan->text[scan->at] != '"')
        return fail_at(scan, scan->at, err, "expected a key");
    PARE_TRY(scan_string(scan, err));
    PARE_TRY(check_key(scan, err));
    skip_space(scan);
    if (scan->at >= scan->length || scan->text[scan->at] != ':')
        return fail_at(scan, scan->at, err, "expected a colon");
    scan->at++;
    scan->expect = EXPECT_VALUE;
    *event = PARE_JSON_KEY;
    return PARE_OK;
}

/* What may stand behind a finished value: a comma, which is skipped, or an end. */
static enum pare_status pass_comma(struct pare_json_scan *scan, struct pare_error *err)
{
    int in_object = scan->levels[scan->depth - 1].is_object;
    char c = scan->text[scan->at];
    if (c == (in_object ? '}' : ']'))
        return PARE_OK;
    if (c != ',')
        return fail_at(scan, scan->at, err,
                       in_object ? "expected a comma or }" : "expected a comma or ]");
    scan->at++;
    scan->expect = in_object ? EXPECT_KEY : EXPECT_VALUE;
    skip_space(scan);
    if (scan->at >= scan->length)
        return fail_at(scan, scan->at, err, "the text ends too early");
    return PARE_OK;
}

enum pare_status pare_json_next(struct pare_json_scan *scan, enum pare_json_event *event,
                                struct pare_error *err)
{
    if (scan->length >= UINT32_MAX)
        return fail_at(scan, 0, err, "longer than 4 GiB");
    skip_space(scan);
    if (scan->expect == EXPECT_NOTHING) {
        *event = PARE_JSON_END;
        return scan->at == scan->length
                   ? PARE_OK
                   : fail_at(scan, scan->at, err, "something follows the value");
    }
    if (scan->at >= scan->length)
        return fail_at(scan, scan->at, err, "the text ends too early");
    if (scan->expect == EXPECT_COMMA_OR_END)
        PARE_TRY(pass_comma(scan, err));
    char c = scan->text[scan->at];
    switch ((enum expectation)scan->expect) {
    case EXPECT_COMMA_OR_END: return close_level(scan, event);
    case EXPECT_KEY_OR_END:
        if (c == '}')
            return close_level(scan, event);
        return scan_key(scan, event, err);
    case EXPECT_KEY: return scan_key(scan, event, err);
    case EXPECT_VALUE_OR_END:
        if (c == ']')
            return close_level(scan, event);
        return scan_value(scan, event, err);
    case EXPECT_VALUE:
    case EXPECT_NOTHING: break;
    }
    return scan_value(scan, event, err);
}

enum pare_status pare_json_skip(struct pare_json_scan *scan, enum pare_json_event event,
                                struct pare_error *err)
{
    if (event != PARE_JSON_OBJECT && event != PARE_JSON_ARRAY)
        return PARE_OK;
    int depth = scan->depth - 1;
    while (scan->depth > depth)
        PARE_TRY(pare_json_next(scan, &event, err));
    return PARE_OK;
}
