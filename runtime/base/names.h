/* A hash table from names to numbers, for names that a stranger chose.
 *
 * The table holds the numbers only; the names stay where they are and are asked for when
 * needed. Hashing is SipHash with a random key, so nobody can prepare names that collide.
 */
#ifndef PARE_BASE_NAMES_H
#define PARE_BASE_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_NO_NAME UINT32_MAX

/* Gives name `number` and its length. The bytes must last until the next call. */
typedef const char *pare_name_fn(void *context, uint32_t number, size_t *length);

struct pare_names { /* set `name` and `context`, the rest zero: an empty table */
    pare_name_fn *name;
    void *context;
    uint32_t *slots; /* number + 1, 0 for an empty slot */
    size_t capacity, count;
    uint64_t key[2];
};

/* Enters a name under `number` (below PARE_NO_NAME) and sets *other to PARE_NO_NAME; if
 * the name is there already nothing changes and *other is its number. `text` must not be
 * memory that the name function overwrites. */
enum pare_status pare_names_add(struct pare_names *names, const char *text, size_t length,
                                uint32_t number, uint32_t *other,
                                struct pare_error *err) PARE_CHECKED;
/* The number of a name, or PARE_NO_NAME. */
uint32_t pare_names_find(const struct pare_names *names, const char *text, size_t length);
void pare_names_free(struct pare_names *names); /* empty again */

#ifdef __cplusplus
}
#endif
#endif
