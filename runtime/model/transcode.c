/* Decode, look at every number, encode: a piece at a time. */
#include "runtime/model/transcode.h"

#include <math.h>

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"

#define TILE 8192 /* elements of a parallel task; a multiple of every block */
#define TILES 64  /* tasks of a piece */

struct piece {
    const struct pare_tensor *tensor;
    const struct pare_dtype_info *from, *to;
    enum pare_nonfinite rule;
    uint64_t start; /* element of the tensor the piece begins with */
    float *values;  /* [TILES * TILE] */
    unsigned char *encoded;
    struct tile {
        uint64_t nonfinite, first; /* of this tile, and which element is the first */
        uint64_t overflow;         /* element beyond F16's range, or NONE */
        float overflow_value;
    } tiles[TILES];
};

#define NONE UINT64_MAX
#define F16_LIMIT 65520.0f /* and beyond rounds to infinity */

static void transcode_tile(void *context, size_t begin, size_t end)
{
    struct piece *p = context;
    struct tile *tile = &p->tiles[begin / TILE];
    const unsigned char *data = p->tensor->data;
    float *values = p->values + begin;
    *tile = (struct tile){.overflow = NONE};
    pare_row_decode(p->tensor->type,
                    data + (p->start + begin) / p->from->block * p->from->block_bytes,
                    values, end - begin);
    for (size_t i = 0; i < end - begin; i++) {
        if (!isfinite(values[i])) {
            if (!tile->nonfinite++)
                tile->first = p->start + begin + i;
            if (p->rule == PARE_NONFINITE_ZERO)
                values[i] = 0;
        } else if (p->to->type == PARE_F16 && fabsf(values[i]) >= F16_LIMIT &&
                   tile->overflow == NONE) {
            tile->overflow = p->start + begin + i;
            tile->overflow_value = values[i];
        }
    }
    pare_row_encode(p->to->type, values, p->encoded + begin * p->to->block_bytes,
                    end - begin);
}

/* What the tiles found, in their order: the message is the same for any thread count. */
static enum pare_status look_at_tiles(const struct piece *p, size_t n, uint64_t *first,
                                      uint64_t *nonfinite, struct pare_error *err)
{
    for (size_t t = 0; t * TILE < n; t++) {
        const struct tile *tile = &p->tiles[t];
        if (tile->nonfinite && *first == NONE)
            *first = tile->first;
        *nonfinite += tile->nonfinite;
        if (tile->overflow != NONE)
            return pare_fail(
                err, PARE_ERR_INPUT,
                "tensor %s: element %llu is %g, beyond the range of F16; use "
                "bf16 or f32",
                p->tensor->name, (unsigned long long)tile->overflow,
                (double)tile->overflow_value);
    }
    return PARE_OK;
}

static enum pare_status transcode(struct piece *p, struct pare_gguf_writer *writer,
                                  uint64_t *nonfinite, struct pare_error *err)
{
    const uint64_t elements = pare_tensor_elements(p->tensor);
    uint64_t first = NONE;
    *nonfinite = 0;
    for (p->start = 0; p->start < elements; p->start += TILES * TILE) {
        const uint64_t left = elements - p->start;
        const size_t n = left < TILES * TILE ? (size_t)left : TILES * TILE;
        pare_parallel_for(n, TILE, transcode_tile, p);
        PARE_TRY(look_at_tiles(p, n, &first, nonfinite, err));
        /* An error is told at the end, with the number of all. */
        if (!*nonfinite || p->rule != PARE_NONFINITE_ERROR)
            PARE_TRY(
                pare_gguf_writer_data(writer, p->encoded, n * p->to->block_bytes, err));
    }
    if (*nonfinite && p->rule == PARE_NONFINITE_ERROR)
        return pare_fail(err, PARE_ERR_INPUT,
                         "tensor %s has %llu values that are not finite, the first is "
                         "element %llu",
                         p->tensor->name, (unsigned long long)*nonfinite,
                         (unsigned long long)first);
    return PARE_OK;
}

enum pare_status pare_transcode(const struct pare_tensor *tensor, enum pare_dtype type,
                                enum pare_nonfinite rule, struct pare_gguf_writer *writer,
                                uint64_t *nonfinite, struct pare_error *err)
{
    struct piece *p;
    PARE_TRY(pare_alloc(&p, 1, sizeof *p, err));
    enum pare_status status;
    p->tensor = tensor;
    p->from = pare_dtype_info(tensor->type);
    p->to = pare_dtype_info(type);
    p->rule = rule;
    PARE_TRY_OUT(pare_alloc_raw(&p->values, TILES * TILE, sizeof *p->values, err));
    PARE_TRY_OUT(pare_alloc_raw(&p->encoded, TILES * TILE, sizeof(float), err));
    status = transcode(p, writer, nonfinite, err);
out:
    pare_free(p->values);
    pare_free(p->encoded);
    pare_free(p);
    return status;
}
