#include "runtime/base/arena.h"

#include <stdint.h>
#include <string.h>

#include "runtime/base/alloc.h"

struct pare_arena_chunk {
    struct pare_arena_chunk *below;
    size_t size; /* bytes of data, behind the header */
    size_t used;
};

#define HEADER_BYTES PARE_ALIGNMENT
#define MIN_CHUNK ((size_t)64 * 1024)

_Static_assert(sizeof(struct pare_arena_chunk) <= HEADER_BYTES, "header fits its line");

static size_t rounded(size_t bytes)
{
    return (bytes + PARE_ALIGNMENT - 1) / PARE_ALIGNMENT * PARE_ALIGNMENT;
}

static void push(struct pare_arena *arena, struct pare_arena_chunk *chunk)
{
    chunk->below = arena->top;
    chunk->used = 0;
    arena->top = chunk;
}

static void drop(struct pare_arena *arena, struct pare_arena_chunk *chunk)
{
    if (!chunk)
        return;
    arena->reserved -= HEADER_BYTES + chunk->size;
    pare_free(chunk);
}

enum pare_status pare_arena_reserve(struct pare_arena *arena, size_t bytes,
                                    struct pare_error *err)
{
    if (bytes > SIZE_MAX / 4)
        return pare_fail_memory(err, bytes);
    bytes = rounded(bytes);
    if (arena->top && arena->top->size - arena->top->used >= bytes)
        return PARE_OK;
    if (arena->spare && arena->spare->size >= bytes &&
        arena->spare->size >= arena->wanted) {
        push(arena, arena->spare);
        arena->spare = NULL;
        return PARE_OK;
    }
    if (arena->spare) {
        drop(arena, arena->spare);
        arena->spare = NULL;
        bytes = bytes < arena->wanted ? arena->wanted : bytes;
    }
    size_t size = arena->top ? arena->top->size * 2 : MIN_CHUNK;
    size_t limit = (size_t)16 << 20; /* doubling stops here: no large waste */
    if (size > limit)
        size = limit;
    if (size < bytes)
        size = bytes;
    struct pare_arena_chunk *chunk;
    PARE_TRY(pare_alloc_raw(&chunk, HEADER_BYTES + size, 1, err));
    chunk->size = size;
    push(arena, chunk);
    arena->reserved += HEADER_BYTES + size;
    return PARE_OK;
}

enum pare_status pare_arena_alloc(struct pare_arena *arena, void *out, size_t count,
                                  size_t size, struct pare_error *err)
{
    void *piece = NULL;
    memcpy(out, &piece, sizeof piece);
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return pare_fail_memory(err, SIZE_MAX);
    PARE_TRY(pare_arena_reserve(arena, bytes ? bytes : 1, err));
    struct pare_arena_chunk *chunk = arena->top;
    piece = (unsigned char *)chunk + HEADER_BYTES + chunk->used;
    chunk->used += rounded(bytes ? bytes : 1);
    memcpy(out, &piece, sizeof piece);
    return PARE_OK;
}

enum pare_status pare_arena_strndup(struct pare_arena *arena, char **out,
                                    const char *text, size_t length,
                                    struct pare_error *err)
{
    *out = NULL;
    if (length == SIZE_MAX)
        return pare_fail_memory(err, length);
    PARE_TRY(pare_arena_alloc(arena, out, length + 1, 1, err));
    if (length)
        memcpy(*out, text, length);
    (*out)[length] = '\0';
    return PARE_OK;
}

struct pare_arena_mark pare_arena_mark(const struct pare_arena *arena)
{
    return (struct pare_arena_mark){arena->top, arena->top ? arena->top->used : 0};
}

/* The popped chunk becomes the spare if it is the larger of the two. */
static void pop(struct pare_arena *arena)
{
    struct pare_arena_chunk *chunk = arena->top;
    arena->top = chunk->below;
    if (arena->spare && arena->spare->size >= chunk->size) {
        drop(arena, chunk);
        return;
    }
    drop(arena, arena->spare);
    arena->spare = chunk;
}

void pare_arena_release(struct pare_arena *arena, struct pare_arena_mark mark)
{
    size_t released = 0;
    while (arena->top != mark.chunk) {
        released += arena->top->used;
        pop(arena);
    }
    if (arena->top) {
        released += arena->top->used - mark.used;
        arena->top->used = mark.used;
    }
    if (released > arena->wanted)
        arena->wanted = released;
}

void pare_arena_free(struct pare_arena *arena)
{
    while (arena->top)
        pop(arena);
    drop(arena, arena->spare);
    arena->spare = NULL;
    arena->wanted = 0;
}
