/* Shared by the files of tools/cli*.c and by nothing else. */
#ifndef PARE_TOOLS_CLI_INTERNAL_H
#define PARE_TOOLS_CLI_INTERNAL_H

#include <stdio.h>
#include <time.h>

#include "tools/cli.h"

enum pare_cli_progress_mode {
    PARE_CLI_PROGRESS_AUTO,
    PARE_CLI_PROGRESS_BAR,
    PARE_CLI_PROGRESS_LINES,
    PARE_CLI_PROGRESS_JSON,
    PARE_CLI_PROGRESS_NONE,
};

extern const char *const pare_cli_progress_words[]; /* of the modes above */

struct pare_cli_drawing { /* what the progress display remembers */
    enum pare_cli_progress_mode mode;
    const char *program;
    char phase[64];
    double phase_start; /* seconds of a monotonic clock */
    double last_time;
    int last_step;   /* tenths (lines) or hundredths (json) already told */
    int bar_visible; /* a bar stands on the current terminal line */
};

struct pare_cli_default { /* a variable's content before the options were read */
    int number;
    uint64_t u64;
    double real;
    const char *string;
};

struct pare_cli_state {
    struct pare_cli_option *table;     /* the program's options, then the common ones */
    struct pare_cli_default *defaults; /* one an option */
    size_t own, count;                 /* how many are the program's; all of them */
    const char **operands;
    const char *cpu;
    int threads, progress_mode;
    int help, man, version, list, check;
    struct pare_cli_drawing drawing;
};

/* cli_help.c */
void pare_cli_print_help(const struct pare_cli *cli, FILE *out);
void pare_cli_print_man(const struct pare_cli *cli, FILE *out);
void pare_cli_print_version(const struct pare_cli *cli, FILE *out);

/* cli_list.c */
enum pare_status pare_cli_print_options(const struct pare_cli *cli, FILE *out,
                                        struct pare_error *err) PARE_CHECKED;

/* cli_progress.c */
void pare_cli_progress_start(struct pare_cli *cli);
/* Takes the bar off the terminal line, so that something else can be printed. */
void pare_cli_progress_hide(struct pare_cli *cli);

/* cli_signals.c */
void pare_cli_install_signals(const char *program);

#endif
