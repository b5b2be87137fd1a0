/* The one forward: what must not change its bits, and what it must refuse. Its values are
 * checked against Hugging Face's in test_encoders.c. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/model/forward.h"
#include "tests/support/random_model.h"

static const struct pare_config small_bert = {
    .family = PARE_BERT,
    .layers = 2,
    .hidden = 24,
    .heads = 3,
    .ffn = 40,
    .vocab = 61,
    .positions = 80,
    .token_types = 2,
    .activation = PARE_ACT_GELU,
    .norm_eps = 1e-12f,
    .has_pooler = 1,
    .labels = 3,
    .label = {"a", "b", "c"},
    .dropout = 0.1f,
    .attention_dropout = 0.2f,
    .head_dropout = 0.1f,
};

static const uint32_t lengths[] = {5, 1, 80, 17, 16, 33};
#define N_SEQ (sizeof lengths / sizeof *lengths)

struct fixture {
    struct random_model model;
    struct random_batch batch;
};

static void set_up(struct fixture *f, const struct pare_config *config, int live)
{
    struct pare_error err = {""};
    cr_assert_eq(random_model_make(config, 11, 0.2f, live, &f->model, &err), PARE_OK,
                 "%s", err.message);
    cr_assert_eq(random_batch_make(config, lengths, N_SEQ, 3, &f->batch, &err), PARE_OK);
}

static void tear_down(struct fixture *f)
{
    random_model_free(&f->model);
    random_batch_free(&f->batch);
}

static void run(const struct fixture *f, const struct pare_batch *batch, int tape,
                const struct pare_dropout *dropout, struct pare_acts *acts)
{
    struct pare_error err = {""};
    acts->tape = tape;
    cr_assert_eq(pare_forward(f->model.model, batch, dropout, acts, &err), PARE_OK, "%s",
                 err.message);
}

static void run_and_copy(const struct fixture *f, int tape,
                         const struct pare_dropout *dropout, float *logits)
{
    struct pare_acts acts = {0};
    run(f, &f->batch.batch, tape, dropout, &acts);
    memcpy(logits, acts.logits, N_SEQ * 3 * sizeof *logits);
    pare_acts_free(&acts);
}

Test(forward, a_batch_of_mixed_lengths_gives_the_bits_of_one_sequence_at_a_time)
{
    struct fixture f;
    set_up(&f, &small_bert, 0);
    float together[N_SEQ * 3];
    run_and_copy(&f, 0, NULL, together);
    pare_set_threads(7); /* more than one sequence has heads: its queries are cut */
    struct pare_acts acts = {0};
    for (size_t s = 0; s < N_SEQ; s++) {
        const uint32_t start = f.batch.starts[s], one[2] = {0, lengths[s]};
        struct pare_batch alone = {.n_seq = 1,
                                   .n_tokens = lengths[s],
                                   .ids = f.batch.ids + start,
                                   .types = f.batch.types + start,
                                   .starts = one};
        run(&f, &alone, 0, NULL, &acts);
        cr_assert_arr_eq(acts.logits, together + 3 * s, 3 * sizeof(float));
    }
    pare_acts_free(&acts);
    tear_down(&f);
}

Test(forward, bits_do_not_depend_on_tape_live_weights_or_threads)
{
    struct fixture f, live;
    set_up(&f, &small_bert, 0);
    set_up(&live, &small_bert, 1);
    float expected[N_SEQ * 3], found[N_SEQ * 3];
    pare_set_threads(1);
    run_and_copy(&f, 0, NULL, expected);
    const int threads[] = {1, 2, 3, 7};
    for (int i = 0; i < 4; i++)
        for (int tape = 0; tape < 2; tape++) {
            pare_set_threads(threads[i]);
            run_and_copy(&f, tape, NULL, found);
            cr_assert_arr_eq(found, expected, sizeof found);
            run_and_copy(&live, tape, NULL, found);
            cr_assert_arr_eq(found, expected, sizeof found);
        }
    tear_down(&f);
    tear_down(&live);
}

Test(forward, first_tokens_alone_give_the_same_bits)
{
    struct fixture f;
    struct pare_config config = small_bert;
    const struct pare_dropout dropout = {5, 6};
    for (config.layers = 1; config.layers <= 3; config.layers++) {
        set_up(&f, &config, config.layers == 2);
        for (int tape = 0; tape < 2; tape++) {
            const size_t C = config.hidden;
            struct pare_acts all = {0}, first = {.first_only = 1};
            run(&f, &f.batch.batch, tape, tape ? &dropout : NULL, &all);
            run(&f, &f.batch.batch, tape, tape ? &dropout : NULL, &first);
            cr_assert_arr_eq(first.logits, all.logits, N_SEQ * 3 * sizeof(float));
            cr_assert_arr_eq(first.first, all.first, N_SEQ * C * sizeof(float));
            cr_assert_arr_eq(first.pooled, all.pooled, N_SEQ * C * sizeof(float));
            pare_acts_free(&all);
            pare_acts_free(&first);
        }
        tear_down(&f);
    }
}

Test(forward, dropout_repeats_for_a_step_and_differs_between_steps)
{
    struct fixture f;
    set_up(&f, &small_bert, 1);
    float plain[N_SEQ * 3], first[N_SEQ * 3], again[N_SEQ * 3], later[N_SEQ * 3];
    run_and_copy(&f, 1, NULL, plain);
    run_and_copy(&f, 1, &(struct pare_dropout){1, 1}, first);
    pare_set_threads(3);
    run_and_copy(&f, 1, &(struct pare_dropout){1, 1}, again);
    run_and_copy(&f, 1, &(struct pare_dropout){1, 2}, later);
    cr_assert_arr_eq(first, again, sizeof first);
    cr_assert_neq(memcmp(first, plain, sizeof first), 0);
    cr_assert_neq(memcmp(first, later, sizeof first), 0);
    tear_down(&f);
}

Test(forward, dropout_keeps_the_mean_and_drops_its_share)
{
    enum { n = 100000 };
    static float y[n];
    for (int i = 0; i < n; i++)
        y[i] = 1;
    const struct pare_dropout dropout = {3, 9};
    /* In pieces that do not start at a multiple of four: the mask is the element's own.
     */
    pare_dropout_apply(&dropout, 5, 0.25f, y, 1001, 0);
    pare_dropout_apply(&dropout, 5, 0.25f, y + 1001, n - 1001, 1001);
    double sum = 0;
    int dropped = 0;
    for (int i = 0; i < n; i++) {
        sum += y[i];
        dropped += y[i] == 0;
    }
    cr_assert_float_eq(sum / n, 1, 0.01);
    cr_assert_float_eq(dropped / (double)n, 0.25, 0.01);
}

Test(forward, a_tape_holds_softmax_rows_that_sum_to_one)
{
    struct fixture f;
    set_up(&f, &small_bert, 1);
    struct pare_acts acts = {0};
    run(&f, &f.batch.batch, 1, NULL, &acts);
    for (size_t s = 0; s < N_SEQ; s++) {
        size_t n = lengths[s];
        const float *p = acts.blocks[1].probs + acts.prob_start[s];
        for (size_t row = 0; row < n * small_bert.heads; row++) {
            double sum = 0;
            for (size_t i = 0; i < n; i++)
                sum += p[row * n + i];
            cr_assert_float_eq(sum, 1, 1e-5);
        }
    }
    pare_acts_free(&acts);
    tear_down(&f);
}

static void refuse(struct fixture *f, const struct pare_batch *batch, const char *phrase)
{
    struct pare_error err = {""};
    struct pare_acts acts = {0};
    cr_assert_eq(pare_forward(f->model.model, batch, NULL, &acts, &err), PARE_ERR_INPUT);
    cr_assert_not_null(strstr(err.message, phrase), "message: %s", err.message);
    pare_acts_free(&acts);
}

Test(forward, ids_types_and_lengths_out_of_range_are_refused)
{
    struct fixture f;
    set_up(&f, &small_bert, 0);
    int32_t kept = f.batch.ids[3];
    f.batch.ids[3] = 61;
    refuse(&f, &f.batch.batch, "outside the vocabulary");
    f.batch.ids[3] = -1;
    refuse(&f, &f.batch.batch, "outside the vocabulary");
    f.batch.ids[3] = kept;
    f.batch.types[0] = 2;
    refuse(&f, &f.batch.batch, "token type 2");
    f.batch.types[0] = 0;
    const uint32_t too_long[] = {0, 81}, empty[] = {0, 0, 5};
    struct pare_batch batch = f.batch.batch;
    batch.n_seq = 1;
    batch.n_tokens = 81;
    batch.starts = too_long;
    refuse(&f, &batch, "at most 80");
    batch.n_seq = 2;
    batch.n_tokens = 5;
    batch.starts = empty;
    refuse(&f, &batch, "is empty");
    tear_down(&f);
}

Test(forward, a_headless_model_gives_hidden_states_only)
{
    struct pare_config config = small_bert;
    config.labels = 0;
    config.has_pooler = 0;
    struct fixture f;
    set_up(&f, &config, 0);
    struct pare_acts acts = {0};
    run(&f, &f.batch.batch, 0, NULL, &acts);
    cr_assert_null(acts.logits);
    cr_assert_null(acts.pooled);
    for (size_t i = 0; i < f.batch.batch.n_tokens * config.hidden; i++)
        cr_assert(isfinite(acts.blocks[1].output[i]));
    pare_acts_free(&acts);
    tear_down(&f);
}

/* The weights of `whole` without its first head, whose outputs nobody reads any more. */
static void drop_first_head(struct random_model *whole, struct random_model *less)
{
    float *from = whole->weights, *to = less->weights;
    for (size_t i = 0; i < whole->plan.count; i++) {
        const struct pare_slot *a = &whole->plan.slots[i], *b = &less->plan.slots[i];
        const size_t n = pare_slot_elements(a), m = pare_slot_elements(b);
        const size_t row = (size_t)a->shape[1], kept = (size_t)b->shape[1];
        if (!strstr(a->name, "attn_output.weight"))
            memcpy(to, from + (n - m), m * sizeof *to); /* rows, or all */
        for (size_t k = 0; strstr(a->name, "attn_output.weight") && k < n; k += row) {
            memset(from + k, 0, (row - kept) * sizeof *from);
            memcpy(to + k / row * kept, from + k + row - kept, kept * sizeof *to);
        }
        from += n;
        to += m;
    }
}

/* A head that nobody reads can be left out: not a bit changes. */
Test(forward, fewer_heads_of_the_same_width_are_an_ordinary_model)
{
    struct pare_config narrow = small_bert;
    struct fixture whole, less;
    pare_config_set_heads(&narrow, 2, 8);
    set_up(&whole, &small_bert, 1);
    set_up(&less, &narrow, 1);
    drop_first_head(&whole.model, &less.model);
    for (int first_only = 0; first_only < 2; first_only++) {
        struct pare_acts a = {.first_only = first_only}, b = {.first_only = first_only};
        run(&whole, &whole.batch.batch, 0, NULL, &a);
        run(&less, &whole.batch.batch, 0, NULL, &b);
        cr_assert_arr_eq(a.logits, b.logits, N_SEQ * 3 * sizeof *a.logits);
        pare_acts_free(&a);
        pare_acts_free(&b);
    }
    tear_down(&whole);
    tear_down(&less);
}
