/* Round to nearest: see rtn.h for the formulas. */
#include "libquant/rtn.h"

#include <math.h>
#include <string.h>

#include "libquant/nearest.h"
#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/superblocks.h"

#define CHUNK 1024  /* floats of a row encoded at a time; a multiple of every block */
#define ROW_TILE 16 /* rows a parallel task handles */

double pare_quant_error_relative(const struct pare_quant_error *error)
{
    if (error->squared_error == 0)
        return 0;
    return sqrt(error->squared_error / error->squared_weight);
}

struct job {
    enum pare_dtype type;
    const struct pare_dtype_info *info;
    const float *W; /* [N, K] */
    size_t N, K, row_bytes;
    unsigned char *data;
    float *scale;
    struct pare_quant_error *rows; /* [N] */
    float *out;                    /* [N, K], for rounding */
};

static float scale_i8(const float *w, size_t K)
{
    float largest = 0;
    for (size_t k = 0; k < K; k++)
        largest = fabsf(w[k]) > largest ? fabsf(w[k]) : largest;
    return largest / 127.0f; /* 0 also when it underflows */
}

static float code_i8(float w, float scale)
{
    const float q = scale > 0 ? rintf(w / scale) : 0.0f;
    return q > 127.0f ? 127.0f : q < -127.0f ? -127.0f : q;
}

static void quantize_row_i8(const struct job *job, size_t n)
{
    const float *w = job->W + n * job->K;
    int8_t *codes = (int8_t *)(job->data + n * job->K);
    struct pare_quant_error error = {0};
    const float scale = scale_i8(w, job->K);
    for (size_t k = 0; k < job->K; k++) {
        const float q = code_i8(w[k], scale);
        pare_quant_error_add(&error, w[k], q * scale);
        codes[k] = q == q ? (int8_t)q : 0;
    }
    job->scale[n] = scale;
    job->rows[n] = error;
}

static void quantize_row_encoded(const struct job *job, size_t n)
{
    const float *w = job->W + n * job->K;
    unsigned char *out = job->data + n * job->row_bytes;
    struct pare_quant_error error = {0};
    float decoded[CHUNK];
    for (size_t begin = 0; begin < job->K; begin += CHUNK) {
        size_t count = job->K - begin < CHUNK ? job->K - begin : CHUNK;
        pare_row_encode(job->type, w + begin, out, count);
        pare_row_decode(job->type, out, decoded, count);
        for (size_t i = 0; i < count; i++)
            pare_quant_error_add(&error, w[begin + i], decoded[i]);
        out += count / job->info->block * job->info->block_bytes;
    }
    job->rows[n] = error;
}

static void quantize_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    for (size_t n = begin; n < end; n++)
        if (job->type == PARE_I8)
            quantize_row_i8(job, n);
        else
            quantize_row_encoded(job, n);
}

/* The reason why the sums of row n are not finite. */
static enum pare_status explain(const struct pare_quant_rows *rows, size_t n,
                                const char *type, struct pare_error *err)
{
    const float *w = rows->W + n * rows->K;
    for (size_t k = 0; k < rows->K; k++)
        if (!isfinite(w[k]))
            return pare_fail(err, PARE_ERR_INPUT, "row %zu, column %zu is not finite",
                             rows->first + n, k);
    return pare_fail(err, PARE_ERR_INPUT, "row %zu has values beyond the range of %s",
                     rows->first + n, type);
}

enum pare_status pare_quant_error_sum(const struct pare_quant_rows *rows,
                                      const struct pare_quant_error *errors,
                                      const char *type, struct pare_quant_error *error,
                                      struct pare_error *err)
{
    for (size_t n = 0; n < rows->N; n++) {
        const struct pare_quant_error *row = &errors[n];
        if (!isfinite(row->squared_weight) || !isfinite(row->squared_error))
            return explain(rows, n, type, err);
        error->squared_weight += row->squared_weight;
        error->squared_error += row->squared_error;
        if (row->largest > error->largest)
            error->largest = row->largest;
    }
    return PARE_OK;
}

static enum pare_status open_job(struct job *job, struct pare_error *err)
{
    job->info = pare_dtype_info(job->type);
    if (!job->info || (!job->info->is_float && job->type != PARE_I8) ||
        job->type == PARE_F64)
        return pare_fail(err, PARE_ERR_USAGE, "round to nearest knows no type %d",
                         job->type);
    if (job->K % job->info->block)
        return pare_fail(err, PARE_ERR_USAGE, "rows of %zu are no multiple of %s's %u",
                         job->K, job->info->name, job->info->block);
    job->row_bytes = job->K / job->info->block * job->info->block_bytes;
    return PARE_OK;
}

enum pare_status pare_rtn_quantize(enum pare_dtype type,
                                   const struct pare_quant_rows *rows, void *data,
                                   float *scale, struct pare_quant_error *error,
                                   struct pare_error *err)
{
    struct job job = {.type = type,
                      .W = rows->W,
                      .N = rows->N,
                      .K = rows->K,
                      .data = data,
                      .scale = scale};
    const struct pare_target target = {.kind = PARE_TARGET_TYPE, .type = type};
    PARE_TRY(open_job(&job, err));
    if (pare_superblock_layout(type)) /* no rule of a line: a search */
        return pare_nearest_blocks(&target, rows, data, error, err);
    PARE_TRY(pare_alloc(&job.rows, job.N, sizeof *job.rows, err));
    pare_parallel_for(job.N, ROW_TILE, quantize_rows, &job);
    enum pare_status status =
        pare_quant_error_sum(rows, job.rows, job.info->name, error, err);
    pare_free(job.rows);
    return status;
}

static void round_row_i8(const struct job *job, size_t n)
{
    const float *w = job->W + n * job->K;
    float *out = job->out + n * job->K;
    const float scale = scale_i8(w, job->K);
    for (size_t k = 0; k < job->K; k++)
        out[k] = code_i8(w[k], scale) * scale;
}

static void round_row_encoded(const struct job *job, size_t n)
{
    unsigned char stored[CHUNK * sizeof(float)];
    for (size_t k = 0; k < job->K; k += CHUNK) {
        const size_t at = n * job->K + k, count = job->K - k < CHUNK ? job->K - k : CHUNK;
        pare_row_encode(job->type, job->W + at, stored, count);
        pare_row_decode(job->type, stored, job->out + at, count);
    }
}

static void round_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    for (size_t n = begin; n < end; n++)
        if (job->type == PARE_I8)
            round_row_i8(job, n);
        else
            round_row_encoded(job, n);
}

enum pare_status pare_rtn_round(enum pare_dtype type, const float *W, size_t N, size_t K,
                                float *out, struct pare_error *err)
{
    struct job job = {.type = type, .W = W, .N = N, .K = K, .out = out};
    const struct pare_target target = {.kind = PARE_TARGET_TYPE, .type = type};
    const struct pare_nearest nearest = pare_nearest_defaults(&target, NULL);
    const struct pare_quant_rows rows = {W, N, K, 0};
    struct pare_quant_error error = {0};
    PARE_TRY(open_job(&job, err));
    if (pare_superblock_layout(type))
        return pare_nearest_round(&nearest, &rows, out, NULL, &error, err);
    pare_parallel_for(N, ROW_TILE, round_rows, &job);
    return PARE_OK;
}
