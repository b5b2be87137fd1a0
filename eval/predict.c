#include "eval/predict.h"

#include <string.h>

#include "eval/metrics.h"
#include "runtime/base/alloc.h"
#include "runtime/base/interrupt.h"

enum pare_status pare_tokenize_rows(const struct pare_model *model,
                                    const struct pare_text *texts, size_t rows,
                                    uint32_t max_tokens, struct pare_tokenized *out,
                                    struct pare_error *err)
{
    memset(out, 0, sizeof *out);
    if (!model->tokenizer)
        return pare_fail(err, PARE_ERR_USAGE,
                         "the model has no tokenizer; convert it with its vocabulary "
                         "(pare-convert --tokenizer)");
    if (!max_tokens || max_tokens > model->config.positions)
        max_tokens = model->config.positions;
    PARE_TRY(pare_alloc(&out->starts, rows + 1, sizeof *out->starts, err));
    out->rows = rows;
    for (size_t r = 0; r < rows; r++) {
        PARE_TRY(pare_tokenizer_encode(model->tokenizer, texts[r].data, texts[r].length,
                                       max_tokens, &out->ids, err));
        if (out->ids.count > UINT32_MAX)
            return pare_fail(err, PARE_ERR_INPUT, "more than 2^32 tokens of text");
        out->starts[r + 1] = (uint32_t)out->ids.count;
    }
    return PARE_OK;
}

void pare_tokenized_free(struct pare_tokenized *tokenized)
{
    pare_ids_free(&tokenized->ids);
    pare_free(tokenized->starts);
    memset(tokenized, 0, sizeof *tokenized);
}

static enum pare_status take_logits(const struct pare_acts *acts, size_t first, size_t n,
                                    uint32_t labels, float *logits,
                                    struct pare_error *err)
{
    for (size_t s = 0; s < n; s++)
        if (!pare_logits_finite(acts->logits + s * labels, labels))
            return pare_fail(err, PARE_ERR_INPUT,
                             "the logits of row %zu are not finite: weights are damaged "
                             "or too large",
                             first + s + 1);
    memcpy(logits + first * labels, acts->logits, n * labels * sizeof *logits);
    return PARE_OK;
}

enum pare_status pare_predict(const struct pare_model *model,
                              const struct pare_tokenized *tokenized, size_t batch,
                              struct pare_acts *acts, float *logits,
                              const struct pare_progress *progress,
                              struct pare_error *err)
{
    const uint32_t labels = model->config.labels;
    if (!labels)
        return pare_fail(err, PARE_ERR_USAGE,
                         "the model has no classifier; train one with pare-train");
    uint32_t *starts;
    PARE_TRY(pare_alloc(&starts, batch + 1, sizeof *starts, err));
    enum pare_status status = PARE_OK;
    for (size_t first = 0; first < tokenized->rows && status == PARE_OK; first += batch) {
        const size_t left = tokenized->rows - first, n = left < batch ? left : batch;
        const uint32_t base = tokenized->starts[first];
        for (size_t s = 0; s <= n; s++)
            starts[s] = tokenized->starts[first + s] - base;
        const struct pare_batch packed = {.n_seq = n,
                                          .n_tokens = starts[n],
                                          .ids = tokenized->ids.ids + base,
                                          .starts = starts};
        status = pare_check_interrupted(err);
        if (status == PARE_OK)
            status = pare_forward(model, &packed, NULL, acts, err);
        if (status == PARE_OK)
            status = take_logits(acts, first, n, labels, logits, err);
        pare_progress_report(progress, "classify", first + n, tokenized->rows, NULL);
    }
    pare_free(starts);
    return status;
}
