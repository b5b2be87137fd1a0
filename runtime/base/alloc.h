/* All memory of this project comes from here, so that a test can make it fail. */
#ifndef PARE_BASE_ALLOC_H
#define PARE_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Vectors of every tier load from addresses of this alignment. */
#define PARE_ALIGNMENT 64

/* Returns PARE_ALIGNMENT-aligned memory of count * size bytes in *out, zeroed; the
 * product is checked. count * size == 0 gives a valid one-byte block. The caller frees it
 * with pare_free. On failure *out is NULL and the status PARE_ERR_MEMORY. */
enum pare_status pare_alloc(void *out, size_t count, size_t size,
                            struct pare_error *err) PARE_CHECKED;

/* As pare_alloc, not zeroed. */
enum pare_status pare_alloc_raw(void *out, size_t count, size_t size,
                                struct pare_error *err) PARE_CHECKED;

/* Grows *array (elements of `size` bytes, *capacity of them, NULL and 0 at the start) so
 * that it holds at least `needed`; the old content is kept, growth is geometric. On
 * failure nothing has changed. */
enum pare_status pare_grow(void *array, size_t *capacity, size_t needed, size_t size,
                           struct pare_error *err) PARE_CHECKED;

/* A copy of `length` bytes of `text` with a NUL behind them. */
enum pare_status pare_strndup(char **out, const char *text, size_t length,
                              struct pare_error *err) PARE_CHECKED;

void pare_free(void *memory); /* NULL is allowed */

#ifdef __cplusplus
}
#endif
#endif
