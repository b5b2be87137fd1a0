/* Is a text well-formed markup? Strict as XML: every element is closed in order, every
 * attribute quoted, every id used once, every `&` an entity we write. */
#ifndef TESTS_SUPPORT_MARKUP_H
#define TESTS_SUPPORT_MARKUP_H

#include <stdio.h>
#include <string.h>

struct markup {
    const char *problem; /* NULL: none */
    const char *where;
    size_t elements;
    size_t scripts;    /* script elements, on... attributes, javascript: */
    size_t references; /* href, src, url(, @import: to other resources */
    int depth;
    char open[64][24];
    char ids[256][40];
    size_t n_ids;
};

/* How often `what` is in the text. */
static inline int markup_count(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

static inline const char *markup_fail(struct markup *m, const char *problem,
                                      const char *where)
{
    m->problem = problem;
    m->where = where;
    return NULL;
}

static inline size_t markup_name(const char *at)
{
    return strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-:");
}

static inline const char *markup_entity(struct markup *m, const char *at)
{
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strncmp(at, known[i], strlen(known[i])))
            return at + strlen(known[i]);
    return markup_fail(m, "an entity of its own", at);
}

static inline void markup_id(struct markup *m, const char *at, size_t length)
{
    for (size_t i = 0; i < m->n_ids; i++)
        if (strlen(m->ids[i]) == length && !strncmp(m->ids[i], at, length))
            markup_fail(m, "an id twice", at);
    if (m->n_ids < 256 && length < 40)
        snprintf(m->ids[m->n_ids++], 40, "%.*s", (int)length, at);
    else
        markup_fail(m, "too many or too long ids", at);
}

/* ` name="value"`; returns the place behind it. */
static inline const char *markup_attribute(struct markup *m, const char *at)
{
    size_t length = markup_name(at);
    if (!length || strncmp(at + length, "=\"", 2))
        return markup_fail(m, "an attribute without a quoted value", at);
    const char *name = at;
    m->scripts += !strncmp(at, "on", 2);
    m->references += (length == 4 && !strncmp(at, "href", 4)) ||
                     (length == 3 && !strncmp(at, "src", 3)) ||
                     (length == 5 && !strncmp(at, "style", 5));
    const char *value = at + length + 2;
    for (at = value; at && *at && *at != '"';) {
        if (*at == '<')
            return markup_fail(m, "'<' in an attribute", at);
        at = *at == '&' ? markup_entity(m, at) : at + 1;
    }
    if (!at || !*at)
        return markup_fail(m, "an attribute that does not end", value);
    if (length == 2 && !strncmp(name, "id", 2))
        markup_id(m, value, (size_t)(at - value));
    return at + 1;
}

static inline const char *markup_close(struct markup *m, const char *at)
{
    size_t length = markup_name(at + 2);
    if (!m->depth || strlen(m->open[m->depth - 1]) != length ||
        strncmp(m->open[m->depth - 1], at + 2, length) || at[2 + length] != '>')
        return markup_fail(m, "closes what is not open", at);
    m->depth--;
    return at + 3 + length;
}

static inline const char *markup_tag(struct markup *m, const char *at)
{
    if (at[1] == '/')
        return markup_close(m, at);
    size_t length = markup_name(at + 1);
    if (!length || length >= sizeof m->open[0] || m->depth >= 64)
        return markup_fail(m, "no element", at);
    m->elements++;
    m->scripts += length == 6 && !strncmp(at + 1, "script", 6);
    snprintf(m->open[m->depth], sizeof m->open[0], "%.*s", (int)length, at + 1);
    at += 1 + length;
    while (at && *at == ' ')
        at = markup_attribute(m, at + 1);
    if (!at)
        return NULL;
    if (!strncmp(at, "/>", 2))
        return at + 2;
    if (*at != '>')
        return markup_fail(m, "a tag that does not end", at);
    m->depth++;
    return at + 1;
}

static inline struct markup markup_check(const char *text)
{
    struct markup m = {0};
    const char *at = text;
    if (!strncmp(at, "<!DOCTYPE html>", 15))
        at += 15;
    while (at && *at && !m.problem) {
        if (*at == '<')
            at = markup_tag(&m, at);
        else if (*at == '&')
            at = markup_entity(&m, at);
        else if ((unsigned char)*at < ' ' && *at != '\n')
            markup_fail(&m, "a control character", at);
        else
            at++;
    }
    if (!m.problem && m.depth)
        markup_fail(&m, "an element is not closed", m.open[m.depth - 1]);
    m.references += strstr(text, "url(") != NULL;
    m.references += strstr(text, "@import") != NULL;
    return m;
}

#endif
