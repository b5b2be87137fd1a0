#!/usr/bin/env python3
"""Makes tests/data/training: what PyTorch's autograd and AdamW make of tiny classifiers.

    bert.safetensors, distilbert.safetensors
        Random weights, a batch of mixed length with padding masks, the mean cross-entropy
        and its gradient for every parameter ("grad.NAME").
    adamw.safetensors
        Ten steps of torch.optim.AdamW from given gradients ("grad.N.NAME", many rows of
        the token embedding zero) with clipping and a falling rate: "start.NAME",
        "end.NAME", the norms before clipping.
    run.safetensors
        Fifty steps of training on a toy task: the batches, the starting weights, the
        loss of each step, the final weights ("end.NAME").

Names are Hugging Face's without the family's prefix. Sequences are stored behind each other
("ids", "starts"). Development only; the files are committed. Needs torch and transformers
(made with torch 2.15.0, transformers 5.23.0).

    make_training.py tests/data/training
"""
import json
import pathlib
import random
import sys

import torch
from safetensors.torch import save_file
from transformers import (BertConfig, BertForSequenceClassification, DistilBertConfig,
                          DistilBertForSequenceClassification)

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def named(model):
    model.config.architectures = [type(model).__name__]
    return model


def bert(labels, **sizes):
    config = BertConfig(
        hidden_size=sizes["hidden"], num_attention_heads=sizes["heads"],
        num_hidden_layers=sizes["layers"], intermediate_size=sizes["ffn"],
        vocab_size=sizes["vocab"], max_position_embeddings=sizes["positions"],
        type_vocab_size=2, num_labels=labels, hidden_act="gelu",
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return config, named(BertForSequenceClassification(config))


def distilbert(labels, **sizes):
    config = DistilBertConfig(
        dim=sizes["hidden"], n_heads=sizes["heads"], n_layers=sizes["layers"],
        hidden_dim=sizes["ffn"], vocab_size=sizes["vocab"],
        max_position_embeddings=sizes["positions"], num_labels=labels,
        activation="gelu", dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0)
    return config, named(DistilBertForSequenceClassification(config))


def spread(model, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        norm = "LayerNorm" in name or "layer_norm" in name
        centre = 1.0 if norm and name.endswith("weight") else 0.0
        parameter.data = centre + (0.2 if norm else scale) * noise


def short(name):
    for prefix in ("bert.", "distilbert."):
        if name.startswith(prefix):
            return name[len(prefix):]
    return name


def parameters(model):
    return {short(n): p.detach().clone() for n, p in model.named_parameters()}


def padded(sequences, types, with_types):
    longest = max(map(len, sequences))
    fill = lambda rows: torch.tensor([r + [0] * (longest - len(r)) for r in rows])
    inputs = {"input_ids": fill(sequences), "attention_mask": fill([[1] * len(s) for s in sequences])}
    if with_types:
        inputs["token_type_ids"] = fill(types)
    return inputs


def packed(sequences):
    starts = [0]
    for s in sequences:
        starts.append(starts[-1] + len(s))
    return {"ids": torch.tensor(sum(sequences, []), dtype=torch.int32),
            "starts": torch.tensor(starts, dtype=torch.int32)}


def write(path, config, tensors, **numbers):
    meta = {"config": json.dumps({k: v for k, v in config.to_dict().items() if v is not None})}
    meta.update({k: json.dumps(v) for k, v in numbers.items()})
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata=meta)
    path.chmod(0o644)


def gradients(path, make, with_types):
    torch.manual_seed(1)
    config, model = make(3, hidden=16, heads=2, layers=2, ffn=24, vocab=29, positions=12)
    spread(model, 0.3, 5)
    model.eval()
    rng = random.Random(9)
    # Hugging Face gives the padding token, 0, no gradient; packed batches have no padding.
    sequences = [[rng.randrange(1, 29) for _ in range(n)] for n in (7, 1, 12, 3, 7)]
    types = [[int(i >= len(s) // 2) for i in range(len(s))] for s in sequences]
    labels = torch.tensor([0, 2, 1, 1, 2])
    loss = torch.nn.functional.cross_entropy(
        model(**padded(sequences, types, with_types)).logits, labels)
    loss.backward()
    tensors = parameters(model)
    tensors.update({"grad." + short(n): p.grad for n, p in model.named_parameters()})
    tensors.update(packed(sequences))
    tensors["types"] = torch.tensor(sum(types, []), dtype=torch.int32)
    tensors["labels"] = labels.to(torch.int32)
    tensors["loss"] = loss.detach().reshape(1)
    write(path, config, tensors)


def no_decay(name):
    return "LayerNorm" in name or "layer_norm" in name or name.endswith("bias")


def adamw(model, lr, decay):
    named = list(model.named_parameters())
    return torch.optim.AdamW(
        [{"params": [p for n, p in named if not no_decay(n)], "weight_decay": decay},
         {"params": [p for n, p in named if no_decay(n)], "weight_decay": 0.0}],
        lr=lr, betas=(0.9, 0.999), eps=1e-8)


def rate(peak, warmup, steps, update):
    if update <= warmup:
        return peak * update / warmup
    return peak * (steps + 1 - update) / (steps - warmup)


def optimizer(path):
    torch.manual_seed(1)
    config, model = distilbert(2, hidden=4, heads=1, layers=1, ffn=6, vocab=11, positions=5)
    spread(model, 0.5, 2)
    tensors = {"start." + n: p for n, p in parameters(model).items()}
    generator = torch.Generator().manual_seed(3)
    steps, peak, warmup, decay, clip = 10, 0.05, 3, 0.3, 2.0
    chosen = adamw(model, peak, decay)
    norms = []
    for step in range(1, steps + 1):
        for name, p in model.named_parameters():
            p.grad = torch.randn(p.shape, generator=generator) * 0.1 * step
            if "word_embeddings" in name:  # rows 9 and 10 are never used
                used = torch.rand(p.shape[0], generator=generator) < 0.3
                used[9:] = False
                p.grad *= used[:, None]
            tensors[f"grad.{step}.{short(name)}"] = p.grad.clone()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), clip))
        for group in chosen.param_groups:
            group["lr"] = rate(peak, warmup, steps, step)
        chosen.step()
    tensors.update({"end." + n: p for n, p in parameters(model).items()})
    tensors["norms"] = torch.stack(norms)
    write(path, config, tensors, steps=steps, lr=peak, warmup=warmup, decay=decay, clip=clip)


def run(path):
    """The label says whether token 3 or token 4 is among the others."""
    torch.manual_seed(1)
    config, model = bert(2, hidden=16, heads=4, layers=2, ffn=32, vocab=13, positions=10)
    spread(model, 0.15, 4)
    tensors = parameters(model)
    rng = random.Random(1)
    steps, batch, peak, warmup, decay, clip = 50, 8, 5e-3, 5, 0.01, 1.0
    sequences, labels, losses = [], [], []
    for _ in range(steps * batch):
        s = [1] + [rng.randrange(5, 13) for _ in range(rng.randrange(2, 9))]
        first = rng.randrange(2)
        s[rng.randrange(1, len(s))] = 3 if first else 4
        sequences.append(s)
        labels.append(first)
    chosen = adamw(model, peak, decay)
    for step in range(1, steps + 1):
        rows = slice((step - 1) * batch, step * batch)
        some = sequences[rows]
        logits = model(**padded(some, [[0] * len(s) for s in some], True)).logits
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels[rows]))
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        for group in chosen.param_groups:
            group["lr"] = rate(peak, warmup, steps, step)
        chosen.step()
        losses.append(loss.detach())
    tensors.update({"end." + n: p for n, p in parameters(model).items()})
    tensors.update(packed(sequences))
    tensors["labels"] = torch.tensor(labels, dtype=torch.int32)
    tensors["losses"] = torch.stack(losses)
    write(path, config, tensors, steps=steps, batch=batch, lr=peak, warmup=warmup,
          decay=decay, clip=clip)
    print("losses of the run:", float(losses[0]), "...", float(losses[-1]))


if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    gradients(out / "bert.safetensors", bert, True)
    gradients(out / "distilbert.safetensors", distilbert, False)
    optimizer(out / "adamw.safetensors")
    run(out / "run.safetensors")
