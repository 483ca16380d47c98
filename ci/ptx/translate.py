"""Translates PTX to C++ that runs on the CPU, in the semantics of the PTX ISA.

usage: translate.py [--lenient] FILE.ptx > FILE.h

A kernel NAME becomes `ptx_NAME(void *const *parameters)`, one thread of it, with parameters as cuLaunchKernel takes
them. What it is written in, `load` or `threadIdx`, comes from who includes it: tests/emulator/launch.h or
driver/kernel.h.
A register is an unsigned integer of its width, whatever type an instruction takes it for.

With --lenient, for the kernels of others, one that cannot be translated is missing, and `missing_NAME` says why.
`about_NAME` has what a launch needs to know: whether threads wait for each other, how many a block has at most, and the
sizes of the parameters, which end with a 0.
"""

import pathlib
import re
import sys

from any_kernel import AnyKernel
from kernel import Kernel


def block(text, begin):
    """What is inside of the brace before `begin`."""
    depth = 1
    for brace in re.compile(r"[{}]").finditer(text, begin):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return text[begin : brace.start()]
    raise SyntaxError("a brace is not closed")


def main():
    *options, path = sys.argv[1:]
    lenient = options == ["--lenient"]
    text = pathlib.Path(path).read_text()
    entry = r"\.visible \.entry (\w+)\(([^)]*)\)\s*(?:\.maxntid (\d+), 1, 1\s*)?(?:\.\w+ [\d, ]+\s*)*\{"
    kernels = [(*found.groups(), block(text, found.end())) for found in re.finditer(entry, text)]
    if not kernels or len(kernels) != text.count(".entry"):
        sys.exit(f"{path}: {len(kernels)} of {text.count('.entry')} kernels have been found")
    print(pathlib.Path(__file__).with_name("ptx.h").read_text())
    for name, parameters, threads, body in kernels:
        try:
            kernel = (AnyKernel if lenient else Kernel)(name, parameters, body)
            print(kernel.source())
            if lenient:
                about = ", ".join(map(str, [int(kernel.waits), threads or 1024, *kernel.parameters.values(), 0]))
                print(f"static const unsigned {name}_is[] = {{{about}}};")
                print(f"EXPORT const unsigned *about_{name}() {{ return {name}_is; }}")
        except (NotImplementedError, SyntaxError) as error:
            if not lenient:
                raise
            print(f'EXPORT const char *missing_{name}() {{ return R"({error})"; }}')


main()
