/* Starting the programs beside this one, and only those: what PATH holds under the same
 * name may belong to another version.
 */
#ifndef PARE_TOOLS_PROGRAMS_H
#define PARE_TOOLS_PROGRAMS_H

#include <stddef.h>

#include "runtime/base/error.h"

#define PROGRAM_PREFIX "pare-"
#define PROGRAM_FOLDER_SIZE 3072
#define PROGRAM_PATH_SIZE 4096

/* The folder this program was started from. */
enum pare_status program_folder(char folder[PROGRAM_FOLDER_SIZE],
                                struct pare_error *err) PARE_CHECKED;
/* That of pare-VERB; PARE_ERR_IO when there is none. */
enum pare_status program_path(const char *verb, char path[PROGRAM_PATH_SIZE],
                              struct pare_error *err) PARE_CHECKED;

/* Runs a program to its end with nothing on standard input; *code is its exit code, 128
 * and the signal's number when it was killed. `argv` ends with NULL, argv[0] is the path.
 * SIGINT and SIGTERM are passed on to it, a second one too; it is in a process group of
 * its own, so that a terminal's Ctrl-C does not reach it twice and cost it its
 * checkpoint. */
enum pare_status program_run(const char *const *argv, int *code,
                             struct pare_error *err) PARE_CHECKED;

/* The same, with what it prints (standard output and error together, 1 MiB at most, a NUL
 * behind it) in *text, which the caller frees with pare_free. */
enum pare_status program_capture(const char *const *argv, int *code, char **text,
                                 size_t *length, struct pare_error *err) PARE_CHECKED;

#endif
