"""Makes tests/data/superblocks.bin: what the `gguf` Python package (0.19, with numpy 2.4)
decodes from blocks of random bytes, for tests/unit/test_superblocks.c.
Run: python tests/golden/superblocks.py OUT

For each of Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, TQ1_0, TQ2_0: BLOCKS blocks, then their values as
F32, little-endian. The scales in half precision are random finite ones. The bytes of TQ1_0
are those that the package makes of three values, since not all bytes stand for five of
them.
"""
import sys

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES

BLOCKS = 3
# Where the halves are.
HALVES = {T.Q2_K: (80, 82), T.Q3_K: (108,), T.Q4_K: (0, 2), T.Q5_K: (0, 2), T.Q6_K: (208,),
          T.TQ1_0: (52,), T.TQ2_0: (64,)}
rng = np.random.default_rng(20261121)
with open(sys.argv[1], "wb") as out:
    for t, places in HALVES.items():
        size = GGML_QUANT_SIZES[t][1]
        blocks = rng.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
        if t == T.TQ1_0:
            values = rng.integers(-1, 2, (BLOCKS, 256)).astype(np.float32)
            blocks = quants.quantize(values, t)
        for at in places:
            halves = rng.standard_normal((BLOCKS, 1)).astype(np.float16)
            blocks[:, at:at + 2] = halves.view(np.uint8)
        out.write(blocks.tobytes())
        out.write(quants.dequantize(blocks, t).astype(np.float32).tobytes())
