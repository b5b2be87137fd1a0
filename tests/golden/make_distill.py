#!/usr/bin/env python3
"""Makes tests/data/training/distill_*.safetensors and subspace.safetensors: what PyTorch's
autograd makes of the losses of libdistill/distill.h, and numpy of a singular subspace.

    distill_wide.safetensors, distill_same.safetensors
        A DistilBERT student ("NAME") and a BERT teacher ("teacher.NAME"), deeper and wider
        or deeper alone, both random; a batch of mixed length; the teacher's logits
        ("0.logits"), hidden states and queries, keys and values as F16 ("0.hidden.S",
        "0.qkv.L"); projections ("projection.I"). "cases" in the metadata lists what the
        loss is made of, and for each case there are its "N.loss" (the mean over the
        sequences), and the gradients "N.grad.NAME" and "N.grad.projection.I".
    distill_run.safetensors
        Fifty updates of a student with all terms, AdamW, clipping, warm-up and decay: the
        weights at the start and at the end ("end.NAME"), the losses, term by term.
    subspace.safetensors
        A matrix with a gap in its singular values, and its leading right singular vectors.

Everything here works on padded batches with masks, in double precision but for the run.
The teacher's states are rounded to F16 first, as the library keeps them. Development only;
the files are committed. Needs torch, transformers, numpy (made with torch 2.15.0,
transformers 5.23.0, numpy 2.4.6).

    make_distill.py tests/data/training
"""
import pathlib
import random
import sys

import numpy
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from make_training import (adamw, bert, distilbert, packed, padded, parameters, rate, short,
                           spread, write)

LABELS = 3


def states(model, inputs):
    """Logits, hidden states (the embedding's first), and [queries, keys, values] of each
    block: of padded batches."""
    seen = {}
    hooks = []
    for name, module in model.named_modules():
        last = name.split(".")[-1]
        if last in ("query", "key", "value", "q_lin", "k_lin", "v_lin"):
            hooks.append(module.register_forward_hook(
                lambda _, __, out, name=name: seen.__setitem__(name, out)))
    out = model(**inputs, output_hidden_states=True)
    for hook in hooks:
        hook.remove()
    found = list(seen.values())
    return out.logits, out.hidden_states, [found[i:i + 3] for i in range(0, len(found), 3)]


def mean(values, mask):
    """[B, n] to the mean over the tokens of each sequence."""
    return (values * mask).sum(1) / mask.sum(1)


def divergence(a, b, a_teacher, b_teacher, heads, mask):
    def distribution(x, y):
        x, y = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (x, y))
        scores = x @ y.transpose(-1, -2) / x.shape[-1] ** 0.5
        return scores.masked_fill(mask[:, None, None, :] == 0, -torch.inf).log_softmax(-1)
    student, teacher = distribution(a, b), distribution(a_teacher, b_teacher)
    rows = torch.where(teacher.isinf(), 0, teacher.exp() * (teacher - student)).sum(-1)
    return mean(rows.mean(1), mask)


def terms(case, student, teacher, projections, labels, mask):
    """The weighted terms of distill.h, each the mean over the sequences."""
    z, hidden, qkv = student
    z_teacher, hidden_teacher, qkv_teacher = teacher
    B, T = len(z), case.get("temperature", 2.0)
    out = {}
    if case.get("hard"):
        out["hard"] = F.cross_entropy(z, labels, ignore_index=-1, reduction="sum") / B
    if case.get("soft"):
        out["soft"] = T * T * F.kl_div((z / T).log_softmax(-1), (z_teacher / T).softmax(-1),
                                       reduction="batchmean")
    for i, (s, t) in enumerate(case.get("map", [])):
        p, h = hidden[s], hidden_teacher[t]
        if case.get("project"):
            p = p @ projections[i].T
        found = {
            "cosine": lambda: mean(1 - F.cosine_similarity(p, h, dim=-1), mask),
            "mse": lambda: mean(((p - h) ** 2).mean(-1), mask),
            "first": lambda: ((F.normalize(p[:, 0], dim=-1) -
                               F.normalize(h[:, 0], dim=-1)) ** 2).sum(-1),
        }
        for name, of in found.items():
            if case.get(name):
                out[name] = out.get(name, 0) + of().mean() / len(case["map"])
    s, t = case.get("relation_blocks", (0, 0))
    heads = case.get("relation_heads", 1)
    if case.get("relation"):
        out["relation"] = sum(divergence(a, a, b, b, heads, mask).mean()
                              for a, b in zip(qkv[s], qkv_teacher[t])) / 3
    if case.get("attention"):
        (q, k, _), (q_teacher, k_teacher, _) = qkv[s], qkv_teacher[t]
        out["attention"] = divergence(q, k, q_teacher, k_teacher, heads, mask).mean()
    return {name: case[name] * value for name, value in out.items()}


def rounded(teacher):
    z, hidden, qkv = teacher
    half = lambda x: x.half().to(x.dtype)
    return z.float().to(z.dtype), [half(h) for h in hidden], [[half(x) for x in b] for b in qkv]


def masked(rows, mask):
    """Padded rows behind each other."""
    return rows[mask.bool()]


def models(teacher_sizes):
    student_config, student = distilbert(LABELS, hidden=8, heads=2, layers=2, ffn=12,
                                         vocab=13, positions=9)
    teacher_config, teacher = bert(LABELS, vocab=13, positions=9, **teacher_sizes)
    spread(student, 0.3, 21)
    spread(teacher, 0.3, 22)
    configs = student_config, {"teacher": {k: v for k, v in teacher_config.to_dict().items()
                                           if v is not None}}
    return configs, student.eval(), teacher.eval().requires_grad_(False)


def random_projections(n, rows):
    generator = torch.Generator().manual_seed(23)
    return [0.35 * torch.randn(rows, 8, generator=generator) for _ in range(n)]


def losses(path, teacher_sizes, cases):
    torch.manual_seed(1)
    (config, meta), student, teacher = models(teacher_sizes)
    rng = random.Random(9)
    sequences = [[rng.randrange(1, 13) for _ in range(n)] for n in (5, 1, 9, 3, 5)]
    types = [[0] * len(s) for s in sequences]
    labels = torch.tensor([0, 2, -1, 1, 2])  # -1: nobody labelled it
    tensors = parameters(student) | {"teacher." + n: p for n, p in parameters(teacher).items()}
    projections = random_projections(3, teacher_sizes["hidden"])
    tensors |= {f"projection.{i}": W for i, W in enumerate(projections)}
    student, teacher = student.double(), teacher.double()
    projections = [W.double().requires_grad_() for W in projections]
    mask = padded(sequences, types, False)["attention_mask"].double()
    said = rounded(states(teacher, padded(sequences, types, True)))
    for n, case in enumerate(cases):
        for p in [*student.parameters(), *projections]:
            p.grad = None
        found = terms(case, states(student, padded(sequences, types, False)), said,
                      projections, labels, mask)
        loss = sum(found.values())
        loss.backward()
        gradient = lambda p: (torch.zeros_like(p) if p.grad is None else p.grad).float()
        tensors[f"{n}.loss"] = loss.detach().reshape(1).float()
        tensors |= {f"{n}.grad." + short(k): gradient(p)
                    for k, p in student.named_parameters()}
        if case.get("project"):
            tensors |= {f"{n}.grad.projection.{i}": gradient(projections[i])
                        for i in range(len(case["map"]))}
    z, hidden, qkv = said
    tensors["0.logits"] = z.float()
    tensors |= {f"0.hidden.{s}": masked(h, mask).half() for s, h in enumerate(hidden)}
    tensors |= {f"0.qkv.{l}": masked(torch.cat(x, -1), mask).half() for l, x in enumerate(qkv)}
    tensors |= packed(sequences)
    tensors["labels"] = labels.to(torch.int32)
    write(path, config, tensors, cases=cases, **meta)
    for n, case in enumerate(cases):
        print(path.name, n, float(tensors[f"{n}.loss"]), case)


WIDE = {"hidden": 12, "heads": 3, "layers": 3, "ffn": 20}
WIDE_CASES = [
    {"hard": 0.7},
    {"soft": 1.3, "temperature": 3.0},
    {"cosine": 1.0, "map": [[0, 0], [1, 1], [2, 3]], "project": True},
    {"mse": 1.5, "map": [[0, 0], [1, 2], [2, 3]], "project": True},
    {"first": 0.8, "map": [[1, 1], [2, 3]], "project": True},
    {"relation": 2.0, "relation_blocks": [1, 2], "relation_heads": 4},
    {"attention": 2.0, "relation_blocks": [0, 1], "relation_heads": 4},
    # Two pairs of one state, a state left out, blocks that are not the last.
    {"hard": 0.3, "soft": 0.6, "temperature": 1.7, "cosine": 0.4, "mse": 0.9, "first": 0.5,
     "map": [[1, 1], [1, 3], [0, 2]], "project": True, "relation": 1.1, "attention": 0.8,
     "relation_blocks": [0, 2], "relation_heads": 2},
]

SAME = {"hidden": 8, "heads": 4, "layers": 4, "ffn": 24}
SAME_CASES = [
    {"cosine": 1.0, "map": [[0, 0], [1, 2], [2, 4]]},
    {"mse": 0.7, "map": [[0, 0], [1, 2], [2, 4]]},
    {"first": 1.2, "map": [[1, 2], [2, 3]]},
    {"mse": 0.7, "map": [[1, 2], [2, 4]], "project": True},
    {"relation": 1.0, "relation_blocks": [1, 3], "relation_heads": 2},
    {"attention": 1.0, "relation_blocks": [1, 3], "relation_heads": 4},
]


def run(path):
    """24 sequences, all of them in every update: in which order the library sees them does
    not matter then."""
    torch.manual_seed(1)
    (config, meta), student, teacher = models(WIDE)
    case = {"hard": 0.5, "soft": 0.7, "temperature": 2.0, "cosine": 0.5, "mse": 0.3,
            "first": 0.2, "map": [[0, 0], [1, 2], [2, 3]], "project": True, "relation": 1.0,
            "attention": 0.5, "relation_blocks": [1, 2], "relation_heads": 4}
    steps, peak, warmup, decay, clip = 50, 5e-3, 5, 0.01, 1.0
    rng = random.Random(1)
    sequences = [[rng.randrange(1, 13) for _ in range(rng.randrange(1, 10))] for _ in range(24)]
    types = [[0] * len(s) for s in sequences]
    labels = torch.tensor([rng.randrange(-1, LABELS) for _ in sequences])
    projections = [W.requires_grad_() for W in random_projections(3, 12)]
    tensors = parameters(student) | {"teacher." + n: p for n, p in parameters(teacher).items()}
    tensors |= {f"projection.{i}": W.detach().clone() for i, W in enumerate(projections)}
    inputs = padded(sequences, types, False)
    mask = inputs["attention_mask"].float()
    said = rounded(states(teacher, padded(sequences, types, True)))
    chosen = adamw(student, peak, decay)
    chosen.add_param_group({"params": projections, "weight_decay": decay})
    history, norms = [], []
    for step in range(1, steps + 1):
        chosen.zero_grad()
        found = terms(case, states(student, inputs), said, projections, labels, mask)
        sum(found.values()).backward()
        norms.append(torch.nn.utils.clip_grad_norm_([*student.parameters(), *projections],
                                                    clip))
        for group in chosen.param_groups:
            group["lr"] = rate(peak, warmup, steps, step)
        chosen.step()
        history.append(torch.stack([found[k].detach() for k in
                                    ("hard", "soft", "cosine", "mse", "first", "relation",
                                     "attention")]))
    tensors |= {"end." + n: p for n, p in parameters(student).items()}
    tensors |= {f"end.projection.{i}": W.detach() for i, W in enumerate(projections)}
    tensors |= packed(sequences)
    tensors["labels"] = labels.to(torch.int32)
    tensors["losses"] = torch.stack(history)
    tensors["norms"] = torch.stack(norms)
    write(path, config, tensors, cases=[case], steps=steps, lr=peak, warmup=warmup / steps,
          decay=decay, clip=clip, **meta)
    print("losses of the run:", history[0].tolist(), "...", history[-1].tolist())


def subspace(path):
    """Singular values 10, 9, 8, 7, 6 | 3, 2.9 ..: the fifth and the sixth are far apart."""
    rng = numpy.random.default_rng(4)
    values = [10, 9, 8, 7, 6, 3, 2.9, 2.5, 2, 1.5, 1, 0.5]
    left, _ = numpy.linalg.qr(rng.standard_normal((40, 12)))
    right, _ = numpy.linalg.qr(rng.standard_normal((12, 12)))
    matrix = (left * values @ right.T).astype(numpy.float32)
    _, found, vectors = numpy.linalg.svd(matrix.astype(numpy.float64))
    assert abs(found - values).max() < 1e-5
    save_file({"matrix": torch.from_numpy(matrix),
               "vectors": torch.from_numpy(vectors[:5].astype(numpy.float32).copy())}, path)
    path.chmod(0o644)


if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    losses(out / "distill_wide.safetensors", WIDE, WIDE_CASES)
    losses(out / "distill_same.safetensors", SAME, SAME_CASES)
    run(out / "distill_run.safetensors")
    subspace(out / "subspace.safetensors")
