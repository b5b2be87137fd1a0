#!/usr/bin/env python3
"""Makes tests/data/augment.json: a small vocabulary with the kinds of its pieces, an
embedding with the nearest words, and augmented examples, from an implementation of
libdistill/augment.h and runtime/base/rng.h of its own. Development only (Python 3.11,
numpy 2.4).

    make_augment.py > tests/data/augment.json
"""
import json
import re

import numpy as np

PIECES = """[PAD] [UNK] [CLS] [SEP] [MASK] [unused0] [unused1] the a film movie plot is was
good great bad dull fun ##ny ##s ##ing watch act , . ! 7 1999 3rd caf\u00e9 \u00e9 \u91ce
x_y o ' ##7 ##. never ever""".split()
SPECIAL = {"[PAD]", "[CLS]", "[SEP]", "[MASK]"}
CLS, SEP, MASK = (PIECES.index(p) for p in ("[CLS]", "[SEP]", "[MASK]"))
LETTERS, OTHER, CONTINUES, SPECIAL_KIND = range(4)
WIDTH, NEAR = 6, 3


def kind_of(piece):
    if piece in SPECIAL:
        return SPECIAL_KIND
    if piece.startswith("##"):
        return CONTINUES
    return LETTERS if re.fullmatch(r"[^\W\d_]+", piece) else OTHER


KIND = [kind_of(p) for p in PIECES]


class Random:
    """Number i of a stream is mix(key + (i + 1) golden), modulo 2^64."""
    GOLDEN, WORD = 0x9E3779B97F4A7C15, (1 << 64) - 1

    def __init__(self, seed, stream):
        first = self.mix(seed + self.GOLDEN)
        self.key, self.count = self.mix(first + stream + self.GOLDEN), 0

    def mix(self, z):
        z &= self.WORD
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & self.WORD
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & self.WORD
        return z ^ (z >> 31)

    def next(self):
        self.count += 1
        return self.mix(self.key + self.count * self.GOLDEN)

    def uniform(self):
        return (self.next() >> 40) / 2 ** 24

    def below(self, n):
        return self.next() * n >> 64


def nearest(table, k):
    words = [i for i, kind in enumerate(KIND) if kind == LETTERS]
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    return {w: sorted((v for v in words if v != w),
                      key=lambda v: (-float(unit[w] @ unit[v]), v))[:k] for w in words}


def units(ids):
    """Lists of one special token or of one word's pieces."""
    out = []
    for i in ids:
        if KIND[i] == CONTINUES and out and KIND[out[-1][0]] != SPECIAL_KIND:
            out[-1].append(i)
        else:
            out.append([i])
    return out


def variant(ids, near, o, stream):
    r = Random(o["seed"], stream)
    parts = units(ids)
    at = [i for i, p in enumerate(parts) if KIND[p[0]] != SPECIAL_KIND]
    kept = at
    if r.uniform() < o["ngram"]:
        n = 1 + r.below(5)
        if n < len(at):
            first = r.below(len(at) - n + 1)
            kept = at[first:first + n]
    out = []
    for i, part in enumerate(parts):
        if KIND[part[0]] == SPECIAL_KIND:
            out += part
        elif i in kept:
            x = r.uniform()
            if x < o["mask"]:
                out.append(MASK)
            elif x < o["mask"] + o["replace"] and len(part) == 1 and part[0] in near:
                out.append(near[part[0]][r.below(len(near[part[0]]))])
            else:
                out += part
    return out


def augment(examples, near, o):
    made, dropped = [], 0
    for i, ids in enumerate(examples):
        seen = [ids]
        for v in range(o["variants"]):
            new = variant(ids, near, o, (4 << 60) + (i << 20) + v)
            if new in seen:
                dropped += 1
            else:
                made.append(new)
            seen.append(new)
    return {"options": o, "variants": made, "dropped": dropped}


def main():
    rng = np.random.default_rng(5)
    table = rng.integers(-64, 65, (len(PIECES), WIDTH)) / 16
    near = nearest(table, NEAR)
    word = [i for i, kind in enumerate(KIND) if kind in (LETTERS, OTHER)]
    more = [i for i, kind in enumerate(KIND) if kind == CONTINUES]
    examples = [[CLS, SEP], [CLS, PIECES.index("good"), SEP]]
    for i in range(12):
        ids = [CLS]
        for _ in range(1 + int(rng.integers(0, 9))):
            ids.append(int(rng.choice(word)))
            if rng.random() < 0.1:
                ids.append(MASK)  # and what continues it is a word
            while rng.random() < 0.25:
                ids.append(int(rng.choice(more)))
        examples.append(ids + [SEP])
    options = [dict(seed=seed, variants=k, mask=m, replace=p, ngram=n)
               for seed, k, m, p, n in [(1, 6, 0.1, 0.2, 0.25), (2, 4, 0.5, 0.5, 0),
                                        (3, 3, 0, 1, 1), (2 ** 52 + 1, 2, 1, 0, 0)]]
    seen = {i for e in examples for u in units(e) if len(u) == 1 for i in u}
    print(json.dumps({
        "pieces": PIECES, "kinds": KIND, "width": WIDTH, "near": NEAR,
        "table": table.flatten().tolist(),
        "neighbours": [near[i] if i in near and i in seen else []
                       for i in range(len(PIECES))],
        "examples": examples, "cases": [augment(examples, near, o) for o in options],
    }, separators=(",", ":"), ensure_ascii=True))


main()
