#include "tools/sizes.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The factor of a unit; 0 when there is no such unit. */
static double factor_of(const char *unit)
{
    static const struct {
        const char *name;
        double factor;
    } units[] = {{"", 1},         {"b", 1},       {"kb", 1e3},     {"mb", 1e6},
                 {"gb", 1e9},     {"tb", 1e12},   {"kib", 0x1p10}, {"mib", 0x1p20},
                 {"gib", 0x1p30}, {"tib", 0x1p40}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcasecmp(unit, units[i].name))
            return units[i].factor;
    return 0;
}

enum pare_status parse_size(const char *option, const char *text, uint64_t *bytes,
                            struct pare_error *err)
{
    char *end = NULL;
    /* strtod would take "inf", "0x10" and a sign as well. */
    const size_t digits = strspn(text, "0123456789.");
    const double number = digits ? strtod(text, &end) : 0;
    if (digits && end == text + digits) {
        while (isspace((unsigned char)*end))
            end++;
        const double size = number * factor_of(end);
        if (size >= 1 && size <= 0x1p62) {
            *bytes = (uint64_t)size;
            return PARE_OK;
        }
    }
    return pare_fail(err, PARE_ERR_USAGE,
                     "--%s \"%.64s\": expected a size like 512MB, 1.5GB or 64KiB", option,
                     text);
}
