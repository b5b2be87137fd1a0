#!/usr/bin/env python3
"""Training steps of pare and PyTorch in alternating rounds, for docs/RESULTS.md.

Development only. Each round starts every program once, so that a machine whose speed drifts
slows all; prints medians over the rounds and the ratio (PyTorch's time / pare's).

    train_rounds.py --bench build/bench/tests/bench_train --python PYTHON_WITH_TORCH \
        --models distilbert,student --threads 1,2 --dropout 0.1,0 --rounds 5
"""
import argparse
import json
import os
import statistics
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


def run(command, threads):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    result = subprocess.run(command, check=True, capture_output=True, env=environment)
    return json.loads(result.stdout.splitlines()[-1])


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", required=True)
    parser.add_argument("--python", default="python3")
    parser.add_argument("--models", default="distilbert,student")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--dropout", default="0.1,0")
    parser.add_argument("--batch", default="32")
    parser.add_argument("--tokens", default="64")
    parser.add_argument("--steps", default="9")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--whole", action="store_true",
                        help="all of the last block, as PyTorch does")
    args = parser.parse_args()
    print("model threads dropout | pare ms, samples/s, share of peak, MB | "
          "torch ms, samples/s, MB | ratio (of each round)")
    for model in args.models.split(","):
        for threads in args.threads.split(","):
            for dropout in args.dropout.split(","):
                ours, theirs = [], []
                for _ in range(args.rounds):
                    ours.append(run([args.bench, model, threads, args.batch, args.tokens,
                                     args.steps, dropout, "fp32"]
                                    + (["whole"] if args.whole else []), threads))
                    theirs.append(run(
                        [args.python, os.path.join(HERE, "torch_step.py"), model, "--threads",
                         threads, "--batch", args.batch, "--tokens", args.tokens, "--steps",
                         args.steps, "--dropout", dropout], threads))
                ratios = " ".join(f"{t['ms'] / o['ms']:.2f}" for o, t in zip(ours, theirs))
                print(f"{model} {threads} {dropout} | {median(ours, 'ms'):.0f} "
                      f"{median(ours, 'samples_per_s'):.1f} "
                      f"{100 * median(ours, 'share_of_peak'):.1f}% "
                      f"{median(ours, 'peak_rss_mb'):.0f} | {median(theirs, 'ms'):.0f} "
                      f"{median(theirs, 'samples_per_s'):.1f} "
                      f"{median(theirs, 'peak_rss_mb'):.0f} | "
                      f"{median(theirs, 'ms') / median(ours, 'ms'):.2f} ({ratios})", flush=True)


if __name__ == "__main__":
    main()
