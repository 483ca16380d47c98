#!/usr/bin/env python3
"""Times JAX's Mish, softplus and tanh(softplus x) on CPU, each under jax.jit.

One line per measurement: peer op pass dtype elements Melem/s GB/s. See README.md beside this file.
"""
import os
import sys

import numpy as np

from common import emit, header, parser, timed

DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "f64": "float64"}
OPS = ["mish", "softplus", "tanh_softplus"]


def limit_threads(threads):
    """XLA sizes its pool by the cores the process may run on, and has no other setting for it."""
    if not hasattr(os, "sched_setaffinity"):
        print("threads not limited: no sched_setaffinity on this system", file=sys.stderr)
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < threads:
        print(f"only {len(cores)} cores for {threads} threads", file=sys.stderr)
    os.sched_setaffinity(0, cores[:threads])


def main():
    args = parser(__doc__.splitlines()[0], OPS).parse_args()
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
    header(args.json)
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
                    emit(args.json, "jax-jit", op, pass_, dtype, elements, *seconds)


if __name__ == "__main__":
    main()
