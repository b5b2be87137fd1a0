/* The terms that look at the logits: hard and soft. */
#include <string.h>

#include "libdistill/distill_terms.h"

/* d/dz CE = softmax(z) - onehot(label) */
static double hard(const float *z, int32_t label, float weight, float *p, float *dz,
                   size_t Z)
{
    const struct pare_kernels *kernels = pare_kernels();
    memcpy(p, z, Z * sizeof *p);
    kernels->softmax(p, 1.0f, Z);
    p[label] -= 1.0f;
    kernels->axpy(dz, weight, p, Z);
    return (double)kernels->logsumexp(z, Z) - (double)z[label];
}

/* With s = softmax(z/T), t = softmax(z'/T):
 *     T^2 sum t (log t - log s),  d/dz = T (s - t) */
static double soft(const float *z, const float *z_teacher, float T, float weight,
                   float *work, float *dz, size_t Z)
{
    const struct pare_kernels *kernels = pare_kernels();
    float *s = work, *t = work + Z, *log_s = work + 2 * Z, *log_t = work + 3 * Z;
    memcpy(log_s, z, Z * sizeof *z);
    memcpy(log_t, z_teacher, Z * sizeof *z);
    kernels->scale(log_s, 1.0f / T, Z);
    kernels->scale(log_t, 1.0f / T, Z);
    const double norm_s = (double)kernels->logsumexp(log_s, Z);
    const double norm_t = (double)kernels->logsumexp(log_t, Z);
    memcpy(s, log_s, Z * sizeof *s);
    memcpy(t, log_t, Z * sizeof *t);
    kernels->softmax(s, 1.0f, Z);
    kernels->softmax(t, 1.0f, Z);
    double sum = 0;
    for (size_t c = 0; c < Z; c++)
        sum += (double)t[c] * (((double)log_t[c] - norm_t) - ((double)log_s[c] - norm_s));
    kernels->axpy(dz, weight * T, s, Z);
    kernels->axpy(dz, -weight * T, t, Z);
    return (double)T * (double)T * sum;
}

enum pare_status pare_distill_logits(const struct pare_distill_call *call, double *parts)
{
    const struct pare_distill_options *o = call->options;
    const struct pare_loss_input *input = call->input;
    const size_t Z = input->config->labels;
    float work[4 * PARE_MAX_LABELS], z_teacher[PARE_MAX_LABELS];
    for (size_t s = 0; s < input->batch->n_seq; s++) {
        const float *z = input->acts->logits + s * Z;
        float *dz = call->grads->logits + s * Z;
        if (o->hard > 0 && input->labels[s] >= 0)
            parts[PARE_PART_HARD] +=
                o->hard *
                hard(z, input->labels[s], (float)o->hard * input->scale, work, dz, Z);
        if (o->soft > 0) {
            pare_teacher_logits(call->teacher, input->example[s], z_teacher);
            parts[PARE_PART_SOFT] +=
                o->soft * soft(z, z_teacher, (float)o->temperature,
                               (float)o->soft * input->scale, work, dz, Z);
        }
    }
    return PARE_OK;
}
