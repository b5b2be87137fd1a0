/* JSON that is strict: cJSON behind a scan that refuses what cJSON lets pass.
 *
 * cJSON alone accepts duplicate keys, raw control characters, invalid UTF-8, an escaped
 * NUL (which cuts the C string), numbers that overflow to infinity, leading zeros and
 * trailing garbage. Every one of these is an error here, with the byte
 * offset. A file is `{`, `[` or a scalar, then at most white space.
 */
#ifndef PARE_BASE_JSON_H
#define PARE_BASE_JSON_H

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_JSON_MAX_DEPTH 64

/* Parses `length` bytes. `what` names the text in messages (a path). The caller frees
 * *out with cJSON_Delete. Integers that a double cannot hold are parsed (Hugging Face
 * writes 10^30 where it means "no limit") but never read as integers: see pare_json_u64.
 * A text whose tree would take more than 64 MiB + 8 times its length is refused. */
enum pare_status pare_json_parse(const char *text, size_t length, const char *what,
                                 cJSON **out, struct pare_error *err) PARE_CHECKED;
/* The same for a file of at most 100,000,000 bytes. */
enum pare_status pare_json_parse_file(const char *path, cJSON **out,
                                      struct pare_error *err) PARE_CHECKED;

/* Typed access to an object's member. `what` names the object in messages. A missing key
 * leaves *out as it is (so set the default first); a wrong type or range is
 * PARE_ERR_INPUT naming the key, the value found and what was expected. JSON null counts
 * as missing. An integer must be below 2^53, whatever `max` says. */
enum pare_status pare_json_u64(const cJSON *object, const char *key, uint64_t min,
                               uint64_t max, uint64_t *out, const char *what,
                               struct pare_error *err) PARE_CHECKED;
enum pare_status pare_json_double(const cJSON *object, const char *key, double min,
                                  double max, double *out, const char *what,
                                  struct pare_error *err) PARE_CHECKED;
enum pare_status pare_json_bool(const cJSON *object, const char *key, int *out,
                                const char *what, struct pare_error *err) PARE_CHECKED;
/* *out points into the object. */
enum pare_status pare_json_string(const cJSON *object, const char *key, const char **out,
                                  const char *what, struct pare_error *err) PARE_CHECKED;

/* Prints `value` and writes it to `path` atomically with a newline behind it; a
 * non-finite number anywhere is PARE_ERR_INTERNAL (cJSON would print null). */
enum pare_status pare_json_write_file(const char *path, const cJSON *value,
                                      struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
