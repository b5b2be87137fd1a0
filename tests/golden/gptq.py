"""Makes tests/data/gptq.bin: what the published GPTQ (Frantar et al. 2023, algorithm 1,
with the groups, orders and grids of its reference implementation) makes of a small layer,
in numpy (2.4) and double precision, with the explicit inverse and its Cholesky factor.
For tests/unit/test_gptq_golden.c. Run: python tests/golden/gptq.py OUT

In single precision a weight that lies halfway between two codes may go either way, and all
that follow it in its row: only rows without such a weight are taken.

Layout, little-endian: u32 N, K, T, number of cases; the weights as F32 [N, K]; 16 times the
inputs as int8 [T, K]; 64 times what the original inputs were more than these as int8 [T, K];
then for each case u32 bits, group, symmetric, order, early, corrected, and the result as F32
[N, K]. order: 0 as they are, 2 by descending moments. early: groups and grids of the inputs'
order from the given weights. corrected: the weights are first replaced by the minimum of
|x W^T - x' V^T|^2 + damping |V - W|^2, x the original inputs and x' the inputs.
"""
import struct
import sys

import numpy as np

N, K, T = 8, 160, 176
DAMPING = 0.01
MARGIN = 3e-4  # of a code: rows with a decision nearer than this are left out
CASES = [  # bits, group, symmetric, order, early, corrected
    (4, 32, 0, 0, 0, 0),
    (3, 160, 1, 0, 0, 0),
    (4, 16, 0, 2, 0, 0),
    (2, 32, 0, 2, 1, 0),
    (8, 160, 0, 0, 0, 0),
    (4, 32, 0, 2, 1, 1),
]
rng = np.random.default_rng(20261121)

common = rng.standard_normal((T, 6)) @ rng.standard_normal((6, K))
gain = np.where(np.arange(K) % 23 == 5, 2.0, 0.6)
x8 = np.clip(np.rint(16 * gain * (common + 0.7 * rng.standard_normal((T, K)))), -127, 127)
d8 = np.clip(np.rint(0.25 * x8 @ rng.standard_normal((K, K)) / np.sqrt(K) +
                     4 * rng.standard_normal((T, K))), -127, 127)
X, D = x8 / 16, d8 / 64
candidates = (rng.standard_normal((200, K)) * 0.1).astype(np.float32).astype(np.float64)

H = X.T @ X
H[np.diag_indices(K)] += DAMPING * np.mean(np.diag(H))


def fit(x, bits, symmetric):
    top = 2**bits - 1
    low, high = min(x.min(), 0.0), max(x.max(), 0.0)
    if symmetric:
        high = max(high, -low)
        return 2 * high / top, 2**(bits - 1)
    scale = (high - low) / top
    return scale, np.rint(-low / scale)


def solve(w, bits, group, symmetric, order, early):
    """One row's result, and how near its nearest decision was."""
    places = np.argsort(-np.diag(H), kind="stable") if order == 2 else np.arange(K)
    U = np.linalg.cholesky(np.linalg.inv(H[np.ix_(places, places)])).T
    top = 2**bits - 1
    grids = [fit(w[g:g + group], bits, symmetric) for g in range(0, K, group)]
    x, q, margin = w[places].copy(), np.zeros(K), 1.0
    for k in range(K):
        if early:
            scale, zero = grids[places[k] // group]
        elif k % group == 0:
            scale, zero = fit(x[k:k + group], bits, symmetric)
        t = x[k] / scale + zero
        if -0.25 < t < top + 0.25:
            margin = min(margin, abs(t - np.floor(t) - 0.5))
        q[places[k]] = scale * (np.clip(np.rint(x[k] / scale) + zero, 0, top) - zero)
        x[k:] -= (x[k] - q[places[k]]) / U[k, k] * U[k, k:]
    return q, margin


corrected = candidates + candidates @ (D.T @ X) @ np.linalg.inv(H)
rows, results = [], []
for w, v in zip(candidates, corrected):
    solved = [solve(v if case[5] else w, *case[:5]) for case in CASES]
    if min(margin for _, margin in solved) > MARGIN and len(rows) < N:
        rows.append(w)
        results.append([q for q, _ in solved])
assert len(rows) == N
with open(sys.argv[1], "wb") as out:
    out.write(struct.pack("<4I", N, K, T, len(CASES)))
    out.write(np.array(rows).astype("<f4").tobytes())
    out.write(x8.astype(np.int8).tobytes() + d8.astype(np.int8).tobytes())
    for i, case in enumerate(CASES):
        out.write(struct.pack("<6I", *case))
        out.write(np.array([r[i] for r in results]).astype("<f4").tobytes())
