#!/usr/bin/env python3
"""The published GPTQ and SparseGPT (github.com/IST-DASLab/gptq and sparsegpt) on a layer that
bench_solver --dump wrote, for the comparison in docs/RESULTS.md: their weighted relative
errors and best times.

Development only (needs torch). CHECKOUT is a folder with the one repository's gptq.py and
quant.py, or the other's sparsegpt.py and quant.py, which are used as they are; one thread
unless told.

    bench_solver 768x3072 --dump LAYER gptq_g128
    gptq_reference.py GPTQ LAYER 768x3072 gptq_g128 gptq_perchannel_actorder
    gptq_reference.py SPARSEGPT LAYER 768x3072 sparsegpt_50 sparsegpt_2:4
"""
import argparse
import contextlib
import io
import os
import sys
import time
import types

import numpy as np
import torch


def load_reference(folder):
    """gptq.py asks transformers for one class, and CUDA to wait."""
    stub = types.ModuleType("transformers")
    stub.Conv1D = type("Conv1D", (torch.nn.Module, ), {})
    sys.modules["transformers"] = stub
    torch.cuda.synchronize = torch.cuda.empty_cache = lambda *_: None
    sys.path.insert(0, folder)
    import quant
    if os.path.exists(folder + "/sparsegpt.py"):
        import sparsegpt
        return sparsegpt.SparseGPT, quant.Quantizer
    import gptq
    return gptq.GPTQ, quant.Quantizer


def solve(work, name):
    if name.startswith("sparsegpt_"):
        n_of_m = "2:4" in name
        work.fasterprune(0 if n_of_m else 0.5, 2 if n_of_m else 0, 4 if n_of_m else 0)
    else:
        work.fasterquant(groupsize=128 if "g128" in name else -1,
                         actorder="actorder" in name, static_groups="static" in name)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkout")
    parser.add_argument("layer")
    parser.add_argument("shape")
    parser.add_argument("settings", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    solver, quantizer = load_reference(args.checkout)
    clock = time.process_time if args.threads == 1 else time.perf_counter
    n, k = map(int, args.shape.split("x"))
    weights = torch.from_numpy(np.fromfile(args.layer + "/W.f32", "<f4").reshape(n, k))
    moments = torch.from_numpy(np.fromfile(args.layer + "/H.f32", "<f4").reshape(k, k))
    wide, exact = weights.double(), moments.double()
    for name in args.settings:
        best = float("inf")
        for _ in range(args.rounds):
            linear = torch.nn.Linear(k, n, bias=False)
            linear.weight.data = weights.clone()
            work = solver(linear)
            if "gptq_" in name.replace("sparsegpt_", "") or "4bit" in name:
                work.quantizer = quantizer()
                work.quantizer.configure(4, perchannel=True, sym="sym" in name)
            work.H = moments.clone()
            with contextlib.redirect_stdout(io.StringIO()):
                start = clock()
                solve(work, name)
                best = min(best, clock() - start)
        error = linear.weight.data.double() - wide
        relative = ((error @ exact) * error).sum() / ((wide @ exact) * wide).sum()
        print(f"{name:28s} {float(relative):10.4e} {best:9.4f} s", flush=True)


main()
