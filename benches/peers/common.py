"""What the scripts for the CPU share: options, timing and output."""
import argparse
import json
import statistics
import time

SIZES = {"1Ki": 1 << 10, "16Ki": 1 << 14, "128Ki": 1 << 17, "1Mi": 1 << 20, "16Mi": 1 << 24, "64Mi": 1 << 26}
ITEMSIZE = {"f32": 4, "f16": 2, "bf16": 2, "f64": 8}
REPETITIONS, MIN_SECONDS = 11, 5e-3


def chosen(known):
    """An argument type: names among those that are known, separated by commas."""
    def parse(text):
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown} not among {list(known)}")
        return names
    return parse


def parser(description, ops):
    """The options of both scripts."""
    def size(text):
        return [SIZES[s] if s in SIZES else int(s) for s in text.split(",")]

    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ops", type=chosen(ops), default=list(ops), help=",".join(ops))
    parser.add_argument("--passes", type=chosen(["forward", "backward"]), default=["forward", "backward"])
    parser.add_argument("--dtypes", type=chosen(ITEMSIZE), default=list(ITEMSIZE), help=",".join(ITEMSIZE))
    parser.add_argument("--sizes", type=size, default=list(SIZES.values()),
                        help=",".join(SIZES) + ", or any number of elements")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    return parser


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


def header(as_json):
    if not as_json:
        print(f"{'peer':<14} {'op':<14} {'pass':<9} {'dtype':<5} {'elements':>9} {'Melem/s':>9} {'GB/s':>8}")


def emit(as_json, peer, op, pass_, dtype, elements, seconds, best):
    tensors = 2 if pass_ == "forward" else 3  # read x, write y; read x and g, write the gradient
    melem, gb = elements / seconds / 1e6, tensors * ITEMSIZE[dtype] * elements / seconds / 1e9
    if as_json:
        row = {"peer": peer, "op": op, "pass": pass_, "dtype": dtype, "elements": elements,
               "melem_s": round(melem, 3), "gb_s": round(gb, 4),
               "best_melem_s": round(elements / best / 1e6, 3), "samples": REPETITIONS}
        print(json.dumps(row), flush=True)
    else:
        print(f"{peer:<14} {op:<14} {pass_:<9} {dtype:<5} {elements:>9} {melem:>9.1f} {gb:>8.2f}", flush=True)
