/* What the charts of eval/svg.h share. */
#ifndef PARE_EVAL_SVG_INTERNAL_H
#define PARE_EVAL_SVG_INTERNAL_H

#include "eval/svg.h"

#define PARE_SVG_WIDTH 760
#define PARE_SVG_LABEL 28 /* characters of a name */

struct pare_svg_scale { /* a linear map of values to pixels */
    double from, to;
    double pixel_from, pixel_to;
};
double pare_svg_at(const struct pare_svg_scale *scale, double value);
struct pare_svg_scale pare_svg_scale(const struct pare_svg_axis *axis, double pixel_from,
                                     double pixel_to);

void pare_svg_begin(struct pare_report_text *out, const char *id, const char *title,
                    const char *summary, double height);
void pare_svg_end(struct pare_report_text *out);
void pare_svg_line(struct pare_report_text *out, const char *class, double x1, double y1,
                   double x2, double y2);
/* anchor: "start", "middle", "end". */
void pare_svg_words(struct pare_report_text *out, const char *class, double x, double y,
                    const char *anchor, const char *words);
struct pare_svg_frame { /* grid, axes and their titles around a field of pixels */
    double left, right, top, bottom;
    const struct pare_svg_axis *x_axis, *y_axis;
    const struct pare_svg_scale *x, *y;
    const char *x_title, *y_title, *y_unit;
};
void pare_svg_frame(struct pare_report_text *out, const struct pare_svg_frame *frame);
/* A tick's number, with its unit when that is not NULL. */
const char *pare_svg_tick(const struct pare_svg_axis *axis, long i, const char *unit,
                          char out[48]);

#endif
