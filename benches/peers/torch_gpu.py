#!/usr/bin/env python3
"""Times Mish and softplus on a CUDA device: PyTorch eager, torch.compile, a Triton kernel, and a raw CUDA kernel with
the formula that mish-cuda uses (softplus by log1p, tanh, 1 - exp(-softplus); written for this comparison).

One JSON object per line, as from benches/gpu with --json. GB/s count what one fused kernel reads and writes.
"""
import argparse
import json
import statistics
import sys

import torch

aten = torch.ops.aten
DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32, "f64": torch.float64}
SIZES = [1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28]
SAMPLES, SAMPLE_SECONDS = 21, 2e-3

EAGER = {
    ("mish", "forward"): lambda x, g: aten.mish(x),
    ("mish", "backward"): lambda x, g: aten.mish_backward(g, x),
    ("softplus", "forward"): lambda x, g: aten.softplus(x),
    ("softplus", "backward"): lambda x, g: aten.softplus_backward(g, x, 1.0, 20.0),
}

# A is what is computed in. PyTorch compiles without conversions of 16-bit types, and hands over ints of 32 bits.
RAW = """
#include <cuda_fp16.h>
#include <cuda_bf16.h>
extern "C" __global__ void mish_forward(const T *x, T *y, int n) {
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
        A v = WIDEN(x[i]);
        y[i] = NARROW(v * tanh(v < A(20) ? log1p(exp(v)) : v));
    }
}
extern "C" __global__ void mish_backward(const T *x, const T *g, T *y, int n) {
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
        A v = WIDEN(x[i]);
        A sp = v < A(20) ? log1p(exp(v)) : v;
        A t = tanh(sp);
        y[i] = NARROW(WIDEN(g[i]) * (v * (A(1) - t * t) * (A(1) - exp(-sp)) + t));
    }
}
"""
TYPES = {"f16": ("__half", "float", "__half2float", "__float2half_rn"),
         "bf16": ("__nv_bfloat16", "float", "__bfloat162float", "__float2bfloat16_rn"),
         "f32": ("float", "float", "", ""), "f64": ("double", "double", "", "")}


def triton_kernels(dtype):
    import triton
    import triton.language as tl

    wide = tl.float64 if dtype == "f64" else tl.float32

    @triton.jit
    def forward(x, y, n, BLOCK: tl.constexpr, WIDE: tl.constexpr):
        at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        v = tl.load(x + at, at < n, 0.0).to(WIDE)
        e = tl.exp(tl.minimum(v, 20.0))
        m = e * (e + 2.0)
        tl.store(y + at, v * m / (m + 2.0), at < n)

    @triton.jit
    def backward(x, g, y, n, BLOCK: tl.constexpr, WIDE: tl.constexpr):
        at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        v = tl.load(x + at, at < n, 0.0).to(WIDE)
        e = tl.exp(tl.minimum(v, 20.0))
        m = e * (e + 2.0)
        r = 1.0 / (m + 2.0)
        d = m * r + v * (4.0 * e * (1.0 + e) * r * r)
        tl.store(y + at, tl.load(g + at, at < n, 0.0).to(WIDE) * d, at < n)

    def call(kernel, *tensors):
        out = torch.empty_like(tensors[0])
        n = out.numel()
        kernel[(triton.cdiv(n, 2048),)](*tensors, out, n, BLOCK=2048, WIDE=wide, num_warps=8)
        return out

    return {
        ("mish", "forward"): lambda x, g: call(forward, x),
        ("mish", "backward"): lambda x, g: call(backward, x, g),
    }


def raw_kernels(dtype):
    names = zip(("T", "A", "WIDEN", "NARROW"), TYPES[dtype])
    source = "".join(f"#define {name} {value}\n" for name, value in names) + RAW
    compile_one = torch.cuda._compile_kernel  # NVRTC; PyTorch 2.9 and later
    forward, backward = (compile_one(source, f"mish_{name}") for name in ("forward", "backward"))
    blocks = 8 * torch.cuda.get_device_properties(0).multi_processor_count

    def call(kernel, *tensors):
        out = torch.empty_like(tensors[0])
        kernel((blocks, 1, 1), (256, 1, 1), (*tensors, out, out.numel()))
        return out

    return {
        ("mish", "forward"): lambda x, g: call(forward, x),
        ("mish", "backward"): lambda x, g: call(backward, x, g),
    }


def seconds(call):
    def sample(calls):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(calls):
            call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3 / calls

    sample(3)
    calls = max(1, min(1000, round(SAMPLE_SECONDS / sample(10))))
    return statistics.median(sample(calls) for _ in range(SAMPLES))


def peers_of(dtype):
    makers = {
        "torch-eager": lambda: EAGER,
        "torch-compile": lambda: {k: torch.compile(f, dynamic=False) for k, f in EAGER.items()},
        "triton": lambda: triton_kernels(dtype),
        "mish-cuda formula": lambda: raw_kernels(dtype),
    }
    peers = {}
    for name, make in makers.items():
        try:
            peers[name] = make()
        except Exception as error:
            print(f"{name} skipped in {dtype}: {str(error).splitlines()[0]}", file=sys.stderr)
    return peers


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=lambda text: [int(n) for n in text.split(",")], default=SIZES)
    parser.add_argument("--dtypes", type=lambda text: text.split(","), default=list(DTYPES))
    args = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no CUDA device")
    print(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}", file=sys.stderr)
    peers = {dtype: peers_of(dtype) for dtype in args.dtypes}
    # The largest first: they count for most, should there be no time for all.
    for n in sorted(args.sizes, reverse=True):
        for dtype in args.dtypes:
            x, g = (3 * torch.randn(n, device="cuda").to(DTYPES[dtype]) for _ in range(2))
            target = torch.empty_like(x)
            copy = 2 * x.nbytes / seconds(lambda: target.copy_(x))
            for peer, calls in peers[dtype].items():
                for (op, pass_), call in calls.items():
                    try:
                        with torch.no_grad():
                            torch._dynamo.reset()
                            time = seconds(lambda: call(x, g))
                    except Exception as error:
                        print(f"{peer} {op} {pass_} {dtype} skipped: {(str(error) or repr(error)).splitlines()[0]}",
                              file=sys.stderr)
                        continue
                    gb = (2 if pass_ == "forward" else 3) * x.nbytes / time
                    print(json.dumps({"peer": peer, "op": op, "pass": pass_, "dtype": dtype, "elements": n,
                                      "us": round(time * 1e6, 3), "gb_s": round(gb / 1e9, 1),
                                      "copy": round(100 * gb / copy, 1)}), flush=True)


if __name__ == "__main__":
    main()
