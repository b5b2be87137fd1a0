#include "runtime/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum pare_status pare_fail(struct pare_error *err, enum pare_status status,
                           const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return status;
}

enum pare_status pare_fail_in(struct pare_error *err, enum pare_status status,
                              const char *format, ...)
{
    if (err) {
        char inner[PARE_ERROR_MESSAGE_SIZE];
        memcpy(inner, err->message, sizeof inner);
        va_list args;
        va_start(args, format);
        int n = vsnprintf(err->message, sizeof err->message - 2, format, args);
        va_end(args);
        size_t used = strlen(err->message), left = sizeof err->message - used - 3;
        if (n < 0)
            return status;
        memcpy(err->message + used, ": ", 2);
        size_t kept = strnlen(inner, left);
        memcpy(err->message + used + 2, inner, kept);
        err->message[used + 2 + kept] = '\0';
    }
    return status;
}

enum pare_status pare_fail_memory(struct pare_error *err, unsigned long long bytes)
{
    return pare_fail(err, PARE_ERR_MEMORY, "out of memory: %llu bytes could not be had",
                     bytes);
}

const char *pare_status_name(enum pare_status status)
{
    switch (status) {
    case PARE_OK: return "ok";
    case PARE_ERR_INTERNAL: return "internal error";
    case PARE_ERR_USAGE: return "usage error";
    case PARE_ERR_INPUT: return "bad input";
    case PARE_ERR_MEMORY: return "out of memory";
    case PARE_ERR_IO: return "input/output error";
    case PARE_ERR_LOCKED: return "locked";
    case PARE_ERR_GATE: return "quality gate not met";
    case PARE_ERR_INTERRUPTED: return "interrupted";
    }
    return "unknown status";
}
