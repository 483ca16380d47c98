"""A kernel of this crate as C++. What is not listed here is an error: of products and sums only those that no compiler
may contract are, as the kernels rely on that.
"""

import re

COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
OPERATORS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "rem": "%", "and": "&", "or": "|", "xor": "^"}
HALVES = ("f16", "bf16")
SPECIAL_REGISTERS = {
    f"%{name}.{axis}": f"{index}.{axis}"
    for name, index in {"tid": "threadIdx", "ntid": "blockDim", "ctaid": "blockIdx", "nctaid": "gridDim"}.items()
    for axis in "xyz"
}


def width(kind):
    return int(re.search(r"\d+", kind)[0])


def register_type(kind):
    return "bool" if kind == "pred" else f"uint{width(kind)}_t"


def value_type(kind):
    if kind in ("f32", "f64"):
        return {"f32": "float", "f64": "double"}[kind]
    return f"int{width(kind)}_t" if kind[0] == "s" else register_type(kind)


def unsigned(kind):
    return f"u{width(kind)}"


def is_float(kind):
    return kind in ("f32", "f64")


def plain(name):
    return name.strip().lstrip("%$")


def vector(operand):
    """The registers of ⟨a, b⟩, as braces of vectors have become."""
    return [name.strip() for name in operand.strip("⟨⟩").split(",")]


class Kernel:
    def __init__(self, name, parameters, body):
        self.name = name
        # Their sizes.
        self.parameters = {}
        for text in parameters.split(",") if parameters.strip() else []:
            declared = re.fullmatch(r"\s*\.param (?:\.align \d+ )?\.(\w+) (\w+)(?:\[(\d+)\])?\s*", text)
            kind, parameter, count = declared.groups()
            self.parameters[parameter] = width(kind) // 8 * int(count or 1)
        # Those whose address is taken, and where shared variables begin.
        self.addressed = set(re.findall(r"mov\.[bu]64\s+%\w+, (\w+);", body)) & set(self.parameters)
        self.shared = {}
        self.shared_size = 0
        self.registers = set()
        body = re.sub(r"//[^\n]*", "", body)
        body = re.sub(r"\{([^{};]*)\}", r"⟨\1⟩", body)
        statements = re.split(r"(?<=[;:{}])\s+", re.sub(r"([{}])", r" \1 ", body).strip())
        self.lines = [self.statement(text) for text in statements]

    def source(self):
        return "\n    ".join([f"EXPORT void ptx_{self.name}(void *const *parameters) {{", *self.lines]) + "\n}\n"

    def pointer(self, parameter):
        return f"parameters[{list(self.parameters).index(parameter)}]"

    def declare(self, kind, names):
        self.registers.update(names)
        return f"{register_type(kind)} {', '.join(names)};"

    def statement(self, text):
        if text in "{}":
            return text
        if text.startswith(".pragma"):
            return ""
        if label := re.fullmatch(r"\$(\w+):", text):
            return f"{label[1]}:;"
        if registers := re.fullmatch(r"\.reg\s*\.(\w+)\s+([^;]+);", text):
            kind, names = registers.groups()
            if many := re.fullmatch(r"%(\w+)<(\d+)>", names):
                return self.declare(kind, [f"{many[1]}{i}" for i in range(int(many[2]))])
            return self.declare(kind, [plain(name) for name in names.split(",")])
        if shared := re.fullmatch(r"\.shared \.align (\d+) \.b8 (\w+)\[(\d+)\];", text):
            align, size = int(shared[1]), int(shared[3])
            self.shared[shared[2]] = -(-self.shared_size // align) * align
            self.shared_size = self.shared[shared[2]] + size
            return ""
        match = re.fullmatch(r"(?:@(!?)%(\w+)\s+)?([\w.]+)\s*(.*);", text, re.S)
        if not match:
            raise SyntaxError(f"{self.name}: {text!r}")
        negated, predicate, opcode, rest = match.groups()
        operands = [text.strip() for text in re.findall(r"\s*⟨[^⟩]*⟩|\s*\[[^\]]*\]|[^,]+", rest)]
        code = self.instruction(opcode, operands)
        return f"if ({negated}{predicate}) {{ {code} }}" if predicate else code

    def value(self, operand, kind):
        """An operand, taken for that type."""
        if operand in SPECIAL_REGISTERS:
            return SPECIAL_REGISTERS[operand]
        if operand in self.parameters:
            return f"uint64_t({self.pointer(operand)})"
        if operand in self.shared:
            return f"{value_type(kind)}({self.shared[operand]})"
        if bits := re.fullmatch(r"0[fFdD]([0-9A-Fa-f]+)", operand):
            return f"bit_cast<{value_type(kind)}>(uint{width(kind)}_t(0x{bits[1]}))"
        if re.fullmatch(r"-?\d+|0[xX][0-9a-fA-F]+U?", operand):
            bits = int(operand.rstrip("U"), 0) % (2 if kind == "pred" else 2 ** width(kind))
            return f"{value_type(kind)}({bits:#x}ull)"
        if plain(operand) not in self.registers:
            raise SyntaxError(f"{self.name}: {operand!r}")
        if kind in HALVES:
            return f"float_of_{kind}({plain(operand)})"
        cast = f"bit_cast<{value_type(kind)}>" if is_float(kind) else value_type(kind)
        return f"{cast}({plain(operand)})"

    @staticmethod
    def assign(operand, kind, value):
        if kind in HALVES:
            value = f"{kind}_of({value})"
        elif is_float(kind):
            value = f"bit_cast<uint{width(kind)}_t>({value_type(kind)}({value}))"
        return f"{plain(operand)} = {register_type(kind)}({value});"

    def transfer(self, opcode, space, kind, count, operands):
        words = f"Words<uint{width(kind)}_t, {count}>"
        at, registers = (operands[1], operands[0]) if opcode == "ld" else operands
        base, offset = re.fullmatch(r"\[(%?\w+)(?:\+(-?\d+))?\]", at).groups()
        offset = int(offset or 0)
        registers = vector(registers)
        assert len(registers) == count, operands
        if space == "param":
            # What is computed has to lie in the one whose address was taken.
            (of,) = [base] if base in self.parameters else self.addressed
            begin = self.pointer(of)
            at = offset
            if base not in self.parameters:
                at = f"{self.value(base, 'b64')} + uint64_t({offset}) - uint64_t({begin})"
            loaded = f"parameter<{words}>({begin}, {self.parameters[of]}, {at})"
        else:
            address = f"{self.value(base, 'b64')} + uint64_t({offset}ll)"
            prefix = "shared_" if space == "shared" else ""
            if opcode == "st":
                values = ", ".join(self.value(register, unsigned(kind)) for register in registers)
                return f"{prefix}store(({words} *)({address}), {words}{{{{{values}}}}});"
            loaded = f"{prefix}load((const {words} *)({address}))"
        assigned = [self.assign(register, unsigned(kind), f"loaded.w[{i}]") for i, register in enumerate(registers)]
        return f"{{ auto loaded = {loaded}; {' '.join(assigned)} }}"

    def comparison(self, how, kind, a, b):
        if how in COMPARISONS and not (how == "ne" and is_float(kind)):
            return f"{a} {COMPARISONS[how]} {b}"
        if is_float(kind):
            nan = f"std::isnan({a}) || std::isnan({b})"
            if how == "num":
                return f"!({nan})"
            if how.endswith("u") and how[:-1] in COMPARISONS:
                return f"{nan} || {a} {COMPARISONS[how[:-1]]} {b}"
        raise NotImplementedError(f"{self.name}: setp.{how}.{kind}")

    def instruction(self, opcode, operands):
        name, *modifiers = opcode.split(".")
        kind = modifiers.pop() if modifiers else None

        def value(i, of=kind):
            return self.value(operands[i], of)

        def to(text, of=kind):
            return self.assign(operands[0], of, text)

        match name, modifiers:
            case "bra", _:
                return f"goto {plain(operands[0])};"
            case "ret", []:
                return "return;"
            case "ld" | "st", ["global" | "param" | "shared" as space]:
                return self.transfer(name, space, kind, 1, operands)
            case "ld" | "st", ["global" | "param" | "shared" as space, "v2" | "v4" as count]:
                return self.transfer(name, space, kind, int(count[1:]), operands)
            case "mov", [] if operands[0][0] == "⟨":
                half = width(kind) // 2
                low, high = map(plain, vector(operands[0]))
                return f"{low} = uint{half}_t({value(1)}); {high} = uint{half}_t({value(1)} >> {half});"
            case "mov", [] if operands[1][0] == "⟨":
                low, high = (self.value(half, unsigned(kind)) for half in vector(operands[1]))
                return to(f"{low} | {high} << {width(kind) // 2}")
            case ("mov", []) | ("cvta", ["to", "global"] | ["global"]):
                return to(value(1))
            case "cvt", ["rn", narrower] if narrower in HALVES and kind == "f32":
                return to(value(1), narrower)
            case "cvt", ["rn", "f16x2" | "bf16x2" as pair] if kind == "f32":
                half = f"{pair[:-2]}_of"
                return to(f"uint32_t({half}({value(1)})) << 16 | {half}({value(2)})", "u32")
            case "cvt", ["f32"] if kind in HALVES:
                return to(value(1), "f32")
            case "cvt", [wide_or_narrow] if wide_or_narrow[0] in "us" and kind[0] in "us":
                return to(value(1), wide_or_narrow)
            case "fma", ["rn"] if is_float(kind):
                return to(f"std::fma({value(1)}, {value(2)}, {value(3)})")
            case "add" | "sub" | "mul", ["rn"] if is_float(kind):
                return to(f"{value(1)} {OPERATORS[name]} {value(2)}")
            case "rcp", ["rn"] if is_float(kind):
                return to(f"1 / {value(1)}")
            case "rcp", ["approx", "ftz"] if kind == "f32":
                return to(f"RECIPROCAL({value(1)})")
            case "min" | "max", ["NaN"] if kind == "f32":
                return to(f"{name}_nan({value(1)}, {value(2)})")
            case "neg", [] if is_float(kind):
                return to(f"-{value(1)}")
            case "abs", [] if is_float(kind):
                return to(f"std::fabs({value(1)})")
            case ("add" | "sub", []) | ("mul", ["lo"]) if kind[0] in "us":
                return to(f"{value(1, unsigned(kind))} {OPERATORS[name]} {value(2, unsigned(kind))}")
            case "mad", ["lo"] if kind[0] in "us":
                product = f"{value(1, unsigned(kind))} * {value(2, unsigned(kind))}"
                return to(f"{product} + {value(3, unsigned(kind))}")
            case "mul", ["wide"] if width(kind) == 32:
                wide = f"{kind[0]}64"
                return to(f"{value_type(wide)}({value(1)}) * {value_type(wide)}({value(2)})", wide)
            case "mul", ["hi"] if kind == "u32":
                return to(f"uint64_t({value(1)}) * {value(2)} >> 32")
            case "div" | "rem", [] if kind[0] == "u":
                return to(f"{value(1)} {OPERATORS[name]} {value(2)}")
            case "and" | "or" | "xor", [] if kind == "pred" or kind[0] == "b":
                return to(f"{value(1)} {OPERATORS[name]} {value(2)}")
            case "not", []:
                return to(f"{'!' if kind == 'pred' else '~'}{value(1)}")
            case "min" | "max", [] if kind[0] in "us":
                return to(f"std::{name}({value(1)}, {value(2)})")
            case "neg", [] if kind[0] == "s":
                return to(f"-{value(1, unsigned(kind))}")
            case "shl" | "shr", [] if kind[0] in "ub":
                shifted = f"{value(1)} {'<<' if name == 'shl' else '>>'} {value(2, 'u32')}"
                return to(f"{value(2, 'u32')} < {width(kind)} ? {shifted} : 0")
            case "selp", []:
                return to(f"{value(3, 'pred')} ? {value(1)} : {value(2)}")
            case "setp", [how]:
                return to(self.comparison(how, kind, value(1), value(2)), "pred")
        raise NotImplementedError(f"{self.name}: {opcode} {operands}")
