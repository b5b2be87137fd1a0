/* An arena: many allocations, one release.
 *
 * Activations, scratch of the solvers and parsed headers live in arenas. Memory comes in
 * chunks; every piece is PARE_ALIGNMENT-aligned and not zeroed. One thread at a time.
 */
#ifndef PARE_BASE_ARENA_H
#define PARE_BASE_ARENA_H

#include <stddef.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_arena_chunk;

struct pare_arena { /* all zero: an empty arena, ready for use */
    struct pare_arena_chunk *top;
    struct pare_arena_chunk *spare; /* the largest released chunk, to be used again */
    size_t wanted;                  /* most bytes that were ever released at once */
    size_t reserved;                /* bytes taken from the system, for memory reports */
};

struct pare_arena_mark { /* a state to return to */
    struct pare_arena_chunk *chunk;
    size_t used;
};

/* Makes room for `bytes` in one chunk ahead of time; the pieces still come one by one. */
enum pare_status pare_arena_reserve(struct pare_arena *arena, size_t bytes,
                                    struct pare_error *err) PARE_CHECKED;

/* count * size bytes in *out (a pointer to a pointer); owned by the arena. */
enum pare_status pare_arena_alloc(struct pare_arena *arena, void *out, size_t count,
                                  size_t size, struct pare_error *err) PARE_CHECKED;

/* A NUL-terminated copy of `length` bytes of text, owned by the arena. */
enum pare_status pare_arena_strndup(struct pare_arena *arena, char **out,
                                    const char *text, size_t length,
                                    struct pare_error *err) PARE_CHECKED;

struct pare_arena_mark pare_arena_mark(const struct pare_arena *arena);
/* Forgets everything allocated since the mark. The largest chunk that becomes empty is
 * kept as a spare; when it is too small for what was released, the next one from the
 * system is as large as that. So a loop of mark and release stops going to the system. */
void pare_arena_release(struct pare_arena *arena, struct pare_arena_mark mark);
void pare_arena_free(struct pare_arena *arena); /* leaves an empty arena */

#ifdef __cplusplus
}
#endif
#endif
