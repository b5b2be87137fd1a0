/* The terms that look at queries, keys and values: relation and attention.
 *
 * Of one sequence and relation head, with a and b [n, d] two of q, k, v:
 *     S = a b^T / sqrt(d),  R = softmax(S) by rows, S' and R' the teacher's
 *     loss = mean over rows i of sum_j R'_ij (log R'_ij - log R_ij)
 *     dS = (R - R') / n,  da = dS b / sqrt(d),  db = dS^T a / sqrt(d)
 */
#include <math.h>
#include <string.h>

#include "libdistill/distill_terms.h"
#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/gemm.h"

struct kind { /* which two of q (0), k (1), v (2) */
    size_t a, b;
    double weight; /* of its divergence, 0: not used */
};

#define KINDS 4 /* q q, k k, v v; q k */

struct relation {
    const struct pare_distill_call *call;
    float *teacher; /* [T, 3A'] */
    struct kind kinds[KINDS];
    double (*sums)[KINDS]; /* [B * heads] */
    size_t A, A_teacher, heads;
    float *scratch; /* per worker: three squares, then packing */
    size_t square, worker_floats;
};

/* S = a b^T / sqrt(d) for head h of rows of width 3A. */
static void scores(const float *rows, size_t A, size_t heads, size_t h,
                   const struct kind *kind, size_t n, float *S, float *pack)
{
    const size_t d = A / heads;
    pare_gemm_one(
        &(struct pare_gemm_task){.M = n,
                                 .N = n,
                                 .K = d,
                                 .A = pare_rows(rows + kind->a * A + h * d, 3 * A),
                                 .B = pare_transposed(rows + kind->b * A + h * d, 3 * A),
                                 .C = S,
                                 .ldc = n},
        pack);
    pare_kernels()->scale(S, 1.0f / sqrtf((float)d), n * n);
}

/* Sum over rows of KL(R' || R) = sum_j R'_ij (S'_ij - S_ij) - log Z'_i + log Z_i; S
 * becomes R - R', S' becomes R'. */
static double diverge(float *S, float *S_teacher, float *difference, size_t n)
{
    const struct pare_kernels *kernels = pare_kernels();
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        float *s = S + i * n, *t = S_teacher + i * n;
        sum += (double)kernels->logsumexp(s, n) - (double)kernels->logsumexp(t, n);
        for (size_t j = 0; j < n; j++)
            difference[j] = t[j] - s[j];
        kernels->softmax(s, 1.0f, n);
        kernels->softmax(t, 1.0f, n);
        for (size_t j = 0; j < n; j++)
            sum += (double)t[j] * (double)difference[j];
        kernels->axpy(s, -1.0f, t, n);
    }
    return sum;
}

/* da += dS b, db += dS^T a; dS has all factors. */
static void back(const float *rows, float *drows, size_t A, size_t heads, size_t h,
                 const struct kind *kind, size_t n, const float *dS, float *pack)
{
    const size_t d = A / heads, a = kind->a * A + h * d, b = kind->b * A + h * d;
    struct pare_gemm_task task = {.M = n, .N = d, .K = n, .ldc = 3 * A, .accumulate = 1};
    task.A = pare_rows(dS, n);
    task.B = pare_rows(rows + b, 3 * A);
    task.C = drows + a;
    pare_gemm_one(&task, pack);
    task.A = pare_transposed(dS, n);
    task.B = pare_rows(rows + a, 3 * A);
    task.C = drows + b;
    pare_gemm_one(&task, pack);
}

static void one_head(const struct relation *r, size_t s, size_t h, double *sums,
                     float *scratch)
{
    const struct pare_loss_input *input = r->call->input;
    const struct pare_distill_options *o = r->call->options;
    const size_t start = input->batch->starts[s];
    const size_t n = input->batch->starts[s + 1] - start;
    const size_t A = r->A, d = A / r->heads;
    const float *rows = input->acts->blocks[o->relation_student].qkv + start * 3 * A;
    float *drows = r->call->grads->qkv[o->relation_student] + start * 3 * A;
    float *S = scratch, *S_teacher = S + r->square, *row = S_teacher + r->square;
    float *pack = row + r->square;
    for (size_t k = 0; k < KINDS; k++) {
        const struct kind *kind = &r->kinds[k];
        sums[k] = 0;
        if (!(kind->weight > 0))
            continue;
        scores(rows, A, r->heads, h, kind, n, S, pack);
        scores(r->teacher + start * 3 * r->A_teacher, r->A_teacher, r->heads, h, kind, n,
               S_teacher, pack);
        sums[k] = kind->weight * diverge(S, S_teacher, row, n) / (double)n;
        pare_kernels()->scale(
            S, (float)kind->weight * input->scale / ((float)n * sqrtf((float)d)), n * n);
        back(rows, drows, A, r->heads, h, kind, n, S, pack);
    }
}

static void heads_of(void *context, int worker, size_t begin, size_t end)
{
    const struct relation *r = context;
    float *scratch = r->scratch + (size_t)worker * r->worker_floats;
    for (size_t task = begin; task < end; task++)
        one_head(r, task / r->heads, task % r->heads, r->sums[task], scratch);
}

static size_t larger(size_t x, size_t y)
{
    return x > y ? x : y;
}

static size_t whole_lines(size_t floats)
{
    const size_t line = PARE_ALIGNMENT / sizeof(float);
    return (floats + line - 1) / line * line;
}

static enum pare_status allocate(struct relation *r, struct pare_arena *scratch,
                                 struct pare_error *err)
{
    const struct pare_batch *batch = r->call->input->batch;
    size_t longest = 0;
    for (size_t s = 0; s < batch->n_seq; s++)
        longest = larger(longest, batch->starts[s + 1] - batch->starts[s]);
    const size_t d = larger(r->A, r->A_teacher) / r->heads;
    r->square = whole_lines(longest * longest);
    r->worker_floats =
        3 * r->square + whole_lines(larger(pare_gemm_one_scratch(longest, longest, d),
                                           pare_gemm_one_scratch(longest, d, longest)));
    PARE_TRY(pare_arena_alloc(scratch, &r->scratch,
                              r->worker_floats * (size_t)pare_threads(), sizeof(float),
                              err));
    PARE_TRY(pare_arena_alloc(scratch, &r->sums, batch->n_seq * r->heads, sizeof *r->sums,
                              err));
    return pare_arena_alloc(scratch, &r->teacher, batch->n_tokens * 3 * r->A_teacher,
                            sizeof(float), err);
}

/* relation is the mean over q, k, v and the heads, attention that over the heads. */
static void weigh(struct relation *r, const struct pare_distill_options *o)
{
    const double each = o->relation / (3.0 * (double)r->heads);
    for (size_t k = 0; k < 3; k++)
        r->kinds[k] = (struct kind){k, k, each};
    r->kinds[3] = (struct kind){0, 1, o->attention / (double)r->heads};
}

static enum pare_status run(struct relation *r, double *parts)
{
    const struct pare_distill_call *call = r->call;
    const struct pare_loss_input *input = call->input;
    const struct pare_batch *batch = input->batch;
    PARE_TRY(allocate(r, call->scratch, call->err));
    for (size_t s = 0; s < batch->n_seq; s++)
        pare_teacher_qkv(call->teacher, call->options->relation_teacher,
                         input->example[s],
                         r->teacher + (size_t)batch->starts[s] * 3 * r->A_teacher);
    const size_t tasks = batch->n_seq * r->heads;
    pare_parallel_for_worker(tasks, 1, heads_of, r);
    for (size_t task = 0; task < tasks; task++) {
        for (size_t k = 0; k < 3; k++)
            parts[PARE_PART_RELATION] += r->sums[task][k];
        parts[PARE_PART_ATTENTION] += r->sums[task][3];
    }
    return PARE_OK;
}

enum pare_status pare_distill_relation(const struct pare_distill_call *call,
                                       double *parts)
{
    struct relation r = {
        .call = call,
        .A = pare_config_attention_width(call->input->config),
        .A_teacher = pare_config_attention_width(&call->teacher->config),
        .heads = call->options->relation_heads,
    };
    weigh(&r, call->options);
    struct pare_arena_mark mark = pare_arena_mark(call->scratch);
    enum pare_status status = run(&r, parts);
    pare_arena_release(call->scratch, mark);
    return status;
}
