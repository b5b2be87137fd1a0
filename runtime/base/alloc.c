#include "runtime/base/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* From here on memory is asked for in huge pages: walking through large matrices, and
 * across their rows, otherwise misses the TLB all the time. */
#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_FROM (2 * HUGE_PAGE)

/* `out` and `array` are pointers to a pointer of any type: they are read and written
 * through memcpy, which C allows for every object type. */

enum pare_status pare_alloc_raw(void *out, size_t count, size_t size,
                                struct pare_error *err)
{
    void *memory = NULL;
    memcpy(out, &memory, sizeof memory);
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) ||
        bytes > SIZE_MAX / 2 - PARE_ALIGNMENT)
        return pare_fail(err, PARE_ERR_MEMORY,
                         "out of memory: %zu elements of %zu bytes were asked for", count,
                         size);
    size_t alignment = bytes < HUGE_FROM ? PARE_ALIGNMENT : HUGE_PAGE;
    if (posix_memalign(&memory, alignment, bytes ? bytes : 1) != 0)
        return pare_fail_memory(err, bytes);
    if (bytes >= HUGE_FROM)
        madvise(memory, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* a wish */
    memcpy(out, &memory, sizeof memory);
    return PARE_OK;
}

enum pare_status pare_alloc(void *out, size_t count, size_t size, struct pare_error *err)
{
    PARE_TRY(pare_alloc_raw(out, count, size, err));
    void *memory;
    memcpy(&memory, out, sizeof memory);
    if (count && size)
        memset(memory, 0, count * size);
    return PARE_OK;
}

enum pare_status pare_grow(void *array, size_t *capacity, size_t needed, size_t size,
                           struct pare_error *err)
{
    if (needed <= *capacity)
        return PARE_OK;
    size_t wanted = *capacity < 8 ? 8 : *capacity + *capacity / 2;
    if (wanted < needed)
        wanted = needed;
    void *old, *grown;
    memcpy(&old, array, sizeof old);
    PARE_TRY(pare_alloc_raw(&grown, wanted, size, err));
    if (old)
        memcpy(grown, old, *capacity * size);
    pare_free(old);
    memcpy(array, &grown, sizeof grown);
    *capacity = wanted;
    return PARE_OK;
}

enum pare_status pare_strndup(char **out, const char *text, size_t length,
                              struct pare_error *err)
{
    *out = NULL;
    if (length == SIZE_MAX)
        return pare_fail_memory(err, length);
    PARE_TRY(pare_alloc_raw(out, length + 1, 1, err));
    if (length)
        memcpy(*out, text, length);
    (*out)[length] = '\0';
    return PARE_OK;
}

void pare_free(void *memory)
{
    free(memory);
}
