/* A page in Markdown or HTML: the same calls write either, so both always say the same.
 *
 * Every text passed in is escaped here. */
#ifndef PARE_EVAL_REPORT_PAGE_H
#define PARE_EVAL_REPORT_PAGE_H

#include "eval/report_text.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_page {
    struct pare_report_text text;
    int html;
    int item; /* Markdown: number of the next item of an ordered list; 0: bullets */
    int tables, figures;
};

void pare_page_begin(struct pare_page *page, const char *title);
void pare_page_end(struct pare_page *page, const char *footer);
/* id: a word for links to the section. */
void pare_page_section(struct pare_page *page, const char *id, const char *title);
void pare_page_section_end(struct pare_page *page);
void pare_page_subsection(struct pare_page *page, const char *title);

/* Inline text, inside one of the blocks below. */
void pare_page_put(struct pare_page *page, const char *words);
void pare_page_putf(struct pare_page *page, const char *format, ...) PARE_PRINTF(2, 3);
void pare_page_strong(struct pare_page *page, const char *words);
void pare_page_code(struct pare_page *page, const char *words);

/* Around a plot, HTML only: `title` names the region that a narrow screen scrolls. */
void pare_page_figure(struct pare_page *page, const char *title);
void pare_page_figure_caption(struct pare_page *page);
void pare_page_figure_end(struct pare_page *page);

enum pare_page_tone {
    PARE_TONE_PLAIN,
    PARE_TONE_LEAD,
    PARE_TONE_GOOD,
    PARE_TONE_BAD,
    PARE_TONE_CAUTION
};
void pare_page_paragraph(struct pare_page *page, enum pare_page_tone tone);
void pare_page_paragraph_end(struct pare_page *page);
void pare_page_list(struct pare_page *page, int ordered);
void pare_page_item(struct pare_page *page);
void pare_page_item_end(struct pare_page *page);
void pare_page_list_end(struct pare_page *page);

struct pare_page_column {
    const char *heading;
    int is_number; /* set to the right */
};

enum pare_page_style {
    PARE_CELL_PLAIN,
    PARE_CELL_MISSING,
    PARE_CELL_GOOD,
    PARE_CELL_BAD
};

/* Row by row; the first cell of a row names it. */
struct pare_page_table {
    const char *caption;
    const struct pare_page_column *columns;
    size_t n_columns;
    struct pare_page_cell *cells;
    size_t count, capacity;
    enum pare_status status;
};
/* `below` (or NULL) is a second, smaller line; in Markdown it follows in brackets. */
void pare_page_table_add(struct pare_page_table *table, enum pare_page_style style,
                         const char *main, const char *below);
/* Writes the table, unless it has no rows, and frees its cells. */
void pare_page_table_put(struct pare_page *page, struct pare_page_table *table);

#ifdef __cplusplus
}
#endif
#endif
