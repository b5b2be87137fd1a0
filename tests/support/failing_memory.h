/* Memory that fails at a chosen allocation. Stands in front of the C library's, which the
 * library's own memory comes from: included by one file of a program. */
#ifndef PARE_TESTS_SUPPORT_FAILING_MEMORY_H
#define PARE_TESTS_SUPPORT_FAILING_MEMORY_H

#include <errno.h>
#include <stdlib.h>

static struct {
    long calls;    /* allocations so far */
    long fails_at; /* the one that fails, from 1; 0: none */
    int fails_on;  /* from fails_at on, all fail */
} memory;

static int memory_fails(void)
{
    memory.calls++;
    return memory.fails_at && (memory.fails_on ? memory.calls >= memory.fails_at
                                               : memory.calls == memory.fails_at);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    *out = NULL;
    if (!memory_fails()) /* whole alignments: C11 asks for them */
        *out = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    return *out ? 0 : ENOMEM;
}

#endif
