#include "tools/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/kernels/kernels.h"
#include "tools/cli_internal.h"

/* getopt codes: an option's place in the table, above every character. */
#define CODE_BASE 0x100

const char *const pare_cli_progress_words[] = {"auto", "bar",  "lines",
                                               "json", "none", NULL};

/* ---- the table ---------------------------------------------------------------- */

#define COMMON_MAX 14

static size_t common_options(struct pare_cli *cli, struct pare_cli_option *out)
{
    const struct pare_cli_program *program = cli->program;
    struct pare_cli_state *state = cli->state;
    size_t n = 0;
    if (program->common & PARE_CLI_OUTPUT)
        out[n++] = (struct pare_cli_option)PARE_CLI_STRING(
            'o', "output", program->output_name ? program->output_name : "FILE",
            &cli->output, program->output ? program->output : "the file to write");
    if (program->common & PARE_CLI_SEED)
        out[n++] = (struct pare_cli_option)PARE_CLI_U64(
            0, "seed", "N", &cli->seed, 0, UINT64_MAX, "seed of all random choices");
    out[n++] = (struct pare_cli_option)PARE_CLI_INT(
        0, "threads", "N", &state->threads, 1, 256,
        "threads to compute with; all processors when not given");
    out[n++] = (struct pare_cli_option)PARE_CLI_STRING(
        0, "cpu", "TIER", &state->cpu,
        "CPU tier to use, as --version lists them; an error when this CPU lacks it");
    out[n++] = (struct pare_cli_option)PARE_CLI_CHOICE(
        0, "progress", "HOW", &state->progress_mode, pare_cli_progress_words,
        "how to show progress on standard error");
    out[n++] = (struct pare_cli_option)PARE_CLI_FLAG('v', "verbose", &cli->verbose,
                                                     "say more on standard error");
    out[n++] = (struct pare_cli_option)PARE_CLI_FLAG(
        'q', "quiet", &cli->quiet, "say nothing but warnings and errors");
    out[n++] = (struct pare_cli_option)PARE_CLI_FLAG('h', "help", &state->help,
                                                     "show this text");
    out[n++] = (struct pare_cli_option)PARE_CLI_FLAG(
        0, "version", &state->version, "show the versions of the program and its parts");
    /* Without a text: not listed. */
    out[n++] = (struct pare_cli_option)PARE_CLI_FLAG(0, "help-man", &state->man, NULL);
    out[n++] =
        (struct pare_cli_option)PARE_CLI_FLAG(0, "list-options", &state->list, NULL);
    out[n++] =
        (struct pare_cli_option)PARE_CLI_FLAG(0, "check-options", &state->check, NULL);
    return n;
}

static struct pare_cli_default current_value(const struct pare_cli_option *option)
{
    struct pare_cli_default value = {0};
    switch (option->type) {
    case PARE_CLI_TYPE_FLAG:
    case PARE_CLI_TYPE_CHOICE:
    case PARE_CLI_TYPE_INT: value.number = *option->value.number; break;
    case PARE_CLI_TYPE_U64: value.u64 = *option->value.u64; break;
    case PARE_CLI_TYPE_DOUBLE: value.real = *option->value.real; break;
    case PARE_CLI_TYPE_STRING: value.string = *option->value.string; break;
    default: break;
    }
    return value;
}

static enum pare_status build_table(struct pare_cli *cli, struct pare_error *err)
{
    struct pare_cli_state *state = cli->state;
    const struct pare_cli_option *own = cli->program->options;
    while (own && own[state->own].type != PARE_CLI_TYPE_END)
        state->own++;
    PARE_TRY(
        pare_alloc(&state->table, state->own + COMMON_MAX, sizeof *state->table, err));
    if (state->own)
        memcpy(state->table, own, state->own * sizeof *own);
    state->count = state->own + common_options(cli, state->table + state->own);
    PARE_TRY(pare_alloc(&state->defaults, state->count, sizeof *state->defaults, err));
    for (size_t i = 0; i < state->count; i++)
        state->defaults[i] = current_value(&state->table[i]);
    for (size_t i = 0; i < state->count; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct pare_cli_option *a = &state->table[i], *b = &state->table[j];
            if (!strcmp(a->name, b->name) || (a->letter && a->letter == b->letter))
                return pare_fail(err, PARE_ERR_INTERNAL, "option --%s is defined twice",
                                 a->name);
        }
    }
    return PARE_OK;
}

/* ---- values ------------------------------------------------------------------- */

static enum pare_status bad_value(const struct pare_cli_option *option, const char *text,
                                  const char *expected, struct pare_error *err)
{
    return pare_fail(err, PARE_ERR_USAGE, "--%s: expected %s, got '%.100s'", option->name,
                     expected, text);
}

static enum pare_status set_int(const struct pare_cli_option *option, const char *text,
                                struct pare_error *err)
{
    char expected[80], *end;
    snprintf(expected, sizeof expected, "an integer from %.0f to %.0f", option->min,
             option->max);
    const char *digits = text + (text[0] == '-');
    errno = 0;
    long value = strtol(text, &end, 10);
    if (!*digits || digits[strspn(digits, "0123456789")] || errno || *end ||
        (double)value < option->min || (double)value > option->max)
        return bad_value(option, text, expected, err);
    *option->value.number = (int)value;
    return PARE_OK;
}

static enum pare_status set_u64(const struct pare_cli_option *option, const char *text,
                                struct pare_error *err)
{
    char expected[80], *end;
    snprintf(expected, sizeof expected, "an integer from %llu to %llu",
             (unsigned long long)option->u64_min, (unsigned long long)option->u64_max);
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (!*text || text[strspn(text, "0123456789")] || errno || *end ||
        value < option->u64_min || value > option->u64_max)
        return bad_value(option, text, expected, err);
    *option->value.u64 = value;
    return PARE_OK;
}

static enum pare_status set_double(const struct pare_cli_option *option, const char *text,
                                   struct pare_error *err)
{
    char expected[80], *end;
    snprintf(expected, sizeof expected, "a number from %g to %g", option->min,
             option->max);
    /* strtod alone would take white space, hexadecimal, "inf" and "nan". */
    double value = strtod(text, &end);
    if (!*text || text[strspn(text, "0123456789.eE+-")] || *end || !isfinite(value) ||
        value < option->min || value > option->max)
        return bad_value(option, text, expected, err);
    *option->value.real = value;
    return PARE_OK;
}

static enum pare_status set_choice(const struct pare_cli_option *option, const char *text,
                                   struct pare_error *err)
{
    size_t count = 0;
    char words[200] = "";
    for (; option->choices[count]; count++) {
        if (!strcmp(option->choices[count], text)) {
            *option->value.number = (int)count;
            return PARE_OK;
        }
        size_t used = strlen(words);
        snprintf(words + used, sizeof words - used, "%s%s", count ? ", " : "",
                 option->choices[count]);
    }
    const char *near = pare_cli_nearest(text, option->choices, count);
    return pare_fail(err, PARE_ERR_USAGE, "--%s: expected one of %s, got '%.100s'%s%s%s",
                     option->name, words, text, near ? "; did you mean '" : "",
                     near ? near : "", near ? "'?" : "");
}

static enum pare_status set_value(const struct pare_cli_option *option, const char *text,
                                  struct pare_error *err)
{
    struct pare_cli_list *list;
    switch (option->type) {
    case PARE_CLI_TYPE_FLAG: *option->value.number = 1; return PARE_OK;
    case PARE_CLI_TYPE_STRING: *option->value.string = text; return PARE_OK;
    case PARE_CLI_TYPE_STRINGS:
        list = option->value.strings;
        PARE_TRY(pare_grow(&list->items, &list->capacity, list->count + 1,
                           sizeof *list->items, err));
        list->items[list->count++] = text;
        return PARE_OK;
    case PARE_CLI_TYPE_CHOICE: return set_choice(option, text, err);
    case PARE_CLI_TYPE_INT: return set_int(option, text, err);
    case PARE_CLI_TYPE_U64: return set_u64(option, text, err);
    case PARE_CLI_TYPE_DOUBLE: return set_double(option, text, err);
    case PARE_CLI_TYPE_END: break;
    }
    return pare_fail(err, PARE_ERR_INTERNAL, "option --%s has no type", option->name);
}

static enum pare_status unknown_option(const struct pare_cli_state *state,
                                       const char *word, struct pare_error *err)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    const char **names;
    PARE_TRY(pare_alloc(&names, state->count, sizeof *names, err));
    size_t count = 0;
    for (size_t i = 0; i < state->count; i++)
        if (state->table[i].help)
            names[count++] = state->table[i].name;
    const char *near = pare_cli_nearest(name, names, count);
    pare_free(names);
    if (near)
        return pare_fail(err, PARE_ERR_USAGE,
                         "unknown option '--%s'; did you mean '--%s'?", name, near);
    return pare_fail(err, PARE_ERR_USAGE, "unknown option '--%s'", name);
}

/* ---- parsing ------------------------------------------------------------------ */

struct getopt_tables {
    struct option *longs;
    char *shorts;
};

static enum pare_status getopt_tables_make(const struct pare_cli_state *state,
                                           struct getopt_tables *tables,
                                           struct pare_error *err)
{
    PARE_TRY(pare_alloc(&tables->longs, state->count + 1, sizeof *tables->longs, err));
    PARE_TRY(pare_alloc(&tables->shorts, 2 * state->count + 3, 1, err));
    char *letter = tables->shorts;
    *letter++ = '-'; /* operands come in their place: the same with POSIXLY_CORRECT */
    *letter++ = ':'; /* a missing argument is told from an unknown option */
    for (size_t i = 0; i < state->count; i++) {
        const struct pare_cli_option *option = &state->table[i];
        int takes = option->type != PARE_CLI_TYPE_FLAG;
        tables->longs[i] =
            (struct option){option->name, takes ? required_argument : no_argument, NULL,
                            CODE_BASE + (int)i};
        if (option->letter) {
            *letter++ = option->letter;
            if (takes)
                *letter++ = ':';
        }
    }
    return PARE_OK;
}

/* The table entry of what getopt found, NULL when it is an abbreviation. */
static const struct pare_cli_option *found_option(const struct pare_cli_state *state,
                                                  int code, char **argv)
{
    if (code < CODE_BASE) {
        for (size_t i = 0; i < state->count; i++)
            if (state->table[i].letter == code)
                return &state->table[i];
        return NULL;
    }
    const struct pare_cli_option *option = &state->table[code - CODE_BASE];
    const char *word = argv[optind - 1];
    if (optarg && optarg == word)
        word = argv[optind - 2];
    size_t length = strlen(option->name);
    if (!strncmp(word, "--", 2) && !strncmp(word + 2, option->name, length) &&
        (word[2 + length] == '\0' || word[2 + length] == '='))
        return option;
    return NULL;
}

static enum pare_status option_problem(const struct pare_cli_state *state, int code,
                                       char **argv, struct pare_error *err)
{
    const char *word = argv[optind - 1];
    if (code == ':') {
        if (optopt < CODE_BASE)
            return pare_fail(err, PARE_ERR_USAGE, "option '-%c' needs an argument",
                             optopt);
        return pare_fail(err, PARE_ERR_USAGE, "option '--%s' needs an argument",
                         state->table[optopt - CODE_BASE].name);
    }
    if (optopt >= CODE_BASE && strchr(word, '='))
        return pare_fail(err, PARE_ERR_USAGE, "option '--%s' takes no argument",
                         state->table[optopt - CODE_BASE].name);
    if (optopt > 0 && optopt < CODE_BASE)
        return pare_fail(err, PARE_ERR_USAGE, "unknown option '-%c'", optopt);
    return unknown_option(state, word + 2, err);
}

static enum pare_status parse_words(struct pare_cli *cli, int argc, char **argv,
                                    const struct getopt_tables *tables,
                                    struct pare_error *err)
{
    struct pare_cli_state *state = cli->state;
    int code;
    optind = 0; /* glibc: start afresh, also when called again */
    opterr = 0;
    while ((code = getopt_long(argc, argv, tables->shorts, tables->longs, NULL)) != -1) {
        if (code == 1) {
            state->operands[cli->operand_count++] = optarg;
            continue;
        }
        if (code == '?' || code == ':')
            return option_problem(state, code, argv, err);
        const struct pare_cli_option *option = found_option(state, code, argv);
        if (!option)
            return unknown_option(
                state, argv[optind - (optarg && optarg == argv[optind - 1] ? 2 : 1)] + 2,
                err);
        PARE_TRY(set_value(option, optarg, err));
        if (state->help || state->man || state->version || state->list)
            return PARE_OK;
    }
    while (optind < argc)
        state->operands[cli->operand_count++] = argv[optind++];
    return PARE_OK;
}

static enum pare_status check_operands(const struct pare_cli *cli, struct pare_error *err)
{
    const struct pare_cli_program *program = cli->program;
    if (cli->operand_count < program->min_operands)
        return pare_fail(err, PARE_ERR_USAGE, "missing operand: expected %s",
                         program->operands ? program->operands : program->usage);
    if (program->max_operands >= 0 && cli->operand_count > program->max_operands)
        return pare_fail(err, PARE_ERR_USAGE, "one operand too many: '%.200s'",
                         cli->operands[program->max_operands]);
    for (int i = 0; i < cli->operand_count; i++)
        if (!*cli->operands[i])
            return pare_fail(err, PARE_ERR_USAGE, "operand %d is empty", i + 1);
    if ((program->common & PARE_CLI_NEEDS_OUTPUT) && !cli->output)
        return pare_fail(err, PARE_ERR_USAGE, "missing option: -o %s",
                         program->output_name ? program->output_name : "FILE");
    if (cli->output && !*cli->output)
        return pare_fail(err, PARE_ERR_USAGE, "--output: the name is empty");
    if (cli->quiet && cli->verbose)
        return pare_fail(err, PARE_ERR_USAGE, "--quiet and --verbose exclude each other");
    return PARE_OK;
}

enum pare_status pare_cli_parse(const struct pare_cli_program *program, int argc,
                                char **argv, struct pare_cli *cli,
                                enum pare_cli_action *what, struct pare_error *err)
{
    struct getopt_tables tables = {NULL, NULL};
    enum pare_status status = PARE_OK;
    *cli = (struct pare_cli){.program = program};
    *what = PARE_CLI_RUN;
    PARE_TRY(pare_alloc(&cli->state, 1, sizeof *cli->state, err));
    PARE_TRY_OUT(build_table(cli, err));
    PARE_TRY_OUT(pare_alloc(&cli->state->operands, (size_t)(argc > 0 ? argc : 1),
                            sizeof *cli->state->operands, err));
    cli->operands = cli->state->operands;
    PARE_TRY_OUT(getopt_tables_make(cli->state, &tables, err));
    PARE_TRY_OUT(parse_words(cli, argc, argv, &tables, err));
    if (cli->state->help)
        *what = PARE_CLI_SHOW_HELP;
    else if (cli->state->man)
        *what = PARE_CLI_SHOW_MAN;
    else if (cli->state->version)
        *what = PARE_CLI_SHOW_VERSION;
    else if (cli->state->list)
        *what = PARE_CLI_SHOW_OPTIONS;
    else
        PARE_TRY_OUT(check_operands(cli, err));
    if (*what == PARE_CLI_RUN && cli->state->check)
        *what = PARE_CLI_CHECK;
out:
    pare_free(tables.longs);
    pare_free(tables.shorts);
    return status;
}

void pare_cli_free(struct pare_cli *cli)
{
    if (!cli->state)
        return;
    for (size_t i = 0; i < cli->state->own; i++) {
        struct pare_cli_option *option = &cli->state->table[i];
        if (option->type != PARE_CLI_TYPE_STRINGS)
            continue;
        pare_free(option->value.strings->items);
        *option->value.strings = (struct pare_cli_list){0};
    }
    pare_free(cli->state->table);
    pare_free(cli->state->defaults);
    pare_free(cli->state->operands);
    pare_free(cli->state);
    cli->state = NULL;
}

/* ---- running ------------------------------------------------------------------ */

/* A closed standard descriptor would be taken by the next file opened, and messages
 * would go into an artefact. What is put there fails on use the way a closed one does. */
static void keep_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            int opened = open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
            if (opened >= 0 && opened != fd)
                close(opened);
        }
}

static enum pare_status show(const struct pare_cli *cli, enum pare_cli_action what,
                             struct pare_error *err)
{
    switch (what) {
    case PARE_CLI_SHOW_HELP: pare_cli_print_help(cli, stdout); break;
    case PARE_CLI_SHOW_MAN: pare_cli_print_man(cli, stdout); break;
    case PARE_CLI_SHOW_VERSION: pare_cli_print_version(cli, stdout); break;
    case PARE_CLI_SHOW_OPTIONS: return pare_cli_print_options(cli, stdout, err);
    case PARE_CLI_CHECK:
    case PARE_CLI_RUN: break;
    }
    return PARE_OK;
}

static enum pare_status check(struct pare_cli *cli, void *context, struct pare_error *err)
{
    pare_cli_fn *own = cli->program->check;
    return own ? own(cli, context, err) : PARE_OK;
}

static enum pare_status run_job(struct pare_cli *cli, pare_cli_fn *run, void *context,
                                struct pare_error *err)
{
    PARE_TRY(check(cli, context, err));
    PARE_TRY(pare_cpu_select(cli->state->cpu, err));
    cli->cpu = pare_kernels()->tier;
    if (cli->state->threads > 0)
        pare_set_threads(cli->state->threads);
    cli->threads = pare_threads();
    pare_cli_progress_start(cli);
    return run(cli, context, err);
}

static int finish(struct pare_cli *cli, enum pare_status status, struct pare_error *err)
{
    pare_cli_progress_hide(cli);
    errno = 0;
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == PARE_OK)
        status = pare_fail(err, PARE_ERR_IO, "cannot write standard output%s%s",
                           errno ? ": " : "", errno ? strerror(errno) : "");
    if (status == PARE_OK)
        return 0;
    fprintf(stderr, "%s: error: %s\n", cli->program->name, err->message);
    if (status == PARE_ERR_INTERRUPTED)
        return 128 + (pare_interrupted() ? pare_interrupted() : 2);
    return (int)status;
}

int pare_cli_main(const struct pare_cli_program *program, int argc, char **argv,
                  pare_cli_fn *run, void *context)
{
    struct pare_cli cli;
    struct pare_error err = {""};
    enum pare_cli_action what;
    keep_standard_descriptors();
    pare_cli_install_signals(program->name);
    enum pare_status status = pare_cli_parse(program, argc, argv, &cli, &what, &err);
    if (status == PARE_OK)
        status = what == PARE_CLI_RUN     ? run_job(&cli, run, context, &err)
                 : what == PARE_CLI_CHECK ? check(&cli, context, &err)
                                          : show(&cli, what, &err);
    int code = finish(&cli, status, &err);
    pare_cli_free(&cli);
    return code;
}
