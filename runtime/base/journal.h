/* A file to which work that is done is added piece by piece, so that a run that was
 * stopped, in whatever way, goes on from the last whole piece.
 *
 * File: "PAREJRNL", u32 version, u32 zero, 64 hexadecimal digits that say which run this
 * is, u32 CRC-32 of all that; then records: u64 length, the bytes, u32 CRC-32 of length
 * and bytes. Integers are little-endian. A record counts when all of it is on the disk: a
 * last one that is cut off, or damaged, is cut away when the file is opened.
 */
#ifndef PARE_BASE_JOURNAL_H
#define PARE_BASE_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_journal;

struct pare_journal_found {
    uint64_t records; /* whole ones, to be read */
    int other;        /* there was a journal of another run: it is gone */
    int damaged;      /* bytes in the middle had changed: what is behind them is gone */
};

/* Opens or creates the file of the run `identity` (64 digits). PARE_ERR_USAGE when there
 * is a file that is no journal. It is locked (flock) until it is closed: PARE_ERR_LOCKED
 * when somebody else has it open for longer than a moment. */
enum pare_status pare_journal_open(const char *path, const char identity[65],
                                   struct pare_journal **out,
                                   struct pare_journal_found *found,
                                   struct pare_error *err) PARE_CHECKED;

/* The next bytes of the records that were found, one behind the other; PARE_ERR_INPUT
 * when they end before. */
enum pare_status pare_journal_get(struct pare_journal *journal, void *data, size_t bytes,
                                  struct pare_error *err) PARE_CHECKED;
/* A record of that length, its bytes in pieces; with the last one it is on the disk. */
enum pare_status pare_journal_begin(struct pare_journal *journal, uint64_t bytes,
                                    struct pare_error *err) PARE_CHECKED;
enum pare_status pare_journal_put(struct pare_journal *journal, const void *data,
                                  size_t bytes, struct pare_error *err) PARE_CHECKED;

/* Closes it; `remove`: the work is done, or of no use. NULL allowed. */
void pare_journal_close(struct pare_journal *journal, int remove);

#ifdef __cplusplus
}
#endif
#endif
