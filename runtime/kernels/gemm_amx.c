/* INT8 matrix kernel on the tile registers of AMX: blocks of 32 x 32, four registers of
 * sums, two of each operand.
 *
 * TDPBUSD multiplies 16 rows of 64 unsigned k by 64 signed k of 16 columns, four k a
 * word. A register of A is 64 bytes of each of 16 rows as they are, a register of B 16
 * groups of a packed panel, of which it is one half. The sums are exact, so their order
 * is free.
 */
#include "runtime/kernels/amx.h"
#include "runtime/kernels/tiers.h"
#include "runtime/kernels/tile.h"

#define SIDE AMX_SIDE
#define MR 64 /* two blocks, so that the shapes are loaded less often */
#define NR (2 * SIDE)
#define STEP 16         /* groups of a register */
#define HALF (4 * SIDE) /* bytes of a panel's group */

/* Registers 0 to 3: the sums, row by row; 4 and 5: A; 6 and 7: B. */
static struct amx_shapes shapes_of(size_t m, size_t groups)
{
    const unsigned char upper = (unsigned char)(m < SIDE ? m : SIDE);
    const unsigned char lower = (unsigned char)(m < SIDE ? 0 : m - SIDE);
    const unsigned char depth = (unsigned char)groups;
    const uint16_t width = (uint16_t)(4 * groups);
    /* No register may be empty. */
    const unsigned char low = lower ? lower : 1;
    return (struct amx_shapes){
        .palette = 1,
        .row_bytes = {HALF, HALF, HALF, HALF, width, width, HALF, HALF},
        .rows = {upper, upper, low, low, upper, low, depth, depth},
    };
}

struct block {
    const uint8_t *a;
    const int8_t *b;
    size_t stride; /* bytes of a row of A */
};

/* `steps` registers' groups on, with two registers of A, or one. */
ALWAYS_INLINE void multiply(struct block *k, size_t steps, int two)
{
    for (size_t s = 0; s < steps; s++) {
        TILE_LOAD(4, k->a, k->stride);
        TILE_LOAD(6, k->b, 2 * HALF);
        TILE_LOAD(7, k->b + HALF, 2 * HALF);
        if (two)
            TILE_LOAD(5, k->a + SIDE * k->stride, k->stride);
        TILE_PRODUCT(busd, 0, 4, 6);
        TILE_PRODUCT(busd, 1, 4, 7);
        if (two) {
            TILE_PRODUCT(busd, 2, 5, 6);
            TILE_PRODUCT(busd, 3, 5, 7);
        }
        k->a += 4 * STEP;
        k->b += 2 * HALF * STEP;
    }
}

static void clear_sums(void)
{
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
}

static void load_sums(const int32_t *acc, size_t ldacc, int two)
{
    const size_t stride = ldacc * sizeof *acc;
    TILE_LOAD(0, acc, stride);
    TILE_LOAD(1, acc + SIDE, stride);
    if (!two)
        return;
    TILE_LOAD(2, acc + SIDE * ldacc, stride);
    TILE_LOAD(3, acc + SIDE * ldacc + SIDE, stride);
}

static void store_sums(int32_t *acc, size_t ldacc, int two)
{
    const size_t stride = ldacc * sizeof *acc;
    TILE_STORE(0, acc, stride);
    TILE_STORE(1, acc + SIDE, stride);
    if (!two)
        return;
    TILE_STORE(2, acc + SIDE * ldacc, stride);
    TILE_STORE(3, acc + SIDE * ldacc + SIDE, stride);
}

/* Up to 32 rows; the registers have the shapes of m rows and whole steps. What is left
 * of k behind the last whole step changes the shapes. */
static void run_block(struct block *k, size_t groups, int32_t *acc, size_t ldacc,
                      size_t m)
{
    const int two = m > SIDE;
    clear_sums();
    if (two)
        multiply(k, groups / STEP, 1);
    else
        multiply(k, groups / STEP, 0);
    store_sums(acc, ldacc, two);
    if (groups % STEP == 0)
        return;
    const struct amx_shapes rest = shapes_of(m, groups % STEP);
    AMX_SHAPES(rest);
    load_sums(acc, ldacc, two);
    multiply(k, 1, two);
    store_sums(acc, ldacc, two);
}

static void gemm_u8s8_64x32_amx(size_t groups, const void *a, const int8_t *b,
                                int32_t *acc, size_t ldacc, int m,
                                struct pare_ahead ahead)
{
    (void)ahead; /* CPUs see a stream in the loads of B, and asking costs time */
    const size_t rows = (size_t)m;
    struct block k = {a, b, 4 * groups};
    size_t shaped = 0;
    for (size_t i = 0; i < rows; i += 2 * SIDE) {
        const size_t some = rows - i < 2 * SIDE ? rows - i : 2 * SIDE;
        if (some != shaped || groups % STEP) {
            const struct amx_shapes shapes = shapes_of(some, STEP);
            AMX_SHAPES(shapes);
            shaped = some;
        }
        k.a = (const uint8_t *)a + i * k.stride;
        k.b = b;
        run_block(&k, groups, acc + i * ldacc, ldacc, some);
    }
    AMX_RELEASE();
}

const struct pare_gemm_u8s8 pare_gemm_u8s8_amx = {.name = "u8s8_64x32_amx",
                                                  .mr = MR,
                                                  .nr = NR,
                                                  .a_bytes = 1,
                                                  .a_offset = 0,
                                                  .run = gemm_u8s8_64x32_amx};
