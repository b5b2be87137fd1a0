#include "runtime/base/names.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"

static uint64_t rotated(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotated(v[1], 13) ^ v[0];
    v[3] = rotated(v[3], 16) ^ v[2];
    v[0] = rotated(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotated(v[1], 17) ^ v[2];
    v[3] = rotated(v[3], 21) ^ v[0];
    v[2] = rotated(v[2], 32);
}

/* SipHash-1-3 (Aumasson, Bernstein 2012, with the round counts hash tables use). */
static uint64_t sip_hash(const uint64_t key[2], const char *text, size_t length)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    for (size_t i = 0; i + 8 <= length; i += 8) {
        uint64_t word = pare_load_u64(text + i);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint8_t tail[8] = {0};
    if (length % 8)
        memcpy(tail, text + length / 8 * 8, length % 8);
    tail[7] = (uint8_t)length;
    uint64_t word = pare_load_u64(tail);
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void choose_key(uint64_t key[2])
{
    if (getrandom(key, 16, GRND_NONBLOCK) == 16)
        return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    key[0] = (uint64_t)now.tv_nsec * 0x9E3779B97F4A7C15u;
    key[1] = (uint64_t)now.tv_sec ^ (uint64_t)(uintptr_t)key;
}

/* The slot that holds `text`, or the empty one where it belongs. */
static size_t slot_of(const struct pare_names *names, const char *text, size_t length)
{
    size_t mask = names->capacity - 1;
    size_t slot = (size_t)sip_hash(names->key, text, length) & mask;
    for (; names->slots[slot]; slot = (slot + 1) & mask) {
        size_t there;
        const char *name = names->name(names->context, names->slots[slot] - 1, &there);
        if (there == length && (!length || memcmp(name, text, length) == 0))
            break;
    }
    return slot;
}

/* Room for one more name at a load of at most three quarters. */
static enum pare_status make_room(struct pare_names *names, struct pare_error *err)
{
    if (names->count + 1 <= names->capacity / 4 * 3)
        return PARE_OK;
    struct pare_names larger = *names;
    larger.capacity = names->capacity ? names->capacity * 2 : 32;
    PARE_TRY(pare_alloc(&larger.slots, larger.capacity, sizeof *larger.slots, err));
    if (!names->capacity)
        choose_key(larger.key);
    for (size_t i = 0; i < names->capacity; i++) {
        if (!names->slots[i])
            continue;
        size_t length;
        const char *name = names->name(names->context, names->slots[i] - 1, &length);
        size_t slot = (size_t)sip_hash(larger.key, name, length) & (larger.capacity - 1);
        while (larger.slots[slot]) /* all names differ: no need to compare */
            slot = (slot + 1) & (larger.capacity - 1);
        larger.slots[slot] = names->slots[i];
    }
    pare_free(names->slots);
    *names = larger;
    return PARE_OK;
}

enum pare_status pare_names_add(struct pare_names *names, const char *text, size_t length,
                                uint32_t number, uint32_t *other, struct pare_error *err)
{
    PARE_TRY(make_room(names, err));
    size_t slot = slot_of(names, text, length);
    *other = names->slots[slot] - 1; /* PARE_NO_NAME when empty */
    if (names->slots[slot])
        return PARE_OK;
    names->slots[slot] = number + 1;
    names->count++;
    return PARE_OK;
}

uint32_t pare_names_find(const struct pare_names *names, const char *text, size_t length)
{
    if (!names->count)
        return PARE_NO_NAME;
    return names->slots[slot_of(names, text, length)] - 1;
}

void pare_names_free(struct pare_names *names)
{
    pare_free(names->slots);
    names->slots = NULL;
    names->capacity = names->count = 0;
}
