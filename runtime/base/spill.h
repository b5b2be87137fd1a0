/* A file for what does not fit into memory, beside an output. It has no name: whatever
 * becomes of the process, nothing is left of it.
 */
#ifndef PARE_BASE_SPILL_H
#define PARE_BASE_SPILL_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_spill;

/* In the folder of `beside`, whose name messages give. */
enum pare_status pare_spill_open(const char *beside, struct pare_spill **out,
                                 struct pare_error *err) PARE_CHECKED;
enum pare_status pare_spill_write(struct pare_spill *spill, uint64_t offset,
                                  const void *data, size_t bytes,
                                  struct pare_error *err) PARE_CHECKED;
/* PARE_ERR_IO also for bytes that were never written. */
enum pare_status pare_spill_read(struct pare_spill *spill, uint64_t offset, void *data,
                                 size_t bytes, struct pare_error *err) PARE_CHECKED;
void pare_spill_close(struct pare_spill *spill); /* NULL allowed */

#ifdef __cplusplus
}
#endif
#endif
