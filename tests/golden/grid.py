"""Makes tests/data/grid.bin: what numpy (2.4) makes of a small matrix on grids in groups,
from the formulas of libquant/grid.h, for tests/unit/test_grid.c.
Run: python tests/golden/grid.py OUT

Layout, little-endian: u32 N, K, number of grids; the values as F32; then for each grid u32
bits, group, asymmetric, ternary; the rounded values as F32; the streams of codes; the scales
as F16; for asymmetric ones the zero points as bytes.
"""
import sys

import numpy as np

f32 = np.float32
K = 64
rng = np.random.default_rng(20261121)
rows = [
    rng.standard_normal(K),
    rng.standard_normal(K) * 0.02,
    rng.standard_t(2, K) * 0.1,
    rng.standard_normal(K) * 1e-6,  # scales that are subnormal halves
    rng.standard_normal(K) * 1e-9,  # scales below half precision
    rng.standard_normal(K) * 3e4,
    np.zeros(K),
    -np.zeros(K),
    np.full(K, 0.75),
    np.full(K, -3.0),
    np.abs(rng.standard_normal(K)),
    -np.abs(rng.standard_normal(K)),
    np.arange(K) / 8.0 - 4.0,  # ties
    (np.arange(K) % 17 - 8) / 2.0,  # equal magnitudes of both signs, ties
    np.where(np.arange(K) == 13, -100.0, 0.01),
    rng.integers(-128, 128, K) / 16.0,
]
W = np.array(rows, dtype=f32)
N = len(W)


def half(s):
    h = f32(s).astype(np.float16)
    return h, h.astype(f32)


def row_sum(x):
    """Sixteen partial sums, then a tree: the order of the kernels."""
    lanes = np.zeros(16, dtype=f32)
    for begin in range(0, len(x), 16):
        part = np.zeros(16, dtype=f32)
        part[:len(x[begin:begin + 16])] = x[begin:begin + 16]
        lanes = lanes + part
    for step in (8, 4, 2, 1):
        lanes = lanes[:step] + lanes[step:2 * step]
    return lanes[0]


def fit(w, bits, asymmetric, ternary, mean):
    top = 2**bits - 1
    low, high = np.minimum(w.min(), f32(0)), np.maximum(w.max(), f32(0))
    if ternary:
        h, s = half(mean if mean is not None else row_sum(np.abs(w)) / f32(len(w)))
        return h, s, 2
    if not asymmetric:
        most = high if high >= -low else low
        h, s = half(most * f32(-1 / 2**(bits - 1)) if most else f32(0))
        return h, s, 2**(bits - 1)
    h, s = half((high - low) / f32(top))
    z = np.rint(np.minimum(-low * (f32(1) / s), f32(top))) if s > 0 else 0
    return h, s, int(z)


def rounded(w, s, z, bits, ternary):
    inverse = f32(1) / s if s != 0 else f32(0)
    t = (w.astype(np.longdouble) * inverse + z).astype(f32)  # one rounding
    q = np.rint(np.clip(t, 1 if ternary else 0, 2**bits - 1)).astype(np.int64)
    return q, s * (q - z).astype(f32)


def stream(codes, bits):
    planes = (codes[:, None] >> np.arange(bits)) & 1
    return np.packbits(planes.astype(np.uint8).ravel(), bitorder="little").tobytes()


grids = [(bits, group, asymmetric, 0) for bits in range(2, 9)
         for group in (32, 0) for asymmetric in (0, 1)]
grids += [(2, 32, 0, 1), (2, 0, 0, 1)]
with open(sys.argv[1], "wb") as out:
    out.write(np.array([N, K, len(grids)], dtype="<u4").tobytes())
    out.write(W.tobytes())
    for bits, group, asymmetric, ternary in grids:
        size = group or K
        mean = None
        if ternary and not group:
            total = sum(float(row_sum(np.abs(w))) for w in W)
            mean = f32(total / (N * K))
        values, codes, scales, zeros = [], [], [], []
        for w in W:
            for begin in range(0, K, size):
                h, s, z = fit(w[begin:begin + size], bits, asymmetric, ternary, mean)
                q, v = rounded(w[begin:begin + size], s, z, bits, ternary)
                scales.append(h)
                zeros.append(z)
                codes.append(q)
                values.append(v)
        out.write(np.array([bits, group, asymmetric, ternary], dtype="<u4").tobytes())
        out.write(np.concatenate(values).astype("<f4").tobytes())
        rows = np.concatenate(codes).reshape(N, K)
        out.write(b"".join(stream(row, bits) for row in rows))
        out.write(np.array(scales, dtype="<f2").tobytes())
        if asymmetric:
            out.write(np.array(zeros, dtype=np.uint8).tobytes())
