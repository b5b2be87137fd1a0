#include "tools/number_list.h"

#include <errno.h>
#include <stdlib.h>

long number_list_next(const char **text)
{
    char *end;
    if (**text < '0' || **text > '9')
        return -1;
    errno = 0;
    const long value = strtol(*text, &end, 10);
    if (errno || value > 9999)
        return -1;
    *text = end;
    return value;
}

enum pare_status number_list_parse(const char *option, const char *text, size_t most,
                                   uint32_t *out, size_t *n, struct pare_error *err)
{
    const char *at = text;
    *n = 0;
    for (;;) {
        const long value = number_list_next(&at);
        if (value < 0 || *n == most || (*at && *at != ','))
            return pare_fail(err, PARE_ERR_USAGE,
                             "--%s \"%.80s\": expected blocks such as 0,3,5, at most %zu",
                             option, text, most);
        out[(*n)++] = (uint32_t)value;
        if (!*at++)
            return PARE_OK;
    }
}
