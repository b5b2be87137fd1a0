/* Which tensor gets which number format. */
#include <criterion/criterion.h>
#include <string.h>

#include "libquant/scheme.h"

#define MOST 64

struct fixture {
    struct pare_arena arena;
    struct pare_plan plan;
    struct pare_weight now[MOST];
    struct pare_scheme_item items[MOST];
};

static struct fixture make(uint32_t hidden, uint32_t ffn)
{
    struct fixture f = {0};
    const struct pare_config config = {.family = PARE_BERT,
                                       .layers = 1,
                                       .hidden = hidden,
                                       .heads = 4,
                                       .ffn = ffn,
                                       .vocab = 100,
                                       .positions = 50,
                                       .token_types = 2,
                                       .activation = PARE_ACT_GELU,
                                       .norm_eps = 1e-12f,
                                       .has_pooler = 1,
                                       .labels = 3,
                                       .label = {"a", "b", "c"}};
    cr_assert_eq(pare_plan_make(&config, &f.arena, &f.plan, NULL), PARE_OK);
    cr_assert_leq(f.plan.count, MOST);
    for (size_t i = 0; i < f.plan.count; i++) {
        const struct pare_slot *slot = &f.plan.slots[i];
        f.now[i] = (struct pare_weight){.type = PARE_F32,
                                        .N = slot->n_dims == 2 ? slot->shape[0] : 1,
                                        .K = slot->shape[slot->n_dims - 1]};
    }
    return f;
}

static const struct pare_scheme_item *item(const struct fixture *f, const char *name)
{
    for (size_t i = 0; i < f->plan.count; i++)
        if (!strcmp(f->plan.slots[i].name, name))
            return &f->items[i];
    cr_assert_fail("%s is not in the plan", name);
    return NULL;
}

static void decide(struct fixture *f, const struct pare_scheme_options *options)
{
    struct pare_error err = {""};
    cr_assert_eq(pare_scheme_decide(&f->plan, f->now, options, f->items, &err), PARE_OK,
                 "%s", err.message);
}

Test(scheme, int8_takes_matrices_with_a_scale_a_row_and_leaves_vectors)
{
    struct fixture f = make(64, 128);
    struct pare_scheme_options options = pare_scheme_defaults(PARE_SCHEME_INT8);
    decide(&f, &options);
    const char *const int8[] = {"token_embd.weight", "position_embd.weight",
                                "blk.0.attn_q.weight", "blk.0.ffn_down.weight"};
    const uint64_t rows[] = {100, 50, 64, 64}, columns[] = {64, 64, 64, 128};
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(item(&f, int8[i])->type, PARE_I8, "%s", int8[i]);
        cr_assert_eq(item(&f, int8[i])->bytes, rows[i] * (columns[i] + 4), "%s", int8[i]);
    }
    const char *const kept[] = {"token_types.weight", "token_embd_norm.weight",
                                "blk.0.attn_q.bias", "cls.bias", "cls.output.weight"};
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(item(&f, kept[i])->type, PARE_F32, "%s", kept[i]);
        cr_assert_eq(item(&f, kept[i])->scheme, PARE_SCHEME_KEEP);
    }
    pare_arena_free(&f.arena);
}

Test(scheme, half_precision_takes_every_matrix)
{
    struct fixture f = make(64, 128);
    struct pare_scheme_options options = pare_scheme_defaults(PARE_SCHEME_BF16);
    decide(&f, &options);
    for (size_t i = 0; i < f.plan.count; i++)
        cr_assert_eq(f.items[i].type,
                     pare_slot_is_matrix(&f.plan.slots[i]) ? PARE_BF16 : PARE_F32);
    pare_arena_free(&f.arena);
}

Test(scheme, rows_that_do_not_fit_fall_back_to_f16_or_are_refused)
{
    struct fixture f = make(64, 72);
    struct pare_scheme_options options = pare_scheme_defaults(PARE_SCHEME_Q4_0);
    decide(&f, &options);
    cr_assert_eq(item(&f, "blk.0.ffn_up.weight")->type, PARE_Q4_0);
    cr_assert_eq(item(&f, "blk.0.ffn_down.weight")->type, PARE_F16);
    cr_assert(item(&f, "blk.0.ffn_down.weight")->fallback);
    cr_assert_eq(item(&f, "blk.0.ffn_down.weight")->bytes, 64 * 72 * 2);
    options.strict = 1;
    struct pare_error err = {""};
    cr_assert_eq(pare_scheme_decide(&f.plan, f.now, &options, f.items, &err),
                 PARE_ERR_USAGE);
    cr_assert_str_eq(err.message, "tensor blk.0.ffn_down.weight: rows of 72 are no "
                                  "multiple of the 32 that q4_0 needs");
    pare_arena_free(&f.arena);
}

Test(scheme, rows_that_do_not_fill_superblocks_get_blocks_of_about_as_many_bits)
{
    static const enum pare_scheme schemes[] = {
        PARE_SCHEME_Q6_K, PARE_SCHEME_Q5_K,  PARE_SCHEME_Q4_K, PARE_SCHEME_Q3_K,
        PARE_SCHEME_Q2_K, PARE_SCHEME_TQ2_0, PARE_SCHEME_TQ1_0};
    static const enum pare_dtype instead[] = {PARE_Q8_0, PARE_Q8_0, PARE_Q4_1, PARE_Q4_0,
                                              PARE_Q4_0, PARE_Q4_0, PARE_Q4_0};
    for (int i = 0; i < 7; i++) {
        struct fixture f = make(64, 256), odd = make(40, 256);
        struct pare_scheme_options options = pare_scheme_defaults(schemes[i]);
        decide(&f, &options);
        decide(&odd, &options);
        const struct pare_scheme_item *up = item(&f, "blk.0.ffn_up.weight");
        cr_expect_eq(up->type, instead[i]);
        cr_expect(up->fallback);
        cr_expect_eq(item(&f, "blk.0.ffn_down.weight")->type,
                     pare_scheme_type(schemes[i], PARE_F32));
        cr_expect(!item(&f, "blk.0.ffn_down.weight")->fallback);
        cr_expect_eq(item(&odd, "blk.0.ffn_up.weight")->type, PARE_F16);
        /* Once more, what is so already stays. */
        for (size_t s = 0; s < f.plan.count; s++)
            f.now[s].type =
                f.items[s].scheme == PARE_SCHEME_KEEP ? f.now[s].type : f.items[s].type;
        decide(&f, &options);
        cr_expect_eq(item(&f, "blk.0.ffn_up.weight")->scheme, PARE_SCHEME_KEEP);
        cr_expect_eq(item(&f, "blk.0.ffn_down.weight")->scheme, PARE_SCHEME_KEEP);
        pare_arena_free(&f.arena);
        pare_arena_free(&odd.arena);
    }
}

Test(scheme, the_last_rule_that_matches_wins)
{
    struct fixture f = make(64, 128);
    struct pare_scheme_options options = pare_scheme_defaults(PARE_SCHEME_INT8);
    const struct pare_scheme_rule rules[] = {{"blk.*", PARE_SCHEME_Q8_0},
                                             {"*.attn_*.weight", PARE_SCHEME_F16},
                                             {"*attn_v.weight", PARE_SCHEME_KEEP},
                                             {"cls.output.weight", PARE_SCHEME_INT8}};
    options.rules = rules;
    options.n_rules = 4;
    decide(&f, &options);
    cr_assert_eq(item(&f, "blk.0.ffn_up.weight")->type, PARE_Q8_0);
    cr_assert_eq(item(&f, "blk.0.attn_q.weight")->type, PARE_F16);
    cr_assert_eq(item(&f, "blk.0.attn_v.weight")->type, PARE_F32);
    cr_assert_eq(item(&f, "cls.output.weight")->type, PARE_I8);
    cr_assert_eq(item(&f, "blk.0.attn_q.bias")->type, PARE_F32);
    pare_arena_free(&f.arena);
}

Test(scheme, a_rule_that_matches_no_matrix_is_refused)
{
    struct fixture f = make(64, 128);
    struct pare_scheme_options options = pare_scheme_defaults(PARE_SCHEME_INT8);
    const struct pare_scheme_rule rules[] = {{"*attn_q.bias", PARE_SCHEME_F16}};
    options.rules = rules;
    options.n_rules = 1;
    struct pare_error err = {""};
    cr_assert_eq(pare_scheme_decide(&f.plan, f.now, &options, f.items, &err),
                 PARE_ERR_USAGE);
    cr_assert_str_eq(err.message, "the pattern \"*attn_q.bias\" matches no matrix");
    pare_arena_free(&f.arena);
}

Test(scheme, what_is_quantised_already_is_kept_or_refused)
{
    struct fixture f = make(64, 128);
    for (size_t i = 0; i < f.plan.count; i++)
        f.now[i].type = f.plan.slots[i].role == PARE_ROLE_LINEAR ? PARE_I8 : PARE_F32;
    struct pare_scheme_options options = pare_scheme_defaults(PARE_SCHEME_INT8);
    decide(&f, &options);
    cr_assert_eq(item(&f, "blk.0.attn_q.weight")->scheme, PARE_SCHEME_KEEP);
    cr_assert_eq(item(&f, "token_embd.weight")->scheme, PARE_SCHEME_INT8);
    options.bf16 = 1; /* its scales are F32 */
    decide(&f, &options);
    cr_assert_eq(item(&f, "blk.0.attn_q.weight")->scheme, PARE_SCHEME_KEEP);
    options = pare_scheme_defaults(PARE_SCHEME_Q4_1);
    struct pare_error err = {""};
    cr_assert_eq(pare_scheme_decide(&f.plan, f.now, &options, f.items, &err),
                 PARE_ERR_USAGE);
    cr_assert_str_eq(err.message, "tensor blk.0.attn_q.weight is I8 already: start from "
                                  "the container before its quantisation, or --skip it");
    pare_arena_free(&f.arena);
}

Test(scheme, names_and_enum_agree)
{
    for (int i = 0; i < PARE_SCHEMES; i++) {
        enum pare_scheme scheme;
        cr_assert_eq(
            pare_scheme_by_name(pare_scheme_name((enum pare_scheme)i), &scheme, NULL),
            PARE_OK);
        cr_assert_eq((int)scheme, i);
    }
    enum pare_scheme scheme;
    cr_assert_eq(pare_scheme_by_name("int9", &scheme, NULL), PARE_ERR_USAGE);
    cr_assert_null(pare_scheme_names[PARE_SCHEMES]);
}
