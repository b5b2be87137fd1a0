/* SHA-256 with the SHA extensions of x86 (Intel SDM: SHA256RNDS2, SHA256MSG1/MSG2).
 *
 * The instructions exist beside any vector tier, so the function carries its own target
 * attribute instead of the flags of a tier. The state is held as two vectors in the order
 * the instructions want, {A,B,E,F} and {C,D,G,H} from high to low. */
#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>

#include "runtime/base/sha256_blocks.h"

static pthread_once_t asked = PTHREAD_ONCE_INIT;
static int has_sha;

static void ask(void)
{
    unsigned a, b, c, d;
    int sse41 = __get_cpuid(1, &a, &b, &c, &d) && c & bit_SSE4_1 && c & bit_SSSE3;
    has_sha = sse41 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_SHA;
}

int pare_sha256_has_x86(void)
{
    pthread_once(&asked, ask);
    return has_sha;
}

/* Four rounds with the words w + constants. */
#define FOUR_ROUNDS(t, w)                                                                \
    do {                                                                                 \
        __m128i sum = _mm_add_epi32(                                                     \
            w, _mm_loadu_si128((const __m128i *)(pare_sha256_constants + (t))));         \
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);                                   \
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));          \
    } while (0)

__attribute__((target("sha,sse4.1,ssse3"))) void
pare_sha256_blocks_x86(uint32_t state[8], const uint8_t *data, size_t count)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i abcd = _mm_loadu_si128((const __m128i *)state);
    __m128i efgh = _mm_loadu_si128((const __m128i *)(state + 4));
    __m128i badc = _mm_shuffle_epi32(abcd, 0xB1), hgfe = _mm_shuffle_epi32(efgh, 0x1B);
    __m128i abef = _mm_alignr_epi8(badc, hgfe, 8);
    __m128i cdgh = _mm_blend_epi16(hgfe, badc, 0xF0);
    for (; count; count--, data += 64) {
        __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
        for (int i = 0; i < 4; i++) {
            w[i] = _mm_loadu_si128((const __m128i *)(data + 16 * i));
            w[i] = _mm_shuffle_epi8(w[i], swap);
            FOUR_ROUNDS(4 * i, w[i]);
        }
        for (int t = 16; t < 64; t += 4) {
            __m128i next = _mm_sha256msg1_epu32(w[0], w[1]);
            next = _mm_add_epi32(next, _mm_alignr_epi8(w[3], w[2], 4));
            next = _mm_sha256msg2_epu32(next, w[3]);
            w[0] = w[1];
            w[1] = w[2];
            w[2] = w[3];
            w[3] = next;
            FOUR_ROUNDS(t, next);
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1B), dchg = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

#else
typedef int pare_sha256_x86_is_empty; /* ISO C wants a declaration in every file */
#endif
