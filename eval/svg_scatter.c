/* Points with error bars, a stepped front and labels that keep out of each other's way.
 */
#include <math.h>

#include "eval/svg_internal.h"
#include "runtime/base/alloc.h"

#define HEIGHT 420
#define LEFT 76
#define RIGHT 28
#define TOP 18
#define BOTTOM 58
#define POINT 5.5
#define CHARACTER 7.0 /* mean width of a character of a label, generously */
#define LINE 16.0

struct box {
    double x1, y1, x2, y2;
};

struct plot {
    struct pare_report_text *out;
    const struct pare_svg_scatter *chart;
    struct pare_svg_axis x_axis, y_axis;
    struct pare_svg_scale x, y;
};

/* ---- axes ---------------------------------------------------------------------- */

static void find_axes(struct plot *plot)
{
    const struct pare_svg_scatter *chart = plot->chart;
    double right = 0, low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < chart->count; i++) {
        const struct pare_svg_point *point = &chart->points[i];
        right = fmax(right, point->x);
        low = fmin(low, fmin(point->y, point->low)); /* fmin ignores NAN */
        high = fmax(high, fmax(point->y, point->high));
    }
    plot->x_axis = pare_svg_axis(0, right * 1.04, 8);
    plot->y_axis = pare_svg_axis(low, high, 7);
    plot->x = pare_svg_scale(&plot->x_axis, LEFT, PARE_SVG_WIDTH - RIGHT);
    plot->y = pare_svg_scale(&plot->y_axis, HEIGHT - BOTTOM, TOP);
}

static void draw_axes(const struct plot *plot)
{
    const struct pare_svg_frame frame = {.left = LEFT,
                                         .right = PARE_SVG_WIDTH - RIGHT,
                                         .top = TOP,
                                         .bottom = HEIGHT - BOTTOM,
                                         .x_axis = &plot->x_axis,
                                         .y_axis = &plot->y_axis,
                                         .x = &plot->x,
                                         .y = &plot->y,
                                         .x_title = plot->chart->x_title,
                                         .y_title = plot->chart->y_title,
                                         .y_unit = plot->chart->y_unit};
    pare_svg_frame(plot->out, &frame);
}

/* ---- points -------------------------------------------------------------------- */

/* The point of the front that follows (x, y) to the right; the leftmost at first. */
static const struct pare_svg_point *next_on_front(const struct pare_svg_scatter *chart,
                                                  const struct pare_svg_point *last)
{
    const struct pare_svg_point *best = NULL;
    for (size_t i = 0; i < chart->count; i++) {
        const struct pare_svg_point *point = &chart->points[i];
        if (point->on_front && (!last || point->x > last->x) &&
            (!best || point->x < best->x))
            best = point;
    }
    return best;
}

/* Between two points the best that can be had is the left one: the front is a stair. */
static void draw_front(const struct plot *plot)
{
    const struct pare_svg_point *point = next_on_front(plot->chart, NULL);
    if (!point)
        return;
    double right = PARE_SVG_WIDTH - RIGHT;
    pare_report_putf(plot->out, "<path class=\"front\" d=\"M%.1f %.1f",
                     pare_svg_at(&plot->x, point->x), pare_svg_at(&plot->y, point->y));
    while ((point = next_on_front(plot->chart, point)))
        pare_report_putf(plot->out, "H%.1fV%.1f", pare_svg_at(&plot->x, point->x),
                         pare_svg_at(&plot->y, point->y));
    pare_report_putf(plot->out, "H%.1f\"/>\n", right);
}

static void draw_point(const struct plot *plot, const struct pare_svg_point *point)
{
    double x = pare_svg_at(&plot->x, point->x), y = pare_svg_at(&plot->y, point->y);
    if (!isnan(point->low) && !isnan(point->high)) {
        double low = pare_svg_at(&plot->y, point->low);
        double high = pare_svg_at(&plot->y, point->high);
        pare_svg_line(plot->out, "error", x, low, x, high);
        pare_svg_line(plot->out, "error", x - 4, low, x + 4, low);
        pare_svg_line(plot->out, "error", x - 4, high, x + 4, high);
    }
    pare_report_putf(plot->out,
                     "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>\n",
                     point->is_reference ? "point reference"
                     : point->on_front   ? "point"
                                         : "point dominated",
                     x, y, POINT);
}

/* ---- labels -------------------------------------------------------------------- */

static double overlap(const struct box *a, const struct box *b)
{
    double width = fmin(a->x2, b->x2) - fmax(a->x1, b->x1);
    double height = fmin(a->y2, b->y2) - fmax(a->y1, b->y1);
    return width > 0 && height > 0 ? width * height : 0;
}

static struct box box_of_point(const struct plot *plot, size_t i)
{
    double x = pare_svg_at(&plot->x, plot->chart->points[i].x);
    double y = pare_svg_at(&plot->y, plot->chart->points[i].y);
    return (struct box){x - POINT - 2, y - POINT - 2, x + POINT + 2, y + POINT + 2};
}

/* Pixels of `place` that the point's own drawing covers: marker, error bar, and the lines
 * of front and reference that start at it. The worse to read through, the more a pixel
 * counts. */
static double covered(const struct plot *plot, const struct box *place, size_t i)
{
    const struct pare_svg_point *point = &plot->chart->points[i];
    const struct pare_svg_point *next =
        point->on_front ? next_on_front(plot->chart, point) : NULL;
    const struct box marker = box_of_point(plot, i);
    double x = (marker.x1 + marker.x2) / 2, y = (marker.y1 + marker.y2) / 2;
    double end = next ? pare_svg_at(&plot->x, next->x) : PARE_SVG_WIDTH - RIGHT;
    double sum = 5 * overlap(place, &marker);
    if (!isnan(point->low) && !isnan(point->high)) {
        const struct box bar = {x - 5, pare_svg_at(&plot->y, point->high), x + 5,
                                pare_svg_at(&plot->y, point->low)};
        sum += 3 * overlap(place, &bar);
    }
    if (point->on_front || point->is_reference) {
        const struct box line = {x, y - 1.5, end, y + 1.5};
        sum += 1.5 * overlap(place, &line);
    }
    if (next) {
        const struct box step = {end - 3, pare_svg_at(&plot->y, next->y), end + 3, y};
        sum += 3 * overlap(place, &step);
    }
    return sum;
}

/* How bad a place for a label is. */
static double badness(const struct plot *plot, const struct box *place,
                      const struct box *taken, size_t n_taken)
{
    const struct box inside = {LEFT, TOP - 8, PARE_SVG_WIDTH - 4, HEIGHT - BOTTOM};
    double area = (place->x2 - place->x1) * (place->y2 - place->y1);
    double sum = 20 * (area - overlap(place, &inside));
    for (size_t i = 0; i < n_taken; i++)
        sum += 10 * overlap(place, &taken[i]);
    for (size_t i = 0; i < plot->chart->count; i++)
        sum += covered(plot, place, i);
    return sum;
}

/* Beside the point, a line above or below that, or over and under it. */
static struct box candidate(const struct box *marker, double width, int turn)
{
    static const double heights[] = {-1, 1, -2, 2, 0, -3, 3, -4, 4};
    double middle = (marker->y1 + marker->y2) / 2;
    int right = turn % 2 == 0;
    double x = right ? marker->x2 + 3 : marker->x1 - 3 - width;
    double y = middle + heights[turn / 2] * 0.75 * LINE;
    return (struct box){x, y - LINE / 2, x + width, y + LINE / 2};
}

/* From the point to a label that is further away than the line above or below. */
static void draw_leader(const struct plot *plot, const struct box *marker,
                        const struct box *label, int is_right)
{
    double x = (marker->x1 + marker->x2) / 2, y = (marker->y1 + marker->y2) / 2;
    double end = (label->y1 + label->y2) / 2;
    if (fabs(end - y) > LINE)
        pare_svg_line(plot->out, "leader", x, end < y ? marker->y1 : marker->y2,
                      is_right ? label->x1 - 2 : label->x2 + 2, end);
}

static void draw_labels(const struct plot *plot, struct box *taken)
{
    for (size_t i = 0; i < plot->chart->count; i++) {
        const struct pare_svg_point *point = &plot->chart->points[i];
        const struct box marker = box_of_point(plot, i);
        char label[PARE_SVG_LABEL * 4 + 4];
        pare_report_shorten(point->label, PARE_SVG_LABEL, label, sizeof label);
        double width = CHARACTER * (double)pare_report_width(label), least = INFINITY;
        for (int turn = 0; turn < 18 && least > 0; turn++) {
            struct box place = candidate(&marker, width, turn);
            double found = badness(plot, &place, taken, i) + 4 * turn;
            if (found < least) {
                least = found;
                taken[i] = place;
            }
        }
        int is_right = taken[i].x1 > marker.x1;
        draw_leader(plot, &marker, &taken[i], is_right);
        pare_svg_words(plot->out, "label halo", is_right ? taken[i].x1 : taken[i].x2,
                       (taken[i].y1 + taken[i].y2) / 2 + 4.5, is_right ? "start" : "end",
                       label);
    }
}

void pare_svg_scatter(struct pare_report_text *out, const struct pare_svg_scatter *chart)
{
    struct plot plot = {.out = out, .chart = chart};
    struct box *taken;
    if (out->status != PARE_OK)
        return;
    out->status = pare_alloc(&taken, chart->count, sizeof *taken, NULL);
    if (out->status != PARE_OK)
        return;
    find_axes(&plot);
    pare_svg_begin(out, chart->id, chart->title, chart->summary, HEIGHT);
    draw_axes(&plot);
    for (size_t i = 0; i < chart->count; i++) {
        double y = pare_svg_at(&plot.y, chart->points[i].y);
        if (chart->points[i].is_reference)
            pare_svg_line(out, "across", LEFT, y, PARE_SVG_WIDTH - RIGHT, y);
    }
    draw_front(&plot);
    for (size_t i = 0; i < chart->count; i++)
        draw_point(&plot, &chart->points[i]);
    draw_labels(&plot, taken);
    pare_svg_end(out);
    pare_free(taken);
}
