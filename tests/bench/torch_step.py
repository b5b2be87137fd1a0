#!/usr/bin/env python3
"""PyTorch's training step, the work that bench_train does, as one line of JSON.

Development only (needs torch, transformers). DistilBertForSequenceClassification with random
weights, random ids of one length, no padding: forward, loss, backward, AdamW (fused, the fastest
it has on a CPU). Without clipping, though bench_train computes the gradient's norm.

    torch_step.py [distilbert|student] --threads 2 --batch 32 --tokens 64 --steps 15 --dropout 0.1
"""
import argparse
import contextlib
import json
import resource
import statistics
import time

import torch
from transformers import DistilBertConfig, DistilBertForSequenceClassification


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="distilbert", choices=["distilbert", "student"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--optimizer", default="fused", choices=["fused", "foreach", "loop"])
    parser.add_argument("--bf16", action="store_true", help="under autocast")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    baseline = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    config = DistilBertConfig(
        n_layers=2 if args.model == "student" else 6, dropout=args.dropout,
        attention_dropout=args.dropout, seq_classif_dropout=args.dropout, num_labels=2)
    model = DistilBertForSequenceClassification(config).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=3e-5, weight_decay=0.01, fused=args.optimizer == "fused",
        foreach=args.optimizer == "foreach")
    times = []
    for step in range(3 + args.steps):
        ids = (torch.rand(args.batch, args.tokens) ** 4 * (config.vocab_size - 1)).long()
        labels = torch.randint(0, 2, (args.batch,))
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16) if args.bf16 else contextlib.nullcontext():
            loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(1e3 * (time.perf_counter() - start))
    ms = statistics.median(times[3:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({
        "program": f"torch {torch.__version__}", "model": args.model, "threads": args.threads,
        "attention": model.config._attn_implementation, "ms": ms,
        "samples_per_s": 1e3 * args.batch / ms, "peak_rss_mb": peak * 1024e-6,
        "rss_after_imports_mb": baseline * 1024e-6}))


if __name__ == "__main__":
    main()
