/* The losses of distillation against PyTorch: values, gradients and fifty updates, from
 * tests/data/training, made by tests/golden/make_distill.py. */
#include "libdistill/backward.h"
#include "libdistill/distill.h"
#include "libdistill/trainer.h"
#include "runtime/base/parallel.h"
#include "tests/support/folder.h"
#include "tests/support/golden_training.h"

#define LONGEST 64 /* examples of a file */

struct golden {
    struct pare_ckpt *file;
    struct pare_config student, teacher;
    cJSON *cases;
    uint64_t starts[LONGEST + 1];
    struct pare_examples examples;
    struct pare_params *teacher_params;
    struct pare_model *teacher_model;
    struct folder folder;
};

static void open_golden(struct golden *g, const char *name)
{
    memset(g, 0, sizeof *g);
    g->file = golden_open(name);
    g->student = golden_config(g->file, "config");
    g->teacher = golden_config(g->file, "teacher");
    g->cases = golden_json(g->file, "cases");
    const uint32_t *starts = golden_tensor(g->file, "", "starts")->data;
    const size_t count = golden_tensor(g->file, "", "labels")->shape[0];
    cr_assert(count <= LONGEST);
    for (size_t i = 0; i <= count; i++)
        g->starts[i] = starts[i];
    g->examples = (struct pare_examples){
        .count = count,
        .starts = g->starts,
        .ids = golden_tensor(g->file, "", "ids")->data,
        .labels = golden_tensor(g->file, "", "labels")->data,
    };
    GOLDEN_OK(pare_params_new(&g->teacher, &g->teacher_params, err));
    golden_read(g->file, "teacher.", g->teacher_params, g->teacher_params->value);
    struct pare_weight_source source = pare_params_source(g->teacher_params);
    GOLDEN_OK(pare_model_bind(&g->teacher, &source, &g->teacher_model, err));
    g->folder = folder_make();
}

static void close_golden(struct golden *g)
{
    folder_remove(&g->folder);
    pare_model_free(g->teacher_model);
    pare_params_free(g->teacher_params);
    cJSON_Delete(g->cases);
    pare_ckpt_close(g->file);
}

static void one_thread(void)
{
    pare_set_threads(1); /* too small to share */
}

TestSuite(distill_goldens, .init = one_thread);

/* --- The loss of a case ------------------------------------------------------------- */

static double weight_of(const cJSON *json, const char *key)
{
    const cJSON *found = cJSON_GetObjectItem(json, key);
    return found ? found->valuedouble : 0;
}

static struct pare_layer_pair pair_of(const cJSON *json)
{
    return (struct pare_layer_pair){(uint32_t)cJSON_GetArrayItem(json, 0)->valueint,
                                    (uint32_t)cJSON_GetArrayItem(json, 1)->valueint};
}

static struct pare_distill_options options_of(const cJSON *json)
{
    struct pare_distill_options o = {
        .hard = weight_of(json, "hard"),
        .soft = weight_of(json, "soft"),
        .cosine = weight_of(json, "cosine"),
        .mse = weight_of(json, "mse"),
        .first = weight_of(json, "first"),
        .relation = weight_of(json, "relation"),
        .attention = weight_of(json, "attention"),
        .temperature = 2,
        .project = cJSON_IsTrue(cJSON_GetObjectItem(json, "project")),
        .relation_heads = (uint32_t)weight_of(json, "relation_heads"),
    };
    const cJSON *pair;
    cJSON_ArrayForEach(pair, cJSON_GetObjectItem(json, "map")) o.map[o.n_map++] =
        pair_of(pair);
    if (cJSON_GetObjectItem(json, "temperature"))
        o.temperature = weight_of(json, "temperature");
    if (o.relation_heads) {
        pair = cJSON_GetObjectItem(json, "relation_blocks");
        o.relation_student = pair_of(pair).student;
        o.relation_teacher = pair_of(pair).teacher;
    }
    return o;
}

struct learner { /* a student with its loss */
    struct pare_params *params;
    struct pare_distiller *distiller;
    struct pare_loss loss;
};

static void open_learner(struct learner *l, const struct golden *g,
                         const struct pare_distill_options *options,
                         const struct pare_teacher *teacher)
{
    struct pare_extra extras[PARE_MAX_PAIRS];
    GOLDEN_OK(pare_distiller_new(options, &g->student, &g->teacher, &l->distiller, err));
    const size_t n = pare_distill_extras(options, &g->student, &g->teacher, extras);
    cr_assert_eq(n, options->project ? options->n_map : 0);
    GOLDEN_OK(pare_params_new_with(&g->student, extras, n, &l->params, err));
    golden_read(g->file, "", l->params, l->params->value);
    l->loss = pare_distiller_loss(l->distiller, teacher, l->params);
}

static void close_learner(struct learner *l)
{
    pare_params_free(l->params);
    pare_distiller_free(l->distiller);
}

/* The mean loss, and its gradient in params->grad: all examples in one batch, in another
 * order than that of the teacher's answers. */
static double differentiate(const struct golden *g, const struct learner *l)
{
    struct pare_acts acts = {
        .tape = 1, .first_only = pare_loss_needs_first_only(&l->loss, &g->student)};
    struct pare_backward work = {0};
    struct pare_batcher batcher;
    struct pare_model *model;
    struct pare_arena arena = {0};
    struct pare_loss_grads grads;
    struct pare_weight_source source = pare_params_source(l->params);
    static const uint32_t order[] = {3, 0, 4, 1, 2};
    const size_t n = g->examples.count;
    cr_assert_eq(n, sizeof order / sizeof *order);
    GOLDEN_OK(pare_model_bind(&g->student, &source, &model, err));
    GOLDEN_OK(pare_batcher_init(&batcher, &g->examples, n, err));
    const struct pare_batch batch = pare_batcher_fill(&batcher, order, 0, n);
    GOLDEN_OK(pare_forward(model, &batch, NULL, &acts, err));
    GOLDEN_OK(pare_loss_grads_new(&l->loss, &g->student, &batch, &arena, &grads, err));
    const struct pare_loss_input input = {
        .config = &g->student,
        .batch = &batch,
        .acts = &acts,
        .labels = batcher.labels,
        .example = batcher.example,
        .scale = 1.0f / (float)n,
    };
    double parts[PARE_LOSS_PARTS] = {0}, sum = 0;
    GOLDEN_OK(l->loss.run(l->loss.context, &input, &grads, parts, err));
    for (int i = 0; i < l->loss.n_parts; i++)
        sum += parts[i];
    GOLDEN_OK(pare_backward(l->params, l->params->value, &batch, NULL, &acts, &grads, 0,
                            &work, err));
    pare_arena_free(&arena);
    pare_batcher_free(&batcher);
    pare_model_free(model);
    pare_acts_free(&acts);
    pare_backward_free(&work);
    return sum / (double)n;
}

/* --- Values and gradients ----------------------------------------------------------- */

/* The teacher's answers as PyTorch gave them, instead of a file of our own: the one
 * chunk's tensors as pare_teacher has them, and their number. */
static size_t golden_answers(const struct golden *g, const struct pare_tensor **chunk)
{
    char name[32];
    size_t n = 0;
    chunk[n++] = golden_tensor(g->file, "", "0.logits");
    for (uint32_t s = 0; s <= g->teacher.layers; s++)
        chunk[n++] = NULL; /* first tokens alone */
    for (uint32_t s = 0; s <= g->teacher.layers; s++) {
        snprintf(name, sizeof name, "0.hidden.%u", s);
        chunk[n++] = golden_tensor(g->file, "", name);
    }
    for (uint32_t l = 0; l < g->teacher.layers; l++) {
        snprintf(name, sizeof name, "0.qkv.%u", l);
        chunk[n++] = golden_tensor(g->file, "", name);
    }
    return n;
}

static void check_losses(const char *file)
{
    struct golden g;
    open_golden(&g, file);
    const struct pare_tensor *chunk[32];
    golden_answers(&g, chunk);
    const struct pare_teacher teacher = {
        .config = g.teacher, .examples = &g.examples, .chunks = chunk};
    cr_assert(cJSON_GetArraySize(g.cases) > 5);
    for (int i = 0; i < cJSON_GetArraySize(g.cases); i++) {
        struct learner l;
        struct pare_distill_options options = options_of(cJSON_GetArrayItem(g.cases, i));
        char prefix[32];
        const char *name = "";
        snprintf(prefix, sizeof prefix, "%d.", i);
        const float expected =
            *(const float *)golden_tensor(g.file, prefix, "loss")->data;
        open_learner(&l, &g, &options, &teacher);
        const double loss = differentiate(&g, &l);
        cr_assert_float_eq(loss, (double)expected, 1e-6 * (double)expected,
                           "case %d: loss %.9g, PyTorch %.9g", i, loss, (double)expected);
        snprintf(prefix, sizeof prefix, "%d.grad.", i);
        const double error =
            golden_worst(g.file, prefix, l.params, l.params->grad, 1e-2, 0, &name);
        cr_assert(error < 5e-6, "case %d: %s differs by %.3g of its largest gradient", i,
                  name, error);
        close_learner(&l);
    }
    close_golden(&g);
}

Test(distill_goldens, losses_of_a_wider_teacher_are_pytorchs)
{
    check_losses("distill_wide");
}

Test(distill_goldens, losses_of_a_teacher_as_wide_are_pytorchs)
{
    check_losses("distill_same");
}

/* --- The teacher -------------------------------------------------------------------- */

static struct pare_teacher *ask(const struct golden *g,
                                const struct pare_teacher_wants *wants)
{
    struct pare_teacher *teacher;
    const struct pare_teacher_call call = {.path = folder_path(&g->folder, "cache"),
                                           .model = g->teacher_model,
                                           .name = "t.gguf",
                                           .sha256 = "t",
                                           .examples = &g->examples,
                                           .wants = wants};
    GOLDEN_OK(pare_teacher_open(&call, &teacher, err));
    cr_assert_eq(teacher->found.what, PARE_TEACHER_NO_FILE);
    return teacher;
}

/* What is kept is PyTorch's, but for values that F16 rounds the other way: one unit in
 * the last place, 2^-10. */
Test(distill_goldens, the_teachers_answers_are_pytorchs)
{
    static const char *const files[] = {"distill_wide", "distill_same"};
    for (size_t f = 0; f < 2; f++) {
        struct golden g;
        open_golden(&g, files[f]);
        uint8_t all[32];
        memset(all, 1, sizeof all);
        struct pare_teacher *teacher = ask(&g, &(struct pare_teacher_wants){all, all, 0});
        const struct pare_tensor *expected[32];
        const size_t n = golden_answers(&g, expected);
        for (size_t kind = 0; kind < n; kind++) {
            const struct pare_tensor *found = teacher->chunks[kind];
            if (!found && !expected[kind])
                continue;
            cr_assert_eq(found->type, expected[kind]->type);
            cr_assert_eq(found->bytes, expected[kind]->bytes);
            const double unit = kind ? 1.0 / 1024 : 1e-5;
            for (uint64_t k = 0; k < pare_tensor_elements(found); k++) {
                float pair[2];
                if (kind) {
                    pare_kernels()->decode_f16(&pair[0],
                                               (const char *)found->data + 2 * k, 1);
                    pare_kernels()->decode_f16(
                        &pair[1], (const char *)expected[kind]->data + 2 * k, 1);
                } else {
                    pair[0] = ((const float *)found->data)[k];
                    pair[1] = ((const float *)expected[0]->data)[k];
                }
                cr_assert_float_eq(pair[0], pair[1],
                                   unit * fmax(fabs((double)pair[1]), 1e-3),
                                   "%s: tensor %zu, element %d", files[f], kind, (int)k);
            }
        }
        pare_teacher_free(teacher);
        close_golden(&g);
    }
}

/* --- A run -------------------------------------------------------------------------- */

struct history {
    const float *losses, *norms; /* [updates][parts], [updates] */
    int updates, parts;
};

static void note(void *context, const struct pare_train_event *event)
{
    struct history *h = context;
    if (event->kind != PARE_TRAIN_UPDATE)
        return;
    double sum = 0;
    cr_assert_eq(event->n_parts, h->parts);
    for (int i = 0; i < h->parts; i++) {
        const double expected = (double)h->losses[h->updates * h->parts + i];
        cr_assert_float_eq(event->part[i], expected, 1e-5,
                           "update %d: %s %.7f, PyTorch %.7f", h->updates + 1,
                           event->part_names[i], event->part[i], expected);
        sum += expected;
    }
    cr_assert_float_eq(event->loss, sum, 2e-5);
    cr_assert_float_eq(event->norm, (double)h->norms[h->updates], 1e-4);
    h->updates++;
}

/* Every update sees all examples, in batches of five whose gradients are added; the order
 * is the library's own. */
Test(distill_goldens, fifty_updates_of_all_terms_follow_pytorch)
{
    struct golden g;
    struct learner l;
    open_golden(&g, "distill_run");
    struct pare_distill_options options = options_of(cJSON_GetArrayItem(g.cases, 0));
    open_learner(&l, &g, &options, NULL);
    const struct pare_teacher_wants wants = pare_distiller_wants(l.distiller);
    struct pare_teacher *teacher = ask(&g, &wants);
    const size_t steps = (size_t)golden_number(g.file, "steps");
    struct history history = {
        .losses = golden_tensor(g.file, "", "losses")->data,
        .norms = golden_tensor(g.file, "", "norms")->data,
        .parts = (int)golden_tensor(g.file, "", "losses")->shape[1],
    };
    struct pare_train_options training = pare_train_options_default();
    struct pare_train_result result;
    training.epochs = steps;
    training.batch = 5;
    training.accumulate = 5;
    training.lr = golden_number(g.file, "lr");
    training.warmup = golden_number(g.file, "warmup");
    training.adamw.weight_decay = (float)golden_number(g.file, "decay");
    training.adamw.clip = (float)golden_number(g.file, "clip");
    training.loss = pare_distiller_loss(l.distiller, teacher, l.params);
    const struct pare_train_hooks hooks = {.event = note, .context = &history};
    GOLDEN_OK(pare_train(l.params, &g.examples, NULL, &training, &hooks, &result, err));
    cr_assert_eq(history.updates, (int)steps);
    const char *name = "";
    const double error =
        golden_worst(g.file, "end.", l.params, l.params->value, 1e-2, 1, &name);
    cr_assert(error < 1e-4, "%s differs by %.3g of its largest value", name, error);
    pare_teacher_free(teacher);
    close_learner(&l);
    close_golden(&g);
}
