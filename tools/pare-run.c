/* pare-run: classifies lines of text with a container. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/metrics.h"
#include "eval/predict.h"
#include "runtime/base/alloc.h"
#include "runtime/base/json.h"
#include "runtime/text/unicode.h"
#include "tools/cli.h"
#include "tools/lines.h"
#include "tools/precision_option.h"

struct options {
    const char *input, *ids, *types;
    int precision, json, hidden, batch, max_length;
};

/* A batch of rows on its way from text to printed results. */
struct run {
    const struct options *options;
    struct pare_model *model;
    struct pare_acts acts;
    struct pare_arena arena; /* of the batch's texts */
    struct pare_text *texts;
    size_t count;
};

static uint32_t add_sequence(struct pare_ids *ids, const char *text)
{
    char *end = NULL;
    for (const char *at = text; *at; at = end) {
        long value = strtol(at, &end, 10);
        if (end == at || value < 0 || value > INT32_MAX)
            return 0;
        if (pare_grow(&ids->ids, &ids->capacity, ids->count + 1, sizeof *ids->ids, NULL))
            return 0;
        ids->ids[ids->count++] = (int32_t)value;
        end += strspn(end, " ,\t\n");
    }
    return (uint32_t)ids->count;
}

/* --- Output ------------------------------------------------------------------------- */

static float probability(const float *logits, uint32_t labels, uint32_t label)
{
    double sum = 0;
    for (uint32_t i = 0; i < labels; i++)
        sum += exp((double)logits[i] - logits[label]);
    return (float)(1 / sum);
}

/* A JSON string; text that is not UTF-8 is repaired first. */
static enum pare_status print_json_string(const char *text, size_t length,
                                          struct pare_error *err)
{
    char *repaired;
    size_t n;
    PARE_TRY(pare_utf8_repair(text, length, &repaired, &n, err));
    putchar('"');
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)repaired[i];
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c == 0x7F)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
    pare_free(repaired);
    return PARE_OK;
}

static void print_floats(const char *key, const float *values, size_t n)
{
    printf("\"%s\":[", key);
    for (size_t i = 0; i < n; i++)
        printf(isfinite(values[i]) ? "%s%.9g" : "%snull", i ? "," : "",
               (double)values[i]);
    putchar(']');
}

static enum pare_status print_json(const struct run *run, const struct pare_text *text,
                                   const int32_t *ids, size_t n_ids, const float *logits,
                                   const float *hidden, struct pare_error *err)
{
    const struct pare_config *config = &run->model->config;
    putchar('{');
    if (logits) {
        const uint32_t label = pare_predicted_label(logits, config->labels);
        printf("\"label\":");
        PARE_TRY(
            print_json_string(config->label[label], strlen(config->label[label]), err));
        printf(",\"score\":%.9g,", (double)probability(logits, config->labels, label));
        print_floats("logits", logits, config->labels);
        putchar(',');
    }
    printf("\"token_ids\":[");
    for (size_t i = 0; i < n_ids; i++)
        printf("%s%d", i ? "," : "", ids[i]);
    putchar(']');
    if (hidden) {
        putchar(',');
        print_floats("hidden", hidden, n_ids * config->hidden);
    }
    if (text) {
        printf(",\"text\":");
        PARE_TRY(print_json_string(text->data, text->length, err));
    }
    printf("}\n");
    return PARE_OK;
}

/* Tabs inside the text stay: it is the last column. Other control characters, a line
 * break among them, become blanks, so that a text is a line whatever is in it. */
static void print_text(const struct run *run, const struct pare_text *text,
                       const float *logits)
{
    const struct pare_config *config = &run->model->config;
    const uint32_t label = pare_predicted_label(logits, config->labels);
    printf("%s\t%.4f\t", config->label[label],
           (double)probability(logits, config->labels, label));
    for (size_t i = 0; text && i < text->length; i++) {
        const unsigned char c = (unsigned char)text->data[i];
        putchar((c < 0x20 && c != '\t') || c == 0x7F ? ' ' : c);
    }
    putchar('\n');
}

static enum pare_status print_batch(const struct run *run, const struct pare_batch *batch,
                                    const struct pare_text *texts, struct pare_error *err)
{
    const struct pare_config *config = &run->model->config;
    const float *hidden = run->acts.blocks[config->layers - 1].output;
    for (size_t s = 0; s < batch->n_seq; s++) {
        const uint32_t start = batch->starts[s];
        const float *logits =
            config->labels ? run->acts.logits + s * config->labels : NULL;
        if (logits && !pare_logits_finite(logits, config->labels))
            return pare_fail(err, PARE_ERR_INPUT,
                             "the logits of a text are not finite: weights of the model "
                             "are damaged or too large");
        if (run->options->json)
            PARE_TRY(print_json(
                run, texts ? &texts[s] : NULL, batch->ids + start,
                batch->starts[s + 1] - start, logits,
                run->options->hidden ? hidden + start * config->hidden : NULL, err));
        else
            print_text(run, texts ? &texts[s] : NULL, logits);
    }
    fflush(stdout);
    return PARE_OK;
}

/* --- Input -------------------------------------------------------------------------- */

static enum pare_status run_batch(struct run *run, struct pare_error *err)
{
    struct pare_tokenized rows;
    enum pare_status status =
        pare_tokenize_rows(run->model, run->texts, run->count,
                           (uint32_t)run->options->max_length, &rows, err);
    if (status == PARE_OK) {
        const struct pare_batch batch = {.n_seq = rows.rows,
                                         .n_tokens = rows.ids.count,
                                         .ids = rows.ids.ids,
                                         .starts = rows.starts};
        status = pare_forward(run->model, &batch, NULL, &run->acts, err);
        if (status == PARE_OK)
            status = print_batch(run, &batch, run->texts, err);
    }
    pare_tokenized_free(&rows);
    run->count = 0;
    pare_arena_release(&run->arena, (struct pare_arena_mark){0});
    return status;
}

static enum pare_status add_text(struct run *run, const char *text, size_t length,
                                 struct pare_error *err)
{
    char *copy;
    PARE_TRY(pare_arena_strndup(&run->arena, &copy, text, length, err));
    run->texts[run->count++] = (struct pare_text){copy, length};
    return run->count == (size_t)run->options->batch ? run_batch(run, err) : PARE_OK;
}

/* A batch runs when it is full, or when the next line is not there yet. */
static enum pare_status run_lines(struct run *run, struct pare_error *err)
{
    struct pare_lines lines;
    enum pare_status status;
    PARE_TRY_OUT(pare_lines_open(&lines, run->options->input, err));
    for (;;) {
        const char *line;
        size_t length;
        if (run->count && !pare_lines_ready(&lines))
            PARE_TRY_OUT(run_batch(run, err));
        PARE_TRY_OUT(pare_lines_next(&lines, &line, &length, err));
        if (!line)
            break;
        PARE_TRY_OUT(add_text(run, line, length, err));
    }
    if (run->count)
        PARE_TRY_OUT(run_batch(run, err));
out:
    pare_lines_close(&lines);
    return status;
}

static enum pare_status run_ids(struct run *run, struct pare_error *err)
{
    struct pare_ids ids = {0}, types = {0};
    enum pare_status status;
    const uint32_t starts[2] = {0, add_sequence(&ids, run->options->ids)};
    if (run->options->types)
        add_sequence(&types, run->options->types);
    if (!starts[1] || (run->options->types && types.count != ids.count)) {
        status = pare_fail(err, PARE_ERR_USAGE,
                           "--ids wants numbers separated by spaces, --types as many");
        goto out;
    }
    const struct pare_batch batch = {.n_seq = 1,
                                     .n_tokens = ids.count,
                                     .ids = ids.ids,
                                     .types = types.ids,
                                     .starts = starts};
    PARE_TRY_OUT(pare_forward(run->model, &batch, NULL, &run->acts, err));
    PARE_TRY_OUT(print_batch(run, &batch, NULL, err));
out:
    pare_ids_free(&ids);
    pare_ids_free(&types);
    return status;
}

static enum pare_status check_options(const struct pare_cli *cli,
                                      const struct options *options,
                                      struct pare_error *err)
{
    if (options->types && !options->ids)
        return pare_fail(err, PARE_ERR_USAGE, "--types goes with --ids");
    if (options->ids && (options->input || cli->operand_count > 1))
        return pare_fail(err, PARE_ERR_USAGE,
                         "--ids stands instead of texts: leave out TEXT and --input");
    return PARE_OK;
}

static enum pare_status run(struct pare_cli *cli, void *context, struct pare_error *err)
{
    struct options *options = context;
    struct run run = {.options = options, .acts = {.first_only = !options->hidden}};
    enum pare_status status;
    options->json |= options->hidden;
    PARE_TRY(check_options(cli, options, err));
    PARE_TRY_OUT(pare_model_open(
        cli->operands[0], (enum pare_precision)options->precision, &run.model, err));
    if (!run.model->config.labels && !options->hidden) {
        status =
            pare_fail(err, PARE_ERR_USAGE,
                      "%s has no classifier: train one with pare-train, or print its "
                      "hidden states with --hidden",
                      cli->operands[0]);
        goto out;
    }
    PARE_TRY_OUT(pare_arena_alloc(&run.model->arena, &run.texts, (size_t)options->batch,
                                  sizeof *run.texts, err));
    if (options->ids) {
        PARE_TRY_OUT(run_ids(&run, err));
    } else if (cli->operand_count == 1 || options->input) {
        options->input = options->input ? options->input : "-";
        PARE_TRY_OUT(run_lines(&run, err));
    }
    for (int i = 1; i < cli->operand_count; i++)
        PARE_TRY_OUT(add_text(&run, cli->operands[i], strlen(cli->operands[i]), err));
    if (run.count)
        PARE_TRY_OUT(run_batch(&run, err));
out:
    pare_model_free(run.model);
    pare_acts_free(&run.acts);
    pare_arena_free(&run.arena);
    return status;
}

int main(int argc, char **argv)
{
    struct options o = {.batch = 32};
    const struct pare_cli_option options[] = {
        PARE_CLI_STRING('i', "input", "FILE", &o.input,
                        "classify the lines of FILE, - for standard input"),
        PARE_CLI_FLAG(0, "json", &o.json,
                      "one JSON object a line: label, score, logits, token_ids, text"),
        PARE_CLI_INT(0, "batch", "N", &o.batch, 1, 4096, "most lines at a time"),
        PARE_CLI_INT(0, "max-length", "N", &o.max_length, 0, 1 << 20,
                     "cut a text to N tokens, 0 for what the model takes"),
        PARE_CLI_FLAG(0, "hidden", &o.hidden,
                      "add the last hidden states, row by row (implies --json)"),
        PARE_CLI_STRING(0, "ids", "\"N N...\"", &o.ids,
                        "run these token ids as they are instead of text"),
        PRECISION_OPTION(&o.precision, PRECISION_HELP),
        PARE_CLI_STRING(0, "types", "\"N N...\"", &o.types, "token types for --ids"),
        PARE_CLI_END};
    const struct pare_cli_example examples[] = {
        {"pare-run sst2.gguf \"a gripping, funny film\"", "Classifies one text."},
        {"pare-run sst2.gguf -i reviews.txt --json > labels.jsonl",
         "Classifies every line of a file."},
        {"tail -f log | pare-run sst2.gguf", "Classifies lines as they arrive."},
        {NULL, NULL}};
    const struct pare_cli_program program = {
        .name = "pare-run",
        .summary = "Classifies lines of text with a model container.",
        .usage = "[options] MODEL [TEXT...]",
        .description =
            "Texts come from the command line, from --input, or, when there is neither, "
            "from standard input. Every line gives one line of output, in order: "
            "label, probability and text separated by tabs, or a JSON object. An empty "
            "line "
            "is an empty text. Bytes that are not UTF-8 are read as U+FFFD.",
        .operands = "MODEL",
        .options = options,
        .examples = examples,
        .min_operands = 1,
        .max_operands = -1};
    return pare_cli_main(&program, argc, argv, run, &o);
}
