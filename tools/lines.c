#include "tools/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/interrupt.h"

#define READ_BYTES ((size_t)64 * 1024)
#define LINE_LIMIT ((size_t)64 << 20)

enum pare_status pare_lines_open(struct pare_lines *lines, const char *path,
                                 struct pare_error *err)
{
    memset(lines, 0, sizeof *lines);
    if (!strcmp(path, "-")) {
        lines->name = "standard input";
        return PARE_OK;
    }
    lines->name = path;
    lines->file = open(path, O_RDONLY | O_CLOEXEC);
    if (lines->file < 0)
        return pare_fail(err, PARE_ERR_IO, "%s: %s", path, strerror(errno));
    lines->owned = 1;
    return PARE_OK;
}

void pare_lines_close(struct pare_lines *lines)
{
    if (lines->owned)
        close(lines->file);
    pare_free(lines->buffer);
    memset(lines, 0, sizeof *lines);
}

/* A read would be resumed after a signal and never see that it asked to stop; poll is
 * not, and looks again now and then for a signal that came just before it. */
static enum pare_status wait_for_input(const struct pare_lines *lines,
                                       struct pare_error *err)
{
    struct pollfd file = {.fd = lines->file, .events = POLLIN};
    int ready;
    do {
        PARE_TRY(pare_check_interrupted(err));
        ready = poll(&file, 1, 200);
    } while (ready == 0 || (ready < 0 && errno == EINTR));
    return PARE_OK;
}

/* Reads some more behind what is there. */
static enum pare_status fill(struct pare_lines *lines, struct pare_error *err)
{
    if (lines->start) {
        memmove(lines->buffer, lines->buffer + lines->start, lines->end - lines->start);
        lines->end -= lines->start;
        lines->start = 0;
    }
    if (lines->end > LINE_LIMIT)
        return pare_fail(err, PARE_ERR_INPUT, "%s: a line is longer than %zu MiB",
                         lines->name, LINE_LIMIT >> 20);
    PARE_TRY(
        pare_grow(&lines->buffer, &lines->capacity, lines->end + READ_BYTES, 1, err));
    PARE_TRY(wait_for_input(lines, err));
    ssize_t got;
    do
        got = read(lines->file, lines->buffer + lines->end, READ_BYTES);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return pare_fail(err, PARE_ERR_IO, "%s: %s", lines->name, strerror(errno));
    lines->at_end = got == 0;
    lines->end += (size_t)got;
    return PARE_OK;
}

static char *newline(const struct pare_lines *lines)
{
    size_t bytes = lines->end - lines->start;
    return bytes ? memchr(lines->buffer + lines->start, '\n', bytes) : NULL;
}

enum pare_status pare_lines_next(struct pare_lines *lines, const char **line,
                                 size_t *length, struct pare_error *err)
{
    *line = NULL;
    *length = 0;
    char *stop = newline(lines);
    while (!stop && !lines->at_end) {
        PARE_TRY(fill(lines, err));
        stop = newline(lines);
    }
    if (!stop && lines->start == lines->end)
        return PARE_OK;
    *line = lines->buffer + lines->start;
    *length = stop ? (size_t)(stop - *line) : lines->end - lines->start;
    lines->start += *length + (stop != NULL);
    if (*length && (*line)[*length - 1] == '\r')
        --*length;
    return PARE_OK;
}

int pare_lines_ready(const struct pare_lines *lines)
{
    if (lines->at_end || newline(lines))
        return 1;
    struct pollfd file = {.fd = lines->file, .events = POLLIN};
    return poll(&file, 1, 0) != 0;
}
