/* What a profile counts: the multiply-adds of the forward's matrix products. */
#include <criterion/criterion.h>

#include "runtime/model/profile.h"

static const struct pare_config config = {
    .layers = 2, .hidden = 8, .heads = 2, .ffn = 32, .has_pooler = 1, .labels = 3};

static double all(size_t B, size_t tokens, int first_only)
{
    double sum = 0;
    for (enum pare_op op = 0; op < PARE_OPS; op++)
        sum += pare_op_macs(&config, B, tokens, first_only, op);
    return sum;
}

Test(profile, counts_every_product_of_a_forward)
{
    /* A block of 5 tokens: 4 matrices of 8 x 8 and two of 8 x 32 a token, scores and
     * sums of 5 x 5 x 8 each; the head once: 8 x 8 and 8 x 3. */
    const double block = 5 * (4 * 64 + 2 * 256) + 2 * 5 * 5 * 8;
    cr_expect_eq(all(1, 5, 0), 2 * block + 64 + 24);
    cr_expect_eq(all(3, 5, 0), 3 * (2 * block + 64 + 24));
}

Test(profile, leaves_out_what_first_tokens_do_not_need)
{
    /* Behind keys and values of 5 tokens, the last block is that of one. */
    const double last = 5 * 2 * 64 + 2 * 64 + 2 * 256 + 2 * 5 * 8;
    const double block = 5 * (4 * 64 + 2 * 256) + 2 * 5 * 5 * 8;
    cr_expect_eq(all(1, 5, 1), block + last + 64 + 24);
}

Test(profile, adds_up_what_passes_between_marks)
{
    struct pare_profile profile = {{0}, 0};
    pare_profile_begin(&profile);
    pare_profile_mark(&profile, PARE_OP_QKV);
    const double first = profile.ms[PARE_OP_QKV];
    cr_expect_geq(first, 0);
    for (int i = 0; i < 100000; i++)
        pare_profile_mark(&profile, PARE_OP_QKV);
    cr_expect_gt(profile.ms[PARE_OP_QKV], first);
    cr_expect_eq(profile.ms[PARE_OP_UP], 0);
    pare_profile_mark(NULL, PARE_OP_UP);
}
