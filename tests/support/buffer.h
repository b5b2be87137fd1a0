/* Bytes put together one field at a time, little-endian. Tests may abort when memory runs
 * out. */
#ifndef TESTS_SUPPORT_BUFFER_H
#define TESTS_SUPPORT_BUFFER_H

#include <stddef.h>
#include <stdint.h>

struct buffer { /* all zero: empty */
    uint8_t *data;
    size_t size, capacity;
};

void buffer_free(struct buffer *buffer);
void put_bytes(struct buffer *buffer, const void *data, size_t bytes);
void put_repeated(struct buffer *buffer, uint8_t byte, size_t count);
void put_string(struct buffer *buffer, const char *text); /* without its NUL */
void put_u8(struct buffer *buffer, uint8_t value);
void put_u16(struct buffer *buffer, uint16_t value);
void put_u32(struct buffer *buffer, uint32_t value);
void put_u64(struct buffer *buffer, uint64_t value);
/* Overwrites bytes that are there. */
void set_u16(struct buffer *buffer, size_t at, uint16_t value);
void set_u32(struct buffer *buffer, size_t at, uint32_t value);
void set_u64(struct buffer *buffer, size_t at, uint64_t value);

#endif
