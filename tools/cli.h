/* What all programs share: options, help, man pages, progress, signals, exit codes.
 *
 * A program is a table of options, a description and one function:
 *
 *     static enum pare_status run(struct pare_cli *cli, void *context,
 *                                 struct pare_error *err) { ... }
 *
 *     int main(int argc, char **argv)
 *     {
 *         struct options o = {.rate = 0.1};
 *         const struct pare_cli_option options[] = {
 *             PARE_CLI_DOUBLE('r', "rate", "R", &o.rate, 0, 1, "how fast"),
 *             PARE_CLI_END};
 *         const struct pare_cli_program program = {
 *             .name = "pare-example",
 *             .summary = "Shows how a program is written.",
 *             .usage = "[options] INPUT -o OUTPUT",
 *             .options = options,
 *             .min_operands = 1, .max_operands = 1,
 *             .common = PARE_CLI_OUTPUT | PARE_CLI_NEEDS_OUTPUT};
 *         return pare_cli_main(&program, argc, argv, run, &o);
 *     }
 *
 * The variables hold the defaults before the call, and --help prints them from there.
 * Options may stand before, between and behind operands; long names are never
 * abbreviated; "--" ends the options. Every program has -h, --version, -v, -q,
 * --progress, --threads and --cpu; the common mask adds -o and --seed. For programs that
 * start programs there are --list-options and --check-options, which --help leaves out.
 */
#ifndef PARE_TOOLS_CLI_H
#define PARE_TOOLS_CLI_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/arena.h"
#include "runtime/base/error.h"
#include "runtime/base/interrupt.h"
#include "runtime/base/progress.h"

enum pare_cli_type {
    PARE_CLI_TYPE_END = 0,
    PARE_CLI_TYPE_FLAG,    /* int: set to 1 */
    PARE_CLI_TYPE_STRING,  /* const char *: the word itself, not copied */
    PARE_CLI_TYPE_STRINGS, /* struct pare_cli_list: the option may be repeated */
    PARE_CLI_TYPE_CHOICE,  /* int: index into the NULL-terminated list of words */
    PARE_CLI_TYPE_INT,
    PARE_CLI_TYPE_U64,
    PARE_CLI_TYPE_DOUBLE, /* finite */
};

struct pare_cli_list { /* all zero: empty; pare_cli_main frees it */
    const char **items;
    size_t count, capacity;
};

struct pare_cli_option {
    char letter;      /* 0: the option has only a long name */
    const char *name; /* without the dashes */
    enum pare_cli_type type;
    const char *argument; /* how --help calls the argument: "FILE", "N" */
    union {
        int *number; /* FLAG, CHOICE, INT */
        const char **string;
        struct pare_cli_list *strings;
        uint64_t *u64;
        double *real;
    } value;
    double min, max;           /* INT, DOUBLE: inclusive */
    uint64_t u64_min, u64_max; /* U64: inclusive */
    const char *const *choices;
    const char *help; /* a phrase without a full stop; a default is added to it */
};

#define PARE_CLI_FLAG(letter_, name_, value_, help_)                                     \
    {                                                                                    \
        .letter = (letter_), .name = (name_), .type = PARE_CLI_TYPE_FLAG,                \
        .value.number = (value_), .help = (help_)                                        \
    }
#define PARE_CLI_STRING(letter_, name_, argument_, value_, help_)                        \
    {                                                                                    \
        .letter = (letter_), .name = (name_), .type = PARE_CLI_TYPE_STRING,              \
        .argument = (argument_), .value.string = (value_), .help = (help_)               \
    }
#define PARE_CLI_STRINGS(letter_, name_, argument_, value_, help_)                       \
    {                                                                                    \
        .letter = (letter_), .name = (name_), .type = PARE_CLI_TYPE_STRINGS,             \
        .argument = (argument_), .value.strings = (value_), .help = (help_)              \
    }
#define PARE_CLI_CHOICE(letter_, name_, argument_, value_, choices_, help_)              \
    {                                                                                    \
        .letter = (letter_), .name = (name_), .type = PARE_CLI_TYPE_CHOICE,              \
        .argument = (argument_), .value.number = (value_), .choices = (choices_),        \
        .help = (help_)                                                                  \
    }
#define PARE_CLI_INT(letter_, name_, argument_, value_, min_, max_, help_)               \
    {                                                                                    \
        .letter = (letter_), .name = (name_), .type = PARE_CLI_TYPE_INT,                 \
        .argument = (argument_), .value.number = (value_), .min = (min_), .max = (max_), \
        .help = (help_)                                                                  \
    }
#define PARE_CLI_U64(letter_, name_, argument_, value_, min_, max_, help_)               \
    {                                                                                    \
        .letter = (letter_), .name = (name_), .type = PARE_CLI_TYPE_U64,                 \
        .argument = (argument_), .value.u64 = (value_), .u64_min = (min_),               \
        .u64_max = (max_), .help = (help_)                                               \
    }
#define PARE_CLI_DOUBLE(letter_, name_, argument_, value_, min_, max_, help_)            \
    {                                                                                    \
        .letter = (letter_), .name = (name_), .type = PARE_CLI_TYPE_DOUBLE,              \
        .argument = (argument_), .value.real = (value_), .min = (min_), .max = (max_),   \
        .help = (help_)                                                                  \
    }
#define PARE_CLI_END                                                                     \
    {                                                                                    \
        .type = PARE_CLI_TYPE_END                                                        \
    }

enum pare_cli_common { /* which of the shared options a program has besides the rest */
                       PARE_CLI_OUTPUT = 1,
                       PARE_CLI_NEEDS_OUTPUT = 2, /* and -o must be given */
                       PARE_CLI_SEED = 4,
};

struct pare_cli_example {
    const char *command; /* without a prompt; NULL ends the list */
    const char *what;    /* a sentence */
};

struct pare_cli;
typedef enum pare_status pare_cli_fn(struct pare_cli *cli, void *context,
                                     struct pare_error *err);

struct pare_cli_program {
    const char *name;        /* "pare-convert" */
    const char *summary;     /* one sentence */
    const char *usage;       /* what follows the name: "[options] INPUT -o OUTPUT" */
    const char *description; /* paragraphs separated by an empty line, or NULL */
    const char *operands;    /* how a message calls what is missing: "INPUT"; or NULL */
    const char *output;      /* what -o is: "the container to write"; or NULL */
    const char *output_name; /* how --help calls its argument; NULL: "FILE" */
    const struct pare_cli_option *options;
    const struct pare_cli_example *examples; /* or NULL */
    int min_operands;
    int max_operands; /* -1: any number */
    unsigned common;
    /* Refuses options that make no sense, alone or together, and operands that could not;
     * looks at no file. Called before `run`, and alone by --check-options, through which
     * a recipe is checked before its first step (tools/recipe.h). NULL: nothing to say.
     */
    pare_cli_fn *check;
};

struct pare_cli { /* what a program's function gets */
    const struct pare_cli_program *program;
    const char *output; /* NULL when not given */
    uint64_t seed;      /* 0 when not given */
    int threads;        /* in use; already passed to pare_set_threads */
    const char *cpu;    /* the tier in use, already selected */
    int quiet, verbose;
    int operand_count;
    const char *const *operands;
    struct pare_progress progress; /* draws on standard error as --progress says */
    struct pare_cli_state *state;  /* private */
};

/* Parses, prepares the process (signals, threads, CPU tier), calls `run`, checks that
 * standard output took everything, prints `NAME: error: message` on standard error when
 * something failed, and returns the exit code: the status, or 128 + signal number when
 * interrupted. */
int pare_cli_main(const struct pare_cli_program *program, int argc, char **argv,
                  pare_cli_fn *run, void *context);

/* The parser alone. `cli` is filled in; operands point into argv, which is not changed.
 * *what says whether to go on or to print something instead. The caller frees with
 * pare_cli_free. */
enum pare_cli_action {
    PARE_CLI_RUN,
    PARE_CLI_SHOW_HELP,
    PARE_CLI_SHOW_MAN,
    PARE_CLI_SHOW_VERSION,
    PARE_CLI_SHOW_OPTIONS, /* --list-options: the table as JSON */
    PARE_CLI_CHECK,        /* --check-options: parse, ask the program's check, no more */
};
enum pare_status pare_cli_parse(const struct pare_cli_program *program, int argc,
                                char **argv, struct pare_cli *cli,
                                enum pare_cli_action *what,
                                struct pare_error *err) PARE_CHECKED;
void pare_cli_free(struct pare_cli *cli);

/* Adds to `words` what gives another program the same --threads, --cpu, --progress and
 * -q as this one was given. The words are owned by `arena`. */
enum pare_status pare_cli_pass_on(const struct pare_cli *cli, struct pare_arena *arena,
                                  struct pare_cli_list *words,
                                  struct pare_error *err) PARE_CHECKED;

/* Lines on standard error, each with "NAME: " before and a newline behind; the progress
 * bar steps aside. warn says "warning: "; quiet silences info but no warning; detail
 * appears with -v only. */
void pare_cli_warn(struct pare_cli *cli, const char *format, ...) PARE_PRINTF(2, 3);
void pare_cli_info(struct pare_cli *cli, const char *format, ...) PARE_PRINTF(2, 3);
void pare_cli_detail(struct pare_cli *cli, const char *format, ...) PARE_PRINTF(2, 3);

/* The one of `count` words nearest to `word` in spelling, NULL when none is near: for
 * "did you mean". */
const char *pare_cli_nearest(const char *word, const char *const *words, size_t count);

/* "12.3 MB" and the like, decimal units, into `out`. Returns `out`. */
const char *pare_cli_bytes(uint64_t bytes, char out[24]);

#endif
