/* Ranges for static quantisation: see observer.h. */
#include "libquant/observer.h"

#include <math.h>

#define BINS PARE_OBSERVER_BINS
#define CODES 256

static double width_of(const struct pare_histogram *h)
{
    return (h->high - h->low) / BINS;
}

static double middle_of(const struct pare_histogram *h, size_t bin)
{
    return h->low + ((double)bin + 0.5) * width_of(h);
}

void pare_histogram_add(struct pare_histogram *histogram, const float *X, size_t rows,
                        size_t K, const float *by)
{
    const double width = width_of(histogram);
    for (size_t i = 0; i < rows * K; i++) {
        const float x = by ? X[i] * by[i % K] : X[i];
        const double place = ((double)x - histogram->low) / width;
        const size_t bin = !(place > 0) ? 0 : place >= BINS ? BINS - 1 : (size_t)place;
        histogram->counts[bin]++;
    }
    histogram->total += (uint64_t)rows * K;
}

/* --- Percentiles ------------------------------------------------------------------ */

#define LEFT_OUT 10000 /* one of so many, on each side */

static void percentile(const struct pare_histogram *h, double ends[2])
{
    const uint64_t out = h->total / LEFT_OUT;
    uint64_t below = 0, above = 0;
    size_t first = 0, last = BINS - 1;
    while (first < last && below + h->counts[first] <= out)
        below += h->counts[first++];
    while (last > first && above + h->counts[last] <= out)
        above += h->counts[last--];
    ends[0] = h->low + (double)first * width_of(h);
    ends[1] = h->low + (double)(last + 1) * width_of(h);
}

/* --- Least squares ---------------------------------------------------------------- */

#define SHRINKS 64

/* What the codes of the range low .. high make of the histogram. */
static double squares(const struct pare_histogram *h, double low, double high)
{
    const double step = (high - low) / (CODES - 1), zero = rint(-low / step);
    double sum = 0;
    for (size_t bin = 0; bin < BINS; bin++) {
        if (!h->counts[bin])
            continue;
        const double x = middle_of(h, bin);
        const double code = fmin(fmax(rint(x / step + zero), 0), CODES - 1);
        const double e = x - (code - zero) * step;
        sum += (double)h->counts[bin] * (e * e);
    }
    return sum;
}

static void least_squares(const struct pare_histogram *h, double ends[2])
{
    double least = INFINITY;
    for (int i = 0; i < (h->low < 0 ? SHRINKS : 1); i++)
        for (int j = 0; j < (h->high > 0 ? SHRINKS : 1); j++) {
            const double low = h->low * (SHRINKS - i) / SHRINKS;
            const double high = h->high * (SHRINKS - j) / SHRINKS;
            const double sum = squares(h, low, high);
            if (sum < least) {
                least = sum;
                ends[0] = low;
                ends[1] = high;
            }
        }
}

/* --- Entropy ---------------------------------------------------------------------- */

/* log x for x > 0 in operations that IEEE 754 defines: 2 artanh of (m - 1) / (m + 1),
 * with x = m 2^e and m around 1. */
static double natural_log(double x)
{
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752) {
        m *= 2;
        e--;
    }
    const double t = (m - 1) / (m + 1), t2 = t * t;
    double sum = 0;
    for (int i = 23; i > 0; i -= 2)
        sum = sum * t2 + 1.0 / i;
    return 2 * t * sum + e * 0.69314718055994531;
}

#define THRESHOLDS 128
#define LEAST_THRESHOLD                                                                  \
    16               /* of 128: as many bins as codes, if the range is on one side */
#define NOTHING 1e-4 /* counts for a bin of which the codes know nothing */

/* A part of the histogram, and what lies outside of it. */
struct window {
    size_t first, end;
    uint64_t below, above;
};

static struct window window_of(const struct pare_histogram *h, double threshold)
{
    struct window w = {0, BINS, 0, 0};
    while (w.first + 1 < w.end && middle_of(h, w.first) < -threshold)
        w.below += h->counts[w.first++];
    while (w.end > w.first + 1 && middle_of(h, w.end - 1) > threshold)
        w.above += h->counts[--w.end];
    return w;
}

/* KL of the window, in whose ends lies what is outside, from the bins of each code of it
 * made equal. */
static double divergence(const struct pare_histogram *h, const struct window *w)
{
    const size_t bins = w->end - w->first;
    const double all = (double)h->total, inside = all - (double)(w->below + w->above);
    double sum = 0;
    for (size_t code = 0; code < CODES; code++) {
        const size_t begin = w->first + (code * bins + CODES - 1) / CODES;
        const size_t end = w->first + ((code + 1) * bins + CODES - 1) / CODES;
        double counts = 0, used = 0;
        for (size_t bin = begin; bin < end; bin++) {
            counts += (double)h->counts[bin];
            used += h->counts[bin] > 0;
        }
        for (size_t bin = begin; bin < end; bin++) {
            double p = (double)h->counts[bin];
            const double q = p > 0 ? counts / used : NOTHING;
            p += bin == w->first ? (double)w->below : 0;
            p += bin == w->end - 1 ? (double)w->above : 0;
            if (p > 0)
                sum += p / all * natural_log(p / all * inside / q);
        }
    }
    return sum;
}

static void least_entropy(const struct pare_histogram *h, double ends[2])
{
    const double most = fmax(-h->low, h->high);
    double least = INFINITY;
    for (int t = THRESHOLDS; t >= LEAST_THRESHOLD; t--) {
        const double threshold = most * t / THRESHOLDS;
        const struct window w = window_of(h, threshold);
        if (h->total == w.below + w.above)
            continue;
        const double found = divergence(h, &w);
        if (found < least) {
            least = found;
            ends[0] = fmax(h->low, -threshold);
            ends[1] = fmin(h->high, threshold);
        }
    }
}

void pare_observer_range(enum pare_observer observer,
                         const struct pare_histogram *histogram, float range[2])
{
    double ends[2] = {histogram->low, histogram->high};
    switch (observer) {
    case PARE_OBSERVER_PERCENTILE: percentile(histogram, ends); break;
    case PARE_OBSERVER_MSE: least_squares(histogram, ends); break;
    case PARE_OBSERVER_ENTROPY: least_entropy(histogram, ends); break;
    default: break;
    }
    range[0] = (float)fmin(ends[0], 0);
    range[1] = (float)fmax(ends[1], 0);
}
