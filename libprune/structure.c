/* Which groups of inputs go: see structure.h. */
#include "libprune/structure.h"

#include <math.h>
#include <string.h>

#include "runtime/base/parallel.h"
#include "runtime/kernels/kernels.h"
#include "runtime/tensor/cholesky.h"

#define TOGETHER 32 /* columns between two updates of the matrices */
#define TILE 256    /* columns of a task */

void pare_structure_center(struct pare_gram *gram, const double *sum)
{
    const size_t K = gram->K;
    const double rows = (double)gram->rows;
    for (size_t i = 0; i < K; i++) {
        double *row = gram->sum + pare_gram_at(K, i) - i;
        for (size_t j = i; j < K; j++)
            row[j] -= sum[i] * sum[j] / rows;
        row[i] = row[i] > 0 ? row[i] : 0; /* an input that never changes */
    }
}

void pare_structure_center_cross(struct pare_cross *cross, const double *original,
                                 const double *now, size_t rows)
{
    const size_t K = cross->K;
    double *at = cross->sum;
    for (size_t first = 0; first < K; first += PARE_CROSS_COLUMNS) {
        const size_t n = K - first < PARE_CROSS_COLUMNS ? K - first : PARE_CROSS_COLUMNS;
        for (size_t i = 0; i < K; i++)
            for (size_t j = 0; j < n; j++)
                *at++ -= (original[i] - now[i]) * now[first + j] / (double)rows;
    }
}

/* --- Removing columns ------------------------------------------------------------- */

struct elimination {
    const struct pare_structure *s;
    float *inverse; /* [K, K]: H^-1 but for what is put off */
    float *W;       /* [N, K] likewise */
    double *u, *v;  /* [most, K], [most, N]: put off */
    float *U, *V;   /* the same as floats */
    size_t pending, most;
    unsigned char *gone; /* [groups] */
    double *cost;        /* [groups] */
    double least;        /* no diagonal element of H^-1 is below it */
    double loss;
    /* For groups of one column, up to date: */
    double *diagonal; /* [K] of H^-1 */
    double *square;   /* [K] |W_:,j|^2 */
    double *along;    /* [most]: products of v with those put off before it */
    double *block;    /* per worker, for wider groups: [width, width], then [width] */
    struct pare_arena *scratch;
    struct pare_error *err;
};

static double dot(const double *x, const double *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

static void measure_columns(void *context, size_t begin, size_t end)
{
    const struct elimination *e = context;
    const size_t K = e->s->K;
    for (size_t j = begin; j < end; j++) {
        e->diagonal[j] = (double)e->inverse[j * K + j];
        e->square[j] = 0;
    }
    for (size_t n = 0; n < e->s->N; n++)
        for (size_t j = begin; j < end; j++)
            e->square[j] += (double)e->W[n * K + j] * (double)e->W[n * K + j];
}

/* What is put off is subtracted. */
static enum pare_status flush(struct elimination *e)
{
    const size_t K = e->s->K, N = e->s->N, B = e->pending;
    for (size_t i = 0; i < B * K; i++)
        e->U[i] = (float)e->u[i];
    for (size_t i = 0; i < B * N; i++)
        e->V[i] = (float)e->v[i];
    PARE_TRY(pare_gemm(K, K, B, pare_transposed(e->U, K), pare_rows(e->U, K), e->inverse,
                       K, -1, e->scratch, e->err));
    PARE_TRY(pare_gemm(N, K, B, pare_transposed(e->V, N), pare_rows(e->U, K), e->W, K, -1,
                       e->scratch, e->err));
    e->pending = 0;
    if (e->s->width == 1)
        pare_parallel_for(K, TILE, measure_columns, e);
    return PARE_OK;
}

/* Column p goes: u and v are put off. */
static void eliminate(struct elimination *e, size_t p)
{
    const size_t K = e->s->K, N = e->s->N;
    double *u = e->u + e->pending * K, *v = e->v + e->pending * N;
    for (size_t j = 0; j < K; j++)
        u[j] = (double)e->inverse[p * K + j];
    for (size_t n = 0; n < N; n++)
        v[n] = (double)e->W[n * K + p];
    for (size_t i = 0; i < e->pending; i++) {
        const double *ui = e->u + i * K, *vi = e->v + i * N, by = ui[p];
        for (size_t j = 0; j < K; j++)
            u[j] -= by * ui[j];
        for (size_t n = 0; n < N; n++)
            v[n] -= by * vi[n];
    }
    const double by = 1 / sqrt(u[p] > e->least ? u[p] : e->least);
    for (size_t j = 0; j < K; j++)
        u[j] *= by;
    for (size_t n = 0; n < N; n++)
        v[n] *= by;
    e->loss += dot(v, v, N);
    e->pending++;
}

/* --- Groups of one column --------------------------------------------------------- */

/* Diagonal and norms behind the last column that went:
 *     h_jj -= u_j^2,  |w_j|^2 += u_j^2 |v|^2 - 2 u_j (w_j v) */
static void follow_columns(void *context, size_t begin, size_t end)
{
    const struct elimination *e = context;
    const size_t K = e->s->K, N = e->s->N, last = e->pending - 1;
    const double *u = e->u + last * K, *v = e->v + last * N;
    float product[TILE] = {0};
    for (size_t n = 0; n < N; n++)
        pare_kernels()->axpy(product, (float)v[n], e->W + n * K + begin, end - begin);
    double along[TILE];
    for (size_t j = 0; j < end - begin; j++)
        along[j] = (double)product[j];
    for (size_t i = 0; i < last; i++)
        for (size_t j = begin; j < end; j++)
            along[j - begin] -= e->u[i * K + j] * e->along[i];
    for (size_t j = begin; j < end; j++) {
        const double square =
            e->square[j] + u[j] * (u[j] * e->along[last] - 2 * along[j - begin]);
        e->square[j] = square > 0 ? square : 0;
        e->diagonal[j] -= u[j] * u[j];
    }
}

static void follow(struct elimination *e)
{
    const size_t N = e->s->N, last = e->pending - 1;
    for (size_t i = 0; i <= last; i++)
        e->along[i] = dot(e->v + i * N, e->v + last * N, N);
    pare_parallel_for(e->s->K, TILE, follow_columns, e);
}

static void cost_columns(struct elimination *e)
{
    for (size_t j = 0; j < e->s->K; j++) {
        const double h = e->diagonal[j] > e->least ? e->diagonal[j] : e->least;
        e->cost[j] = e->square[j] / h;
    }
}

/* --- Wider groups ----------------------------------------------------------------- */

/* L[n, n] with L L^T = the block of H^-1 at `at`, below and on the diagonal. */
static void factor_block(const struct elimination *e, size_t at, double *L)
{
    const size_t K = e->s->K, n = e->s->width;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            const double rest =
                (double)e->inverse[(at + i) * K + at + j] - dot(L + i * n, L + j * n, j);
            L[i * n + j] =
                j < i ? rest / L[j * n + j] : sqrt(rest > e->least ? rest : e->least);
        }
}

static void cost_groups(void *context, int worker, size_t begin, size_t end)
{
    const struct elimination *e = context;
    const size_t K = e->s->K, n = e->s->width;
    double *L = e->block + (size_t)worker * (n * n + n), *x = L + n * n;
    for (size_t g = begin; g < end; g++) {
        e->cost[g] = 0;
        if (e->gone[g])
            continue;
        factor_block(e, g * n, L);
        for (size_t row = 0; row < e->s->N; row++) {
            const float *w = e->W + row * K + g * n;
            for (size_t i = 0; i < n; i++)
                x[i] = ((double)w[i] - dot(L + i * n, x, i)) / L[i * n + i];
            e->cost[g] += dot(x, x, n);
        }
    }
}

/* --- The choice ------------------------------------------------------------------- */

static size_t cheapest(struct elimination *e, size_t groups)
{
    size_t best = groups;
    if (e->s->width == 1)
        cost_columns(e);
    else
        pare_parallel_for_worker(groups, 1, cost_groups, e);
    for (size_t g = 0; g < groups; g++)
        if (!e->gone[g] && (best == groups || e->cost[g] < e->cost[best]))
            best = g;
    return best;
}

static enum pare_status remove_groups(struct elimination *e, size_t groups)
{
    const size_t width = e->s->width;
    for (size_t left = groups; left > e->s->keep; left--) {
        const size_t g = cheapest(e, groups);
        e->gone[g] = 1;
        for (size_t i = 0; i < width; i++)
            eliminate(e, g * width + i);
        if (width > 1 || e->pending == e->most)
            PARE_TRY(flush(e));
        else
            follow(e);
    }
    return PARE_OK;
}

/* H^-1 = R^-T R^-1 */
static enum pare_status invert(struct elimination *e)
{
    const struct pare_factor *factor = e->s->factor;
    const size_t K = e->s->K;
    double trace = 0;
    for (size_t i = 0; i < K; i++)
        trace += (double)factor->diagonal[i];
    e->least = 1 / trace; /* the trace is no less than the largest eigenvalue */
    memset(e->inverse, 0, K * K * sizeof *e->inverse);
    for (size_t i = 0; i < K; i++)
        e->inverse[i * K + i] = 1;
    PARE_TRY(
        pare_triangle_solve(factor->H, K, K, 1, e->inverse, K, K, e->scratch, e->err));
    return pare_triangle_solve(factor->H, K, K, 0, e->inverse, K, K, e->scratch, e->err);
}

static enum pare_status allocate(struct elimination *e, struct pare_arena *a)
{
    const size_t K = e->s->K, N = e->s->N, width = e->s->width;
    e->most = width > 1 ? width : TOGETHER;
    PARE_TRY(pare_arena_alloc(a, &e->inverse, K, K * sizeof *e->inverse, e->err));
    PARE_TRY(pare_arena_alloc(a, &e->W, N, K * sizeof *e->W, e->err));
    PARE_TRY(pare_arena_alloc(a, &e->u, e->most, K * sizeof *e->u, e->err));
    PARE_TRY(pare_arena_alloc(a, &e->v, e->most, N * sizeof *e->v, e->err));
    PARE_TRY(pare_arena_alloc(a, &e->U, e->most, K * sizeof *e->U, e->err));
    PARE_TRY(pare_arena_alloc(a, &e->V, e->most, N * sizeof *e->V, e->err));
    PARE_TRY(pare_arena_alloc(a, &e->gone, K / width, 1, e->err));
    PARE_TRY(pare_arena_alloc(a, &e->cost, K / width, sizeof *e->cost, e->err));
    PARE_TRY(pare_arena_alloc(a, &e->diagonal, K, sizeof *e->diagonal, e->err));
    PARE_TRY(pare_arena_alloc(a, &e->square, K, sizeof *e->square, e->err));
    PARE_TRY(pare_arena_alloc(a, &e->along, e->most, sizeof *e->along, e->err));
    PARE_TRY(pare_arena_alloc(a, &e->block, (size_t)pare_threads() * (width + 1),
                              width * sizeof *e->block, e->err));
    memset(e->gone, 0, K / width);
    memcpy(e->W, e->s->W, N * K * sizeof *e->W);
    return PARE_OK;
}

enum pare_status pare_structure_choose(const struct pare_structure *structure,
                                       uint32_t *kept, double *loss,
                                       struct pare_arena *scratch, struct pare_error *err)
{
    const size_t groups = structure->K / structure->width;
    const struct pare_arena_mark mark = pare_arena_mark(scratch);
    struct elimination e = {.s = structure, .scratch = scratch, .err = err};
    enum pare_status status;
    size_t n = 0;
    PARE_TRY_OUT(allocate(&e, scratch));
    PARE_TRY_OUT(invert(&e));
    pare_parallel_for(structure->K, TILE, measure_columns, &e);
    PARE_TRY_OUT(remove_groups(&e, groups));
    for (size_t g = 0; g < groups; g++)
        if (!e.gone[g])
            kept[n++] = (uint32_t)g;
    *loss = e.loss;
out:
    pare_arena_release(scratch, mark);
    return status;
}

/* --- What the others become ------------------------------------------------------- */

/* An element of the damped H, which the factor has below its diagonal. */
static float moment(const struct pare_factor *factor, size_t i, size_t j)
{
    return i == j ? factor->diagonal[i]
                  : factor->H[(i > j ? i : j) * factor->K + (i > j ? j : i)];
}

struct fit {
    const struct pare_structure *s;
    size_t *column;      /* [K]: those that stay, ascending, then the others */
    size_t stay, go;     /* how many */
    float *H_kk, *H_rk;  /* [stay, stay], [go, stay] */
    float *W_r, *change; /* [N, go], [N, stay] */
};

static void list_columns(const struct pare_structure *s, const uint32_t *kept,
                         struct fit *fit)
{
    size_t next = 0, stay = 0, go = s->keep * s->width;
    fit->stay = go;
    fit->go = s->K - go;
    for (size_t j = 0; j < s->K; j++) {
        while (next < s->keep && kept[next] < j / s->width)
            next++;
        if (next < s->keep && kept[next] == j / s->width)
            fit->column[stay++] = j;
        else
            fit->column[go++] = j;
    }
}

static void gather_rows(void *context, size_t begin, size_t end)
{
    const struct fit *f = context;
    for (size_t i = begin; i < end; i++) {
        float *row =
            i < f->stay ? f->H_kk + i * f->stay : f->H_rk + (i - f->stay) * f->stay;
        for (size_t j = 0; j < f->stay; j++)
            row[j] = moment(f->s->factor, f->column[i], f->column[j]);
    }
}

static enum pare_status solve(struct fit *f, struct pare_arena *scratch,
                              struct pare_error *err)
{
    const size_t N = f->s->N, K = f->s->K;
    size_t failed;
    for (size_t n = 0; n < N; n++)
        for (size_t i = 0; i < f->go; i++)
            f->W_r[n * f->go + i] = f->s->W[n * K + f->column[f->stay + i]];
    pare_parallel_for(K, 16, gather_rows, f);
    PARE_TRY(pare_gemm(N, f->stay, f->go, pare_rows(f->W_r, f->go),
                       pare_rows(f->H_rk, f->stay), f->change, f->stay, 0, scratch, err));
    PARE_TRY(pare_cholesky(f->H_kk, f->stay, f->stay, &failed, scratch, err));
    if (failed < f->stay)
        return pare_fail(err, PARE_ERR_INPUT,
                         "the second moments of the inputs that stay are singular; give "
                         "more calibration samples");
    PARE_TRY(pare_triangle_solve(f->H_kk, f->stay, f->stay, 1, f->change, N, f->stay,
                                 scratch, err));
    return pare_triangle_solve(f->H_kk, f->stay, f->stay, 0, f->change, N, f->stay,
                               scratch, err);
}

static enum pare_status allocate_fit(struct fit *f, struct pare_arena *a,
                                     struct pare_error *err)
{
    const size_t N = f->s->N;
    PARE_TRY(pare_arena_alloc(a, &f->H_kk, f->stay, f->stay * sizeof(float), err));
    PARE_TRY(pare_arena_alloc(a, &f->H_rk, f->go + 1, f->stay * sizeof(float), err));
    PARE_TRY(pare_arena_alloc(a, &f->W_r, N, (f->go + 1) * sizeof(float), err));
    return pare_arena_alloc(a, &f->change, N, f->stay * sizeof(float), err);
}

enum pare_status pare_structure_compensate(const struct pare_structure *structure,
                                           const uint32_t *kept, float *out,
                                           struct pare_arena *scratch,
                                           struct pare_error *err)
{
    const size_t K = structure->K;
    const struct pare_arena_mark mark = pare_arena_mark(scratch);
    struct fit fit = {.s = structure};
    enum pare_status status;
    pare_structure_drop(structure, kept, out);
    if (structure->factor->fallback)
        return PARE_OK;
    PARE_TRY_OUT(pare_arena_alloc(scratch, &fit.column, K, sizeof *fit.column, err));
    list_columns(structure, kept, &fit);
    if (!fit.go)
        goto out;
    PARE_TRY_OUT(allocate_fit(&fit, scratch, err));
    PARE_TRY_OUT(solve(&fit, scratch, err));
    for (size_t n = 0; n < structure->N; n++)
        for (size_t i = 0; i < fit.stay; i++)
            out[n * K + fit.column[i]] += fit.change[n * fit.stay + i];
out:
    pare_arena_release(scratch, mark);
    return status;
}

void pare_structure_drop(const struct pare_structure *structure, const uint32_t *kept,
                         float *out)
{
    const size_t K = structure->K, width = structure->width;
    memset(out, 0, structure->N * K * sizeof *out);
    for (size_t n = 0; n < structure->N; n++)
        for (size_t i = 0; i < structure->keep; i++)
            memcpy(out + n * K + kept[i] * width, structure->W + n * K + kept[i] * width,
                   width * sizeof *out);
}
