/* Preparing a linear layer: checks, packing, and the choice of how it runs. */
#include "runtime/tensor/linear.h"

#include <stdint.h>
#include <string.h>

#include "runtime/base/parallel.h"
#include "runtime/tensor/linear_run.h"
#include "runtime/tensor/panels.h"

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t rounded_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* Whether the float kernels multiply it. */
static int is_float(const struct pare_weight *weight)
{
    return weight->type != PARE_I8;
}

static int is_decoded(const struct pare_weight *weight)
{
    return weight->type != PARE_F32 && weight->type != PARE_I8;
}

#define SUM_CHUNK 4096 /* weights */

struct packing {
    const struct pare_kernels *kernels;
    struct pare_linear_part *part;
};

static void pack_f32_panels(void *context, size_t begin, size_t end)
{
    const struct packing *packing = context;
    struct pare_linear_part *part = packing->part;
    const struct pare_weight *weight = &part->weight;
    size_t nr = (size_t)packing->kernels->gemm_f32.nr;
    for (size_t panel = begin; panel < end; panel++) {
        size_t column = panel * nr;
        pare_pack_panel(packing->kernels, (float *)part->packed + column * weight->K, nr,
                        pare_transposed(weight->data, weight->K), 0, weight->K, column,
                        smaller(nr, weight->N - column));
    }
}

static int32_t row_sum(const int8_t *row, size_t n)
{
    int32_t sum = 0;
    for (size_t k = 0; k < n; k++)
        sum += row[k];
    return sum;
}

void pare_linear_pack_i8_panel(const struct pare_kernels *kernels, const int8_t *rows,
                               size_t n, size_t K, unsigned char *out)
{
    const size_t nr = (size_t)kernels->gemm_u8s8.nr;
    const size_t groups = rounded_up(K, 4) / 4, tail = K % 4;
    if (n < nr)
        memset(out, 0, groups * nr * 4);
    kernels->pack(out, nr, rows, K, n, K / 4);
    for (size_t j = 0; tail && j < n; j++) {
        unsigned char last[4] = {0};
        memcpy(last, rows + j * K + K - tail, tail);
        memcpy(out + ((groups - 1) * nr + j) * 4, last, 4);
    }
}

static void pack_i8_panels(void *context, size_t begin, size_t end)
{
    const struct packing *packing = context;
    struct pare_linear_part *part = packing->part;
    const struct pare_weight *weight = &part->weight;
    size_t nr = (size_t)packing->kernels->gemm_u8s8.nr, K = weight->K;
    const int8_t *rows = weight->data;
    for (size_t panel = begin; panel < end; panel++) {
        size_t column = panel * nr, n = smaller(nr, weight->N - column);
        pare_linear_pack_i8_panel(packing->kernels, rows + column * K, n, K,
                                  (unsigned char *)part->packed +
                                      column * rounded_up(K, 4));
        for (size_t j = column; j < column + n; j++)
            part->weight_sum[j] = pare_split_sum(row_sum(rows + j * K, K));
    }
}

/* Sums of the values of rows, a chunk at a time. */
static void sum_sparse_rows(void *context, size_t begin, size_t end)
{
    const struct packing *packing = context;
    const struct pare_weight *weight = &packing->part->weight;
    int8_t chunk[SUM_CHUNK];
    for (size_t n = begin; n < end; n++) {
        int32_t sum = 0;
        for (size_t k = 0; k < weight->K; k += SUM_CHUNK) {
            const size_t some = smaller(SUM_CHUNK, weight->K - k);
            pare_sparse_row_u8(&weight->sparse, weight->data, 8, n, weight->K, k, some, 0,
                               (uint8_t *)chunk);
            sum += row_sum(chunk, some);
        }
        packing->part->weight_sum[n] = pare_split_sum(sum);
    }
}

/* What the integer kernels need beside the weights, and the panels of dense ones. */
static enum pare_status pack_i8(struct pare_linear *linear, struct pare_linear_part *part,
                                struct pare_arena *arena, struct pare_error *err)
{
    const struct pare_weight *weight = &part->weight;
    struct packing packing = {linear->kernels, part};
    const size_t nr = (size_t)linear->kernels->gemm_u8s8.nr;
    const size_t columns = rounded_up(weight->N, nr), k_bytes = rounded_up(weight->K, 4);
    PARE_TRY(pare_arena_alloc(arena, &part->weight_sum, columns, sizeof(int32_t), err));
    PARE_TRY(pare_arena_alloc(arena, &part->scale, columns, sizeof(float), err));
    memset(part->weight_sum, 0, columns * sizeof(int32_t));
    memset(part->scale, 0, columns * sizeof(float));
    memcpy(part->scale, weight->scale, weight->N * sizeof(float));
    linear->packed_bytes += columns * (sizeof(int32_t) + sizeof(float));
    if (weight->sparse.rows) {
        pare_parallel_for(weight->N, nr, sum_sparse_rows, &packing);
        return PARE_OK;
    }
    PARE_TRY(pare_arena_alloc(arena, &part->packed, columns, k_bytes, err));
    linear->packed_bytes += columns * k_bytes;
    pare_parallel_for(columns / nr, 1, pack_i8_panels, &packing);
    return PARE_OK;
}

static enum pare_status pack_part(struct pare_linear *linear,
                                  struct pare_linear_part *part, struct pare_arena *arena,
                                  struct pare_error *err)
{
    const struct pare_weight *weight = &part->weight;
    if (weight->type == PARE_I8 && !weight->groups.bits)
        PARE_TRY(pack_i8(linear, part, arena, err));
    if (weight->type == PARE_I8 && weight->sparse.rows)
        return pare_linear_pack_sparse(linear, part, arena, err);
    if (weight->type == PARE_I8)
        return weight->groups.bits ? pare_linear_pack_grouped(linear, part, arena, err)
                                   : PARE_OK;
    if (linear->precision == PARE_PRECISION_BF16)
        return pare_linear_pack_bf16(linear, part, arena, err);
    struct packing packing = {linear->kernels, part};
    const size_t nr = (size_t)linear->kernels->gemm_f32.nr;
    const size_t columns = rounded_up(weight->N, nr);
    PARE_TRY(
        pare_arena_alloc(arena, &part->packed, columns, weight->K * sizeof(float), err));
    linear->packed_bytes += columns * weight->K * sizeof(float);
    pare_parallel_for(columns / nr, 1, pack_f32_panels, &packing);
    return PARE_OK;
}

static enum pare_status check_sparse(const struct pare_weight *weight,
                                     struct pare_error *err)
{
    if (!weight->sparse.rows)
        return PARE_OK;
    if (weight->type != PARE_F16 && weight->type != PARE_I8)
        return pare_fail(err, PARE_ERR_USAGE,
                         "a sparse weight has values of type F16 or I8, found %s",
                         pare_dtype_name(weight->type));
    if (!weight->sparse.start || (weight->sparse.m && !weight->sparse.sets))
        return pare_fail(err, PARE_ERR_USAGE, "a sparse weight came without its index");
    return pare_sparse_check(&weight->sparse, weight->N, weight->K, err);
}

static enum pare_status check_weight(const struct pare_weight *weight, size_t K, int live,
                                     struct pare_error *err)
{
    const struct pare_dtype_info *info = pare_dtype_info(weight->type);
    if (weight->type != PARE_I8 && (!info || !info->is_float || weight->type == PARE_F64))
        return pare_fail(
            err, PARE_ERR_USAGE,
            "a linear layer cannot run on weights of type %s; expected F32, "
            "F16, BF16, Q8_0, Q4_0, Q4_1, a type of super-blocks or I8 with scales",
            info ? info->name : "unknown");
    if (weight->type == PARE_I8 &&
        !(weight->groups.bits ? (const void *)weight->groups.scale : weight->scale))
        return pare_fail(err, PARE_ERR_USAGE, "an I8 weight came without its scales");
    if (weight->K != K)
        return pare_fail(err, PARE_ERR_USAGE,
                         "the parts of a linear layer need equal inputs: %zu and %zu", K,
                         weight->K);
    if (K % info->block)
        return pare_fail(err, PARE_ERR_USAGE,
                         "a row of %zu inputs is not a multiple of the %u of type %s", K,
                         info->block, info->name);
    if (weight->type == PARE_I8 && !weight->groups.bits && K > PARE_I8_MOST)
        return pare_fail(err, PARE_ERR_USAGE,
                         "a row of %zu inputs is too long for I8: its sums are exact up "
                         "to %d; store it in groups",
                         K, PARE_I8_MOST);
    if (live && weight->type != PARE_F32)
        return pare_fail(err, PARE_ERR_USAGE,
                         "a linear layer in training needs F32 weights, found %s",
                         info->name);
    PARE_TRY(check_sparse(weight, err));
    return weight->groups.bits
               ? pare_groups_check(weight->groups.bits, weight->groups.size, K, err)
               : PARE_OK;
}

static enum pare_status check_inputs(const struct pare_weight *first,
                                     const struct pare_weight *weight, int live,
                                     struct pare_error *err)
{
    if (weight->input_scale != first->input_scale ||
        weight->input_range != first->input_range)
        return pare_fail(err, PARE_ERR_USAGE,
                         "the parts of a linear layer need the same factors and range of "
                         "their inputs");
    if (weight->input_range && !pare_weight_is_i8(weight))
        return pare_fail(err, PARE_ERR_USAGE,
                         "a range of inputs is for I8 weights with a scale a row, found "
                         "%s",
                         pare_dtype_name(weight->type));
    if (live && weight->input_scale)
        return pare_fail(err, PARE_ERR_USAGE,
                         "a linear layer in training has no factors of its inputs");
    return PARE_OK;
}

enum pare_status pare_linear_init(struct pare_linear *linear,
                                  const struct pare_weight *weights, int n_parts,
                                  const float *bias, unsigned use,
                                  struct pare_arena *arena, struct pare_error *err)
{
    const int live = (use & PARE_LINEAR_LIVE) != 0;
    if (n_parts < 1 || n_parts > PARE_LINEAR_PARTS)
        return pare_fail(err, PARE_ERR_USAGE,
                         "a linear layer has 1 to %d parts, asked for %d",
                         PARE_LINEAR_PARTS, n_parts);
    *linear = (struct pare_linear){
        .K = weights[0].K,
        .bias = bias,
        .input_scale = weights[0].input_scale,
        .n_parts = n_parts,
        .live = live,
        .precision = use & PARE_LINEAR_BF16 ? PARE_PRECISION_BF16 : PARE_PRECISION_FP32,
        .kernels = pare_kernels()};
    if (weights[0].input_range)
        linear->input_grid =
            pare_input_grid_of(weights[0].input_range[0], weights[0].input_range[1]);
    for (int i = 0; i < n_parts; i++) {
        struct pare_linear_part *part = &linear->parts[i];
        PARE_TRY(check_weight(&weights[i], linear->K, live, err));
        PARE_TRY(check_inputs(&weights[0], &weights[i], live, err));
        part->weight = weights[i];
        part->row = linear->N;
        linear->N += weights[i].N;
        if (!live &&
            (!is_decoded(&weights[i]) || linear->precision == PARE_PRECISION_BF16))
            PARE_TRY(pack_part(linear, part, arena, err));
    }
    return PARE_OK;
}

void pare_linear_cut(struct pare_linear_run *run, size_t mr, size_t nr, size_t block_rows,
                     size_t panel_bytes)
{
    for (int i = 0; i < run->n_parts; i++) {
        const struct pare_weight *weight = &run->parts[i]->weight;
        run->cuts[i] = pare_cut_product(run->M, weight->N, weight->K, mr, nr, block_rows,
                                        panel_bytes);
        run->first_task[i + 1] =
            run->first_task[i] + run->cuts[i].blocks * run->cuts[i].groups;
    }
}

void pare_linear_finish_row(const struct pare_linear_run *run, int part, float *sums,
                            size_t row, size_t column, size_t n)
{
    const struct pare_kernels *kernels = run->kernels;
    const float *bias = pare_linear_bias(run, part, column);
    size_t at = row * run->linear->N + run->parts[part]->row + column;
    if (run->residual) {
        if (bias)
            kernels->add(sums, bias, n);
        kernels->add_to(run->Y + at, sums, run->residual + at, n);
    } else if (run->act == PARE_ACT_NONE && bias) {
        kernels->add_to(run->Y + at, sums, bias, n);
    } else {
        if (bias)
            kernels->add(sums, bias, n);
        kernels->activate(run->act, run->Y + at, sums, n);
    }
}

/* What the float kernels read: the parts of a layer share their inputs, and so their
 * factors, and in training how these are rounded. */
static enum pare_status prepare_inputs(struct pare_linear_run *run,
                                       struct pare_arena *scratch, struct pare_error *err)
{
    const struct pare_weight *weight = &run->parts[0]->weight;
    float *rounded;
    PARE_TRY(
        pare_arena_alloc(scratch, &rounded, run->M * weight->K, sizeof *rounded, err));
    if (run->linear->live)
        pare_round_inputs(run->X, run->M, weight->K, weight->input_group, rounded);
    else
        pare_scale_inputs(run->X, run->linear->input_scale, run->M, weight->K, rounded);
    run->X = rounded;
    return PARE_OK;
}

typedef enum pare_status run_fn(struct pare_linear_run *run, struct pare_arena *scratch,
                                struct pare_error *err);

static run_fn *run_of(const struct pare_linear_run *run,
                      const struct pare_linear_part *part)
{
    const struct pare_weight *weight = &part->weight;
    const size_t most = run->kernels->gemm_quads.most;
    if (part->quads.start && (!most || run->M <= most))
        return pare_linear_run_quads;
    if (part->masked && run->M <= PARE_MASKED_ROWS)
        return pare_linear_run_masked;
    if (weight->groups.bits)
        return pare_linear_run_grouped;
    if (weight->type == PARE_I8)
        return pare_linear_run_i8;
    return run->linear->precision == PARE_PRECISION_BF16 ? pare_linear_run_bf16
                                                         : pare_linear_run_f32;
}

/* Whether one run can take both: it prepares the inputs once. */
static int run_together(const struct pare_linear_run *run,
                        const struct pare_linear_part *a,
                        const struct pare_linear_part *b)
{
    return run_of(run, a) == run_of(run, b) &&
           a->weight.groups.size == b->weight.groups.size;
}

/* `run` has everything but its parts: those are [first, first + count). */
static enum pare_status run_parts(const struct pare_linear_run *run, int first, int count,
                                  struct pare_arena *scratch, struct pare_error *err)
{
    const struct pare_linear_part *parts = run->linear->parts + first;
    const struct pare_arena_mark mark = pare_arena_mark(scratch);
    enum pare_status status = PARE_OK;
    int done[PARE_LINEAR_PARTS] = {0};
    for (int i = 0; status == PARE_OK && run->M && i < count; i++) {
        struct pare_linear_run some = *run;
        for (int j = i; j < count; j++) {
            if (done[j] || !parts[j].weight.N || !run_together(run, &parts[i], &parts[j]))
                continue;
            done[j] = 1;
            some.parts[some.n_parts++] = &parts[j];
        }
        if (!some.n_parts)
            continue;
        if (run->linear->live ? parts[i].weight.input_group > 0
                              : run->linear->input_scale && is_float(&parts[i].weight))
            status = prepare_inputs(&some, scratch, err);
        if (status == PARE_OK)
            status = run_of(run, &parts[i])(&some, scratch, err);
        pare_arena_release(scratch, mark);
    }
    return status;
}

enum pare_status pare_linear_forward(const struct pare_linear *linear, const float *X,
                                     size_t M, float *Y, enum pare_activation act,
                                     const float *residual, struct pare_arena *scratch,
                                     struct pare_error *err)
{
    const struct pare_linear_run run = {.linear = linear,
                                        .kernels = linear->kernels,
                                        .X = X,
                                        .M = M,
                                        .Y = Y,
                                        .act = act,
                                        .residual = residual};
    return run_parts(&run, 0, linear->n_parts, scratch, err);
}

enum pare_status pare_linear_forward_parts(const struct pare_linear *linear, int first,
                                           int count, const float *X, size_t M, float *Y,
                                           struct pare_arena *scratch,
                                           struct pare_error *err)
{
    const struct pare_linear_run run = {
        .linear = linear, .kernels = linear->kernels, .X = X, .M = M, .Y = Y};
    return run_parts(&run, first, count, scratch, err);
}
