/* The style sheet of the HTML report, for its text and for the plots of eval/svg.h. */
#ifndef PARE_EVAL_REPORT_STYLE_H
#define PARE_EVAL_REPORT_STYLE_H

extern const char pare_report_style[];

#endif
