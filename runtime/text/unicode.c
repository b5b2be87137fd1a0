/* Unicode properties by binary search in the generated tables, and UTF-8.
 *
 * Canonical decomposition and the arithmetic of Hangul: The Unicode Standard,
 * section 3.12 and Annex 15. Well-formed UTF-8: the same, table 3-7.
 */
#include "runtime/text/unicode.h"

#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/text/unicode_tables.h"

#define HANGUL_BASE 0xAC00u
#define HANGUL_COUNT 11172u
#define DOTTED_CAPITAL_I 0x130u

/* The last run that starts at or before `code`; the first starts at 0x20000. */
static unsigned high_flags(uint32_t code)
{
    size_t low = 0, high = pare_unicode_high_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (pare_unicode_high[middle].start <= code)
            low = middle;
        else
            high = middle;
    }
    return pare_unicode_high[low].flags;
}

unsigned pare_unicode_flags(uint32_t code)
{
    if (code >= 0x20000)
        return code < 0x110000 ? high_flags(code) : 0;
    size_t low = pare_unicode_page[code >> 8], high = pare_unicode_page[(code >> 8) + 1];
    uint8_t within = (uint8_t)code;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (pare_unicode_run_start[middle] <= within)
            low = middle;
        else
            high = middle;
    }
    return pare_unicode_run_flags[low];
}

int pare_unicode_is_cjk(uint32_t code)
{
    if (code < 0x3400)
        return 0;
    /* The sixth range starts at 0x2B920 in Hugging Face's tokenizers, although the block
     * starts at 0x2B820: kept, for ids equal to theirs. */
    return (code >= 0x4E00 && code <= 0x9FFF) || code <= 0x4DBF ||
           (code >= 0xF900 && code <= 0xFAFF) || (code >= 0x20000 && code <= 0x2A6DF) ||
           (code >= 0x2A700 && code <= 0x2B81F) || (code >= 0x2B920 && code <= 0x2CEAF) ||
           (code >= 0x2F800 && code <= 0x2FA1F);
}

/* The index of `code` in the sorted decompositions, or their count. */
static size_t find_decomposed(uint32_t code)
{
    size_t low = 0, high = pare_unicode_decomposed_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (pare_unicode_decomposed[middle] < code)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < pare_unicode_decomposed_count && pare_unicode_decomposed[low] == code)
        return low;
    return pare_unicode_decomposed_count;
}

/* One step: the first part, and the second or 0; `code` itself when it does not
 * decompose. */
static uint32_t decompose_once(uint32_t code, uint32_t *second)
{
    *second = 0;
    uint32_t one = 0;
    if (code - 0xF900 < 474)
        one = pare_unicode_compat_bmp[code - 0xF900];
    else if (code - 0x2F800 < 542)
        one = pare_unicode_compat_sip[code - 0x2F800];
    if (one)
        return one;
    size_t i = find_decomposed(code);
    if (i == pare_unicode_decomposed_count)
        return code;
    *second = pare_unicode_second[i];
    return pare_unicode_first[i];
}

unsigned pare_unicode_decompose(uint32_t code, uint32_t out[4])
{
    if (code - HANGUL_BASE < HANGUL_COUNT) {
        uint32_t s = code - HANGUL_BASE;
        out[0] = 0x1100 + s / 588;
        out[1] = 0x1161 + s % 588 / 28;
        out[2] = 0x11A7 + s % 28;
        return s % 28 ? 3 : 2;
    }
    /* The second parts come out last first; no chain is longer than three. */
    uint32_t tail[3];
    unsigned tails = 0;
    for (unsigned depth = 0; depth < 4; depth++) {
        uint32_t second, first = decompose_once(code, &second);
        if (first == code)
            break;
        code = first;
        if (second && tails < 3)
            tail[tails++] = second;
    }
    out[0] = code;
    for (unsigned i = 0; i < tails; i++)
        out[1 + i] = tail[tails - 1 - i];
    return 1 + tails;
}

unsigned pare_unicode_lower_case(uint32_t code, uint32_t out[2])
{
    out[0] = code;
    if (code == DOTTED_CAPITAL_I) {
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    size_t low = 0, high = pare_unicode_lower_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (pare_unicode_lower[middle].last < code)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < pare_unicode_lower_count) {
        const struct pare_unicode_lower *run = &pare_unicode_lower[low];
        if (run->first <= code && (code - run->first) % run->step == 0)
            out[0] = (uint32_t)((int64_t)code + run->delta);
    }
    return 1;
}

unsigned pare_unicode_combining_class(uint32_t code)
{
    size_t low = 0, high = pare_unicode_class_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (pare_unicode_class[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < pare_unicode_class_count && pare_unicode_class[low].code == code
               ? pare_unicode_class[low].class
               : 0;
}

/* The length of the valid character at `s` (at least one byte there), or 0; then *bad is
 * the length of the maximal part that cannot be completed. */
static size_t character_length(const uint8_t *s, size_t available, size_t *bad)
{
    *bad = 1;
    size_t length = s[0] < 0x80   ? 1
                    : s[0] < 0xC2 ? 0
                    : s[0] < 0xE0 ? 2
                    : s[0] < 0xF0 ? 3
                                  : 4;
    if (length <= 1 || s[0] > 0xF4)
        return length == 1;
    /* Overlong forms, surrogates and what lies above U+10FFFF show in the second byte. */
    uint8_t from = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : 0x80;
    uint8_t to = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : 0xBF;
    for (size_t i = 1; i < length; i++) {
        if (i >= available || s[i] < from || s[i] > to) {
            *bad = i;
            return 0;
        }
        from = 0x80;
        to = 0xBF;
    }
    return length;
}

size_t pare_utf8_valid(const char *text, size_t length)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t i = 0;
    while (i < length) {
        uint64_t eight;
        while (length - i >= 8) {
            memcpy(&eight, s + i, 8);
            if (eight & 0x8080808080808080u)
                break;
            i += 8;
        }
        while (i < length && s[i] < 0x80)
            i++;
        while (i < length && s[i] >= 0x80) {
            size_t bad, n = character_length(s + i, length - i, &bad);
            if (!n)
                return i;
            i += n;
        }
    }
    return length;
}

/* The repaired text into `to`, if that is not NULL; its length in any case. */
static size_t repair(const uint8_t *s, size_t length, uint8_t *to)
{
    size_t used = 0;
    for (size_t i = 0; i < length;) {
        uint8_t replacement[4];
        size_t bad, n = character_length(s + i, length - i, &bad);
        size_t put = n ? n : pare_utf8_encode(PARE_UNICODE_REPLACEMENT, replacement);
        if (to)
            memcpy(to + used, n ? s + i : replacement, put);
        used += put;
        i += n ? n : bad;
    }
    return used;
}

enum pare_status pare_utf8_repair(const char *text, size_t length, char **out,
                                  size_t *out_length, struct pare_error *err)
{
    const uint8_t *s = (const uint8_t *)text;
    *out_length = repair(s, length, NULL);
    PARE_TRY(pare_alloc_raw(out, *out_length, 1, err));
    repair(s, length, (uint8_t *)*out);
    return PARE_OK;
}
