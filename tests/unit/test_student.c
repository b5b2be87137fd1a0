/* Students that keep their teacher's hidden width: copies where they can be, folded token
 * types, chosen blocks and neurons; what may not be asked for. Narrower hidden states:
 * test_student_narrow.c. */
#include "libdistill/student.h"

#include <stdio.h>

#include "tests/support/toy_training.h"

/* --- A teacher and a student of it -------------------------------------------------- */

struct pair {
    struct pare_params *teacher, *student;
};

static struct pare_config teacher_config(enum pare_family family)
{
    struct pare_config config = toy_config(family, PARE_ACT_GELU);
    config.layers = 5;
    return config;
}

static void teach(struct pair *p, enum pare_family family)
{
    struct pare_config config = teacher_config(family);
    TOY_OK(pare_params_new(&config, &p->teacher, err));
    toy_values(p->teacher, 21);
    p->student = NULL;
}

static void start(struct pair *p, const struct pare_student_options *options)
{
    struct pare_config config;
    pare_params_free(p->student);
    TOY_OK(pare_student_config(options, &p->teacher->config, &config, err));
    TOY_OK(pare_params_new(&config, &p->student, err));
    TOY_OK(pare_student_start(options, p->teacher, p->student, 9, err));
}

static void close_pair(struct pair *p)
{
    pare_params_free(p->teacher);
    pare_params_free(p->student);
}

struct states { /* of the toy batch, all tokens of type 0 */
    struct pare_model *model;
    struct pare_acts acts;
};

static void run(struct states *s, struct pare_params *params)
{
    struct pare_weight_source source = pare_params_source(params);
    const struct pare_batch batch = {.n_seq = TOY_SEQUENCES,
                                     .n_tokens = TOY_TOKENS,
                                     .ids = toy_ids,
                                     .starts = toy_starts};
    *s = (struct states){.acts = {.tape = 1}};
    pare_set_threads(1);
    TOY_OK(pare_model_bind(&params->config, &source, &s->model, err));
    TOY_OK(pare_forward(s->model, &batch, NULL, &s->acts, err));
}

static void forget(struct states *s)
{
    pare_model_free(s->model);
    pare_acts_free(&s->acts);
}

/* Both compute the same hidden states: to the bit, or to rounding. */
static void expect_same_states(const struct pair *p, double within)
{
    struct states teacher, student;
    run(&teacher, p->teacher);
    run(&student, p->student);
    cr_assert_eq(p->student->config.layers, p->teacher->config.layers);
    for (uint32_t l = 0; l <= p->student->config.layers; l++) {
        const float *a = l ? teacher.acts.blocks[l - 1].output : teacher.acts.embedded;
        const float *b = l ? student.acts.blocks[l - 1].output : student.acts.embedded;
        for (size_t k = 0; k < (size_t)TOY_TOKENS * p->teacher->config.hidden; k++)
            cr_assert_float_eq(a[k], b[k], within, "state %u: %.8g and %.8g", l,
                               (double)a[k], (double)b[k]);
    }
    if (p->student->config.family == p->teacher->config.family)
        for (size_t k = 0; k < (size_t)TOY_SEQUENCES * p->teacher->config.labels; k++)
            cr_assert_float_eq(teacher.acts.logits[k], student.acts.logits[k], within);
    forget(&teacher);
    forget(&student);
}

static const float *values_of(const struct pare_params *params, const char *name,
                              size_t *n)
{
    for (size_t i = 0; i < params->plan.count; i++) {
        if (strcmp(params->plan.slots[i].name, name))
            continue;
        *n = params->start[i + 1] - params->start[i];
        return params->value + params->start[i];
    }
    cr_assert(0, "there is no %s", name);
    return NULL;
}

/* --- Copies ------------------------------------------------------------------------- */

Test(student, of_the_same_shape_is_a_copy)
{
    static const enum pare_family families[] = {PARE_BERT, PARE_DISTILBERT};
    for (int i = 0; i < 2; i++) {
        struct pair p;
        teach(&p, families[i]);
        start(&p, &(struct pare_student_options){.family = families[i]});
        cr_assert_eq(p.student->total, p.teacher->total);
        cr_assert_arr_eq(p.student->value, p.teacher->value,
                         p.teacher->total * sizeof(float));
        close_pair(&p);
    }
}

Test(student, distilbert_computes_the_states_of_a_bert_with_all_its_blocks)
{
    struct pair p;
    teach(&p, PARE_BERT);
    start(&p, &(struct pare_student_options){.family = PARE_DISTILBERT});
    cr_assert_eq(p.student->config.token_types, 0);
    expect_same_states(&p, 2e-5);
    /* Only positions are new, and the head is there to begin with. */
    for (size_t i = 0; i < p.student->plan.count; i++) {
        const char *name = p.student->plan.slots[i].name;
        size_t n, m;
        const float *b = values_of(p.student, name, &n);
        const float *a = values_of(p.teacher, name, &m);
        cr_assert_eq(n, m);
        cr_assert_eq(memcmp(a, b, n * sizeof *a) != 0,
                     !strcmp(name, "position_embd.weight"), "%s", name);
    }
    close_pair(&p);
}

Test(student, bert_computes_the_states_of_a_distilbert)
{
    struct pair p;
    teach(&p, PARE_DISTILBERT);
    start(&p, &(struct pare_student_options){.family = PARE_BERT});
    cr_assert_eq(p.student->config.token_types, 1);
    expect_same_states(&p, 0);
    close_pair(&p);
}

/* --- Blocks ------------------------------------------------------------------------- */

static void expect_blocks(const struct pair *p, const uint32_t *from, uint32_t n)
{
    static const char *const names[] = {
        "attn_q.weight",      "attn_k.bias",           "attn_v.weight",
        "attn_output.weight", "attn_output.bias",      "attn_output_norm.weight",
        "ffn_up.weight",      "ffn_up.bias",           "ffn_down.weight",
        "ffn_down.bias",      "layer_output_norm.bias"};
    cr_assert_eq(p->student->config.layers, n);
    for (uint32_t s = 0; s < n; s++) {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            char mine[80], theirs[80];
            size_t size, same;
            snprintf(mine, sizeof mine, "blk.%u.%s", s, names[i]);
            snprintf(theirs, sizeof theirs, "blk.%u.%s", from[s], names[i]);
            const float *a = values_of(p->student, mine, &size);
            const float *b = values_of(p->teacher, theirs, &same);
            cr_assert_eq(size, same);
            cr_assert_arr_eq(a, b, size * sizeof *a, "%s is not %s", mine, theirs);
        }
    }
}

Test(student, blocks_are_those_that_are_asked_for)
{
    struct pair p;
    static const uint32_t from[] = {4, 1, 1}, evenly[] = {0, 2, 4};
    static const uint32_t more[] = {0, 0, 1, 1, 2, 2};
    teach(&p, PARE_BERT);
    start(&p, &(struct pare_student_options){.from = from, .n_from = 3});
    expect_blocks(&p, from, 3);
    start(&p, &(struct pare_student_options){.layers = 3, .from = from, .n_from = 3});
    expect_blocks(&p, from, 3);
    start(&p, &(struct pare_student_options){.layers = 3});
    expect_blocks(&p, evenly, 3);
    start(&p, &(struct pare_student_options){.from = more, .n_from = 6});
    expect_blocks(&p, more, 6);
    start(&p, &(struct pare_student_options){.layers = 1, .family = PARE_DISTILBERT});
    expect_blocks(&p, evenly, 1);
    close_pair(&p);
}

Test(student, blocks_are_spread_from_first_to_last)
{
    static const struct {
        uint32_t Ls, Lt, from[6];
    } cases[] = {{2, 6, {0, 5}},    {3, 12, {0, 6, 11}}, {4, 6, {0, 2, 3, 5}},
                 {3, 6, {0, 3, 5}}, {1, 6, {0}},         {6, 6, {0, 1, 2, 3, 4, 5}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (uint32_t s = 0; s < cases[i].Ls; s++)
            cr_assert_eq(pare_student_block(s, cases[i].Ls, cases[i].Lt),
                         cases[i].from[s], "block %u of %u from %u", s, cases[i].Ls,
                         cases[i].Lt);
}

/* --- Neurons ------------------------------------------------------------------------ */

#define FFN 20
#define KEPT 7

/* The oracle: how large a neuron's part in the block is, by definition. */
static void score_neurons(const struct pair *p, uint32_t block, double *score)
{
    const float *value = p->teacher->value;
    const struct pare_block_params *at = &p->teacher->blocks[block];
    for (size_t r = 0; r < FFN; r++) {
        double in = 0, out = 0;
        for (size_t c = 0; c < 12; c++) {
            in += pow((double)value[at->up.weight + r * 12 + c], 2);
            out += pow((double)value[at->down.weight + c * FFN + r], 2);
        }
        score[r] = sqrt(in * out);
    }
}

Test(student, a_narrower_layer_keeps_the_largest_neurons)
{
    struct pair p;
    teach(&p, PARE_BERT);
    start(&p, &(struct pare_student_options){.layers = 2, .ffn = KEPT});
    for (uint32_t s = 0; s < 2; s++) {
        const struct pare_block_params *from = &p.teacher->blocks[4 * s];
        const struct pare_block_params *to = &p.student->blocks[s];
        const float *a = p.teacher->value, *b = p.student->value;
        double score[FFN];
        size_t kept = 0;
        score_neurons(&p, 4 * s, score);
        for (size_t r = 0; r < FFN; r++) {
            size_t larger = 0;
            for (size_t other = 0; other < FFN; other++)
                larger += score[other] > score[r];
            if (larger >= KEPT)
                continue;
            cr_assert_arr_eq(b + to->up.weight + kept * 12, a + from->up.weight + r * 12,
                             12 * sizeof *a);
            cr_assert_eq(b[to->up.bias + kept], a[from->up.bias + r]);
            for (size_t c = 0; c < 12; c++)
                cr_assert_eq(b[to->down.weight + c * KEPT + kept],
                             a[from->down.weight + c * FFN + r]);
            kept++;
        }
        cr_assert_eq(kept, KEPT);
        cr_assert_arr_eq(b + to->down.bias, a + from->down.bias, 12 * sizeof *a);
    }
    close_pair(&p);
}

/* Neurons that write nothing can go without a trace. */
Test(student, neurons_without_a_part_are_not_missed)
{
    struct pair p;
    teach(&p, PARE_BERT);
    for (uint32_t l = 0; l < 5; l++)
        for (size_t c = 0; c < 12; c++)
            for (size_t r = 0; r < FFN - KEPT; r++)
                p.teacher->value[p.teacher->blocks[l].down.weight + c * FFN +
                                 (r * 3 + l) % FFN] = 0;
    start(&p, &(struct pare_student_options){.ffn = KEPT});
    expect_same_states(&p, 2e-5);
    start(&p, &(struct pare_student_options){.ffn = KEPT - 1});
    struct states teacher, student;
    run(&teacher, p.teacher);
    run(&student, p.student);
    cr_assert_neq(teacher.acts.logits[0], student.acts.logits[0]);
    forget(&teacher);
    forget(&student);
    close_pair(&p);
}

/* --- Random ones -------------------------------------------------------------------- */

Test(student, random_ones_are_drawn_and_may_be_larger)
{
    struct pair p;
    struct pare_params *drawn;
    const struct pare_student_options options = {.family = PARE_DISTILBERT,
                                                 .layers = 7,
                                                 .hidden = 16,
                                                 .heads = 2,
                                                 .ffn = 40,
                                                 .draw = 1};
    teach(&p, PARE_BERT);
    start(&p, &options);
    cr_assert_eq(p.student->config.layers, 7);
    cr_assert_eq(p.student->config.hidden, 16);
    cr_assert_eq(p.student->config.ffn, 40);
    TOY_OK(pare_params_new(&p.student->config, &drawn, err));
    pare_params_draw_all(drawn, 9);
    cr_assert_arr_eq(p.student->value, drawn->value, drawn->total * sizeof(float));
    pare_params_draw_all(drawn, 10);
    cr_assert_arr_neq(p.student->value, drawn->value, drawn->total * sizeof(float));
    pare_params_free(drawn);
    close_pair(&p);
}

/* --- A teacher whose heads are fewer than its width would hold --------------------- */

static void teach_two_heads(struct pair *p)
{
    struct pare_config config = teacher_config(PARE_BERT);
    pare_config_set_heads(&config, 2, 4);
    TOY_OK(pare_params_new(&config, &p->teacher, err));
    toy_values(p->teacher, 21);
    p->student = NULL;
}

Test(student, heads_of_a_width_of_their_own_keep_it)
{
    struct pair p;
    teach_two_heads(&p);
    start(&p, &(struct pare_student_options){0});
    expect_same_states(&p, 0);
    start(&p, &(struct pare_student_options){.layers = 2, .hidden = 4, .ffn = 10});
    cr_assert_eq(p.student->config.heads, 2);
    cr_assert_eq(p.student->config.head_width, 4);
    start(&p, &(struct pare_student_options){.hidden = 8});
    cr_assert_eq(p.student->config.head_width, 0, "two heads of 4 are all of 8");
    close_pair(&p);
}

/* A head that nobody reads is the one to go. */
Test(student, a_head_may_go_where_heads_have_a_width_of_their_own)
{
    struct pair p;
    teach_two_heads(&p);
    for (uint32_t l = 0; l < 5; l++) {
        float *out = p.teacher->value + p.teacher->blocks[l].attn_out.weight;
        const size_t dead = 4 * (l % 2);
        for (size_t row = 0; row < 12; row++)
            memset(out + row * 8 + dead, 0, 4 * sizeof *out);
    }
    start(&p, &(struct pare_student_options){.heads = 1});
    cr_assert_eq(p.student->config.heads, 1);
    cr_assert_eq(p.student->config.head_width, 4);
    expect_same_states(&p, 0);
    close_pair(&p);
}

/* --- What may not be asked for ------------------------------------------------------ */

static void expect_refused(const struct pare_student_options *options, const char *phrase)
{
    struct pare_config teacher = teacher_config(PARE_BERT), student;
    struct pare_error error = {""};
    cr_expect_neq(pare_student_config(options, &teacher, &student, &error), PARE_OK, "%s",
                  phrase);
    cr_expect_not_null(strstr(error.message, phrase), "%s instead of %s", error.message,
                       phrase);
}

Test(student, larger_ones_and_unfit_ones_are_refused)
{
    static const uint32_t from[] = {0, 5};
    expect_refused(&(struct pare_student_options){.layers = 6},
                   "number of blocks of 6 for the student, but the teacher has 5");
    expect_refused(&(struct pare_student_options){.ffn = 21},
                   "feed-forward width of 21 for the student, but the teacher has 20");
    expect_refused(&(struct pare_student_options){.hidden = 16},
                   "hidden width of 16 for the student, but the teacher has 12");
    expect_refused(&(struct pare_student_options){.heads = 2},
                   "the teacher's heads are 4");
    expect_refused(&(struct pare_student_options){.hidden = 6},
                   "the teacher's heads are 4");
    expect_refused(&(struct pare_student_options){.hidden = 8, .heads = 1},
                   "1 heads of 8: the teacher's heads are 4 wide");
    expect_refused(&(struct pare_student_options){.hidden = 8, .heads = 3},
                   "hidden size 8 is not a multiple of the 3 heads");
    expect_refused(&(struct pare_student_options){.from = from, .n_from = 2},
                   "the teacher has blocks 0 to 4, there is no block 5");
    expect_refused(&(struct pare_student_options){.layers = 3, .from = from, .n_from = 2},
                   "2 blocks of the teacher for a student of 3");
}
