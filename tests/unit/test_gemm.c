/* Matrix products against a plain loop of fused multiply-adds, bit for bit: any tier, any
 * number of threads, any way the matrices are stored. */
#include <criterion/criterion.h>

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/gemm.h"
#include "tests/support/kernel_cases.h"

/* Around the tiles of every tier, more than one pass along K, more than one row block, A
 * too large to be packed at once, B too large to be packed at once. */
static const size_t shapes[][3] = {
    {1, 1, 1},    {1, 33, 7},    {2, 16, 64},    {4, 15, 17},  {5, 17, 3},
    {6, 32, 31},  {7, 31, 100},  {13, 64, 33},   {14, 65, 9},  {15, 48, 128},
    {28, 96, 65}, {29, 130, 12}, {64, 64, 64},   {33, 7, 771}, {3, 40, 1601},
    {300, 20, 5}, {700, 9, 800}, {2, 1400, 1600}};
#define SHAPES (sizeof shapes / sizeof shapes[0])

enum layout { ROWS, COLUMNS, STRIDED, LAYOUTS };

/* The logical matrix `from` [rows][columns] stored in another way. */
struct stored {
    struct guarded memory;
    struct pare_matrix matrix;
};

static struct stored store(const float *from, size_t rows, size_t columns,
                           enum layout how)
{
    struct pare_matrix m = how == ROWS      ? (struct pare_matrix){NULL, columns + 3, 1}
                           : how == COLUMNS ? (struct pare_matrix){NULL, 1, rows + 1}
                                            : (struct pare_matrix){NULL, 2 * columns, 2};
    size_t n = (rows - 1) * m.row + (columns - 1) * m.column + 1;
    struct stored s = {guarded_new(n * sizeof(float)), m};
    float *data = s.memory.data;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            data[i * m.row + j * m.column] = from[i * columns + j];
    s.matrix.data = data;
    return s;
}

struct problem {
    size_t M, N, K;
    float *a, *b, *c, *expected[3]; /* C = A B, C += A B, C -= A B */
};

static float *numbers(size_t n, uint64_t *seed)
{
    float *p = malloc((n + 1) * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = case_float(seed, CASE_PLAIN);
    return p;
}

static struct problem problem_new(const size_t shape[3])
{
    struct problem p = {.M = shape[0], .N = shape[1], .K = shape[2]};
    uint64_t seed = p.M * 1000003 + p.N * 1009 + p.K;
    p.a = numbers(p.M * p.K, &seed);
    p.b = numbers(p.K * p.N, &seed);
    p.c = numbers(p.M * p.N, &seed);
    for (int how = 0; how < 3; how++) {
        float *out = p.expected[how] = malloc(p.M * p.N * sizeof *out);
        float sign = how == 2 ? -1.0f : 1.0f;
        for (size_t i = 0; i < p.M; i++)
            for (size_t j = 0; j < p.N; j++) {
                float sum = how ? p.c[i * p.N + j] : 0.0f;
                for (size_t k = 0; k < p.K; k++)
                    sum = fmaf(sign * p.a[i * p.K + k], p.b[k * p.N + j], sum);
                out[i * p.N + j] = sum;
            }
    }
    return p;
}

static void problem_free(struct problem *p)
{
    free(p->a);
    free(p->b);
    free(p->c);
    for (int how = 0; how < 3; how++)
        free(p->expected[how]);
}

/* C in guarded memory with a gap between its rows, which must stay as it was. */
static void check(const struct problem *p, struct pare_matrix A, struct pare_matrix B,
                  int accumulate, int alone)
{
    size_t ldc = p->N + 2, n = (p->M - 1) * ldc + p->N;
    struct guarded g = guarded_new(n * sizeof(float));
    float *c = g.data;
    for (size_t i = 0; i < n; i++)
        c[i] = i % ldc < p->N ? p->c[i / ldc * p->N + i % ldc] : 123.0f;
    if (alone) {
        size_t floats = (pare_gemm_one_scratch(p->M, p->N, p->K) + 15) / 16 * 16;
        struct guarded scratch = guarded_new(floats * sizeof(float));
        pare_gemm_one(
            &(struct pare_gemm_task){p->M, p->N, p->K, A, B, c, ldc, accumulate},
            scratch.data);
        guarded_free(scratch);
    } else {
        struct pare_arena arena = {0};
        struct pare_error err;
        cr_assert_eq(pare_gemm(p->M, p->N, p->K, A, B, c, ldc, accumulate, &arena, &err),
                     PARE_OK);
        pare_arena_free(&arena);
    }
    for (size_t i = 0; i < n; i++) {
        const float *right = p->expected[accumulate < 0 ? 2 : accumulate];
        float expected = i % ldc < p->N ? right[i / ldc * p->N + i % ldc] : 123.0f;
        cr_assert(!memcmp(&c[i], &expected, sizeof expected),
                  "%s, %d threads, %zu x %zu x %zu%s%s: row %zu, column %zu",
                  pare_kernels()->tier, pare_threads(), p->M, p->N, p->K,
                  accumulate > 0 ? ", adding"
                  : accumulate   ? ", subtracting"
                                 : "",
                  alone ? ", one" : "", i / ldc, i % ldc);
    }
    guarded_free(g);
}

static void check_layouts(const struct problem *p)
{
    for (int how = 0; how < LAYOUTS * LAYOUTS; how++) {
        struct stored a = store(p->a, p->M, p->K, (enum layout)(how % LAYOUTS));
        struct stored b = store(p->b, p->K, p->N, (enum layout)(how / LAYOUTS));
        check(p, a.matrix, b.matrix, how % 3 - 1, 0);
        check(p, a.matrix, b.matrix, (how + 1) % 2, 1);
        guarded_free(a.memory);
        guarded_free(b.memory);
    }
}

Test(gemm, every_tier_and_layout_equals_a_plain_loop)
{
    pare_set_threads(2);
    for (size_t s = 0; s < SHAPES; s++) {
        struct problem p = problem_new(shapes[s]);
        for (int t = 0; pare_cpu_tier(t); t++) {
            if (t == 0 && p.M * p.N * p.K > 1000000) /* scalar: slow, and the same code */
                continue;
            cr_assert_eq(pare_cpu_select(pare_cpu_tier(t), NULL), PARE_OK);
            check_layouts(&p);
        }
        problem_free(&p);
    }
}

Test(gemm, the_number_of_threads_changes_nothing)
{
    static const int threads[] = {1, 2, 3, 7};
    static const size_t large[][3] = {{500, 300, 40}, {33, 900, 50}, {900, 9, 700}};
    for (size_t s = 0; s < 3; s++) {
        struct problem p = problem_new(large[s]);
        for (int t = 0; t < 4; t++) {
            pare_set_threads(threads[t]);
            check(&p, pare_rows(p.a, p.K), pare_rows(p.b, p.N), t % 2, 0);
        }
        problem_free(&p);
    }
}

/* C of `p` (which is square), with A A^T above the diagonal and C itself below it. */
static void check_syrk(const struct problem *p, const float *expected, int accumulate)
{
    float *c = malloc(p->N * p->N * sizeof *c);
    struct pare_arena arena = {0};
    memcpy(c, p->c, p->N * p->N * sizeof *c);
    cr_assert_eq(
        pare_syrk(p->N, p->K, pare_rows(p->a, p->K), c, p->N, accumulate, &arena, NULL),
        PARE_OK);
    for (size_t i = 0; i < p->N; i++)
        for (size_t j = 0; j < p->N; j++)
            cr_assert(!memcmp(&c[i * p->N + j], &expected[i * p->N + j], sizeof *c),
                      "%s, %d threads, %zu x %zu, accumulate %d: row %zu, column %zu",
                      pare_kernels()->tier, pare_threads(), p->N, p->K, accumulate, i, j);
    pare_arena_free(&arena);
    free(c);
}

/* One of these is packed in two pieces, several have more than one row block. */
static const size_t squares[][2] = {{1, 1},    {5, 3},    {14, 9},    {33, 20},
                                    {65, 771}, {300, 70}, {500, 800}, {1400, 1600}};

Test(gemm, a_symmetric_product_is_the_upper_triangle_of_the_whole_one)
{
    for (size_t s = 0; s < sizeof squares / sizeof squares[0]; s++) {
        const size_t n = squares[s][0], depth = squares[s][1];
        const int large = n * n * depth > 30000000;
        struct problem p = problem_new((size_t[3]){n, n, large ? 1 : depth});
        struct pare_arena arena = {0};
        p.K = depth;
        free(p.a);
        uint64_t seed = 7 + s;
        p.a = numbers(n * depth, &seed);
        for (int accumulate = -1; accumulate < 2; accumulate++) {
            float *whole = malloc(n * n * sizeof *whole);
            memcpy(whole, p.c, n * n * sizeof *whole);
            cr_assert_eq(pare_gemm(n, n, depth, pare_rows(p.a, depth),
                                   pare_transposed(p.a, depth), whole, n, accumulate,
                                   &arena, NULL),
                         PARE_OK);
            for (size_t i = 0; i < n; i++)
                memcpy(whole + i * n, p.c + i * n, i * sizeof *whole);
            for (int t = large ? 1 : 0; pare_cpu_tier(t); t++) {
                cr_assert_eq(pare_cpu_select(pare_cpu_tier(t), NULL), PARE_OK);
                pare_set_threads(1 + t);
                check_syrk(&p, whole, accumulate);
            }
            free(whole);
        }
        pare_arena_free(&arena);
        problem_free(&p);
    }
}

Test(gemm, nothing_to_add_gives_zeros_or_leaves_C)
{
    float c[6] = {1, 2, 3, 4, 5, 6};
    struct pare_arena arena = {0};
    struct pare_matrix none = pare_rows(NULL, 0);
    cr_assert_eq(pare_gemm(2, 2, 0, none, none, c, 3, 1, &arena, NULL), PARE_OK);
    cr_expect(c[0] == 1 && c[4] == 5);
    cr_assert_eq(pare_gemm(2, 2, 0, none, none, c, 3, 0, &arena, NULL), PARE_OK);
    cr_expect(c[0] == 0 && c[1] == 0 && c[2] == 3 && c[3] == 0 && c[4] == 0 && c[5] == 6);
    cr_assert_eq(pare_gemm(0, 2, 3, none, none, c, 3, 0, &arena, NULL), PARE_OK);
    cr_assert_eq(pare_gemm(2, 0, 3, none, none, c, 3, 0, &arena, NULL), PARE_OK);
    c[0] = 9;
    pare_gemm_one(&(struct pare_gemm_task){1, 1, 0, none, none, c, 1, 0}, NULL);
    cr_expect_eq(c[0], 0);
    pare_arena_free(&arena);
}

Test(gemm, scratch_is_given_back)
{
    struct pare_arena arena = {0};
    float a[64], c[64];
    for (int i = 0; i < 64; i++)
        a[i] = (float)i;
    void *first;
    cr_assert_eq(pare_arena_alloc(&arena, &first, 1, 1, NULL), PARE_OK);
    struct pare_arena_mark before = pare_arena_mark(&arena);
    cr_assert_eq(
        pare_gemm(8, 8, 8, pare_rows(a, 8), pare_rows(a, 8), c, 8, 0, &arena, NULL),
        PARE_OK);
    struct pare_arena_mark after = pare_arena_mark(&arena);
    cr_expect(before.chunk == after.chunk && before.used == after.used);
    pare_arena_free(&arena);
}
