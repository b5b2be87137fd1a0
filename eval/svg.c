#include "eval/svg.h"

#include <math.h>
#include <stdio.h>

#include "eval/svg_internal.h"

/* ---- axes ---------------------------------------------------------------------- */

/* m * 10^k; below 1 as a quotient of whole numbers, so that 0.01 is the double nearest to
 * it. */
static double decimal(double m, int k)
{
    double power = 1;
    for (int i = 0; i < (k < 0 ? -k : k); i++)
        power *= 10;
    return k < 0 ? m / power : m * power;
}

struct pare_svg_axis pare_svg_axis(double low, double high, int most)
{
    static const double steps[] = {1, 2, 5, 10, 20};
    struct pare_svg_axis axis = {0};
    if (!(high - low > 1e-6 * fabs(high))) { /* one value: some room around it */
        double room = high != 0 ? fabs(high) * 0.05 : 1;
        low -= room;
        high += room;
    }
    int k = 0;
    while (k < 15 && decimal(1, k + 1) <= (high - low) / most)
        k++;
    while (k > -15 && decimal(1, k) > (high - low) / most)
        k--;
    for (int i = 0; i < 5; i++) {
        double first, last;
        axis.step = decimal(steps[i], k);
        first = floor(low / axis.step + 1e-9);
        last = ceil(high / axis.step - 1e-9);
        axis.first = (long)first;
        axis.count = (long)(last - first) + 1;
        if (last - first <= most)
            break;
    }
    for (double step = axis.step; step < 1 - 1e-9 && axis.decimals < 15; step *= 10)
        axis.decimals++;
    return axis;
}

struct pare_svg_scale pare_svg_scale(const struct pare_svg_axis *axis, double pixel_from,
                                     double pixel_to)
{
    return (struct pare_svg_scale){
        .from = axis->step * (double)axis->first,
        .to = axis->step * (double)(axis->first + axis->count - 1),
        .pixel_from = pixel_from,
        .pixel_to = pixel_to,
    };
}

double pare_svg_at(const struct pare_svg_scale *scale, double value)
{
    return scale->pixel_from + (value - scale->from) / (scale->to - scale->from) *
                                   (scale->pixel_to - scale->pixel_from);
}

const char *pare_svg_tick(const struct pare_svg_axis *axis, long i, const char *unit,
                          char out[48])
{
    snprintf(out, 48, "%.*f%s%s", axis->decimals, axis->step * (double)(axis->first + i),
             unit ? " " : "", unit ? unit : "");
    return out;
}

/* ---- elements ------------------------------------------------------------------ */

void pare_svg_begin(struct pare_report_text *out, const char *id, const char *title,
                    const char *summary, double height)
{
    pare_report_putf(out,
                     "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" "
                     "width=\"%d\" height=\"%.0f\" role=\"img\" "
                     "aria-labelledby=\"%s-title %s-desc\">\n<title id=\"%s-title\">",
                     PARE_SVG_WIDTH, height, PARE_SVG_WIDTH, height, id, id, id);
    pare_report_put_safe(out, title, PARE_ESCAPE_HTML);
    pare_report_putf(out, "</title>\n<desc id=\"%s-desc\">", id);
    pare_report_put_safe(out, summary, PARE_ESCAPE_HTML);
    pare_report_put(out, "</desc>\n");
}

void pare_svg_end(struct pare_report_text *out)
{
    pare_report_put(out, "</svg>\n");
}

void pare_svg_line(struct pare_report_text *out, const char *class, double x1, double y1,
                   double x2, double y2)
{
    pare_report_putf(out,
                     "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
                     "y2=\"%.1f\"/>\n",
                     class, x1, y1, x2, y2);
}

void pare_svg_words(struct pare_report_text *out, const char *class, double x, double y,
                    const char *anchor, const char *words)
{
    pare_report_putf(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
                     class, x, y, anchor);
    pare_report_put_safe(out, words, PARE_ESCAPE_HTML);
    pare_report_put(out, "</text>\n");
}

void pare_svg_frame(struct pare_report_text *out, const struct pare_svg_frame *f)
{
    char tick[48];
    for (long i = 0; i < f->y_axis->count; i++) {
        double y = pare_svg_at(f->y, f->y_axis->step * (double)(f->y_axis->first + i));
        pare_svg_line(out, "grid", f->left, y, f->right, y);
        pare_svg_words(out, "tick", f->left - 10, y + 4, "end",
                       pare_svg_tick(f->y_axis, i, f->y_unit, tick));
    }
    for (long i = 0; i < f->x_axis->count; i++) {
        double x = pare_svg_at(f->x, f->x_axis->step * (double)(f->x_axis->first + i));
        pare_svg_line(out, "axis", x, f->bottom, x, f->bottom + 5);
        pare_svg_words(out, "tick", x, f->bottom + 20, "middle",
                       pare_svg_tick(f->x_axis, i, NULL, tick));
    }
    pare_svg_line(out, "axis", f->left, f->bottom, f->right, f->bottom);
    pare_svg_words(out, "axis-title", (f->left + f->right) / 2, f->bottom + 46, "middle",
                   f->x_title);
    pare_report_putf(out,
                     "<text class=\"axis-title\" transform=\"translate(16 %.1f) "
                     "rotate(-90)\" text-anchor=\"middle\">",
                     (f->top + f->bottom) / 2);
    pare_report_put_safe(out, f->y_title, PARE_ESCAPE_HTML);
    pare_report_put(out, "</text>\n");
}
