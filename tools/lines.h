/* Lines from a file, a pipe or a terminal, one at a time, without waiting for input that
 * is not there yet. */
#ifndef PARE_TOOLS_LINES_H
#define PARE_TOOLS_LINES_H

#include <stddef.h>

#include "runtime/base/error.h"

struct pare_lines {
    const char *name; /* of the file, for messages */
    int file;
    char *buffer;
    size_t start, end, capacity; /* of what was read and not yet given out */
    int at_end;                  /* the input is exhausted */
    int owned;                   /* the file is ours to close */
};

/* "-" is standard input. Close with pare_lines_close, also after a failure. */
enum pare_status pare_lines_open(struct pare_lines *lines, const char *path,
                                 struct pare_error *err) PARE_CHECKED;
void pare_lines_close(struct pare_lines *lines);

/* The next line without its newline (and without the carriage return before it); *line is
 * NULL at the end. It stays valid until the next call. A last line needs no newline. A
 * line of more than 64 MiB is PARE_ERR_INPUT. */
enum pare_status pare_lines_next(struct pare_lines *lines, const char **line,
                                 size_t *length, struct pare_error *err) PARE_CHECKED;

/* Whether pare_lines_next would return without waiting. */
int pare_lines_ready(const struct pare_lines *lines);

#endif
