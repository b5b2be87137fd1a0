/* pare-prune: a container in, one with fewer weights or parts out. */
#include <string.h>

#include "runtime/base/memory.h"
#include "runtime/model/container.h"
#include "tools/outputs.h"
#include "tools/prune.h"
#include "tools/prune_structure.h"

static enum pare_status solve(struct prune_work *w)
{
    struct quantize_work *base = &w->base;
    char identity[65];
    enum pare_status status = PARE_OK;
    if (w->calibration.samples) {
        PARE_TRY(prune_identify(w, identity));
        PARE_TRY(quantize_resume_open(base, identity));
    }
    status = prune_solve(w);
    if (status != PARE_OK)
        quantize_resume_close(base, status);
    return status == PARE_OK
               ? status
               : pare_fail_in(base->err, status, "%s", base->stored.ckpt->path);
}

static enum pare_status write_container(struct prune_work *w)
{
    struct quantize_work *base = &w->base;
    struct pare_meta meta = {0};
    struct pare_gguf_writer *writer = NULL;
    const struct quantize_made made = prune_made(w);
    enum pare_status status;
    base->made = &made;
    PARE_TRY_OUT(prune_meta(w, &meta));
    PARE_TRY_OUT(pare_gguf_writer_open(base->cli->output, &meta, &writer, base->err));
    PARE_TRY_OUT(quantize_tensors(base, writer));
    status = pare_gguf_writer_commit(writer, base->err);
    writer = NULL;
out:
    quantize_resume_close(base, status);
    pare_gguf_writer_abort(writer);
    pare_meta_free(&meta);
    base->made = NULL;
    return status;
}

static void tell_patterns(const struct prune_work *w)
{
    const struct pare_plan *plan = &w->base.stored.plan;
    for (size_t i = 0; i < plan->count; i++) {
        const struct prune_slot *slot = &w->slots[i];
        if (slot->other)
            pare_cli_warn(w->base.cli,
                          "tensor %s: its shape does not fit the pattern; single weights "
                          "go instead",
                          plan->slots[i].name);
        if (w->base.items[i].fallback)
            pare_cli_warn(w->base.cli,
                          "tensor %s: its rows do not fit the groups of the scheme; it "
                          "is stored as %s",
                          plan->slots[i].name, slot->form);
        if (slot->pruned && !slot->sparse.rows && w->o->scheme != PARE_SCHEME_F32 &&
            slot->zeros)
            pare_cli_warn(w->base.cli,
                          "tensor %s: stored sparse it would be larger; it is stored "
                          "dense, with its zeros",
                          plan->slots[i].name);
    }
}

static enum pare_status prune(struct prune_work *w)
{
    struct quantize_work *base = &w->base;
    const char *const inputs[] = {w->o->calibration.file};
    pare_memory_return();
    PARE_TRY(prune_decide(w));
    PARE_TRY(outputs_refuse(base->stored.ckpt, inputs, 1, base->cli->output, w->o->json,
                            base->err));
    PARE_TRY(
        outputs_check(w->o->dry_run ? NULL : base->cli->output, w->o->json, base->err));
    PARE_TRY(prune_prepare(w));
    PARE_TRY(prune_spread(w));
    PARE_TRY(pare_ckpt_sha256(base->stored.ckpt, base->sha256, base->err));
    tell_patterns(w);
    if (w->o->dry_run)
        prune_print_plan(w);
    if (!w->o->dry_run) {
        PARE_TRY(solve(w));
        PARE_TRY(write_container(w));
    }
    if (w->o->json)
        PARE_TRY(prune_write_report(w));
    if (!w->o->dry_run)
        prune_tell_result(w);
    return PARE_OK;
}

/* Parts of the model instead of weights of its matrices. */
static enum pare_status run_structure(struct pare_cli *cli, const struct prune_options *o,
                                      const struct structure_options *structure,
                                      struct pare_error *err)
{
    const struct structure_common common = {.calibration = &o->calibration,
                                            .damping = o->damping,
                                            .correct = o->correct,
                                            .strict = o->strict,
                                            .dry_run = o->dry_run,
                                            .json = o->json};
    return structure_run(cli, structure, &common, err);
}

struct all_options {
    struct prune_options prune;
    struct structure_options structure;
};

static enum pare_status check(struct pare_cli *cli, void *context, struct pare_error *err)
{
    const struct all_options *all = context;
    const char *parts = structure_option_given(&all->structure);
    const char *weights = prune_options_given(&all->prune);
    (void)cli;
    if (!parts)
        return prune_options_check(&all->prune, err);
    return weights ? pare_fail(err, PARE_ERR_USAGE,
                               "--%s and --%s are two ways to prune: take them one after "
                               "the other",
                               weights, parts)
                   : PARE_OK;
}

static enum pare_status run(struct pare_cli *cli, void *context, struct pare_error *err)
{
    const struct all_options *all = context;
    const struct prune_options *o = &all->prune;
    struct prune_work w = {.base = {.cli = cli, .err = err}, .o = o};
    if (!cli->output && !o->dry_run)
        return pare_fail(err, PARE_ERR_USAGE, "-o OUTPUT is needed, or --dry-run");
    if (structure_option_given(&all->structure))
        return run_structure(cli, o, &all->structure, err);
    PARE_TRY(pare_stored_open_container(cli->operands[0], &w.base.stored, err));
    enum pare_status status = prune(&w);
    for (size_t i = 0; w.forms && i < w.base.stored.plan.count; i++)
        prune_form_free(&w.forms[i]);
    calibration_free(&w.calibration);
    pare_stored_close(&w.base.stored);
    return status;
}

int main(int argc, char **argv)
{
    struct all_options all = {.prune = prune_options_default()};
    const struct pare_cli_option options[] = {
        PARE_CLI_STRING('s', "sparsity", "PATTERN", &all.prune.sparsity,
                        "what goes of each matrix: a share (50%, 0.5), N:M (2:4: two of "
                        "four stay), a share of blocks (80%/1x4: of one row and four "
                        "columns), or keep: the zeros it has, and nothing else"),
        PARE_CLI_CHOICE(0, "solver", "NAME", &all.prune.solver, prune_solvers,
                        "how it is chosen: magnitude, the smallest weights; wanda, the "
                        "smallest times the size of their inputs; sparsegpt, those that "
                        "others can make up for, which they do; sparsegpt with "
                        "--calibration, else magnitude"),
        PARE_CLI_CHOICE(0, "spread", "HOW", &all.prune.spread, prune_spreads,
                        "the share of each matrix: uniform, the same; global, of "
                        "magnitude, whatever is below one threshold; sensitivity, by "
                        "what the outputs on the calibration text mind"),
        PARE_CLI_CHOICE(0, "scheme", "SCHEME", &all.prune.scheme, pare_scheme_names,
                        "number format of what stays: f16, int8, int8g, int7 to int2, "
                        "or f32, dense, for training that goes on"),
        PARE_CLI_INT(0, "group-size", "N", &all.prune.group_size, 0, PARE_GROUP_MOST,
                     "weights along a row that share a scale in int8g and int7 to int2: "
                     "a multiple of 32, or 0 for a whole row; 32 when not given"),
        PARE_CLI_STRINGS(0, "override", "GLOB=PATTERN", &all.prune.override,
                         "the sparsity of the matrices whose names match; the last "
                         "match counts"),
        PARE_CLI_STRINGS(0, "skip", "GLOB", &all.prune.skip,
                         "leave the matrices whose names match as they are"),
        CALIBRATION_OPTIONS(&all.prune.calibration),
        PARE_CLI_INT(0, "passes", "N", &all.prune.passes, 0, 100,
                     "how often the weights that stay are gone through again, each for "
                     "what the others around it became"),
        PARE_CLI_DOUBLE(0, "damping", "X", &all.prune.damping, 0, 100,
                        "added to the second moments of the inputs, of the mean of their "
                        "diagonal"),
        PARE_CLI_DOUBLE(0, "correct", "X", &all.prune.correct, 0, 1,
                        "how far weights are changed to make up for what the pruned "
                        "layers before did to their inputs: 0 not at all, 1 all the way"),
        PARE_CLI_FLAG(0, "sequential", &all.prune.sequential,
                      "the layers of a block one after the other, each for inputs that "
                      "the pruned ones before it make"),
        STRUCTURE_OPTIONS(&all.structure),
        PARE_CLI_FLAG(0, "strict", &all.prune.strict,
                      "fail when a matrix does not fit the pattern or the groups, "
                      "instead of pruning single weights or storing f16; and when "
                      "moments of inputs need more damping or are of no use"),
        PARE_CLI_FLAG('n', "dry-run", &all.prune.dry_run,
                      "print what each tensor is to become and its size; write nothing"),
        PARE_CLI_FLAG(0, "plan", &all.prune.dry_run, "the same as --dry-run"),
        PARE_CLI_STRING(0, "json", "FILE", &all.prune.json,
                        "write sizes, sparsity and errors of all tensors to FILE; with "
                        "--dry-run, the plan"),
        PARE_CLI_END,
    };
    const struct pare_cli_example examples[] = {
        {"pare-prune sst2.gguf -s 50% --calibration train.tsv -o sst2-half.gguf",
         "Half of the blocks' weights, those that the others can make up for best; what "
         "stays in f16."},
        {"pare-prune sst2.gguf -s 2:4 --scheme int4 --group-size 128 --calibration "
         "train.tsv -o sst2-2of4.gguf",
         "Two of every four weights, as 4-bit codes, chosen together."},
        {"pare-prune sst2.gguf -s 80%/1x4 --scheme f32 --calibration train.tsv -o "
         "start.gguf",
         "A start for training that keeps the zeros."},
        {"pare-prune tuned.gguf -s keep --scheme int8 --calibration train.tsv -o "
         "small.gguf",
         "What such training made, without its zeros."},
        {"pare-prune sst2.gguf -s 60% --override 'blk.*.attn_*=2:4' --skip 'blk.0.*' -n",
         "What it would do."},
        {"pare-prune sst2.gguf --heads 6 --ffn 768 --calibration train.tsv -o "
         "narrow.gguf",
         "Half of the heads and neurons of each block."},
        {"pare-prune sst2.gguf --vocab-of train.tsv --vocab-of dev.tsv -o "
         "sst2-words.gguf",
         "Without the tokens that these texts do not have."},
        {NULL, NULL},
    };
    const struct pare_cli_program program = {
        .name = "pare-prune",
        .summary = "Takes weights out of a container's blocks, and the bytes with them.",
        .usage = "[options] INPUT.gguf -o OUTPUT.gguf",
        .description =
            "Only matrices inside the blocks are pruned; embeddings, head, norms and "
            "biases stay as they are (pare-quantize stores them with fewer bits, before "
            "or after). What is zero is not stored: single weights and blocks take a bit "
            "each, N:M less. A matrix that would be larger so is stored dense.\n\n"
            "With --calibration, blocks are worked on one after the other, each for what "
            "the pruned ones before it compute on that text: sparsegpt takes weights out "
            "in a sweep over the columns in which the later ones make up for what went, "
            "and shares the zeros of a matrix out so that its outputs change least. With "
            "codes as the scheme, zeros and codes are chosen in the same sweep. Inputs "
            "that were always zero, more damping and moments of no use are counted in "
            "the report of --json, and errors with --strict. What a run that was stopped "
            "has done is in OUTPUT.partial, and the same command goes on from there.\n\n"
            "After training with --keep-zeros, -s keep stores what is left.\n\n"
            "Instead of weights, whole parts can go: --heads, --ffn, --layers and "
            "--vocab-of make a smaller ordinary container of an input in f32, f16 or "
            "bf16, which is to be trained on or quantised as any other. With "
            "--calibration those heads and neurons go one after the other that the "
            "others can make up for best, which they do; without it the smallest.",
        .operands = "INPUT",
        .output = "the container to write",
        .options = options,
        .examples = examples,
        .min_operands = 1,
        .max_operands = 1,
        .check = check,
        .common = PARE_CLI_OUTPUT | PARE_CLI_SEED,
    };
    return pare_cli_main(&program, argc, argv, run, &all);
}
