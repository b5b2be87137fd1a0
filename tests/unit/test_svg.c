#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/svg.h"
#include "tests/support/markup.h"

Test(svg, axes_hold_their_values_with_round_steps)
{
    static const double lows[] = {0, 0, 0.001, 85.2, -3, 1e9, 7, 0, 99.999, 0};
    static const double highs[] = {1, 7.3, 0.0042, 93.1, 4, 1.5e9, 7, 0, 100, 1e12};
    for (size_t i = 0; i < sizeof lows / sizeof *lows; i++) {
        for (int most = 2; most < 12; most++) {
            struct pare_svg_axis axis = pare_svg_axis(lows[i], highs[i], most);
            double first = axis.step * (double)axis.first;
            double last = axis.step * (double)(axis.first + axis.count - 1);
            cr_expect_gt(axis.step, 0);
            cr_expect_leq(first, lows[i] + 1e-6 * axis.step);
            cr_expect_geq(last, highs[i] - 1e-6 * axis.step);
            cr_expect_geq(axis.count, 2);
            cr_expect_leq(axis.count, most + 1, "%g..%g in %d: %ld", lows[i], highs[i],
                          most, axis.count);
            /* 1, 2 or 5 times a power of ten: as "%.0e" prints it. */
            char text[40];
            snprintf(text, sizeof text, "%.0e", axis.step);
            cr_expect(strchr("125", text[0]), "%s", text);
            cr_expect_float_eq(atof(text), axis.step, 1e-9 * axis.step);
            snprintf(text, sizeof text, "%.*f", axis.decimals, axis.step);
            cr_expect_float_eq(atof(text), axis.step, 1e-9 * axis.step);
        }
    }
}

static struct pare_report_text scatter(const struct pare_svg_point *points, size_t n)
{
    struct pare_report_text out = {0};
    const struct pare_svg_scatter chart = {.id = "front",
                                           .title = "Accuracy <against> size",
                                           .summary = "a & b",
                                           .x_title = "Size",
                                           .y_title = "Accuracy",
                                           .y_unit = "%",
                                           .points = points,
                                           .count = n};
    pare_svg_scatter(&out, &chart);
    cr_assert_eq(out.status, PARE_OK);
    return out;
}

static void well_formed(const char *text)
{
    struct markup m = markup_check(text);
    cr_expect_null(m.problem, "%s: %.60s", m.problem, m.where);
    cr_expect_eq(m.scripts, 0);
    cr_expect_eq(m.references, 0);
    cr_expect_null(strstr(text, "nan"), "a coordinate is not a number");
    cr_expect_null(strstr(text, "inf"), "a coordinate is infinite");
}

Test(svg, a_scatter_is_well_formed_and_complete)
{
    const struct pare_svg_point points[] = {
        {268.7, 91.2, 89.1, 92.9, "f32", 1, 1},
        {67.8, 91.1, 89.0, 92.8, "int8", 1, 0},
        {71.3, 90.9, NAN, NAN, "q8_0", 0, 0},
    };
    struct pare_report_text out = scatter(points, 3);
    well_formed(out.data);
    cr_expect_eq(markup_count(out.data, "<circle"), 3);
    cr_expect_eq(markup_count(out.data, "class=\"error\""), 6,
                 "three lines each for two");
    cr_expect_eq(markup_count(out.data, "class=\"point dominated\""), 1);
    cr_expect_eq(markup_count(out.data, "class=\"point reference\""), 1);
    cr_expect_eq(markup_count(out.data, "class=\"front\""), 1);
    cr_expect_eq(markup_count(out.data,
                              "<title id=\"front-title\">Accuracy &lt;against&gt; size<"),
                 1);
    cr_expect_eq(markup_count(out.data, "<desc id=\"front-desc\">a &amp; b<"), 1);
    cr_expect_eq(markup_count(out.data, "aria-labelledby=\"front-title front-desc\""), 1);
    for (int i = 0; i < 3; i++)
        cr_expect(strstr(out.data, points[i].label));
    pare_report_text_free(&out);
}

Test(svg, the_front_is_a_stair_to_the_right)
{
    /* x from 0 to 300 on 76..732, y from 80 to 90 on 362..18: exact by hand. */
    const struct pare_svg_point points[] = {{100, 85, 80, 85, "b", 1, 0},
                                            {50, 80, 80, 80, "a", 1, 0},
                                            {285, 90, 85, 90, "c", 1, 0}};
    struct pare_report_text out = scatter(points, 3);
    cr_expect(strstr(out.data, "d=\"M185.3 362.0H294.7V190.0H699.2V18.0H732.0\""), "%s",
              strstr(out.data, "class=\"front\""));
    pare_report_text_free(&out);
}

/* x, y of the text element that holds `words`, as a box of its width. */
static void label_box(const char *text, const char *words, double box[4])
{
    char pattern[64];
    snprintf(pattern, sizeof pattern, ">%s</text>", words);
    const char *at = strstr(text, pattern);
    cr_assert_not_null(at);
    int is_end = 0;
    while (strncmp(at, "<text", 5))
        at--;
    double x = atof(strstr(at, " x=\"") + 4), y = atof(strstr(at, " y=\"") + 4);
    is_end =
        strstr(at, "anchor=\"end\"") && strstr(at, "anchor=\"end\"") < strchr(at, '>');
    double width = 6.5 * (double)strlen(words);
    box[0] = is_end ? x - width : x;
    box[1] = y - 11;
    box[2] = box[0] + width;
    box[3] = y + 2;
}

Test(svg, labels_of_near_points_do_not_cover_each_other)
{
    static const char *const names[] = {"model-a", "model-b", "model-c", "model-d"};
    for (int spread = 0; spread < 5; spread++) {
        struct pare_svg_point points[4];
        for (int i = 0; i < 4; i++)
            points[i] = (struct pare_svg_point){
                60 + spread * i, 90 - 0.05 * spread * i, 88, 92, names[i], 0, 0};
        struct pare_report_text out = scatter(points, 4);
        double boxes[4][4];
        for (int i = 0; i < 4; i++)
            label_box(out.data, names[i], boxes[i]);
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < i; j++)
                cr_expect(boxes[i][0] >= boxes[j][2] || boxes[j][0] >= boxes[i][2] ||
                              boxes[i][1] >= boxes[j][3] || boxes[j][1] >= boxes[i][3],
                          "spread %d: %s on %s", spread, names[i], names[j]);
        pare_report_text_free(&out);
    }
}

Test(svg, hostile_names_and_odd_values_stay_inside_the_drawing)
{
    const struct pare_svg_point points[] = {
        {0, 0, 0, 0, "</text></svg><script>alert(1)</script>", 1, 1},
        {0, 0, NAN, NAN, "\"'&<>\x01\x7f\xff\xe2\x80\xae", 1, 0},
        {0, 0, NAN, NAN, "", 1, 0},
        {0, 0, NAN, NAN,
         "a name so long that nobody could ever draw it beside a point, really-q4_0", 1,
         0},
    };
    struct pare_report_text out = scatter(points, 4);
    well_formed(out.data);
    cr_expect_null(strstr(out.data, "<script"));
    cr_expect(strstr(out.data, "\xE2\x80\xA6"), "long names are shortened");
    cr_expect(strstr(out.data, "really-q4_0<"), "and keep their end");
    pare_report_text_free(&out);
    const struct pare_svg_point large = {1e15, 100, 0, 100, "x", 1, 0};
    out = scatter(&large, 1);
    well_formed(out.data);
    pare_report_text_free(&out);
}

static struct pare_report_text bars(const struct pare_svg_bar *list, size_t n)
{
    struct pare_report_text out = {0};
    const struct pare_svg_group groups[] = {{"1 × 64 tokens", list, n},
                                            {"8 × 64 <tokens>", list, n}};
    const struct pare_svg_bars chart = {.id = "latency",
                                        .title = "Latency",
                                        .summary = "",
                                        .unit = "ms",
                                        .groups = groups,
                                        .count = 2};
    pare_svg_bars(&out, &chart);
    cr_assert_eq(out.status, PARE_OK);
    return out;
}

Test(svg, bars_have_whiskers_as_far_as_they_were_measured)
{
    const struct pare_svg_bar list[] = {
        {"f32", 30, 33, 40, "30.0 ms", NULL, 1},
        {"int8", 10, 12, 500, "10.0 ms", "0.33×", 0}, /* p99 beyond the axis */
        {"q4_0", 20, NAN, NAN, "20.0 ms", "0.67×", 0},
    };
    struct pare_report_text out = bars(list, 3);
    well_formed(out.data);
    cr_expect_eq(markup_count(out.data, "<rect"), 6);
    cr_expect_eq(markup_count(out.data, "<rect class=\"bar reference\""), 2);
    /* Line and two ticks; line, one tick and an arrow. Twice. */
    cr_expect_eq(markup_count(out.data, "<line class=\"whisker\""), 10);
    cr_expect_eq(markup_count(out.data, "<path class=\"whisker\""), 2);
    cr_expect(strstr(out.data, "8 × 64 &lt;tokens&gt;"));
    /* The axis ends at 100 ms: a bar of 30 is 0.3 of 210..630. */
    cr_expect(strstr(out.data, "x=\"210.0\" y=\"36.0\" width=\"126.0\""), "%s",
              strstr(out.data, "<rect"));
    pare_report_text_free(&out);
}

Test(svg, bars_of_nothing_are_drawn_too)
{
    const struct pare_svg_bar zero = {"", 0, 0, 0, "", "", 0};
    struct pare_report_text out = bars(&zero, 1);
    well_formed(out.data);
    pare_report_text_free(&out);
    const struct pare_svg_bar large = {"x", 1e12, NAN, 1e12, "", NULL, 0};
    out = bars(&large, 1);
    well_formed(out.data);
    pare_report_text_free(&out);
}

static struct pare_report_text lines(const struct pare_svg_series *series, size_t n)
{
    struct pare_report_text out = {0};
    const struct pare_svg_lines chart = {.id = "loss",
                                         .title = "Loss <over> updates",
                                         .summary = "falls",
                                         .x_title = "Updates",
                                         .y_title = "Loss",
                                         .series = series,
                                         .count = n};
    pare_svg_lines(&out, &chart);
    cr_assert_eq(out.status, PARE_OK);
    return out;
}

Test(svg, lines_go_through_their_points_and_break_at_gaps)
{
    /* x from 0 to 100 on 76..668, y from 0 to 1 on 242..18: exact by hand. */
    static const double x[] = {0, 50, 100}, y[] = {1, 0.5, 0};
    static const double at[] = {25, 50, 75, 100}, dev[] = {0.5, NAN, 0.25, 0.5};
    const struct pare_svg_series series[] = {
        {.label = "training", .x = x, .y = y, .count = 3, .chosen = -1},
        {.label = "dev", .x = at, .y = dev, .count = 4, .marks = 1, .chosen = 2}};
    struct pare_report_text out = lines(series, 2);
    well_formed(out.data);
    cr_expect(
        strstr(out.data, "class=\"series\" d=\"M76.0 18.0L372.0 130.0L668.0 242.0\""),
        "%s", strstr(out.data, "class=\"series"));
    cr_expect(strstr(out.data, "class=\"series second\" d=\"M224.0 130.0M520.0 186.0"
                               "L668.0 130.0\""));
    cr_expect_eq(markup_count(out.data, "class=\"mark second\""), 3);
    cr_expect_eq(markup_count(out.data, "class=\"mark\""), 0);
    cr_expect(strstr(out.data, "class=\"point reference\" cx=\"520.0\" cy=\"186.0\""));
    pare_report_text_free(&out);
}

Test(svg, names_of_lines_that_end_together_stay_apart)
{
    static const double x[] = {0, 100}, y[] = {1, 0.5}, near[] = {0, 0.51};
    const struct pare_svg_series series[] = {
        {.label = "training", .x = x, .y = y, .count = 2, .chosen = -1},
        {.label = "dev", .x = x, .y = near, .count = 2, .chosen = -1}};
    struct pare_report_text out = lines(series, 2);
    double boxes[2][4];
    label_box(out.data, "training", boxes[0]);
    label_box(out.data, "dev", boxes[1]);
    cr_expect(boxes[1][3] <= boxes[0][1], "the higher line has the higher name");
    pare_report_text_free(&out);
}

Test(svg, lines_of_odd_values_stay_inside_the_drawing)
{
    static const double x[] = {1, 2, 1e15}, y[] = {-1e15, 0, 1e15};
    static const double gaps[] = {NAN, NAN, NAN};
    const struct pare_svg_series series[] = {
        {.label = "a", .x = x, .y = y, .count = 3, .marks = 1, .chosen = 0},
        {.label = "b", .x = x, .y = gaps, .count = 3, .marks = 1, .chosen = 1}};
    for (size_t n = 0; n <= 2; n++) {
        struct pare_report_text out = lines(series, n);
        well_formed(out.data);
        pare_report_text_free(&out);
    }
    struct pare_report_text out = lines(series + 1, 1);
    well_formed(out.data);
    pare_report_text_free(&out);
    const struct pare_svg_series one = {
        .label = "a", .x = x, .y = y, .count = 1, .chosen = -1};
    out = lines(&one, 1);
    well_formed(out.data);
    pare_report_text_free(&out);
}
