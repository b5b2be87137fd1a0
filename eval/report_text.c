#include "eval/report_text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/text/unicode.h"

void pare_report_text_free(struct pare_report_text *text)
{
    pare_free(text->data);
    memset(text, 0, sizeof *text);
}

/* Room for `bytes` more and a NUL. */
static int reserve(struct pare_report_text *text, size_t bytes)
{
    if (text->status == PARE_OK)
        text->status = bytes > SIZE_MAX - text->length - 1
                           ? PARE_ERR_MEMORY
                           : pare_grow(&text->data, &text->capacity,
                                       text->length + bytes + 1, 1, NULL);
    return text->status == PARE_OK;
}

static void append(struct pare_report_text *text, const char *data, size_t bytes)
{
    if (!reserve(text, bytes))
        return;
    memcpy(text->data + text->length, data, bytes);
    text->length += bytes;
    text->data[text->length] = '\0';
}

void pare_report_put(struct pare_report_text *text, const char *own)
{
    append(text, own, strlen(own));
}

void pare_report_putf(struct pare_report_text *text, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    if (length >= 0 && reserve(text, (size_t)length)) {
        vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
    va_end(arguments);
}

/* ---- escapes ------------------------------------------------------------------- */

/* What could move the cursor, turn the reading direction or break a parser. */
static int is_harmful(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x061C ||
           code == 0x200E || code == 0x200F || (code >= 0x2028 && code <= 0x202E) ||
           (code >= 0x2066 && code <= 0x2069) || code == 0xFEFF ||
           (code & 0xFFFE) == 0xFFFE || (code >= 0xFDD0 && code <= 0xFDEF);
}

static void put_html(struct pare_report_text *text, const char *character, size_t bytes)
{
    switch (*character) {
    case '&': pare_report_put(text, "&amp;"); break;
    case '<': pare_report_put(text, "&lt;"); break;
    case '>': pare_report_put(text, "&gt;"); break;
    case '"': pare_report_put(text, "&quot;"); break;
    case '\'': pare_report_put(text, "&#39;"); break;
    default: append(text, character, bytes); break;
    }
}

static int is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int opens_tag(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr("/!?", c);
}

/* The characters that mean something in inline Markdown, where they do: names and
 * requirements stay readable. An underscore inside a word means nothing, and model names
 * are full of them. A link is broken at its middle: "](", "http:/" and "www.". `before`
 * is NUL at the start, where some mean more. */
static int is_markup(const char *at, char before)
{
    switch (*at) {
    case '\\':
    case '`':
    case '*':
    case '|':
    case '~':
    case '$': return 1;
    case '_': return !(is_word(before) && is_word(at[1]));
    case '<': return opens_tag(at[1]);
    case '&': return is_word(at[1]) || at[1] == '#';
    case ']': return at[1] == '(' || at[1] == '[' || at[1] == ':';
    case ':': return at[1] == '/';
    case '.': return before == 'w' || before == 'W';
    case '>':
    case '#':
    case '=':
    case '-':
    case '+': return before == '\0';
    default: return 0;
    }
}

static void put_markdown(struct pare_report_text *text, const char *character,
                         size_t bytes, char before)
{
    if (is_markup(character, before))
        append(text, "\\", 1);
    append(text, character, bytes);
}

void pare_report_put_safe(struct pare_report_text *text, const char *foreign,
                          enum pare_report_escape escape)
{
    size_t left = strlen(foreign), valid = pare_utf8_valid(foreign, left);
    char before = '\0';
    while (left && text->status == PARE_OK) {
        uint32_t code = PARE_UNICODE_REPLACEMENT;
        size_t bytes = valid ? pare_utf8_decode((const uint8_t *)foreign, &code) : 1;
        if (code == '\t' || code == '\n' || code == '\r' ||
            (code == 0xA0 && escape != PARE_ESCAPE_HTML))
            append(text, " ", 1);
        else if (!valid || is_harmful(code))
            pare_report_put(text, "\xEF\xBF\xBD");
        else if (escape == PARE_ESCAPE_HTML)
            put_html(text, foreign, bytes);
        else if (escape == PARE_ESCAPE_MARKDOWN)
            put_markdown(text, foreign, bytes, before);
        else
            append(text, foreign, bytes);
        before = *foreign;
        foreign += bytes;
        left -= bytes;
        valid = valid ? valid - bytes : pare_utf8_valid(foreign, left);
    }
}

/* ---- widths -------------------------------------------------------------------- */

static int continues(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

size_t pare_report_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += !continues(*text);
    return width;
}

/* `text` behind its first `characters` characters. */
static const char *skip(const char *text, size_t characters)
{
    while (*text && (characters || continues(*text)))
        characters -= !continues(*text++);
    return text;
}

void pare_report_shorten(const char *foreign, size_t limit, char *out, size_t size)
{
    size_t width = pare_report_width(foreign);
    if (width <= limit) {
        snprintf(out, size, "%s", foreign);
        return;
    }
    size_t head = limit / 2, tail = limit - 1 - head;
    snprintf(out, size, "%.*s\xE2\x80\xA6%s", (int)(skip(foreign, head) - foreign),
             foreign, skip(foreign, width - tail));
}
