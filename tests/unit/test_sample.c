/* datasets/sample: reproducible, balanced, without repetition, in the vocabulary, and out
 * of reach for a model that only counts words. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/sample.h"
#include "runtime/base/sha256.h"
#include "runtime/text/tokenizer.h"

struct corpus {
    struct pare_arena arena;
    struct pare_text *texts;
    int32_t *labels;
};

static struct corpus make(uint64_t seed, size_t count)
{
    struct corpus c = {0};
    struct pare_error err;
    cr_assert_eq(pare_sample_corpus(seed, count, &c.arena, &c.texts, &c.labels, &err),
                 PARE_OK, "%s", err.message);
    return c;
}

static void hash(const struct corpus *c, size_t count, char out[65])
{
    struct pare_sha256 sha;
    pare_sha256_init(&sha);
    for (size_t i = 0; i < count; i++) {
        pare_sha256_update(&sha, c->texts[i].data, c->texts[i].length);
        pare_sha256_update(&sha, c->labels[i] ? "\t1\n" : "\t0\n", 3);
    }
    pare_sha256_hex(&sha, out);
}

Test(sample, the_same_seed_gives_the_same_bytes_everywhere)
{
    char found[65];
    struct corpus a = make(0, 2000), b = make(0, 100), c = make(1, 100);
    hash(&a, 2000, found);
    cr_assert_str_eq(found,
                     "ff62592f7777f80a0dc89a717aec2842950b7fd702ca402ef0727ded2dbbee35",
                     "the corpus has changed: results in the documents are for another");
    for (size_t i = 0; i < 100; i++) {
        cr_assert_str_eq(a.texts[i].data, b.texts[i].data);
        cr_assert_eq(a.labels[i], b.labels[i]);
    }
    int different = 0;
    for (size_t i = 0; i < 100; i++)
        different += strcmp(b.texts[i].data, c.texts[i].data) != 0;
    cr_assert_gt(different, 95);
    pare_arena_free(&a.arena);
    pare_arena_free(&b.arena);
    pare_arena_free(&c.arena);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(((const struct pare_text *)a)->data,
                  ((const struct pare_text *)b)->data);
}

Test(sample, is_balanced_and_has_no_repetition)
{
    enum { N = 5000 };
    struct corpus c = make(3, N);
    size_t positive = 0;
    for (size_t i = 0; i < N; i++) {
        positive += (size_t)c.labels[i];
        cr_assert_lt(c.texts[i].length, PARE_SAMPLE_TEXT_SIZE);
        cr_assert_eq(strlen(c.texts[i].data), c.texts[i].length);
        cr_assert_null(strpbrk(c.texts[i].data, "{}\t\n"));
        cr_assert_null(strstr(c.texts[i].data, "  "));
    }
    cr_assert_eq(positive, N / 2);
    qsort(c.texts, N, sizeof *c.texts, compare_texts);
    for (size_t i = 1; i < N; i++)
        cr_assert_str_neq(c.texts[i - 1].data, c.texts[i].data);
    pare_arena_free(&c.arena);
}

Test(sample, every_sentence_is_whole_words_of_its_vocabulary)
{
    struct corpus c = make(5, 3000);
    struct pare_arena arena = {0};
    struct pare_text *pieces;
    struct pare_tokenizer *tokenizer;
    struct pare_ids ids = {0};
    struct pare_error err;
    size_t count;
    cr_assert_eq(pare_sample_pieces(&arena, &pieces, &count, &err), PARE_OK);
    cr_assert_gt(count, 500);
    cr_assert_eq(pare_tokenizer_from_pieces(pieces, count, 1, &tokenizer, &err), PARE_OK,
                 "%s", err.message);
    for (size_t i = 0; i < 3000; i++) {
        size_t words = 1;
        for (const char *s = c.texts[i].data; *s; s++)
            words += *s == ' ';
        ids.count = 0;
        cr_assert_eq(pare_tokenizer_encode(tokenizer, c.texts[i].data, c.texts[i].length,
                                           0, &ids, &err),
                     PARE_OK);
        cr_assert_eq(ids.count, words + 2, "%s", c.texts[i].data);
        cr_assert_leq(ids.count, 64, "longer than the sample's model");
        for (size_t j = 0; j < ids.count; j++)
            cr_assert_neq(ids.ids[j], 1, "[UNK] in: %s", c.texts[i].data);
    }
    /* What is not in the grammar comes in characters, not as [UNK]. */
    ids.count = 0;
    cr_assert_eq(pare_tokenizer_encode(tokenizer, "Zyxw 42?", 8, 0, &ids, &err), PARE_OK);
    cr_assert_eq(ids.count, 9);
    for (size_t j = 0; j < ids.count; j++)
        cr_assert_neq(ids.ids[j], 1);
    pare_ids_free(&ids);
    pare_tokenizer_free(tokenizer);
    pare_arena_free(&arena);
    pare_arena_free(&c.arena);
}

/* Logistic regression on word counts, by stochastic gradient descent with a falling rate
 * and averaged weights. Words are told apart by a hash into a table that is large enough
 * to hold them without harm from collisions. */

enum { TABLE = 1 << 16, EPOCHS = 12 };

static unsigned word_slot(const char *word, size_t length)
{
    unsigned h = 2166136261u;
    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)word[i]) * 16777619u;
    return (h ^ h >> 16) % TABLE;
}

static double score(const double *weights, const char *text)
{
    double sum = weights[TABLE];
    while (*text) {
        size_t length = strcspn(text, " ");
        sum += weights[word_slot(text, length)];
        text += length + (text[length] == ' ');
    }
    return sum;
}

static void step(double *weights, const char *text, double by)
{
    weights[TABLE] += by;
    while (*text) {
        size_t length = strcspn(text, " ");
        weights[word_slot(text, length)] += by;
        text += length + (text[length] == ' ');
    }
}

static double share_right(const double *weights, const struct corpus *c, size_t from,
                          size_t to)
{
    size_t right = 0;
    for (size_t i = from; i < to; i++)
        right += (score(weights, c->texts[i].data) > 0) == c->labels[i];
    return (double)right / (double)(to - from);
}

Test(sample, a_bag_of_words_stays_under_85_percent)
{
    enum { TRAIN = 12000, DEV = 2000 };
    struct corpus c = make(0, TRAIN + DEV);
    double *weights = calloc(TABLE + 1, sizeof *weights);
    double *average = calloc(TABLE + 1, sizeof *average);
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        double rate = 0.1 / (1 + epoch);
        for (size_t i = 0; i < TRAIN; i++) {
            const char *text = c.texts[i].data;
            double p = 1 / (1 + exp(-score(weights, text)));
            step(weights, text, rate * (c.labels[i] - p));
        }
        for (int j = 0; j <= TABLE; j++)
            average[j] += weights[j];
    }
    double seen = share_right(average, &c, 0, TRAIN);
    double unseen = share_right(average, &c, TRAIN, TRAIN + DEV);
    cr_assert_gt(seen, 0.70, "the classifier itself must work: %.3f", seen);
    cr_assert_lt(seen, 0.85, "on its training set: %.3f", seen);
    cr_assert_lt(unseen, 0.85, "%.3f", unseen);
    cr_assert_gt(unseen, 0.60, "words must say something, else nothing is learnt: %.3f",
                 unseen);
    free(weights);
    free(average);
    pare_arena_free(&c.arena);
}
