/* Lines over a common axis, each with its name at its end. */
#include <math.h>

#include "eval/svg_internal.h"

#define HEIGHT 300
#define LEFT 76
#define RIGHT 92 /* with room for the names */
#define TOP 18
#define BOTTOM 58
#define POINT 4.0
#define LINE 15.0
#define MOST_MARKS 40 /* beyond which a line is drawn without its points */

struct plot {
    struct pare_report_text *out;
    const struct pare_svg_lines *chart;
    struct pare_svg_axis x_axis, y_axis;
    struct pare_svg_scale x, y;
};

static void find_axes(struct plot *plot)
{
    const struct pare_svg_lines *chart = plot->chart;
    double right = 0, low = INFINITY, high = -INFINITY;
    for (size_t s = 0; s < chart->count; s++) {
        for (size_t i = 0; i < chart->series[s].count; i++) {
            right = fmax(right, chart->series[s].x[i]);
            low = fmin(low, chart->series[s].y[i]); /* fmin ignores NAN */
            high = fmax(high, chart->series[s].y[i]);
        }
    }
    if (!(low <= high)) /* nothing but NAN */
        low = high = 0;
    plot->x_axis = pare_svg_axis(0, right, 8);
    plot->y_axis = pare_svg_axis(low, high, 6);
    plot->x = pare_svg_scale(&plot->x_axis, LEFT, PARE_SVG_WIDTH - RIGHT);
    plot->y = pare_svg_scale(&plot->y_axis, HEIGHT - BOTTOM, TOP);
}

/* The line, broken where there is no value. */
static void draw_line(const struct plot *plot, size_t s)
{
    const struct pare_svg_series *series = &plot->chart->series[s];
    int pen = 0;
    pare_report_putf(plot->out, "<path class=\"series%s\" d=\"", s ? " second" : "");
    for (size_t i = 0; i < series->count; i++) {
        if (isnan(series->y[i])) {
            pen = 0;
            continue;
        }
        pare_report_putf(plot->out, "%c%.1f %.1f", pen ? 'L' : 'M',
                         pare_svg_at(&plot->x, series->x[i]),
                         pare_svg_at(&plot->y, series->y[i]));
        pen = 1;
    }
    pare_report_put(plot->out, "\"/>\n");
}

static void draw_mark(const struct plot *plot, const struct pare_svg_series *series,
                      size_t i, const char *class)
{
    if (isnan(series->y[i]))
        return;
    pare_report_putf(
        plot->out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>\n", class,
        pare_svg_at(&plot->x, series->x[i]), pare_svg_at(&plot->y, series->y[i]), POINT);
}

/* Height of the last value, NAN without any. */
static double end_of(const struct plot *plot, size_t s)
{
    const struct pare_svg_series *series = &plot->chart->series[s];
    for (size_t i = series->count; i-- > 0;)
        if (!isnan(series->y[i]))
            return pare_svg_at(&plot->y, series->y[i]);
    return NAN;
}

static void draw_names(const struct plot *plot)
{
    double heights[PARE_SVG_SERIES];
    for (size_t s = 0; s < plot->chart->count; s++)
        heights[s] = end_of(plot, s);
    if (plot->chart->count == 2 && fabs(heights[0] - heights[1]) < LINE) {
        const double middle = (heights[0] + heights[1]) / 2;
        const int first_above = heights[0] <= heights[1];
        heights[0] = middle + (first_above ? -LINE / 2 : LINE / 2);
        heights[1] = middle - (first_above ? -LINE / 2 : LINE / 2);
    }
    for (size_t s = 0; s < plot->chart->count; s++)
        if (!isnan(heights[s]))
            pare_svg_words(plot->out, "label halo", PARE_SVG_WIDTH - RIGHT + 10,
                           heights[s] + 4.5, "start", plot->chart->series[s].label);
}

void pare_svg_lines(struct pare_report_text *out, const struct pare_svg_lines *chart)
{
    struct plot plot = {.out = out, .chart = chart};
    if (out->status != PARE_OK)
        return;
    find_axes(&plot);
    const struct pare_svg_frame frame = {.left = LEFT,
                                         .right = PARE_SVG_WIDTH - RIGHT,
                                         .top = TOP,
                                         .bottom = HEIGHT - BOTTOM,
                                         .x_axis = &plot.x_axis,
                                         .y_axis = &plot.y_axis,
                                         .x = &plot.x,
                                         .y = &plot.y,
                                         .x_title = chart->x_title,
                                         .y_title = chart->y_title,
                                         .y_unit = chart->y_unit};
    pare_svg_begin(out, chart->id, chart->title, chart->summary, HEIGHT);
    pare_svg_frame(out, &frame);
    for (size_t s = 0; s < chart->count; s++) {
        const struct pare_svg_series *series = &chart->series[s];
        draw_line(&plot, s);
        for (size_t i = 0;
             series->marks && series->count <= MOST_MARKS && i < series->count; i++)
            draw_mark(&plot, series, i, s ? "mark second" : "mark");
        if (series->chosen >= 0)
            draw_mark(&plot, series, (size_t)series->chosen, "point reference");
    }
    draw_names(&plot);
    pare_svg_end(out);
}
