/* Losses and their gradients: see loss.h. */
#include "libdistill/loss.h"

#include <string.h>

#include "runtime/kernels/kernels.h"

double pare_cross_entropy(const float *logits, size_t labels, const int32_t *label,
                          size_t B, uint64_t *correct)
{
    double sum = 0;
    *correct = 0;
    for (size_t s = 0; s < B; s++) {
        const float *z = logits + s * labels;
        size_t best = 0;
        for (size_t c = 1; c < labels; c++)
            if (z[c] > z[best])
                best = c;
        *correct += best == (size_t)label[s];
        sum += (double)pare_kernels()->logsumexp(z, labels) - (double)z[label[s]];
    }
    return sum;
}

/* d/dz (log sum exp(z) - z[label]) = softmax(z) - onehot(label) */
static double cross_entropy(void *context, const struct pare_loss_input *input,
                            const struct pare_loss_grads *grads)
{
    (void)context;
    const struct pare_kernels *kernels = pare_kernels();
    const size_t B = input->batch->n_seq, labels = input->config->labels;
    memcpy(grads->logits, input->acts->logits, B * labels * sizeof(float));
    for (size_t s = 0; s < B; s++) {
        float *dz = grads->logits + s * labels;
        kernels->softmax(dz, 1.0f, labels);
        dz[input->labels[s]] -= 1.0f;
        kernels->scale(dz, input->scale, labels);
    }
    uint64_t correct;
    return pare_cross_entropy(input->acts->logits, labels, input->labels, B, &correct);
}

struct pare_loss pare_loss_cross_entropy(void)
{
    return (struct pare_loss){.run = cross_entropy};
}
