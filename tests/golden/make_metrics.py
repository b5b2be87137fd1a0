#!/usr/bin/env python3
"""Makes tests/data/metrics.json: classifier outputs with the metrics that scipy and
scikit-learn compute from them. Development only (scipy 1.16, scikit-learn 1.7).

    make_metrics.py > tests/data/metrics.json
"""
import json

import numpy as np
from scipy.special import log_softmax
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, f1_score, matthews_corrcoef


def case(seed, rows, labels, noise):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, labels, rows)
    base = rng.normal(size=(rows, labels)) + 1.5 * np.eye(labels)[truth]
    model = base + noise * rng.normal(size=base.shape)
    base, model = base.astype(np.float32).round(4), model.astype(np.float32).round(4)
    predicted, reference = model.argmax(1), base.argmax(1)
    right = int((predicted == truth).sum())
    interval = binomtest(right, rows).proportion_ci(method="wilson")
    only_model = int(((predicted == truth) & (reference != truth)).sum())
    only_base = int(((predicted != truth) & (reference == truth)).sum())
    discordant = only_model + only_base
    p, q = log_softmax(base.astype(np.float64), 1), log_softmax(model.astype(np.float64), 1)
    f1 = f1_score(truth, predicted, zero_division=0) if labels == 2 else \
        f1_score(truth, predicted, average="macro", zero_division=0,
                 labels=list(range(labels)))
    return {
        "labels": labels, "truth": truth.tolist(),
        "model": [float(x) for x in model.flatten()],
        "baseline": [float(x) for x in base.flatten()],
        "accuracy": right / rows, "low": interval.low, "high": interval.high,
        "f1": float(f1), "mcc": float(matthews_corrcoef(truth, predicted)),
        "confusion": confusion_matrix(truth, predicted,
                                      labels=list(range(labels))).flatten().tolist(),
        "retention": right / int((reference == truth).sum()),
        "agreement": float((predicted == reference).mean()),
        "kl": float((np.exp(p) * (p - q)).sum(1).mean()),
        "mcnemar": binomtest(only_model, discordant).pvalue if discordant else 1.0,
    }


print(json.dumps([case(1, 80, 2, 0.5), case(2, 40, 2, 0.0), case(3, 60, 4, 1.0)],
                 separators=(",", ":")))
