/* Little-endian numbers at any address, on any machine. */
#ifndef PARE_BASE_BYTES_H
#define PARE_BASE_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint16_t pare_load_u16(const void *at)
{
    const uint8_t *p = at;
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t pare_load_u32(const void *at)
{
    const uint8_t *p = at;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static inline uint64_t pare_load_u64(const void *at)
{
    const uint8_t *p = at;
    return (uint64_t)pare_load_u32(p) | (uint64_t)pare_load_u32(p + 4) << 32;
}

static inline float pare_load_f32(const void *at)
{
    uint32_t bits = pare_load_u32(at);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline double pare_load_f64(const void *at)
{
    uint64_t bits = pare_load_u64(at);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline void pare_store_u16(void *at, uint16_t value)
{
    uint8_t *p = at;
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static inline void pare_store_u32(void *at, uint32_t value)
{
    uint8_t *p = at;
    pare_store_u16(p, (uint16_t)value);
    pare_store_u16(p + 2, (uint16_t)(value >> 16));
}

static inline void pare_store_u64(void *at, uint64_t value)
{
    uint8_t *p = at;
    pare_store_u32(p, (uint32_t)value);
    pare_store_u32(p + 4, (uint32_t)(value >> 32));
}

static inline void pare_store_f32(void *at, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    pare_store_u32(at, bits);
}

static inline void pare_store_f64(void *at, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    pare_store_u64(at, bits);
}

#endif
