/* Super-blocks against the `gguf` Python package: tests/golden/superblocks.py. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/tensor/superblocks.h"

#define BLOCKS 3
#define VALUES ((size_t)BLOCKS * PARE_SUPERBLOCK)

static const enum pare_dtype types[] = {PARE_Q2_K, PARE_Q3_K,  PARE_Q4_K, PARE_Q5_K,
                                        PARE_Q6_K, PARE_TQ1_0, PARE_TQ2_0};
#define TYPES (sizeof types / sizeof types[0])

static FILE *open_golden(void)
{
    char path[512];
    const char *data = getenv("PARE_TEST_DATA");
    snprintf(path, sizeof path, "%s/superblocks.bin", data ? data : "tests/data");
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    return file;
}

Test(superblocks, decode_as_the_gguf_package_does_and_are_written_as_they_were)
{
    FILE *file = open_golden();
    for (size_t t = 0; t < TYPES; t++) {
        const size_t bytes = pare_dtype_info(types[t])->block_bytes;
        unsigned char blocks[BLOCKS * 256], again[256];
        float expected[VALUES], found[VALUES];
        cr_assert_eq(fread(blocks, bytes, BLOCKS, file), BLOCKS);
        cr_assert_eq(fread(expected, sizeof(float), VALUES, file), VALUES);
        pare_row_decode(types[t], blocks, found, VALUES);
        for (size_t i = 0; i < VALUES; i++)
            cr_assert(!memcmp(&found[i], &expected[i], sizeof(float)),
                      "%s, value %zu: %.9g, not %.9g", pare_dtype_name(types[t]), i,
                      (double)found[i], (double)expected[i]);
        for (size_t b = 0; b < BLOCKS; b++) {
            struct pare_superblock block;
            pare_superblock_read(types[t], blocks + b * bytes, &block);
            pare_superblock_write(types[t], &block, again);
            cr_assert(!memcmp(again, blocks + b * bytes, bytes), "%s, block %zu",
                      pare_dtype_name(types[t]), b);
        }
    }
    cr_assert_eq(fgetc(file), EOF);
    fclose(file);
}

/* Every value that a field can have comes back, whatever its neighbours are. */
Test(superblocks, codes_and_scales_of_the_whole_range_are_kept)
{
    for (size_t t = 0; t < TYPES; t++) {
        const struct pare_superblock_layout *layout = pare_superblock_layout(types[t]);
        const int scales = layout->scale_high - layout->scale_low + 1;
        for (int turn = 0; turn < scales; turn++) {
            struct pare_superblock block = {.d = 0.5f}, again;
            unsigned char bytes[256];
            block.dmin = layout->has_minima ? -0.25f : 0;
            for (int j = 0; j < PARE_SUPERBLOCK / layout->sub; j++) {
                block.scale[j] = (int8_t)(layout->scale_low + (turn + 37 * j) % scales);
                if (layout->has_minima)
                    block.minimum[j] = (uint8_t)((3 * turn + 11 * j) % scales);
            }
            for (int k = 0; k < PARE_SUPERBLOCK; k++)
                block.codes[k] =
                    (uint8_t)((k * k + 7 * turn + k / 5) % (layout->top + 1));
            pare_superblock_write(types[t], &block, bytes);
            pare_superblock_read(types[t], bytes, &again);
            cr_assert(!memcmp(&block, &again, sizeof block), "%s, turn %d",
                      pare_dtype_name(types[t]), turn);
        }
    }
}
