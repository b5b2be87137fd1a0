/* The terms that look at hidden states: cosine, mse and first. */
#include <math.h>
#include <string.h>

#include "libdistill/distill_terms.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/gemm.h"

/* One pair of the layer map. */
struct pair {
    const struct pare_distill_call *call;
    uint32_t teacher_state;
    const float *p;    /* [T, C'] the student's state in the teacher's width */
    float *dp;         /* [T, C'] its gradient, written here */
    double (*sums)[3]; /* [B] cosine, mse, first of each sequence */
    float *target;     /* [T, C'] the teacher's */
    size_t C;          /* C' */
};

/* c = cos(p, h) = p.h / (|p| |h|);  dc/dp = h / (|p| |h|) - c p / |p|^2. A vector of
 * zeros has no direction: c = 0 and no gradient. */
static double cosine(const float *p, const float *h, size_t C, float weight, float *dp)
{
    const struct pare_kernels *kernels = pare_kernels();
    const float pp = kernels->dot(p, p, C), hh = kernels->dot(h, h, C);
    if (!(pp > 0) || !(hh > 0))
        return 0;
    const float norm = sqrtf(pp) * sqrtf(hh), c = kernels->dot(p, h, C) / norm;
    kernels->axpy(dp, weight / norm, h, C);
    kernels->axpy(dp, -weight * c / pp, p, C);
    return (double)c;
}

static double squared(const float *p, const float *h, size_t C, float weight, float *dp)
{
    double sum = 0;
    for (size_t c = 0; c < C; c++) {
        const float d = p[c] - h[c];
        sum += (double)d * (double)d;
        dp[c] += weight * d;
    }
    return sum;
}

static void sequence(const struct pair *pair, size_t s)
{
    const struct pare_distill_options *o = pair->call->options;
    const struct pare_loss_input *input = pair->call->input;
    const size_t start = input->batch->starts[s], C = pair->C;
    const size_t n = input->batch->starts[s + 1] - start;
    const int all = o->cosine > 0 || o->mse > 0;
    const float *p = pair->p + start * C;
    float *dp = pair->dp + start * C, *h = pair->target + start * C;
    const float scale = input->scale / (float)o->n_map;
    double *sums = pair->sums[s];
    pare_teacher_hidden(pair->call->teacher, pair->teacher_state, input->example[s],
                        all ? n : 1, h);
    memset(dp, 0, n * C * sizeof *dp);
    memset(sums, 0, sizeof pair->sums[s]);
    if (o->cosine > 0)
        for (size_t t = 0; t < n; t++)
            sums[0] += 1 - cosine(p + t * C, h + t * C, C,
                                  -(float)o->cosine * scale / (float)n, dp + t * C);
    if (o->mse > 0)
        for (size_t t = 0; t < n; t++)
            sums[1] += squared(p + t * C, h + t * C, C,
                               2 * (float)o->mse * scale / (float)(n * C), dp + t * C);
    /* |a - b|^2 = 2 - 2 cos for vectors of length 1 */
    if (o->first > 0)
        sums[2] = 2 - 2 * cosine(p, h, C, -2 * (float)o->first * scale, dp);
    sums[0] /= (double)n;
    sums[1] /= (double)(n * C);
}

static void sequences(void *context, size_t begin, size_t end)
{
    for (size_t s = begin; s < end; s++)
        sequence(context, s);
}

/* p = h W^T for pair i. */
static enum pare_status project(const struct pare_distill_call *call, size_t i,
                                const float *h, size_t rows, float *p)
{
    const struct pare_params *student = call->student;
    const size_t C = student->config.hidden, out = call->teacher->config.hidden;
    const float *W = student->value + student->start[student->n_model + i];
    return pare_gemm(rows, out, C, pare_rows(h, C), pare_transposed(W, C), p, out, 0,
                     call->scratch, call->err);
}

/* dW (+)= dp^T h,  dh += dp W */
static enum pare_status project_back(const struct pare_distill_call *call, size_t i,
                                     const float *h, size_t rows, const float *dp,
                                     float *dh)
{
    struct pare_params *student = call->student;
    const size_t C = student->config.hidden, out = call->teacher->config.hidden;
    const size_t at = student->start[student->n_model + i];
    PARE_TRY(pare_gemm(out, C, rows, pare_transposed(dp, out), pare_rows(h, C),
                       student->grad + at, C, call->input->accumulate, call->scratch,
                       call->err));
    return pare_gemm(rows, C, out, pare_rows(dp, out), pare_rows(student->value + at, C),
                     dh, C, 1, call->scratch, call->err);
}

static const float *student_state(const struct pare_acts *acts, uint32_t state)
{
    return state ? acts->blocks[state - 1].output : acts->embedded;
}

static void add_tile(void *context, size_t begin, size_t end)
{
    float *const *pair = context;
    pare_kernels()->add(pair[0] + begin, pair[1] + begin, end - begin);
}

static enum pare_status one_pair(const struct pare_distill_call *call, size_t i,
                                 double *parts)
{
    const struct pare_distill_options *o = call->options;
    const struct pare_loss_input *input = call->input;
    const size_t T = input->batch->n_tokens, B = input->batch->n_seq;
    const size_t C = call->teacher->config.hidden;
    const float *h = student_state(input->acts, o->map[i].student);
    float *dh = call->grads->hidden[o->map[i].student], *p = NULL;
    struct pair pair = {.call = call, .teacher_state = o->map[i].teacher, .p = h, .C = C};
    PARE_TRY(pare_arena_alloc(call->scratch, &pair.dp, T * C, sizeof(float), call->err));
    PARE_TRY(
        pare_arena_alloc(call->scratch, &pair.target, T * C, sizeof(float), call->err));
    PARE_TRY(
        pare_arena_alloc(call->scratch, &pair.sums, B, sizeof *pair.sums, call->err));
    if (o->project) {
        PARE_TRY(pare_arena_alloc(call->scratch, &p, T * C, sizeof(float), call->err));
        PARE_TRY(project(call, i, h, T, p));
        pair.p = p;
    }
    pare_parallel_for(B, 1, sequences, &pair);
    const double share = 1 / (double)o->n_map;
    for (size_t s = 0; s < B; s++) {
        parts[PARE_PART_COSINE] += share * o->cosine * pair.sums[s][0];
        parts[PARE_PART_MSE] += share * o->mse * pair.sums[s][1];
        parts[PARE_PART_FIRST] += share * o->first * pair.sums[s][2];
    }
    if (o->project)
        return project_back(call, i, h, T, pair.dp, dh);
    float *sum[] = {dh, pair.dp};
    pare_parallel_for(T * C, 16384, add_tile, sum);
    return PARE_OK;
}

enum pare_status pare_distill_hidden(const struct pare_distill_call *call, double *parts)
{
    for (size_t i = 0; i < call->options->n_map; i++) {
        struct pare_arena_mark mark = pare_arena_mark(call->scratch);
        enum pare_status status = one_pair(call, i, parts);
        pare_arena_release(call->scratch, mark);
        PARE_TRY(status);
    }
    return PARE_OK;
}
