/* Which kernels each tier has, and the choice between the tiers. */
#if defined(__x86_64__)
#include <asm/prctl.h>
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/kernels/tiers.h"

static int always(void)
{
    return 1;
}

static void fill_scalar(struct pare_kernels *table)
{
    *table = pare_rows_scalar;
    table->gemm_f32 = pare_gemm_f32_scalar;
    table->gemm_u8s8 = pare_gemm_u8s8_scalar;
    table->gemm_bf16 = pare_gemm_bf16_scalar;
    table->gemm_grouped = pare_gemm_grouped_scalar;
    table->gemm_quads = pare_gemm_quads_scalar;
    table->gemm_masked = pare_gemm_masked_scalar;
    table->pack = pare_pack_scalar;
    table->pack_copy = pare_pack_copy_scalar;
    table->expand_u8 = pare_expand_u8_scalar;
}

#if defined(__x86_64__)
/* __builtin_cpu_supports also asks whether the system saves the registers. */
static int has_avx2(void)
{
    unsigned eax, ebx, ecx, edx; /* compilers differ in whether they know "f16c" */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2") && __get_cpuid(1, &eax, &ebx, &ecx, &edx) &&
           (ecx & bit_F16C);
}

static void fill_avx2(struct pare_kernels *table)
{
    *table = pare_rows_avx2;
    table->gemm_f32 = pare_gemm_f32_avx2;
    table->gemm_u8s8 = pare_gemm_u8s8_avx2;
    table->gemm_bf16 = pare_gemm_bf16_avx2;
    table->gemm_grouped = pare_gemm_grouped_avx2;
    table->gemm_quads = pare_gemm_quads_avx2;
    table->gemm_masked = pare_gemm_masked_avx2;
    table->pack = pare_pack_avx2;
    table->pack_copy = pare_pack_copy_avx2;
    table->expand_u8 = pare_expand_u8_avx2;
}

static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

static void fill_avx512(struct pare_kernels *table)
{
    *table = pare_rows_avx512;
    table->gemm_f32 = pare_gemm_f32_avx512;
    int vnni = __builtin_cpu_supports("avx512vnni");
    table->gemm_u8s8 = vnni ? pare_gemm_u8s8_avx512vnni : pare_gemm_u8s8_avx2;
    table->gemm_grouped = vnni ? pare_gemm_grouped_avx512vnni : pare_gemm_grouped_avx2;
    table->gemm_quads = vnni ? pare_gemm_quads_avx512vnni : pare_gemm_quads_avx2;
    int vbmi2 = vnni && __builtin_cpu_supports("avx512vbmi2");
    table->gemm_masked = vbmi2 ? pare_gemm_masked_avx512vbmi2 : pare_gemm_masked_avx2;
    table->gemm_bf16 = pare_gemm_bf16_avx2;
    table->pack = pare_pack_avx512;
    table->pack_copy = pare_pack_copy_avx512;
    table->expand_u8 = vbmi2 ? pare_expand_u8_avx512vbmi2 : pare_expand_u8_avx2;
}

#ifndef ARCH_REQ_XCOMP_PERM /* headers before Linux 5.16 */
#define ARCH_REQ_XCOMP_PERM 0x1023
#endif
#define CPUID_7_EDX_AMX_BF16 (1u << 22)
#define CPUID_7_EDX_AMX_TILE (1u << 24)
#define CPUID_7_EDX_AMX_INT8 (1u << 25)
#define CPUID_7_1_EAX_AVX512_BF16 (1u << 5)
#define XCR0_TILES (3u << 17)
#define TILE_DATA 18

/* The tile registers are large, so Linux wants to be asked before a process uses them. */
static int has_amx(void)
{
    const unsigned amx =
        CPUID_7_EDX_AMX_BF16 | CPUID_7_EDX_AMX_TILE | CPUID_7_EDX_AMX_INT8;
    unsigned eax, ebx, ecx, edx, states, high;
    if (!has_avx512() || !__builtin_cpu_supports("avx512vnni") ||
        !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || (edx & amx) != amx ||
        !__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) ||
        !(eax & CPUID_7_1_EAX_AVX512_BF16))
        return 0;
    __asm__("xgetbv" : "=a"(states), "=d"(high) : "c"(0));
    (void)high;
    return (states & XCR0_TILES) == XCR0_TILES &&
           syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0;
}

static void fill_amx(struct pare_kernels *table)
{
    fill_avx512(table);
    table->gemm_u8s8 = pare_gemm_u8s8_amx;
    table->gemm_quads.most = 16; /* a tile instruction is 16 of those */
    table->gemm_bf16 = pare_gemm_bf16_amx;
}
#endif

#if defined(__aarch64__)
static void fill_neon(struct pare_kernels *table)
{
    *table = pare_rows_neon;
    table->gemm_f32 = pare_gemm_f32_neon;
    table->gemm_u8s8 = pare_gemm_u8s8_neon;
    table->gemm_bf16 = pare_gemm_bf16_neon;
    table->gemm_grouped = pare_gemm_grouped_neon;
    table->gemm_quads = pare_gemm_quads_neon;
    table->gemm_masked = pare_gemm_masked_neon;
    table->pack = pare_pack_neon;
    table->pack_copy = pare_pack_copy_scalar;
    table->expand_u8 = pare_expand_u8_neon;
}

static int has_dot_product(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}

static void fill_neondot(struct pare_kernels *table)
{
    fill_neon(table);
    table->gemm_u8s8 = pare_gemm_u8s8_neondot;
    table->gemm_grouped = pare_gemm_grouped_neondot;
    table->gemm_quads = pare_gemm_quads_neondot;
}

#ifndef HWCAP2_I8MM /* headers before Linux 5.10 */
#define HWCAP2_I8MM (1 << 13)
#endif

static int has_byte_matrices(void)
{
    return has_dot_product() && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
}

static void fill_neoni8mm(struct pare_kernels *table)
{
    fill_neon(table);
    table->gemm_u8s8 = pare_gemm_u8s8_neoni8mm;
    table->gemm_grouped = pare_gemm_grouped_neoni8mm;
    table->gemm_quads = pare_gemm_quads_neondot;
}
#endif

static struct tier {
    const char *name;
    int (*available)(void);
    void (*fill)(struct pare_kernels *table);
    struct pare_kernels table;
} tiers[] = {
    /* worst first */
    {.name = "scalar", .available = always, .fill = fill_scalar},
#if defined(__x86_64__)
    {.name = "avx2", .available = has_avx2, .fill = fill_avx2},
    {.name = "avx512", .available = has_avx512, .fill = fill_avx512},
    {.name = "amx", .available = has_amx, .fill = fill_amx},
#endif
#if defined(__aarch64__)
    {.name = "neon", .available = always, .fill = fill_neon},
    {.name = "neondot", .available = has_dot_product, .fill = fill_neondot},
    {.name = "neoni8mm", .available = has_byte_matrices, .fill = fill_neoni8mm},
#endif
};

#define TIERS (sizeof tiers / sizeof tiers[0])

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct pare_kernels *available[TIERS + 1]; /* worst first, then NULL */
static const struct pare_kernels *current;

static const struct pare_kernels *best(void)
{
    const struct pare_kernels *table = available[0];
    for (size_t i = 0; available[i]; i++)
        table = available[i];
    return table;
}

static const struct pare_kernels *find(const char *name)
{
    for (size_t i = 0; available[i]; i++)
        if (!strcmp(available[i]->tier, name))
            return available[i];
    return NULL;
}

static void initialise(void)
{
    size_t n = 0;
    for (size_t i = 0; i < TIERS; i++) {
        if (!tiers[i].available())
            continue;
        tiers[i].fill(&tiers[i].table);
        tiers[i].table.tier = tiers[i].name;
        available[n++] = &tiers[i].table;
    }
    const char *wanted = getenv("PARE_CPU");
    if (wanted)
        current = find(wanted);
    if (!current)
        current = best();
}

const struct pare_kernels *pare_kernels(void)
{
    pthread_once(&once, initialise);
    return current;
}

const struct pare_kernels *pare_kernels_of(const char *tier)
{
    pthread_once(&once, initialise);
    return find(tier);
}

const char *pare_cpu_tier(int i)
{
    pthread_once(&once, initialise);
    for (int n = 0; available[n]; n++)
        if (n == i)
            return available[n]->tier;
    return NULL;
}

/* "scalar avx2 ...": the tiers of this CPU, for the message. */
static void tier_names(char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; available[i]; i++) {
        size_t length = strlen(available[i]->tier);
        if (used + length + 2 > size)
            return;
        if (i)
            out[used++] = ' ';
        memcpy(out + used, available[i]->tier, length + 1);
        used += length;
    }
}

enum pare_status pare_cpu_select(const char *tier, struct pare_error *err)
{
    pthread_once(&once, initialise);
    const char *from = tier ? "" : "PARE_CPU: ";
    if (!tier)
        tier = getenv("PARE_CPU");
    if (!tier || !*tier || !strcmp(tier, "auto")) {
        current = best();
        return PARE_OK;
    }
    const struct pare_kernels *table = find(tier);
    if (!table) {
        char names[96];
        tier_names(names, sizeof names);
        return pare_fail(err, PARE_ERR_USAGE,
                         "%sthis CPU cannot run the kernels '%s'; choose one of: auto %s",
                         from, tier, names);
    }
    current = table;
    return PARE_OK;
}
