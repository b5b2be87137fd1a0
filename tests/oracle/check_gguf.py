#!/usr/bin/env python3
"""A second reader of the container, written from docs/FORMAT.md, against the programs.

Development only; needs numpy, gguf and safetensors (checked with numpy 2, gguf 0.19).

    check_gguf.py BIN_FOLDER HF_FOLDER ["ID ID ..." ...]

For every number format: converts and quantises the checkpoint, reads the container with the
reader below and with the `gguf` package, compares header, keys, tensors and their values
with one another and with the checkpoint, computes the content hash that pare-inspect
prints, and runs token ids through a forward in numpy (from the document's equations, in
double precision; I8 and codes as the document says they run) against pare-run. Super-blocks
only when the model is wide enough. Sparse matrices are made by pare-prune, and written here too
(sparse_matrices.py).
"""
import hashlib
import json
import math
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

import numpy as np
from gguf import GGUFReader, quants
from gguf.constants import GGMLQuantizationType
from safetensors.numpy import load_file

import sparse_matrices

TYPES = {0: "F32", 1: "F16", 30: "BF16", 8: "Q8_0", 2: "Q4_0", 3: "Q4_1", 24: "I8", 26: "I32",
         10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 34: "TQ1_0", 35: "TQ2_0"}
BLOCKS = {"F32": (1, 4), "F16": (1, 2), "BF16": (1, 2), "Q8_0": (32, 34),
          "Q4_0": (32, 18), "Q4_1": (32, 20), "I8": (1, 1)}
SUPERBLOCKS = {"Q2_K": (256, 84), "Q3_K": (256, 110), "Q4_K": (256, 144), "Q5_K": (256, 176),
               "Q6_K": (256, 210), "TQ1_0": (256, 54), "TQ2_0": (256, 66)}
ALL_BLOCKS = BLOCKS | SUPERBLOCKS | {"I32": (1, 4)}
# What pare-quantize is asked for, to make codes: scheme, group size, zero points.
CODES = {"int4": (4, 32, 0), "int4z": (4, 32, 1), "int2": (2, 0, 0), "int3": (3, 32, 0),
         "int5z": (5, 0, 1), "int6": (6, 32, 0), "int7": (7, 32, 0),
         "int8z": (8, 32, 1), "int8g": (8, 32, 0), "ternary": (2, 0, 0)}
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q",
           12: "d"}


# --- super-blocks ---

def plane(data, bits, width=32):
    """Codes of `bits` bits, by the document's "bytes of b bits"."""
    runs = data.reshape(len(data), -1, 1, width) >> np.arange(0, 8, bits)[:, None]
    return (runs & (2**bits - 1)).reshape(len(data), 256).astype(int)


def digits(data):
    """Digits to base 3 of bytes 0 to 31, 32 to 47 and 48 to 51."""
    parts = []
    for part, n in ((data[:, :32], 5), (data[:, 32:48], 5), (data[:, 48:52], 4)):
        v = part.astype(int)
        for _ in range(n):
            parts.append(v * 3 >> 8)
            v = v * 3 & 255
    return np.concatenate(parts, axis=1)


def scales_and_minima(s):
    s = s.astype(int)
    a = [s[:, j] & 63 for j in range(4)]
    a += [s[:, 8 + j] & 15 | s[:, j] >> 6 << 4 for j in range(4)]
    c = [s[:, 4 + j] & 63 for j in range(4)]
    c += [s[:, 8 + j] >> 4 | s[:, 4 + j] >> 6 << 4 for j in range(4)]
    return np.stack(a, 1), np.stack(c, 1)


def superblocks(kind, rows):
    def half(at):
        return rows[:, at:at + 2].copy().view("<f2").astype(np.float64)

    zero, dmin, c = 0, np.zeros((1, 1)), np.zeros((1, 1), int)
    if kind == "Q2_K":
        a, c = rows[:, :16] & 15, rows[:, :16] >> 4
        q, d, dmin = plane(rows[:, 16:80], 2), half(80), half(82)
    elif kind == "Q3_K":
        q, d, zero = plane(rows[:, :32], 1) * 4 + plane(rows[:, 32:96], 2), half(108), 4
        s = rows[:, 96:108].astype(int)
        a = [(s[:, j % 8] >> j // 8 * 4 & 15 | (s[:, 8 + j % 4] >> j // 4 * 2 & 3) << 4) - 32
             for j in range(16)]
        a = np.stack(a, 1)
    elif kind in ("Q4_K", "Q5_K"):
        d, dmin, (a, c) = half(0), half(2), scales_and_minima(rows[:, 4:16])
        q = plane(rows[:, -128:], 4)
        if kind == "Q5_K":
            q = q + 16 * plane(rows[:, 16:48], 1)
    elif kind == "Q6_K":
        q = plane(rows[:, :128], 4, 64) + 16 * plane(rows[:, 128:192], 2)
        a, d, zero = rows[:, 192:208].copy().view("i1"), half(208), 32
    else:
        q = digits(rows) if kind == "TQ1_0" else plane(rows[:, :64], 2)
        a, d, zero = np.ones((1, 1), int), half(rows.shape[1] - 2), 1
    scale, low = (d * a), (dmin * c)
    q = (q - zero).reshape(len(rows), scale.shape[1], -1)
    return scale[:, :, None] * q - low[:, :, None]


# --- the file ---

class Container:
    def __init__(self, path):
        self.bytes, self.at = pathlib.Path(path).read_bytes(), 0
        assert self.take("4s") == b"GGUF" and self.take("I") == 3
        n_tensors, n_keys = self.take("Q"), self.take("Q")
        self.keys = dict(self.key() for _ in range(n_keys))
        self.keys_end = self.at
        infos = [self.tensor() for _ in range(n_tensors)]
        self.align()
        start, self.tensors = self.at, {}
        for name, shape, kind, offset in infos:
            assert self.at - start == offset, f"{name}: gap"
            block, size = ALL_BLOCKS[kind]
            size *= math.prod(shape) // block
            self.tensors[name] = (kind, shape, self.bytes[self.at:self.at + size])
            self.at += size
            self.align()
        assert self.at == len(self.bytes)
        assert len(self.tensors) == n_tensors and len(self.keys) == n_keys

    def take(self, form):
        size = struct.calcsize("<" + form)
        self.at += size
        value = struct.unpack("<" + form, self.bytes[self.at - size:self.at])
        return value[0] if len(value) == 1 else value

    def align(self):
        end = -(-self.at // 32) * 32
        assert not any(self.bytes[self.at:end])
        self.at = end

    def text(self):
        length = self.take("Q")
        self.at += length
        return self.bytes[self.at - length:self.at]

    def key(self):
        name, kind = self.text().decode("ascii"), self.take("I")
        if kind == 8:
            return name, (kind, self.text())
        if kind != 9:
            return name, (kind, self.take(SCALARS[kind]))
        element, count = self.take("I"), self.take("Q")
        if element == 8:
            return name, (kind, element, [self.text() for _ in range(count)])
        return name, (kind, element, [self.take(SCALARS[element]) for _ in range(count)])

    def tensor(self):
        name, n = self.text().decode(), self.take("I")
        shape = tuple(reversed([self.take("Q") for _ in range(n)]))
        return name, shape, TYPES[self.take("I")], self.take("Q")

    def value(self, name, default=None):
        found = self.keys.get(name)
        return default if found is None else found[-1]

    def content_hash(self):
        sha = hashlib.sha256()

        def number(*values):
            for value in values:
                sha.update(struct.pack("<Q", value))

        def text(value):
            number(len(value))
            sha.update(value)

        keys = sorted((k.encode(), v) for k, v in self.keys.items() if k != "pare.history")
        number(len(keys))
        for name, value in keys:
            text(name)
            number(value[0])
            if value[0] == 8:
                text(value[1])
            elif value[0] != 9:
                form = "d" if value[0] in (6, 12) else "q" if value[0] in (1, 3, 5, 11) else "Q"
                sha.update(struct.pack("<" + form, value[1]))
            else:
                number(value[1], len(value[2]))
                for item in value[2]:
                    if value[1] == 8:
                        text(item)
                    else:
                        sha.update(struct.pack("<" + SCALARS[value[1]], item))
        number(len(self.tensors))
        for name, (kind, shape, data) in sorted((k.encode(), v) for k, v in self.tensors.items()):
            text(name)
            number(next(n for n, t in TYPES.items() if t == kind), len(shape), *shape, len(data))
            sha.update(data)
        return sha.hexdigest()

    def codes(self, name):
        """Of X.weight: codes [N, K], scales and zero points [N, groups], from the shapes."""
        _, (rows, columns), data = self.tensors[name + "_codes"]
        scale = self.decoded(name + "_scale")
        bits = {bits for bits in range(2, 9)
                for K in [8 * columns / bits] if K == self.inputs(name)}.pop()
        stream = np.frombuffer(data, "u1").reshape(rows, columns)
        bit = np.unpackbits(stream, axis=1, bitorder="little").reshape(rows, -1, bits)
        zero = np.full(scale.shape, 2 ** (bits - 1))
        if name + "_zero" in self.tensors:
            zero = np.frombuffer(self.tensors[name + "_zero"][2], "u1").reshape(scale.shape)
        return (bit.astype(int) << np.arange(bits)).sum(2), scale, zero.astype(int)

    def sparse(self, name):
        """Of X.weight: whole numbers [N, K], 0 where nothing is kept, and scales [N, groups];
        halves, and scales of 1."""
        p, mask, q = sparse_matrices.read(self.tensors, name, self.inputs(name))
        if self.tensors[name + "_values"][0] == "F16":
            return q, np.ones((len(q), 1))
        scale = self.decoded(name + "_scale").reshape(len(q), -1)
        q = q - 2 ** (p.bits - 1) if p.bits else sparse_matrices.signed(q)
        return np.where(mask, q, 0), scale

    def inputs(self, name):
        """K of a matrix, which the config says."""
        wide = name.endswith("ffn_down.weight")
        return self.value("bert.feed_forward_length" if wide else "bert.embedding_length")

    def decoded(self, name):
        """The values of a tensor by the formulas of the document, in double precision."""
        if name + "_codes" in self.tensors:
            q, scale, zero = self.codes(name)
            size = q.shape[1] // scale.shape[1]
            return (q - zero.repeat(size, 1)) * scale.repeat(size, 1)
        if name + "_sparse" in self.tensors:
            q, scale = self.sparse(name)
            return q * scale.repeat(q.shape[1] // scale.shape[1], 1)
        kind, shape, data = self.tensors[name]
        if kind == "F32":
            return np.frombuffer(data, "<f4").reshape(shape).astype(np.float64)
        if kind == "F16":
            return np.frombuffer(data, "<f2").reshape(shape).astype(np.float64)
        if kind == "BF16":
            bits = np.frombuffer(data, "<u2").astype(np.uint32) << 16
            return bits.view(np.float32).reshape(shape).astype(np.float64)
        if kind == "I8":
            scale = self.decoded(name + "_scale")
            return np.frombuffer(data, "i1").reshape(shape) * scale[:, None]
        rows = np.frombuffer(data, "u1").reshape(-1, (BLOCKS | SUPERBLOCKS)[kind][1])
        if kind in SUPERBLOCKS:
            return superblocks(kind, rows).reshape(shape)
        d = rows[:, 0:2].copy().view("<f2").astype(np.float64)
        if kind == "Q8_0":
            return (d * rows[:, 2:].copy().view("i1")).reshape(shape)
        halves = rows[:, 2 if kind == "Q4_0" else 4:]
        n = np.concatenate([halves & 15, halves >> 4], axis=1).astype(np.float64)
        if kind == "Q4_0":
            return (d * (n - 8)).reshape(shape)
        return (d * n + rows[:, 2:4].copy().view("<f2")).reshape(shape)


# --- what it computes ---

def gelu(x):
    return x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


ACTIVATIONS = {
    b"gelu": gelu, b"relu": lambda x: np.maximum(x, 0),
    b"gelu_tanh": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    b"silu": lambda x: x / (1 + np.exp(-x))}


def quantised(x, ends=None):
    """A token's inputs as a linear layer with I8 weights takes them: a and z, and s."""
    low, high = np.minimum(x.min(1), 0), np.maximum(x.max(1), 0)
    if ends is not None:
        low, high = (np.full(len(x), end, np.float32) for end in ends)
    s = ((high - low) / np.float32(255)).astype(np.float32)[:, None]
    inverse = np.float32(1) / s
    z = np.rint(-low[:, None] * inverse)
    a = np.clip(np.rint(x * inverse + z), 0, 255)
    return a - z, s.astype(np.float64)


def grouped_product(x, codes):
    """The exact sums of the groups in double precision, from zero on."""
    q, scale, zero = codes
    size = q.shape[1] // scale.shape[1]
    y = np.zeros((len(x), len(q)))
    for g in range(scale.shape[1]):
        part = slice(g * size, (g + 1) * size)
        a, s = quantised(x[:, part])
        y += (a @ (q[:, part] - zero[:, g:g + 1]).T) * (s * scale[:, g])
    return y


def forward(c, ids):
    config = {k: c.value("bert." + k) for k in ("block_count", "attention.head_count")}
    eps = c.value("bert.attention.layer_norm_epsilon")
    act = ACTIVATIONS[c.value("pare.activation", b"gelu")]
    others = "_scale", "_zero", ".input_range", "_mask", "_ranks", "_values"
    names = {name.removesuffix("_codes").removesuffix("_sparse") for name in c.tensors
             if not name.endswith(others)}
    weights = {name: c.decoded(name) for name in names}

    def linear(name, x):
        shared = re.sub("attn_[qkv]$", "attn_qkv", name)
        if shared + ".input_scale" in c.tensors:
            x = x.astype(np.float32) * c.decoded(shared + ".input_scale").astype(np.float32)
        ends = None
        if shared + ".input_range" in c.tensors:
            ends = c.decoded(shared + ".input_range")
        if name + ".weight_codes" in c.tensors:
            product = grouped_product(x.astype(np.float32), c.codes(name + ".weight"))
            return product + weights[name + ".bias"]
        if name + ".weight_sparse" in c.tensors:
            q, scale = c.sparse(name + ".weight")
            coded = c.tensors[name + ".weight_sparse"][1] == (5,)
            if coded:
                product = grouped_product(x.astype(np.float32), (q, scale, np.zeros(scale.shape)))
                return product + weights[name + ".bias"]
            is_i8 = c.tensors[name + ".weight_values"][0] == "I8"
        else:
            is_i8 = c.tensors[name + ".weight"][0] == "I8"
        if is_i8:
            a, s = quantised(x.astype(np.float32), ends)
            x = a * s
        return x @ weights[name + ".weight"].T + weights[name + ".bias"]

    def norm(name, x):
        centred = x - x.mean(1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(1, keepdims=True) + eps)
        return scaled * weights[name + ".weight"] + weights[name + ".bias"]

    x = weights["token_embd.weight"][ids] + weights["position_embd.weight"][:len(ids)]
    if c.value("pare.token_types"):
        x = x + weights["token_types.weight"][0]
    x = norm("token_embd_norm", x)
    heads = config["attention.head_count"]
    for n in range(config["block_count"]):
        b = f"blk.{n}."
        q, k, v = (linear(b + "attn_" + w, x).reshape(len(ids), heads, -1).swapaxes(0, 1)
                   for w in "qkv")
        scores = q @ k.swapaxes(1, 2) / math.sqrt(q.shape[2])
        p = np.exp(scores - scores.max(2, keepdims=True))
        a = ((p / p.sum(2, keepdims=True)) @ v).swapaxes(0, 1).reshape(len(ids), -1)
        u = norm(b + "attn_output_norm", linear(b + "attn_output", a) + x)
        x = norm(b + "layer_output_norm", linear(b + "ffn_down", act(linear(b + "ffn_up", u))) + u)
    if not c.value("pare.pooler") or not c.value("bert.classifier.output_labels"):
        return x, None
    g = np.tanh if c.value("pare.family") == b"bert" else ACTIVATIONS[b"relu"]
    return x, linear("cls.output", g(linear("cls", x[:1])))[0]


# --- against the programs ---

def run(*words):
    return subprocess.run([str(w) for w in words], check=True, capture_output=True,
                          text=True).stdout


def checkpoint_matrices(folder):
    """Matrices of the checkpoint by their values' first bytes: names do not matter here."""
    return {t.tobytes(): t for t in load_file(folder / "model.safetensors").values()
            if t.ndim == 2 and t.dtype == np.float32}


def check_values(c, f32, kind):
    """Every matrix is the checkpoint's, encoded as `kind` says."""
    quant = {"Q8_0": GGMLQuantizationType.Q8_0, "Q4_0": GGMLQuantizationType.Q4_0,
             "Q4_1": GGMLQuantizationType.Q4_1, "BF16": GGMLQuantizationType.BF16}
    count = 0
    for name, (stored, shape, data) in c.tensors.items():
        if stored != kind or name.endswith("_scale") or len(shape) < 2:
            continue
        w = np.frombuffer(f32.tensors[name][2], "<f4").reshape(shape)
        if kind == "F16":
            expected = w.astype("<f2").tobytes()
        elif kind == "I8":
            scale = np.abs(w).max(1) / np.float32(127)
            assert c.tensors[name + "_scale"][2] == scale.astype("<f4").tobytes(), name
            safe = np.where(scale == 0, np.float32(1), scale)[:, None]
            expected = np.clip(np.rint(w / safe), -127, 127).astype("i1").tobytes()
        elif kind == "F32":
            expected = data
        else:
            expected = quants.quantize(w, quant[kind]).tobytes()
        assert data == expected, f"{name} as {kind}"
        count += 1
    return count


def encoded(w, bits, asymmetric, ternary, mean):
    """Codes, scale and zero point of one group, by the formulas of the document."""
    top, f32 = 2**bits - 1, np.float32
    low, high = min(w.min(), f32(0)), max(w.max(), f32(0))
    if ternary:
        raw = mean
    elif asymmetric:
        raw = (high - low) / f32(top)
    else:
        raw = (high if high >= -low else low) * f32(-1 / 2**(bits - 1))
    s = f32(raw).astype(np.float16).astype(f32)
    inverse = f32(1) / s if s else f32(0)
    z = np.rint(min(-low * inverse, f32(top))) if asymmetric else 2**(bits - 1)
    exact = (w.astype(np.longdouble) * inverse + z).astype(f32)
    return np.rint(np.clip(exact, 1 if ternary else 0, top)).astype(int), s, int(z)


def check_codes(c, f32, form, ternary):
    """Every matrix that is codes is the checkpoint's, rounded as the document says."""
    bits, group, asymmetric = form
    count = 0
    for name in [n.removesuffix("_codes") for n in c.tensors if n.endswith("_codes")]:
        w = f32.decoded(name).astype(np.float32)
        q, scale, zero = c.codes(name)
        size = group or w.shape[1]
        assert scale.shape == (len(w), w.shape[1] // size), name
        mean = np.float32(np.abs(w, dtype=np.float64).mean()) if ternary else None
        for n, g in np.ndindex(scale.shape):
            part = slice(g * size, (g + 1) * size)
            expected = encoded(w[n, part], bits, asymmetric, ternary, mean)
            assert (q[n, part] == expected[0]).all(), f"{name} {n} {g}"
            assert (scale[n, g], zero[n, g]) == expected[1:], f"{name} {n} {g}"
        count += 1
    return count


def check_gguf_package(binaries, path, c):
    """The same keys, tensors and values; those of the library to the bit."""
    reader = GGUFReader(path)
    decoded = path.with_suffix(".decoded")
    decoded.mkdir(exist_ok=True)
    run(binaries.parent / "tests" / "decode_tensors", path, decoded)
    ours = {k for k in reader.fields if not k.startswith("GGUF.")}
    assert ours == set(c.keys)
    for name, value in c.keys.items():
        found = reader.fields[name].contents()
        mine = value[-1]
        if value[0] == 8:
            mine = mine.decode()
        elif value[0] == 9 and value[1] == 8:
            mine = [x.decode() for x in mine]
        assert found == mine or (isinstance(found, float) and math.isclose(found, mine)), name
    assert [t.name for t in reader.tensors] == list(c.tensors)
    for t in reader.tensors:
        kind, shape, data = c.tensors[t.name]
        assert TYPES[int(t.tensor_type)] == kind
        assert tuple(int(x) for x in reversed(t.shape)) == shape
        assert t.data.tobytes() == data
        if kind not in ("I8", "I32"):
            theirs = quants.dequantize(t.data, t.tensor_type).reshape(shape)
            scale = np.abs(theirs).max() or 1
            assert np.abs(theirs - c.decoded(t.name)).max() <= 1e-6 * scale, t.name
            mine = np.fromfile(decoded / t.name, "<f4").reshape(shape)
            assert (mine == theirs).all(), f"{t.name}: decoded otherwise"


def check_forward(binaries, path, c, sequences):
    worst = 0
    for ids in sequences:
        out = json.loads(run(binaries / "pare-run", path, "--ids", " ".join(map(str, ids)),
                             "--hidden"))
        hidden, logits = forward(c, ids)
        worst = max(worst, np.abs(np.ravel(out["hidden"]) - hidden.ravel()).max())
        if logits is not None:
            worst = max(worst, np.abs(np.array(out["logits"]) - logits).max())
    return worst


def main():
    binaries, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as work:
        base = pathlib.Path(work) / "f32.gguf"
        run(binaries / "pare-convert", "-q", folder, "-o", base)
        f32 = Container(base)
        matrices = checkpoint_matrices(folder)
        for name, (_, shape, data) in f32.tensors.items():
            assert len(shape) < 2 or data in matrices, f"{name} is not in the checkpoint"
        vocabulary = f32.value("bert.vocab_size")
        sequences = [[int(w) for w in words.split()] for words in sys.argv[3:]]
        sequences = sequences or [[i * 7919 % vocabulary for i in range(n)] for n in (1, 2, 13)]
        for kind in BLOCKS:
            path = pathlib.Path(work) / (kind + ".gguf")
            if kind in ("F32", "F16", "BF16"):
                run(binaries / "pare-convert", "-q", folder, "-d", kind.lower(), "-o", path)
            else:
                scheme = "int8" if kind == "I8" else kind.lower()
                run(binaries / "pare-quantize", "-q", base, "-s", scheme, "-o", path)
            c = Container(path)
            check_gguf_package(binaries, path, c)
            count = check_values(c, f32, kind)
            shown = json.loads(run(binaries / "pare-inspect", "--json", path))
            assert shown["sha256"] == c.content_hash(), "content hash"
            history = [json.loads(step) for step in c.value("pare.history")]
            assert history == shown["history"]
            worst = check_forward(binaries, path, c, sequences)
            # A rounding that falls the other way moves an I8 input by one step.
            assert worst < (0.02 if kind == "I8" else 1e-4), f"{kind}: forward off by {worst}"
            print(f"{kind:7} {count:3} matrices, {len(c.keys)} keys, forward within {worst:.1e}")
        wide = f32.value("bert.embedding_length") % 256 == 0
        for kind in SUPERBLOCKS if wide else ():
            path = pathlib.Path(work) / (kind + ".gguf")
            run(binaries / "pare-quantize", "-q", base, "-s", kind.lower(), "-o", path)
            c = Container(path)
            check_gguf_package(binaries, path, c)
            worst = check_forward(binaries, path, c, sequences)
            assert worst < 1e-4, f"{kind}: forward off by {worst}"
            found = [n for n, (stored, *_) in c.tensors.items() if stored == kind]
            print(f"{kind:7} {len(found):3} matrices, forward within {worst:.1e}")
        for kind, form in CODES.items():
            path = pathlib.Path(work) / (kind + ".gguf")
            words = ["--asymmetric"] if form[2] else []
            if kind != "ternary":
                words += ["--group-size", form[1]]
            run(binaries / "pare-quantize", "-q", base, "-s", kind.rstrip("z"), "-o", path, *words)
            c = Container(path)
            check_gguf_package(binaries, path, c)
            count = check_codes(c, f32, form, kind == "ternary")
            shown = json.loads(run(binaries / "pare-inspect", "--json", path))
            assert shown["sha256"] == c.content_hash(), "content hash"
            worst = check_forward(binaries, path, c, sequences)
            assert worst < 0.02, f"{kind}: forward off by {worst}"
            print(f"{kind:7} {count:3} matrices, {len(c.keys)} keys, forward within {worst:.1e}")
        check_inputs(binaries, base, f32, sequences)
        check_sparse(binaries, base, f32, sequences)
        check_pruned(binaries, base, sequences)


# Rows, columns, n, m, bits of codes; what values are; share that is kept.
SPARSE = [((1, 1, 0, 0), "F16", 0.5), ((1, 1, 2, 4), "F16", 0), ((4, 4), "F16", 0.2),
          ((1, 1, 1, 4), "I8", 0), ((16, 1), "I8", 0.2), ((1, 1), "I8", 0),
          ((1, 1, 0, 0, 4), "I8", 0.5), ((1, 1, 2, 4, 3), "I8", 0), ((1, 1, 4, 8, 5), "I8", 0),
          ((1, 1, 3, 8, 8), "I8", 0), ((1, 4, 0, 0, 2), "I8", 0.3), ((4, 1, 0, 0, 7), "I8", 0.3)]


def check_sparse(binaries, base, f32, sequences):
    """Containers with sparse matrices in the blocks and the pooler run as this reader says, and
    pare-inspect takes them for what they are."""
    path = base.with_name("sparse.gguf")
    numbers = {t: n for n, t in TYPES.items()}
    for pattern, kind, share in SPARSE:
        tensors = {}
        for name, (stored, shape, data) in f32.tensors.items():
            if len(shape) < 2 or not re.match(r"blk\.\d+\.\w+\.weight|cls\.weight", name):
                tensors[name] = stored, shape, data
                continue
            p = sparse_matrices.Pattern(*pattern)
            if shape[1] % (p.m or p.columns) or shape[0] % p.rows:
                p = sparse_matrices.Pattern(bits=p.bits)
            group = 32 if shape[1] % 32 == 0 else 0
            w = np.frombuffer(data, "<f4").reshape(shape)
            tensors |= sparse_matrices.prune(name, p, w, share, kind, group if p.bits else 0)
        sparse_matrices.container(f32, tensors, path, numbers)
        c = Container(path)
        assert c.tensors == tensors
        check_written(c)
        check_gguf_package(binaries, path, c)
        shown = json.loads(run(binaries / "pare-inspect", "--json", path))
        assert shown["sha256"] == c.content_hash(), "content hash"
        assert shown["parameters"] == json.loads(
            run(binaries / "pare-inspect", "--json", base))["parameters"]
        worst = check_forward(binaries, path, c, sequences)
        assert worst < (1e-4 if kind == "F16" else 0.02), f"{pattern}: forward off by {worst}"
        print(f"sparse {kind} {pattern}: forward within {worst:.1e}")


def check_pruned(binaries, base, sequences):
    """The same for what pare-prune writes."""
    path = base.with_name("pruned.gguf")
    for sparsity, scheme in (("60%", "f16"), ("2:4", "f16"), ("80%/1x4", "int8"), ("1:4", "int8"),
                             ("75%/16x1", "int4"), ("2:4", "int3"), ("4:8", "int5"),
                             ("99.99%", "int8g")):
        words = ["-s", sparsity, "--scheme", scheme]
        if scheme not in ("f16", "int8"):
            words += ["--group-size", 0]
        run(binaries / "pare-prune", "-q", base, *words, "-o", path)
        c = Container(path)
        count = check_written(c)
        check_gguf_package(binaries, path, c)
        shown = json.loads(run(binaries / "pare-inspect", "--json", path))
        assert shown["sha256"] == c.content_hash(), "content hash"
        assert len(shown["sparse"]) == count
        worst = check_forward(binaries, path, c, sequences)
        assert worst < 0.02, f"{words}: forward off by {worst}"
        print(f"{sparsity} {scheme}: {count} sparse, forward within {worst:.1e}")


def check_written(c):
    """Every sparse matrix, read and written anew, has the bytes it had."""
    names = [n.removesuffix("_sparse") for n in c.tensors if n.endswith("_sparse")]
    for name in names:
        p, mask, elements = sparse_matrices.read(c.tensors, name, c.inputs(name))
        again = sparse_matrices.write(name, p, mask, elements, c.tensors[name + "_values"][0])
        for part, tensor in again.items():
            assert c.tensors[part] == tensor, part
    return len(names)


def check_inputs(binaries, base, f32, sequences):
    """Factors and ranges of inputs, from a text of the vocabulary's words, if there is one."""
    pieces = [p[3:].decode() for p in f32.value("tokenizer.ggml.tokens", [])
              if p.startswith("\u2581".encode()) and p[3:].isalpha()]
    if not pieces:
        return print("no tokenizer: factors and ranges of inputs are not checked")
    text, path = base.with_name("text.txt"), base.with_name("inputs.gguf")
    text.write_text("".join(" ".join(pieces[(i * 31 + j * 7) % len(pieces)] for j in range(9))
                            + "\n" for i in range(64)))
    for words in (["-s", "int8", "--smooth", "0.5"], ["-s", "int8", "--activations", "static"],
                  ["-s", "int8", "--activations", "static", "--smooth", "0.7"],
                  ["-s", "int5", "--group-size", "0", "--smooth", "awq"]):
        run(binaries / "pare-quantize", "-q", base, *words, "--solver", "rtn",
            "--calibration", text, "-o", path)
        c = Container(path)
        check_gguf_package(binaries, path, c)
        stored = sum(".input_" in name for name in c.tensors)
        assert stored, words
        worst = check_forward(binaries, path, c, sequences)
        assert worst < 0.02, f"{words}: forward off by {worst}"
        print(f"{' '.join(words)}: {stored} factors and ranges, forward within {worst:.1e}")


main()
