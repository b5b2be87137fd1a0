/* The peak rate of one core's arithmetic units: independent fused multiply-adds, and byte
 * dot products, on registers only. In assembler, so that no compiler moves a sum to
 * memory.
 */
#ifndef PARE_TESTS_PEAK_H
#define PARE_TESTS_PEAK_H

#include <math.h>
#include <string.h>
#include <time.h>

#define PEAK_STEPS 100000

/* Processor time of this thread: other work on the machine does not count. */
static double peak_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* `one(register)` twelve times, registers 4 to 15: twelve chains hide the latency. */
#define PEAK_TWELVE(one)                                                                 \
    one("4") one("5") one("6") one("7") one("8") one("9") one("10") one("11") one("12")  \
        one("13") one("14") one("15")

#if defined(__x86_64__)
#define PEAK_CLOBBERS                                                                    \
    "xmm0", "xmm1", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",    \
        "xmm12", "xmm13", "xmm14", "xmm15"
#define PEAK_CLEAR(r) "vpxor %%xmm" r ",%%xmm" r ",%%xmm" r "\n"
#define FMA_512(r) "vfmadd231ps %%zmm0,%%zmm0,%%zmm" r "\n"
#define DOT_512(r) "vpdpbusd %%zmm0,%%zmm0,%%zmm" r "\n"
#define FMA_256(r) "vfmadd231ps %%ymm0,%%ymm0,%%ymm" r "\n"
/* Sixteen-bit products and their sums: two instructions. */
#define MADD_256(r) "vpmaddwd %%ymm0,%%ymm0,%%ymm1\nvpaddd %%ymm1,%%ymm" r ",%%ymm" r "\n"

#define PEAK_FUNCTION(name, one, operations)                                             \
    static double name(void)                                                             \
    {                                                                                    \
        __asm__ volatile(PEAK_CLEAR("0") PEAK_TWELVE(PEAK_CLEAR)::: PEAK_CLOBBERS);      \
        for (long k = 0; k < PEAK_STEPS; k++)                                            \
            __asm__ volatile(PEAK_TWELVE(one)::: PEAK_CLOBBERS);                         \
        return 12.0 * (operations)*PEAK_STEPS;                                           \
    }

PEAK_FUNCTION(peak_f32_avx512, FMA_512, 32)
PEAK_FUNCTION(peak_int8_avx512, DOT_512, 128)
PEAK_FUNCTION(peak_f32_avx2, FMA_256, 16)
PEAK_FUNCTION(peak_int8_avx2, MADD_256, 32)
#elif defined(__aarch64__)
#define FMA_128(r) "fmla v" r ".4s, v0.4s, v0.4s\n"

static double peak_f32_neon(void)
{
    for (long k = 0; k < PEAK_STEPS; k++)
        __asm__ volatile(PEAK_TWELVE(FMA_128)::
                             : "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12",
                               "v13", "v14", "v15");
    return 12.0 * 8 * PEAK_STEPS;
}
#endif

static double peak_scalar(void)
{
    volatile float sum = 0;
    for (int i = 0; i < PEAK_STEPS; i++)
        sum = fmaf(sum, 0.5f, 0.25f);
    return 2.0 * PEAK_STEPS;
}

static double (*peak_f32_work)(void) = peak_scalar;
static double (*peak_int8_work)(void) = peak_scalar;

static void peak_select(const char *tier)
{
    (void)tier;
#if defined(__x86_64__)
    const int is_512 = !strcmp(tier, "avx512") || !strcmp(tier, "amx");
    if (!strcmp(tier, "avx2") || is_512) {
        peak_f32_work = is_512 ? peak_f32_avx512 : peak_f32_avx2;
        peak_int8_work = is_512 && __builtin_cpu_supports("avx512vnni") ? peak_int8_avx512
                                                                        : peak_int8_avx2;
    }
#elif defined(__aarch64__)
    if (strcmp(tier, "scalar"))
        peak_f32_work = peak_int8_work = peak_f32_neon;
#endif
}

/* Operations a second: the best of a few short runs. */
static double peak_rate(double (*work)(void))
{
    double best = 0;
    for (int i = 0; i < 5; i++) {
        double begin = peak_clock(), operations = work();
        double rate = operations / (peak_clock() - begin);
        if (rate > best)
            best = rate;
    }
    return best;
}

/* The same over a while: the clock of a CPU that has just been idle is no measure for
 * one at work. */
static inline double peak_f32_sustained(double seconds)
{
    const double begin = peak_clock();
    double operations = 0;
    while (peak_clock() - begin < seconds)
        operations += peak_f32_work();
    return operations / (peak_clock() - begin);
}

static inline double peak_f32(void)
{
    return peak_rate(peak_f32_work);
}

static inline double peak_int8(void)
{
    return peak_rate(peak_int8_work);
}

#endif
