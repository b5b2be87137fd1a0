"""Sparse matrices by docs/FORMAT.md, in numpy: both ways, and containers that have them.

For check_gguf.py. `tensors` are (type, shape, bytes) by name.
"""
import itertools
import math
import struct

import numpy as np

PARTS = ("_sparse", "_mask", "_ranks", "_values")


class Pattern:
    """The numbers of X.weight_sparse."""

    def __init__(self, rows=1, columns=1, n=0, m=0, bits=0):
        self.rows, self.columns, self.n, self.m, self.bits = rows, columns, n, m, bits
        self.sets = list(itertools.combinations(range(m), n)) if m else []
        self.digits = 0
        while m and len(self.sets) ** (self.digits + 1) <= 256:
            self.digits += 1

    def numbers(self):
        return [self.rows, self.columns, self.n, self.m] + ([self.bits] if self.bits else [])

    def kept_of_bits(self, data, K):
        """[strips, blocks]: whether each block is kept."""
        blocks = K // self.columns
        bits = np.unpackbits(data, axis=1, bitorder="little")
        assert not bits[:, blocks:].any(), "bits behind the last block"
        return bits[:, :blocks].astype(bool)

    def kept_of_ranks(self, data, K):
        kept = np.zeros((len(data), K), bool)
        for row, g in np.ndindex(len(data), K // self.m):
            rank = int(data[row, g // self.digits]) // len(self.sets) ** (g % self.digits)
            for place in self.sets[rank % len(self.sets)]:
                kept[row, g * self.m + place] = True
        assert (self.ranks_of(kept) == data).all(), "bytes that are no ranks"
        return kept

    def ranks_of(self, kept):
        N, K = kept.shape
        ranks = np.zeros((N, -(-K // self.m // self.digits)), int)
        for row, g in np.ndindex(N, K // self.m):
            places = tuple(np.flatnonzero(kept[row, g * self.m:(g + 1) * self.m]))
            power = len(self.sets) ** (g % self.digits)
            ranks[row, g // self.digits] += self.sets.index(places) * power
        return ranks.astype("u1")

    def in_order(self, N, K):
        """Row and column of all weights of a matrix in the order of their values."""
        n, k = np.mgrid[:N, :K]
        shape = N // self.rows, self.rows, K // self.columns, self.columns
        return [part.reshape(shape).swapaxes(1, 2).reshape(N // self.rows, -1) for part in (n, k)]


def pattern_of(tensors, name):
    kind, shape, data = tensors[name + "_sparse"]
    assert kind == "I32" and shape in ((4,), (5,)), name
    return Pattern(*struct.unpack(f"<{shape[0]}i", data))


def read(tensors, name, K):
    """Of X.weight: its pattern, the mask [N, K], and the elements [N, K]: halves as floats,
    whole numbers with a sign, or codes."""
    p = pattern_of(tensors, name)
    of_ranks = name + "_ranks" in tensors
    assert of_ranks == (p.m > 0) != (name + "_mask" in tensors), name
    _, shape, data = tensors[name + ("_ranks" if of_ranks else "_mask")]
    stored = np.frombuffer(data, "u1").reshape(shape)
    N = len(stored) * p.rows
    kept = p.kept_of_ranks(stored, K) if of_ranks else p.kept_of_bits(stored, K)
    mask = kept.repeat(p.rows, 0).repeat(p.columns, 1)
    kind, (count,), data = tensors[name + "_values"]
    elements, at = np.zeros((N, K)), 0
    for n, k in zip(*p.in_order(N, K)):
        chosen = mask[n, k]
        n, k = n[chosen], k[chosen]
        width = 16 if kind == "F16" else p.bits or 8
        size = -(-len(n) * width // 8)
        elements[n, k] = stream(data[at:at + size], kind, width, len(n))
        at += size
    assert at == len(data) or (at == 0 and not any(data) and count == 1), f"{name}: {at}"
    return p, mask, elements


def stream(data, kind, width, n):
    if kind == "F16":
        return np.frombuffer(data, "<f2")
    if width == 8:
        return np.frombuffer(data, "u1")
    bits = np.unpackbits(np.frombuffer(data, "u1"), bitorder="little")
    assert not bits[n * width:].any(), "bits behind a strip"
    return (bits[:n * width].reshape(n, width).astype(int) << np.arange(width)).sum(1)


def signed(elements):
    """Bytes as they lie in I8 values with a scale a row."""
    return np.where(elements > 127, elements - 256, elements)


def write(name, p, mask, elements, kind):
    """The tensors of X.weight but its scales. elements: [N, K] halves, or bytes."""
    N, K = mask.shape
    kept = mask[::p.rows, ::p.columns]
    assert (kept.repeat(p.rows, 0).repeat(p.columns, 1) == mask).all()
    if p.m:
        stored = p.ranks_of(mask)
    else:
        stored = np.packbits(kept, axis=1, bitorder="little")
    data = b""
    for n, k in zip(*p.in_order(N, K)):
        chosen = mask[n, k]
        values = elements[n[chosen], k[chosen]]
        if kind == "F16":
            data += values.astype("<f2").tobytes()
        else:
            bits = values.astype(int)[:, None] >> np.arange(p.bits or 8) & 1
            data += np.packbits(bits, bitorder="little").tobytes()
    numbers = p.numbers()
    data = data or bytes(2 if kind == "F16" else 1)
    return {name + "_sparse": ("I32", (len(numbers),), struct.pack(f"<{len(numbers)}i", *numbers)),
            name + ("_ranks" if p.m else "_mask"): ("I8", stored.shape, stored.tobytes()),
            name + "_values": (kind, (len(data) // (2 if kind == "F16" else 1),), data)}


def choose(w, p, share):
    """A mask: the largest of every m, or that share of the blocks by their sums."""
    size = np.abs(w, dtype=np.float64)
    if p.m:
        groups = size.reshape(len(w), -1, p.m)
        order = np.argsort(-groups, axis=2, kind="stable").argsort(axis=2)
        return (order < p.n).reshape(w.shape)
    sums = size.reshape(len(w) // p.rows, p.rows, -1, p.columns).sum((1, 3))
    kept = sums >= np.quantile(sums, 1 - share) if share else np.zeros(sums.shape, bool)
    return kept.repeat(p.rows, 0).repeat(p.columns, 1)


def prune(name, p, w, share, kind, group):
    """The tensors of a matrix, w [N, K] floats, pruned by magnitude and rounded."""
    mask = choose(w, p, share)
    w = np.where(mask, w, np.float32(0))
    if kind == "F16":
        return write(name, p, mask, w, kind)
    top = 2 ** (p.bits - 1) if p.bits else 127
    parts = w.reshape(len(w), -1, group or w.shape[1])
    scale = np.abs(parts).max(2) / np.float32(top)
    scale = scale.astype("<f2") if p.bits else scale.astype("<f4")
    safe = np.where(scale == 0, 1, scale).astype(np.float32)[:, :, None]
    q = np.rint(parts / safe).reshape(w.shape).astype(int)
    if p.bits:
        q = np.clip(q + top, 0, 2 * top - 1)
        scales = ("F16", scale.shape, scale.tobytes())
    else:
        q = np.clip(q, -127, 127) & 255
        scales = ("F32", (len(w),), scale.tobytes())
    return write(name, p, mask, q, "I8") | {name + "_scale": scales}


def container(c, tensors, path, numbers):
    """Writes the keys of container `c` with other tensors. numbers: of the types."""
    keys = c.bytes[24:c.keys_end]
    out, at = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(c.keys)) + keys, 0
    for name, (kind, shape, data) in tensors.items():
        text = name.encode()
        out += struct.pack("<Q", len(text)) + text + struct.pack("<I", len(shape))
        out += struct.pack(f"<{len(shape)}Q", *reversed(shape))
        out += struct.pack("<IQ", numbers[kind], at)
        assert math.prod(shape) and data
        at += -(-len(data) // 32) * 32
    out += bytes(-len(out) % 32)
    for _, _, data in tensors.values():
        out += data + bytes(-len(data) % 32)
    path.write_bytes(out)
