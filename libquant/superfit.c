/* Grids of super-blocks: see superfit.h. */
#include "libquant/superfit.h"

#include <math.h>
#include <string.h>

#include "libquant/rounding.h"
#include "runtime/tensor/superblocks.h"

#define ROWS PARE_SWEEP_ROWS
#define TURNS 3      /* of d and dmin */
#define NEIGHBOURS 2 /* times that the neighbours of the best are tried */

/* The search for the grids of one group. */
struct search {
    const struct pare_fit *fit;
    const struct pare_sweep_tile *tile;
    const struct pare_super_lanes *super; /* NULL: any scale and offset will do */
    struct pare_fit_lanes *out;
    float best[ROWS];            /* what `out` costs */
    float s[ROWS], m[ROWS];      /* the multiples that `out` has */
    float low[ROWS], high[ROWS]; /* of the weights and 0 */
    float *scratch;
};

static int has_minima(const struct pare_fit *fit)
{
    return fit->lattice.rule == PARE_RULE_MINIMA;
}

static float held(float value, float low, float high)
{
    return value > low ? (value < high ? value : high) : low;
}

static void find_range(struct search *search)
{
    const struct pare_sweep_tile *tile = search->tile;
    memset(search->low, 0, sizeof search->low);
    memset(search->high, 0, sizeof search->high);
    for (size_t k = 0; k < tile->columns; k++) {
        const float *x = tile->x + k * ROWS;
        for (int i = 0; i < ROWS; i++)
            search->low[i] = x[i] < search->low[i] ? x[i] : search->low[i];
        for (int i = 0; i < ROWS; i++)
            search->high[i] = x[i] > search->high[i] ? x[i] : search->high[i];
    }
}

/* The grids that have these scales and, with minima, offsets. */
static void fill(const struct pare_fit *fit, const float *scale, const float *offset,
                 struct pare_fit_lanes *lanes)
{
    const float zero = fit->lattice.zero;
    const int minima = has_minima(fit);
    for (int i = 0; i < ROWS; i++) {
        const float inverse = scale[i] != 0 ? 1 / scale[i] : 0;
        lanes->scale[i] = scale[i];
        lanes->inverse[i] = inverse;
        lanes->offset[i] = minima ? offset[i] : 0.0f - scale[i] * zero;
        lanes->shift[i] = minima ? -offset[i] * inverse : zero;
    }
}

static struct pare_lane_grid grid_of(const struct pare_fit *fit,
                                     const struct pare_fit_lanes *lanes)
{
    return (struct pare_lane_grid){lanes->scale, lanes->offset,    lanes->inverse,
                                   lanes->shift, fit->lattice.low, fit->lattice.high};
}

/* Lanes where the grid costs less than what there is take it. */
static void consider(struct search *search, const struct pare_fit_lanes *lanes,
                     const float *s, const float *m)
{
    float loss[ROWS] = {0};
    pare_fit_cost(search->fit, search->tile, lanes, loss, search->scratch);
    for (int i = 0; i < ROWS; i++) {
        if (!(loss[i] < search->best[i]))
            continue;
        search->best[i] = loss[i];
        search->s[i] = s[i];
        search->m[i] = m[i];
        search->out->scale[i] = lanes->scale[i];
        search->out->offset[i] = lanes->offset[i];
        search->out->inverse[i] = lanes->inverse[i];
        search->out->shift[i] = lanes->shift[i];
    }
}

static void consider_multiples(struct search *search, const float *s, const float *m)
{
    const struct pare_super_lanes *super = search->super;
    struct pare_fit_lanes lanes;
    float scale[ROWS], offset[ROWS];
    for (int i = 0; i < ROWS; i++) {
        scale[i] = super->d[i] * s[i] + 0.0f; /* no -0 */
        offset[i] = 0.0f - super->dmin[i] * m[i];
    }
    fill(search->fit, scale, offset, &lanes);
    consider(search, &lanes, s, m);
}

/* The grid itself, or the one next to it that d and dmin allow. */
static void propose(struct search *search, const float *scale, const float *offset)
{
    const struct pare_lattice *lattice = &search->fit->lattice;
    const struct pare_super_lanes *super = search->super;
    float s[ROWS] = {0}, m[ROWS] = {0};
    if (!super) {
        struct pare_fit_lanes lanes;
        fill(search->fit, scale, offset, &lanes);
        consider(search, &lanes, s, m);
        return;
    }
    for (int i = 0; i < ROWS; i++) {
        const float d = super->d[i], dmin = super->dmin[i];
        const float raw = d != 0 ? scale[i] / d : 0,
                    low = dmin != 0 ? -offset[i] / dmin : 0;
        s[i] = pare_round_even(held(raw, lattice->least, lattice->most));
        m[i] = pare_round_even(held(low, 0, lattice->most));
    }
    consider_multiples(search, s, m);
}

/* --- Least squares ---------------------------------------------------------------- */

/* Sums over weights of what x = a p + b r needs, a and b to be found. */
struct sums {
    float pp[ROWS], pr[ROWS], rr[ROWS], px[ROWS], rx[ROWS];
};

static float weight_of(const struct pare_fit *fit, const struct pare_sweep_tile *tile,
                       size_t k)
{
    const int plain =
        fit->search == PARE_SEARCH_SQUARES || fit->search == PARE_SEARCH_NORM;
    return plain ? 1 : tile->cost[k];
}

static void add_up(const struct search *search, const struct pare_fit_lanes *lanes,
                   const float *s, const float *m, struct sums *sums)
{
    const struct pare_sweep_tile *tile = search->tile;
    const struct pare_lane_grid grid = grid_of(search->fit, lanes);
    const float zero = search->fit->lattice.zero;
    float y[ROWS];
    uint8_t codes[ROWS] = {0};
    for (size_t k = 0; k < tile->columns; k++) {
        const float *x = tile->x + k * ROWS, c = weight_of(search->fit, tile, k);
        pare_kernels()->round_affine(y, codes, x, &grid, tile->rows);
        for (int i = 0; i < ROWS; i++) {
            const float p = s[i] * ((float)codes[i] - zero), r = m[i];
            sums->pp[i] += c * p * p;
            sums->pr[i] += c * p * r;
            sums->rr[i] += c * r * r;
            sums->px[i] += c * p * x[i];
            sums->rx[i] += c * r * x[i];
        }
    }
}

/* a and b >= 0 of lane i; 0 where the sums cannot tell. */
static int solve(const struct sums *sums, int i, int both, float *a, float *b)
{
    const float det = sums->pp[i] * sums->rr[i] - sums->pr[i] * sums->pr[i];
    if (both && det > 1e-6f * sums->pp[i] * sums->rr[i]) {
        *a = (sums->px[i] * sums->rr[i] - sums->rx[i] * sums->pr[i]) / det;
        *b = (sums->rx[i] * sums->pp[i] - sums->px[i] * sums->pr[i]) / det;
        if (*b >= 0)
            return 1;
    }
    *b = 0;
    *a = sums->pp[i] > 0 ? sums->px[i] / sums->pp[i] : 0;
    return sums->pp[i] > 0;
}

/* The scales and offsets that suit the codes of these best. */
static void polish(const struct search *search, float *scale, float *offset)
{
    struct pare_fit_lanes lanes;
    struct sums sums = {0};
    float one[ROWS], minus[ROWS];
    for (int i = 0; i < ROWS; i++) {
        one[i] = 1;
        minus[i] = -1;
    }
    fill(search->fit, scale, offset, &lanes);
    add_up(search, &lanes, one, minus, &sums);
    for (int i = 0; i < ROWS; i++) {
        float a, b;
        if (!solve(&sums, i, has_minima(search->fit), &a, &b))
            continue;
        scale[i] = a;
        offset[i] = -b;
    }
}

/* --- A group ---------------------------------------------------------------------- */

static void candidate(const struct search *search, float p, int flipped, float *scale,
                      float *offset)
{
    const struct pare_lattice *lattice = &search->fit->lattice;
    for (int i = 0; i < ROWS; i++) {
        const float low = search->low[i], high = search->high[i];
        const float most = high < -low ? low : high;
        scale[i] = has_minima(search->fit) ? high - low : flipped ? most : -most;
        scale[i] *= p / lattice->divisor;
        offset[i] = low * p;
    }
}

static void try_neighbours(struct search *search)
{
    static const float steps[][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};
    const struct pare_lattice *lattice = &search->fit->lattice;
    const int n = has_minima(search->fit) ? 4 : 2;
    for (int turn = 0; turn < NEIGHBOURS * n; turn++) {
        const float *step = steps[turn % n];
        float s[ROWS], m[ROWS];
        for (int i = 0; i < ROWS; i++) {
            s[i] = held(search->s[i] + step[0], lattice->least, lattice->most);
            m[i] = held(search->m[i] + step[1], 0, lattice->most);
        }
        consider_multiples(search, s, m);
    }
}

/* What stays where no cost is finite: NaN when d or dmin is. */
static void begin(struct search *search, const float *scale, const float *offset)
{
    const struct pare_super_lanes *super = search->super;
    float s[ROWS], o[ROWS];
    for (int i = 0; i < ROWS; i++) {
        search->best[i] = INFINITY;
        search->s[i] = search->m[i] = 0;
        s[i] = super ? super->d[i] * 0 : scale[i];
        o[i] = super ? super->dmin[i] * 0 : offset[i];
    }
    fill(search->fit, s, o, search->out);
}

static void run(struct search *search)
{
    const struct pare_fit *fit = search->fit;
    const int directions = has_minima(fit) ? 1 : 2;
    const int range = fit->search == PARE_SEARCH_RANGE;
    const int candidates = range ? 1 : fit->candidates * directions;
    find_range(search);
    for (int c = 0; c < candidates; c++) {
        const float p = 1 - (float)(c / directions) * fit->step;
        float scale[ROWS], offset[ROWS];
        candidate(search, p, c % directions, scale, offset);
        if (!c)
            begin(search, scale, offset);
        propose(search, scale, offset);
        if (range)
            return;
        polish(search, scale, offset);
        propose(search, scale, offset);
    }
    if (search->super)
        try_neighbours(search);
}

void pare_superfit_group(const struct pare_fit *fit, const struct pare_sweep_tile *tile,
                         const struct pare_super_lanes *super, struct pare_fit_lanes *out,
                         float *scratch)
{
    struct search search = {
        .fit = fit, .tile = tile, .super = super, .out = out, .scratch = scratch};
    run(&search);
}

/* --- A super-block ---------------------------------------------------------------- */

/* Its groups while they are searched for. */
struct groups {
    struct search search[PARE_SUBBLOCKS];
    struct pare_fit_lanes lanes[PARE_SUBBLOCKS];
    struct pare_sweep_tile tile[PARE_SUBBLOCKS];
    size_t n;
};

static float to_half(const struct pare_fit *fit, float value)
{
    uint16_t half;
    return pare_round_scale(value, fit->lattice.bf16, &half);
}

/* From the groups' own scales and offsets. */
static void first_scales(const struct pare_fit *fit, const struct groups *groups,
                         struct pare_super_lanes *super)
{
    const int minima = has_minima(fit);
    const float divisor = minima ? fit->lattice.most : fit->lattice.least;
    for (int i = 0; i < ROWS; i++) {
        float most = 0, lowest = 0;
        for (size_t j = 0; j < groups->n; j++) {
            const float scale = groups->lanes[j].scale[i];
            const float offset = groups->lanes[j].offset[i];
            most = fabsf(scale) > fabsf(most) || isnan(scale) ? scale : most;
            lowest = offset < lowest || isnan(offset) ? offset : lowest;
        }
        super->d[i] = to_half(fit, most / divisor) + 0.0f;
        super->dmin[i] = minima ? to_half(fit, 0.0f - lowest / fit->lattice.most) : 0;
    }
}

/* The least squares for the multiples and codes that the groups have. */
static void next_scales(const struct pare_fit *fit, const struct groups *groups,
                        struct pare_super_lanes *super)
{
    struct sums sums = {0};
    for (size_t j = 0; j < groups->n; j++) {
        const struct search *search = &groups->search[j];
        float minus[ROWS];
        for (int i = 0; i < ROWS; i++)
            minus[i] = -search->m[i];
        add_up(search, &groups->lanes[j], search->s, minus, &sums);
    }
    for (int i = 0; i < ROWS; i++) {
        float d, dmin;
        if (!solve(&sums, i, has_minima(fit), &d, &dmin))
            continue;
        super->d[i] = to_half(fit, d);
        super->dmin[i] = to_half(fit, dmin);
    }
}

/* Lanes where the groups cost less in all than `best` are put out. */
static void keep_better(const struct groups *groups, const struct pare_super_lanes *now,
                        float *best, struct pare_super_lanes *super,
                        struct pare_fit_lanes *out)
{
    float total[ROWS] = {0};
    for (size_t j = 0; j < groups->n; j++)
        for (int i = 0; i < ROWS; i++)
            total[i] += groups->search[j].best[i];
    for (int i = 0; i < ROWS; i++) {
        if (!(total[i] < best[i]))
            continue;
        best[i] = total[i];
        super->d[i] = now->d[i];
        super->dmin[i] = now->dmin[i];
        for (size_t j = 0; j < groups->n; j++) {
            out[j].scale[i] = groups->lanes[j].scale[i];
            out[j].offset[i] = groups->lanes[j].offset[i];
            out[j].inverse[i] = groups->lanes[j].inverse[i];
            out[j].shift[i] = groups->lanes[j].shift[i];
        }
    }
}

void pare_superfit_tile(const struct pare_fit *fit, const struct pare_sweep_tile *tile,
                        size_t group, struct pare_super_lanes *super,
                        struct pare_fit_lanes *out)
{
    const int turns = fit->search == PARE_SEARCH_RANGE ? 1 : TURNS;
    struct groups groups = {.n = tile->columns / group};
    struct pare_super_lanes now;
    float best[ROWS];
    for (size_t j = 0; j < groups.n; j++) {
        groups.tile[j] = *tile;
        groups.tile[j].columns = group;
        groups.tile[j].x += j * group * ROWS;
        groups.tile[j].cost = tile->cost ? tile->cost + j * group : NULL;
        groups.tile[j].T = NULL;
        groups.search[j] =
            (struct search){.fit = fit, .tile = &groups.tile[j], .out = &groups.lanes[j]};
        run(&groups.search[j]);
    }
    first_scales(fit, &groups, &now);
    for (int turn = 0; turn < turns; turn++) {
        for (size_t j = 0; j < groups.n; j++) {
            groups.search[j].super = &now;
            run(&groups.search[j]);
        }
        if (!turn) {
            *super = now;
            memcpy(out, groups.lanes, groups.n * sizeof *out);
            for (int i = 0; i < ROWS; i++)
                best[i] = INFINITY;
        }
        keep_better(&groups, &now, best, super, out);
        if (turn + 1 < turns)
            next_scales(fit, &groups, &now);
    }
}
