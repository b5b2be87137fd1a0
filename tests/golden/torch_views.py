"""Makes tests/data/torch_views.pt and tests/data/torch_views.safetensors: the same tensors
as PyTorch (2.x) saves them, with views, parameters and every supported dtype, and as
safetensors in row-major order. Run: python tests/golden/torch_views.py FOLDER
"""
import sys

import torch
from safetensors.torch import save_file

folder = sys.argv[1]
base = torch.arange(24, dtype=torch.float32) / 4 - 2
tensors = {
    "dense": base.reshape(2, 3, 4),
    "transposed": base.reshape(4, 6).t(),
    "permuted": base.reshape(2, 3, 4).permute(2, 0, 1),
    "slice": base.reshape(4, 6)[1:3, 2:5],
    "row": base.reshape(4, 6)[2],
    "column": base.reshape(4, 6)[:, 1],
    "steps": base[3::5],
    "expanded": base[5:7].reshape(2, 1).expand(2, 3),
    "scalar": base[7].reshape(()),
    "empty": torch.zeros(0, 3),
    "ones": base[8:11].reshape(1, 3, 1),
    "parameter": torch.nn.Parameter(base[:6].reshape(2, 3)),
    "tied": base[:6].reshape(2, 3),
    "f16": base.half(),
    "bf16": base.bfloat16(),
    "f64": base.double(),
    "i64": torch.tensor([-(2**40), 7]),
    "i32": torch.tensor([-5, 2**31 - 1], dtype=torch.int32),
    "i16": torch.tensor([-300, 300], dtype=torch.int16),
    "i8": torch.tensor([-128, 127, 0], dtype=torch.int8),
    "u8": torch.tensor([255, 0], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "naïve.名": base[:1],
}
mixed = {
    "epoch": 3,
    "lr": 0.5,
    "name": "run",
    "dtype": torch.float16,
    "device": torch.device("cpu"),
    "shape": torch.Size([1, 2]),
    "big": 1 << 100,
    "nothing": None,
    "list": [1, [2.0, "x"], (True,)],
    "state_dict": tensors,
}
torch.save(mixed, f"{folder}/torch_views.pt")
save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()},
          f"{folder}/torch_views.safetensors", {"format": "pt"})
