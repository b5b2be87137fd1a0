/* The state of a run on disk, so that a stopped run continues as if nothing had happened.
 *
 * File: "PARESTAT", u32 version, u32 length of a JSON text, the text, zeros up to a
 * multiple of 64, float arrays in the order the text lists them, u32 CRC-32 of all
 * before. Integers and floats are little-endian. The text has three objects: "identity"
 * (what the run is: options and hashes, all strings), "progress" (how far it is) and
 * "arrays".
 *
 * Two generations are kept: PATH is the newest, PATH.prev the one before, and a damaged
 * or missing PATH falls back to it.
 */
#ifndef PARE_DISTILL_STATE_H
#define PARE_DISTILL_STATE_H

#include "runtime/base/json.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_state_array {
    const char *name;
    float *data;
    uint64_t count;
};

/* PARE_ERR_USAGE when PATH or PATH.prev is a file that is no resume file: writing and
 * removing, which check this too, would destroy it. */
enum pare_status pare_state_check(const char *path, struct pare_error *err) PARE_CHECKED;

/* Replaces PATH atomically; the old one becomes PATH.prev. */
enum pare_status pare_state_write(const char *path, const cJSON *identity,
                                  const cJSON *progress,
                                  const struct pare_state_array *arrays, size_t n_arrays,
                                  struct pare_error *err) PARE_CHECKED;

/* Fills the arrays and *progress (freed by the caller with cJSON_Delete) from the newest
 * generation that is whole. *progress = NULL and PARE_OK when there is no file at all.
 * An array the file does not have stays as it is. PARE_ERR_USAGE when its identity
 * differs from `identity`, naming the field and both values; PARE_ERR_INPUT when what is
 * there is damaged or has other arrays. *fell_back: the newest was damaged or missing. */
enum pare_status pare_state_read(const char *path, const cJSON *identity,
                                 cJSON **progress, const struct pare_state_array *arrays,
                                 size_t n_arrays, int *fell_back,
                                 struct pare_error *err) PARE_CHECKED;

/* Removes both generations; a missing file is not an error. */
enum pare_status pare_state_remove(const char *path, struct pare_error *err) PARE_CHECKED;

/* Numbers of doubles and 64-bit integers as text that loses nothing. */
enum pare_status pare_state_put_double(cJSON *object, const char *key, double value,
                                       struct pare_error *err) PARE_CHECKED;
enum pare_status pare_state_put_u64(cJSON *object, const char *key, uint64_t value,
                                    struct pare_error *err) PARE_CHECKED;
enum pare_status pare_state_get_double(const cJSON *object, const char *key,
                                       double *value,
                                       struct pare_error *err) PARE_CHECKED;
enum pare_status pare_state_get_u64(const cJSON *object, const char *key, uint64_t *value,
                                    struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
