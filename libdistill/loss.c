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

static enum pare_status zeros(struct pare_arena *arena, float **out, size_t n,
                              struct pare_error *err)
{
    PARE_TRY(pare_arena_alloc(arena, out, n, sizeof **out, err));
    memset(*out, 0, n * sizeof **out);
    return PARE_OK;
}

/* (*out)[i] is `n` zeros where wanted[i], else NULL. */
static enum pare_status zeros_where(struct pare_arena *arena, float ***out,
                                    const uint8_t *wanted, size_t count, size_t n,
                                    struct pare_error *err)
{
    *out = NULL;
    if (!wanted)
        return PARE_OK;
    PARE_TRY(pare_arena_alloc(arena, out, count, sizeof **out, err));
    for (size_t i = 0; i < count; i++) {
        (*out)[i] = NULL;
        if (wanted[i])
            PARE_TRY(zeros(arena, &(*out)[i], n, err));
    }
    return PARE_OK;
}

int pare_loss_needs_first_only(const struct pare_loss *loss,
                               const struct pare_config *config)
{
    const uint32_t L = config->layers;
    return !(loss->hidden && loss->hidden[L]) && !(loss->qkv && loss->qkv[L - 1]);
}

enum pare_status
pare_loss_grads_new(const struct pare_loss *loss, const struct pare_config *config,
                    const struct pare_batch *batch, struct pare_arena *arena,
                    struct pare_loss_grads *grads, struct pare_error *err)
{
    const size_t TC = batch->n_tokens * config->hidden;
    *grads = (struct pare_loss_grads){0};
    if (config->labels)
        PARE_TRY(zeros(arena, &grads->logits, batch->n_seq * config->labels, err));
    PARE_TRY(
        zeros_where(arena, &grads->hidden, loss->hidden, config->layers + 1, TC, err));
    return zeros_where(arena, &grads->qkv, loss->qkv, config->layers,
                       3 * batch->n_tokens * pare_config_attention_width(config), err);
}

/* d/dz (log sum exp(z) - z[label]) = softmax(z) - onehot(label) */
static enum pare_status cross_entropy(void *context, const struct pare_loss_input *input,
                                      const struct pare_loss_grads *grads, double *parts,
                                      struct pare_error *err)
{
    (void)context, (void)err;
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
    parts[0] =
        pare_cross_entropy(input->acts->logits, labels, input->labels, B, &correct);
    return PARE_OK;
}

struct pare_loss pare_loss_cross_entropy(void)
{
    static const char *const names[] = {"hard"};
    return (struct pare_loss){.run = cross_entropy, .n_parts = 1, .part_names = names};
}
