/* pare-report: results of pare-eval side by side, and requirements on them. */
#include <stdio.h>
#include <string.h>

#include "eval/report.h"
#include "runtime/base/file.h"
#include "tools/cli.h"

struct options {
    const char *html, *title;
    struct pare_cli_list requirements, training;
};

static enum pare_status check_outputs(const struct pare_cli *cli,
                                      const struct options *options,
                                      struct pare_error *err)
{
    const char *const outputs[] = {cli->output, options->html};
    if (cli->output && options->html && pare_path_is_same(cli->output, options->html))
        return pare_fail(err, PARE_ERR_USAGE,
                         "-o and --html name the same file: %s holds one of them",
                         cli->output);
    for (int i = 0; i < cli->operand_count; i++)
        for (int j = 0; j < 2; j++)
            if (outputs[j])
                PARE_TRY(pare_refuse_same_file(cli->operands[i], outputs[j], err));
    for (size_t i = 0; i < options->training.count; i++)
        for (int j = 0; j < 2; j++)
            if (outputs[j])
                PARE_TRY(
                    pare_refuse_same_file(options->training.items[i], outputs[j], err));
    return PARE_OK;
}

static enum pare_status read_all(const struct pare_cli *cli,
                                 const struct options *options,
                                 struct pare_report *report, struct pare_error *err)
{
    for (size_t i = 0; i < options->requirements.count; i++)
        PARE_TRY(pare_report_require(report, options->requirements.items[i], err));
    for (int i = 0; i < cli->operand_count; i++)
        PARE_TRY(pare_report_add(report, cli->operands[i], err));
    for (size_t i = 0; i < options->training.count; i++)
        PARE_TRY(pare_report_add_training(report, options->training.items[i], err));
    return pare_report_finish(report, err);
}

/* Both documents are complete before the first file is written. */
static enum pare_status write_all(const struct pare_cli *cli,
                                  const struct options *options,
                                  const struct pare_report *report,
                                  struct pare_error *err)
{
    struct pare_report_text markdown = {0}, html = {0};
    enum pare_status status;
    PARE_TRY_OUT(pare_report_markdown(report, options->title, &markdown, err));
    PARE_TRY_OUT(pare_report_html(report, options->title, &html, err));
    if (cli->output)
        PARE_TRY_OUT(pare_write_file(cli->output, markdown.data, markdown.length, err));
    if (options->html)
        PARE_TRY_OUT(pare_write_file(options->html, html.data, html.length, err));
    if (!cli->output && !options->html)
        fwrite(markdown.data, 1, markdown.length, stdout);
out:
    pare_report_text_free(&markdown);
    pare_report_text_free(&html);
    return status;
}

/* On standard output, unless the report itself goes there. */
static enum pare_status say(const struct pare_cli *cli, const struct options *options,
                            const struct pare_report *report, struct pare_error *err)
{
    struct pare_report_text lines = {0};
    for (size_t i = 0; i < report->n_results; i++) {
        for (size_t g = 0; g < report->n_gates; g++) {
            const struct pare_verdict *verdict = &report->gates[g].verdicts[i];
            pare_report_putf(&lines, "%s  ", verdict->pass ? "pass" : "FAIL");
            pare_report_put_safe(&lines, pare_report_row_of(report, i)->label,
                                 PARE_ESCAPE_PLAIN);
            pare_report_putf(&lines, ": required %s, found ", report->gates[g].gate.text);
            pare_report_put_safe(&lines, verdict->found_text, PARE_ESCAPE_PLAIN);
            pare_report_put(&lines, "\n");
        }
    }
    const char *const files[] = {cli->output, options->html};
    for (int i = 0; i < 2; i++) {
        if (!files[i])
            continue;
        pare_report_put(&lines, "report: ");
        pare_report_put_safe(&lines, files[i], PARE_ESCAPE_PLAIN);
        pare_report_put(&lines, "\n");
    }
    enum pare_status status =
        lines.status == PARE_OK ? PARE_OK : pare_fail_memory(err, lines.length);
    if (status == PARE_OK && lines.length && !cli->quiet)
        fwrite(lines.data, 1, lines.length,
               cli->output || options->html ? stdout : stderr);
    pare_report_text_free(&lines);
    return status;
}

static enum pare_status verdict(const struct pare_report *report, struct pare_error *err)
{
    struct pare_report_tally tally = pare_report_tally(report);
    if (!tally.unmet)
        return PARE_OK;
    struct pare_report_text label = {0}, found = {0};
    pare_report_put_safe(&label, tally.row->label, PARE_ESCAPE_PLAIN);
    pare_report_put_safe(&found, tally.verdict->found_text, PARE_ESCAPE_PLAIN);
    enum pare_status status = pare_fail(
        err, PARE_ERR_GATE, "%zu of %zu checks failed, the first: %.100s: %s, found %s",
        tally.unmet, tally.met + tally.unmet, label.data ? label.data : "",
        tally.gate->gate.text, found.data ? found.data : "");
    pare_report_text_free(&label);
    pare_report_text_free(&found);
    return status;
}

static enum pare_status check(struct pare_cli *cli, void *context, struct pare_error *err)
{
    const struct options *options = context;
    struct pare_gate gate;
    (void)cli;
    for (size_t i = 0; i < options->requirements.count; i++)
        PARE_TRY(pare_gate_parse(options->requirements.items[i], &gate, err));
    return PARE_OK;
}

static enum pare_status run(struct pare_cli *cli, void *context, struct pare_error *err)
{
    const struct options *options = context;
    struct pare_report *report;
    PARE_TRY(check_outputs(cli, options, err));
    PARE_TRY(pare_report_new(&report, err));
    enum pare_status status;
    PARE_TRY_OUT(read_all(cli, options, report, err));
    PARE_TRY_OUT(write_all(cli, options, report, err));
    PARE_TRY_OUT(say(cli, options, report, err));
    status = verdict(report, err);
out:
    pare_report_free(report);
    return status;
}

static const char description[] =
    "Reads what pare-eval --json wrote and sets the results side by side: in Markdown, "
    "and as one HTML page with plots that needs nothing but itself. A baseline inside a "
    "result is shown as a model of its own, once, however many results were measured "
    "against it. What a result does not have is shown as not measured. Metrics of "
    "training runs (--metrics of pare-train and pare-distill) become curves of loss and "
    "accuracy, and a table.\n\n"
    "Each --require must hold for every RESULT, or the exit code is 7; the reports are "
    "written either way and show the verdicts. It is written QUANTITY[BxT] OPERATOR "
    "NUMBER[UNIT]. The quantity is size, download, memory, load, rss, bits, blockbits "
    "and sparsity (of the matrices in the blocks), accuracy, f1, mcc, retention, "
    "agreement, "
    "kl, mcnemar, latency (the median), p90 or p99; the last three take a setting as in "
    "latency[1x64] (batch x tokens), without one the first setting counts. The operator "
    "is <=, >=, < or >. The unit x means times the baseline; others are B, kB, MB, GB, "
    "KiB, MiB, GiB, us, ms, s and %. Without a unit: bytes, milliseconds, shares of 0 to "
    "1. What was not measured does not pass.";

static const struct pare_cli_example examples[] = {
    {"pare-report int8.json -o report.md --html report.html",
     "Writes both reports of one result."},
    {"pare-report int8.json q4_0.json --html report.html --title 'SST-2 on a laptop'",
     "Compares two models and the baseline they share."},
    {"pare-report int8.json --require 'size<=0.5x' --require 'accuracy>=0.9x'",
     "Prints the report and fails unless half the size keeps nine tenths of the "
     "accuracy."},
    {NULL, NULL}};

int main(int argc, char **argv)
{
    struct options o = {.title = "Model compression report"};
    const struct pare_cli_option options[] = {
        PARE_CLI_STRING(0, "html", "FILE", &o.html, "the HTML page to write"),
        PARE_CLI_STRING(0, "title", "TEXT", &o.title, "title of the reports"),
        PARE_CLI_STRINGS(0, "training", "FILE", &o.training,
                         "metrics of a training run, for its curves"),
        PARE_CLI_STRINGS(0, "require", "EXPR", &o.requirements,
                         "what every result must reach, as in 'size<=0.5x'"),
        PARE_CLI_END};
    const struct pare_cli_program program = {
        .name = "pare-report",
        .summary = "Compares results of pare-eval in Markdown and HTML, and checks "
                   "requirements.",
        .usage = "[options] RESULT.json...",
        .description = description,
        .operands = "RESULT.json",
        .output = "the Markdown report to write; standard output without -o and --html",
        .options = options,
        .examples = examples,
        .min_operands = 1,
        .max_operands = -1,
        .common = PARE_CLI_OUTPUT,
        .check = check};
    return pare_cli_main(&program, argc, argv, run, &o);
}
