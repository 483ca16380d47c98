"""A kernel of any crate as C++."""

import re

from kernel import HALVES, OPERATORS, Kernel, is_float, plain, value_type, width


class AnyKernel(Kernel):
    """With approximations, which are as exact as can be, products and sums that a compiler may contract, which are not,
    16-bit arithmetic, and threads that wait for each other.
    """

    waits = False

    def statement(self, text):
        # The call of what reports a failed assertion, with its arguments.
        if text.startswith((".param", "st.param")):
            return ""
        if re.match(r"call\.uni\s+__assertfail,", text):
            return "assertion_failed();"
        return super().statement(text)

    def value(self, operand, kind):
        if operand.startswith(("$str", "__unnamed")):
            return f"{value_type(kind)}(0)"
        return super().value(operand, kind)

    def instruction(self, opcode, operands):
        if opcode.startswith(("ld.", "st.")):
            # How it goes through the caches.
            opcode = re.sub(r"\.(cs|nc)\b", "", opcode)
        try:
            return super().instruction(opcode, operands)
        except NotImplementedError:
            pass
        name, *modifiers = opcode.split(".")
        modifiers = [modifier for modifier in modifiers if modifier not in ("ftz", "full")]
        kind = modifiers.pop()

        def value(i, of=kind):
            return self.value(operands[i], of)

        def to(text, of=kind):
            return self.assign(operands[0], of, text)

        floating = is_float(kind) or kind in HALVES
        match name, modifiers:
            case "bar", [] if kind == "sync":
                self.waits = True
                return "barrier();"
            case "shfl", ["sync", "bfly"]:
                self.waits = True
                result, *inside = operands[0].split("|")
                inside = "".join(f" {plain(predicate)} = true;" for predicate in inside)
                return self.assign(result, "u32", f"shuffle_xor({value(1, 'u32')}, {value(2, 'u32')})") + inside
            case "add" | "sub" | "mul" | "div", [] | ["rn"] | ["approx"] if floating:
                return to(f"{value(1)} {OPERATORS[name]} {value(2)}")
            case "fma" | "add", [("rm" | "rz") as how] if is_float(kind):
                mode = {"rm": "FE_DOWNWARD", "rz": "FE_TOWARDZERO"}[how]
                b, c = (value(2), value(3)) if name == "fma" else (f"{value_type(kind)}(1)", value(2))
                return to(f"rounded({mode}, {value(1)}, {b}, {c})")
            case "rsqrt", ["approx"] if is_float(kind):
                return to(f"1 / std::sqrt({value(1)})")
            case "rcp", ["approx"] if kind == "f64":
                return to(f"1 / {value(1)}")
            case "fma", ["rn"] if kind in HALVES:
                return to(f"float(std::fma(double({value(1)}), double({value(2)}), double({value(3)})))")
            case "add" | "sub" | "mul" | "fma", _ if kind in ("f16x2", "bf16x2"):
                return self.pairwise(f"{name}.rn.{kind[:-2]}", operands)
            case "min" | "max", [] if is_float(kind):
                return to(f"std::f{name}({value(1)}, {value(2)})")
            case "min" | "max", [] | ["NaN"] if kind in HALVES:
                return to(f"{name}_nan({value(1)}, {value(2)})")
            case "neg", [] if kind in HALVES:
                return to(f"-{value(1)}")
            case "abs", [] if kind in HALVES:
                return to(f"std::fabs({value(1)})")
            case "copysign", [] if is_float(kind):
                return to(f"std::copysign({value(2)}, {value(1)})")
            case "ex2" | "lg2" | "sqrt" | "tanh", ["approx"] | ["rn"] if is_float(kind):
                function = {"ex2": "exp2", "lg2": "log2"}.get(name, name)
                return to(f"std::{function}({value(1)})")
            case "shr", [] if kind[0] == "s":
                return to(f"{value(1)} >> std::min({value(2, 'u32')}, {width(kind) - 1}u)")
            case "set", [how, result]:
                return to(f"({self.comparison(how, 'f32', value(1), value(2))}) ? 1.0f : 0.0f", result)
            case "setp", [how] if kind in HALVES:
                return to(self.comparison(how, "f32", value(1), value(2)), "pred")
            case "cvt", ["sat", "f32"] if kind == "f32":
                return to(f"std::fmin(std::fmax({value(1)}, 0.0f), 1.0f)", "f32")
            case "cvt", [("rmi" | "rpi" | "rni" | "rzi") as how, result] if result == kind and is_float(kind):
                function = {"rmi": "floor", "rpi": "ceil", "rni": "nearbyint", "rzi": "trunc"}[how]
                return to(f"std::{function}({value(1)})")
            case "cvt", [("rzi" | "rni") as how, result] if result[0] in "us" and floating:
                whole = value(1) if how == "rzi" else f"std::nearbyint({value(1)})"
                return to(f"truncated<{value_type(result)}>({whole})", result)
            case "cvt", [result] | ["rn", result] if is_float(result) or result in HALVES:
                return to(f"{'double' if result == 'f64' else 'float'}({value(1)})", result)
        raise NotImplementedError(f"{self.name}: {opcode} {operands}")

    def pairwise(self, opcode, operands):
        """The same with the lower and with the upper halves of registers."""
        lines = ["uint16_t low0, high0;"]
        for i in range(1, len(operands)):
            word = self.value(operands[i], "u32")
            lines.append(f"uint16_t low{i} = uint16_t({word}), high{i} = uint16_t({word} >> 16);")
        for half in ("low", "high"):
            halves = [f"{half}{i}" for i in range(len(operands))]
            self.registers.update(halves)
            lines.append(self.instruction(opcode, halves))
        lines.append(self.assign(operands[0], "u32", "low0 | uint32_t(high0) << 16"))
        return f"{{ {' '.join(lines)} }}"
