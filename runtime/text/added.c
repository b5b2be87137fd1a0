/* Search for added tokens, with the rules of Hugging Face tokenizers' AddedVocabulary:
 * leftmost-longest, matches do not overlap, a match that fails "single word" is passed
 * over but still consumed, stripped white space belongs to the token.
 */
#include "runtime/text/added.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/text/unicode.h"
#include "runtime/text/vocab.h"

void pare_added_free(struct pare_added_matcher *matcher)
{
    for (size_t i = 0; i < matcher->count; i++)
        pare_free((void *)(uintptr_t)matcher->patterns[i].text);
    pare_free(matcher->patterns);
    memset(matcher, 0, sizeof *matcher);
}

enum pare_status pare_added_put(struct pare_added_matcher *matcher, const char *text,
                                size_t length, int32_t id, unsigned flags,
                                struct pare_error *err)
{
    if (!length)
        return pare_fail(err, PARE_ERR_INPUT, "added token %d is empty once normalised",
                         (int)id);
    if (length > PARE_ADDED_MAX_BYTES)
        return pare_fail(err, PARE_ERR_INPUT,
                         "added token \"%s\" of %zu bytes: at most %d are supported",
                         pare_show(text, length).text, length, PARE_ADDED_MAX_BYTES);
    PARE_TRY(pare_grow(&matcher->patterns, &matcher->capacity, matcher->count + 1,
                       sizeof *matcher->patterns, err));
    char *copy;
    PARE_TRY(pare_strndup(&copy, text, length, err));
    matcher->patterns[matcher->count++] = (struct pare_added_pattern){
        .text = copy, .length = length, .id = id, .flags = flags};
    return PARE_OK;
}

static int compare(const void *a, const void *b)
{
    const struct pare_added_pattern *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->length < y->length ? x->length : y->length);
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

enum pare_status pare_added_compile(struct pare_added_matcher *matcher,
                                    struct pare_error *err)
{
    if (!matcher->count)
        return PARE_OK;
    qsort(matcher->patterns, matcher->count, sizeof *matcher->patterns, compare);
    for (size_t i = 1; i < matcher->count; i++)
        if (compare(&matcher->patterns[i - 1], &matcher->patterns[i]) == 0)
            return pare_fail(
                err, PARE_ERR_INPUT, "added tokens %d and %d are both found as \"%s\"",
                (int)matcher->patterns[i - 1].id, (int)matcher->patterns[i].id,
                pare_show(matcher->patterns[i].text, matcher->patterns[i].length).text);
    size_t i = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        matcher->first[byte] = i;
        while (i < matcher->count && (uint8_t)matcher->patterns[i].text[0] == byte)
            i++;
    }
    matcher->first[256] = i;
    uint8_t byte = (uint8_t)matcher->patterns[0].text[0];
    matcher->only_first =
        matcher->first[byte + 1u] - matcher->first[byte] == matcher->count ? byte : -1;
    return PARE_OK;
}

/* The first pattern of [low, high) whose byte `depth` is at least `byte`; all of them
 * agree before `depth`, and one that ends there sorts first. */
static size_t lower_bound(const struct pare_added_pattern *patterns, size_t low,
                          size_t high, size_t depth, unsigned byte)
{
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct pare_added_pattern *p = &patterns[middle];
        if (p->length <= depth || (uint8_t)p->text[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest pattern at text[0], or NULL: the sorted range narrows byte by byte. */
static const struct pare_added_pattern *
longest_at(const struct pare_added_matcher *matcher, const char *text, size_t length)
{
    const struct pare_added_pattern *best = NULL;
    size_t low = matcher->first[(uint8_t)text[0]];
    size_t high = matcher->first[(uint8_t)text[0] + 1u];
    for (size_t depth = 1; low < high; depth++) {
        if (matcher->patterns[low].length == depth)
            best = &matcher->patterns[low++];
        if (depth == length || low == high)
            break;
        unsigned byte = (uint8_t)text[depth];
        low = lower_bound(matcher->patterns, low, high, depth, byte);
        high = lower_bound(matcher->patterns, low, high, depth, byte + 1);
    }
    return best;
}

static const struct pare_added_pattern *find(const struct pare_added_matcher *matcher,
                                             const struct pare_added_scan *scan,
                                             size_t *at)
{
    for (size_t i = scan->position; i < scan->length; i++) {
        if (matcher->only_first >= 0) {
            const char *next =
                memchr(scan->text + i, matcher->only_first, scan->length - i);
            if (!next)
                return NULL;
            i = (size_t)(next - scan->text);
        }
        uint8_t byte = (uint8_t)scan->text[i];
        if (matcher->first[byte] == matcher->first[byte + 1u])
            continue;
        const struct pare_added_pattern *found =
            longest_at(matcher, scan->text + i, scan->length - i);
        if (found) {
            *at = i;
            return found;
        }
    }
    return NULL;
}

/* Flags of the character that ends at `end` (> 0), and where it starts. */
static unsigned flags_before(const char *text, size_t end, size_t *start)
{
    do
        end--;
    while (((uint8_t)text[end] & 0xC0) == 0x80);
    *start = end;
    uint32_t code;
    pare_utf8_decode((const uint8_t *)text + end, &code);
    return pare_unicode_flags(code);
}

static unsigned flags_at(const char *text, size_t start, size_t *end)
{
    uint32_t code;
    *end = start + pare_utf8_decode((const uint8_t *)text + start, &code);
    return pare_unicode_flags(code);
}

static int stands_alone(const struct pare_added_scan *scan, size_t from, size_t to)
{
    size_t unused;
    return (from == 0 ||
            !(flags_before(scan->text, from, &unused) & PARE_UNICODE_WORD)) &&
           (to == scan->length ||
            !(flags_at(scan->text, to, &unused) & PARE_UNICODE_WORD));
}

/* The start of the white space that ends at `from`, not before scan->covered. */
static size_t strip_left(const struct pare_added_scan *scan, size_t from)
{
    size_t start;
    while (from > scan->covered &&
           flags_before(scan->text, from, &start) & PARE_UNICODE_SPACE)
        from = start;
    return from > scan->covered ? from : scan->covered;
}

/* The end of the white space that starts at `to`. A token that is white space itself can
 * come back to the same run for every character of it: the run is measured once. */
static size_t strip_right(struct pare_added_scan *scan, size_t to)
{
    if (to >= scan->space_from && to < scan->space_to)
        return scan->space_to;
    size_t end;
    scan->space_from = to;
    while (to < scan->length && flags_at(scan->text, to, &end) & PARE_UNICODE_SPACE)
        to = end;
    return scan->space_to = to;
}

int pare_added_next(const struct pare_added_matcher *matcher,
                    struct pare_added_scan *scan, struct pare_added_hit *hit)
{
    const struct pare_added_pattern *found;
    size_t from;
    while (matcher->count && (found = find(matcher, scan, &from)) != NULL) {
        size_t to = from + found->length;
        scan->position = to;
        if (found->flags & PARE_ADDED_SINGLE_WORD && !stands_alone(scan, from, to))
            continue;
        if (found->flags & PARE_ADDED_LSTRIP)
            from = strip_left(scan, from);
        if (found->flags & PARE_ADDED_RSTRIP)
            to = strip_right(scan, to);
        hit->plain_from = scan->covered;
        hit->plain_to = from > scan->covered ? from : scan->covered;
        hit->id = found->id;
        scan->covered = to;
        return 1;
    }
    scan->position = scan->length;
    hit->plain_from = scan->covered;
    hit->plain_to = scan->length;
    hit->id = -1;
    scan->covered = scan->length;
    return hit->plain_from != hit->plain_to;
}
