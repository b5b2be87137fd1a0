/* Tiles are looked at in parallel and put together in their order. */
#include "runtime/tensor/stats.h"

#include <math.h>

#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"
#include "runtime/base/parallel.h"

#define TILE 65536 /* elements of a parallel task */
#define CHUNK 1024 /* elements decoded at a time; a multiple of every block */

struct tile {
    double min, max, sum;
    uint64_t finite, zeros, nonfinite, first;
};

struct job {
    const struct pare_tensor *tensor;
    const struct pare_dtype_info *info;
    struct tile *tiles;
};

/* n elements from element `begin` on, as doubles. */
static void load(const struct job *job, uint64_t begin, double *out, size_t n)
{
    const uint8_t *at = (const uint8_t *)job->tensor->data +
                        begin / job->info->block * job->info->block_bytes;
    float decoded[CHUNK];
    switch (job->info->type) {
    case PARE_F64:
        for (size_t i = 0; i < n; i++)
            out[i] = pare_load_f64(at + 8 * i);
        return;
    case PARE_I64:
        for (size_t i = 0; i < n; i++)
            out[i] = (double)(int64_t)pare_load_u64(at + 8 * i);
        return;
    case PARE_I32:
        for (size_t i = 0; i < n; i++)
            out[i] = (int32_t)pare_load_u32(at + 4 * i);
        return;
    case PARE_I16:
        for (size_t i = 0; i < n; i++)
            out[i] = (int16_t)pare_load_u16(at + 2 * i);
        return;
    case PARE_I8:
        for (size_t i = 0; i < n; i++)
            out[i] = (int8_t)at[i];
        return;
    case PARE_U8:
    case PARE_BOOL:
        for (size_t i = 0; i < n; i++)
            out[i] = at[i];
        return;
    default:
        pare_row_decode(job->info->type, at, decoded, n);
        for (size_t i = 0; i < n; i++)
            out[i] = decoded[i];
    }
}

static void look_at_tile(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    struct tile tile = {.min = INFINITY, .max = -INFINITY};
    double values[CHUNK];
    for (size_t start = begin; start < end; start += CHUNK) {
        size_t n = end - start < CHUNK ? end - start : CHUNK;
        load(job, start, values, n);
        for (size_t i = 0; i < n; i++) {
            if (!isfinite(values[i])) {
                if (!tile.nonfinite++)
                    tile.first = start + i;
                continue;
            }
            tile.finite++;
            tile.sum += values[i];
            tile.zeros += values[i] == 0;
            tile.min = values[i] < tile.min ? values[i] : tile.min;
            tile.max = values[i] > tile.max ? values[i] : tile.max;
        }
    }
    job->tiles[begin / TILE] = tile;
}

enum pare_status pare_tensor_stats(const struct pare_tensor *tensor,
                                   struct pare_stats *stats, struct pare_error *err)
{
    struct job job = {.tensor = tensor, .info = pare_dtype_info(tensor->type)};
    const uint64_t elements = pare_tensor_elements(tensor);
    const uint64_t n_tiles = elements / TILE + (elements % TILE != 0);
    uint64_t finite = 0;
    double sum = 0;
    *stats = (struct pare_stats){0};
    if (!job.info->is_float && job.info->block > 1)
        return PARE_OK;
    stats->known = 1;
    PARE_TRY(pare_alloc(&job.tiles, (size_t)n_tiles, sizeof *job.tiles, err));
    pare_parallel_for((size_t)elements, TILE, look_at_tile, &job);
    for (uint64_t t = 0; t < n_tiles; t++) {
        const struct tile *tile = &job.tiles[t];
        if (tile->finite && (!finite || tile->min < stats->min))
            stats->min = tile->min;
        if (tile->finite && (!finite || tile->max > stats->max))
            stats->max = tile->max;
        if (tile->nonfinite && !stats->nonfinite)
            stats->first_nonfinite = tile->first;
        finite += tile->finite;
        sum += tile->sum;
        stats->zeros += tile->zeros;
        stats->nonfinite += tile->nonfinite;
    }
    if (finite)
        stats->mean = sum / (double)finite;
    pare_free(job.tiles);
    return PARE_OK;
}
