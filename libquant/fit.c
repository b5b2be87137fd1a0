/* Grids of groups: see fit.h. */
#include "libquant/fit.h"
#include "libquant/rounding.h"

#include <math.h>
#include <string.h>

#define ROWS PARE_SWEEP_ROWS
#define NORM 2.4f
/* The best scale of three values is well above the mean of |w|: p goes down from here to
 * 1. */
#define FIRST_TERNARY 1.8f

/* What grids are made from, lane by lane. */
struct range {
    float low[ROWS], high[ROWS];
    float mean[ROWS]; /* of |x| */
};

static float to_half(const struct pare_lattice *lattice, float value)
{
    if (!lattice->half)
        return value;
    uint16_t half;
    return pare_round_scale(value, lattice->bf16, &half);
}

/* All rules but MINIMUM take 0 into the range. */
static void find_range(const struct pare_lattice *lattice,
                       const struct pare_sweep_tile *tile, struct range *range)
{
    memset(range, 0, sizeof *range);
    if (lattice->rule == PARE_RULE_MINIMUM) {
        memcpy(range->low, tile->x, sizeof range->low);
        memcpy(range->high, tile->x, sizeof range->high);
    }
    for (size_t k = 0; k < tile->columns; k++) {
        const float *x = tile->x + k * ROWS;
        for (int i = 0; i < ROWS; i++)
            range->low[i] = x[i] < range->low[i] ? x[i] : range->low[i];
        for (int i = 0; i < ROWS; i++)
            range->high[i] = x[i] > range->high[i] ? x[i] : range->high[i];
    }
    if (lattice->rule != PARE_RULE_TERNARY)
        return;
    for (size_t k = 0; k < tile->columns; k++)
        for (int i = 0; i < ROWS; i++)
            range->mean[i] += fabsf(tile->x[k * ROWS + (size_t)i]);
    for (int i = 0; i < ROWS; i++)
        range->mean[i] /= (float)tile->columns;
}

/* The grid of lane i for its range shrunk by p, the other way round when flipped. */
static void make(const struct pare_lattice *lattice, const struct range *range, int i,
                 float p, int flipped, struct pare_fit_lanes *out)
{
    const float low = range->low[i], high = range->high[i];
    const float most = high < -low ? low : high;
    float scale = 0, zero = lattice->zero;
    switch (lattice->rule) {
    case PARE_RULE_SIGNED: scale = (flipped ? most : -most) * p; break;
    case PARE_RULE_BALANCED: scale = fabsf(most) * p; break;
    case PARE_RULE_TERNARY: scale = range->mean[i] * p; break;
    default: scale = (high - low) * p;
    }
    scale = to_half(lattice, scale / lattice->divisor) + 0.0f; /* no -0 */
    const float inverse = scale != 0 ? 1 / scale : 0;
    if (lattice->rule == PARE_RULE_RANGE) {
        const float raw = -low * p * inverse;
        zero = pare_round_even(raw < lattice->high ? raw : lattice->high);
    }
    out->scale[i] = scale;
    out->inverse[i] = inverse;
    out->shift[i] = zero;
    out->offset[i] = -scale * zero;
    if (lattice->rule == PARE_RULE_MINIMUM) {
        const float shrunk = low + (1 - p) * 0.5f * (high - low);
        out->offset[i] = to_half(lattice, shrunk);
        out->shift[i] = -out->offset[i] * inverse;
    }
}

static void cost_of_sweep(const struct pare_sweep_tile *tile,
                          const struct pare_lane_grid *grid, float *loss, float *x)
{
    const struct pare_kernels *kernels = pare_kernels();
    float y[ROWS], e[ROWS];
    memcpy(x, tile->x, tile->columns * ROWS * sizeof *x);
    for (size_t k = 0; k < tile->columns; k++, x += ROWS) {
        kernels->round_affine(y, NULL, x, grid, tile->rows);
        kernels->deviate(e, loss, x, y, tile->cost[k], tile->rows);
        kernels->rank_one(x + ROWS, ROWS, tile->T + k * tile->ldt + k + 1, e,
                          tile->columns - k - 1, tile->rows);
    }
}

static void cost_of_rounding(const struct pare_sweep_tile *tile, enum pare_search search,
                             const struct pare_lane_grid *grid, float *loss)
{
    const struct pare_kernels *kernels = pare_kernels();
    const int weighs = search == PARE_SEARCH_COST || search == PARE_SEARCH_SWEEP;
    float y[ROWS];
    for (size_t k = 0; k < tile->columns; k++) {
        const float *x = tile->x + k * ROWS;
        kernels->round_affine(y, NULL, x, grid, tile->rows);
        if (search == PARE_SEARCH_NORM)
            kernels->deviate_power(loss, x, y, 1, NORM, tile->rows);
        else
            kernels->deviate(NULL, loss, x, y, weighs ? tile->cost[k] : 1, tile->rows);
    }
}

void pare_fit_cost(const struct pare_fit *fit, const struct pare_sweep_tile *tile,
                   const struct pare_fit_lanes *lanes, float *loss, float *scratch)
{
    const struct pare_lane_grid grid = {lanes->scale,     lanes->offset,
                                        lanes->inverse,   lanes->shift,
                                        fit->lattice.low, fit->lattice.high};
    if (fit->search == PARE_SEARCH_SWEEP && tile->T)
        cost_of_sweep(tile, &grid, loss, scratch);
    else
        cost_of_rounding(tile, fit->search, &grid, loss);
}

/* The scale of three values that suits their codes best. */
static void polish_ternary(const struct pare_fit *fit, const struct pare_sweep_tile *tile,
                           struct pare_fit_lanes *lanes)
{
    const struct pare_lattice *lattice = &fit->lattice;
    const struct pare_lane_grid grid = {lanes->scale, lanes->offset, lanes->inverse,
                                        lanes->shift, lattice->low,  lattice->high};
    float y[ROWS], qx[ROWS] = {0}, qq[ROWS] = {0};
    uint8_t codes[ROWS] = {0};
    for (size_t k = 0; k < tile->columns; k++) {
        const float *x = tile->x + k * ROWS;
        const float c = fit->search == PARE_SEARCH_SQUARES ? 1 : tile->cost[k];
        pare_kernels()->round_affine(y, codes, x, &grid, tile->rows);
        for (int i = 0; i < ROWS; i++) {
            const float q = (float)codes[i] - lattice->zero;
            qx[i] += c * q * x[i];
            qq[i] += c * q * q;
        }
    }
    for (int i = 0; i < ROWS; i++) {
        const float now = lanes->scale[i];
        const float scale =
            qq[i] > 0 && isfinite(now) ? to_half(lattice, qx[i] / qq[i]) : now;
        lanes->scale[i] = scale;
        lanes->inverse[i] = scale != 0 ? 1 / scale : 0;
        lanes->offset[i] = -scale * lattice->zero;
    }
}

/* Lanes where the candidate costs less take it. */
static void keep_better(const struct pare_fit_lanes *candidate, const float *loss,
                        float *best, struct pare_fit_lanes *out)
{
    for (int i = 0; i < ROWS; i++) {
        if (!(loss[i] < best[i]))
            continue;
        best[i] = loss[i];
        out->scale[i] = candidate->scale[i];
        out->offset[i] = candidate->offset[i];
        out->inverse[i] = candidate->inverse[i];
        out->shift[i] = candidate->shift[i];
    }
}

void pare_fit_tile(const struct pare_fit *fit, const struct pare_sweep_tile *tile,
                   struct pare_fit_lanes *out, float *scratch)
{
    const struct pare_lattice *lattice = &fit->lattice;
    const int directions = lattice->rule == PARE_RULE_SIGNED ? 2 : 1;
    const int candidates = fit->search == PARE_SEARCH_RANGE ? 0 : fit->candidates;
    const int ternary = lattice->rule == PARE_RULE_TERNARY && candidates > 1;
    const int polish = ternary && (fit->search == PARE_SEARCH_SQUARES ||
                                   fit->search == PARE_SEARCH_COST);
    const float first = ternary ? FIRST_TERNARY : 1;
    const float step = ternary ? (first - 1) / (float)(candidates - 1) : fit->step;
    struct range range;
    float best[ROWS];
    find_range(lattice, tile, &range);
    for (int i = 0; i < ROWS; i++) {
        best[i] = INFINITY;
        make(lattice, &range, i, 1, 0, out);
    }
    for (int c = 0; c < candidates * directions; c++) {
        const float p = first - (float)(c / directions) * step;
        struct pare_fit_lanes lanes;
        float loss[ROWS] = {0};
        for (int i = 0; i < ROWS; i++)
            make(lattice, &range, i, p, c % directions, &lanes);
        if (polish)
            polish_ternary(fit, tile, &lanes);
        pare_fit_cost(fit, tile, &lanes, loss, scratch);
        keep_better(&lanes, loss, best, out);
    }
}
