/* Which weights go while a sweep goes on. Private to libprune.
 *
 * Zeros are chosen a step of columns and a tile of rows at a time, when the sweep comes
 * there: those that cost least then, each alone, x_k^2 R_kk^2 (summed over blocks). Of
 * N:M a step is m columns. How many blocks of a tile's step go follows from the weights
 * as they are before the sweep: so many as are among the smallest of the whole matrix, by
 * the same cost.
 */
#ifndef PARE_LIBPRUNE_CHOOSER_H
#define PARE_LIBPRUNE_CHOOSER_H

#include <stdint.h>

#include "libprune/pattern.h"
#include "libquant/rtn.h"
#include "libquant/sweep.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_chooser {
    const struct pare_quant_rows *rows;
    const struct pare_factor *factor;
    struct pare_pattern pattern;
    int even; /* every step of 128 columns has the same share, as published */
    size_t step;
    size_t lanes;    /* N in whole tiles */
    uint8_t *gone;   /* [K places, lanes]: 1 where the weight becomes zero */
    uint32_t *zeros; /* [tiles, K / step]: blocks that go; not of N:M */
    float *scores;   /* [PARE_CHOOSER_COLUMNS, PARE_SWEEP_ROWS] a worker */
};

/* Columns of a step, at most. */
#define PARE_CHOOSER_COLUMNS 128

/* Memory, with nothing gone. A step divides `group` columns, which divide K. */
enum pare_status pare_chooser_init(struct pare_chooser *chooser, size_t group,
                                   struct pare_arena *arena,
                                   struct pare_error *err) PARE_CHECKED;
/* Counts what is to go; space: [N, K]. */
enum pare_status pare_chooser_plan(struct pare_chooser *chooser, float *space,
                                   struct pare_arena *scratch,
                                   struct pare_error *err) PARE_CHECKED;
/* Chooses what goes of the tile's columns, which are whole steps. */
void pare_chooser_choose(const struct pare_chooser *chooser, int worker,
                         const struct pare_sweep_tile *tile);

/* Whether the weight of each lane goes, at a place of the sweep. */
static inline const uint8_t *pare_chooser_gone(const struct pare_chooser *chooser,
                                               size_t place, size_t row)
{
    return chooser->gone + place * chooser->lanes + row;
}

#ifdef __cplusplus
}
#endif
#endif
