/* Charts as SVG: points with error bars and a front, bars with whiskers, and lines. They
 * know nothing of models.
 *
 * Each chart is one <svg> element with a title and a description for screen readers. Its
 * colours come from the page: classes that eval/report_style.c fills, so one drawing
 * serves light, dark and paper. Coordinates are rounded to a tenth of a pixel. */
#ifndef PARE_EVAL_SVG_H
#define PARE_EVAL_SVG_H

#include "eval/report_text.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An axis with round ticks: value = step * (first ... first + count - 1). */
struct pare_svg_axis {
    double step;
    long first, count;
    int decimals; /* that a tick needs */
};
/* The finest step of 1, 2 or 5 times a power of ten that has at most `most` intervals
 * around [low, high]. Values are finite, low <= high. */
struct pare_svg_axis pare_svg_axis(double low, double high, int most);

struct pare_svg_point {
    double x, y;
    double low, high;  /* error bar; NAN: none */
    const char *label; /* foreign text */
    int on_front;
    int is_reference; /* drawn hollow, with a line across at its height */
};

struct pare_svg_scatter {
    const char *id;              /* unique in the page */
    const char *title, *summary; /* foreign text may be in them */
    const char *x_title, *y_title, *y_unit;
    const struct pare_svg_point *points;
    size_t count;
};
void pare_svg_scatter(struct pare_report_text *out, const struct pare_svg_scatter *chart);

struct pare_svg_bar {
    const char *label;    /* foreign text */
    double p50, p90, p99; /* p90, p99: NAN when not known */
    const char *value;    /* written behind the bar */
    const char *note;     /* after it, lighter; or NULL */
    int is_reference;
};
struct pare_svg_group { /* bars on an axis of their own, from 0 */
    const char *title;
    const struct pare_svg_bar *bars;
    size_t count;
};
struct pare_svg_bars {
    const char *id, *title, *summary;
    const char *unit; /* "ms" */
    const struct pare_svg_group *groups;
    size_t count;
};
void pare_svg_bars(struct pare_report_text *out, const struct pare_svg_bars *chart);

#define PARE_SVG_SERIES 2

struct pare_svg_series {
    const char *label;   /* a short word of our own, at the end of the line */
    const double *x, *y; /* x ascending, at least 0; y NAN: a gap */
    size_t count;
    int marks;   /* a dot at each point, unless there are many */
    long chosen; /* index of a point with a ring, -1: none */
};
struct pare_svg_lines {
    const char *id, *title, *summary;
    const char *x_title, *y_title;
    const char *y_unit; /* or NULL */
    const struct pare_svg_series *series;
    size_t count; /* at most PARE_SVG_SERIES */
};
void pare_svg_lines(struct pare_report_text *out, const struct pare_svg_lines *chart);

#ifdef __cplusplus
}
#endif
#endif
