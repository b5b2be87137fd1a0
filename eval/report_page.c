#include "eval/report_page.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "eval/report_style.h"
#include "runtime/base/alloc.h"

static void put_own(struct pare_page *page, const char *html, const char *markdown)
{
    pare_report_put(&page->text, page->html ? html : markdown);
}

static void put_words(struct pare_page *page, const char *words)
{
    pare_report_put_safe(&page->text, words,
                         page->html ? PARE_ESCAPE_HTML : PARE_ESCAPE_MARKDOWN);
}

/* ---- the frame ----------------------------------------------------------------- */

/* The policy forbids every script and every request: a second lock behind the escapes. */
static const char head[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\"/>\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
    "style-src 'unsafe-inline'\"/>\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
    "<meta name=\"color-scheme\" content=\"light dark\"/>\n"
    "<title>";

void pare_page_begin(struct pare_page *page, const char *title)
{
    if (page->html) {
        pare_report_put(&page->text, head);
        put_words(page, title);
        pare_report_put(&page->text, "</title>\n<style>\n");
        pare_report_put(&page->text, pare_report_style);
        pare_report_put(&page->text, "</style>\n</head>\n<body>\n<main>\n");
    }
    put_own(page, "<h1>", "# ");
    put_words(page, title);
    put_own(page, "</h1>\n", "\n");
}

void pare_page_end(struct pare_page *page, const char *footer)
{
    put_own(page, "</main>\n<footer>\n<p>", "\n---\n\n");
    put_words(page, footer);
    put_own(page, "</p>\n</footer>\n</body>\n</html>\n", "\n");
}

void pare_page_section(struct pare_page *page, const char *id, const char *title)
{
    if (page->html)
        pare_report_putf(&page->text, "<section aria-labelledby=\"%s\">\n<h2 id=\"%s\">",
                         id, id);
    else
        pare_report_put(&page->text, "\n## ");
    put_words(page, title);
    put_own(page, "</h2>\n", "\n");
}

void pare_page_section_end(struct pare_page *page)
{
    put_own(page, "</section>\n", "");
}

void pare_page_subsection(struct pare_page *page, const char *title)
{
    put_own(page, "<h3>", "\n### ");
    put_words(page, title);
    put_own(page, "</h3>\n", "\n");
}

/* ---- inline -------------------------------------------------------------------- */

void pare_page_put(struct pare_page *page, const char *words)
{
    put_words(page, words);
}

void pare_page_putf(struct pare_page *page, const char *format, ...)
{
    char words[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    put_words(page, words);
}

void pare_page_strong(struct pare_page *page, const char *words)
{
    put_own(page, "<strong>", "**");
    put_words(page, words);
    put_own(page, "</strong>", "**");
}

/* In Markdown nothing can be escaped inside backquotes: text that holds one stays plain.
 */
void pare_page_code(struct pare_page *page, const char *words)
{
    int quotable = *words && !strpbrk(words, "`|\\");
    if (!page->html && quotable) {
        pare_report_put(&page->text, "`");
        pare_report_put_safe(&page->text, words, PARE_ESCAPE_PLAIN);
        pare_report_put(&page->text, "`");
        return;
    }
    put_own(page, "<code>", "");
    put_words(page, words);
    put_own(page, "</code>", "");
}

/* ---- blocks -------------------------------------------------------------------- */

void pare_page_paragraph(struct pare_page *page, enum pare_page_tone tone)
{
    static const char *const opening[] = {
        "<p>", "<p class=\"lead\">", "<p class=\"verdict good\">",
        "<p class=\"verdict bad\">", "<p class=\"verdict caution\">"};
    put_own(page, opening[tone], "\n");
}

void pare_page_paragraph_end(struct pare_page *page)
{
    put_own(page, "</p>\n", "\n");
}

void pare_page_list(struct pare_page *page, int ordered)
{
    page->item = ordered;
    put_own(page, ordered ? "<ol>\n" : "<ul>\n", "\n");
}

void pare_page_item(struct pare_page *page)
{
    if (page->html)
        pare_report_put(&page->text, "<li>");
    else if (page->item)
        pare_report_putf(&page->text, "%d. ", page->item);
    else
        pare_report_put(&page->text, "- ");
}

void pare_page_item_end(struct pare_page *page)
{
    put_own(page, "</li>\n", "\n");
    page->item += page->item > 0;
}

void pare_page_list_end(struct pare_page *page)
{
    put_own(page, page->item ? "</ol>\n" : "</ul>\n", "");
    page->item = 0;
}

void pare_page_figure(struct pare_page *page, const char *title)
{
    pare_report_put(&page->text, "<figure>\n<div class=\"scroll\" role=\"region\" "
                                 "tabindex=\"0\" aria-label=\"");
    put_words(page, title);
    pare_report_put(&page->text, "\">\n");
}

void pare_page_figure_caption(struct pare_page *page)
{
    pare_report_putf(&page->text, "</div>\n<figcaption>Figure %d. ", ++page->figures);
}

void pare_page_figure_end(struct pare_page *page)
{
    pare_report_put(&page->text, "</figcaption>\n</figure>\n");
}

/* ---- tables -------------------------------------------------------------------- */

struct pare_page_cell {
    char *main, *below; /* below: NULL without a second line */
    enum pare_page_style style;
};

void pare_page_table_add(struct pare_page_table *table, enum pare_page_style style,
                         const char *main, const char *below)
{
    if (table->status == PARE_OK)
        table->status = pare_grow(&table->cells, &table->capacity, table->count + 1,
                                  sizeof *table->cells, NULL);
    if (table->status != PARE_OK)
        return;
    struct pare_page_cell *cell = &table->cells[table->count++];
    *cell = (struct pare_page_cell){.style = style};
    table->status = pare_strndup(&cell->main, main, strlen(main), NULL);
    if (table->status == PARE_OK && below)
        table->status = pare_strndup(&cell->below, below, strlen(below), NULL);
}

static void put_html_cell(struct pare_page *page, const struct pare_page_table *table,
                          const struct pare_page_cell *cell, size_t column)
{
    static const char *const classes[] = {"", "none", "good", "bad"};
    int number = table->columns[column].is_number;
    const char *tag = column ? "td" : "th";
    pare_report_putf(&page->text, "<%s", tag);
    if (!column)
        pare_report_put(&page->text, " scope=\"row\"");
    else if (number || cell->style)
        pare_report_putf(&page->text, " class=\"%s%s%s\"", number ? "num" : "",
                         number && cell->style ? " " : "", classes[cell->style]);
    pare_report_put(&page->text, ">");
    put_words(page, cell->main);
    if (cell->below) {
        pare_report_put(&page->text, "<small>");
        put_words(page, cell->below);
        pare_report_put(&page->text, "</small>");
    }
    pare_report_putf(&page->text, "</%s>", tag);
}

static void put_html_table(struct pare_page *page, const struct pare_page_table *table)
{
    int number = ++page->tables;
    pare_report_putf(&page->text,
                     "<div class=\"scroll\" role=\"region\" tabindex=\"0\" "
                     "aria-labelledby=\"table-%d\">\n<table>\n<caption id=\"table-%d\">",
                     number, number);
    pare_report_putf(&page->text, "Table %d. ", number);
    put_words(page, table->caption);
    pare_report_put(&page->text, ".</caption>\n<thead>\n<tr>");
    for (size_t i = 0; i < table->n_columns; i++) {
        pare_report_put(&page->text, table->columns[i].is_number
                                         ? "<th scope=\"col\" class=\"num\">"
                                         : "<th scope=\"col\">");
        put_words(page, table->columns[i].heading);
        pare_report_put(&page->text, "</th>");
    }
    pare_report_put(&page->text, "</tr>\n</thead>\n<tbody>\n");
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->n_columns;
        if (!column)
            pare_report_put(&page->text, "<tr>");
        put_html_cell(page, table, &table->cells[i], column);
        if (column + 1 == table->n_columns)
            pare_report_put(&page->text, "</tr>\n");
    }
    pare_report_put(&page->text, "</tbody>\n</table>\n</div>\n");
}

static void put_markdown_cell(struct pare_report_text *out,
                              const struct pare_page_cell *cell)
{
    pare_report_put_safe(out, cell->main, PARE_ESCAPE_MARKDOWN);
    if (!cell->below)
        return;
    pare_report_put(out, " (");
    pare_report_put_safe(out, cell->below, PARE_ESCAPE_MARKDOWN);
    pare_report_put(out, ")");
}

static void put_padded(struct pare_page *page, const char *words, size_t width, int right)
{
    int pad = (int)(width - pare_report_width(words));
    pare_report_putf(&page->text, " %*s%s%*s |", right ? pad : 0, "", words,
                     right ? 0 : pad, "");
}

/* The columns are padded, so that the text is a table for the eye as well. */
static void put_markdown_rows(struct pare_page *page, const struct pare_page_table *table,
                              char **words, size_t *widths)
{
    pare_report_put(&page->text, "\n|");
    for (size_t i = 0; i < table->n_columns; i++) {
        widths[i] = pare_report_width(table->columns[i].heading);
        for (size_t j = i; j < table->count; j += table->n_columns)
            if (pare_report_width(words[j]) > widths[i])
                widths[i] = pare_report_width(words[j]);
        put_padded(page, table->columns[i].heading, widths[i],
                   table->columns[i].is_number);
    }
    pare_report_put(&page->text, "\n|");
    for (size_t i = 0; i < table->n_columns; i++) {
        pare_report_put(&page->text, table->columns[i].is_number ? "-" : ":");
        for (size_t j = 0; j < widths[i]; j++)
            pare_report_put(&page->text, "-");
        pare_report_put(&page->text, table->columns[i].is_number ? ":|" : "-|");
    }
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->n_columns;
        if (!column)
            pare_report_put(&page->text, "\n|");
        put_padded(page, words[i], widths[column], table->columns[column].is_number);
    }
    pare_report_put(&page->text, "\n");
}

static enum pare_status put_markdown_table(struct pare_page *page,
                                           const struct pare_page_table *table)
{
    char **words = NULL;
    size_t *widths = NULL;
    enum pare_status status;
    PARE_TRY_OUT(pare_alloc(&words, table->count, sizeof *words, NULL));
    PARE_TRY_OUT(pare_alloc(&widths, table->n_columns, sizeof *widths, NULL));
    for (size_t i = 0; i < table->count; i++) {
        struct pare_report_text cell = {0};
        put_markdown_cell(&cell, &table->cells[i]);
        pare_report_put(&cell, "");
        words[i] = cell.data;
        PARE_TRY_OUT(cell.status);
    }
    put_markdown_rows(page, table, words, widths);
out:
    for (size_t i = 0; words && i < table->count; i++)
        pare_free(words[i]);
    pare_free(words);
    pare_free(widths);
    return status;
}

void pare_page_table_put(struct pare_page *page, struct pare_page_table *table)
{
    if (table->status == PARE_OK && table->count && page->html)
        put_html_table(page, table);
    else if (table->status == PARE_OK && table->count)
        table->status = put_markdown_table(page, table);
    if (table->status != PARE_OK && page->text.status == PARE_OK)
        page->text.status = table->status;
    for (size_t i = 0; i < table->count; i++) {
        pare_free(table->cells[i].main);
        pare_free(table->cells[i].below);
    }
    pare_free(table->cells);
    table->cells = NULL;
    table->count = table->capacity = 0;
}
