/* What augmentation depends on and what not, what it refuses, and failing memory. */
#include "runtime/base/parallel.h"
#include "tests/support/augment_task.h"
#include "tests/support/failing_memory.h"

/* --- What the result depends on ---------------------------------------------------- */

static const struct pare_augment_options usual = {
    .seed = 21, .variants = 5, .mask = 0.1, .replace = 0.3, .ngram = 0.25};

static void hash_of(const struct task *task, char sha[65])
{
    struct pare_neighbours near = find_neighbours(task, 15);
    struct pare_augmented made = augment(task, &near, usual);
    pare_examples_sha256(&made.examples, sha);
    pare_augmented_free(&made);
    pare_neighbours_free(&near);
}

Test(augment_limits, is_the_same_for_any_number_of_threads_and_on_every_tier)
{
    const struct task *task = make_task();
    static const int threads[] = {1, 2, 7};
    char first[65], sha[65];
    struct pare_error error;
    hash_of(task, first);
    for (int i = 0; pare_cpu_tier(i); i++) {
        cr_assert_eq(pare_cpu_select(pare_cpu_tier(i), &error), PARE_OK);
        for (size_t t = 0; t < 3; t++) {
            pare_set_threads(threads[t]);
            hash_of(task, sha);
            cr_expect_str_eq(sha, first, "%s, %d threads", pare_cpu_tier(i), threads[t]);
        }
    }
}

Test(augment_limits, another_seed_makes_other_variants)
{
    const struct task *task = make_task();
    struct pare_neighbours near = find_neighbours(task, 15);
    struct pare_augment_options other = usual;
    other.seed++;
    struct pare_augmented a = augment(task, &near, usual);
    struct pare_augmented b = augment(task, &near, other);
    size_t same = 0;
    for (size_t i = EXAMPLES; i < a.examples.count && i < b.examples.count; i++)
        same += same_example(&a.examples, i, &b.examples, i);
    cr_expect(same < EXAMPLES / 10, "%zu are the same", same);
    pare_augmented_free(&a);
    pare_augmented_free(&b);
    pare_neighbours_free(&near);
}

Test(augment_limits, more_variants_begin_with_the_fewer_and_none_is_there_twice)
{
    struct task *task = make_task();
    struct pare_neighbours near = find_neighbours(task, 15);
    struct pare_augment_options fewer = usual;
    fewer.variants = 2;
    fewer.leave_out_originals = 1;
    for (size_t i = 0; i < EXAMPLES; i++) { /* each alone, so that i is 0 for each */
        task->examples =
            (struct pare_examples){1, task->starts + i, task->ids, &task->labels[i]};
        struct pare_augmented two = augment(task, &near, fewer);
        struct pare_augmented five = augment(task, &near, usual);
        cr_assert_eq(two.originals, 0);
        cr_assert_eq(five.originals, 1);
        for (size_t j = 0; j < two.examples.count; j++)
            cr_assert(same_example(&two.examples, j, &five.examples, j + 1));
        for (size_t a = 0; a < five.examples.count; a++)
            for (size_t b = 0; b < a; b++)
                cr_assert_not(same_example(&five.examples, a, &five.examples, b));
        pare_augmented_free(&two);
        pare_augmented_free(&five);
    }
    pare_neighbours_free(&near);
}

Test(augment_limits, without_probabilities_there_are_the_originals_alone)
{
    const struct task *task = make_task();
    struct pare_augmented made =
        augment(task, NULL, (struct pare_augment_options){.variants = 3});
    cr_expect_eq(made.examples.count, EXAMPLES);
    cr_expect_eq(made.dropped, 3 * EXAMPLES);
    for (size_t i = 0; i < EXAMPLES; i++)
        cr_expect(same_example(&made.examples, i, &task->examples, i));
    pare_augmented_free(&made);
    struct pare_augment_options none = usual;
    none.variants = 0;
    made = augment(task, NULL, none);
    cr_expect_eq(made.examples.count, EXAMPLES);
    cr_expect_eq(made.dropped, 0);
    pare_augmented_free(&made);
    none.leave_out_originals = 1;
    made = augment(task, NULL, none);
    cr_expect_eq(made.examples.count, 0);
    pare_augmented_free(&made);
}

/* --- Refusals and failures --------------------------------------------------------- */

static void refused(const struct task *task, struct pare_augment_options options,
                    enum pare_status status, const char *phrase)
{
    struct pare_error error = {""};
    struct pare_augmented made;
    cr_assert_eq(
        pare_augment(&task->examples, &task->pieces, NULL, &options, &made, &error),
        status, "%s", phrase);
    cr_expect_not_null(strstr(error.message, phrase), "%s", error.message);
    cr_expect(!made.ids && !made.examples.count);
}

Test(augment_limits, refuses_what_it_cannot_do)
{
    struct task *task = make_task();
    struct pare_augment_options o = usual;
    struct pare_error error = {""};
    struct pare_neighbours near;
    o.mask = 0.8;
    refused(task, o, PARE_ERR_USAGE, "mask 0.8, replace 0.3, n-gram 0.25");
    o = usual, o.ngram = 1.5;
    refused(task, o, PARE_ERR_USAGE, "n-gram 1.5");
    o = usual, o.replace = (double)NAN;
    refused(task, o, PARE_ERR_USAGE, "replace nan");
    o = usual, o.variants = PARE_MAX_VARIANTS + 1;
    refused(task, o, PARE_ERR_USAGE, "at most 1048576");
    task->pieces.mask = -1;
    refused(task, usual, PARE_ERR_USAGE, "no [MASK]");
    task->pieces.mask = MASK;
    task->embeddings.N--;
    cr_expect_eq(pare_neighbours_find(&task->embeddings, &task->pieces, &task->examples,
                                      5, NULL, &near, &error),
                 PARE_ERR_INPUT);
    cr_expect_str_eq(error.message,
                     "the tokenizer has 900 pieces, the model's embedding 899 rows");
    task->embeddings.N++;
    task->ids[task->starts[9]] = V;
    refused(task, usual, PARE_ERR_INPUT,
            "example 10 has token id 900, the tokenizer 900 pieces");
    cr_expect_eq(pare_neighbours_find(&task->embeddings, &task->pieces, &task->examples,
                                      5, NULL, &near, &error),
                 PARE_ERR_INPUT);
    cr_expect(!near.row && !near.id);
}

Test(augment_limits, every_failing_allocation_is_a_status)
{
    struct task *task = make_task();
    task->examples.count = 20;
    long failed = 0;
    for (memory.fails_at = 1;; memory.fails_at++) {
        struct pare_neighbours near;
        struct pare_augmented made;
        struct pare_error error;
        memory.calls = 0;
        enum pare_status status = pare_neighbours_find(
            &task->embeddings, &task->pieces, &task->examples, 15, NULL, &near, &error);
        if (status == PARE_OK)
            status = pare_augment(&task->examples, &task->pieces, &near, &usual, &made,
                                  &error);
        if (status == PARE_OK)
            pare_augmented_free(&made);
        pare_neighbours_free(&near);
        if (status == PARE_OK)
            break;
        cr_assert_eq(status, PARE_ERR_MEMORY);
        failed++;
    }
    cr_expect(failed >= 8, "%ld allocations failed", failed);
    memory.fails_at = 0;
}
