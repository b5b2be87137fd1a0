/* A strict JSON reader without a tree: one event after the other, no memory but the keys
 * of the objects that are open. It is what checks text before cJSON sees it, and what the
 * checkpoint readers use directly, because a tree costs a hostile header's size many
 * times over.
 */
#ifndef PARE_BASE_JSON_SCAN_H
#define PARE_BASE_JSON_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/names.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_json_event {
    PARE_JSON_END, /* behind the value: only white space was left */
    PARE_JSON_OBJECT,
    PARE_JSON_OBJECT_END,
    PARE_JSON_ARRAY,
    PARE_JSON_ARRAY_END,
    PARE_JSON_KEY,
    PARE_JSON_STRING,
    PARE_JSON_NUMBER,
    PARE_JSON_TRUE,
    PARE_JSON_FALSE,
    PARE_JSON_NULL,
};

struct pare_json_level { /* an open object or array; private */
    int is_object;
    uint32_t n_keys;
    uint32_t first_keys[8]; /* offsets; more keys go to the table */
    struct pare_names keys;
};

struct pare_json_scan {
    const char *text;
    size_t length;
    size_t at;        /* next byte */
    const char *what; /* names the text in messages */
    uint64_t shift; /* added to offsets in messages: where the text starts in its file */
    int depth;
    /* Of the last event, if a key, string or number: its bytes as they stand in the text,
     * without the quotes, and whether they contain escapes. */
    const char *token;
    size_t token_length;
    int escaped;
    /* private */
    int expect;
    int keys_checked;
    char *decoded[2]; /* a key with escapes: the new one, and the one compared with */
    size_t decoded_capacity[2];
    struct pare_json_level levels[PARE_JSON_MAX_DEPTH];
};

/* `text` and `what` are borrowed. check_keys = 0 skips the search for duplicate keys, for
 * a second pass. Nothing to free before the first pare_json_next. */
void pare_json_scan_init(struct pare_json_scan *scan, const char *text, size_t length,
                         const char *what, int check_keys);
void pare_json_scan_free(struct pare_json_scan *scan);

/* The next event. After PARE_JSON_END do not call again. */
enum pare_status pare_json_next(struct pare_json_scan *scan, enum pare_json_event *event,
                                struct pare_error *err) PARE_CHECKED;
/* Skips the rest of a value whose first event was `event`. */
enum pare_status pare_json_skip(struct pare_json_scan *scan, enum pare_json_event event,
                                struct pare_error *err) PARE_CHECKED;
/* Decodes the last key or string into `out`, which has at least token_length bytes.
 * Returns the decoded length; nothing is added behind it. */
size_t pare_json_token(const struct pare_json_scan *scan, char *out);
/* Whether the last key or string is `text`. */
int pare_json_token_is(const struct pare_json_scan *scan, const char *text);
/* The last number as an integer of 0 to 2^53; anything else is PARE_ERR_INPUT. */
enum pare_status pare_json_token_u64(const struct pare_json_scan *scan, uint64_t *out,
                                     struct pare_error *err) PARE_CHECKED;
/* PARE_ERR_INPUT "WHAT: byte N: ..." at the last token. */
enum pare_status pare_json_scan_fail(const struct pare_json_scan *scan,
                                     struct pare_error *err, const char *format, ...)
    PARE_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
