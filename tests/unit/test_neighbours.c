/* Nearest words: in agreement with cosines in double, and with their own rules. */
#include "runtime/base/interrupt.h"
#include "tests/support/augment_task.h"

static double cosine(const struct task *task, size_t a, size_t b)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t c = 0; c < C; c++) {
        const double x = (double)task->table[a * C + c],
                     y = (double)task->table[b * C + c];
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    return ab / sqrt(aa * bb);
}

/* How many other words have a cosine above `limit`. */
static size_t count_above(const double all[V], size_t w, double limit)
{
    size_t above = 0;
    for (size_t v = 0; v < V; v++)
        above += v != w && is_word(v) && all[v] > limit;
    return above;
}

Test(neighbours, neighbours_are_the_words_of_the_greatest_cosine)
{
    const struct task *task = make_task();
    enum { K = 15 };
    struct pare_neighbours near = find_neighbours(task, K);
    uint8_t seen[V] = {0};
    size_t words = 0;
    for (size_t i = 0; i < EXAMPLES; i++)
        for (uint64_t t = task->starts[i]; t < task->starts[i + 1]; t++)
            seen[task->ids[t]] |=
                is_word((size_t)task->ids[t]) &&
                kind_of((size_t)task->ids[t + 1]) != PARE_PIECE_CONTINUES;
    cr_assert_eq(near.k, K);
    for (size_t w = 0; w < V; w++) {
        cr_assert_eq(near.row[w] >= 0, seen[w], "piece %zu", w);
        if (near.row[w] < 0)
            continue;
        words++;
        const int32_t *ids = near.id + (size_t)near.row[w] * K;
        double all[V];
        for (size_t v = 0; v < V; v++)
            all[v] = cosine(task, w, v);
        for (size_t j = 0; j < K; j++) {
            const size_t v = (size_t)ids[j];
            cr_assert(is_word(v) && v != w, "neighbour %zu of %zu", v, w);
            /* Place j, but for words whose cosines no float can tell apart. */
            cr_assert(count_above(all, w, all[v] + 1e-6) <= j &&
                          count_above(all, w, all[v] - 1e-6) > j,
                      "neighbour %zu of %zu is not number %zu", v, w, j);
            for (size_t u = 0; u < j; u++)
                cr_assert_neq(ids[u], ids[j]);
        }
    }
    cr_assert_eq(words, near.words);
    cr_assert(words > 512, "%zu words are more than two blocks", words);
    pare_neighbours_free(&near);
}

Test(neighbours, of_equally_near_words_the_lower_id_comes_first)
{
    const struct task *task = make_task();
    struct pare_neighbours near = find_neighbours(task, 5);
    size_t checked = 0;
    for (size_t w = 100; w < 140; w++) {
        if (near.row[w] < 0)
            continue;
        const int32_t *ids = near.id + (size_t)near.row[w] * near.k;
        size_t j = 0;
        for (size_t v = 100 + w % 10; v < 140; v += 10)
            if (v != w && is_word(v))
                cr_expect_eq((size_t)ids[j++], v, "neighbour of %zu", w);
        checked += j;
    }
    cr_assert(checked > 40);
    pare_neighbours_free(&near);
}

Test(neighbours, there_are_as_many_neighbours_as_other_words)
{
    struct task *task = make_task();
    size_t words = 0;
    for (size_t v = 0; v < V; v++)
        words += is_word(v);
    struct pare_neighbours near = find_neighbours(task, 5000);
    cr_expect_eq(near.k, words - 1);
    pare_neighbours_free(&near);
    near = find_neighbours(task, 0);
    cr_expect_eq(near.words, 0);
    pare_neighbours_free(&near);
    /* One word alone has none, and replacing it does nothing. */
    for (size_t v = 0; v < V; v++)
        if (task->kind[v] == PARE_PIECE_LETTERS && v != 201)
            task->kind[v] = PARE_PIECE_OTHER;
    near = find_neighbours(task, 15);
    cr_expect_eq(near.words, 0);
    struct pare_augmented made =
        augment(task, &near, (struct pare_augment_options){.variants = 2, .replace = 1});
    cr_expect_eq(made.examples.count, EXAMPLES);
    pare_augmented_free(&made);
    pare_neighbours_free(&near);
}

Test(neighbours, neighbours_of_a_stored_type_are_those_of_its_values)
{
    struct task *task = make_task();
    static uint16_t halves[V * C];
    for (size_t x = 0; x < V * C; x++) {
        halves[x] = pare_f32_to_f16(task->table[x]);
        task->table[x] = pare_f16_to_f32(halves[x]);
    }
    struct pare_neighbours a = find_neighbours(task, 8);
    task->embeddings =
        (struct pare_weight){.type = PARE_F16, .N = V, .K = C, .data = halves};
    struct pare_neighbours b = find_neighbours(task, 8);
    cr_assert_eq(a.words, b.words);
    cr_expect(!memcmp(a.id, b.id, a.words * a.k * sizeof *a.id));
    pare_neighbours_free(&a);
    pare_neighbours_free(&b);
}

Test(neighbours, stops_when_asked)
{
    const struct task *task = make_task();
    struct pare_neighbours near;
    struct pare_error error;
    pare_interrupt(15);
    cr_expect_eq(pare_neighbours_find(&task->embeddings, &task->pieces, &task->examples,
                                      5, NULL, &near, &error),
                 PARE_ERR_INTERRUPTED);
    cr_expect(!near.row && !near.id);
    pare_interrupt(0);
}
