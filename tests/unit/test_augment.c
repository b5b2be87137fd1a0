/* Augmentation against another implementation (tests/golden/make_augment.py), and by what
 * may become of an example and how often. */
#include "tests/support/augment_task.h"
#include "tests/support/tokenizers.h"

/* --- Against the other implementation --------------------------------------------- */

static const cJSON *item(const cJSON *object, const char *key)
{
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(object, key);
    cr_assert_not_null(found, "%s", key);
    return found;
}

static int is_list(const cJSON *list, const int32_t *ids, size_t n)
{
    if ((size_t)cJSON_GetArraySize(list) != n)
        return 0;
    const cJSON *number = list->child;
    for (size_t i = 0; i < n; i++, number = number->next)
        if (number->valuedouble != (double)ids[i])
            return 0;
    return 1;
}

struct golden {
    cJSON *json;
    struct pare_tokenizer *tokenizer;
    struct pare_pieces pieces;
    uint8_t kind[64];
    float table[64 * 8];
    struct pare_weight embeddings;
    int32_t ids[512], labels[32];
    uint64_t starts[32];
    struct pare_examples examples;
};

static void golden_load(struct golden *g)
{
    char path[1024];
    struct pare_text pieces[64];
    size_t V_ = 0, x = 0;
    snprintf(path, sizeof path, "%s/augment.json", getenv("PARE_TEST_DATA"));
    OK(pare_json_parse_file(path, &g->json, err));
    const cJSON *entry;
    cJSON_ArrayForEach(entry, item(g->json, "pieces")) pieces[V_++] =
        (struct pare_text){entry->valuestring, strlen(entry->valuestring)};
    OK(pare_tokenizer_from_pieces(pieces, V_, 1, &g->tokenizer, err));
    pare_tokenizer_kinds(g->tokenizer, g->kind);
    g->pieces = (struct pare_pieces){V_, g->kind, pare_tokenizer_mask_id(g->tokenizer)};
    cJSON_ArrayForEach(entry, item(g->json, "table")) g->table[x++] =
        (float)entry->valuedouble;
    g->embeddings =
        (struct pare_weight){.type = PARE_F32, .N = V_, .K = x / V_, .data = g->table};
    size_t count = 0, tokens = 0;
    cJSON_ArrayForEach(entry, item(g->json, "examples"))
    {
        const cJSON *id;
        cJSON_ArrayForEach(id, entry) g->ids[tokens++] = (int32_t)id->valuedouble;
        g->labels[count] = (int32_t)(count & 1);
        g->starts[++count] = tokens;
    }
    g->examples = (struct pare_examples){count, g->starts, g->ids, g->labels};
}

static void golden_free(struct golden *g)
{
    pare_tokenizer_free(g->tokenizer);
    cJSON_Delete(g->json);
}

Test(augment, knows_the_kinds_of_pieces)
{
    struct golden g = {0};
    golden_load(&g);
    const cJSON *kind = item(g.json, "kinds")->child;
    for (size_t v = 0; v < g.pieces.V; v++, kind = kind->next)
        cr_expect_eq(g.kind[v], kind->valueint, "\"%.*s\"",
                     (int)pare_tokenizer_piece(g.tokenizer, (int32_t)v).length,
                     pare_tokenizer_piece(g.tokenizer, (int32_t)v).data);
    golden_free(&g);
}

static void check_golden_case(const struct golden *g, const cJSON *c,
                              const struct pare_neighbours *near)
{
    const cJSON *o = item(c, "options"), *ids = item(c, "variants")->child;
    const struct pare_augment_options options = {
        .seed = (uint64_t)item(o, "seed")->valuedouble,
        .variants = (size_t)item(o, "variants")->valuedouble,
        .mask = item(o, "mask")->valuedouble,
        .replace = item(o, "replace")->valuedouble,
        .ngram = item(o, "ngram")->valuedouble,
    };
    struct pare_augmented made;
    OK(pare_augment(&g->examples, &g->pieces, near, &options, &made, err));
    cr_assert_eq(made.originals, g->examples.count);
    cr_expect_eq(made.dropped, (size_t)item(c, "dropped")->valuedouble);
    cr_assert_eq(made.examples.count - made.originals,
                 (size_t)cJSON_GetArraySize(item(c, "variants")));
    for (size_t i = made.originals; i < made.examples.count; i++, ids = ids->next)
        cr_expect(is_list(ids, made.ids + made.starts[i], length_of(&made.examples, i)),
                  "seed %g: variant %zu", (double)options.seed, i - made.originals);
    pare_augmented_free(&made);
}

Test(augment, makes_the_variants_of_the_other_implementation)
{
    struct golden g = {0};
    struct pare_neighbours near;
    golden_load(&g);
    OK(pare_neighbours_find(&g.embeddings, &g.pieces, &g.examples,
                            (size_t)item(g.json, "near")->valuedouble, NULL, &near, err));
    const cJSON *expected = item(g.json, "neighbours")->child, *c;
    for (size_t v = 0; v < g.pieces.V; v++, expected = expected->next) {
        const int32_t *ids =
            near.row[v] < 0 ? NULL : near.id + (size_t)near.row[v] * near.k;
        cr_expect(is_list(expected, ids, ids ? near.k : 0), "neighbours of piece %zu", v);
    }
    cJSON_ArrayForEach(c, item(g.json, "cases")) check_golden_case(&g, c, &near);
    pare_neighbours_free(&near);
    golden_free(&g);
}

/* --- What may become of an example ------------------------------------------------- */

struct words { /* of an example: word w is ids[begin[w]] .. ids[begin[w + 1]] - 1 */
    size_t count, begin[LONGEST + 1];
    int32_t ids[LONGEST], special[LONGEST];
    size_t specials;
};

static struct words words_of(const struct pare_examples *examples, size_t i)
{
    struct words words = {0};
    size_t n = 0;
    for (uint64_t t = examples->starts[i]; t < examples->starts[i + 1]; t++) {
        const int32_t id = examples->ids[t];
        if (kind_of((size_t)id) == PARE_PIECE_SPECIAL && id != MASK) {
            words.special[words.specials++] = id;
            continue;
        }
        if (kind_of((size_t)id) != PARE_PIECE_CONTINUES)
            words.begin[words.count++] = n;
        words.ids[n++] = id;
        words.begin[words.count] = n;
    }
    return words;
}

static int is_neighbour(const struct pare_neighbours *near, int32_t w, int32_t v)
{
    for (size_t j = 0; near->row[w] >= 0 && j < near->k; j++)
        if (near->id[(size_t)near->row[w] * near->k + j] == v)
            return 1;
    return 0;
}

/* Whether word b of `variant` can have come from word a of `original`. */
static int may_become(const struct pare_neighbours *near, const struct words *original,
                      size_t a, const struct words *variant, size_t b)
{
    const int32_t *x = original->ids + original->begin[a];
    const int32_t *y = variant->ids + variant->begin[b];
    const size_t n = original->begin[a + 1] - original->begin[a];
    const size_t m = variant->begin[b + 1] - variant->begin[b];
    if (m == 1 && y[0] == MASK)
        return 1;
    if (m == 1 && n == 1 && is_neighbour(near, x[0], y[0]))
        return 1;
    return m == n && !memcmp(x, y, n * sizeof *x);
}

static int may_come_from(const struct pare_neighbours *near, const struct words *original,
                         const struct words *variant)
{
    if (original->specials != variant->specials ||
        memcmp(original->special, variant->special, sizeof original->special))
        return 0;
    for (size_t first = 0; first + variant->count <= original->count; first++) {
        size_t w = 0;
        while (w < variant->count && may_become(near, original, first + w, variant, w))
            w++;
        if (w == variant->count)
            return variant->count == original->count || variant->count <= 5;
    }
    return 0;
}

Test(augment, a_variant_has_words_of_its_example_masks_and_neighbours)
{
    const struct task *task = make_task();
    struct pare_neighbours near = find_neighbours(task, 15);
    enum { K = 4 };
    struct pare_augmented made =
        augment(task, &near,
                (struct pare_augment_options){
                    .seed = 3, .variants = K, .mask = 0.2, .replace = 0.3, .ngram = 0.3});
    const struct pare_examples *all = &made.examples;
    cr_assert_eq(made.originals, EXAMPLES);
    cr_assert_eq(all->count + made.dropped, (K + 1) * EXAMPLES);
    for (size_t i = 0; i < EXAMPLES; i++) {
        cr_assert(same_example(all, i, &task->examples, i));
        cr_assert_eq(all->labels[i], task->labels[i]);
    }
    size_t i = 0; /* the example that variant j came from: they are in order */
    for (size_t j = EXAMPLES; j < all->count; j++) {
        const struct words variant = words_of(all, j);
        const int32_t *ids = all->ids + all->starts[j];
        const size_t n = length_of(all, j), before = i;
        cr_assert_eq(all->labels[j], PARE_NO_LABEL);
        cr_assert(ids[0] == CLS && ids[n - 1] == SEP);
        for (;; i++) {
            cr_assert(i < EXAMPLES, "variant %zu comes from no example behind %zu", j,
                      before);
            const struct words original = words_of(&task->examples, i);
            if (n <= length_of(&task->examples, i) &&
                may_come_from(&near, &original, &variant))
                break;
        }
    }
    cr_assert(i > EXAMPLES - 20, "the last variants come from example %zu", i);
    pare_augmented_free(&made);
    pare_neighbours_free(&near);
}

Test(augment, special_tokens_stay_in_their_places)
{
    const struct task *task = make_task();
    struct pare_augmented made =
        augment(task, NULL, (struct pare_augment_options){.variants = 1, .mask = 1});
    size_t j = EXAMPLES;
    for (size_t i = 0; i < EXAMPLES; i++) {
        const struct words original = words_of(&task->examples, i);
        if (!original.count)
            continue; /* no word, no variant */
        /* One [MASK] a word, so what stood between words still does. */
        const int32_t *x = task->ids + task->starts[i];
        const int32_t *y = made.ids + made.starts[j];
        size_t length = 0;
        for (size_t t = 0; t < length_of(&task->examples, i); t++)
            if (kind_of((size_t)x[t]) == PARE_PIECE_SPECIAL)
                cr_assert_eq(y[length++], x[t], "example %zu", i);
            else if (kind_of((size_t)x[t]) != PARE_PIECE_CONTINUES)
                cr_assert_eq(y[length++], MASK, "example %zu", i);
        cr_assert_eq(length_of(&made.examples, j++), length);
    }
    cr_assert_eq(j, made.examples.count);
    pare_augmented_free(&made);
}

/* --- How often --------------------------------------------------------------------- */

enum { MANY = 6000, WORDS = 12 };

/* MANY examples of WORDS different words of one piece with neighbours. */
static void make_plain_examples(struct task *task)
{
    static int32_t ids[MANY * (WORDS + 2)], labels[MANY];
    static uint64_t starts[MANY + 1];
    struct pare_rng rng = {.seed = 5};
    int32_t *id = ids;
    for (size_t i = 0; i < MANY; i++) {
        *id++ = CLS;
        for (int w = 0; w < WORDS; w++) {
            do /* the w-th fiftieth of the vocabulary: a word tells its place */
                *id = 100 + 50 * w + (int32_t)pare_rng_below(&rng, 50);
            while (!is_word((size_t)*id));
            id++;
        }
        *id++ = SEP;
        starts[i + 1] = starts[i] + WORDS + 2;
    }
    task->examples = (struct pare_examples){MANY, starts, ids, labels};
}

/* Whether `count` of n is what a probability of p gives, but for 4.5 deviations. */
static int is_share(double count, double n, double p)
{
    return fabs(count - n * p) <= 4.5 * sqrt(n * p * (1 - p));
}

Test(augment, words_are_masked_and_replaced_as_often_as_asked)
{
    struct task *task = make_task();
    make_plain_examples(task);
    struct pare_neighbours near = find_neighbours(task, 15);
    static const double shares[][2] = {{0.1, 0}, {0, 0.4}, {0.1, 0.2}, {0.5, 0.5}};
    for (size_t s = 0; s < 4; s++) {
        const double mask = shares[s][0], replace = shares[s][1];
        struct pare_augmented made =
            augment(task, &near,
                    (struct pare_augment_options){
                        .seed = s, .variants = 1, .mask = mask, .replace = replace});
        /* A variant that was dropped has no change: the counts miss nothing. */
        double masked = 0, replaced = 0;
        for (size_t j = MANY, i = 0; j < made.examples.count; j++, i++) {
            const int32_t *y = made.ids + made.starts[j];
            const struct words variant = words_of(&made.examples, j);
            for (;; i++) {
                const struct words original = words_of(&task->examples, i);
                if (may_come_from(&near, &original, &variant))
                    break;
            }
            const int32_t *x = task->examples.ids + task->examples.starts[i];
            for (size_t t = 1; t <= WORDS; t++) {
                masked += y[t] == MASK;
                replaced += y[t] != MASK && y[t] != x[t];
            }
        }
        cr_expect(is_share(masked, MANY * WORDS, mask), "%g masked", masked);
        cr_expect(is_share(replaced, MANY * WORDS, replace), "%g replaced", replaced);
        pare_augmented_free(&made);
    }
    pare_neighbours_free(&near);
}

Test(augment, every_neighbour_is_taken_as_often)
{
    struct task *task = make_task();
    make_plain_examples(task);
    enum { K = 15 };
    struct pare_neighbours near = find_neighbours(task, K);
    struct pare_augmented made =
        augment(task, &near, (struct pare_augment_options){.variants = 1, .replace = 1});
    cr_assert_eq(made.examples.count, 2 * MANY);
    double taken[K] = {0};
    for (size_t i = 0; i < MANY; i++)
        for (size_t t = 1; t <= WORDS; t++) {
            const int32_t w = task->examples.ids[task->examples.starts[i] + t];
            for (size_t j = 0; j < K; j++)
                taken[j] += near.id[(size_t)near.row[w] * K + j] ==
                            made.ids[made.starts[MANY + i] + t];
        }
    for (size_t j = 0; j < K; j++)
        cr_expect(is_share(taken[j], MANY * WORDS, 1.0 / K), "%zu: %g", j, taken[j]);
    pare_augmented_free(&made);
    pare_neighbours_free(&near);
}

Test(augment, ngrams_have_every_length_and_place_as_often)
{
    struct task *task = make_task();
    make_plain_examples(task);
    struct pare_augmented made =
        augment(task, NULL,
                (struct pare_augment_options){.seed = 8, .variants = 1, .ngram = 0.5});
    double of_length[6] = {0}, at[6][WORDS] = {{0}}, cut = 0;
    for (size_t j = MANY; j < made.examples.count; j++) {
        const size_t n = length_of(&made.examples, j) - 2;
        cr_assert(n >= 1 && n <= 5);
        const size_t place = ((size_t)made.ids[made.starts[j] + 1] - 100) / 50;
        for (size_t t = 0; t < n; t++)
            cr_assert_eq(((size_t)made.ids[made.starts[j] + 1 + t] - 100) / 50,
                         place + t);
        cr_assert(place + n <= WORDS);
        of_length[n]++;
        at[n][place]++;
        cut++;
    }
    cr_expect(is_share(cut, MANY, 0.5), "%g cut", cut);
    for (size_t n = 1; n <= 5; n++) {
        cr_expect(is_share(of_length[n], cut, 0.2), "%g of length %zu", of_length[n], n);
        const size_t places = WORDS - n + 1;
        for (size_t p = 0; p < places; p++)
            cr_expect(is_share(at[n][p], of_length[n], 1.0 / (double)places),
                      "%g of length %zu at %zu", at[n][p], n, p);
    }
    pare_augmented_free(&made);
}
