/* UTF-8, as far as files need it. */
#ifndef PARE_BASE_UTF8_H
#define PARE_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length of the sequence at p, of which `left` >= 1 bytes are there; 0 if it is not valid
 * (table 3-7 of the Unicode standard: no overlong forms, no surrogates). */
static inline size_t pare_utf8_length(const uint8_t *p, size_t left)
{
    uint8_t first = p[0];
    size_t length = first < 0x80   ? 1
                    : first < 0xC2 ? 0
                    : first < 0xE0 ? 2
                    : first < 0xF0 ? 3
                    : first < 0xF5 ? 4
                                   : 0;
    if (length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    if ((first == 0xE0 && p[1] < 0xA0) || (first == 0xED && p[1] > 0x9F) ||
        (first == 0xF0 && p[1] < 0x90) || (first == 0xF4 && p[1] > 0x8F))
        return 0;
    return length;
}

#endif
