#!/usr/bin/env python3
"""Ranges that the observers of static quantisation take, from their definitions.

Development only; needs numpy and scipy (checked with numpy 2). Prints the table of
tests/unit/test_observer.c; inputs are made by the same congruential generator there.
"""
import numpy as np
from scipy.special import rel_entr

BINS, ROWS, K = 2048, 512, 64


def values(shape):
    """[ROWS, K] float32: shape 0 symmetric with long tails, 1 mostly positive, 2 positive,
    3 with a few outliers on one side."""
    state, out = shape + 1, np.empty(ROWS * K)
    for i in range(ROWS * K):
        state = (state * 1664525 + 1013904223) % 2**32
        u = (state >> 8) / 2**24
        v = 2 * u - 1
        out[i] = [v * v * v * v * v * 8, v * 0.125 if v < 0 else v * v * 3, u * u * u * u,
                  v + (40 if i % 16001 == 7 else 0)][shape]
    return out.astype(np.float32).reshape(ROWS, K)


def histogram(x):
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    counts, edges = np.histogram(x.astype(np.float64), BINS, (low, high))
    return counts, edges, low, high


def percentile(x):
    counts, edges, _, _ = histogram(x)
    out, total = x.size // 10000, np.cumsum(counts)
    first = np.argmax(total > out)
    last = BINS - 1 - np.argmax(np.cumsum(counts[::-1]) > out)
    return edges[first], edges[last + 1]


def mse(x):
    counts, edges, low, high = histogram(x)
    middle = (edges[1:] + edges[:-1]) / 2
    best = (np.inf,)
    for i in range(64 if low < 0 else 1):
        for j in range(64):
            a, b = low * (64 - i) / 64, high * (64 - j) / 64
            step = (b - a) / 255
            zero = np.round(-a / step)
            q = np.clip(np.round(middle / step + zero), 0, 255)
            best = min(best, (counts @ (middle - (q - zero) * step) ** 2, i, j, a, b))
    return best[3:]


def entropy(x):
    counts, edges, low, high = histogram(x)
    middle = (edges[1:] + edges[:-1]) / 2
    best = (np.inf,)
    for t in range(128, 15, -1):
        threshold = max(-low, high) * t / 128
        inside = np.flatnonzero(np.abs(middle) <= threshold)
        p = counts[inside].astype(float)
        part = np.arange(len(inside)) * 256 // len(inside)
        # Bins of a code that hold something share its counts equally.
        used = np.bincount(part, p > 0, 256)
        share = np.bincount(part, p, 256) / np.maximum(used, 1)
        q = np.where(p > 0, share[part], 1e-4) / p.sum()
        p[0] += counts[:inside[0]].sum()
        p[-1] += counts[inside[-1] + 1:].sum()
        best = min(best, (rel_entr(p / x.size, q).sum(), -t, max(low, -threshold),
                          min(high, threshold)))
    return best[2:]


for shape in range(4):
    x = values(shape)
    rows = [(min(0, x.min()), max(0, x.max())), percentile(x), mse(x), entropy(x)]
    print("    {" + ", ".join(f"{{{a:.9g}, {b:.9g}}}" for a, b in rows) + "},")
