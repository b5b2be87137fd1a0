#include "tests/support/buffer.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/bytes.h"

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}

static uint8_t *room(struct buffer *buffer, size_t bytes)
{
    if (!buffer->data || buffer->capacity - buffer->size < bytes) {
        buffer->capacity = (buffer->size + bytes) * 3 / 2 + 64;
        buffer->data = realloc(buffer->data, buffer->capacity);
        if (!buffer->data)
            abort();
    }
    buffer->size += bytes;
    return buffer->data + buffer->size - bytes;
}

void put_bytes(struct buffer *buffer, const void *data, size_t bytes)
{
    uint8_t *to = room(buffer, bytes);
    if (bytes)
        memcpy(to, data, bytes);
}

void put_repeated(struct buffer *buffer, uint8_t byte, size_t count)
{
    uint8_t *to = room(buffer, count);
    if (count)
        memset(to, byte, count);
}

void put_string(struct buffer *buffer, const char *text)
{
    put_bytes(buffer, text, strlen(text));
}

void put_u8(struct buffer *buffer, uint8_t value)
{
    *room(buffer, 1) = value;
}

void put_u16(struct buffer *buffer, uint16_t value)
{
    pare_store_u16(room(buffer, 2), value);
}

void put_u32(struct buffer *buffer, uint32_t value)
{
    pare_store_u32(room(buffer, 4), value);
}

void put_u64(struct buffer *buffer, uint64_t value)
{
    pare_store_u64(room(buffer, 8), value);
}

void set_u16(struct buffer *buffer, size_t at, uint16_t value)
{
    pare_store_u16(buffer->data + at, value);
}

void set_u32(struct buffer *buffer, size_t at, uint32_t value)
{
    pare_store_u32(buffer->data + at, value);
}

void set_u64(struct buffer *buffer, size_t at, uint64_t value)
{
    pare_store_u64(buffer->data + at, value);
}
