#!/usr/bin/env python3
"""Times PyTorch's Mish, softplus and tanh(softplus x) on CPU, eager and torch.compile.

One line per measurement: peer op pass dtype elements Melem/s GB/s. See README.md beside this file.
"""
import argparse
import json
import statistics
import sys
import time

import torch

aten = torch.ops.aten
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "f64": torch.float64}
SIZES = {"1Ki": 1 << 10, "16Ki": 1 << 14, "128Ki": 1 << 17, "1Mi": 1 << 20, "16Mi": 1 << 24, "64Mi": 1 << 26}
PEERS = ["torch-eager", "torch-compile"]
REPETITIONS, MIN_SECONDS = 11, 5e-3

# op -> (forward(x), backward(x, g, y)); y is the tanh output that autograd saves, only made where used.
OPS = {
    "mish": (aten.mish, lambda x, g, y: aten.mish_backward(g, x)),
    "softplus": (aten.softplus, lambda x, g, y: aten.softplus_backward(g, x, 1.0, 20.0)),
    "tanh_softplus": (
        lambda x: aten.tanh(aten.softplus(x)),
        lambda x, g, y: aten.softplus_backward(aten.tanh_backward(g, y), x, 1.0, 20.0),
    ),
}


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
    parser.add_argument("--peers", type=chosen(PEERS), default=PEERS, help=",".join(PEERS))
    parser.add_argument("--ops", type=chosen(OPS), default=list(OPS), help=",".join(OPS))
    parser.add_argument("--passes", type=chosen(["forward", "backward"]), default=["forward", "backward"])
    parser.add_argument("--dtypes", type=chosen(DTYPES), default=list(DTYPES), help=",".join(DTYPES))
    parser.add_argument("--sizes", type=size, default=list(SIZES.values()),
                        help=",".join(SIZES) + ", or any number of elements")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    return parser.parse_args()


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


def emit(as_json, peer, op, pass_, dtype, elements, seconds, best):
    tensors = 2 if pass_ == "forward" else 3  # read x, write y; read x and g, write the gradient
    melem, gb = elements / seconds / 1e6, tensors * DTYPES[dtype].itemsize * elements / seconds / 1e9
    if as_json:
        row = {"peer": peer, "op": op, "pass": pass_, "dtype": dtype, "elements": elements,
               "melem_s": round(melem, 3), "gb_s": round(gb, 4),
               "best_melem_s": round(elements / best / 1e6, 3), "samples": REPETITIONS}
        print(json.dumps(row), flush=True)
    else:
        print(f"{peer:<14} {op:<14} {pass_:<9} {dtype:<5} {elements:>9} {melem:>9.1f} {gb:>8.2f}", flush=True)


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print(f"PyTorch {torch.__version__}, {args.threads} threads", file=sys.stderr)
    if not args.json:
        print(f"{'peer':<14} {'op':<14} {'pass':<9} {'dtype':<5} {'elements':>9} {'Melem/s':>9} {'GB/s':>8}")
    peers = list(args.peers)
    for dtype in args.dtypes:
        for elements in args.sizes:
            x, g = (3 * torch.randn(elements).to(DTYPES[dtype]) for _ in range(2))
            for op in args.ops:
                y = OPS[op][0](x) if op == "tanh_softplus" and "backward" in args.passes else None
                for pass_ in args.passes:
                    run, inputs = (OPS[op][0], (x,)) if pass_ == "forward" else (OPS[op][1], (x, g, y))
                    for peer in list(peers):
                        call = run
                        if peer == "torch-compile":
                            # Static shapes and a fresh cache each time: the specialised kernel, and no
                            # recompilation limit.
                            torch._dynamo.reset()
                            call = torch.compile(run, dynamic=False, fullgraph=True)
                            try:
                                with torch.no_grad():
                                    call(*inputs)
                            except Exception as error:
                                reason = (str(error).strip() or repr(error)).splitlines()[0]
                                print(f"torch-compile skipped from {op} {pass_} {dtype} on: it cannot compile here "
                                      f"({reason})", file=sys.stderr)
                                peers.remove(peer)
                                continue
                        with torch.no_grad():
                            seconds = timed(lambda: call(*inputs))
                        emit(args.json, peer, op, pass_, dtype, elements, *seconds)


if __name__ == "__main__":
    main()
