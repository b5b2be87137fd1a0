/* Panels of stored weights: see decode_panel.h. */
#include "runtime/tensor/decode_panel.h"

#include <string.h>

#include "runtime/tensor/panels.h"
#include "runtime/tensor/superblocks.h"

/* The kernel that decodes stored rows into a panel; NULL: the type has super-blocks. */
static pare_panel_fn *panel_kernel(const struct pare_kernels *kernels,
                                   enum pare_dtype type)
{
    switch (type) {
    case PARE_F16: return kernels->panel_f16;
    case PARE_BF16: return kernels->panel_bf16;
    case PARE_Q8_0: return kernels->panel_q8_0;
    case PARE_Q4_0: return kernels->panel_q4_0;
    case PARE_Q4_1: return kernels->panel_q4_1;
    default: return NULL;
    }
}

/* The super-blocks that n rows have at one k. */
static void superblock_panel(const struct pare_kernels *kernels,
                             const struct pare_superblock_layout *layout, size_t nr,
                             float *panel, struct pare_superblock *blocks, size_t n)
{
    const size_t sub = (size_t)layout->sub;
    for (size_t i = 0; i < PARE_SUPERBLOCK; i += sub) {
        float scale[PARE_PANEL_COLUMNS], offset[PARE_PANEL_COLUMNS];
        for (size_t j = 0; j < n; j++) {
            scale[j] = blocks[j].d * (float)blocks[j].scale[i / sub];
            offset[j] = blocks[j].dmin * (float)blocks[j].minimum[i / sub];
        }
        kernels->panel_codes(panel + i * nr, nr, blocks->codes + i, sizeof *blocks, n,
                             sub, scale, layout->zero, offset);
    }
}

#define SPARSE_ROWS 8
#define SPARSE_CHUNK 256

/* Some rows at a time are made dense. */
static void sparse_panel(const struct pare_kernels *kernels,
                         const struct pare_weight *weight, size_t nr, float *panel,
                         size_t column, size_t n, size_t k, size_t kc)
{
    uint16_t halves[SPARSE_ROWS][SPARSE_CHUNK];
    for (size_t i = 0; i < kc; i += SPARSE_CHUNK)
        for (size_t j = 0; j < n; j += SPARSE_ROWS) {
            const size_t rows = n - j < SPARSE_ROWS ? n - j : SPARSE_ROWS;
            const size_t some = kc - i < SPARSE_CHUNK ? kc - i : SPARSE_CHUNK;
            for (size_t r = 0; r < rows; r++)
                pare_sparse_row_f16(&weight->sparse, weight->data, column + j + r,
                                    weight->K, k + i, some, halves[r]);
            kernels->panel_f16(panel + i * nr + j, nr, halves, sizeof halves[0], rows,
                               some);
        }
}

void pare_decode_panel(const struct pare_kernels *kernels,
                       const struct pare_weight *weight, size_t nr, float *panel,
                       size_t column, size_t n, size_t k, size_t kc)
{
    const struct pare_dtype_info *info = pare_dtype_info(weight->type);
    const struct pare_superblock_layout *layout = pare_superblock_layout(weight->type);
    const size_t stride = weight->K / info->block * info->block_bytes;
    const unsigned char *from = (const unsigned char *)weight->data + column * stride +
                                k / info->block * info->block_bytes;
    struct pare_superblock blocks[PARE_PANEL_COLUMNS];
    if (n < nr)
        memset(panel, 0, kc * nr * sizeof *panel);
    if (weight->sparse.rows) {
        sparse_panel(kernels, weight, nr, panel, column, n, k, kc);
        return;
    }
    if (!layout) {
        panel_kernel(kernels, weight->type)(panel, nr, from, stride, n, kc);
        return;
    }
    for (size_t i = 0; i < kc; i += PARE_SUPERBLOCK, from += info->block_bytes) {
        for (size_t j = 0; j < n; j++)
            pare_superblock_read(weight->type, from + j * stride, &blocks[j]);
        superblock_panel(kernels, layout, nr, panel + i * nr, blocks, n);
    }
}
