/* --help, --version and the man page, all from a program's one table. */
#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "runtime/kernels/kernels.h"
#include "tools/cli_internal.h"

#define HELP_COLUMN 28
#define HELP_WIDTH 90

/* Prints `text` wrapped between `indent` and HELP_WIDTH, the cursor being at `column`. */
static void print_wrapped(FILE *out, const char *text, int indent, int column)
{
    while (*text) {
        size_t word = strcspn(text, " \n");
        if (column > indent && column + 1 + (int)word > HELP_WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        }
        if (column > indent)
            column += fprintf(out, " ");
        column += fprintf(out, "%.*s", (int)word, text);
        text += word;
        if (text[0] == '\n' && text[1] == '\n') {
            fprintf(out, "\n\n%*s", indent, "");
            column = indent;
        }
        text += strspn(text, " \n");
    }
    fputc('\n', out);
}

/* "FILE" or, for a choice without a name of its own, "WORD"; NULL for a flag. */
static const char *argument_name(const struct pare_cli_option *option)
{
    if (option->type == PARE_CLI_TYPE_FLAG)
        return NULL;
    return option->argument ? option->argument : "WORD";
}

/* The phrase with what can be chosen and the default. The caller frees; NULL when there
 * is no memory. */
static char *option_text(const struct pare_cli_option *option,
                         const struct pare_cli_default *initial)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fputs(option->help, out);
    switch (option->type) {
    case PARE_CLI_TYPE_CHOICE:
        fputs(": ", out);
        for (int i = 0; option->choices[i]; i++)
            fprintf(out, "%s%s", i ? ", " : "", option->choices[i]);
        if (initial->number >= 0)
            fprintf(out, " (default: %s)", option->choices[initial->number]);
        break;
    case PARE_CLI_TYPE_INT:
        if (initial->number >= option->min)
            fprintf(out, " (default: %d)", initial->number);
        break;
    case PARE_CLI_TYPE_U64:
        fprintf(out, " (default: %llu)", (unsigned long long)initial->u64);
        break;
    case PARE_CLI_TYPE_DOUBLE:
        if (initial->real >= option->min)
            fprintf(out, " (default: %g)", initial->real);
        break;
    case PARE_CLI_TYPE_STRING:
        if (initial->string)
            fprintf(out, " (default: %s)", initial->string);
        break;
    case PARE_CLI_TYPE_STRINGS: fputs("; may be repeated", out); break;
    default: break;
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static void help_option(FILE *out, const struct pare_cli_state *state, size_t i)
{
    const struct pare_cli_option *option = &state->table[i];
    const char *argument = argument_name(option);
    int column =
        option->letter ? fprintf(out, "  -%c, ", option->letter) : fprintf(out, "      ");
    column += fprintf(out, "--%s%s%s", option->name, argument ? " " : "",
                      argument ? argument : "");
    if (column + 2 > HELP_COLUMN) {
        fputc('\n', out);
        column = 0;
    }
    fprintf(out, "%*s", HELP_COLUMN - column, "");
    char *text = option_text(option, &state->defaults[i]);
    print_wrapped(out, text ? text : option->help, HELP_COLUMN, HELP_COLUMN);
    free(text);
}

static const struct {
    int code;
    const char *what;
} exit_codes[] = {
    {0, "done"},
    {1, "an internal error: a bug, please report it"},
    {2, "usage: the command makes no sense as given"},
    {3, "an input is malformed or not supported"},
    {4, "out of memory"},
    {5, "the system could not read or write"},
    {6, "another process is writing the same output"},
    {7, "a quality gate was not met"},
    {130, "stopped by SIGINT (143: by SIGTERM)"},
};
#define EXIT_CODES (sizeof exit_codes / sizeof *exit_codes)

void pare_cli_print_help(const struct pare_cli *cli, FILE *out)
{
    const struct pare_cli_program *program = cli->program;
    const struct pare_cli_state *state = cli->state;
    fprintf(out, "Usage: %s %s\n\n", program->name, program->usage);
    print_wrapped(out, program->summary, 0, 0);
    if (program->description) {
        fputc('\n', out);
        print_wrapped(out, program->description, 0, 0);
    }
    if (state->own) {
        fputs("\nOptions:\n", out);
        for (size_t i = 0; i < state->own; i++)
            help_option(out, state, i);
    }
    fputs("\nCommon options:\n", out);
    for (size_t i = state->own; i < state->count; i++)
        if (state->table[i].help)
            help_option(out, state, i);
    if (program->examples)
        fputs("\nExamples:\n", out);
    for (const struct pare_cli_example *e = program->examples; e && e->command; e++) {
        fprintf(out, "  %s\n      ", e->command);
        print_wrapped(out, e->what, 6, 6);
    }
    fputs("\nExit codes:\n", out);
    for (size_t i = 0; i < EXIT_CODES; i++)
        fprintf(out, "  %3d  %s\n", exit_codes[i].code, exit_codes[i].what);
}

/* Text of a man page: a hyphen is a minus sign, a backslash is written out, and no line
 * starts with a roff control character. */
static void roff(FILE *out, const char *text)
{
    int line_start = 1;
    for (; *text; text++) {
        if (text[0] == '\n' && text[1] == '\n') {
            fputs("\n.PP\n", out);
            text++;
            line_start = 1;
            continue;
        }
        if (line_start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
        line_start = *text == '\n';
    }
}

static void man_option(FILE *out, const struct pare_cli_state *state, size_t i)
{
    const struct pare_cli_option *option = &state->table[i];
    const char *argument = argument_name(option);
    fputs(".TP\n", out);
    if (option->letter)
        fprintf(out, "\\fB\\-%c\\fR, ", option->letter);
    fputs("\\fB\\-\\-", out);
    roff(out, option->name);
    fputs("\\fR", out);
    if (argument)
        fprintf(out, " \\fI%s\\fR", argument);
    fputc('\n', out);
    char *text = option_text(option, &state->defaults[i]);
    roff(out, text ? text : option->help);
    fputs(".\n", out);
    free(text);
}

void pare_cli_print_man(const struct pare_cli *cli, FILE *out)
{
    const struct pare_cli_program *program = cli->program;
    const struct pare_cli_state *state = cli->state;
    fputs(".TH ", out);
    for (const char *c = program->name; *c; c++)
        fprintf(out, *c == '-' ? "\\-" : "%c", toupper((unsigned char)*c));
    fprintf(out, " 1 \"\" \"pare %s\" \"User Commands\"\n.SH NAME\n", PARE_VERSION);
    roff(out, program->name);
    fputs(" \\- ", out);
    roff(out, program->summary);
    fputs("\n.SH SYNOPSIS\n.B ", out);
    roff(out, program->name);
    fputc('\n', out);
    roff(out, program->usage);
    fputs("\n.SH DESCRIPTION\n", out);
    roff(out, program->description ? program->description : program->summary);
    fputs("\n.SH OPTIONS\n", out);
    for (size_t i = 0; i < state->count; i++)
        if (state->table[i].help)
            man_option(out, state, i);
    if (program->examples)
        fputs(".SH EXAMPLES\n", out);
    for (const struct pare_cli_example *e = program->examples; e && e->command; e++) {
        fputs(".TP\n.B ", out);
        roff(out, e->command);
        fputc('\n', out);
        roff(out, e->what);
        fputc('\n', out);
    }
    fputs(".SH EXIT STATUS\n", out);
    for (size_t i = 0; i < EXIT_CODES; i++) {
        fprintf(out, ".TP\n.B %d\n", exit_codes[i].code);
        roff(out, exit_codes[i].what);
        fputs(".\n", out);
    }
    fputs(".SH ENVIRONMENT\n.TP\n.B PARE_CPU\n"
          "The CPU tier to use when \\fB\\-\\-cpu\\fR is not given.\n",
          out);
}

static const char *processor(void)
{
#if defined(__x86_64__)
    return "x86-64";
#elif defined(__aarch64__)
    return "arm64";
#else
    return "another processor";
#endif
}

void pare_cli_print_version(const struct pare_cli *cli, FILE *out)
{
    fprintf(out, "%s %s\n", cli->program->name, PARE_VERSION);
    fprintf(out, "zlib %s, cJSON %s\n", zlibVersion(), cJSON_Version());
#ifdef __clang__
    fprintf(out, "clang %d.%d.%d, %s\n", __clang_major__, __clang_minor__,
            __clang_patchlevel__, processor());
#else
    fprintf(out, "gcc %d.%d.%d, %s\n", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__,
            processor());
#endif
    fprintf(out, "cpu tier %s of:", pare_kernels()->tier);
    for (int i = 0; pare_cpu_tier(i); i++)
        fprintf(out, " %s", pare_cpu_tier(i));
    fputc('\n', out);
}
