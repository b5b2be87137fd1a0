/* How well a classifier does, and how two of them differ on the same rows. */
#ifndef PARE_EVAL_METRICS_H
#define PARE_EVAL_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"
#include "runtime/model/config.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_interval {
    double low, high;
};

/* 95 % score interval of a share (Wilson 1927, equation for the binomial): holds its
 * coverage near 0 and 1, where the normal approximation does not. n > 0. */
struct pare_interval pare_wilson_interval(uint64_t successes, uint64_t n);

struct pare_metrics {
    uint64_t rows, correct;
    uint32_t labels;
    double accuracy;
    struct pare_interval accuracy_interval;
    double f1;  /* of label 1 when there are two labels, else macro; 0 when undefined */
    double mcc; /* Matthews 1975; Gorodkin 2004 (R_K) beyond two labels; 0 if undefined */
    uint64_t confusion[PARE_MAX_LABELS * PARE_MAX_LABELS]; /* [truth][predicted] */
};

/* Label with the largest logit, the first of equals. */
uint32_t pare_predicted_label(const float *logits, uint32_t labels);

/* Whether there is neither an infinity nor a NaN among them: only then do they rank
 * labels, and only then are the measures below what they say. */
int pare_logits_finite(const float *logits, size_t n);

/* logits: [rows, labels]; truth: [rows], each below `labels`. rows > 0. */
void pare_metrics_compute(const float *logits, const int32_t *truth, uint64_t rows,
                          uint32_t labels, struct pare_metrics *out);

struct pare_comparison {
    double retention; /* accuracy / the baseline's; NaN when the baseline's is 0 */
    double agreement; /* share of rows with the same predicted label */
    double kl;        /* mean KL(baseline || model) of the softmax outputs, nats */
    uint64_t only_model_right, only_baseline_right;
    double mcnemar_p;
};

/* Exact two-sided p of McNemar's test: under the null hypothesis each discordant row is a
 * fair coin (McNemar 1947, binomial form). 1 when there are none. */
double pare_mcnemar_exact(uint64_t only_first, uint64_t only_second);

/* KL(p || q) in nats of the softmax of two rows of logits. */
double pare_softmax_kl(const float *p_logits, const float *q_logits, uint32_t labels);

void pare_compare(const float *model_logits, const float *baseline_logits,
                  const int32_t *truth, uint64_t rows, uint32_t labels,
                  struct pare_comparison *out);

#ifdef __cplusplus
}
#endif
#endif
