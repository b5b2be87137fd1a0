#!/usr/bin/env python3
"""Makes tests/data/tiny-bert and tests/data/tiny-distilbert: random classifiers with the
hidden states and logits that Hugging Face's implementation gives for a batch of mixed length.

Development only; the files it makes are committed. Needs torch and transformers
(made with torch 2.15.0, transformers 5.23.0).

    make_encoders.py tests/data
"""
import json
import pathlib
import random
import sys

import torch
from safetensors.torch import save_file
from transformers import (BertConfig, BertForSequenceClassification, DistilBertConfig,
                          DistilBertForSequenceClassification)

VOCAB = 61
LENGTHS = [1, 2, 7, 16, 17, 24]


def spread(model):
    """Weights far from their initial zero and one, so that every term counts."""
    generator = torch.Generator().manual_seed(7)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "LayerNorm" in name or "layer_norm" in name:
            parameter.data = (1.0 if name.endswith("weight") else 0.0) + 0.3 * noise
        else:
            parameter.data = 0.25 * noise


def write(folder, model, with_types):
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(3)
    sequences = [[rng.randrange(VOCAB) for _ in range(n)] for n in LENGTHS]
    types = [[int(i >= len(s) // 2) if with_types else 0 for i in range(len(s))]
             for s in sequences]
    longest = max(LENGTHS)

    def pad(rows):
        return torch.tensor([row + [0] * (longest - len(row)) for row in rows])

    inputs = {"input_ids": pad(sequences), "attention_mask": pad([[1] * n for n in LENGTHS])}
    if with_types:
        inputs["token_type_ids"] = pad(types)
    model = model.double().eval()
    with torch.no_grad():
        result = model(**inputs, output_hidden_states=True)
    hidden = [result.hidden_states[-1][i, :n].flatten().tolist()
              for i, n in enumerate(LENGTHS)]
    expected = {"sequences": sequences, "types": types,
                "hidden": [[round(x, 7) for x in row] for row in hidden],
                "logits": [[round(x, 7) for x in row] for row in result.logits.tolist()]}
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    save_file({k: v.float().contiguous() for k, v in model.state_dict().items()
               if "position_ids" not in k}, folder / "model.safetensors")
    config = model.config.to_diff_dict()
    config["architectures"] = [type(model).__name__]
    config.pop("transformers_version", None)
    config.pop("dtype", None)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def main():
    root = pathlib.Path(sys.argv[1])
    labels = {"id2label": {0: "bad", 1: "fair", 2: "good"},
              "label2id": {"bad": 0, "fair": 1, "good": 2}}
    torch.manual_seed(1)
    bert = BertForSequenceClassification(BertConfig(
        vocab_size=VOCAB, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=40, max_position_embeddings=24, type_vocab_size=2,
        hidden_act="gelu", layer_norm_eps=1e-6, **labels))
    spread(bert)
    write(root / "tiny-bert", bert, True)
    distil = DistilBertForSequenceClassification(DistilBertConfig(
        vocab_size=VOCAB, dim=32, n_layers=1, n_heads=2, hidden_dim=48,
        max_position_embeddings=24, activation="relu", **labels))
    spread(distil)
    write(root / "tiny-distilbert", distil, False)


if __name__ == "__main__":
    main()
