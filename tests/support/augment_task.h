/* A made-up vocabulary, embedding and examples, for the tests of augmentation. */
#ifndef TESTS_SUPPORT_AUGMENT_TASK_H
#define TESTS_SUPPORT_AUGMENT_TASK_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libdistill/augment.h"
#include "runtime/base/rng.h"

#define OK(call)                                                                         \
    do {                                                                                 \
        struct pare_error error_ = {""};                                                 \
        struct pare_error *err = &error_;                                                \
        cr_assert_eq((call), PARE_OK, "%s", err->message);                               \
    } while (0)

/* Pieces: 0 [CLS], 1 [SEP], 2 [MASK]; then by id modulo 8 a continuation, a number, or
 * letters. Rows of the embedding are random, some equal, one zero, one not finite. */

enum { CLS, SEP, MASK, FIRST };
enum { V = 900, C = 24, EXAMPLES = 700, LONGEST = 24 };
#define ZERO_ROW (FIRST + 10)
#define BAD_ROW (FIRST + 20)

struct task {
    uint8_t kind[V];
    float table[V * C];
    int32_t ids[EXAMPLES * LONGEST], labels[EXAMPLES];
    uint64_t starts[EXAMPLES + 1];
    struct pare_pieces pieces;
    struct pare_weight embeddings;
    struct pare_examples examples;
};

static inline enum pare_piece_kind kind_of(size_t id)
{
    return id < FIRST        ? PARE_PIECE_SPECIAL
           : (id & 7) == 0   ? PARE_PIECE_CONTINUES
           : (id & 15) == 15 ? PARE_PIECE_OTHER
                             : PARE_PIECE_LETTERS;
}

static inline void make_example(struct task *task, size_t i, struct pare_rng *rng)
{
    int32_t *ids = task->ids + task->starts[i];
    size_t n = 0, words = (size_t)pare_rng_below(rng, 10);
    ids[n++] = CLS;
    for (size_t w = 0; w < words && n < LONGEST - 3; w++) {
        do
            ids[n] = FIRST + (int32_t)pare_rng_below(rng, V - FIRST);
        while (kind_of((size_t)ids[n]) == PARE_PIECE_CONTINUES);
        n++;
        while (n < LONGEST - 3 && pare_rng_below(rng, 4) == 0)
            ids[n++] = 8 * (1 + (int32_t)pare_rng_below(rng, V / 8 - 1));
        if (i % 50 == 7 && w == words / 2) /* a special token in the middle */
            ids[n++] = SEP;
    }
    ids[n++] = SEP;
    task->starts[i + 1] = task->starts[i] + n;
    task->labels[i] = (int32_t)(i % 3);
}

static inline struct task *make_task(void)
{
    static struct task task;
    struct pare_rng rng = {.seed = 11};
    for (size_t v = 0; v < V; v++)
        task.kind[v] = (uint8_t)kind_of(v);
    for (size_t x = 0; x < V * C; x++)
        task.table[x] = pare_rng_normal(&rng);
    for (size_t v = 100; v < 140; v++) /* ties: four words share a direction */
        for (size_t c = 0; c < C; c++)
            task.table[v * C + c] =
                task.table[(100 + v % 10) * C + c] * (float)(1 << (v / 10 - 10));
    memset(task.table + ZERO_ROW * C, 0, C * sizeof(float));
    task.table[BAD_ROW * C + 3] = NAN;
    for (size_t i = 0; i < EXAMPLES; i++)
        make_example(&task, i, &rng);
    task.pieces = (struct pare_pieces){V, task.kind, MASK};
    task.embeddings =
        (struct pare_weight){.type = PARE_F32, .N = V, .K = C, .data = task.table};
    task.examples = (struct pare_examples){EXAMPLES, task.starts, task.ids, task.labels};
    return &task;
}

static inline struct pare_neighbours find_neighbours(const struct task *task, size_t k)
{
    struct pare_neighbours near;
    OK(pare_neighbours_find(&task->embeddings, &task->pieces, &task->examples, k, NULL,
                            &near, err));
    return near;
}

static inline struct pare_augmented augment(const struct task *task,
                                            const struct pare_neighbours *near,
                                            struct pare_augment_options options)
{
    struct pare_augmented made;
    OK(pare_augment(&task->examples, &task->pieces, near, &options, &made, err));
    return made;
}

static inline size_t length_of(const struct pare_examples *examples, size_t i)
{
    return (size_t)(examples->starts[i + 1] - examples->starts[i]);
}

static inline int same_example(const struct pare_examples *a, size_t i,
                               const struct pare_examples *b, size_t j)
{
    return length_of(a, i) == length_of(b, j) &&
           !memcmp(a->ids + a->starts[i], b->ids + b->starts[j],
                   length_of(a, i) * sizeof(int32_t));
}

static inline int is_word(size_t v)
{
    return kind_of(v) == PARE_PIECE_LETTERS && v != ZERO_ROW && v != BAD_ROW;
}

#endif
