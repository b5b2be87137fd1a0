/* pare-quantize: a container in, a smaller one out. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/memory.h"
#include "runtime/model/container.h"
#include "tools/outputs.h"
#include "tools/quantize_budget.h"
#include "tools/quantize_inputs.h"

/* --- What is to be done --- */

static enum pare_status decide(struct quantize_work *w, struct budget_candidates *c)
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
    if (quantize_has_budget(w->o))
        return quantize_candidates(w, now, c);
    return scheme_options_decide(&w->o->format, &stored->plan, now, &stored->arena,
                                 &w->items, w->err);
}

static enum pare_status write_container(struct quantize_work *w)
{
    struct pare_meta meta = {0};
    struct pare_gguf_writer *writer = NULL;
    char identity[65];
    enum pare_status status;
    PARE_TRY_OUT(quantize_meta(w, &meta));
    PARE_TRY_OUT(quantize_identify(w, identity));
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

static void tell_sparse(const struct quantize_work *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->stored.plan.count; i++)
        kept += pare_stored_weight(&w->stored, i).sparse.rows > 0;
    if (kept)
        pare_cli_info(w->cli, "%zu sparse matrices stay as they are", kept);
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
        status = write_container(w);
    w->cli->output = output;
    return status;
}

static enum pare_status plan(const struct quantize_work *w)
{
    const int calibrated = w->calibration.samples > 0;
    struct quantize_costs costs;
    quantize_print_plan(w);
    if (calibrated) {
        PARE_TRY(quantize_costs(w, &costs));
        quantize_print_costs(w, &costs);
    }
    return w->o->json ? quantize_write_report(w, calibrated ? &costs : NULL) : PARE_OK;
}

/* Ranges that were asked for will be somewhere: in one of the candidates, if there are
 * some, else as it has been decided. */
static enum pare_status check_static(struct quantize_work *w,
                                     const struct budget_candidates *c)
{
    struct pare_scheme_item *const decided = w->items;
    int any = c->count == 0 && quantize_has_static(w);
    if (!w->o->inputs.is_static)
        return PARE_OK;
    for (size_t k = 0; k < c->count && !any; k++) {
        w->items = c->items[k];
        any = quantize_has_static(w);
    }
    w->items = decided;
    return any ? PARE_OK
               : pare_fail(w->err, PARE_ERR_USAGE,
                           "--activations static is for inputs that only int8 matrices "
                           "read, and there are none");
}

static enum pare_status quantize(struct quantize_work *w)
{
    const char *const inputs[] = {w->o->calibration.file, w->o->search_on};
    struct budget_candidates candidates = {0};
    pare_memory_return();
    PARE_TRY(decide(w, &candidates));
    PARE_TRY(
        outputs_refuse(w->stored.ckpt, inputs, 2, w->cli->output, w->o->json, w->err));
    PARE_TRY(outputs_check(w->o->dry_run ? NULL : w->cli->output, w->o->json, w->err));
    if (quantize_has_search(w->o))
        PARE_TRY(budget_search_check(w));
    PARE_TRY(quantize_prepare(w));
    PARE_TRY(check_static(w, &candidates));
    PARE_TRY(pare_ckpt_sha256(w->stored.ckpt, w->sha256, w->err));
    PARE_TRY(quantize_budget(w, &candidates, make));
    PARE_TRY(check_static(w, &(struct budget_candidates){0})); /* what was chosen */
    if (w->o->dry_run)
        return plan(w);
    tell_fallbacks(w);
    tell_sparse(w);
    PARE_TRY(make(w, w->cli->output));
    if (w->o->json)
        PARE_TRY(quantize_write_report(w, NULL));
    quantize_tell_result(w);
    return PARE_OK;
}

static enum pare_status check(struct pare_cli *cli, void *context, struct pare_error *err)
{
    const struct quantize_options *o = context;
    PARE_TRY(quantize_options_check(o, err));
    if (!cli->output && !o->dry_run)
        return pare_fail(err, PARE_ERR_USAGE, "-o OUTPUT is needed, or --dry-run");
    return PARE_OK;
}

static enum pare_status run(struct pare_cli *cli, void *context, struct pare_error *err)
{
    struct quantize_options *o = context;
    struct quantize_work w = {.cli = cli, .o = o, .err = err};
    if (quantize_has_budget(o))
        o->format.scheme = PARE_SCHEME_INT4; /* as metadata have it, of all of them */
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
                                 .target_ratio = -1,
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
        PARE_CLI_DOUBLE(0, "max-drop", "POINTS", &o.max_drop, 0, 100,
                        "the same for the smallest file whose accuracy is no more points "
                        "below the input's than that, by making and measuring some"),
        PARE_CLI_DOUBLE(0, "max-kl", "NATS", &o.max_kl, 0, 100,
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
                        "write sizes and errors of all tensors to FILE; with --dry-run, "
                        "the plan"),
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
        .usage = "[options] INPUT.gguf -o OUTPUT.gguf",
        .description =
            "Which format is to be said: --scheme is that of all matrices; "
            "--target-size, "
            "--target-ratio, --max-drop and --max-kl choose one for each.\n\n"
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
            "Sparse matrices stay as they are. Norms and biases stay f32, and so do the "
            "classifier and the token types, "
            "which are small, unless the scheme is f16 or bf16.",
        .operands = "INPUT",
        .output = "the container to write",
        .options = options,
        .examples = examples,
        .min_operands = 1,
        .max_operands = 1,
        .check = check,
        .common = PARE_CLI_OUTPUT | PARE_CLI_SEED,
    };
    return pare_cli_main(&program, argc, argv, run, &o);
}
