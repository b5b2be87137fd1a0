/* Sizes in bytes, as people write them. */
#ifndef PARE_TOOLS_SIZES_H
#define PARE_TOOLS_SIZES_H

#include <stdint.h>

#include "runtime/base/error.h"

/* "1500", "512MB", "1.5 GB", "64KiB": a number and B, kB, MB, GB, TB (powers of 1000) or
 * KiB, MiB, GiB, TiB; upper or lower case. PARE_ERR_USAGE naming the option for anything
 * else, for less than one byte and for more than 2^62. */
enum pare_status parse_size(const char *option, const char *text, uint64_t *bytes,
                            struct pare_error *err) PARE_CHECKED;

#endif
