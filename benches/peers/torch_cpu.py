#!/usr/bin/env python3
"""Times PyTorch's Mish, softplus and tanh(softplus x) on CPU, eager and torch.compile.

One line per measurement: peer op pass dtype elements Melem/s GB/s. See README.md beside this file.
"""
import sys

import torch

from common import chosen, emit, header, parser, timed

aten = torch.ops.aten
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "f64": torch.float64}
PEERS = ["torch-eager", "torch-compile"]

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
    options = parser(__doc__.splitlines()[0], OPS)
    options.add_argument("--peers", type=chosen(PEERS), default=PEERS, help=",".join(PEERS))
    return options.parse_args()


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print(f"PyTorch {torch.__version__}, {args.threads} threads", file=sys.stderr)
    header(args.json)
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
