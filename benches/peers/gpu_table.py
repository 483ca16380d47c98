#!/usr/bin/env python3
"""One table, with the goals above it, of what the benches of a CUDA device print.

    cargo bench --features cuda --bench gpu -- --json > figures.jsonl
    python3 benches/peers/torch_gpu.py >> figures.jsonl
    cargo bench --features cuda --bench gpu -- --json --sizes 67108864,268435456 >> figures.jsonl
    python3 benches/peers/gpu_table.py figures.jsonl

Speeds of two processes are compared as shares of the copy that each has timed. What the third command has, sizes that the
first one has had, says how far such shares are apart where nothing differs; so much less than a peer counts as no slower.
"""
import json
import sys

OURS, LARGE = "candle ours", 64 << 20


def name(n):
    return f"{n >> 20} Mi" if n >= 1 << 20 else f"{n >> 10} Ki"


def main():
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FIGURES.jsonl")
    with open(sys.argv[1]) as file:
        figures = [json.loads(line) for line in file if line.startswith("{")]
    launches = {}
    cases, again = {}, []
    for f in figures:
        if f["peer"] == "candle launch":
            launches.setdefault(f["op"], f)
            continue
        by_peer = cases.setdefault((f["op"], f["pass"], f["dtype"], f["elements"]), {})
        first = by_peer.setdefault(f["peer"], f)
        if first is not f and f["peer"] == OURS and f["elements"] >= LARGE:
            again.append(f["copy"] / first["copy"])
    apart = max((max(ratio, 1 / ratio) - 1 for ratio in again), default=0.0)
    # It reads and writes what any forward does.
    for (_, pass_, dtype, n), by_peer in cases.items():
        by_peer.update(cases.get(("relu", pass_, dtype, n), {}))
    cases = {case: by_peer for case, by_peer in cases.items() if OURS in by_peer}
    peers = sorted({peer for by_peer in cases.values() for peer in by_peer} - {OURS})

    print("| goal | bound | worst | at | cases | met |\n| --- | ---: | ---: | --- | ---: | --- |")

    def goal(what, bound, values, at_least=True, slack=0.0):
        """values: (value, where) of every case that counts."""
        if not values:
            print(f"| {what} | {bound} | – | – | 0 | not measured |")
            return
        value, where = (min if at_least else max)(values)
        met = value >= bound * (1 - slack) if at_least else value <= bound * (1 + slack)
        print(f"| {what} | {'≥' if at_least else '≤'} {bound} | {value:.3g} | {where} | {len(values)} | {'yes' if met else '**no**'} |")

    def large(*dtypes):
        return [(case, by_peer) for case, by_peer in cases.items() if case[2] in dtypes and case[3] >= LARGE]

    def over(peer, *dtypes):
        return [(by_peer[OURS]["copy"] / by_peer[peer]["copy"], label(case))
                for case, by_peer in large(*dtypes) if peer in by_peer]

    def label(case):
        return f"{' '.join(case[:3])} {name(case[3])}"

    narrow = ("f16", "bf16", "f32")
    goal("64 Mi and more, f16, bf16, f32: % of the copy within the device", 92,
         [(by_peer[OURS]["copy"], label(case)) for case, by_peer in large(*narrow)])
    for peer in peers:
        goal(f"64 Mi and more, f16, bf16, f32: times as fast as {peer}", 1, over(peer, *narrow), slack=apart)
    goal("64 Mi and more, f16, bf16: times as fast as torch-eager", 2, over("torch-eager", "f16", "bf16"))
    goal("64 Mi and more, f64: times as fast as torch-eager", 1, over("torch-eager", "f64"), slack=apart)
    for layout in ("", ", transposed"):
        pair = [launches.get(op + layout) for op in ("mish", "relu")]
        values, slack = [], 0.0
        if all(pair):
            (mish, relu), spread = [p["us"] for p in pair], [f"{p['low']:.2f} to {p['high']:.2f}" for p in pair]
            values = [(mish / relu, f"{mish:.2f} us ({spread[0]}) and {relu:.2f} ({spread[1]})")]
            # Medians within each other's quartiles are no difference.
            slack = max(p["high"] / p["us"] for p in pair) - 1
        goal(f"host time of a call{layout}: Mish over relu", 1, values, at_least=False, slack=slack)

    if again:
        print(f"\nTwo processes of the same: shares of the copy are up to {100 * apart:.1f} % apart in {len(again)} cases.")
    print("\nMicroseconds of device time; the copy reads and writes as much as forward does.\n")
    print(f"| op | pass | dtype | elements | ours | GB/s | % of copy | {' | '.join(peers)} |")
    print("| --- | --- | --- | ---: |" + " ---: |" * (3 + len(peers)))
    for case, by_peer in cases.items():
        ours = by_peer[OURS]
        others = [f"{by_peer[peer]['us']:.4g}" if peer in by_peer else "–" for peer in peers]
        print(f"| {' | '.join(case[:3])} | {name(case[3])} | {ours['us']:.4g} | {ours['gb_s']:.0f} | {ours['copy']:.1f} "
              f"| {' | '.join(others)} |")


if __name__ == "__main__":
    main()
