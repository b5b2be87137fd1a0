/* The `run` of a tier's grouped kernels: its grouped_tile, with the bits of a code and
 * the height of the tile as constants. */
#ifndef PARE_KERNELS_GROUPED_RUN_H
#define PARE_KERNELS_GROUPED_RUN_H

#include "runtime/kernels/grouped.h"
#include "runtime/kernels/tile.h"

#define GROUPED_TILE_OF_2(m) grouped_tile(m, 2, shape, a, b, y, ldy, ahead)
#define GROUPED_TILE_OF_4(m) grouped_tile(m, 4, shape, a, b, y, ldy, ahead)
#define GROUPED_TILE_OF_8(m) grouped_tile(m, 8, shape, a, b, y, ldy, ahead)

/* for_height: FOR_HEIGHT_UP_TO_... the tier's mr. */
#define DEFINE_GROUPED_RUN(name, for_height)                                             \
    static void name(const struct pare_grouped *shape, const void *a, const void *b,     \
                     float *y, size_t ldy, int m, struct pare_ahead ahead)               \
    {                                                                                    \
        switch (shape->width) {                                                          \
        case 2: for_height(m, GROUPED_TILE_OF_2) break;                                  \
        case 4: for_height(m, GROUPED_TILE_OF_4) break;                                  \
        default: for_height(m, GROUPED_TILE_OF_8) break;                                 \
        }                                                                                \
    }

#endif
