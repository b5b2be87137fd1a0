/* Text from a file, labelled or not: GLUE's tables, plain lines, JSON lines.
 *
 * A file that is not what it should be is refused with its path, line and column's name:
 * nothing is skipped or guessed, because a wrong label changes every number behind it.
 */
#ifndef PARE_DATASETS_TEXT_H
#define PARE_DATASETS_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/arena.h"
#include "runtime/base/error.h"
#include "runtime/base/file.h"
#include "runtime/checkpoint/meta.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_TEXT_MAX_LINE (1u << 20) /* bytes */
#define PARE_TEXT_MAX_LABELS 4096

enum pare_text_format {
    PARE_TEXT_AUTO,     /* by the first line; see pare_dataset_load */
    PARE_TEXT_LABELLED, /* sentence<TAB>label */
    PARE_TEXT_INDEXED,  /* index<TAB>sentence: GLUE's test files */
    PARE_TEXT_PLAIN,    /* a sentence a line */
    PARE_TEXT_JSON,     /* {"text": "...", "label": ...} a line */
};

struct pare_text_options { /* all zero: anything goes, labels if there are some */
    enum pare_text_format format;
    int need_labels; /* a file without labels is PARE_ERR_INPUT */
    int text_alone; /* labels are not even looked at, and blank lines and texts skipped */
    int label_count; /* labels must be below it; 0: as many as the file has */
    /* label_count names that may stand for the numbers, or NULL. */
    const char *const *label_names;
};

struct pare_dataset { /* all zero: empty */
    struct pare_arena arena;
    struct pare_map map;
    enum pare_text_format format; /* what it was taken for */
    struct pare_text *texts;      /* valid UTF-8 without NUL; not NUL-terminated */
    int32_t *labels;              /* NULL when the file has none */
    size_t count;                 /* at least 1 */
    size_t blank;                 /* lines and texts that were skipped */
    int label_count;              /* from the options, else the largest label + 1 */
    size_t *label_counts;         /* how often each label occurs; NULL without labels */
    int one_class;                /* labels are all the same: worth a warning */
    char sha256[65];              /* of the file's bytes */
};

/* Reads a whole file; `data` is zeroed by the caller or was never used, and is freed with
 * pare_dataset_free (after a failure it is empty). A UTF-8 byte order mark, CRLF line
 * ends and a last line without newline are accepted. The first line decides an AUTO file:
 *   - the header "sentence<TAB>label" or "index<TAB>sentence";
 *   - else a line that starts with { is JSON;
 *   - else a line whose text behind its only tab is a label is LABELLED, as is every
 *     file when labels are needed;
 *   - else PLAIN, where tabs are text. */
enum pare_status pare_dataset_load(const char *path,
                                   const struct pare_text_options *options,
                                   struct pare_dataset *data,
                                   struct pare_error *err) PARE_CHECKED;
/* The same for bytes in memory, which must outlive `data`; `what` names them. */
enum pare_status pare_dataset_parse(const char *bytes, size_t length, const char *what,
                                    const struct pare_text_options *options,
                                    struct pare_dataset *data,
                                    struct pare_error *err) PARE_CHECKED;
void pare_dataset_free(struct pare_dataset *data);

#ifdef __cplusplus
}
#endif
#endif
