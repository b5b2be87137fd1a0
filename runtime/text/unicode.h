/* What tokenizers need of Unicode, answered as Hugging Face's library answers it (the
 * versions it mixes: scripts/gen_unicode.py), and UTF-8. */
#ifndef PARE_TEXT_UNICODE_H
#define PARE_TEXT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_unicode_flag {
    PARE_UNICODE_SPACE = 1,       /* White_Space */
    PARE_UNICODE_CONTROL = 2,     /* dropped by BERT's clean-up, U+0000 and U+FFFD too */
    PARE_UNICODE_PUNCT = 4,       /* P*, and the ASCII symbols */
    PARE_UNICODE_MARK = 8,        /* Mn: what "strip accents" drops */
    PARE_UNICODE_WORD = 16,       /* \w of a regular expression */
    PARE_UNICODE_DECOMPOSES = 32, /* may have a canonical decomposition: look it up */
    PARE_UNICODE_LOWERS = 64,     /* may have another lower case: look it up */
    PARE_UNICODE_COMBINES = 128,  /* combining class not 0 */
};

#define PARE_UNICODE_REPLACEMENT 0xFFFDu

/* The flags above of a code point; 0 from 0x110000 on. */
unsigned pare_unicode_flags(uint32_t code);
/* The ranges that BERT surrounds with spaces. */
int pare_unicode_is_cjk(uint32_t code);
/* The full canonical decomposition; 1 and the code point itself when there is none. */
unsigned pare_unicode_decompose(uint32_t code, uint32_t out[4]);
/* The lower case, one or two code points. */
unsigned pare_unicode_lower_case(uint32_t code, uint32_t out[2]);
/* The combining class of a character flagged COMBINES and not MARK; else 0. */
unsigned pare_unicode_combining_class(uint32_t code);

/* The number of leading bytes of `text` that are valid UTF-8: `length` when all are. */
size_t pare_utf8_valid(const char *text, size_t length);
/* A copy in which each maximal invalid part is U+FFFD, as Python's errors="replace". The
 * caller frees *out with pare_free. */
enum pare_status pare_utf8_repair(const char *text, size_t length, char **out,
                                  size_t *out_length,
                                  struct pare_error *err) PARE_CHECKED;

/* Decodes one character of valid UTF-8 and returns its length in bytes. */
static inline size_t pare_utf8_decode(const uint8_t *s, uint32_t *code)
{
    if (s[0] < 0x80) {
        *code = s[0];
        return 1;
    }
    if (s[0] < 0xE0) {
        *code = (uint32_t)(s[0] & 0x1F) << 6 | (s[1] & 0x3Fu);
        return 2;
    }
    if (s[0] < 0xF0) {
        *code =
            (uint32_t)(s[0] & 0x0F) << 12 | (uint32_t)(s[1] & 0x3F) << 6 | (s[2] & 0x3Fu);
        return 3;
    }
    *code = (uint32_t)(s[0] & 0x07) << 18 | (uint32_t)(s[1] & 0x3F) << 12 |
            (uint32_t)(s[2] & 0x3F) << 6 | (s[3] & 0x3Fu);
    return 4;
}

/* Writes the UTF-8 form (at most 4 bytes) and returns its length. */
static inline size_t pare_utf8_encode(uint32_t code, uint8_t out[4])
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xC0 | code >> 6);
        out[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (uint8_t)(0xE0 | code >> 12);
        out[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | code >> 18);
    out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}

#ifdef __cplusplus
}
#endif
#endif
