/* What the matrices of a stored model take: bytes, bits, zeros. */
#include <stdlib.h>

#include "runtime/base/parallel.h"
#include "runtime/model/sizes.h"
#include "tests/support/sparse_parts.h"
#include "tests/support/stored_parts.h"

/* tiny-distilbert: hidden 32, feed-forward 48, one block. */
#define WEIGHT "blk.0.attn_q.weight"
#define N 32
#define K 32
#define BLOCK (4 * 32 * 32 + 2 * 32 * 48) /* weights of the matrices in it */

static struct folder folder;
static struct pare_stored from; /* the checkpoint as it is */
static struct pare_error err;

static void open_model(const char *path, struct pare_stored *stored)
{
    cr_assert_eq(pare_stored_open(path, NULL, stored, &err), PARE_OK, "%s", err.message);
}

static void set_up(void)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/tiny-distilbert", getenv("PARE_TEST_DATA"));
    folder = folder_make();
    open_model(path, &from);
}

static void tear_down(void)
{
    pare_stored_close(&from);
    folder_remove(&folder);
}

TestSuite(sizes, .init = set_up, .fini = tear_down);

static struct pare_size *sizes_of(const struct pare_stored *stored)
{
    struct pare_size *sizes = calloc(stored->plan.count, sizeof *sizes);
    cr_assert_eq(pare_stored_sizes(stored, sizes, &err), PARE_OK, "%s", err.message);
    return sizes;
}

/* The model with `parts` for WEIGHT: its size, and that of the blocks. */
static struct pare_size size_with(const struct pare_tensor *parts, int count,
                                  struct pare_size *blocks)
{
    struct pare_stored stored;
    const char *path = folder_path(&folder, "m.gguf");
    stored_write(&from, WEIGHT, parts, count, path);
    open_model(path, &stored);
    struct pare_size *sizes = sizes_of(&stored);
    const struct pare_size size = sizes[stored_slot(&stored, WEIGHT)];
    *blocks = pare_sizes_of_blocks(&stored.plan, sizes);
    free(sizes);
    pare_stored_close(&stored);
    return size;
}

Test(sizes, floats_take_32_bits_and_vectors_are_no_matrices)
{
    struct pare_size *sizes = sizes_of(&from);
    const struct pare_size blocks = pare_sizes_of_blocks(&from.plan, sizes);
    cr_assert_eq(blocks.weights, (uint64_t)BLOCK);
    cr_assert_eq(blocks.bytes, (uint64_t)BLOCK * 4);
    cr_assert_eq(blocks.zeros, 0u);
    cr_assert_eq(pare_size_bits(&blocks), 32);
    cr_assert_eq(sizes[stored_slot(&from, "blk.0.attn_q.bias")].weights, 0u);
    cr_assert_eq(sizes[stored_slot(&from, "token_embd.weight")].weights, 61u * 32);
    const struct pare_size none = {0};
    cr_assert_eq(pare_size_bits(&none), 0);
    cr_assert_eq(pare_size_sparsity(&none), 0);
    free(sizes);
}

Test(sizes, zeros_of_either_sign_count_and_other_values_do_not)
{
    float values[N * K];
    struct pare_size blocks;
    uint64_t zeros = 0;
    for (size_t i = 0; i < N * K; i++) {
        values[i] = i % 5 == 0 ? 0.0f : i % 7 == 0 ? -0.0f : i % 3 == 0 ? 1e-44f : -2.0f;
        zeros += i % 5 == 0 || i % 7 == 0;
    }
    const struct pare_tensor dense = {.name = WEIGHT,
                                      .type = PARE_F32,
                                      .n_dims = 2,
                                      .shape = {N, K},
                                      .bytes = sizeof values,
                                      .data = values};
    const struct pare_size size = size_with(&dense, 1, &blocks);
    cr_assert_eq(size.zeros, zeros);
    cr_assert_eq(blocks.zeros, zeros);
    cr_assert_eq(pare_size_sparsity(&blocks), (double)zeros / BLOCK);
}

/* A row whose scale is 0 is one of zeros. */
Test(sizes, bytes_are_zero_as_they_decode)
{
    int8_t codes[N * K];
    float scale[N];
    struct pare_size blocks;
    uint64_t zeros = 0;
    for (size_t n = 0; n < N; n++) {
        scale[n] = n == 3 ? 0 : 0.5f;
        for (size_t k = 0; k < K; k++) {
            codes[n * K + k] = (int8_t)((int)((n + k) % 9) - 4);
            zeros += n == 3 || !codes[n * K + k];
        }
    }
    const struct pare_tensor parts[] = {{.name = WEIGHT,
                                         .type = PARE_I8,
                                         .n_dims = 2,
                                         .shape = {N, K},
                                         .bytes = sizeof codes,
                                         .data = codes},
                                        {.name = WEIGHT "_scale",
                                         .type = PARE_F32,
                                         .n_dims = 1,
                                         .shape = {N},
                                         .bytes = sizeof scale,
                                         .data = scale}};
    const struct pare_size size = size_with(parts, 2, &blocks);
    cr_assert_eq(size.bytes, (uint64_t)N * (K + 4));
    cr_assert_eq(size.zeros, zeros);
    cr_assert_eq(pare_size_bits(&size), 9);
}

Test(sizes, what_a_sparse_matrix_does_not_keep_is_zero_for_any_number_of_threads)
{
    const struct pare_tensor *tensor = from.tensors[stored_slot(&from, WEIGHT)];
    for (int f = 0; f < SPARSE_FORMS; f++) {
        struct sparse_parts parts;
        struct pare_size blocks, one;
        uint64_t zeros = 0, bytes = 0;
        sparse_parts_make(&parts, WEIGHT, &sparse_forms[f], tensor->data, N, K, 0);
        for (size_t i = 0; i < N * K; i++)
            zeros += parts.dense[i] == 0;
        for (int p = 0; p < parts.n; p++)
            bytes += parts.tensor[p].bytes;
        pare_set_threads(3);
        const struct pare_size size = size_with(parts.tensor, parts.n, &blocks);
        pare_set_threads(1);
        one = size_with(parts.tensor, parts.n, &blocks);
        cr_assert_eq(size.zeros, zeros, "%s", sparse_forms[f].name);
        cr_assert_eq(one.zeros, zeros);
        cr_assert_eq(size.bytes, bytes);
        cr_assert_eq(blocks.bytes, (uint64_t)(BLOCK - N * K) * 4 + bytes);
        sparse_parts_free(&parts);
    }
}
