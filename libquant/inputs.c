/* Statistics of a layer's inputs: see inputs.h. */
#include "libquant/inputs.h"

#include <math.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"

enum pare_status pare_inputs_init(struct pare_inputs *inputs, size_t K, size_t most,
                                  struct pare_error *err)
{
    enum pare_status status;
    *inputs = (struct pare_inputs){.K = K, .most = most, .step = 1};
    PARE_TRY_OUT(pare_alloc(&inputs->low, K, sizeof *inputs->low, err));
    PARE_TRY_OUT(pare_alloc(&inputs->high, K, sizeof *inputs->high, err));
    PARE_TRY_OUT(pare_alloc(&inputs->magnitude, K, sizeof *inputs->magnitude, err));
    PARE_TRY_OUT(pare_alloc(&inputs->sum, K, sizeof *inputs->sum, err));
    PARE_TRY_OUT(pare_alloc_raw(&inputs->sample, most, K * sizeof(float), err));
out:
    if (status != PARE_OK)
        pare_inputs_free(inputs);
    return status;
}

void pare_inputs_free(struct pare_inputs *inputs)
{
    pare_free(inputs->low);
    pare_free(inputs->high);
    pare_free(inputs->magnitude);
    pare_free(inputs->sum);
    pare_free(inputs->sample);
    *inputs = (struct pare_inputs){0};
}

static void keep(struct pare_inputs *inputs, const float *x)
{
    const size_t row = inputs->K * sizeof *x;
    if (inputs->until) {
        inputs->until--;
        return;
    }
    if (inputs->kept == inputs->most) {
        for (size_t i = 1; i < inputs->most / 2; i++)
            memcpy(inputs->sample + i * inputs->K, inputs->sample + 2 * i * inputs->K,
                   row);
        inputs->kept = inputs->most / 2;
        inputs->step *= 2;
    }
    memcpy(inputs->sample + inputs->kept * inputs->K, x, row);
    inputs->kept++;
    inputs->until = inputs->step - 1;
}

struct adding {
    struct pare_inputs *inputs;
    const float *X;
    size_t rows;
};

#define COLUMN_TILE 64

static void add_columns(void *context, size_t begin, size_t end)
{
    const struct adding *a = context;
    struct pare_inputs *in = a->inputs;
    for (size_t t = 0; t < a->rows; t++)
        for (size_t k = begin; k < end; k++) {
            const float x = a->X[t * in->K + k];
            const int first = !in->rows && !t;
            in->low[k] = first || x < in->low[k] ? x : in->low[k];
            in->high[k] = first || x > in->high[k] ? x : in->high[k];
            in->magnitude[k] += (double)fabsf(x);
            in->sum[k] += (double)x;
        }
}

void pare_inputs_add(struct pare_inputs *inputs, const float *X, size_t rows)
{
    struct adding adding = {inputs, X, rows};
    pare_parallel_for(inputs->K, COLUMN_TILE, add_columns, &adding);
    for (size_t t = 0; t < rows; t++)
        keep(inputs, X + t * inputs->K);
    inputs->rows += rows;
}

void pare_inputs_range(const struct pare_inputs *inputs, const float *by, float range[2])
{
    range[0] = range[1] = 0;
    for (size_t k = 0; k < inputs->K; k++) {
        const float factor = by ? by[k] : 1;
        range[0] = fminf(range[0], inputs->low[k] * factor);
        range[1] = fmaxf(range[1], inputs->high[k] * factor);
    }
}
