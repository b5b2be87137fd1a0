#include "eval/metrics.h"

#include <math.h>
#include <string.h>

struct pare_interval pare_wilson_interval(uint64_t successes, uint64_t n)
{
    const double z = 1.959963984540054; /* 97.5 % quantile of the normal distribution */
    const double count = (double)n, p = (double)successes / count;
    const double centre = p + z * z / (2 * count);
    const double spread = z * sqrt((p * (1 - p) + z * z / (4 * count)) / count);
    const double scale = 1 + z * z / count;
    /* At 0 and n the bound is exact; rounding would leave it a little off. */
    return (struct pare_interval){
        .low = successes ? (centre - spread) / scale : 0,
        .high = successes < n ? (centre + spread) / scale : 1,
    };
}

uint32_t pare_predicted_label(const float *logits, uint32_t labels)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < labels; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/* F1 = 2 TP / (2 TP + FP + FN) of one label. */
static double f1_of(const struct pare_metrics *m, uint32_t label)
{
    uint64_t predicted = 0, actual = 0;
    for (uint32_t i = 0; i < m->labels; i++) {
        predicted += m->confusion[i * m->labels + label];
        actual += m->confusion[label * m->labels + i];
    }
    uint64_t hits = m->confusion[label * m->labels + label];
    return predicted + actual ? 2.0 * (double)hits / (double)(predicted + actual) : 0;
}

static double macro_f1(const struct pare_metrics *m)
{
    double sum = 0;
    for (uint32_t i = 0; i < m->labels; i++)
        sum += f1_of(m, i);
    return sum / m->labels;
}

/* R_K = (c s - sum p_k t_k) / sqrt((s^2 - sum p_k^2)(s^2 - sum t_k^2)) with c correct
 * rows of s, p_k predictions and t_k rows of label k; equals MCC for two labels. */
static double correlation(const struct pare_metrics *m)
{
    double pt = 0, pp = 0, tt = 0;
    const double s = (double)m->rows, c = (double)m->correct;
    for (uint32_t k = 0; k < m->labels; k++) {
        double p = 0, t = 0;
        for (uint32_t i = 0; i < m->labels; i++) {
            p += (double)m->confusion[i * m->labels + k];
            t += (double)m->confusion[k * m->labels + i];
        }
        pt += p * t;
        pp += p * p;
        tt += t * t;
    }
    double under = (s * s - pp) * (s * s - tt);
    return under > 0 ? (c * s - pt) / sqrt(under) : 0;
}

int pare_logits_finite(const float *logits, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(logits[i]))
            return 0;
    return 1;
}

void pare_metrics_compute(const float *logits, const int32_t *truth, uint64_t rows,
                          uint32_t labels, struct pare_metrics *out)
{
    memset(out, 0, sizeof *out);
    out->rows = rows;
    out->labels = labels;
    for (uint64_t r = 0; r < rows; r++) {
        uint32_t predicted = pare_predicted_label(logits + r * labels, labels);
        out->confusion[(uint32_t)truth[r] * labels + predicted]++;
        out->correct += predicted == (uint32_t)truth[r];
    }
    out->accuracy = (double)out->correct / (double)rows;
    out->accuracy_interval = pare_wilson_interval(out->correct, rows);
    out->f1 = labels == 2 ? f1_of(out, 1) : macro_f1(out);
    out->mcc = correlation(out);
}

double pare_mcnemar_exact(uint64_t only_first, uint64_t only_second)
{
    const uint64_t fewer = only_first < only_second ? only_first : only_second;
    const uint64_t n = only_first + only_second;
    int sign;
    double tail = 0;
    /* sum over i <= fewer of C(n, i) / 2^n, each term through its logarithm */
    for (uint64_t i = 0; i <= fewer; i++)
        tail += exp(lgamma_r((double)n + 1, &sign) - lgamma_r((double)i + 1, &sign) -
                    lgamma_r((double)(n - i) + 1, &sign) - (double)n * log(2));
    return 2 * tail < 1 ? 2 * tail : 1;
}

/* log(sum(exp(x))), shifted by the maximum. */
static double log_sum_exp(const float *x, uint32_t n)
{
    double top = x[pare_predicted_label(x, n)], sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += exp(x[i] - top);
    return top + log(sum);
}

double pare_softmax_kl(const float *p_logits, const float *q_logits, uint32_t labels)
{
    const double p_norm = log_sum_exp(p_logits, labels);
    const double q_norm = log_sum_exp(q_logits, labels);
    double kl = 0;
    for (uint32_t i = 0; i < labels; i++) {
        double log_p = p_logits[i] - p_norm, log_q = q_logits[i] - q_norm;
        kl += exp(log_p) * (log_p - log_q);
    }
    return kl < 0 ? 0 : kl; /* negative by rounding only; NaN stays */
}

void pare_compare(const float *model_logits, const float *baseline_logits,
                  const int32_t *truth, uint64_t rows, uint32_t labels,
                  struct pare_comparison *out)
{
    memset(out, 0, sizeof *out);
    uint64_t model_right = 0, baseline_right = 0, same = 0;
    double kl = 0;
    for (uint64_t r = 0; r < rows; r++) {
        const float *m = model_logits + r * labels, *b = baseline_logits + r * labels;
        const uint32_t m_label = pare_predicted_label(m, labels);
        const uint32_t b_label = pare_predicted_label(b, labels);
        const int m_right = m_label == (uint32_t)truth[r];
        const int b_right = b_label == (uint32_t)truth[r];
        model_right += (uint64_t)m_right;
        baseline_right += (uint64_t)b_right;
        out->only_model_right += m_right && !b_right;
        out->only_baseline_right += b_right && !m_right;
        same += m_label == b_label;
        kl += pare_softmax_kl(b, m, labels);
    }
    out->retention = baseline_right ? (double)model_right / (double)baseline_right : NAN;
    out->agreement = (double)same / (double)rows;
    out->kl = kl / (double)rows;
    out->mcnemar_p = pare_mcnemar_exact(out->only_model_right, out->only_baseline_right);
}
