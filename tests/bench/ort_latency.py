#!/usr/bin/env python3
"""Latency beside ONNX Runtime in one run, for the comparison in docs/RESULTS.md.

Development only (needs onnxruntime and numpy). Each pair is a container and an ONNX graph of the
same model; rounds alternate between the two programs, so that a machine whose speed drifts
slows both. Prints the median of the rounds' medians and the ratio (ONNX Runtime / pare: above
1 means that pare is faster).

    ort_latency.py --pare build/bin/pare-eval --threads 1,2 \
        fp32=model.gguf,model.onnx int8=model-int8.gguf,model-int8.onnx
"""
import argparse
import json
import statistics
import subprocess
import time

import numpy as np
import onnxruntime as ort


def ort_session(path, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def ort_round(session, batch, tokens, repeat, rng):
    times = []
    for i in range(repeat + 2):
        ids = rng.integers(1, 30000, (batch, tokens))
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        start = time.perf_counter()
        session.run(None, feed)
        times.append(1e3 * (time.perf_counter() - start))
    return times[2:]


def pare_round(program, model, threads, settings, repeat):
    command = [program, model, "-q", "--threads", str(threads), "--repeat", str(repeat),
               "--warmup", "2", "--latency", ",".join(f"{b}x{t}" for b, t in settings),
               "--json", "-"]
    result = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return {(r["batch"], r["tokens"]): (r["p50_ms"], r["min_ms"]) for r in result["latency"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", nargs="+", help="NAME=MODEL.gguf,MODEL.onnx")
    parser.add_argument("--pare", required=True)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--settings", default="1x32,1x64,1x128,8x64")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=10)
    args = parser.parse_args()
    settings = [tuple(map(int, s.split("x"))) for s in args.settings.split(",")]
    rng = np.random.default_rng(0)
    print(f"onnxruntime {ort.__version__}; {args.rounds} alternating rounds of {args.repeat}; "
          "median ms (minimum)")
    print(f"{'':8} {'threads':>7} {'setting':>8} {'pare':>16} {'ONNX Runtime':>16} {'ratio':>6}")
    for pair in args.pairs:
        name, files = pair.split("=")
        gguf, onnx = files.split(",")
        for threads in map(int, args.threads.split(",")):
            session = ort_session(onnx, threads)
            ours = {s: [] for s in settings}
            theirs = {s: [] for s in settings}
            for _ in range(args.rounds):
                for setting, value in pare_round(args.pare, gguf, threads, settings,
                                                 args.repeat).items():
                    ours[setting].append(value)
                for setting in settings:
                    times = ort_round(session, *setting, args.repeat, rng)
                    theirs[setting].append((statistics.median(times), min(times)))
            for setting in settings:
                us = statistics.median(v[0] for v in ours[setting])
                them = statistics.median(v[0] for v in theirs[setting])
                us_min = min(v[1] for v in ours[setting])
                them_min = min(v[1] for v in theirs[setting])
                label = f"{setting[0]}x{setting[1]}"
                print(f"{name:8} {threads:>7} {label:>8} {us:8.2f} ({us_min:.2f}) "
                      f"{them:8.2f} ({them_min:.2f}) {them / us:6.2f}", flush=True)


if __name__ == "__main__":
    main()
