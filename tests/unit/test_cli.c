/* tools/cli: the parser, its strictness and its texts. Programs as a whole are tested by
 * tests/cli. */
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/cli_internal.h"

static const char *const dtypes[] = {"f32", "f16", "bf16", NULL};

struct values {
    int flag, dtype, bits;
    uint64_t steps;
    double rate;
    const char *data;
    struct pare_cli_list skip;
};

struct parsed {
    struct values v;
    struct pare_cli cli;
    enum pare_cli_action what;
    enum pare_status status;
    struct pare_error err;
    struct pare_cli_option options[8];
    struct pare_cli_program program;
};

/* Parses the words of `line`, separated by spaces. */
static void parse(struct parsed *p, const char *line)
{
    static char words[400];
    char *argv[40] = {"pare-test"}, *at = words;
    int argc = 1;
    memset(p, 0, sizeof *p);
    p->v.rate = 0.5;
    p->v.bits = -1;
    const struct pare_cli_option options[8] = {
        PARE_CLI_FLAG('n', "dry-run", &p->v.flag, "only say what would be done"),
        PARE_CLI_CHOICE(0, "dtype", "TYPE", &p->v.dtype, dtypes, "type of the weights"),
        PARE_CLI_INT('b', "bits", "N", &p->v.bits, 0, 8, "bits a weight"),
        PARE_CLI_U64(0, "steps", "N", &p->v.steps, 1, UINT64_MAX, "steps"),
        PARE_CLI_DOUBLE('r', "rate", "R", &p->v.rate, 0, 1, "rate"),
        PARE_CLI_STRING(0, "data", "FILE", &p->v.data, "data"),
        PARE_CLI_STRINGS(0, "skip", "GLOB", &p->v.skip, "what to leave"),
        PARE_CLI_END};
    memcpy(p->options, options, sizeof options);
    p->program = (struct pare_cli_program){.name = "pare-test",
                                           .summary = "A test.",
                                           .usage = "[options] INPUT... -o OUTPUT",
                                           .operands = "INPUT",
                                           .options = p->options,
                                           .min_operands = 1,
                                           .max_operands = 2,
                                           .common = PARE_CLI_OUTPUT | PARE_CLI_SEED};
    snprintf(words, sizeof words, "%s", line);
    while (*at) {
        argv[argc++] = at;
        at += strcspn(at, " ");
        if (*at)
            *at++ = '\0';
    }
    p->status = pare_cli_parse(&p->program, argc, argv, &p->cli, &p->what, &p->err);
}

Test(cli, other_programs_can_ask_for_a_list_and_for_a_check)
{
    struct parsed p;
    parse(&p, "--list-options");
    cr_assert_eq(p.what, PARE_CLI_SHOW_OPTIONS);
    pare_cli_free(&p.cli);
    parse(&p, "in --check-options --bits 3");
    cr_assert(p.status == PARE_OK && p.what == PARE_CLI_CHECK && p.v.bits == 3);
    pare_cli_free(&p.cli);
    parse(&p, "in --check-options --bits 30");
    cr_assert_eq(p.status, PARE_ERR_USAGE);
    pare_cli_free(&p.cli);
    parse(&p, "--check-options");
    cr_assert_eq(p.status, PARE_ERR_USAGE, "without an operand");
    pare_cli_free(&p.cli);
}

Test(cli, options_stand_anywhere_and_in_every_form)
{
    static const char *const same[] = {
        "-n -b 3 --rate 0.25 --data d --skip x --skip y --dtype bf16 -o out in",
        "in -nb3 --rate=0.25 --data=d --skip=x --skip=y --dtype=bf16 -oout",
        ("--skip x in --skip y --dry-run --bits=3 -r0.25 --data d --dtype bf16 --output "
         "out"),
        "--skip x --skip y --dry-run --bits=3 -r0.25 --data d --dtype bf16 -o out -- in",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct parsed p;
        parse(&p, same[i]);
        cr_assert_eq(p.status, PARE_OK, "%s: %s", same[i], p.err.message);
        cr_assert_eq(p.what, PARE_CLI_RUN);
        cr_assert_eq(p.v.flag, 1);
        cr_assert_eq(p.v.bits, 3);
        cr_assert_eq(p.v.rate, 0.25);
        cr_assert_eq(p.v.dtype, 2);
        cr_assert_str_eq(p.v.data, "d");
        cr_assert_eq(p.v.skip.count, 2);
        cr_assert_str_eq(p.v.skip.items[1], "y");
        cr_assert_str_eq(p.cli.output, "out");
        cr_assert_eq(p.cli.operand_count, 1);
        cr_assert_str_eq(p.cli.operands[0], "in");
        pare_cli_free(&p.cli);
        cr_assert_null(p.v.skip.items);
    }
}

Test(cli, defaults_stay_and_the_last_of_two_counts)
{
    struct parsed p;
    parse(&p, "in --rate 0.1 --rate 0.2 --seed 18446744073709551615");
    cr_assert_eq(p.status, PARE_OK);
    cr_assert_eq(p.v.rate, 0.2);
    cr_assert_eq(p.v.bits, -1);
    cr_assert_null(p.v.data);
    cr_assert_eq(p.cli.seed, UINT64_MAX);
    pare_cli_free(&p.cli);
}

Test(cli, after_two_dashes_everything_is_an_operand)
{
    struct parsed p;
    parse(&p, "-n -- -b --dtype");
    cr_assert_eq(p.status, PARE_OK);
    cr_assert_eq(p.cli.operand_count, 2);
    cr_assert_str_eq(p.cli.operands[1], "--dtype");
    pare_cli_free(&p.cli);
    parse(&p, "- -o -");
    cr_assert_eq(p.status, PARE_OK);
    cr_assert_str_eq(p.cli.operands[0], "-");
    pare_cli_free(&p.cli);
}

Test(cli, what_makes_no_sense_is_refused_with_its_reason)
{
    static const struct {
        const char *line, *phrase;
    } cases[] = {
        {"", "missing operand: expected INPUT"},
        {"a b c", "one operand too many: 'c'"},
        {"in --bit 3", "unknown option '--bit'; did you mean '--bits'?"},
        {"in --bit=3", "unknown option '--bit'; did you mean '--bits'?"},
        {"in --dryrun", "unknown option '--dryrun'; did you mean '--dry-run'?"},
        {"in --ouptut x", "did you mean '--output'?"},
        {"in --d x", "unknown option '--d'"},
        {"in --nonsense", "unknown option '--nonsense'"},
        {"in -x", "unknown option '-x'"},
        {"in -nx", "unknown option '-x'"},
        {"in -b", "option '-b' needs an argument"},
        {"in --bits", "option '--bits' needs an argument"},
        {"in --dry-run=1", "option '--dry-run' takes no argument"},
        {"in --bits 9", "--bits: expected an integer from 0 to 8, got '9'"},
        {"in --bits -1", "expected an integer from 0 to 8, got '-1'"},
        {"in --bits +1", "expected an integer"},
        {"in --bits 1.0", "expected an integer"},
        {"in --bits 0x1", "expected an integer"},
        {"in --bits=", "expected an integer"},
        {"in --bits 99999999999999999999", "expected an integer"},
        {"in --steps 0", "expected an integer from 1"},
        {"in --steps -1", "expected an integer from 1"},
        {"in --steps 18446744073709551616", "expected an integer from 1"},
        {"in --rate 1.01", "--rate: expected a number from 0 to 1, got '1.01'"},
        {"in --rate nan", "expected a number"},
        {"in --rate inf", "expected a number"},
        {"in --rate 1e400", "expected a number"},
        {"in --rate 0x1p-1", "expected a number"},
        {"in --rate 0,5", "expected a number"},
        {"in --rate=", "expected a number"},
        {"in --dtype f23",
         "expected one of f32, f16, bf16, got 'f23'; did you mean 'f32'"},
        {"in --dtype F32", "expected one of f32, f16, bf16, got 'F32'"},
        {"in --threads 0", "--threads: expected an integer from 1 to 256"},
        {"in --threads 257", "--threads: expected an integer from 1 to 256"},
        {"in --progress never", "--progress: expected one of auto, bar, lines"},
        {"in -q -v", "--quiet and --verbose exclude each other"},
        {"in --output=", "--output: the name is empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parsed p;
        parse(&p, cases[i].line);
        cr_expect_eq(p.status, PARE_ERR_USAGE, "%s", cases[i].line);
        cr_expect(strstr(p.err.message, cases[i].phrase), "%s: %s", cases[i].line,
                  p.err.message);
        pare_cli_free(&p.cli);
    }
}

Test(cli, help_and_version_need_no_operands)
{
    static const struct {
        const char *line;
        enum pare_cli_action what;
    } cases[] = {{"--help", PARE_CLI_SHOW_HELP},
                 {"-h --nonsense", PARE_CLI_SHOW_HELP},
                 {"--version", PARE_CLI_SHOW_VERSION},
                 {"--help-man", PARE_CLI_SHOW_MAN}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parsed p;
        parse(&p, cases[i].line);
        cr_assert_eq(p.status, PARE_OK, "%s", p.err.message);
        cr_assert_eq(p.what, cases[i].what);
        pare_cli_free(&p.cli);
    }
}

Test(cli, help_shows_defaults_from_before_the_options_were_read)
{
    char text[8192] = "";
    struct parsed p;
    parse(&p, "--rate 0.75 --help");
    FILE *out = fmemopen(text, sizeof text, "w");
    pare_cli_print_help(&p.cli, out);
    fclose(out);
    static const char *const phrases[] = {
        "Usage: pare-test [options] INPUT... -o OUTPUT\n",
        "-n, --dry-run             only say what would be done\n",
        "--dtype TYPE          type of the weights: f32, f16, bf16 (default: f32)\n",
        "-r, --rate R              rate (default: 0.5)\n",
        "-b, --bits N              bits a weight\n",
        "what to leave; may be repeated\n",
        "-o, --output FILE",
        "Exit codes:",
    };
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        cr_expect(strstr(text, phrases[i]), "no '%s' in:\n%s", phrases[i], text);
    cr_assert_null(strstr(text, "help-man"));
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        cr_expect_leq(length, 90, "%.*s", (int)length, line);
        line += length + (line[length] == '\n');
    }
    pare_cli_free(&p.cli);
}

Test(cli, the_man_page_hides_no_text_from_roff)
{
    char text[8192] = "";
    struct parsed p;
    parse(&p, "--help-man");
    p.program.description = "First.\n\n.hidden \\backslash\n\n'quote --dash";
    FILE *out = fmemopen(text, sizeof text, "w");
    pare_cli_print_man(&p.cli, out);
    fclose(out);
    cr_assert(strstr(text, ".TH PARE\\-TEST 1"), "%s", text);
    cr_assert(strstr(text, "\n.PP\n\\&.hidden \\ebackslash\n.PP\n\\&'quote \\-\\-dash\n"),
              "%s", text);
    cr_assert(strstr(text, "\\fB\\-n\\fR, \\fB\\-\\-dry\\-run\\fR\n"), "%s", text);
    pare_cli_free(&p.cli);
}

Test(cli, nearest_word)
{
    static const char *const words[] = {"convert", "inspect", "quantize", "report",
                                        "run"};
    cr_assert_str_eq(pare_cli_nearest("quantise", words, 5), "quantize");
    cr_assert_str_eq(pare_cli_nearest("conevrt", words, 5), "convert");
    cr_assert_str_eq(pare_cli_nearest("insp", words, 5), "inspect");
    cr_assert_str_eq(pare_cli_nearest("rn", words, 5), "run");
    cr_assert_null(pare_cli_nearest("x", words, 5));
    cr_assert_null(pare_cli_nearest("something", words, 5));
    cr_assert_null(pare_cli_nearest("", words, 5));
}

Test(cli, bytes_are_shown_with_three_digits)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"},
                 {999, "999 B"},
                 {1000, "1.00 kB"},
                 {9994, "9.99 kB"},
                 {9996, "10.0 kB"},
                 {99940, "99.9 kB"},
                 {99960, "100 kB"},
                 {999499, "999 kB"},
                 {999600, "1.00 MB"},
                 {267800000, "268 MB"},
                 {UINT64_MAX, "18.4 EB"}};
    char out[24];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_str_eq(pare_cli_bytes(cases[i].bytes, out), cases[i].text);
}

Test(interrupt, is_seen_once_set)
{
    struct pare_error err;
    cr_assert_eq(pare_check_interrupted(&err), PARE_OK);
    pare_interrupt(SIGTERM);
    cr_assert_eq(pare_interrupted(), SIGTERM);
    cr_assert_eq(pare_check_interrupted(&err), PARE_ERR_INTERRUPTED);
    cr_assert_str_eq(err.message, "stopped by SIGTERM");
    pare_interrupt(0);
    cr_assert_eq(pare_check_interrupted(&err), PARE_OK);
}
