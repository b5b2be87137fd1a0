/* The malformed checkpoints of docs/RELIABILITY.md, made on the spot, each with the
 * status and a phrase of the message it must give; and valid ones beside them, which must
 * open.
 *
 * tests/unit/test_malformed.c opens all of them in memory, tests/tools/make_corpus.c
 * writes them to files, tests/fuzz starts from the small ones.
 */
#ifndef TESTS_SUPPORT_CORPUS_H
#define TESTS_SUPPORT_CORPUS_H

#include "runtime/base/error.h"
#include "tests/support/buffer.h"

struct corpus_case {
    const char *id;   /* "S12 begin behind end": the number is that of the document */
    const char *name; /* of a file: "model.safetensors" */
    const void *data;
    size_t size;
    enum pare_status status; /* PARE_OK: must open */
    const char *phrase;      /* must be in the message; NULL when it must open */
};

typedef void corpus_visit(void *context, const struct corpus_case *found);

/* large: also the cases of many megabytes. */
void corpus_safetensors(corpus_visit *visit, void *context, int large);
void corpus_gguf(corpus_visit *visit, void *context, int large);
void corpus_torch(corpus_visit *visit, void *context, int large);

/* How the three report a case; frees the buffer. phrase NULL: it must open. */
struct corpus_sink {
    corpus_visit *visit;
    void *context;
    const char *name;
};
void corpus_report(const struct corpus_sink *sink, const char *id, const char *phrase,
                   struct buffer *buffer);
/* The same for the first 0, step, 2 step ... bytes of `whole`, up to `limit` (excluded):
 * all must be refused, with any message. `whole` stays. */
void corpus_truncate(const struct corpus_sink *sink, const char *id,
                     const struct buffer *whole, size_t limit, size_t step);

#endif
