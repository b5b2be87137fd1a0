/* pare-quantize: a container in, a smaller one out. */
#include <stdio.h>
#include <string.h>

#include "libquant/rtn.h"
#include "libquant/scheme.h"
#include "runtime/base/alloc.h"
#include "runtime/base/json.h"
#include "runtime/model/container.h"
#include "runtime/model/stored.h"
#include "tools/cli.h"

struct options {
    int scheme, embeddings; /* enum pare_scheme, -1: not given */
    struct pare_cli_list skip, override;
    int dry_run, strict;
    const char *json;
};

struct work {
    struct pare_cli *cli;
    const struct options *o;
    struct pare_stored stored;
    struct pare_scheme_item *items;  /* [plan.count] */
    struct pare_quant_error *errors; /* [plan.count], of the quantised ones */
    struct pare_error *err;
};

/* --- What is to be done --- */

/* "GLOB=SCHEME": the last "=" separates. */
static enum pare_status parse_override(const char *text, struct pare_arena *arena,
                                       struct pare_scheme_rule *rule,
                                       struct pare_error *err)
{
    const char *equals = strrchr(text, '=');
    char *glob;
    if (!equals || equals == text)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--override \"%.128s\": expected GLOB=SCHEME", text);
    PARE_TRY(pare_arena_strndup(arena, &glob, text, (size_t)(equals - text), err));
    rule->glob = glob;
    enum pare_status status = pare_scheme_by_name(equals + 1, &rule->scheme, err);
    return status == PARE_OK ? status
                             : pare_fail_in(err, status, "--override \"%.128s\"", text);
}

static enum pare_status decide(struct work *w)
{
    const struct options *o = w->o;
    struct pare_arena *arena = &w->stored.arena;
    const size_t count = w->stored.plan.count;
    struct pare_scheme_options options =
        pare_scheme_defaults((enum pare_scheme)o->scheme);
    struct pare_scheme_rule *rules;
    enum pare_dtype *now;
    options.strict = o->strict;
    if (o->embeddings >= 0)
        options.embeddings = (enum pare_scheme)o->embeddings;
    options.n_rules = o->override.count + o->skip.count;
    PARE_TRY(pare_arena_alloc(arena, &rules, options.n_rules, sizeof *rules, w->err));
    for (size_t i = 0; i < o->override.count; i++)
        PARE_TRY(parse_override(o->override.items[i], arena, &rules[i], w->err));
    for (size_t i = 0; i < o->skip.count; i++)
        rules[o->override.count + i] =
            (struct pare_scheme_rule){o->skip.items[i], PARE_SCHEME_KEEP};
    options.rules = rules;
    PARE_TRY(pare_arena_alloc(arena, &now, count, sizeof *now, w->err));
    for (size_t i = 0; i < count; i++)
        now[i] = w->stored.tensors[i]->type;
    PARE_TRY(pare_arena_alloc(arena, &w->items, count, sizeof *w->items, w->err));
    PARE_TRY(pare_arena_alloc(arena, &w->errors, count, sizeof *w->errors, w->err));
    memset(w->errors, 0, count * sizeof *w->errors);
    return pare_scheme_decide(&w->stored.plan, now, &options, w->items, w->err);
}

static uint64_t bytes_now(const struct pare_stored *stored, size_t i)
{
    return stored->tensors[i]->bytes + (stored->scales[i] ? stored->scales[i]->bytes : 0);
}

struct totals {
    uint64_t parameters, before, after;
};

static struct totals add_up(const struct work *w)
{
    struct totals totals = {0};
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        totals.parameters += pare_slot_elements(&w->stored.plan.slots[i]);
        totals.before += bytes_now(&w->stored, i);
        totals.after += w->items[i].bytes;
    }
    return totals;
}

static void print_plan(const struct work *w)
{
    const struct pare_plan *plan = &w->stored.plan;
    printf("%-32s %-16s %-6s %-6s %12s %12s\n", "tensor", "shape", "from", "to",
           "bytes now", "bytes then");
    for (size_t i = 0; i < plan->count; i++) {
        const struct pare_slot *slot = &plan->slots[i];
        char shape[64];
        printf("%-32s %-16s %-6s %-6s %12llu %12llu%s\n", slot->name,
               pare_shape_text(slot->n_dims, slot->shape, shape, sizeof shape),
               pare_dtype_name(w->stored.tensors[i]->type),
               pare_dtype_name(w->items[i].type),
               (unsigned long long)bytes_now(&w->stored, i),
               (unsigned long long)w->items[i].bytes,
               w->items[i].fallback ? "  rows do not fit the blocks" : "");
    }
    const struct totals t = add_up(w);
    printf("%-32s %-16llu %-6s %-6s %12llu %12llu\n", "all",
           (unsigned long long)t.parameters, "", "", (unsigned long long)t.before,
           (unsigned long long)t.after);
    printf("%.3fx of the bytes, %.2f bits a weight\n", (double)t.after / (double)t.before,
           8.0 * (double)t.after / (double)t.parameters);
}

/* --- Metadata --- */

static int add_list(cJSON *object, const char *key, const struct pare_cli_list *list)
{
    if (!list->count)
        return 1;
    cJSON *items = cJSON_CreateStringArray(list->items, (int)list->count);
    return items && cJSON_AddItemToObject(object, key, items);
}

static cJSON *options_json(const struct options *o)
{
    cJSON *json = cJSON_CreateObject();
    int made = json && cJSON_AddStringToObject(json, "scheme",
                                               pare_scheme_names[o->scheme]) != NULL;
    if (made && o->embeddings >= 0)
        made = cJSON_AddStringToObject(json, "embeddings",
                                       pare_scheme_names[o->embeddings]) != NULL;
    made = made && add_list(json, "override", &o->override) &&
           add_list(json, "skip", &o->skip);
    if (made)
        return json;
    cJSON_Delete(json);
    return NULL;
}

static enum pare_status make_meta(const struct work *w, const char *sha256,
                                  struct pare_meta *meta)
{
    const struct pare_meta *from = &w->stored.ckpt->meta;
    const enum pare_scheme scheme = (enum pare_scheme)w->o->scheme;
    const char *name = pare_scheme_name(scheme);
    for (size_t i = 0; i < from->count; i++)
        PARE_TRY(pare_meta_copy_value(meta, &from->values[i], w->err));
    PARE_TRY(pare_file_type_set(meta, pare_scheme_type(scheme, PARE_F32), w->err));
    PARE_TRY(pare_meta_set_string(meta, "pare.scheme", name, strlen(name), w->err));
    cJSON *options = options_json(w->o);
    if (!options)
        return pare_fail_memory(w->err, sizeof(cJSON));
    enum pare_status status =
        pare_history_add(meta, "pare-quantize", sha256, options, w->err);
    cJSON_Delete(options);
    return status;
}

/* --- Tensors --- */

#define SLICE ((size_t)1 << 20) /* weights in memory at a time, about */

/* Buffers for slices of rows of the largest matrix. */
struct buffers {
    float *W, *scale; /* scale: of all rows of a matrix */
    unsigned char *codes;
};

static size_t rows_of_slice(size_t K)
{
    return K < SLICE ? SLICE / K : 1;
}

static enum pare_status make_buffers(const struct work *w, struct buffers *b)
{
    size_t floats = 1, rows = 1;
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        const struct pare_slot *slot = &w->stored.plan.slots[i];
        if (!pare_slot_is_matrix(slot))
            continue;
        const size_t K = (size_t)slot->shape[1];
        floats = rows_of_slice(K) * K > floats ? rows_of_slice(K) * K : floats;
        rows = slot->shape[0] > rows ? (size_t)slot->shape[0] : rows;
    }
    PARE_TRY(pare_alloc_raw(&b->W, floats, sizeof *b->W, w->err));
    PARE_TRY(pare_alloc_raw(&b->codes, floats, sizeof(float), w->err));
    return pare_alloc_raw(&b->scale, rows, sizeof *b->scale, w->err);
}

static void free_buffers(struct buffers *b)
{
    pare_free(b->W);
    pare_free(b->codes);
    pare_free(b->scale);
}

static enum pare_status quantize_matrix(struct work *w, size_t i, struct buffers *b,
                                        struct pare_gguf_writer *writer)
{
    const struct pare_tensor *tensor = w->stored.tensors[i];
    const struct pare_dtype_info *from = pare_dtype_info(tensor->type);
    const struct pare_dtype_info *to = pare_dtype_info(w->items[i].type);
    const size_t N = (size_t)tensor->shape[0], K = (size_t)tensor->shape[1];
    for (size_t n = 0; n < N; n += rows_of_slice(K)) {
        const size_t rows = N - n < rows_of_slice(K) ? N - n : rows_of_slice(K);
        const struct pare_tensor slice = {.name = tensor->name,
                                          .type = tensor->type,
                                          .n_dims = 2,
                                          .shape = {rows, K},
                                          .bytes = rows * K * from->block_bytes,
                                          .data = (const unsigned char *)tensor->data +
                                                  n * K * from->block_bytes};
        PARE_TRY(pare_check_interrupted(w->err));
        PARE_TRY(pare_tensor_decode(&slice, b->W, w->err));
        enum pare_status status = pare_rtn_quantize(
            to->type, &(struct pare_quant_rows){b->W, rows, K, n}, b->codes,
            to->type == PARE_I8 ? b->scale + n : NULL, &w->errors[i], w->err);
        if (status != PARE_OK)
            return pare_fail_in(w->err, status, "%s: tensor %s", w->stored.ckpt->path,
                                tensor->name);
        PARE_TRY(pare_gguf_writer_data(writer, b->codes,
                                       rows * K / to->block * to->block_bytes, w->err));
    }
    if (to->type == PARE_I8)
        return pare_gguf_writer_data(writer, b->scale, N * sizeof(float), w->err);
    return PARE_OK;
}

static enum pare_status keep_tensor(const struct work *w, size_t i,
                                    struct pare_gguf_writer *writer)
{
    const struct pare_tensor *tensor = w->stored.tensors[i], *scale = w->stored.scales[i];
    PARE_TRY(pare_gguf_writer_data(writer, tensor->data, tensor->bytes, w->err));
    return scale ? pare_gguf_writer_data(writer, scale->data, scale->bytes, w->err)
                 : PARE_OK;
}

static enum pare_status plan_tensors(const struct work *w,
                                     struct pare_gguf_writer *writer)
{
    for (size_t i = 0; i < w->stored.plan.count; i++) {
        const struct pare_slot *slot = &w->stored.plan.slots[i];
        PARE_TRY(pare_gguf_writer_plan(writer, slot->name, w->items[i].type, slot->n_dims,
                                       slot->shape, w->err));
        if (w->items[i].type != PARE_I8)
            continue;
        char scale[PARE_NAME_SIZE + 8];
        pare_scale_name(slot->name, scale);
        PARE_TRY(pare_gguf_writer_plan(writer, scale, PARE_F32, 1, slot->shape, w->err));
    }
    return PARE_OK;
}

static enum pare_status write_tensors(struct work *w, struct pare_gguf_writer *writer)
{
    const struct pare_plan *plan = &w->stored.plan;
    struct buffers b = {0};
    enum pare_status status;
    PARE_TRY_OUT(plan_tensors(w, writer));
    PARE_TRY_OUT(make_buffers(w, &b));
    for (size_t i = 0; i < plan->count; i++) {
        pare_progress_report(&w->cli->progress, "quantise", i, plan->count,
                             plan->slots[i].name);
        if (w->items[i].scheme == PARE_SCHEME_KEEP) {
            PARE_TRY_OUT(keep_tensor(w, i, writer));
            continue;
        }
        PARE_TRY_OUT(quantize_matrix(w, i, &b, writer));
        pare_cli_detail(w->cli, "%-32s %-5s error %8.4f %%", plan->slots[i].name,
                        pare_dtype_name(w->items[i].type),
                        100 * pare_quant_error_relative(&w->errors[i]));
    }
    pare_progress_report(&w->cli->progress, "quantise", plan->count, plan->count, NULL);
out:
    free_buffers(&b);
    return status;
}

static enum pare_status write_container(struct work *w, const char *sha256)
{
    struct pare_meta meta = {0};
    struct pare_gguf_writer *writer = NULL;
    enum pare_status status;
    PARE_TRY_OUT(make_meta(w, sha256, &meta));
    PARE_TRY_OUT(pare_gguf_writer_open(w->cli->output, &meta, &writer, w->err));
    PARE_TRY_OUT(write_tensors(w, writer));
    status = pare_gguf_writer_commit(writer, w->err);
    writer = NULL;
out:
    pare_gguf_writer_abort(writer);
    pare_meta_free(&meta);
    return status;
}

/* --- The report --- */

static struct pare_quant_error all_errors(const struct work *w)
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

static int add_tensor_json(const struct work *w, size_t i, cJSON *list)
{
    cJSON *row = cJSON_CreateObject();
    if (!row || !cJSON_AddItemToArray(list, row)) {
        cJSON_Delete(row);
        return 0;
    }
    int made =
        cJSON_AddStringToObject(row, "name", w->stored.plan.slots[i].name) &&
        cJSON_AddStringToObject(row, "from",
                                pare_dtype_name(w->stored.tensors[i]->type)) &&
        cJSON_AddStringToObject(row, "to", pare_dtype_name(w->items[i].type)) &&
        cJSON_AddNumberToObject(row, "bytes_before", (double)bytes_now(&w->stored, i)) &&
        cJSON_AddNumberToObject(row, "bytes", (double)w->items[i].bytes);
    if (!made || w->items[i].scheme == PARE_SCHEME_KEEP)
        return made;
    return cJSON_AddNumberToObject(row, "relative_error",
                                   pare_quant_error_relative(&w->errors[i])) &&
           cJSON_AddNumberToObject(row, "largest_error", w->errors[i].largest) &&
           (!w->items[i].fallback || cJSON_AddTrueToObject(row, "fallback"));
}

static enum pare_status write_report(const struct work *w, const char *sha256)
{
    const struct totals t = add_up(w);
    const struct pare_quant_error all = all_errors(w);
    cJSON *json = cJSON_CreateObject(), *options = options_json(w->o);
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

static void tell_result(const struct work *w)
{
    const struct totals t = add_up(w);
    const struct pare_quant_error all = all_errors(w);
    char before[24], after[24];
    pare_cli_info(
        w->cli, "%s: %s, tensors %s -> %s (%.3fx, %.2f bits a weight), error %.3f %%",
        w->cli->output, pare_scheme_name((enum pare_scheme)w->o->scheme),
        pare_cli_bytes(t.before, before), pare_cli_bytes(t.after, after),
        (double)t.after / (double)t.before, 8.0 * (double)t.after / (double)t.parameters,
        100 * pare_quant_error_relative(&all));
}

/* --- The program --- */

static void tell_fallbacks(const struct work *w)
{
    for (size_t i = 0; i < w->stored.plan.count; i++)
        if (w->items[i].fallback)
            pare_cli_warn(w->cli,
                          "tensor %s: its rows do not fit the blocks of the scheme; it "
                          "is stored as %s",
                          w->stored.plan.slots[i].name,
                          pare_dtype_name(w->items[i].type));
}

static enum pare_status quantize(struct work *w)
{
    char sha256[65];
    PARE_TRY(decide(w));
    if (w->o->dry_run) {
        print_plan(w);
        return PARE_OK;
    }
    PARE_TRY(pare_ckpt_refuse_output(w->stored.ckpt, w->cli->output, w->err));
    tell_fallbacks(w);
    PARE_TRY(pare_ckpt_sha256(w->stored.ckpt, sha256, w->err));
    PARE_TRY(write_container(w, sha256));
    if (w->o->json)
        PARE_TRY(write_report(w, sha256));
    tell_result(w);
    return PARE_OK;
}

static enum pare_status run(struct pare_cli *cli, void *context, struct pare_error *err)
{
    struct work w = {.cli = cli, .o = context, .err = err};
    if (w.o->scheme < 0)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--scheme is needed: int8, q8_0, q4_0, q4_1, f16 or bf16");
    if (!cli->output && !w.o->dry_run)
        return pare_fail(err, PARE_ERR_USAGE, "-o OUTPUT is needed, or --dry-run");
    PARE_TRY(pare_stored_open_container(cli->operands[0], &w.stored, err));
    enum pare_status status = quantize(&w);
    pare_stored_close(&w.stored);
    return status;
}

int main(int argc, char **argv)
{
    struct options o = {.scheme = -1, .embeddings = -1};
    const struct pare_cli_option options[] = {
        PARE_CLI_CHOICE('s', "scheme", "SCHEME", &o.scheme, pare_scheme_names,
                        "number format of the matrices"),
        PARE_CLI_CHOICE(0, "embeddings", "SCHEME", &o.embeddings, pare_scheme_names,
                        "that of the token and position embeddings, when it is another"),
        PARE_CLI_STRINGS(0, "override", "GLOB=SCHEME", &o.override,
                         "that of the tensors whose names match; the last match counts"),
        PARE_CLI_STRINGS(0, "skip", "GLOB", &o.skip,
                         "leave the tensors whose names match as they are"),
        PARE_CLI_FLAG('n', "dry-run", &o.dry_run,
                      "print each tensor's planned type and size, write nothing"),
        PARE_CLI_FLAG(0, "strict", &o.strict,
                      "fail when a tensor's rows do not fit the blocks of its scheme, "
                      "instead of storing it as f16"),
        PARE_CLI_STRING(0, "json", "FILE", &o.json,
                        "write sizes and errors of all tensors to FILE"),
        PARE_CLI_END,
    };
    const struct pare_cli_example examples[] = {
        {"pare-quantize sst2.gguf -s int8 -o sst2-int8.gguf",
         "A quarter of the size: 8-bit weights, one scale a row; runs with 8-bit "
         "activations."},
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
            "Weights are rounded to the nearest value of the format. int8 keeps one "
            "scale "
            "for each output channel and runs in integer arithmetic; q8_0, q4_0 and q4_1 "
            "keep one scale for each block of 32 weights and are decoded when they run; "
            "f16 and bf16 halve the size.\n\n"
            "Norms and biases stay f32, and so do the classifier and the token types, "
            "which are small, unless the scheme is f16 or bf16.",
        .operands = "INPUT",
        .output = "the container to write",
        .options = options,
        .examples = examples,
        .min_operands = 1,
        .max_operands = 1,
        .common = PARE_CLI_OUTPUT,
    };
    return pare_cli_main(&program, argc, argv, run, &o);
}
