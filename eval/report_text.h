/* Text that grows, and the escapes that make foreign text harmless in it.
 *
 * Names in a result file come from whoever made the model: they reach a report only
 * through pare_report_put_safe. */
#ifndef PARE_EVAL_REPORT_TEXT_H
#define PARE_EVAL_REPORT_TEXT_H

#include <stddef.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All zero: empty. The first failure stays in `status`; later calls do nothing, so a
 * long sequence of puts is checked once at its end. */
struct pare_report_text {
    char *data; /* ends with NUL; NULL as long as nothing was put */
    size_t length, capacity;
    enum pare_status status; /* PARE_OK or PARE_ERR_MEMORY */
};

void pare_report_text_free(struct pare_report_text *text); /* safe twice */

/* As it is: for text of our own. */
void pare_report_put(struct pare_report_text *text, const char *own);
void pare_report_putf(struct pare_report_text *text, const char *format, ...)
    PARE_PRINTF(2, 3);

enum pare_report_escape {
    PARE_ESCAPE_PLAIN,    /* a terminal line */
    PARE_ESCAPE_HTML,     /* element content and quoted attribute values, also in SVG */
    PARE_ESCAPE_MARKDOWN, /* inline text and table cells of GitHub's Markdown */
};

/* Any bytes. In every mode white space becomes a space (HTML keeps
 * no-break spaces); control characters, invalid
 * UTF-8, direction overrides and non-characters become U+FFFD. */
void pare_report_put_safe(struct pare_report_text *text, const char *foreign,
                          enum pare_report_escape escape);

/* At most `limit` characters of `foreign` (valid UTF-8 or not), the middle replaced by an
 * ellipsis when there are more: a suffix often says what a name is about. limit >= 3. */
void pare_report_shorten(const char *foreign, size_t limit, char *out, size_t size);

/* Characters, not bytes. */
size_t pare_report_width(const char *text);

#ifdef __cplusplus
}
#endif
#endif
