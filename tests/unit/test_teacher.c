/* The teacher's answers on disk: they are what the forward computes, a file that fits is
 * used and any other is not, and nothing that stands in its place is harmed. */
#include "libdistill/teacher.h"

#include "runtime/base/interrupt.h"
#include "runtime/base/sha256.h"
#include "runtime/checkpoint/gguf_writer.h"
#include "tests/support/folder.h"
#include "tests/support/toy_training.h"

#define MOST (PARE_TEACHER_CHUNK + 76)

/* --- A teacher and texts ------------------------------------------------------------ */

struct scene {
    struct folder folder;
    const char *path; /* of the cache */
    struct pare_params *params;
    struct pare_model *model;
    uint64_t starts[MOST + 1];
    int32_t ids[MOST * 9], labels[MOST];
    struct pare_examples examples;
};

static const uint8_t every[8] = {1, 1, 1, 1, 1, 1, 1, 1};
static const struct pare_teacher_wants all = {every, every, 0};
static const struct pare_teacher_wants logits_only = {NULL, NULL, 0};

static void open_scene_of(struct scene *s, size_t count, uint32_t hidden)
{
    struct pare_config config = toy_config(PARE_BERT, PARE_ACT_GELU);
    config.layers = 3;
    config.hidden = hidden;
    memset(s, 0, sizeof *s);
    pare_set_threads(1);
    s->folder = folder_make();
    s->path = folder_path(&s->folder, "cache");
    TOY_OK(pare_params_new(&config, &s->params, err));
    toy_values(s->params, 4);
    struct pare_weight_source source = pare_params_source(s->params);
    TOY_OK(pare_model_bind(&config, &source, &s->model, err));
    struct pare_rng rng = {.seed = 8};
    for (size_t i = 0; i < count; i++) {
        const size_t n = 1 + (size_t)pare_rng_below(&rng, 9);
        s->starts[i + 1] = s->starts[i] + n;
        s->labels[i] = (int32_t)pare_rng_below(&rng, 4) - 1;
        for (uint64_t t = s->starts[i]; t < s->starts[i + 1]; t++)
            s->ids[t] = (int32_t)pare_rng_below(&rng, 17);
    }
    s->examples = (struct pare_examples){count, s->starts, s->ids, s->labels};
}

static void open_scene(struct scene *s, size_t count)
{
    open_scene_of(s, count, 12);
}

static void close_scene(struct scene *s)
{
    pare_model_free(s->model);
    pare_params_free(s->params);
    folder_remove(&s->folder);
}

/* Stops the pass before a chunk, -1: not. */
static int stop_before = -1;

static void stop_there(void *context, const char *phase, uint64_t done, uint64_t total,
                       const char *note)
{
    (void)context, (void)phase, (void)total, (void)note;
    if ((int)done == stop_before)
        pare_interrupt(15);
}

static const struct pare_progress stopping = {stop_there, NULL};

static enum pare_status ask(const struct scene *s, const char *sha256,
                            const struct pare_teacher_wants *wants,
                            struct pare_teacher **teacher, int *computed,
                            struct pare_error *error)
{
    const struct pare_teacher_call call = {.path = s->path,
                                           .model = s->model,
                                           .name = "t.gguf",
                                           .sha256 = sha256,
                                           .examples = &s->examples,
                                           .wants = wants,
                                           .progress = &stopping};
    *error = (struct pare_error){""};
    const enum pare_status status = pare_teacher_open(&call, teacher, error);
    if (status == PARE_OK)
        *computed = (*teacher)->found.what != PARE_TEACHER_FITS;
    return status;
}

/* Whether the answers had to be computed. */
static int computes(const struct scene *s, const char *sha256,
                    const struct pare_teacher_wants *wants)
{
    struct pare_teacher *teacher;
    struct pare_error error;
    int computed;
    cr_assert_eq(ask(s, sha256, wants, &teacher, &computed, &error), PARE_OK, "%s",
                 error.message);
    pare_teacher_free(teacher);
    cr_assert_eq(folder_count(&s->folder), 1);
    return computed;
}

/* --- Values ------------------------------------------------------------------------- */

/* `found` is `exact` rounded to F16: off by at most half a unit in the last place, of
 * which there are ten bits, and none below 2^-24. */
static void expect_rounded(const float *found, const float *exact, size_t n,
                           const char *what, size_t example)
{
    for (size_t k = 0; k < n; k++) {
        int exponent;
        frexp((double)exact[k], &exponent);
        const double unit = ldexp(1, (exponent - 1 < -14 ? -14 : exponent - 1) - 10);
        cr_assert_float_eq(found[k], exact[k], unit / 2,
                           "%s of example %zu: %.9g is %.9g", what, example,
                           (double)exact[k], (double)found[k]);
        cr_assert_eq(fmod((double)found[k], unit), 0);
    }
}

static void expect_answers(const struct scene *s, const struct pare_teacher *teacher,
                           int first_tokens)
{
    const uint32_t L = s->model->config.layers, C = s->model->config.hidden;
    struct pare_acts acts = {.tape = 1};
    float found[9 * 3 * 12];
    for (size_t i = 0; i < s->examples.count; i++) {
        const uint32_t n = (uint32_t)(s->starts[i + 1] - s->starts[i]);
        const size_t rows = first_tokens ? 1 : n;
        const struct pare_batch batch = {.n_seq = 1,
                                         .n_tokens = n,
                                         .ids = s->ids + s->starts[i],
                                         .starts = (const uint32_t[]){0, n}};
        TOY_OK(pare_forward(s->model, &batch, NULL, &acts, err));
        pare_teacher_logits(teacher, i, found);
        cr_assert_arr_eq(found, acts.logits, 3 * sizeof *found, "logits of %zu", i);
        for (uint32_t l = 0; l <= L; l++) {
            pare_teacher_hidden(teacher, l, i, rows, found);
            expect_rounded(found, l ? acts.blocks[l - 1].output : acts.embedded, rows * C,
                           "a hidden state", i);
        }
        for (uint32_t l = 0; l < L && !first_tokens; l++) {
            pare_teacher_qkv(teacher, l, i, found);
            expect_rounded(found, acts.blocks[l].qkv, 3 * rows * C, "queries", i);
        }
    }
    pare_acts_free(&acts);
}

Test(teacher, answers_are_the_forwards_rounded)
{
    static struct scene s;
    struct pare_teacher *teacher;
    struct pare_error error;
    int computed;
    open_scene(&s, MOST);
    for (int again = 0; again < 2; again++) {
        cr_assert_eq(ask(&s, "t", &all, &teacher, &computed, &error), PARE_OK, "%s",
                     error.message);
        cr_assert_eq(computed, !again);
        expect_answers(&s, teacher, 0);
        pare_teacher_free(teacher);
    }
    close_scene(&s);
}

Test(teacher, first_tokens_alone_are_the_first_of_all)
{
    static struct scene s;
    const struct pare_teacher_wants first = {every, NULL, 1};
    struct pare_teacher *teacher;
    struct pare_error error;
    int computed;
    open_scene(&s, MOST);
    cr_assert_eq(ask(&s, "t", &first, &teacher, &computed, &error), PARE_OK, "%s",
                 error.message);
    expect_answers(&s, teacher, 1);
    pare_teacher_free(teacher);
    cr_assert_not(computes(&s, "t", &first));
    cr_assert(computes(&s, "t", &all));
    cr_assert_eq(ask(&s, "t", &first, &teacher, &computed, &error), PARE_OK, "%s",
                 error.message);
    cr_assert_not(computed); /* all tokens' are first tokens' too */
    expect_answers(&s, teacher, 1);
    pare_teacher_free(teacher);
    close_scene(&s);
}

/* --- Which file is used ------------------------------------------------------------- */

Test(teacher, a_file_that_has_more_than_is_wanted_is_used)
{
    static struct scene s;
    static const uint8_t second[] = {0, 0, 1, 0}, third[] = {0, 0, 0, 1};
    const struct pare_teacher_wants some = {second, NULL, 0}, other = {third, NULL, 0};
    const struct pare_teacher_wants queries = {NULL, second, 0};
    open_scene(&s, 5);
    cr_assert(computes(&s, "t", &all));
    cr_assert_not(computes(&s, "t", &all));
    cr_assert_not(computes(&s, "t", &some));
    cr_assert_not(computes(&s, "t", &queries));
    cr_assert_not(computes(&s, "t", &logits_only));
    cr_assert(computes(&s, "other", &some)); /* of another teacher */
    cr_assert_not(computes(&s, "other", &some));
    cr_assert_not(computes(&s, "other", &logits_only));
    cr_assert(computes(&s, "other", &other)); /* a state that is not there */
    cr_assert(computes(&s, "other", &queries));
    cr_assert(computes(&s, "other", &all));
    close_scene(&s);
}

Test(teacher, a_file_that_lacks_something_keeps_what_it_has)
{
    static struct scene s;
    static const uint8_t second[] = {0, 0, 1, 0}, third[] = {0, 0, 0, 1};
    const struct pare_teacher_wants state = {second, NULL, 0}, other = {third, NULL, 0};
    const struct pare_teacher_wants first = {second, NULL, 1},
                                    queries = {NULL, second, 0};
    char names[32][PARE_NAME_SIZE];
    struct pare_ckpt *ckpt;
    open_scene(&s, MOST);
    const struct pare_teacher_wants *const each[] = {&first, &queries, &state, &other};
    for (size_t i = 0; i < 4; i++) {
        cr_assert(computes(&s, "t", each[i]));
        for (size_t k = 0; k <= i; k++)
            cr_assert_not(computes(&s, "t", each[k]), "%zu behind %zu", k, i);
    }
    /* The first tokens' state went when that of all came. */
    TOY_OK(pare_ckpt_open(s.path, &ckpt, err));
    cr_assert_eq(ckpt->n_tensors, 10);
    for (size_t i = 0; i < 10; i++)
        snprintf(names[i], PARE_NAME_SIZE, "%s", ckpt->tensors[i].name);
    pare_ckpt_close(ckpt);
    static const char *const expected[] = {"logits", "hidden.2", "hidden.3", "qkv.2",
                                           "crc32"};
    for (size_t i = 0; i < 10; i++)
        cr_assert_str_eq(strchr(names[i], '.') + 1, expected[i % 5]);
    close_scene(&s);
}

Test(teacher, another_text_is_another_question)
{
    static struct scene s;
    open_scene(&s, 5);
    cr_assert(computes(&s, "t", &all));
    s.labels[2] = s.labels[2] == 1 ? 2 : 1; /* the same text */
    cr_assert_not(computes(&s, "t", &all));
    s.ids[3] = (s.ids[3] + 1) % 17;
    cr_assert(computes(&s, "t", &all));
    s.examples.count--;
    cr_assert(computes(&s, "t", &all));
    cr_assert_not(computes(&s, "t", &all));
    s.starts[1]++; /* the same tokens, cut elsewhere */
    cr_assert(computes(&s, "t", &all));
    close_scene(&s);
}

static char *read_file(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(fseek(file, 0, SEEK_END), 0);
    *bytes = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(*bytes + 1);
    cr_assert_not_null(data);
    cr_assert_eq(fread(data, 1, *bytes, file), *bytes);
    fclose(file);
    return data;
}

static void expect_untouched(struct scene *s, const char *what)
{
    struct pare_teacher *teacher;
    struct pare_error error;
    size_t bytes;
    int computed;
    char *before = read_file(s->path, &bytes);
    cr_assert_eq(ask(s, "t", &all, &teacher, &computed, &error), PARE_ERR_USAGE, "%s",
                 what);
    cr_assert_null(teacher);
    cr_assert_not_null(strstr(error.message, s->path), "%s", error.message);
    cr_assert_not_null(strstr(error.message, "no teacher cache"), "%s", error.message);
    cr_assert(file_is(s->path, before, bytes), "%s", what);
    cr_assert_eq(folder_count(&s->folder), 1);
    free(before);
}

Test(teacher, a_file_of_something_else_is_refused_and_left_alone)
{
    static struct scene s;
    open_scene(&s, 5);
    put_file(s.path, "", 0);
    expect_untouched(&s, "an empty file");
    put_file(s.path, "notes\n", 6);
    expect_untouched(&s, "a text");
    struct pare_meta meta = {0};
    TOY_OK(pare_params_write(s.params, &meta, s.path, err));
    expect_untouched(&s, "a container");
    TOY_OK(pare_meta_set_string(&meta, "general.type", "model", 5, err));
    TOY_OK(pare_params_write(s.params, &meta, s.path, err));
    expect_untouched(&s, "a container of another type");
    pare_meta_free(&meta);
    close_scene(&s);
}

/* --- Damage ------------------------------------------------------------------------- */

/* Whatever happens to the file, the answers are right or there is an error. */
static enum pare_status survive(const struct scene *s)
{
    struct pare_teacher *teacher;
    struct pare_error error;
    int computed;
    const enum pare_status status = ask(s, "t", &all, &teacher, &computed, &error);
    cr_assert_eq(status == PARE_OK, teacher != NULL);
    if (teacher)
        expect_answers(s, teacher, 0);
    pare_teacher_free(teacher);
    return status;
}

Test(teacher, a_truncated_file_is_an_error_at_any_length)
{
    static struct scene s;
    size_t bytes;
    open_scene(&s, 5);
    cr_assert(computes(&s, "t", &all));
    char *whole = read_file(s.path, &bytes);
    for (size_t length = 0; length < bytes; length += length < 2048 ? 13 : 511) {
        put_file(s.path, whole, length);
        cr_assert_eq(survive(&s), PARE_ERR_USAGE, "%zu bytes", length);
        cr_assert(file_is(s.path, whole, length));
    }
    free(whole);
    close_scene(&s);
}

Test(teacher, a_damaged_file_harms_nobody)
{
    static struct scene s;
    size_t bytes;
    open_scene(&s, 2);
    cr_assert(computes(&s, "t", &all));
    char *whole = read_file(s.path, &bytes);
    cr_assert(bytes > 3000);
    for (size_t at = 0; at < bytes; at += at < 1500 ? 13 : 97) {
        const char kept = whole[at];
        whole[at] = (char)(kept ^ (1 << at % 8));
        put_file(s.path, whole, bytes);
        survive(&s);
        whole[at] = kept;
    }
    free(whole);
    close_scene(&s);
}

Test(teacher, damaged_chunks_alone_are_computed_again)
{
    static struct scene s;
    struct pare_teacher *teacher;
    struct pare_error error;
    size_t bytes;
    int computed;
    open_scene(&s, MOST);
    cr_assert(computes(&s, "t", &all));
    char *whole = read_file(s.path, &bytes);
    for (size_t k = 1; k < 8; k += 3) {
        const size_t at = bytes - k * bytes / 9;
        whole[at] ^= 1;
        put_file(s.path, whole, bytes);
        whole[at] ^= 1;
        cr_assert_eq(ask(&s, "t", &all, &teacher, &computed, &error), PARE_OK, "%s",
                     error.message);
        cr_assert_eq(teacher->found.what, PARE_TEACHER_DAMAGED, "byte %zu", at);
        cr_assert_eq(teacher->found.damaged, 1);
        cr_assert_eq(teacher->found.chunks, 2);
        pare_teacher_free(teacher);
        cr_assert(file_is(s.path, whole, bytes), "byte %zu", at);
    }
    /* A teacher who says other things is heard for the damaged chunk only: the last. */
    float before[3], after[3];
    whole[bytes - 200] ^= 1;
    put_file(s.path, whole, bytes);
    cr_assert_eq(ask(&s, "t", &all, &teacher, &computed, &error), PARE_OK);
    pare_teacher_logits(teacher, 0, before);
    pare_teacher_free(teacher);
    put_file(s.path, whole, bytes);
    s.params->value[s.params->classifier.bias] += 1;
    cr_assert_eq(ask(&s, "t", &all, &teacher, &computed, &error), PARE_OK);
    pare_teacher_logits(teacher, 0, after);
    cr_assert_arr_eq(before, after, sizeof before);
    cr_assert_eq(teacher->found.damaged, 1);
    pare_teacher_free(teacher);
    free(whole);
    close_scene(&s);
}

Test(teacher, a_file_of_an_older_version_is_computed_again)
{
    static struct scene s;
    struct pare_ckpt *from;
    struct pare_gguf_writer *to;
    open_scene(&s, 5);
    cr_assert(computes(&s, "t", &all));
    TOY_OK(pare_ckpt_open(s.path, &from, err));
    pare_meta_remove(&from->meta, "pare.cache_version");
    TOY_OK(pare_gguf_writer_open(s.path, &from->meta, &to, err));
    for (size_t i = 0; i < from->n_tensors; i++) {
        const struct pare_tensor *t = &from->tensors[i];
        TOY_OK(pare_gguf_writer_plan(to, t->name, t->type, t->n_dims, t->shape, err));
    }
    for (size_t i = 0; i < from->n_tensors; i++)
        TOY_OK(pare_gguf_writer_data(to, from->tensors[i].data, from->tensors[i].bytes,
                                     err));
    TOY_OK(pare_gguf_writer_commit(to, err));
    pare_ckpt_close(from);
    cr_assert(computes(&s, "t", &all));
    cr_assert_not(computes(&s, "t", &all));
    close_scene(&s);
}

/* Copies the cache, one tensor of it with other rows, columns or numbers. */
static void rewrite(const struct scene *s, const char *name, int rows, int columns,
                    enum pare_dtype type)
{
    struct pare_ckpt *from;
    struct pare_gguf_writer *to;
    static const char zeros[1 << 16];
    TOY_OK(pare_ckpt_open(s->path, &from, err));
    TOY_OK(pare_gguf_writer_open(s->path, &from->meta, &to, err));
    for (int data = 0; data < 2; data++) {
        for (size_t i = 0; i < from->n_tensors; i++) {
            struct pare_tensor t = from->tensors[i];
            if (!strcmp(t.name, name)) {
                t.shape[0] = (uint64_t)((int)t.shape[0] + rows);
                t.shape[1] = (uint64_t)((int)t.shape[1] + columns);
                t.type = type;
                t.bytes = t.shape[0] * t.shape[1] * pare_dtype_info(type)->block_bytes;
                t.data = zeros;
                cr_assert(t.bytes <= sizeof zeros);
            }
            if (data)
                TOY_OK(pare_gguf_writer_data(to, t.data, t.bytes, err));
            else
                TOY_OK(pare_gguf_writer_plan(to, t.name, t.type, t.n_dims, t.shape, err));
        }
    }
    TOY_OK(pare_gguf_writer_commit(to, err));
    pare_ckpt_close(from);
}

Test(teacher, tensors_of_another_shape_or_type_are_computed_again)
{
    static struct scene s;
    static const char *const names[] = {"0.logits", "0.hidden.2", "0.qkv.1"};
    open_scene(&s, 5);
    cr_assert(computes(&s, "t", &all));
    for (size_t i = 0; i < 3; i++) {
        const enum pare_dtype type = i ? PARE_F16 : PARE_F32;
        for (int change = -1; change <= 1; change += 2) {
            rewrite(&s, names[i], change, 0, type);
            cr_assert(computes(&s, "t", &all), "%s: rows", names[i]);
            rewrite(&s, names[i], 0, change, type);
            cr_assert(computes(&s, "t", &all), "%s: columns", names[i]);
        }
        rewrite(&s, names[i], 0, 0, i ? PARE_F32 : PARE_F16);
        cr_assert(computes(&s, "t", &all), "%s: type", names[i]);
        rewrite(&s, names[i], 0, 0, type);
        cr_assert(computes(&s, "t", &all), "%s: zeros", names[i]);
        rewrite(&s, "no such name", 0, 0, type);
        cr_assert_not(computes(&s, "t", &all), "%s: as it should be", names[i]);
    }
    close_scene(&s);
}

/* --- A teacher that is broken, or stopped ------------------------------------------- */

static void expect_refused(const struct scene *s, const struct pare_teacher_wants *wants,
                           enum pare_status expected, const char *phrase)
{
    struct pare_teacher *teacher;
    struct pare_error error;
    int computed;
    cr_assert_eq(ask(s, "t", wants, &teacher, &computed, &error), expected, "%s", phrase);
    cr_assert_null(teacher);
    cr_assert_not_null(strstr(error.message, phrase), "%s", error.message);
    cr_assert_eq(folder_count(&s->folder), 0);
}

Test(teacher, numbers_that_are_not_finite_or_too_large_are_an_error)
{
    static struct scene s;
    open_scene(&s, 5);
    const struct pare_block_params *block = &s.params->blocks[2];
    const size_t at[] = {s.params->classifier.bias, block->out_norm.bias,
                         block->qkv.bias + 3, s.params->embed_norm.bias};
    static const char *const where[] = {
        "in the logits for example 1:", "in hidden state 3 (of block 2) for example 1:",
        "in queries, keys and values of block 2 for example 1:",
        "in hidden state 0 (the embedding's) for example 1:"};
    static const float bad[] = {NAN, INFINITY, 65505.0f, -1e6f};
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 4; k++) {
            const float kept = s.params->value[at[i]];
            s.params->value[at[i]] = bad[k];
            expect_refused(&s, &all, PARE_ERR_INPUT, "t.gguf: the teacher computes");
            expect_refused(&s, &all, PARE_ERR_INPUT, where[i]);
            s.params->value[at[i]] = kept;
        }
    }
    close_scene(&s);
}

Test(teacher, the_example_with_such_a_number_is_named)
{
    static struct scene s;
    const struct pare_teacher_wants first = {every, NULL, 1};
    open_scene(&s, MOST);
    for (uint64_t t = 0; t < s.starts[MOST]; t++)
        s.ids[t] -= s.ids[t] == 16;
    const size_t examples[] = {
        0, 31, 32, PARE_TEACHER_CHUNK - 1, PARE_TEACHER_CHUNK, PARE_TEACHER_CHUNK + 50};
    s.params->value[s.params->tokens + 16 * s.model->config.hidden] = NAN;
    for (size_t i = 0; i < 6; i++) {
        char phrase[80];
        int32_t *last = &s.ids[s.starts[examples[i] + 1] - 1];
        *last = 16;
        snprintf(phrase, sizeof phrase,
                 "(the embedding's) for example %zu:", examples[i] + 1);
        expect_refused(&s, &all, PARE_ERR_INPUT, phrase);
        snprintf(phrase, sizeof phrase, " for example %zu:", examples[i] + 1);
        expect_refused(&s, &first, PARE_ERR_INPUT, phrase);
        expect_refused(&s, &logits_only, PARE_ERR_INPUT, phrase);
        *last = 15;
    }
    close_scene(&s);
}

Test(teacher, a_stop_leaves_nothing)
{
    static struct scene s;
    open_scene(&s, 5);
    pare_interrupt(15);
    expect_refused(&s, &all, PARE_ERR_INTERRUPTED, "");
    pare_interrupt(0);
    close_scene(&s);
}

static void stop(const struct scene *s, const struct pare_teacher_wants *wants,
                 int before, const char *phrase)
{
    struct pare_teacher *teacher;
    struct pare_error error;
    int computed;
    stop_before = before;
    cr_assert_eq(ask(s, "t", wants, &teacher, &computed, &error), PARE_ERR_INTERRUPTED);
    pare_interrupt(0);
    stop_before = -1;
    cr_assert_null(teacher);
    cr_assert_not_null(strstr(error.message, phrase), "%s", error.message);
}

/* How many chunks a stopped pass had left. */
static size_t resumes(const struct scene *s, const struct pare_teacher_wants *wants)
{
    struct pare_teacher *teacher;
    struct pare_error error;
    int computed;
    cr_assert_eq(ask(s, "t", wants, &teacher, &computed, &error), PARE_OK, "%s",
                 error.message);
    const size_t resumed = teacher->found.resumed;
    expect_answers(s, teacher, wants->first_tokens);
    pare_teacher_free(teacher);
    cr_assert_eq(folder_count(&s->folder), 1);
    return resumed;
}

Test(teacher, a_stopped_pass_goes_on_behind_its_last_chunk)
{
    static struct scene s;
    size_t bytes;
    open_scene_of(&s, MOST, 12);
    cr_assert(computes(&s, "t", &all));
    char *whole = read_file(s.path, &bytes);
    unlink(s.path);
    stop(&s, &all, 1, "stopped with 1 of 2 parts");
    cr_assert_eq(folder_count(&s.folder), 1);
    cr_assert_not(file_is(s.path, whole, bytes));
    stop(&s, &all, 1, ""); /* again: nothing new, nothing lost */
    cr_assert_eq(resumes(&s, &all), 1);
    cr_assert(file_is(s.path, whole, bytes));
    /* Of other texts: it is of no use, and goes away. */
    unlink(s.path);
    stop(&s, &all, 1, "stopped with 1 of 2 parts");
    s.ids[0] = (s.ids[0] + 1) % 17;
    cr_assert_eq(resumes(&s, &all), 0);
    free(whole);
    close_scene(&s);
}

Test(teacher, a_stopped_pass_leaves_the_file_that_was_to_get_more)
{
    static struct scene s;
    const struct pare_teacher_wants first = {every, NULL, 1};
    open_scene(&s, MOST);
    cr_assert(computes(&s, "t", &first));
    stop(&s, &all, 1, "stopped with 1 of 2 parts");
    cr_assert_eq(folder_count(&s.folder), 2);
    struct pare_teacher *teacher;
    struct pare_error error;
    int computed = 1;
    cr_assert_eq(ask(&s, "t", &first, &teacher, &computed, &error), PARE_OK);
    cr_assert_not(computed);
    pare_teacher_free(teacher);
    cr_assert_eq(resumes(&s, &all), 1);
    close_scene(&s);
}

Test(teacher, removing_takes_what_a_stopped_pass_left_too)
{
    static struct scene s;
    open_scene(&s, MOST);
    cr_assert(computes(&s, "t", &logits_only));
    stop(&s, &all, 1, "stopped with 1 of 2 parts");
    TOY_OK(pare_teacher_remove(s.path, err));
    cr_assert_eq(folder_count(&s.folder), 0);
    TOY_OK(pare_teacher_remove(s.path, err));
    close_scene(&s);
}

/* --- Bytes -------------------------------------------------------------------------- */

Test(teacher, bytes_do_not_depend_on_threads_or_tier)
{
    static struct scene s;
    static const int threads[] = {1, 2, 7};
    char expected[65] = "", found[65];
    open_scene_of(&s, 70, 156);
    for (int tier = 0; pare_cpu_tier(tier); tier++) {
        TOY_OK(pare_cpu_select(pare_cpu_tier(tier), err));
        for (size_t i = 0; i < 3; i++) {
            size_t bytes;
            pare_set_threads(threads[i]);
            cr_assert(computes(&s, "t", &all));
            char *data = read_file(s.path, &bytes);
            pare_sha256_of(data, bytes, found);
            free(data);
            unlink(s.path);
            if (!*expected)
                memcpy(expected, found, sizeof found);
            cr_assert_str_eq(found, expected, "tier %s, %d threads", pare_cpu_tier(tier),
                             threads[i]);
        }
    }
    close_scene(&s);
}
