/* pare-quantize: a container in, a smaller one out. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/base/memory.h"
#include "runtime/base/sha256.h"
#include "runtime/model/container.h"
#include "tools/quantize_budget.h"
#include "tools/quantize_inputs.h"
#include "tools/sizes.h"

/* --- What is to be done --- */

static enum pare_status decide(struct quantize_work *w)
{
    struct pare_stored *stored = &w->stored;
    const size_t count = stored->plan.count;
    struct pare_weight *now;
    PARE_TRY(pare_arena_alloc(&stored->arena, &now, count, sizeof *now, w->err));
    for (size_t i = 0; i < count; i++)
        now[i] = pare_stored_weight(stored, i);
    PARE_TRY(
        pare_arena_alloc(&stored->arena, &w->errors, count, sizeof *w->errors, w->err));
    memset(w->errors, 0, count * sizeof *w->errors);
    return scheme_options_decide(&w->o->format, &stored->plan, now, &stored->arena,
                                 &w->items, w->err);
}

static uint64_t bytes_now(const struct pare_stored *stored, size_t i)
{
    const struct pare_weight weight = pare_stored_weight(stored, i);
    return pare_weight_bytes(&weight);
}

/* What slot i is stored as now. */
static const char *form_now(const struct pare_stored *stored, size_t i,
                            char out[PARE_FORM_SIZE])
{
    const struct pare_weight weight = pare_stored_weight(stored, i);
    return pare_weight_form(&weight, out);
}

struct totals {
    uint64_t parameters, before, after;
};

static struct totals add_up(const struct quantize_work *w)
{
    struct totals totals = {0};
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        totals.parameters += pare_slot_elements(&w->stored.plan.slots[i]);
        totals.before += bytes_now(&w->stored, i);
        totals.after += w->items[i].bytes;
    }
    return totals;
}

static void print_plan(const struct quantize_work *w)
{
    const struct pare_plan *plan = &w->stored.plan;
    printf("%-32s %-16s %-9s %-9s %12s %12s\n", "tensor", "shape", "from", "to",
           "bytes now", "bytes then");
    for (size_t i = 0; i < plan->count; i++) {
        const struct pare_slot *slot = &plan->slots[i];
        char shape[64], form[PARE_FORM_SIZE];
        printf("%-32s %-16s %-9s %-9s %12llu %12llu%s\n", slot->name,
               pare_shape_text(slot->n_dims, slot->shape, shape, sizeof shape),
               form_now(&w->stored, i, form), w->items[i].form,
               (unsigned long long)bytes_now(&w->stored, i),
               (unsigned long long)w->items[i].bytes,
               w->items[i].fallback ? "  rows do not fit the blocks" : "");
    }
    const struct totals t = add_up(w);
    printf("%-32s %-16llu %-9s %-9s %12llu %12llu\n", "all",
           (unsigned long long)t.parameters, "", "", (unsigned long long)t.before,
           (unsigned long long)t.after);
    printf("%.3fx of the bytes, %.2f bits a weight\n", (double)t.after / (double)t.before,
           8.0 * (double)t.after / (double)t.parameters);
}

/* --- Metadata --- */

/* What the formats were chosen for takes the scheme's place. */
static int budget_history(const struct quantize_work *w, cJSON *json)
{
    const struct quantize_options *o = w->o;
    if (!quantize_has_budget(o))
        return 1;
    cJSON_DeleteItemFromObject(json, "scheme");
    return (!o->target_size ||
            cJSON_AddStringToObject(json, "target_size", o->target_size)) &&
           (o->target_ratio <= 0 ||
            cJSON_AddNumberToObject(json, "target_ratio", o->target_ratio)) &&
           (o->max_drop < 0 || cJSON_AddNumberToObject(json, "max_drop", o->max_drop)) &&
           (o->max_kl < 0 || cJSON_AddNumberToObject(json, "max_kl", o->max_kl)) &&
           (!o->candidates || cJSON_AddStringToObject(json, "candidates", o->candidates));
}

static cJSON *options_json(const struct quantize_work *w)
{
    const struct quantize_options *o = w->o;
    cJSON *json = cJSON_CreateObject();
    if (json && scheme_options_history(&o->format, json) && budget_history(w, json) &&
        (!w->calibration.samples ||
         (solver_options_history(&o->solver, json) &&
          input_options_history(&o->inputs, json) &&
          calibration_history(&w->calibration, &o->calibration, w->cli->seed, json))))
        return json;
    cJSON_Delete(json);
    return NULL;
}

static enum pare_status make_meta(const struct quantize_work *w, const char *sha256,
                                  struct pare_meta *meta)
{
    const struct pare_meta *from = &w->stored.ckpt->meta;
    const enum pare_scheme scheme = scheme_options_scheme(&w->o->format);
    const char *name = quantize_has_budget(w->o) ? "mixed" : pare_scheme_name(scheme);
    for (size_t i = 0; i < from->count; i++)
        PARE_TRY(pare_meta_copy_value(meta, &from->values[i], w->err));
    PARE_TRY(pare_file_type_set(meta, pare_scheme_type(scheme, PARE_F32), w->err));
    PARE_TRY(pare_meta_set_string(meta, "pare.scheme", name, strlen(name), w->err));
    cJSON *options = options_json(w);
    if (!options)
        return pare_fail_memory(w->err, sizeof(cJSON));
    enum pare_status status =
        pare_history_add(meta, "pare-quantize", sha256, options, w->err);
    cJSON_Delete(options);
    return status;
}

/* Which run this is, for what it leaves when it is stopped: everything that its bytes and
 * its report depend on. */
static enum pare_status identify(const struct quantize_work *w, const char *sha256,
                                 char identity[65])
{
    static const char *const reports[] = {"", "report"};
    cJSON *options = options_json(w);
    char *text = options ? cJSON_PrintUnformatted(options) : NULL;
    cJSON_Delete(options);
    if (!text)
        return pare_fail_memory(w->err, sizeof(cJSON));
    const char *const parts[] = {PARE_VERSION, sha256, text,
                                 reports[w->o->json || w->cli->verbose],
                                 w->o->format.strict ? "strict" : ""};
    struct pare_sha256 sha;
    pare_sha256_init(&sha);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        pare_sha256_update(&sha, parts[i], strlen(parts[i]) + 1);
    for (size_t i = 0; i < w->stored.plan.count; i++)
        pare_sha256_update(&sha, w->items[i].form, strlen(w->items[i].form) + 1);
    pare_sha256_hex(&sha, identity);
    cJSON_free(text);
    return PARE_OK;
}

static enum pare_status write_container(struct quantize_work *w, const char *sha256)
{
    struct pare_meta meta = {0};
    struct pare_gguf_writer *writer = NULL;
    char identity[65];
    enum pare_status status;
    PARE_TRY_OUT(make_meta(w, sha256, &meta));
    PARE_TRY_OUT(identify(w, sha256, identity));
    PARE_TRY_OUT(pare_gguf_writer_open(w->cli->output, &meta, &writer, w->err));
    if (w->calibration.samples && !w->trial)
        PARE_TRY_OUT(quantize_resume_open(w, identity));
    status = quantize_tensors(w, writer);
    if (status != PARE_OK) {
        status = pare_fail_in(w->err, status, "%s", w->stored.ckpt->path);
        goto out;
    }
    status = pare_gguf_writer_commit(writer, w->err);
    writer = NULL;
out:
    quantize_resume_close(w, status);
    pare_gguf_writer_abort(writer);
    pare_meta_free(&meta);
    return status;
}

/* --- The report --- */

static struct pare_quant_error all_errors(const struct quantize_work *w)
{
    struct pare_quant_error all = {0};
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        all.squared_weight += w->errors[i].squared_weight;
        all.squared_error += w->errors[i].squared_error;
        if (w->errors[i].largest > all.largest)
            all.largest = w->errors[i].largest;
    }
    return all;
}

/* Output errors are mean squares over rows and outputs. */
static int add_solved_json(const struct quantize_solved *solved, cJSON *row)
{
    return cJSON_AddNumberToObject(row, "output_error", solved->loss) &&
           cJSON_AddNumberToObject(row, "output_error_rtn", solved->rtn) &&
           cJSON_AddNumberToObject(row, "damping", solved->damping) &&
           cJSON_AddNumberToObject(row, "escalations", solved->escalations) &&
           cJSON_AddNumberToObject(row, "dead_inputs", (double)solved->dead) &&
           (!solved->fallback || cJSON_AddTrueToObject(row, "solver_fallback"));
}

static int add_tensor_json(const struct quantize_work *w, size_t i, cJSON *list)
{
    cJSON *row = cJSON_CreateObject();
    char form[PARE_FORM_SIZE];
    if (!row || !cJSON_AddItemToArray(list, row)) {
        cJSON_Delete(row);
        return 0;
    }
    int made =
        cJSON_AddStringToObject(row, "name", w->stored.plan.slots[i].name) &&
        cJSON_AddStringToObject(row, "from", form_now(&w->stored, i, form)) &&
        cJSON_AddStringToObject(row, "to", w->items[i].form) &&
        cJSON_AddNumberToObject(row, "bytes_before", (double)bytes_now(&w->stored, i)) &&
        cJSON_AddNumberToObject(row, "bytes", (double)w->items[i].bytes);
    if (!made || w->items[i].scheme == PARE_SCHEME_KEEP)
        return made;
    return cJSON_AddNumberToObject(row, "relative_error",
                                   pare_quant_error_relative(&w->errors[i])) &&
           cJSON_AddNumberToObject(row, "largest_error", w->errors[i].largest) &&
           (!w->items[i].fallback || cJSON_AddTrueToObject(row, "fallback")) &&
           quantize_site_json(w, i, row) &&
           (!w->solved || !w->solved[i].done || add_solved_json(&w->solved[i], row));
}

static enum pare_status write_report(const struct quantize_work *w, const char *sha256)
{
    const struct totals t = add_up(w);
    const struct pare_quant_error all = all_errors(w);
    cJSON *json = cJSON_CreateObject(), *options = options_json(w);
    int made = json && options &&
               cJSON_AddStringToObject(json, "tool", "pare-quantize") &&
               cJSON_AddStringToObject(json, "version", PARE_VERSION) &&
               cJSON_AddStringToObject(json, "input_sha256", sha256) &&
               cJSON_AddItemToObject(json, "options", options);
    if (made)
        options = NULL;
    cJSON *list = made ? cJSON_AddArrayToObject(json, "tensors") : NULL;
    made = list && cJSON_AddNumberToObject(json, "parameters", (double)t.parameters) &&
           cJSON_AddNumberToObject(json, "bytes_before", (double)t.before) &&
           cJSON_AddNumberToObject(json, "bytes", (double)t.after) &&
           cJSON_AddNumberToObject(json, "relative_error",
                                   pare_quant_error_relative(&all)) &&
           cJSON_AddNumberToObject(json, "largest_error", all.largest);
    for (size_t i = 0; made && i < w->stored.plan.count; i++)
        made = add_tensor_json(w, i, list);
    enum pare_status status = made ? pare_json_write_file(w->o->json, json, w->err)
                                   : pare_fail_memory(w->err, sizeof(cJSON));
    cJSON_Delete(options);
    cJSON_Delete(json);
    return status;
}

static void tell_result(const struct quantize_work *w)
{
    const struct totals t = add_up(w);
    const struct pare_quant_error all = all_errors(w);
    char before[24], after[24];
    pare_cli_info(
        w->cli, "%s: %s, tensors %s -> %s (%.3fx, %.2f bits a weight), error %.3f %%",
        w->cli->output,
        quantize_has_budget(w->o)
            ? "mixed"
            : pare_scheme_name(scheme_options_scheme(&w->o->format)),
        pare_cli_bytes(t.before, before), pare_cli_bytes(t.after, after),
        (double)t.after / (double)t.before, 8.0 * (double)t.after / (double)t.parameters,
        100 * pare_quant_error_relative(&all));
    if (w->calibration.samples)
        pare_cli_info(w->cli, "peak memory %s",
                      pare_cli_bytes(pare_peak_memory(), before));
}

/* --- The program --- */

static void tell_fallbacks(const struct quantize_work *w)
{
    for (size_t i = 0; i < w->stored.plan.count; i++)
        if (w->items[i].fallback)
            pare_cli_warn(w->cli,
                          "tensor %s: its rows do not fit the blocks of the scheme; it "
                          "is stored as %s",
                          w->stored.plan.slots[i].name, w->items[i].form);
}

/* The container of the chosen forms. */
static enum pare_status make(struct quantize_work *w, const char *path)
{
    const char *output = w->cli->output;
    const size_t count = w->stored.plan.count;
    PARE_TRY(pare_ckpt_refuse_output(w->stored.ckpt, path, w->err));
    memset(w->errors, 0, count * sizeof *w->errors);
    if (w->solved)
        memset(w->solved, 0, count * sizeof *w->solved);
    w->finished = w->saved = 0;
    w->cli->output = path;
    enum pare_status status = quantize_survey(w);
    if (status == PARE_OK)
        status = write_container(w, w->sha256);
    w->cli->output = output;
    return status;
}

/* What is written goes over nothing that is read, and the report not over the container.
 */
static enum pare_status refuse_outputs(const struct quantize_work *w)
{
    const char *const inputs[] = {w->o->calibration.file, w->o->search_on};
    const char *const outputs[] = {w->cli->output, w->o->json};
    for (size_t o = 0; o < 2; o++) {
        if (!outputs[o])
            continue;
        PARE_TRY(pare_ckpt_refuse_output(w->stored.ckpt, outputs[o], w->err));
        for (size_t i = 0; i < 2; i++)
            if (inputs[i])
                PARE_TRY(pare_refuse_same_file(inputs[i], outputs[o], w->err));
    }
    if (!outputs[0] || !outputs[1])
        return PARE_OK;
    if (!strcmp(outputs[0], outputs[1]))
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "%s: the container and its report need files of their own",
                         outputs[0]);
    return pare_refuse_same_file(outputs[0], outputs[1], w->err);
}

static enum pare_status quantize(struct quantize_work *w)
{
    char sha256[65];
    PARE_TRY(decide(w));
    PARE_TRY(refuse_outputs(w));
    PARE_TRY(quantize_prepare(w));
    PARE_TRY(pare_ckpt_sha256(w->stored.ckpt, sha256, w->err));
    memcpy(w->sha256, sha256, sizeof sha256);
    PARE_TRY(quantize_budget(w, make));
    if (w->o->dry_run) {
        print_plan(w);
        return w->calibration.samples ? quantize_costs(w) : PARE_OK;
    }
    tell_fallbacks(w);
    PARE_TRY(make(w, w->cli->output));
    if (w->o->json)
        PARE_TRY(write_report(w, sha256));
    tell_result(w);
    return PARE_OK;
}

static enum pare_status check_budget(const struct quantize_options *o,
                                     struct pare_error *err)
{
    const int kinds =
        (o->target_size != NULL) + (o->target_ratio > 0) + quantize_has_search(o);
    if (kinds && o->format.scheme >= 0)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--target-size, --target-ratio, --max-drop and --max-kl choose "
                         "the scheme: --scheme and they exclude each other");
    if (kinds > 1)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--target-size, --target-ratio, and --max-drop or --max-kl "
                         "exclude each other");
    if (quantize_has_search(o) != (o->search_on != NULL))
        return pare_fail(err, PARE_ERR_USAGE,
                         "--max-drop and --max-kl go with --max-drop-on FILE");
    if (o->candidates && !kinds)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--candidates is for --target-size, --target-ratio, --max-drop "
                         "and --max-kl");
    uint64_t size;
    if (o->target_size)
        PARE_TRY(parse_size("target-size", o->target_size, &size, err));
    if (kinds && o->max_ram)
        return pare_fail(
            err, PARE_ERR_USAGE,
            "choosing formats takes the whole model in F32: --max-ram is for "
            "runs with a --scheme");
    if (o->dry_run && quantize_has_search(o))
        return pare_fail(
            err, PARE_ERR_USAGE,
            "--max-drop and --max-kl make files: there is no --plan of them");
    return PARE_OK;
}

static enum pare_status run(struct pare_cli *cli, void *context, struct pare_error *err)
{
    struct quantize_options *o = context;
    struct quantize_work w = {.cli = cli, .o = o, .err = err};
    PARE_TRY(check_budget(o, err));
    if (quantize_has_budget(o))
        o->format.scheme = PARE_SCHEME_INT4; /* until it is chosen */
    if (w.o->format.scheme < 0)
        return pare_fail(
            err, PARE_ERR_USAGE,
            "--scheme is needed: int8, int8g, int2 to int7, ternary, q8_0, q4_0, "
            "q4_1, q2_k to q6_k, tq1_0, tq2_0, f16 or bf16");
    if (!cli->output && !w.o->dry_run)
        return pare_fail(err, PARE_ERR_USAGE, "-o OUTPUT is needed, or --dry-run");
    PARE_TRY(pare_stored_open_container(cli->operands[0], &w.stored, err));
    enum pare_status status = quantize(&w);
    calibration_free(&w.calibration);
    pare_stored_close(&w.stored);
    return status;
}

int main(int argc, char **argv)
{
    struct quantize_options o = {.format = scheme_options_default(),
                                 .solver = solver_options_default(),
                                 .max_drop = -1,
                                 .max_kl = -1,
                                 .inputs = input_options_default()};
    const struct pare_cli_option options[] = {
        PARE_CLI_CHOICE('s', "scheme", "SCHEME", &o.format.scheme, pare_scheme_names,
                        "number format of the matrices"),
        SCHEME_OPTIONS(&o.format),
        PARE_CLI_CHOICE(0, "scale-format", "FORMAT", &o.format.scale_format,
                        scale_formats,
                        "what scales in half precision are exact in: f16, or bf16, in "
                        "both, for exports that have the other; chosen before the codes"),
        CALIBRATION_OPTIONS(&o.calibration),
        SOLVER_OPTIONS(&o.solver),
        INPUT_OPTIONS(&o.inputs),
        PARE_CLI_STRING(0, "target-size", "SIZE", &o.target_size,
                        "instead of --scheme: choose the format of each matrix so that "
                        "the file is no larger than that (20MB), and the outputs on the "
                        "calibration text change little"),
        PARE_CLI_DOUBLE(0, "target-ratio", "X", &o.target_ratio, 0, 1,
                        "the same for a part of the input's size"),
        PARE_CLI_DOUBLE(0, "max-drop", "POINTS", &o.max_drop, -1, 100,
                        "the same for the smallest file whose accuracy is no more points "
                        "below the input's than that, by making and measuring some; -1: "
                        "of no matter"),
        PARE_CLI_DOUBLE(0, "max-kl", "NATS", &o.max_kl, -1, 100,
                        "the same for the divergence of its outputs from the input's"),
        PARE_CLI_STRING(0, "max-drop-on", "FILE.tsv", &o.search_on,
                        "labelled text that these two are measured on"),
        PARE_CLI_STRING(0, "candidates", "LIST", &o.candidates,
                        "schemes that may be chosen, separated by commas; "
                        "int2,int3,int4,int5,int6,int8,f16 when not given"),
        PARE_CLI_STRING(0, "max-ram", "SIZE", &o.max_ram,
                        "with --calibration: take no more memory than that (512MB, "
                        "1.5GB), in more time if need be; refused at once when it "
                        "cannot be done"),
        PARE_CLI_FLAG('n', "dry-run", &o.dry_run,
                      "print each tensor's planned type and size, and with "
                      "--calibration the memory, disk and time that will be needed; "
                      "write nothing"),
        PARE_CLI_FLAG(0, "plan", &o.dry_run, "the same as --dry-run"),
        PARE_CLI_STRING(0, "json", "FILE", &o.json,
                        "write sizes and errors of all tensors to FILE"),
        PARE_CLI_END,
    };
    const struct pare_cli_example examples[] = {
        {"pare-quantize sst2.gguf -s int8 -o sst2-int8.gguf",
         "A quarter of the size: 8-bit weights, one scale a row; runs with 8-bit "
         "activations."},
        {"pare-quantize sst2.gguf -s int4 --group-size 128 --embeddings int8 -o "
         "sst2-int4.gguf",
         "4-bit weights that run in integer arithmetic, one scale for 128 of them."},
        {"pare-quantize sst2.gguf -s int3 --group-size 128 --calibration train.tsv -o "
         "sst2-int3.gguf",
         "3-bit weights, chosen so that the layers' outputs for that text change "
         "little."},
        {"pare-quantize sst2.gguf -s q4_0 --embeddings q8_0 --skip 'cls.*' -o "
         "sst2-q4.gguf",
         "4-bit weights, 8-bit embeddings, an untouched head."},
        {"pare-quantize sst2.gguf -s int8 --override 'blk.*.ffn_down.weight=q8_0' -n",
         "What it would do."},
        {NULL, NULL},
    };
    const struct pare_cli_program program = {
        .name = "pare-quantize",
        .summary = "Stores the weights of a container with fewer bits.",
        .usage = "[options] --scheme SCHEME INPUT.gguf -o OUTPUT.gguf",
        .description =
            "Weights are rounded to the nearest value of the format, or chosen by a "
            "solver. int8 keeps one scale for each output channel and runs in integer "
            "arithmetic; int8g, int7, int6, int5, int4, int3 and int2 keep one for each "
            "group of weights (int8 with --group-size is int8g); ternary weights are -1, "
            "0 or 1 times the mean magnitude; q8_0, q4_0 and q4_1 keep one scale for "
            "each "
            "block of 32 weights and are decoded when they run; q2_k to q6_k keep small "
            "whole scales for 16 or 32 weights and one of these for 256, tq1_0 and tq2_0 "
            "are ternary with one scale for 256; f16 and bf16 halve the "
            "size.\n\n"
            "With --calibration, the matrices of the blocks and the head are not rounded "
            "one weight at a time: GPTQ chooses codes for what a layer reads when the "
            "model runs on that text, so that its outputs change little. Blocks are "
            "worked on one after the other, each for what the quantised ones before it "
            "compute. Embeddings are rounded, those of 2 and 3 bits with the scales that "
            "suit them best. Inputs that were always zero, more damping and "
            "moments of no use are counted in the report of --json, and errors with "
            "--strict. What a run that was stopped has done is in OUTPUT.partial, and "
            "the "
            "same command goes on from there.\n\n"
            "Norms and biases stay f32, and so do the classifier and the token types, "
            "which are small, unless the scheme is f16 or bf16.",
        .operands = "INPUT",
        .output = "the container to write",
        .options = options,
        .examples = examples,
        .min_operands = 1,
        .max_operands = 1,
        .common = PARE_CLI_OUTPUT | PARE_CLI_SEED,
    };
    return pare_cli_main(&program, argc, argv, run, &o);
}
