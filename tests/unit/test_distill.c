/* The losses of distillation: against finite differences, with dropout and over batches
 * that accumulate; the same bits for any number of threads and tier; their options.
 * Against PyTorch: test_distill_goldens.c. */
#include "libdistill/distill.h"

#include "runtime/base/alloc.h"
#include "tests/support/finite_differences.h"
#include "tests/support/folder.h"
#include "tests/support/toy_training.h"

/* --- A toy student and its teacher -------------------------------------------------- */

#define MOST_EXTRAS 8

struct pupil {
    struct toy toy; /* the student; its own batch is not used */
    struct pare_params *teacher_params;
    struct pare_model *teacher_model;
    struct folder folder;
    uint64_t starts[TOY_SEQUENCES + 1];
    int32_t labels[TOY_SEQUENCES];
    struct pare_examples examples;
    struct pare_batcher batcher;
    struct pare_distiller *distiller;
    struct pare_teacher *teacher;
    struct pare_loss loss;
    struct pare_arena arena;
    float *gradient;
    int dropout;
};

static struct pare_config teacher_config(uint32_t hidden)
{
    struct pare_config config = toy_config(PARE_BERT, PARE_ACT_GELU);
    config.layers = 3;
    config.hidden = hidden;
    config.ffn = 24;
    return config;
}

static void open_teacher(struct pupil *p, const struct pare_config *config)
{
    const struct pare_teacher_wants wants = pare_distiller_wants(p->distiller);
    TOY_OK(pare_params_new(config, &p->teacher_params, err));
    toy_values(p->teacher_params, 77);
    struct pare_weight_source source = pare_params_source(p->teacher_params);
    TOY_OK(pare_model_bind(config, &source, &p->teacher_model, err));
    const struct pare_teacher_call call = {.path = folder_path(&p->folder, "cache"),
                                           .model = p->teacher_model,
                                           .name = "t.gguf",
                                           .sha256 = "toy",
                                           .examples = &p->examples,
                                           .wants = &wants};
    TOY_OK(pare_teacher_open(&call, &p->teacher, err));
}

static void open_pupil(struct pupil *p, const struct pare_config *student,
                       const struct pare_config *teacher,
                       const struct pare_distill_options *options)
{
    struct pare_extra extras[MOST_EXTRAS];
    memset(p, 0, sizeof *p);
    p->folder = folder_make();
    for (size_t i = 0; i <= TOY_SEQUENCES; i++)
        p->starts[i] = toy_starts[i];
    memcpy(p->labels, toy_labels, sizeof p->labels);
    p->labels[3] = PARE_NO_LABEL;
    p->examples = (struct pare_examples){TOY_SEQUENCES, p->starts, toy_ids, p->labels};
    TOY_OK(pare_distiller_new(options, student, teacher, &p->distiller, err));
    open_teacher(p, teacher);
    toy_open(&p->toy, student, NULL);
    /* Again, with the extras. */
    pare_model_free(p->toy.model);
    pare_params_free(p->toy.params);
    const size_t n = pare_distill_extras(options, student, teacher, extras);
    cr_assert(n <= MOST_EXTRAS);
    TOY_OK(pare_params_new_with(student, extras, n, &p->toy.params, err));
    toy_values(p->toy.params, 11);
    struct pare_weight_source source = pare_params_source(p->toy.params);
    TOY_OK(pare_model_bind(student, &source, &p->toy.model, err));
    p->loss = pare_distiller_loss(p->distiller, p->teacher, p->toy.params);
    p->toy.acts.first_only = pare_loss_needs_first_only(&p->loss, student);
    TOY_OK(pare_batcher_init(&p->batcher, &p->examples, 2, err));
    TOY_OK(pare_alloc(&p->gradient, p->toy.params->total, sizeof(float), err));
}

static void close_pupil(struct pupil *p)
{
    pare_free(p->gradient);
    pare_arena_free(&p->arena);
    pare_batcher_free(&p->batcher);
    pare_teacher_free(p->teacher);
    pare_distiller_free(p->distiller);
    pare_model_free(p->teacher_model);
    pare_params_free(p->teacher_params);
    toy_close(&p->toy);
    folder_remove(&p->folder);
}

/* Forward, loss and, if `backward`, gradients of two sequences. */
static double half_of(struct pupil *p, int second, int backward)
{
    static const uint32_t order[] = {2, 0, 3, 1};
    const struct pare_dropout dropout = {.seed = 3, .step = 41 + (uint64_t)second};
    const struct pare_dropout *mask = p->dropout ? &dropout : NULL;
    struct pare_params *params = p->toy.params;
    const struct pare_batch batch =
        pare_batcher_fill(&p->batcher, order + 2 * second, 0, 2);
    struct pare_loss_grads grads;
    double parts[PARE_LOSS_PARTS] = {0}, sum = 0;
    TOY_OK(pare_forward(p->toy.model, &batch, mask, &p->toy.acts, err));
    pare_arena_release(&p->arena, (struct pare_arena_mark){0});
    TOY_OK(
        pare_loss_grads_new(&p->loss, &params->config, &batch, &p->arena, &grads, err));
    const struct pare_loss_input input = {
        .config = &params->config,
        .batch = &batch,
        .acts = &p->toy.acts,
        .labels = p->batcher.labels,
        .example = p->batcher.example,
        .scale = 1.0f / TOY_SEQUENCES,
        .accumulate = second,
    };
    TOY_OK(p->loss.run(p->loss.context, &input, &grads, parts, err));
    if (backward)
        TOY_OK(pare_backward(params, params->value, &batch, mask, &p->toy.acts, &grads,
                             second, &p->toy.backward, err));
    for (int i = 0; i < p->loss.n_parts; i++)
        sum += parts[i];
    return sum / TOY_SEQUENCES;
}

static double loss_of(void *pupil)
{
    return half_of(pupil, 0, 0) + half_of(pupil, 1, 0);
}

static double differentiate(struct pupil *p)
{
    const double loss = half_of(p, 0, 1) + half_of(p, 1, 1);
    memcpy(p->gradient, p->toy.params->grad, p->toy.params->total * sizeof(float));
    return loss;
}

/* --- Finite differences ------------------------------------------------------------- */

static void check(const struct pare_config *student, const struct pare_config *teacher,
                  const struct pare_distill_options *options, int first_only)
{
    struct pupil p;
    open_pupil(&p, student, teacher, options);
    cr_assert_eq(p.toy.acts.first_only, first_only);
    p.dropout = student->dropout > 0;
    const double loss = differentiate(&p);
    slope_expect(loss, loss_of(&p), "the loss itself");
    slope_check(&(struct slope_loss){p.toy.params, p.gradient, loss_of, &p});
    close_pupil(&p);
}

static struct pare_distill_options all_terms(void)
{
    return (struct pare_distill_options){
        .hard = 0.5,
        .soft = 0.4,
        .cosine = 0.7,
        .mse = 0.3,
        .first = 0.6,
        .relation = 0.9,
        .attention = 0.8,
        .temperature = 1.5,
        .map = {{0, 0}, {1, 1}, {2, 3}, {1, 2}},
        .n_map = 4,
        .project = 1,
        .relation_student = 0,
        .relation_teacher = 1,
        .relation_heads = 3,
    };
}

Test(distill, all_terms_with_dropout_agree_with_finite_differences)
{
    struct pare_config student = toy_config_with_dropout(PARE_BERT, PARE_ACT_GELU);
    struct pare_config teacher = teacher_config(18);
    struct pare_distill_options options = all_terms();
    check(&student, &teacher, &options, 0);
}

/* Relations between all heads of 8 and of 20. */
Test(distill, heads_of_a_width_of_their_own_agree_with_finite_differences)
{
    struct pare_config student = toy_config(PARE_BERT, PARE_ACT_GELU);
    struct pare_config teacher = teacher_config(18);
    struct pare_distill_options options = all_terms();
    pare_config_set_heads(&student, 2, 4);
    pare_config_set_heads(&teacher, 5, 4);
    options.relation_heads = 4;
    check(&student, &teacher, &options, 0);
}

Test(distill, states_of_equal_width_agree_with_finite_differences)
{
    struct pare_config student = toy_config(PARE_DISTILBERT, PARE_ACT_GELU);
    struct pare_config teacher = teacher_config(12);
    struct pare_distill_options options = all_terms();
    options.project = 0;
    options.relation_student = 1;
    options.relation_heads = 2;
    check(&student, &teacher, &options, 0);
}

Test(distill, relations_of_the_last_block_alone_agree_with_finite_differences)
{
    struct pare_config student = toy_config_with_dropout(PARE_BERT, PARE_ACT_GELU);
    struct pare_config teacher = teacher_config(18);
    struct pare_distill_options options = {.soft = 0.5,
                                           .attention = 1,
                                           .temperature = 3,
                                           .relation_student = 1,
                                           .relation_teacher = 2,
                                           .relation_heads = 2};
    check(&student, &teacher, &options, 0);
}

Test(distill, states_below_the_last_block_agree_with_finite_differences)
{
    struct pare_config student = toy_config_with_dropout(PARE_BERT, PARE_ACT_GELU);
    struct pare_config teacher = teacher_config(18);
    struct pare_distill_options options = {
        .hard = 1, .mse = 1, .temperature = 1, .map = {{1, 2}}, .n_map = 1, .project = 1};
    check(&student, &teacher, &options, 1);
}

/* Only hidden states: nothing moves the head. */
Test(distill, a_loss_without_logits_agrees_with_finite_differences)
{
    struct pare_config student = toy_config(PARE_BERT, PARE_ACT_GELU);
    struct pare_config teacher = teacher_config(12);
    struct pare_distill_options options = {
        .cosine = 1, .temperature = 1, .map = {{0, 1}, {2, 2}}, .n_map = 2};
    check(&student, &teacher, &options, 0);
}

/* --- Bits --------------------------------------------------------------------------- */

Test(distill, losses_and_gradients_do_not_depend_on_threads_or_tier)
{
    struct pare_config student = toy_config_with_dropout(PARE_BERT, PARE_ACT_GELU);
    struct pare_config teacher = teacher_config(204);
    struct pare_distill_options options = all_terms();
    student.hidden = 156;
    student.ffn = 331;
    static const int threads[] = {1, 2, 3, 7};
    uint64_t expected = 0;
    struct pupil p;
    open_pupil(&p, &student, &teacher, &options);
    p.dropout = 1;
    for (int tier = 0; pare_cpu_tier(tier); tier++) {
        TOY_OK(pare_cpu_select(pare_cpu_tier(tier), err));
        for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
            pare_set_threads(threads[i]);
            const double loss = differentiate(&p);
            uint64_t hash;
            memcpy(&hash, &loss, sizeof hash);
            for (size_t k = 0; k < p.toy.params->total; k++) {
                uint32_t bits;
                memcpy(&bits, &p.gradient[k], sizeof bits);
                hash = (hash ^ bits) * 1099511628211u;
            }
            if (!expected)
                expected = hash;
            cr_assert_eq(hash, expected, "tier %s, %d threads", pare_cpu_tier(tier),
                         threads[i]);
        }
    }
    close_pupil(&p);
}

/* The pass ends above them; the loss still looks at their states. */
Test(distill, frozen_blocks_change_no_other_gradient)
{
    struct pare_config student = toy_config_with_dropout(PARE_BERT, PARE_ACT_GELU);
    struct pare_config teacher = teacher_config(18);
    struct pare_distill_options options = all_terms();
    struct pupil p;
    options.relation_student = 1;
    open_pupil(&p, &student, &teacher, &options);
    const struct pare_params *params = p.toy.params;
    float *whole;
    differentiate(&p);
    TOY_OK(pare_alloc(&whole, params->total, sizeof *whole, err));
    memcpy(whole, p.gradient, params->total * sizeof *whole);
    p.toy.backward.frozen = 2; /* the embeddings and the first block */
    differentiate(&p);
    const size_t begin = params->blocks[1].qkv.weight;
    cr_assert_gt(params->pooler.weight, begin);
    cr_assert_arr_eq(p.gradient + begin, whole + begin,
                     (params->total - begin) * sizeof *whole);
    pare_free(whole);
    close_pupil(&p);
}

/* --- Vectors without a direction ---------------------------------------------------- */

Test(distill, a_state_of_zeros_has_no_direction_and_no_gradient)
{
    struct pare_config student = toy_config(PARE_DISTILBERT, PARE_ACT_GELU);
    struct pare_config teacher = teacher_config(12);
    struct pare_distill_options options = {.cosine = 1,
                                           .first = 1,
                                           .temperature = 1,
                                           .map = {{1, 1}},
                                           .n_map = 1,
                                           .project = 1};
    struct pupil p;
    open_pupil(&p, &student, &teacher, &options);
    float *W = p.toy.params->value + p.toy.params->start[p.toy.params->n_model];
    memset(W, 0, 12 * 12 * sizeof *W);
    cr_assert_float_eq(differentiate(&p), 1 + 2, 1e-12);
    for (size_t k = 0; k < p.toy.params->total; k++)
        cr_assert_eq(p.gradient[k], 0.0f);
    close_pupil(&p);
}

/* --- Options ------------------------------------------------------------------------ */

static void expect_refused(const struct pare_distill_options *options,
                           const struct pare_config *student, const char *phrase)
{
    struct pare_config teacher = teacher_config(18);
    struct pare_error error = {""};
    cr_expect_eq(pare_distill_check(options, student, &teacher, &error), PARE_ERR_USAGE,
                 "%s", phrase);
    cr_expect_not_null(strstr(error.message, phrase), "%s instead of %s", error.message,
                       phrase);
}

Test(distill, options_without_sense_are_refused)
{
    struct pare_config student = toy_config(PARE_BERT, PARE_ACT_GELU);
    struct pare_config teacher = teacher_config(18);
    struct pare_distill_options options = all_terms();
    TOY_OK(pare_distill_check(&options, &student, &teacher, err));
    options.first = -1;
    expect_refused(&options, &student, "the weight of the first loss is -1");
    options.first = NAN;
    expect_refused(&options, &student, "the weight of the first loss is nan");
    options = (struct pare_distill_options){.temperature = 1};
    expect_refused(&options, &student, "no loss has a weight");
    options = all_terms();
    options.temperature = 0;
    expect_refused(&options, &student, "the temperature");
    options = all_terms();
    options.n_map = 0;
    expect_refused(&options, &student, "needs a layer map");
    options = all_terms();
    options.map[3].student = 3;
    expect_refused(&options, &student, "layer map 3:2: the student has states 0 to 2");
    options = all_terms();
    options.map[3].teacher = 4;
    expect_refused(&options, &student,
                   "layer map 1:4: the student has states 0 to 2, "
                   "the teacher 0 to 3");
    options = all_terms();
    options.project = 0;
    expect_refused(&options, &student, "width 12 and 18 need a projection");
    options = all_terms();
    options.relation_student = 2;
    expect_refused(&options, &student, "relation of blocks 2:1");
    options = all_terms();
    options.relation_teacher = 3;
    expect_refused(&options, &student, "relation of blocks 0:3");
    options = all_terms();
    options.relation_heads = 4;
    expect_refused(&options, &student, "4 relation heads do not divide");
    options.relation_heads = 9;
    expect_refused(&options, &student, "9 relation heads do not divide");
    options.relation_heads = 0;
    expect_refused(&options, &student, "0 relation heads do not divide");
    options = all_terms();
    student.labels = 2;
    expect_refused(&options, &student, "the student has 2 labels, the teacher 3");
    options.hard = options.soft = 0;
    expect_refused(&options, &student, "the student has 2 labels, the teacher 3");
    struct pare_distiller *distiller;
    struct pare_error error;
    cr_expect_eq(pare_distiller_new(&options, &student, &teacher, &distiller, &error),
                 PARE_ERR_USAGE);
    cr_expect_null(distiller);
}

/* What a term that is not used would need does not matter. */
Test(distill, unused_terms_have_no_demands)
{
    struct pare_config student = toy_config(PARE_BERT, PARE_ACT_GELU);
    struct pare_config teacher = teacher_config(18);
    struct pare_distill_options options = pare_distill_options_default();
    struct pare_distiller *distiller;
    struct pare_extra extras[PARE_MAX_PAIRS];
    options.project = 1;
    options.map[options.n_map++] = (struct pare_layer_pair){9, 9};
    options.relation_student = 9;
    TOY_OK(pare_distiller_new(&options, &student, &teacher, &distiller, err));
    cr_assert_eq(pare_distill_extras(&options, &student, &teacher, extras), 0);
    cr_assert_null(pare_distiller_wants(distiller).hidden);
    cr_assert_null(pare_distiller_wants(distiller).qkv);
    const struct pare_loss loss = pare_distiller_loss(distiller, NULL, NULL);
    cr_assert(pare_loss_needs_first_only(&loss, &student));
    cr_assert_eq(loss.n_parts, 2);
    cr_assert_str_eq(loss.part_names[0], "hard");
    cr_assert_str_eq(loss.part_names[1], "soft");
    pare_distiller_free(distiller);
}

Test(distill, wants_what_the_map_and_the_blocks_say)
{
    struct pare_config student = toy_config(PARE_BERT, PARE_ACT_GELU);
    struct pare_config teacher = teacher_config(18);
    struct pare_distill_options options = all_terms();
    struct pare_distiller *distiller;
    options.n_map = 3;
    TOY_OK(pare_distiller_new(&options, &student, &teacher, &distiller, err));
    const struct pare_teacher_wants wants = pare_distiller_wants(distiller);
    static const uint8_t hidden[] = {1, 1, 0, 1}, qkv[] = {0, 1, 0};
    cr_assert_arr_eq(wants.hidden, hidden, sizeof hidden);
    cr_assert_arr_eq(wants.qkv, qkv, sizeof qkv);
    pare_distiller_free(distiller);
}

Test(distill, an_even_map_has_all_states_of_the_student)
{
    static const struct {
        uint32_t Ls, Lt, expected[5];
    } cases[] = {
        {2, 6, {0, 3, 6}},       {3, 4, {0, 1, 3, 4}}, {4, 6, {0, 2, 3, 5, 6}},
        {4, 4, {0, 1, 2, 3, 4}}, {1, 12, {0, 12}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pare_distill_options options = {.n_map = 7};
        pare_distill_map_evenly(&options, cases[i].Ls, cases[i].Lt);
        cr_assert_eq(options.n_map, cases[i].Ls + 1);
        for (uint32_t s = 0; s <= cases[i].Ls; s++) {
            cr_assert_eq(options.map[s].student, s);
            cr_assert_eq(options.map[s].teacher, cases[i].expected[s], "%u of %u to %u",
                         s, cases[i].Ls, cases[i].Lt);
        }
        cr_assert_eq(options.relation_student, cases[i].Ls - 1);
        cr_assert_eq(options.relation_teacher, cases[i].Lt - 1);
    }
}

/* --- Projections -------------------------------------------------------------------- */

static void draw(uint32_t hidden, uint64_t seed, struct pare_params **params)
{
    struct pare_config student = toy_config(PARE_BERT, PARE_ACT_GELU);
    struct pare_config teacher = teacher_config(hidden);
    struct pare_distill_options options = all_terms();
    struct pare_extra extras[PARE_MAX_PAIRS];
    const size_t n = pare_distill_extras(&options, &student, &teacher, extras);
    cr_assert_eq(n, 4);
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(extras[i].rows, hidden);
        cr_assert_eq(extras[i].columns, 12);
        cr_assert_eq(strncmp(extras[i].name, "train.", 6), 0);
        for (size_t k = 0; k < i; k++)
            cr_assert_str_neq(extras[i].name, extras[k].name);
    }
    TOY_OK(pare_params_new_with(&student, extras, n, params, err));
    pare_distill_draw(&options, &teacher, *params, seed);
}

Test(distill, projections_begin_random_or_as_the_identity)
{
    struct pare_params *params, *again, *other;
    draw(12, 5, &params);
    const size_t first = params->start[params->n_model];
    for (size_t k = 0; k < params->total - first; k++)
        cr_assert_eq(params->value[first + k], k % 144 % 13 == 0 ? 1.0f : 0.0f);
    for (size_t k = 0; k < first; k++)
        cr_assert_eq(params->value[k], 0.0f);
    pare_params_free(params);

    draw(18, 5, &params);
    draw(18, 5, &again);
    draw(18, 6, &other);
    const size_t n = params->total - first, bytes = n * sizeof(float);
    cr_assert_eq(n, 4 * 18 * 12);
    const float *W = params->value + first;
    cr_assert_arr_eq(W, again->value + first, bytes);
    cr_assert_arr_neq(W, other->value + first, bytes);
    cr_assert_arr_neq(W, W + 18 * 12, 18 * 12 * sizeof(float));
    double mean = 0, square = 0;
    for (size_t k = 0; k < n; k++) {
        mean += (double)W[k] / (double)n;
        square += (double)W[k] * (double)W[k] / (double)n;
    }
    /* 864 normal numbers of variance 1/12: three deviations of mean and variance. */
    cr_assert_float_eq(mean, 0, 3 * sqrt(1.0 / 12 / 864));
    cr_assert_float_eq(square, 1.0 / 12, 3 * sqrt(2.0 / 864) / 12);
    pare_params_free(params);
    pare_params_free(again);
    pare_params_free(other);
}
