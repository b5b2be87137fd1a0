/* What the matrix kernels of all tiers are written with: one instance for each height of
 * a tile, so that its sums are registers.
 */
#ifndef PARE_KERNELS_TILE_H
#define PARE_KERNELS_TILE_H

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Unrolls the loop behind it before registers are given out; without that gcc keeps the
 * sums in memory. */
#define UNROLL _Pragma("GCC unroll 16")

/* Nothing is loaded earlier than here: a scheduler that hoists the loads of later steps
 * takes the registers of the sums for them. */
#define LOAD_BARRIER __asm__ volatile("" ::: "memory")

/* Steps along struct pare_ahead, once a k. */
#define AHEAD_START(ahead) const char *ahead_at = (const char *)(ahead).next
#define AHEAD_STEP(ahead)                                                                \
    do {                                                                                 \
        __builtin_prefetch(ahead_at, 0, 2);                                              \
        ahead_at += (ahead).step;                                                        \
    } while (0)

/* Runs `call(m)` with m a constant. */
#define FOR_HEIGHT_UP_TO_4(m, call)                                                      \
    switch (m) {                                                                         \
    case 1: call(1); break;                                                              \
    case 2: call(2); break;                                                              \
    case 3: call(3); break;                                                              \
    case 4: call(4); break;                                                              \
    }

#define FOR_HEIGHT_UP_TO_6(m, call)                                                      \
    switch (m) {                                                                         \
    case 5: call(5); break;                                                              \
    case 6: call(6); break;                                                              \
    default: FOR_HEIGHT_UP_TO_4(m, call) break;                                          \
    }

#define FOR_HEIGHT_UP_TO_12(m, call)                                                     \
    switch (m) {                                                                         \
    case 7: call(7); break;                                                              \
    case 8: call(8); break;                                                              \
    case 9: call(9); break;                                                              \
    case 10: call(10); break;                                                            \
    case 11: call(11); break;                                                            \
    case 12: call(12); break;                                                            \
    default: FOR_HEIGHT_UP_TO_6(m, call) break;                                          \
    }

#define FOR_HEIGHT_UP_TO_14(m, call)                                                     \
    switch (m) {                                                                         \
    case 13: call(13); break;                                                            \
    case 14: call(14); break;                                                            \
    default: FOR_HEIGHT_UP_TO_12(m, call) break;                                         \
    }

#endif
