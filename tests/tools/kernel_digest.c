/* kernel_digest [TIER]: one digest a kernel function, matrix product and linear layer,
 * over fixed inputs. The output is the same for every tier, compiler and machine, which
 * shows that they compute the same bits. Needs the kernels, tensor and base rooms only,
 * so it also builds alone for another architecture (tests/tools/arm64_digest.sh).
 */
#include <stdio.h>

#include "runtime/base/parallel.h"
#include "runtime/tensor/gemm.h"
#include "runtime/tensor/linear.h"
#include "tests/support/kernel_cases.h"

/* FNV-1a */
static uint64_t digest(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

#define START 0xcbf29ce484222325u

static void print_functions(const struct pare_kernels *k)
{
    for (int function = 0; function < CASE_FUNCTIONS; function++) {
        uint64_t hash = START;
        for (size_t i = 0; i < CASE_SIZES; i++)
            for (int kind = 0; kind < CASE_KINDS; kind++) {
                struct case_output out = {0};
                case_run(k, function, case_sizes[i], (enum case_kind)kind, &out);
                hash = digest(hash, out.data, out.bytes);
                free(out.data);
            }
        printf("%016llx %s\n", (unsigned long long)hash, case_name(function));
    }
}

static const size_t shapes[][3] = {{1, 1, 1},    {2, 40, 65},   {7, 33, 100},
                                   {15, 64, 64}, {33, 50, 771}, {64, 96, 1600}};
#define SHAPES (sizeof shapes / sizeof shapes[0])

static int print_gemm(int transposed, struct pare_arena *arena)
{
    uint64_t hash = START;
    for (size_t s = 0; s < SHAPES; s++) {
        size_t M = shapes[s][0], N = shapes[s][1], K = shapes[s][2];
        uint64_t seed = s;
        struct guarded a = case_floats(&seed, M * K, CASE_PLAIN);
        struct guarded b = case_floats(&seed, K * N, CASE_PLAIN);
        struct guarded c = case_floats(&seed, M * N, CASE_PLAIN);
        struct pare_matrix A =
            transposed & 1 ? pare_transposed(a.data, M) : pare_rows(a.data, K);
        struct pare_matrix B =
            transposed & 2 ? pare_transposed(b.data, K) : pare_rows(b.data, N);
        struct pare_error err;
        if (pare_gemm(M, N, K, A, B, c.data, N, s % 2, arena, &err)) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        hash = digest(hash, c.data, M * N * sizeof(float));
        guarded_free(a);
        guarded_free(b);
        guarded_free(c);
    }
    printf("%016llx gemm %s%s\n", (unsigned long long)hash, transposed & 1 ? "t" : "n",
           transposed & 2 ? "t" : "n");
    return 0;
}

static int print_linear(enum pare_dtype type, struct pare_arena *arena)
{
    const struct pare_dtype_info *info = pare_dtype_info(type);
    uint64_t hash = START;
    for (size_t s = 0; s < SHAPES; s++) {
        size_t M = shapes[s][0], N = shapes[s][1];
        size_t K = (shapes[s][2] + info->block - 1) / info->block * info->block;
        size_t bytes = N * K / info->block * info->block_bytes;
        uint64_t seed = 100 + s;
        struct guarded w = case_bytes(&seed, bytes),
                       x = case_floats(&seed, M * K, CASE_PLAIN);
        struct guarded scale = case_floats(&seed, N, CASE_PLAIN);
        struct guarded y = case_floats(&seed, M * N, CASE_PLAIN);
        struct pare_arena packed = {0};
        struct pare_linear linear;
        struct pare_error err;
        struct pare_weight weight = {.type = type,
                                     .N = N,
                                     .K = K,
                                     .data = w.data,
                                     .scale = type == PARE_I8 ? scale.data : NULL};
        enum pare_status status =
            pare_linear_init(&linear, &weight, 1, scale.data, 0, &packed, &err);
        if (!status)
            status = pare_linear_forward(&linear, x.data, M, y.data,
                                         s % 2 ? PARE_ACT_GELU : PARE_ACT_NONE,
                                         s % 2 ? NULL : y.data, arena, &err);
        if (status) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        struct case_output out = {0};
        case_put_floats(&out, y.data, M * N); /* random halves hold NaN */
        hash = digest(hash, out.data, out.bytes);
        free(out.data);
        pare_arena_free(&packed);
        guarded_free(w);
        guarded_free(x);
        guarded_free(scale);
        guarded_free(y);
    }
    printf("%016llx linear %s\n", (unsigned long long)hash, info->name);
    return 0;
}

/* Codes of each number of bits, in groups of 32 or of a whole row, with zero points when
 * the number is even. */
static int print_grouped(int bits, struct pare_arena *arena)
{
    uint64_t hash = START;
    for (size_t s = 0; s < SHAPES; s++) {
        size_t M = shapes[s][0], N = shapes[s][1], K = (shapes[s][2] + 31) / 32 * 32;
        size_t size = s % 2 ? 32 : K, groups = N * (K / size);
        uint64_t seed = 200 + s;
        struct guarded codes = case_bytes(&seed, N * K * (size_t)bits / 8);
        struct guarded scale = case_bytes(&seed, 2 * groups);
        struct guarded zero = case_bytes(&seed, groups);
        struct guarded x = case_floats(&seed, M * K, CASE_PLAIN);
        struct guarded y = case_floats(&seed, M * N, CASE_PLAIN);
        for (size_t i = 0; i < groups; i++) {
            ((uint8_t *)zero.data)[i] &= (uint8_t)((1 << bits) - 1);
            ((uint8_t *)scale.data)[2 * i + 1] &= 0xBF; /* finite */
        }
        struct pare_arena packed = {0};
        struct pare_linear linear;
        struct pare_error err;
        struct pare_weight weight = {
            .type = PARE_I8,
            .N = N,
            .K = K,
            .data = codes.data,
            .groups = {bits, size, scale.data, bits % 2 ? NULL : zero.data}};
        enum pare_status status =
            pare_linear_init(&linear, &weight, 1, NULL, 0, &packed, &err);
        if (!status)
            status = pare_linear_forward(&linear, x.data, M, y.data, PARE_ACT_NONE,
                                         s % 2 ? NULL : y.data, arena, &err);
        if (status) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        hash = digest(hash, y.data, M * N * sizeof(float));
        pare_arena_free(&packed);
        guarded_free(codes);
        guarded_free(scale);
        guarded_free(zero);
        guarded_free(x);
        guarded_free(y);
    }
    printf("%016llx linear int%d\n", (unsigned long long)hash, bits);
    return 0;
}

int main(int argc, char **argv)
{
    struct pare_error err;
    if (pare_cpu_select(argc > 1 ? argv[1] : NULL, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 2;
    }
    static const enum pare_dtype types[] = {PARE_F32,  PARE_F16,  PARE_BF16, PARE_Q8_0,
                                            PARE_Q4_0, PARE_Q4_1, PARE_I8};
    struct pare_arena arena = {0};
    int failed = 0;
    print_functions(pare_kernels());
    for (int transposed = 0; transposed < 4; transposed++)
        failed |= print_gemm(transposed, &arena);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        failed |= print_linear(types[i], &arena);
    for (int bits = 2; bits <= 8; bits++)
        failed |= print_grouped(bits, &arena);
    pare_arena_free(&arena);
    fprintf(stderr, "tier %s, %d threads\n", pare_kernels()->tier, pare_threads());
    return failed;
}
