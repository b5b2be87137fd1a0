#!/usr/bin/env python3
"""Weights and inputs of a BERT's linear layers, for bench_solver --load.

Development only (needs torch, transformers, gguf). Takes the weights of a container that
pare-train made from FOLDER (a Hugging Face BERT), runs sentences of a TSV through
transformers and writes for some layers OUT/NAME/W.f32, inputs X.f32 and inputs of other
sentences T.f32; and Xc.f32 and Tc.f32, what both would be with every linear layer rounded to
BITS bits in groups of 32.

    capture_layers.py FOLDER sst2.gguf train.tsv OUT --bits 3
"""
import argparse
import os

import gguf
import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

PARTS = {
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
}
GROUP = 32


def load(folder, container):
    model = AutoModel.from_pretrained(folder).float().eval()
    tensors = {
        t.name: torch.tensor(np.array(t.data, dtype=np.float32))
        for t in gguf.GGUFReader(container).tensors
    }
    state = model.state_dict()
    state["embeddings.word_embeddings.weight"] = tensors["token_embd.weight"]
    state["embeddings.position_embeddings.weight"] = tensors["position_embd.weight"]
    state["embeddings.token_type_embeddings.weight"] = tensors["token_types.weight"]
    for what in ("weight", "bias"):
        state["embeddings.LayerNorm." + what] = tensors["token_embd_norm." + what]
        for block in range(model.config.num_hidden_layers):
            for ours, theirs in PARTS.items():
                state[f"encoder.layer.{block}.{theirs}.{what}"] = \
                    tensors[f"blk.{block}.{ours}.{what}"]
    model.load_state_dict(state)
    return model


def inputs(model, tokenizer, sentences, names):
    """What the layers read, token by token, without padding."""
    found = {name: [] for name in names}
    modules, hooks, mask = dict(model.named_modules()), [], None
    for name in names:
        hooks.append(modules[name].register_forward_pre_hook(
            lambda _, given, name=name: found[name].append(given[0][mask].detach())))
    with torch.no_grad():
        for start in range(0, len(sentences), 32):
            batch = tokenizer(sentences[start:start + 32], padding=True, return_tensors="pt")
            mask = batch["attention_mask"].bool()
            model(**batch)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts) for name, parts in found.items()}


def round_weights(model, bits):
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and "encoder" in name:
            w = module.weight.data.reshape(-1, GROUP)
            low, high = w.amin(1, True).clamp(max=0), w.amax(1, True).clamp(min=0)
            scale = (high - low) / (2**bits - 1)
            zero = torch.round(-low / scale)
            codes = torch.clamp(torch.round(w / scale) + zero, 0, 2**bits - 1)
            module.weight.data = (scale * (codes - zero)).reshape(module.weight.shape)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("container")
    parser.add_argument("text")
    parser.add_argument("out")
    parser.add_argument("--bits", type=int, default=3)
    args = parser.parse_args()
    model = load(args.folder, args.container)
    tokenizer = AutoTokenizer.from_pretrained(args.folder)
    with open(args.text, encoding="utf-8") as file:
        lines = [line.split("\t")[0] for line in file.read().split("\n")[1:]]
    lines = [line for line in lines if line.count(" ") > 12]
    sentences = {"X": lines[:256], "T": lines[5000:5256]}
    names = [f"encoder.layer.{i}.{part}" for i in range(1, model.config.num_hidden_layers, 2)
             for part in ("attention.self.query", "intermediate.dense", "output.dense")]
    data = {name: {} for name in names}
    for name in names:
        data[name]["W"] = dict(model.named_modules())[name].weight.detach().clone()
    for suffix in ("", "c"):
        for which, text in sentences.items():
            for name, rows in inputs(model, tokenizer, text, names).items():
                data[name][which + suffix] = rows
        round_weights(model, args.bits)
    for name in names:
        folder = os.path.join(args.out, name.replace("encoder.layer.", "").replace(".", "_"))
        os.makedirs(folder, exist_ok=True)
        for which, rows in data[name].items():
            rows.numpy().astype("<f4").tofile(os.path.join(folder, which + ".f32"))


main()
