/* Metadata of a container: the typed key-value pairs of GGUF, in file order. */
#ifndef PARE_CHECKPOINT_META_H
#define PARE_CHECKPOINT_META_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/arena.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_meta_type { /* GGUF's numbers */
                      PARE_META_U8 = 0,
                      PARE_META_I8 = 1,
                      PARE_META_U16 = 2,
                      PARE_META_I16 = 3,
                      PARE_META_U32 = 4,
                      PARE_META_I32 = 5,
                      PARE_META_F32 = 6,
                      PARE_META_BOOL = 7,
                      PARE_META_STRING = 8,
                      PARE_META_ARRAY = 9,
                      PARE_META_U64 = 10,
                      PARE_META_I64 = 11,
                      PARE_META_F64 = 12,
};

struct pare_text { /* not NUL-terminated in general; owned by the meta's arena or file */
    const char *data;
    size_t length;
};

struct pare_meta_value {
    const char *key;
    enum pare_meta_type type;
    enum pare_meta_type element; /* of an array; arrays of arrays do not exist here */
    union {
        uint64_t u; /* U8 U16 U32 U64 BOOL */
        int64_t i;  /* I8 I16 I32 I64 */
        double f;   /* F32 F64 */
        struct pare_text text;
    };
    size_t count;         /* elements of an array */
    const void *elements; /* array of numbers: little-endian, unaligned, as in the file;
                             array of strings: struct pare_text[count] */
};

struct pare_meta { /* all zero: empty */
    struct pare_arena arena;
    struct pare_meta_value *values;
    size_t count, capacity;
};

void pare_meta_free(struct pare_meta *meta);
const struct pare_meta_value *pare_meta_find(const struct pare_meta *meta,
                                             const char *key);

/* Setters copy keys and values, and replace a value that is already there (its place in
 * the order stays). */
enum pare_status pare_meta_set_u32(struct pare_meta *meta, const char *key,
                                   uint32_t value, struct pare_error *err) PARE_CHECKED;
enum pare_status pare_meta_set_u64(struct pare_meta *meta, const char *key,
                                   uint64_t value, struct pare_error *err) PARE_CHECKED;
enum pare_status pare_meta_set_f32(struct pare_meta *meta, const char *key, float value,
                                   struct pare_error *err) PARE_CHECKED;
enum pare_status pare_meta_set_bool(struct pare_meta *meta, const char *key, int value,
                                    struct pare_error *err) PARE_CHECKED;
enum pare_status pare_meta_set_string(struct pare_meta *meta, const char *key,
                                      const char *text, size_t length,
                                      struct pare_error *err) PARE_CHECKED;
enum pare_status pare_meta_set_strings(struct pare_meta *meta, const char *key,
                                       const struct pare_text *texts, size_t count,
                                       struct pare_error *err) PARE_CHECKED;
/* element: I32, U32 or F32; values: that C type. */
enum pare_status pare_meta_set_numbers(struct pare_meta *meta, const char *key,
                                       enum pare_meta_type element, const void *values,
                                       size_t count, struct pare_error *err) PARE_CHECKED;
/* A deep copy of one value from another meta. */
enum pare_status pare_meta_copy_value(struct pare_meta *meta,
                                      const struct pare_meta_value *value,
                                      struct pare_error *err) PARE_CHECKED;
void pare_meta_remove(struct pare_meta *meta, const char *key);

/* Getters: a missing key leaves *out as it is; a value of another type, or out of
 * [min, max], is PARE_ERR_INPUT naming the key, what was expected and what was found.
 * Integer getters take any integer type. */
enum pare_status pare_meta_get_u32(const struct pare_meta *meta, const char *key,
                                   uint32_t min, uint32_t max, uint32_t *out,
                                   struct pare_error *err) PARE_CHECKED;
enum pare_status pare_meta_get_f32(const struct pare_meta *meta, const char *key,
                                   float *out, struct pare_error *err) PARE_CHECKED;
enum pare_status pare_meta_get_bool(const struct pare_meta *meta, const char *key,
                                    int *out, struct pare_error *err) PARE_CHECKED;
enum pare_status pare_meta_get_string(const struct pare_meta *meta, const char *key,
                                      struct pare_text *out,
                                      struct pare_error *err) PARE_CHECKED;
/* *out = NULL when missing; the value has type ARRAY of STRING. */
enum pare_status pare_meta_get_strings(const struct pare_meta *meta, const char *key,
                                       const struct pare_text **out, size_t *count,
                                       struct pare_error *err) PARE_CHECKED;
/* Element i of an array of numbers, as a double (exact for 32-bit types). */
double pare_meta_number(const struct pare_meta_value *array, size_t i);

#ifdef __cplusplus
}
#endif
#endif
