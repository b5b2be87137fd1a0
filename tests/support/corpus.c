#include "tests/support/corpus.h"

#include <stdio.h>

void corpus_report(const struct corpus_sink *sink, const char *id, const char *phrase,
                   struct buffer *buffer)
{
    struct corpus_case found = {.id = id,
                                .name = sink->name,
                                .data = buffer->data,
                                .size = buffer->size,
                                .status = phrase ? PARE_ERR_INPUT : PARE_OK,
                                .phrase = phrase};
    sink->visit(sink->context, &found);
    buffer_free(buffer);
}

void corpus_truncate(const struct corpus_sink *sink, const char *id,
                     const struct buffer *whole, size_t limit, size_t step)
{
    for (size_t size = 0; size < limit && size < whole->size; size += step) {
        char name[100];
        struct buffer part = {0};
        snprintf(name, sizeof name, "%s %zu", id, size);
        put_bytes(&part, whole->data, size);
        corpus_report(sink, name, "", &part);
    }
}
