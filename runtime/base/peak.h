/* The most memory this process ever held. */
#ifndef PARE_BASE_PEAK_H
#define PARE_BASE_PEAK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes resident at once, at most, since the program began: its own memory and mapped
 * files. 0 when the system does not tell. */
uint64_t pare_peak_memory(void);

#ifdef __cplusplus
}
#endif
#endif
