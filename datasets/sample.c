#include "datasets/sample.h"

#include <string.h>

#include "datasets/sample_grammar.h"
#include "runtime/base/names.h"
#include "runtime/base/rng.h"

struct draft { /* a sentence under construction */
    struct pare_rng rng;
    const struct domain *domain;
    char *text;
    size_t length;
};

/* ---- words -------------------------------------------------------------------- */

static int is_vowel(char c)
{
    return c && strchr("aeiou", c) != NULL;
}

/* Appends one word and the space before it; an article "a" becomes "an" before a vowel.
 */
static void put_word(struct draft *d, const char *word, size_t length)
{
    if (d->length + length + 3 > PARE_SAMPLE_TEXT_SIZE)
        return;
    int after_a = d->length > 0 && d->text[d->length - 1] == 'a' &&
                  (d->length == 1 || d->text[d->length - 2] == ' ');
    if (after_a && is_vowel(word[0]))
        d->text[d->length++] = 'n';
    if (d->length > 0)
        d->text[d->length++] = ' ';
    memcpy(d->text + d->length, word, length);
    d->length += length;
    d->text[d->length] = '\0';
}

static void put(struct draft *d, const char *words)
{
    while (*words) {
        size_t length = strcspn(words, " ");
        put_word(d, words, length);
        words += length;
        words += strspn(words, " ");
    }
}

/* One word of a NULL-terminated list, the n-th with a weight of 1 / (n + 3)^2. */
static const char *draw(struct draft *d, const char *const *list)
{
    uint64_t total = 0;
    size_t count = 0;
    for (; list[count]; count++)
        total += 1000000 / ((count + 3) * (count + 3));
    uint64_t at = pare_rng_below(&d->rng, total);
    for (size_t i = 0; i + 1 < count; i++) {
        uint64_t weight = 1000000 / ((i + 3) * (i + 3));
        if (at < weight)
            return list[i];
        at -= weight;
    }
    return list[count - 1];
}

/* One of a NULL-terminated list, each as likely. */
static const char *draw_even(struct draft *d, const char *const *list)
{
    size_t count = 0;
    while (list[count])
        count++;
    return list[pare_rng_below(&d->rng, count)];
}

static int chance(struct draft *d, unsigned percent)
{
    return pare_rng_below(&d->rng, 100) < percent;
}

static const char *draw_template(struct draft *d, const struct template *list)
{
    uint64_t total = 0;
    for (const struct template *t = list; t->text; t++)
        total += (uint64_t)t->weight;
    uint64_t at = pare_rng_below(&d->rng, total);
    while (at >= (uint64_t)list->weight)
        at -= (uint64_t)(list++)->weight;
    return list->text;
}

/* ---- templates ---------------------------------------------------------------- */

static void expand(struct draft *d, const char *text, int polarity);

static void put_polar(struct draft *d, char kind, int polarity)
{
    switch (kind) {
    case 'a':
        put(d, draw(d, chance(d, 60) ? general_adjectives[polarity]
                                     : d->domain->adjectives[polarity]));
        break;
    case 'v': put(d, draw(d, verbs_past[polarity])); break;
    case 'b': put(d, draw(d, verbs_base[polarity])); break;
    case 'n': put(d, "a"); /* fall through */
    case 'm': put(d, draw(d, opinion_nouns[polarity])); break;
    case 'C': expand(d, draw_template(d, plain_clauses), polarity); break;
    case 'S': expand(d, draw_template(d, strong_clauses), polarity); break;
    case 'W': expand(d, draw_template(d, weak_clauses), polarity); break;
    default: break;
    }
}

static const struct {
    const char *slot;
    const char *const *list;
} even_lists[] = {
    {"name", names},     {"job", jobs},          {"place", places},
    {"time", times},     {"desc", descriptions}, {"very", intensifiers},
    {"bit", downtoners}, {"adv", adverbs},       {"was", linking_verbs},
};
#define EVEN_LISTS (sizeof even_lists / sizeof *even_lists)

static void put_slot(struct draft *d, const char *slot, size_t length, int polarity)
{
    if (length == 2 && slot[1] == '+')
        put_polar(d, slot[0], polarity);
    else if (length == 2 && slot[1] == '-')
        put_polar(d, slot[0], !polarity);
    else if (length == 2)
        put_polar(d, slot[0], chance(d, 50));
    else if (!strncmp(slot, "noun", length))
        put(d, draw_even(d, d->domain->nouns));
    else if (!strncmp(slot, "thing", length))
        put(d, draw_even(d, d->domain->things));
    else
        for (size_t i = 0; i < EVEN_LISTS; i++)
            if (!strncmp(slot, even_lists[i].slot, length) && !even_lists[i].slot[length])
                put(d, draw_even(d, even_lists[i].list));
}

static void expand(struct draft *d, const char *text, int polarity)
{
    while (*text) {
        text += strspn(text, " ");
        if (*text == '{') {
            size_t length = strcspn(text, "}");
            put_slot(d, text + 1, length - 1, polarity);
            text += length + 1;
        } else if (*text) {
            size_t length = strcspn(text, " {");
            put_word(d, text, length);
            text += length;
        }
    }
}

size_t pare_sample_sentence(uint64_t seed, uint64_t index, int label,
                            char text[PARE_SAMPLE_TEXT_SIZE])
{
    struct draft d = {.rng = {.seed = seed, .stream = index}, .text = text};
    d.domain = &domains[pare_rng_below(&d.rng, DOMAIN_COUNT)];
    text[0] = '\0';
    if (chance(&d, 35))
        expand(&d, draw_template(&d, openings), 0);
    expand(&d, draw_template(&d, sentences), label != 0);
    if (chance(&d, 20))
        expand(&d, draw_template(&d, closings), 0);
    return d.length;
}

/* ---- the corpus --------------------------------------------------------------- */

static const char *text_name(void *context, uint32_t number, size_t *length)
{
    const struct pare_text *texts = context;
    *length = texts[number].length;
    return texts[number].data;
}

enum pare_status pare_sample_corpus(uint64_t seed, size_t count, struct pare_arena *arena,
                                    struct pare_text **texts, int32_t **labels,
                                    struct pare_error *err)
{
    char text[PARE_SAMPLE_TEXT_SIZE], *copy;
    enum pare_status status = PARE_OK;
    if (count > PARE_SAMPLE_MAX)
        return pare_fail(err, PARE_ERR_USAGE, "a sample has at most %d sentences",
                         PARE_SAMPLE_MAX);
    PARE_TRY(pare_arena_alloc(arena, texts, count, sizeof **texts, err));
    PARE_TRY(pare_arena_alloc(arena, labels, count, sizeof **labels, err));
    struct pare_names seen = {.name = text_name, .context = *texts};
    uint64_t attempt = 0;
    for (size_t i = 0; i < count;) {
        /* Of each two neighbours one is positive; a coin says which. */
        int coin = (int)(pare_rng_at(seed, UINT64_MAX, i / 2) & 1);
        int label = (int)(i & 1) ^ coin;
        size_t length = pare_sample_sentence(seed, attempt++, label, text);
        uint32_t other = pare_names_find(&seen, text, length);
        if (other != PARE_NO_NAME)
            continue;
        PARE_TRY_OUT(pare_arena_strndup(arena, &copy, text, length, err));
        (*texts)[i] = (struct pare_text){copy, length};
        (*labels)[i] = label;
        PARE_TRY_OUT(pare_names_add(&seen, copy, length, (uint32_t)i, &other, err));
        i++;
    }
out:
    pare_names_free(&seen);
    return status;
}

/* ---- the vocabulary ----------------------------------------------------------- */

struct piece_list {
    struct pare_arena *arena;
    struct pare_text *pieces;
    size_t count;
    struct pare_names names;
    struct pare_error *err;
};

#define PIECES_MAX 2000

static enum pare_status add_piece(struct piece_list *list, const char *text,
                                  size_t length)
{
    uint32_t other;
    char *copy;
    if (list->count == PIECES_MAX)
        return pare_fail(list->err, PARE_ERR_INTERNAL,
                         "the sample's vocabulary is too large");
    PARE_TRY(pare_arena_strndup(list->arena, &copy, text, length, list->err));
    list->pieces[list->count] = (struct pare_text){copy, length};
    PARE_TRY(pare_names_add(&list->names, copy, length, (uint32_t)list->count, &other,
                            list->err));
    if (other == PARE_NO_NAME)
        list->count++;
    return PARE_OK;
}

/* The words of a text outside its {slots}. */
static enum pare_status add_words(struct piece_list *list, const char *text)
{
    while (*(text += strspn(text, " "))) {
        size_t length = strcspn(text, " {");
        if (*text == '{')
            length = strcspn(text, "}") + 1;
        else
            PARE_TRY(add_piece(list, text, length));
        text += length;
    }
    return PARE_OK;
}

static enum pare_status add_list(struct piece_list *list, const char *const *words)
{
    while (*words)
        PARE_TRY(add_words(list, *words++));
    return PARE_OK;
}

static enum pare_status add_characters(struct piece_list *list)
{
    static const char *const special[] = {"[PAD]", "[UNK]",  "[CLS]",
                                          "[SEP]", "[MASK]", NULL};
    PARE_TRY(add_list(list, special));
    for (char c = '!'; c <= '~'; c++)
        if (c < 'A' || c > 'Z')
            PARE_TRY(add_piece(list, &c, 1));
    for (char c = '0'; c <= 'z'; c++) {
        char continuation[3] = {'#', '#', c};
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'))
            PARE_TRY(add_piece(list, continuation, sizeof continuation));
    }
    return PARE_OK;
}

static enum pare_status add_vocabulary(struct piece_list *list)
{
    static const struct template *const grammars[] = {
        plain_clauses, strong_clauses, weak_clauses, sentences, openings, closings};
    PARE_TRY(add_characters(list));
    PARE_TRY(add_words(list, "an"));
    for (size_t i = 0; i < sizeof grammars / sizeof *grammars; i++)
        for (const struct template *t = grammars[i]; t->text; t++)
            PARE_TRY(add_words(list, t->text));
    for (size_t i = 0; i < EVEN_LISTS; i++)
        PARE_TRY(add_list(list, even_lists[i].list));
    for (int polarity = 0; polarity < 2; polarity++) {
        PARE_TRY(add_list(list, general_adjectives[polarity]));
        PARE_TRY(add_list(list, verbs_past[polarity]));
        PARE_TRY(add_list(list, verbs_base[polarity]));
        PARE_TRY(add_list(list, opinion_nouns[polarity]));
    }
    for (size_t i = 0; i < DOMAIN_COUNT; i++) {
        PARE_TRY(add_list(list, domains[i].things));
        PARE_TRY(add_list(list, domains[i].nouns));
        PARE_TRY(add_list(list, domains[i].adjectives[0]));
        PARE_TRY(add_list(list, domains[i].adjectives[1]));
    }
    return PARE_OK;
}

enum pare_status pare_sample_pieces(struct pare_arena *arena, struct pare_text **pieces,
                                    size_t *count, struct pare_error *err)
{
    PARE_TRY(pare_arena_alloc(arena, pieces, PIECES_MAX, sizeof **pieces, err));
    struct piece_list list = {.arena = arena,
                              .pieces = *pieces,
                              .names = {.name = text_name, .context = *pieces},
                              .err = err};
    enum pare_status status = add_vocabulary(&list);
    pare_names_free(&list.names);
    *count = list.count;
    return status;
}
