#!/usr/bin/env python3
"""Fine-tuning steps of PyTorch on the same data, for the comparison in docs/RESULTS.md.

Development only (needs torch, transformers). Trains a BERT or DistilBERT folder with a fresh
two-label head on a labelled TSV: AdamW, clipping, dropout, batches bucketed by length and
padded to the longest of the batch, and prints samples per second after a warm-up.

    torch_train.py MODEL_FOLDER TRAIN.tsv --threads 2 --batch 32 --steps 60
"""
import argparse
import csv
import random
import time

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def read_rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    return [row[0] for row in rows], [int(row[1]) for row in rows]


def bucketed_batches(lengths, batch, rng):
    """Batches of similar length: shuffle, sort within pools of 64 batches, shuffle batches."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    batches = []
    for start in range(0, len(order), batch * 64):
        pool = sorted(order[start:start + batch * 64], key=lambda i: lengths[i])
        batches += [pool[i:i + batch] for i in range(0, len(pool), batch)]
    rng.shuffle(batches)
    return batches


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForSequenceClassification.from_pretrained(args.model, num_labels=2)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-5, weight_decay=0.01)
    texts, labels = read_rows(args.data)
    ids = tokenizer(texts, truncation=True, max_length=128)["input_ids"]
    batches = bucketed_batches([len(i) for i in ids], args.batch, rng)

    samples = tokens = 0
    start = None
    for step, batch in enumerate(batches[:args.warmup + args.steps]):
        if step == args.warmup:
            start, samples, tokens = time.perf_counter(), 0, 0
        padded = tokenizer.pad({"input_ids": [ids[i] for i in batch]}, return_tensors="pt")
        loss = model(**padded, labels=torch.tensor([labels[i] for i in batch])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        samples += len(batch)
        tokens += sum(len(ids[i]) for i in batch)
    seconds = time.perf_counter() - start
    print(f"torch {torch.__version__}, {args.threads} threads: {samples / seconds:.1f} samples/s, "
          f"{tokens / seconds:.0f} tokens/s, {1000 * seconds / args.steps:.0f} ms a step")


if __name__ == "__main__":
    main()
