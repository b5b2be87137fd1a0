/* Encoders converted by pare-convert give the values of Hugging Face's implementation.
 *
 * The committed models of tests/data come from tests/golden/make_encoders.py. With
 * PARE_DATA set, the oracles there and a classifier trained on SST-2 are checked too. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/json.h"
#include "runtime/model/forward.h"

static char folder[] = "/tmp/pare-encoders-XXXXXX";
static char container[64];

static void make_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(container, sizeof container, "%s/model.gguf", folder);
}

static void remove_folder(void)
{
    unlink(container);
    rmdir(folder);
}

TestSuite(encoders, .init = make_folder, .fini = remove_folder);

/* Runs pare-convert with the given words (NULL ends them) and -o container. */
static void convert(const char *input, const char *option, const char *value)
{
    char program[1024];
    snprintf(program, sizeof program, "%s/pare-convert", getenv("PARE_BIN"));
    pid_t child = fork();
    if (child == 0) {
        if (option)
            execl(program, program, "-q", input, "-o", container, option, value, NULL);
        else
            execl(program, program, "-q", input, "-o", container, NULL);
        _exit(127);
    }
    int how;
    cr_assert_eq(waitpid(child, &how, 0), child);
    cr_assert(WIFEXITED(how) && WEXITSTATUS(how) == 0, "pare-convert %s failed", input);
}

static struct pare_model *open_container(void)
{
    struct pare_error err = {""};
    struct pare_model *model;
    cr_assert_eq(pare_model_open(container, PARE_PRECISION_FP32, &model, &err), PARE_OK,
                 "%s", err.message);
    return model;
}

static cJSON *parse(const char *path)
{
    struct pare_error err = {""};
    cJSON *json = NULL;
    cr_assert_eq(pare_json_parse_file(path, &json, &err), PARE_OK, "%s", err.message);
    return json;
}

/* All numbers of nested lists, one behind the other. */
static size_t flatten(const cJSON *list, double *out, size_t capacity)
{
    size_t n = 0;
    const cJSON *item;
    if (cJSON_IsNumber(list)) {
        cr_assert_gt(capacity, 0);
        *out = list->valuedouble;
        return 1;
    }
    cJSON_ArrayForEach(item, list) n += flatten(item, out + n, capacity - n);
    return n;
}

#define MOST 65536

struct packed {
    int32_t ids[MOST], types[MOST];
    uint32_t starts[64];
    struct pare_batch batch;
};

static void pack(const cJSON *expected, struct packed *p)
{
    static double numbers[MOST];
    const cJSON *sequences = cJSON_GetObjectItemCaseSensitive(expected, "sequences");
    const char *key =
        cJSON_GetObjectItemCaseSensitive(expected, "types") ? "types" : "token_types";
    const cJSON *types = cJSON_GetObjectItemCaseSensitive(expected, key), *item;
    size_t n_seq = 0, n = 0;
    p->starts[0] = 0;
    cJSON_ArrayForEach(item, sequences)
    {
        n += flatten(item, numbers + n, MOST - n);
        p->starts[++n_seq] = (uint32_t)n;
    }
    for (size_t i = 0; i < n; i++)
        p->ids[i] = (int32_t)numbers[i];
    int has_types = types && flatten(types, numbers, MOST) == n;
    for (size_t i = 0; i < n; i++)
        p->types[i] = has_types ? (int32_t)numbers[i] : 0;
    p->batch = (struct pare_batch){.n_seq = n_seq,
                                   .n_tokens = n,
                                   .ids = p->ids,
                                   .types = p->types,
                                   .starts = p->starts};
}

static void compare(const cJSON *list, const float *found, size_t n, double tolerance,
                    const char *what)
{
    static double numbers[MOST];
    cr_assert_eq(flatten(list, numbers, MOST), n, "%s", what);
    for (size_t i = 0; i < n; i++)
        cr_assert_leq(fabs(found[i] - numbers[i]), tolerance, "%s[%zu]: %g, expected %g",
                      what, i, (double)found[i], numbers[i]);
}

/* Hidden states and logits of the file, whichever it has, against the container's. */
static void check(const char *expected_path, double tolerance)
{
    static struct packed packed;
    cJSON *expected = parse(expected_path);
    struct pare_model *model = open_container();
    struct pare_acts acts = {0};
    struct pare_error err = {""};
    pack(expected, &packed);
    cr_assert_eq(pare_forward(model, &packed.batch, NULL, &acts, &err), PARE_OK, "%s",
                 err.message);
    const struct pare_config *config = &model->config;
    const cJSON *hidden = cJSON_GetObjectItemCaseSensitive(expected, "hidden");
    const cJSON *logits = cJSON_GetObjectItemCaseSensitive(expected, "logits");
    cr_assert(hidden || logits, "%s has nothing to compare with", expected_path);
    if (hidden)
        compare(hidden, acts.blocks[config->layers - 1].output,
                packed.batch.n_tokens * config->hidden, tolerance, "hidden");
    if (logits)
        compare(logits, acts.logits, packed.batch.n_seq * config->labels, tolerance,
                "logits");
    pare_acts_free(&acts);
    pare_model_free(model);
    cJSON_Delete(expected);
}

static void check_committed(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", getenv("PARE_TEST_DATA"), name);
    convert(path, NULL, NULL);
    strncat(path, "/expected.json", sizeof path - strlen(path) - 1);
    check(path, 1e-4);
}

Test(encoders, bert_with_types_and_tanh_pooler_gives_the_reference)
{
    check_committed("tiny-bert");
}

Test(encoders, distilbert_with_relu_head_gives_the_reference)
{
    check_committed("tiny-distilbert");
}

/* --- With PARE_DATA ------------------------------------------------------------------
 */

static const char *data_folder(void)
{
    const char *data = getenv("PARE_DATA");
    if (!data)
        cr_skip_test("skipped: PARE_DATA is not set");
    return data;
}

Test(encoders, oracles_give_their_reference)
{
    static const char *const names[][2] = {{"tiny_bert", "hidden"},
                                           {"tiny_distilbert", "hidden"},
                                           {"tiny_distilbert_seqcls", "logits"}};
    const char *data = data_folder();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char weights[1024], config[1024], expected[1024];
        const char *stem = names[i][0];
        const char *root = "models/tiny-oracles";
        snprintf(weights, sizeof weights, "%s/%s/%s.safetensors", data, root, stem);
        snprintf(config, sizeof config, "%s/%s/%s_config.json", data, root, stem);
        snprintf(expected, sizeof expected, "%s/%s/%s_%s.json", data, root, stem,
                 names[i][1]);
        convert(weights, "--config", config);
        check(expected, 1e-4);
    }
}

/* Row: label, two logits, token ids; a header before the first. */
static void check_sst2_row(const struct pare_model *model, const char *sentence,
                           char *row, struct pare_acts *acts, size_t *correct)
{
    struct pare_error err = {""};
    struct pare_ids ids = {0};
    char *at = row;
    const long label = strtol(at, &at, 10);
    const double logits[2] = {strtod(at, &at), strtod(at, &at)};
    cr_assert_eq(pare_tokenizer_encode(model->tokenizer, sentence, strlen(sentence), 0,
                                       &ids, &err),
                 PARE_OK);
    for (size_t i = 0; i < ids.count; i++)
        cr_assert_eq(ids.ids[i], strtol(at, &at, 10), "token %zu of: %s", i, sentence);
    cr_assert_eq(strspn(at, " \r\n"), strlen(at), "more tokens expected: %s", sentence);
    const uint32_t starts[] = {0, (uint32_t)ids.count};
    const struct pare_batch batch = {
        .n_seq = 1, .n_tokens = ids.count, .ids = ids.ids, .starts = starts};
    cr_assert_eq(pare_forward(model, &batch, NULL, acts, &err), PARE_OK);
    for (int i = 0; i < 2; i++)
        cr_assert_float_eq(acts->logits[i], logits[i], 1e-3, "%s", sentence);
    *correct += (acts->logits[1] > acts->logits[0]) == label;
    pare_ids_free(&ids);
}

Test(encoders, a_classifier_trained_elsewhere_gives_its_ids_logits_and_accuracy)
{
    const char *data = data_folder();
    char path[1024], sentence[4096], row[65536];
    snprintf(path, sizeof path, "%s/models/distilbert-256-sst2", data);
    convert(path, NULL, NULL);
    struct pare_model *model = open_container();
    struct pare_acts acts = {0};
    snprintf(path, sizeof path, "%s/sst2/glue/dev.tsv", data);
    FILE *sentences = fopen(path, "r");
    snprintf(path, sizeof path, "%s/models/distilbert-256-sst2/dev_logits.tsv", data);
    FILE *rows = fopen(path, "r");
    cr_assert(sentences && rows);
    size_t n = 0, correct = 0;
    cr_assert(fgets(sentence, sizeof sentence, sentences) &&
              fgets(row, sizeof row, rows)); /* headers */
    while (fgets(sentence, sizeof sentence, sentences) && fgets(row, sizeof row, rows)) {
        sentence[strcspn(sentence, "\t")] = '\0';
        check_sst2_row(model, sentence, row, &acts, &correct);
        n++;
    }
    cr_assert_eq(n, 872);
    cr_assert_eq(correct, 696);
    fclose(sentences);
    fclose(rows);
    pare_acts_free(&acts);
    pare_model_free(model);
}
