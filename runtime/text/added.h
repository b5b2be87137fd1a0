/* Added tokens: pieces found in running text before it is cut into words. */
#ifndef PARE_TEXT_ADDED_H
#define PARE_TEXT_ADDED_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_added_flag { /* Hugging Face's AddedToken; these numbers are in containers */
                       PARE_ADDED_SPECIAL = 1,
                       PARE_ADDED_SINGLE_WORD =
                           2, /* only where no word character touches it */
                       PARE_ADDED_LSTRIP =
                           4, /* takes the white space on its left with it */
                       PARE_ADDED_RSTRIP = 8,
                       PARE_ADDED_NORMALIZED = 16, /* looked for in the normalised text */
                       PARE_ADDED_ALL = 31,
};

/* A longer one than this is refused: it bounds the search to text x length. */
#define PARE_ADDED_MAX_BYTES 512

struct pare_added_pattern {
    const char *text; /* owned by the matcher */
    size_t length;
    int32_t id;
    unsigned flags;
};

struct pare_added_matcher {              /* all zero: finds nothing */
    struct pare_added_pattern *patterns; /* sorted by text once compiled */
    size_t count, capacity;
    size_t first[257]; /* patterns that begin with byte b: [first[b], first[b + 1]) */
    int only_first;    /* the byte that all patterns begin with, or -1 */
};

void pare_added_free(struct pare_added_matcher *matcher);
enum pare_status pare_added_put(struct pare_added_matcher *matcher, const char *text,
                                size_t length, int32_t id, unsigned flags,
                                struct pare_error *err) PARE_CHECKED;
/* Sorts; two equal patterns are PARE_ERR_INPUT. Call once, before scanning. */
enum pare_status pare_added_compile(struct pare_added_matcher *matcher,
                                    struct pare_error *err) PARE_CHECKED;

/* A walk through valid UTF-8: set text and length, all else zero. */
struct pare_added_scan {
    const char *text;
    size_t length;
    size_t position;             /* where the search goes on */
    size_t covered;              /* text before this was handed out */
    size_t space_from, space_to; /* white space already measured by rstrip */
};

struct pare_added_hit {
    size_t plain_from, plain_to; /* text in front of the token; empty when equal */
    int32_t id;                  /* -1: no token, the rest of the text */
};

/* The next token with the text before it, leftmost and then longest; 0 at the end. */
int pare_added_next(const struct pare_added_matcher *matcher,
                    struct pare_added_scan *scan, struct pare_added_hit *hit);

#ifdef __cplusplus
}
#endif
#endif
