/* Bars to the median, a line on to p99 with ticks at p90 and p99, group below group. */
#include <math.h>

#include "eval/svg_internal.h"

#define LABEL_WIDTH 210
#define VALUE_WIDTH 130
#define ROW 26
#define BAR 14
#define GROUP_HEAD 30
#define GROUP_FOOT 36
/* A p99 further out than so many medians is cut: one slow run of a noisy machine must not
 * press all bars flat. */
#define LONGEST_WHISKER 3

/* The end of the axis. */
static double reach(const struct pare_svg_group *group)
{
    double longest_bar = 0, longest = 0;
    for (size_t i = 0; i < group->count; i++) {
        const struct pare_svg_bar *bar = &group->bars[i];
        longest_bar = fmax(longest_bar, bar->p50); /* fmax ignores NAN */
        longest = fmax(longest, fmax(bar->p50, fmax(bar->p90, bar->p99)));
    }
    return longest_bar > 0 ? fmin(longest, LONGEST_WHISKER * longest_bar) : 1;
}

static void draw_whisker(struct pare_report_text *out, const struct pare_svg_bar *bar,
                         const struct pare_svg_scale *scale, double middle, double *end)
{
    double last = fmax(bar->p90, bar->p99);
    if (isnan(last) || last <= bar->p50)
        return;
    int is_cut = last > scale->to;
    *end = pare_svg_at(scale, is_cut ? scale->to : last);
    pare_svg_line(out, "whisker", pare_svg_at(scale, bar->p50), middle, *end, middle);
    const double ticks[] = {bar->p90, bar->p99};
    for (int i = 0; i < 2; i++) {
        double x = pare_svg_at(scale, ticks[i]);
        if (ticks[i] <= scale->to)
            pare_svg_line(out, "whisker", x, middle - 4, x, middle + 4);
    }
    if (is_cut) /* an arrow head: the line goes on */
        pare_report_putf(
            out, "<path class=\"whisker\" d=\"M%.1f %.1fL%.1f %.1fL%.1f %.1f\"/>\n",
            *end - 5, middle - 4, *end, middle, *end - 5, middle + 4);
}

static void draw_bar(struct pare_report_text *out, const struct pare_svg_bar *bar,
                     const struct pare_svg_scale *scale, double top)
{
    char label[PARE_SVG_LABEL * 4 + 4];
    double middle = top + ROW / 2.0, end = pare_svg_at(scale, bar->p50);
    pare_report_shorten(bar->label, PARE_SVG_LABEL, label, sizeof label);
    pare_svg_words(out, "label", LABEL_WIDTH - 12, middle + 4.5, "end", label);
    pare_report_putf(out,
                     "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                     "height=\"%d\" rx=\"1.5\"/>\n",
                     bar->is_reference ? "bar reference" : "bar", scale->pixel_from,
                     middle - BAR / 2.0, end - scale->pixel_from, BAR);
    draw_whisker(out, bar, scale, middle, &end);
    pare_report_putf(out, "<text class=\"value\" x=\"%.1f\" y=\"%.1f\">", end + 8,
                     middle + 4.5);
    pare_report_put_safe(out, bar->value, PARE_ESCAPE_HTML);
    if (bar->note) {
        pare_report_put(out, "<tspan class=\"note\" dx=\"7\">");
        pare_report_put_safe(out, bar->note, PARE_ESCAPE_HTML);
        pare_report_put(out, "</tspan>");
    }
    pare_report_put(out, "</text>\n");
}

static double group_height(const struct pare_svg_group *group)
{
    return GROUP_HEAD + ROW * (double)group->count + GROUP_FOOT;
}

static void draw_group(struct pare_report_text *out, const struct pare_svg_group *group,
                       const char *unit, double top)
{
    struct pare_svg_axis axis = pare_svg_axis(0, reach(group), 6);
    struct pare_svg_scale scale =
        pare_svg_scale(&axis, LABEL_WIDTH, PARE_SVG_WIDTH - VALUE_WIDTH);
    double bars = top + GROUP_HEAD, bottom = bars + ROW * (double)group->count;
    pare_svg_words(out, "heading", LABEL_WIDTH, top + 20, "start", group->title);
    for (long i = 0; i < axis.count; i++) {
        char tick[48];
        double x = pare_svg_at(&scale, axis.step * (double)(axis.first + i));
        pare_svg_line(out, i ? "grid" : "axis", x, bars, x, bottom + (i ? 0 : 4));
        pare_svg_words(out, "tick", x, bottom + 18, "middle",
                       pare_svg_tick(&axis, i, i + 1 == axis.count ? unit : NULL, tick));
    }
    for (size_t i = 0; i < group->count; i++)
        draw_bar(out, &group->bars[i], &scale, bars + ROW * (double)i);
}

void pare_svg_bars(struct pare_report_text *out, const struct pare_svg_bars *chart)
{
    double height = 0, top = 0;
    for (size_t i = 0; i < chart->count; i++)
        height += group_height(&chart->groups[i]);
    pare_svg_begin(out, chart->id, chart->title, chart->summary, height);
    for (size_t i = 0; i < chart->count; i++) {
        draw_group(out, &chart->groups[i], chart->unit, top);
        top += group_height(&chart->groups[i]);
    }
    pare_svg_end(out);
}
