#!/usr/bin/env python3
"""Times JAX's Mish, softplus and tanh(softplus x) on CPU, each under jax.jit.

One line per measurement: peer op pass dtype elements Melem/s GB/s. See README.md beside this file.
"""
import argparse
import json
import os
import statistics
import sys
import time

import numpy as np

DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "f64": "float64"}
SIZES = {"1Ki": 1 << 10, "16Ki": 1 << 14, "128Ki": 1 << 17, "1Mi": 1 << 20, "16Mi": 1 << 24, "64Mi": 1 << 26}
OPS = ["mish", "softplus", "tanh_softplus"]
REPETITIONS, MIN_SECONDS = 11, 5e-3


def arguments():
    def chosen(known):
        def parse(text):
            names = text.split(",")
            unknown = [name for name in names if name not in known]
            if unknown:
                raise argparse.ArgumentTypeError(f"{unknown} not among {list(known)}")
            return names
        return parse

    def size(text):
        return [SIZES[s] if s in SIZES else int(s) for s in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ops", type=chosen(OPS), default=OPS, help=",".join(OPS))
    parser.add_argument("--passes", type=chosen(["forward", "backward"]), default=["forward", "backward"])
    parser.add_argument("--dtypes", type=chosen(DTYPES), default=list(DTYPES), help=",".join(DTYPES))
    parser.add_argument("--sizes", type=size, default=list(SIZES.values()),
                        help=",".join(SIZES) + ", or any number of elements")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    return parser.parse_args()


def limit_threads(threads):
    """XLA sizes its pool by the cores the process may run on, and has no other setting for it."""
    if not hasattr(os, "sched_setaffinity"):
        print("threads not limited: no sched_setaffinity on this system", file=sys.stderr)
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < threads:
        print(f"only {len(cores)} cores for {threads} threads", file=sys.stderr)
    os.sched_setaffinity(0, cores[:threads])


def timed(call):
    """Seconds per call: the median and the least of REPETITIONS, each of enough calls to last MIN_SECONDS."""
    def repetition(calls):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - start

    repetition(3)
    calls = 1
    while (seconds := repetition(calls)) < MIN_SECONDS:
        # 1.2: aim beyond the minimum, so that one more round suffices.
        calls = max(calls + 1, int(calls * min(100, 1.2 * MIN_SECONDS / seconds)))
    samples = [repetition(calls) / calls for _ in range(REPETITIONS)]
    return statistics.median(samples), min(samples)


def emit(as_json, op, pass_, dtype, elements, seconds, best):
    tensors = 2 if pass_ == "forward" else 3  # read x, write y; read x and g, write the gradient
    itemsize = {"f16": 2, "bf16": 2, "f32": 4, "f64": 8}[dtype]
    melem, gb = elements / seconds / 1e6, tensors * itemsize * elements / seconds / 1e9
    if as_json:
        row = {"peer": "jax-jit", "op": op, "pass": pass_, "dtype": dtype, "elements": elements,
               "melem_s": round(melem, 3), "gb_s": round(gb, 4),
               "best_melem_s": round(elements / best / 1e6, 3), "samples": REPETITIONS}
        print(json.dumps(row), flush=True)
    else:
        print(f"{'jax-jit':<14} {op:<14} {pass_:<9} {dtype:<5} {elements:>9} {melem:>9.1f} {gb:>8.2f}", flush=True)


def main():
    args = arguments()
    limit_threads(args.threads)  # before jax is imported: its pool is made once
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)  # otherwise f64 silently becomes f32
    functions = {
        "mish": jax.nn.mish,
        "softplus": jax.nn.softplus,
        "tanh_softplus": lambda x: jnp.tanh(jax.nn.softplus(x)),
    }
    print(f"JAX {jax.__version__}, {args.threads} threads", file=sys.stderr)
    if not args.json:
        print(f"{'peer':<14} {'op':<14} {'pass':<9} {'dtype':<5} {'elements':>9} {'Melem/s':>9} {'GB/s':>8}")
    random = np.random.default_rng(0)
    for dtype in args.dtypes:
        for elements in args.sizes:
            x, g = (jnp.asarray(3 * random.standard_normal(elements, np.float32)).astype(DTYPES[dtype])
                    for _ in range(2))
            for op in args.ops:
                f = functions[op]
                for pass_ in args.passes:
                    # XLA drops the forward value from the vjp, so this is the backward kernel alone.
                    run = jax.jit(f if pass_ == "forward" else lambda x, g: jax.vjp(f, x)[1](g)[0])
                    inputs = (x,) if pass_ == "forward" else (x, g)
                    assert run(*inputs).dtype == x.dtype
                    seconds = timed(lambda: run(*inputs).block_until_ready())
                    emit(args.json, op, pass_, dtype, elements, *seconds)


if __name__ == "__main__":
    main()
