/* Learned scales: see learned.h. */
#include "libquant/learned.h"

#include <math.h>

#include "libquant/rounding.h"
#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"
#include "runtime/base/parallel.h"

#define ROW_TILE 16
#define PIECE 1024 /* weights stored at a time; a multiple of 32 */

struct job {
    const struct pare_learned *learned;
    size_t first;
    const float *v;
    float *w, *de;
    const struct pare_grid_codes *codes;
    struct pare_quant_error *rows;
};

static size_t groups_of(const struct pare_learned *learned)
{
    return learned->K / learned->group;
}

/* s of group g of row n of the matrix. */
static float scale_of(const struct pare_learned *learned, size_t n, size_t g)
{
    const size_t at = n * groups_of(learned) + g;
    return pare_f16_to_f32(pare_f32_to_f16(learned->start[at] * learned->value[at]));
}

static float clamped(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}

/* --- Start ------------------------------------------------------------------------ */

static void start_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    const struct pare_learned *l = job->learned;
    const float factor = 2 / (sqrtf((float)((1 << (l->bits - 1)) - 1)) * (float)l->group);
    for (size_t n = begin; n < end; n++)
        for (size_t g = 0; g < groups_of(l); g++) {
            const float *v = job->v + n * l->K + g * l->group;
            float sum = 0;
            for (size_t k = 0; k < l->group; k++)
                sum += fabsf(v[k]);
            l->start[n * groups_of(l) + g] = sum * factor;
        }
}

void pare_learned_start(const struct pare_learned *learned, const float *v)
{
    struct job job = {.learned = learned, .v = v};
    pare_parallel_for(learned->N, ROW_TILE, start_rows, &job);
}

/* --- Forward and backward --------------------------------------------------------- */

static void round_group(const float *v, size_t n, int bits, float s, float *w)
{
    const float low = -(float)(1 << (bits - 1)), high = -low - 1;
    const float inverse = s != 0 ? 1 / s : 0;
    for (size_t k = 0; k < n; k++)
        w[k] = s * pare_round_even(clamped(v[k] * inverse, low, high));
}

static void round_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    const struct pare_learned *l = job->learned;
    for (size_t n = begin; n < end; n++)
        for (size_t g = 0; g < groups_of(l); g++) {
            const size_t at = n * l->K + g * l->group;
            round_group(job->v + at, l->group, l->bits, scale_of(l, job->first + n, g),
                        job->w + at);
        }
}

void pare_learned_round(const struct pare_learned *learned, size_t first, size_t n,
                        const float *v, float *w)
{
    struct job job = {.learned = learned, .first = first, .v = v, .w = w};
    pare_parallel_for(n, ROW_TILE, round_rows, &job);
}

/* dv in place of dw; returns dL/ds. */
static float backward_group(const float *v, size_t n, int bits, float s, float *dw)
{
    const float low = -(float)(1 << (bits - 1)), high = -low - 1;
    const float inverse = s != 0 ? 1 / s : 0;
    float ds = 0;
    for (size_t k = 0; k < n; k++) {
        const float x = v[k] * inverse, inside = clamped(x, low, high);
        const float slope = pare_round_even(inside) - (inside == x ? x : 0);
        ds += dw[k] * slope;
        dw[k] = inside == x ? dw[k] : 0;
    }
    return ds;
}

static void backward_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    const struct pare_learned *l = job->learned;
    for (size_t n = begin; n < end; n++)
        for (size_t g = 0; g < groups_of(l); g++) {
            const size_t at = n * l->K + g * l->group;
            const size_t scale = (job->first + n) * groups_of(l) + g;
            job->de[scale] += l->start[scale] *
                              backward_group(job->v + at, l->group, l->bits,
                                             scale_of(l, job->first + n, g), job->w + at);
        }
}

void pare_learned_backward(const struct pare_learned *learned, size_t first, size_t n,
                           const float *v, float *dw, float *de)
{
    struct job job = {.learned = learned, .first = first, .v = v, .w = dw, .de = de};
    pare_parallel_for(n, ROW_TILE, backward_rows, &job);
}

/* --- Stored ----------------------------------------------------------------------- */

/* At most PIECE weights of a group; their codes go to bit `first` * bits of `stream`. */
static void store_piece(const struct job *job, const float *v, size_t n, float s,
                        unsigned char *stream, struct pare_quant_error *error)
{
    const int bits = job->learned->bits;
    const float low = -(float)(1 << (bits - 1)), high = -low - 1;
    const float inverse = s != 0 ? 1 / s : 0;
    uint8_t codes[PIECE];
    for (size_t k = 0; k < n; k++) {
        const float q = pare_round_even(clamped(v[k] * inverse, low, high));
        codes[k] = (uint8_t)(q - low);
        pare_quant_error_add(error, v[k], s * q);
    }
    pare_codes_pack(bits, codes, stream, n);
}

static void store_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    const struct pare_learned *l = job->learned;
    for (size_t n = begin; n < end; n++) {
        unsigned char *stream = job->codes->codes + n * pare_codes_bytes(l->bits, l->K);
        for (size_t g = 0; g < groups_of(l); g++) {
            const float s = scale_of(l, job->first + n, g);
            pare_store_u16(job->codes->scale + 2 * (n * groups_of(l) + g),
                           pare_f32_to_f16(s));
            for (size_t k = 0; k < l->group; k += PIECE) {
                const size_t at = g * l->group + k;
                store_piece(job, job->v + n * l->K + at,
                            l->group - k < PIECE ? l->group - k : PIECE, s,
                            stream + at / 8 * (size_t)l->bits, &job->rows[n]);
            }
        }
    }
}

enum pare_status pare_learned_store(const struct pare_learned *learned,
                                    const struct pare_quant_rows *rows,
                                    const struct pare_grid_codes *out,
                                    struct pare_quant_error *error,
                                    struct pare_error *err)
{
    struct job job = {
        .learned = learned, .first = rows->first, .v = rows->W, .codes = out};
    PARE_TRY(pare_alloc(&job.rows, rows->N, sizeof *job.rows, err));
    pare_parallel_for(rows->N, ROW_TILE, store_rows, &job);
    enum pare_status status =
        pare_quant_error_sum(rows, job.rows, "a half-precision scale", error, err);
    pare_free(job.rows);
    return status;
}
