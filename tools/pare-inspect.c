/* pare-inspect: what is in a checkpoint or container. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/inspect.h"

/* --- Metadata --- */

static void print_scalar(FILE *out, const struct pare_meta_value *value)
{
    switch (value->type) {
    case PARE_META_BOOL: fputs(value->u ? "true" : "false", out); break;
    case PARE_META_F32: fprintf(out, "%.9g", value->f); break;
    case PARE_META_F64: fprintf(out, "%.17g", value->f); break;
    case PARE_META_I8:
    case PARE_META_I16:
    case PARE_META_I32:
    case PARE_META_I64: fprintf(out, "%" PRId64, value->i); break;
    default: fprintf(out, "%" PRIu64, value->u); break;
    }
}

#define SHOWN 4 /* elements of an array that are printed */

static void print_array(FILE *out, const struct pare_meta_value *value)
{
    const struct pare_text *texts = value->elements;
    char text[64];
    fprintf(out, "%zu: ", value->count);
    for (size_t i = 0; i < value->count && i < SHOWN; i++) {
        if (value->element == PARE_META_STRING)
            fprintf(out, "%s\"%s\"", i ? ", " : "",
                    inspect_clean(texts[i].data, texts[i].length, text, sizeof text));
        else
            fprintf(out, "%s%.9g", i ? ", " : "", pare_meta_number(value, i));
    }
    if (value->count > SHOWN)
        fputs(", ...", out);
}

static void print_value(FILE *out, const struct pare_meta_value *value)
{
    char text[256];
    if (value->type == PARE_META_STRING)
        fputs(inspect_clean(value->text.data, value->text.length, text, sizeof text),
              out);
    else if (value->type == PARE_META_ARRAY)
        print_array(out, value);
    else
        print_scalar(out, value);
}

/* --- As a table --- */

static void print_model(const struct inspect_report *r)
{
    const struct pare_config *c = &r->model.config;
    if (!r->runs) {
        char text[PARE_ERROR_MESSAGE_SIZE + 8];
        printf("model       not one that these programs run: %s\n",
               inspect_clean(r->reason.message, strlen(r->reason.message), text,
                             sizeof text));
        return;
    }
    char width[24] = "";
    if (c->head_width)
        snprintf(width, sizeof width, " of %u", c->head_width);
    printf(
        "model       %s, %u layers, hidden %u, %u heads%s, feed-forward %u, vocabulary "
        "%u, %u positions%s\n",
        pare_family_name(c->family), c->layers, c->hidden, c->heads, width, c->ffn,
        c->vocab, c->positions, c->has_pooler ? ", pooler" : "");
    if (!c->labels)
        return;
    printf("labels     ");
    for (uint32_t i = 0; i < c->labels; i++) {
        char text[PARE_LABEL_SIZE + 8];
        printf(" %s", inspect_clean(c->label[i], strlen(c->label[i]), text, sizeof text));
    }
    putchar('\n');
}

/* What the matrices in the blocks take, and what was asked for of sizes. */
static void print_sizes(const struct inspect_report *r)
{
    char bytes[24];
    if (r->runs)
        printf("in blocks   %s of matrices, %.2f bits a weight, %.2f %% zeros\n",
               pare_cli_bytes(r->blocks.bytes, bytes), pare_size_bits(&r->blocks),
               100 * pare_size_sparsity(&r->blocks));
    if (r->o->memory)
        printf("memory      %s of weights, running here\n",
               pare_cli_bytes(r->memory_bytes, bytes));
    if (r->o->download)
        printf("download    %s\n", pare_cli_bytes(r->download_bytes, bytes));
}

static void print_head(const struct inspect_report *r)
{
    const struct pare_ckpt *ckpt = r->ckpt;
    char bytes[24];
    printf("file        %s\n", ckpt->path);
    printf("format      %s", pare_format_name(ckpt->format));
    if (ckpt->version)
        printf(" version %d", ckpt->version);
    printf(", %s", pare_cli_bytes(ckpt->bytes, bytes));
    if (ckpt->n_files > 1)
        printf(" in %zu files", ckpt->n_files);
    printf("\ncontent     sha256 %s\n", r->sha256);
    print_model(r);
    printf("tensors     %zu, %" PRIu64 " parameters, %s, %.2f bits a weight\n",
           ckpt->n_tensors, r->parameters, pare_cli_bytes(r->tensor_bytes, bytes),
           inspect_bits_per_weight(r));
    struct inspect_share shares[INSPECT_MOST_TYPES];
    const size_t n = inspect_types(r, shares);
    int width = 8;
    for (size_t i = 0; i < n; i++)
        if (strlen(shares[i].type) > (size_t)width)
            width = (int)strlen(shares[i].type);
    for (size_t i = 0; i < n; i++)
        printf("  %-*s  %zu tensors, %s\n", width, shares[i].type, shares[i].count,
               pare_cli_bytes(shares[i].bytes, bytes));
    print_sizes(r);
}

static void print_meta(const struct inspect_report *r)
{
    const struct pare_meta *meta = &r->ckpt->meta;
    if (meta->count)
        printf("\nmetadata\n");
    for (size_t i = 0; i < meta->count; i++) {
        const struct pare_meta_value *value = &meta->values[i];
        char key[128], type[24];
        if (!strcmp(value->key, "pare.history"))
            continue;
        if (value->type == PARE_META_ARRAY)
            snprintf(type, sizeof type, "%s[]", inspect_meta_type(value->element));
        else
            snprintf(type, sizeof type, "%s", inspect_meta_type(value->type));
        printf("  %-40s %-8s ",
               inspect_clean(value->key, strlen(value->key), key, sizeof key), type);
        print_value(stdout, value);
        putchar('\n');
    }
}

static enum pare_status print_history(const struct inspect_report *r,
                                      struct pare_error *err)
{
    const struct pare_text *steps;
    size_t count;
    PARE_TRY(inspect_history(r, &steps, &count, err));
    if (steps)
        printf("\nhistory\n");
    for (size_t i = 0; steps && i < count; i++) {
        char text[1024];
        printf("  %zu  %s\n", i + 1,
               inspect_clean(steps[i].data, steps[i].length, text, sizeof text));
    }
    return PARE_OK;
}

/* Room for the longest name, within reason. */
static int name_width(const struct inspect_report *r)
{
    size_t width = 6;
    for (size_t i = 0; i < r->ckpt->n_tensors; i++) {
        const size_t length = strlen(r->ckpt->tensors[i].name);
        if (inspect_wanted(r, i) && length > width)
            width = length;
    }
    return width < 64 ? (int)width : 64;
}

static int longest_type(const struct inspect_report *r)
{
    size_t width = 6;
    char type[PARE_FORM_SIZE];
    for (size_t i = 0; i < r->ckpt->n_tensors; i++)
        if (inspect_wanted(r, i) && strlen(inspect_type(r, i, type)) > width)
            width = strlen(type);
    return (int)width;
}

static void print_tensors(const struct inspect_report *r)
{
    const int width = name_width(r), type_width = longest_type(r);
    char type[PARE_FORM_SIZE];
    printf("\n%-*s %-*s %-18s %12s", width, "tensor", type_width, "type", "shape",
           "bytes");
    if (r->stats)
        printf(" %12s %12s %12s %10s %10s", "min", "max", "mean", "zeros", "non-finite");
    putchar('\n');
    for (size_t i = 0; i < r->ckpt->n_tensors; i++) {
        const struct pare_tensor *tensor = &r->ckpt->tensors[i];
        char name[128], shape[200];
        if (!inspect_wanted(r, i))
            continue;
        printf("%-*s %-*s %-18s %12" PRIu64, width,
               inspect_clean(tensor->name, strlen(tensor->name), name, sizeof name),
               type_width, inspect_type(r, i, type),
               pare_shape_text(tensor->n_dims, tensor->shape, shape, sizeof shape),
               tensor->bytes);
        if (r->stats && !r->stats[i].known)
            printf(" %12s %12s %12s %10s %10s", "-", "-", "-", "-", "-");
        else if (r->stats)
            printf(" %12.5g %12.5g %12.5g %10" PRIu64 " %10" PRIu64, r->stats[i].min,
                   r->stats[i].max, r->stats[i].mean, r->stats[i].zeros,
                   r->stats[i].nonfinite);
        putchar('\n');
    }
}

static int is_shown(const struct inspect_report *r, const struct inspect_matrix *matrix)
{
    return r->o->matrices || matrix->is_sparse;
}

/* Those that are sparse, or all when they were asked for. */
static void print_matrices(const struct inspect_report *r)
{
    const char *heading = r->o->matrices ? "matrix" : "sparse matrix";
    struct inspect_matrix matrix;
    int width = (int)strlen(heading), any = 0;
    for (size_t at = 0; inspect_next_matrix(r, &at, &matrix);)
        if (is_shown(r, &matrix) && strlen(matrix.name) > (size_t)width)
            width = (int)strlen(matrix.name);
    for (size_t at = 0; inspect_next_matrix(r, &at, &matrix);) {
        char shape[64];
        if (!is_shown(r, &matrix))
            continue;
        if (!any++)
            printf("\n%-*s %-14s %-18s %12s %8s %14s\n", width, heading, "form", "shape",
                   "bytes", "zeros", "bits a weight");
        printf("%-*s %-14s %-18s %12" PRIu64 " %6.2f %% %14.3f\n", width, matrix.name,
               matrix.form, pare_shape_text(2, matrix.shape, shape, sizeof shape),
               matrix.size.bytes, 100 * pare_size_sparsity(&matrix.size),
               pare_size_bits(&matrix.size));
    }
}

static enum pare_status print_table(const struct inspect_report *r,
                                    struct pare_error *err)
{
    print_head(r);
    if (!r->o->glob) {
        print_meta(r);
        PARE_TRY(print_history(r, err));
    }
    print_tensors(r);
    print_matrices(r);
    return PARE_OK;
}

/* --- The program --- */

static enum pare_status run(struct pare_cli *cli, void *context, struct pare_error *err)
{
    struct inspect_report r = {.o = context};
    enum pare_status status = inspect_gather(cli, &r, err);
    if (status == PARE_OK)
        status = r.o->json ? inspect_print_json(&r, err) : print_table(&r, err);
    inspect_free(&r);
    return status;
}

int main(int argc, char **argv)
{
    struct inspect_options o = {0};
    const struct pare_cli_option options[] = {
        PARE_CLI_FLAG(0, "json", &o.json, "one JSON object instead of a table"),
        PARE_CLI_FLAG('s', "stats", &o.stats,
                      "minimum, maximum, mean, zeros and non-finite elements of each "
                      "tensor"),
        PARE_CLI_FLAG(0, "matrices", &o.matrices,
                      "bits and zeros of each matrix, not only of those that are sparse"),
        PARE_CLI_FLAG(0, "memory", &o.memory,
                      "bytes of weights that running the model holds here"),
        PARE_CLI_FLAG(0, "download", &o.download,
                      "the size inside gzip, which takes as long as gzip does"),
        PARE_CLI_STRING('t', "tensors", "GLOB", &o.glob,
                        "only the tensors whose names match"),
        PARE_CLI_STRING(0, "config", "FILE", &o.config,
                        "the model's config.json, when it is not beside the checkpoint"),
        PARE_CLI_END,
    };
    const struct pare_cli_example examples[] = {
        {"pare-inspect sst2-int8.gguf", "Config, metadata, provenance and tensors."},
        {"pare-inspect model.safetensors -s -t '*LayerNorm*'",
         "The numbers of some tensors."},
        {"pare-inspect sst2.gguf --json | jq .bits_per_weight", "For a script."},
        {NULL, NULL},
    };
    const struct pare_cli_program program = {
        .name = "pare-inspect",
        .summary = "Shows what is in a checkpoint or container.",
        .usage = "[options] INPUT",
        .description =
            "INPUT is anything that pare-convert reads, also when its model is not one "
            "that these programs run. The SHA-256 covers the content (tensors sorted by "
            "name; for a container its keys too, without the history) and is the one "
            "that a later step records as its input.",
        .operands = "INPUT",
        .options = options,
        .examples = examples,
        .min_operands = 1,
        .max_operands = 1,
    };
    return pare_cli_main(&program, argc, argv, run, &o);
}
