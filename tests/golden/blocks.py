"""Makes tests/data/blocks.bin: what the `gguf` Python package (0.19, with numpy 2.4) makes
of a few rows, for tests/unit/test_blocks.c. Run: python tests/golden/blocks.py OUT

Layout, little-endian: u32 number of blocks of 32; the values as F32; then for each of
Q8_0, Q4_0, Q4_1, F16, BF16 the encoded bytes and the values they decode to as F32.
"""
import sys
import warnings

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants

warnings.simplefilter("ignore")  # some values overflow half precision on purpose
rng = np.random.default_rng(20240607)
rows = [
    rng.standard_normal(32 * 12),
    rng.standard_normal(32 * 4) * 0.02,
    rng.standard_t(2, 32 * 6) * 0.1,
    rng.standard_normal(32 * 2) * 1e-7,  # scales below the smallest normal half
    rng.standard_normal(32 * 2) * 3e4,
    np.zeros(32),
    -np.zeros(32),
    np.full(32, 0.75),
    np.full(32, -3.0),
    np.arange(32) / 8.0,
    np.arange(32) - 16.0,  # equal magnitudes of both signs
    16.0 - np.arange(32),
    (np.arange(32) % 17 - 8) / 2.0,  # ties of the 4-bit grid
    (np.arange(32) * 8 - 127) / 2.0,  # ties of the 8-bit grid
    np.where(np.arange(32) == 13, -100.0, 0.01),
    np.where(np.arange(32) == 31, 1.0, 0.0),
    rng.integers(-128, 128, 32 * 3) / 16.0,
]
x = np.concatenate([np.asarray(r, dtype=np.float32) for r in rows])
with open(sys.argv[1], "wb") as out:
    out.write(np.uint32(len(x) // 32).tobytes())
    out.write(x.tobytes())
    for t in (T.Q8_0, T.Q4_0, T.Q4_1, T.F16, T.BF16):
        encoded = quants.quantize(x.reshape(-1, 32), t)
        decoded = quants.dequantize(encoded, t)
        out.write(encoded.tobytes())
        out.write(decoded.astype(np.float32).tobytes())
