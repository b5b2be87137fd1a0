#include "tools/output_change.h"

#include <string.h>

const float *output_rows(const struct pare_config *config, const struct pare_batch *batch,
                         const struct pare_acts *acts, size_t *rows, size_t *width)
{
    *rows = config->labels ? batch->n_seq : batch->n_tokens;
    *width = config->labels ? config->labels : config->hidden;
    return config->labels ? acts->logits : acts->blocks[config->layers - 1].output;
}

double output_change(const struct pare_config *config, const float *a, const float *b,
                     size_t n, float *scratch)
{
    const struct pare_kernels *kernels = pare_kernels();
    double change = 0, size = 0;
    if (!config->labels) {
        for (size_t i = 0; i < n; i++) {
            const double d = (double)b[i] - (double)a[i];
            change += d * d;
            size += (double)a[i] * (double)a[i];
        }
        return size > 0 ? change / size : 0;
    }
    memcpy(scratch, a, n * sizeof *a);
    kernels->softmax(scratch, 1, n);
    for (size_t i = 0; i < n; i++)
        change += (double)scratch[i] * ((double)a[i] - (double)b[i]);
    return change + (double)kernels->logsumexp(b, n) - (double)kernels->logsumexp(a, n);
}
