#include "datasets/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/base/sha256.h"
#include "runtime/text/unicode.h"

struct reader {
    const char *what;
    const struct pare_text_options *options;
    struct pare_dataset *data;
    const char *bytes; /* behind the byte order mark */
    size_t length, at; /* of the next line */
    size_t line;       /* number of the current one, from 1 */
    size_t rows;       /* at most so many: the number of lines */
    int with_labels, without_labels;
    struct pare_error *err;
};

static enum pare_status fail(const struct reader *r, const char *format, ...)
    PARE_PRINTF(2, 3);

static enum pare_status fail(const struct reader *r, const char *format, ...)
{
    struct pare_error detail;
    va_list args;
    va_start(args, format);
    vsnprintf(detail.message, sizeof detail.message, format, args);
    va_end(args);
    return pare_fail(r->err, PARE_ERR_INPUT, "%s:%zu: %.300s", r->what, r->line,
                     detail.message);
}

/* ---- lines -------------------------------------------------------------------- */

/* The next line without its end, checked to be text; *more = 0 behind the last one. */
static enum pare_status next_line(struct reader *r, struct pare_text *line, int *more)
{
    *more = r->at < r->length;
    if (!*more)
        return PARE_OK;
    r->line++;
    const char *start = r->bytes + r->at;
    const char *end = memchr(start, '\n', r->length - r->at);
    size_t length = end ? (size_t)(end - start) : r->length - r->at;
    r->at += length + (end != NULL);
    if (length > 0 && start[length - 1] == '\r')
        length--;
    if (length > PARE_TEXT_MAX_LINE)
        return fail(r, "the line is %zu bytes long; the limit is %u", length,
                    PARE_TEXT_MAX_LINE);
    const char *nul = memchr(start, '\0', length);
    if (nul)
        return fail(r, "byte %zu of the line is NUL: not a text file",
                    (size_t)(nul - start) + 1);
    size_t valid = pare_utf8_valid(start, length);
    if (valid < length)
        return fail(r, "invalid UTF-8 at byte %zu of the line", valid + 1);
    *line = (struct pare_text){start, length};
    return PARE_OK;
}

static int is_blank(struct pare_text text)
{
    for (size_t i = 0; i < text.length; i++)
        if (!strchr(" \t\r\v\f", text.data[i]))
            return 0;
    return 1;
}

static int equals(struct pare_text text, const char *word)
{
    return text.length == strlen(word) && !memcmp(text.data, word, text.length);
}

/* ---- labels ------------------------------------------------------------------- */

/* The number a label stands for, -1 when it is none. Range is not checked. */
static int64_t label_number(const struct pare_text_options *options,
                            struct pare_text label)
{
    for (int i = 0; options->label_names && i < options->label_count; i++)
        if (equals(label, options->label_names[i]))
            return i;
    if (label.length == 0 || label.length > 9)
        return -1;
    int64_t number = 0;
    for (size_t i = 0; i < label.length; i++) {
        if (label.data[i] < '0' || label.data[i] > '9')
            return -1;
        number = number * 10 + (label.data[i] - '0');
    }
    return number;
}

static enum pare_status check_label(const struct reader *r, struct pare_text label,
                                    int32_t *out)
{
    int count = r->options->label_count;
    int64_t number = label_number(r->options, label);
    int shown = label.length > 60 ? 60 : (int)label.length;
    if (label.length == 0)
        return fail(r, "the label is empty");
    if (number < 0)
        return fail(r, "bad label '%.*s': expected a whole number%s", shown, label.data,
                    r->options->label_names ? " or the name of a label" : " from 0");
    if (count > 0 && number >= count)
        return fail(r, "label %.*s is out of range: expected 0 to %d", shown, label.data,
                    count - 1);
    if (number >= PARE_TEXT_MAX_LABELS)
        return fail(r, "label %.*s is out of range: at most %d labels", shown, label.data,
                    PARE_TEXT_MAX_LABELS);
    *out = (int32_t)number;
    return PARE_OK;
}

/* ---- rows --------------------------------------------------------------------- */

static enum pare_status add_row(struct reader *r, struct pare_text text,
                                const struct pare_text *label)
{
    struct pare_dataset *data = r->data;
    if (r->options->text_alone) {
        label = NULL;
        if (is_blank(text)) {
            data->blank++;
            return PARE_OK;
        }
    }
    if (label && !data->labels)
        PARE_TRY(pare_arena_alloc(&data->arena, &data->labels, r->rows,
                                  sizeof *data->labels, r->err));
    if (label)
        PARE_TRY(check_label(r, *label, &data->labels[data->count]));
    data->texts[data->count++] = text;
    return PARE_OK;
}

/* Cuts a line at its only tab. */
static enum pare_status two_columns(const struct reader *r, struct pare_text line,
                                    const char *expected, struct pare_text column[2])
{
    const char *tab = memchr(line.data, '\t', line.length);
    if (!tab)
        return fail(r, "missing column: expected %s, found no tab", expected);
    const char *end = line.data + line.length;
    if (memchr(tab + 1, '\t', (size_t)(end - tab) - 1))
        return fail(r, "extra column: expected %s, found a second tab", expected);
    column[0] = (struct pare_text){line.data, (size_t)(tab - line.data)};
    column[1] = (struct pare_text){tab + 1, (size_t)(end - tab) - 1};
    return PARE_OK;
}

static enum pare_status labelled_row(struct reader *r, struct pare_text line)
{
    struct pare_text column[2];
    PARE_TRY(two_columns(r, line, "sentence<TAB>label", column));
    if (is_blank(column[0]) && !r->options->text_alone)
        return fail(r, "the sentence is empty");
    /* GLUE has no space here, but hand-made files do. */
    while (column[1].length > 0 && column[1].data[column[1].length - 1] == ' ')
        column[1].length--;
    return add_row(r, column[0], &column[1]);
}

static enum pare_status indexed_row(struct reader *r, struct pare_text line)
{
    struct pare_text column[2];
    static const struct pare_text_options plain = {0};
    PARE_TRY(two_columns(r, line, "index<TAB>sentence", column));
    if (label_number(&plain, column[0]) < 0)
        return fail(r, "bad index '%.*s': expected a whole number",
                    column[0].length > 60 ? 60 : (int)column[0].length, column[0].data);
    if (is_blank(column[1]) && !r->options->text_alone)
        return fail(r, "the sentence is empty");
    return add_row(r, column[1], NULL);
}

static enum pare_status json_members(struct reader *r, const cJSON *object)
{
    char number[16];
    char *copy;
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(object, "text");
    if (!text)
        text = cJSON_GetObjectItemCaseSensitive(object, "sentence");
    const cJSON *label =
        r->options->text_alone ? NULL : cJSON_GetObjectItemCaseSensitive(object, "label");
    if (!text)
        return fail(r, "missing column: no \"text\" in the object");
    if (!cJSON_IsString(text))
        return fail(r, "\"text\" is not a string");
    size_t length = strlen(text->valuestring);
    PARE_TRY(
        pare_arena_strndup(&r->data->arena, &copy, text->valuestring, length, r->err));
    struct pare_text sentence = {copy, length}, word;
    if (!label || cJSON_IsNull(label)) {
        if (r->with_labels || r->options->need_labels)
            return fail(r, "missing column: no \"label\" in the object");
        r->without_labels = 1;
        return add_row(r, sentence, NULL);
    }
    if (r->without_labels)
        return fail(r, "\"label\" in this object but not in those before it");
    r->with_labels = 1;
    if (cJSON_IsString(label)) {
        word = (struct pare_text){label->valuestring, strlen(label->valuestring)};
    } else if (cJSON_IsNumber(label) && label->valuedouble >= 0 &&
               label->valuedouble < 1e9 &&
               label->valuedouble == (double)(int32_t)label->valuedouble) {
        int n = snprintf(number, sizeof number, "%d", (int)label->valuedouble);
        word = (struct pare_text){number, (size_t)n};
    } else {
        return fail(r, "bad label: expected a whole number from 0 or a string");
    }
    return add_row(r, sentence, &word);
}

static enum pare_status json_row(struct reader *r, struct pare_text line)
{
    char what[32];
    cJSON *object = NULL;
    if (is_blank(line))
        return fail(r, "empty line: expected a JSON object");
    snprintf(what, sizeof what, "line %zu", r->line);
    enum pare_status status =
        pare_json_parse(line.data, line.length, what, &object, r->err);
    if (status != PARE_OK)
        return pare_fail_in(r->err, status, "%s", r->what);
    status = cJSON_IsObject(object) ? json_members(r, object)
                                    : fail(r, "expected a JSON object");
    cJSON_Delete(object);
    return status;
}

/* ---- the file ----------------------------------------------------------------- */

/* Looks at the first line. *header: it names the columns and is no row. */
static enum pare_text_format recognise(const struct reader *r, struct pare_text line,
                                       int *header)
{
    const char *tab = memchr(line.data, '\t', line.length);
    *header = 1;
    if (equals(line, "sentence\tlabel") || equals(line, "text\tlabel"))
        return PARE_TEXT_LABELLED;
    if (equals(line, "index\tsentence"))
        return PARE_TEXT_INDEXED;
    *header = 0;
    if (line.length > 0 && line.data[0] == '{')
        return PARE_TEXT_JSON;
    if (r->options->need_labels)
        return PARE_TEXT_LABELLED;
    if (tab) {
        struct pare_text rest = {tab + 1, (size_t)(line.data + line.length - tab) - 1};
        if (label_number(r->options, rest) >= 0)
            return PARE_TEXT_LABELLED;
    }
    return PARE_TEXT_PLAIN;
}

static enum pare_status read_row(struct reader *r, struct pare_text line)
{
    if (r->options->text_alone && is_blank(line)) {
        r->data->blank++;
        return PARE_OK;
    }
    switch (r->data->format) {
    case PARE_TEXT_LABELLED: return labelled_row(r, line);
    case PARE_TEXT_INDEXED: return indexed_row(r, line);
    case PARE_TEXT_JSON: return json_row(r, line);
    default: return add_row(r, line, NULL);
    }
}

static enum pare_status read_rows(struct reader *r)
{
    struct pare_text line;
    int more, header;
    enum pare_text_format wanted = r->options->format;
    PARE_TRY(next_line(r, &line, &more));
    if (!more)
        return pare_fail(r->err, PARE_ERR_INPUT, "%s: empty file", r->what);
    enum pare_text_format found = recognise(r, line, &header);
    r->data->format = wanted == PARE_TEXT_AUTO ? found : wanted;
    if (r->options->need_labels &&
        (r->data->format == PARE_TEXT_INDEXED || r->data->format == PARE_TEXT_PLAIN))
        return fail(r, "no labels in this file: expected sentence<TAB>label");
    if (header && r->data->format == found)
        PARE_TRY(next_line(r, &line, &more));
    while (more) {
        PARE_TRY(read_row(r, line));
        PARE_TRY(next_line(r, &line, &more));
    }
    if (r->data->count == 0)
        return pare_fail(r->err, PARE_ERR_INPUT, "%s: %s", r->what,
                         r->data->blank ? "nothing but blank lines"
                                        : "a header and no rows");
    return PARE_OK;
}

static enum pare_status count_labels(struct pare_dataset *data, int label_count,
                                     struct pare_error *err)
{
    int32_t largest = 0;
    for (size_t i = 0; i < data->count; i++)
        largest = data->labels[i] > largest ? data->labels[i] : largest;
    data->label_count = label_count > 0 ? label_count : largest + 1;
    size_t n = (size_t)data->label_count;
    PARE_TRY(pare_arena_alloc(&data->arena, &data->label_counts, n,
                              sizeof *data->label_counts, err));
    memset(data->label_counts, 0, n * sizeof *data->label_counts);
    for (size_t i = 0; i < data->count; i++)
        data->label_counts[data->labels[i]]++;
    data->one_class = data->label_counts[data->labels[0]] == data->count;
    return PARE_OK;
}

static size_t count_lines(const char *bytes, size_t length)
{
    size_t lines = 0;
    if (!length)
        return 0; /* and no pointer to add to */
    const char *end = bytes + length, *next;
    for (; bytes < end && (next = memchr(bytes, '\n', (size_t)(end - bytes))); lines++)
        bytes = next + 1;
    return lines + (bytes < end);
}

static enum pare_status read_all(struct reader *r)
{
    struct pare_dataset *data = r->data;
    r->rows = count_lines(r->bytes, r->length);
    PARE_TRY(pare_arena_alloc(&data->arena, &data->texts, r->rows, sizeof *data->texts,
                              r->err));
    PARE_TRY(read_rows(r));
    return data->labels ? count_labels(data, r->options->label_count, r->err) : PARE_OK;
}

enum pare_status pare_dataset_parse(const char *bytes, size_t length, const char *what,
                                    const struct pare_text_options *options,
                                    struct pare_dataset *data, struct pare_error *err)
{
    static const struct pare_text_options any = {0};
    size_t mark = length >= 3 && !memcmp(bytes, "\xEF\xBB\xBF", 3) ? 3 : 0;
    struct reader r = {.what = what,
                       .options = options ? options : &any,
                       .data = data,
                       .bytes = length ? bytes + mark : bytes,
                       .length = length - mark,
                       .err = err};
    *data = (struct pare_dataset){0};
    enum pare_status status = read_all(&r);
    if (status == PARE_OK)
        pare_sha256_of(bytes, length, data->sha256);
    else
        pare_dataset_free(data);
    return status;
}

enum pare_status pare_dataset_load(const char *path,
                                   const struct pare_text_options *options,
                                   struct pare_dataset *data, struct pare_error *err)
{
    struct pare_map map;
    *data = (struct pare_dataset){0};
    PARE_TRY(pare_map_open(path, &map, err));
    enum pare_status status =
        pare_dataset_parse((const char *)map.data, map.size, path, options, data, err);
    if (status == PARE_OK)
        data->map = map;
    else
        pare_map_close(&map);
    return status;
}

void pare_dataset_free(struct pare_dataset *data)
{
    pare_arena_free(&data->arena);
    pare_map_close(&data->map);
    *data = (struct pare_dataset){0};
}
