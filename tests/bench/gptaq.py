#!/usr/bin/env python3
"""GPTAQ (Li et al. 2025, arXiv:2504.02692) and corrected weights on layers that
capture_layers.py wrote, both in numpy and double precision, on the published 3-bit grid in
groups of 32: |T W^T - Tc Q^T|^2 / |T W^T|^2, for the comparison in docs/RESULTS.md.

GPTAQ adds to the later columns, when column q is decided, w_q P_q with
P = ((C U^T) * strictly upper ones) U, C the moments of what is missing in the inputs with the
inputs, H^-1 = U^T U; `alpha` multiplies P. Corrected weights are W + alpha W C H^-1
before the first column.

    gptaq.py COLUMNS LAYER ...
"""
import os
import sys

import numpy as np

BITS, GROUP, DAMPING = 3, 32, 0.01
ALPHAS = (0.25, 0.5, 0.75, 1)


def fit(x):
    low, high = np.minimum(x.min(1), 0), np.maximum(x.max(1), 0)
    scale = (high - low) / (2**BITS - 1)
    scale[scale == 0] = 1
    return scale[:, None], np.rint(-low / scale)[:, None]


def solve(W, U, P):
    X, Q = W.copy(), np.zeros_like(W)
    for k in range(W.shape[1]):
        if k % GROUP == 0:
            scale, zero = fit(X[:, k:k + GROUP])
        codes = np.clip(np.rint(X[:, k:k + 1] / scale) + zero, 0, 2**BITS - 1)
        Q[:, k] = (scale * (codes - zero))[:, 0]
        w = X[:, k].copy()
        X[:, k:] -= np.outer((w - Q[:, k]) / U[k, k], U[k, k:])
        if P is not None:
            X[:, k:] += np.outer(w, P[k, k:])
    return Q


def main():
    print(f"{'':28s} {'GPTQ':10s}", *(f"GPTAQ {a:<5}" for a in ALPHAS),
          *(f"corr. {a:<5}" for a in ALPHAS))
    columns = int(sys.argv[1])
    for folder in sys.argv[2:]:
        W, X, T, Xc, Tc = (np.fromfile(f"{folder}/{name}.f32", "<f4").reshape(
            -1, columns).astype(np.float64) for name in ("W", "X", "T", "Xc", "Tc"))
        H = Xc.T @ Xc
        H[np.diag_indices(columns)] += DAMPING * np.mean(np.diag(H))
        inverse = np.linalg.inv(H)
        U, C = np.linalg.cholesky(inverse).T, (X - Xc).T @ Xc
        right = T @ W.T
        error = lambda Q: ((Tc @ Q.T - right)**2).sum() / (right**2).sum()
        P = np.triu(C @ U.T, 1) @ U
        found = [error(solve(W, U, None))]
        found += [error(solve(W, U, a * P)) for a in ALPHAS]
        found += [error(solve(W + a * W @ C @ inverse, U, None)) for a in ALPHAS]
        print(f"{os.path.basename(folder):28s}", *(f"{x:.4e} " for x in found), flush=True)


main()
