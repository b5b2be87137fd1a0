/* Tables of unicode.c, written by scripts/gen_unicode.py. */
#ifndef PARE_TEXT_UNICODE_TABLES_H
#define PARE_TEXT_UNICODE_TABLES_H

#include <stddef.h>
#include <stdint.h>

/* Flags of code points below 0x20000: page c >> 8 owns the runs [page[p], page[p + 1]); a
 * run starts at c & 255 and ends where the next one starts. */
extern const uint16_t pare_unicode_page[513];
extern const uint8_t pare_unicode_run_start[];
extern const uint8_t pare_unicode_run_flags[];

/* Flags from 0x20000 on: runs, each up to the start of the next. */
struct pare_unicode_high {
    uint32_t start;
    uint8_t flags;
};
extern const struct pare_unicode_high pare_unicode_high[];
extern const size_t pare_unicode_high_count;

/* Every `step`-th code point of first..last lower-cases to itself + delta. */
struct pare_unicode_lower {
    uint32_t first, last;
    uint8_t step;
    int32_t delta;
};
extern const struct pare_unicode_lower pare_unicode_lower[];
extern const size_t pare_unicode_lower_count;

/* Combining classes of the characters that combine and are not dropped as accents. */
struct pare_unicode_class {
    uint32_t code;
    uint8_t class;
};
extern const struct pare_unicode_class pare_unicode_class[];
extern const size_t pare_unicode_class_count;

/* Canonical decompositions: the CJK compatibility ideographs from 0xF900 and 0x2F800 by
 * index (0: none), all others sorted, in one or two parts (second 0: one). Only the first
 * part may decompose further. Hangul syllables are arithmetic. */
extern const uint32_t pare_unicode_compat_bmp[474];
extern const uint32_t pare_unicode_compat_sip[542];
extern const uint32_t pare_unicode_decomposed[];
extern const uint32_t pare_unicode_first[];
extern const uint32_t pare_unicode_second[];
extern const size_t pare_unicode_decomposed_count;

#endif
