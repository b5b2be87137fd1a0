/* What this process has of the machine's memory. */
#ifndef PARE_BASE_MEMORY_H
#define PARE_BASE_MEMORY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes resident at once, at most, since the program began: its own memory and mapped
 * files. 0 when the system does not tell. */
uint64_t pare_peak_memory(void);
/* From now on a large block that is freed goes back to the system, where the C library
 * would keep it to be used again, and would have holes between such blocks. */
void pare_memory_return(void);

#ifdef __cplusplus
}
#endif
#endif
