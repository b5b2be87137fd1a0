/* Text in, logits out: tokenises and runs a classifier over many rows. */
#ifndef PARE_EVAL_PREDICT_H
#define PARE_EVAL_PREDICT_H

#include "runtime/base/progress.h"
#include "runtime/model/forward.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Token ids of many rows behind each other; row r is ids starts[r] .. starts[r + 1] - 1.
 */
struct pare_tokenized {
    struct pare_ids ids;
    uint32_t *starts;
    size_t rows;
};

/* max_tokens is cut to what the model takes; 0: as many as it takes. PARE_ERR_USAGE when
 * the model has no tokenizer. Free with pare_tokenized_free, also after a failure. */
enum pare_status pare_tokenize_rows(const struct pare_model *model,
                                    const struct pare_text *texts, size_t rows,
                                    uint32_t max_tokens, struct pare_tokenized *out,
                                    struct pare_error *err) PARE_CHECKED;
void pare_tokenized_free(struct pare_tokenized *tokenized);

/* logits: [rows, labels]. Runs `batch` rows at a time, packed, in their order; the result
 * does not depend on it. `acts` is reused between calls. PARE_ERR_INTERRUPTED when the
 * process was asked to stop; PARE_ERR_INPUT naming the row when a logit is not finite. */
enum pare_status pare_predict(const struct pare_model *model,
                              const struct pare_tokenized *tokenized, size_t batch,
                              struct pare_acts *acts, float *logits,
                              const struct pare_progress *progress,
                              struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
