#!/usr/bin/env python3
"""Proves every identity of docs/derivation.md. Needs sympy (which brings mpmath); runs in seconds.

Each identity is proved exactly: both sides are written over one positive symbol e = exp(x) (x itself
stays a free symbol beside it), and their difference must cancel to the literal 0 as a rational
function. Nothing is sampled; only the roots at the end are numbers. Prints one line per identity and
exits with 1 if any fails.
"""
import sys

import mpmath as mp
import sympy as sp

x = sp.Symbol("x", real=True)
e = sp.Symbol("e", positive=True)  # exp(x)
t = sp.Symbol("t", positive=True)  # exp(-|x|)
E = sp.exp(x)
failures = 0


def report(ok, name, detail=""):
    global failures
    failures += not ok
    print(f"{'proved' if ok else 'FAILED'}: {name}" + (f"   [{detail}]" if detail and not ok else ""))


def over_e(expr):
    """expr with tanh spelled in exponentials, and every exp(n*x) replaced by e**n."""
    expr = sp.sympify(expr).replace(sp.tanh, lambda a: (sp.exp(2 * a) - 1) / (sp.exp(2 * a) + 1))

    def power_of_e(arg):
        n = sp.expand(arg) / x
        if not n.is_Integer:
            raise ValueError(f"exp({arg}) is no power of exp(x)")
        return e**n

    return expr.replace(sp.exp, power_of_e)


def prove(name, left, right):
    difference = sp.cancel(sp.together(over_e(left) - over_e(right)))
    report(difference == 0, name, f"difference {difference}")


def prove_limit(name, expr, to, want):
    got = sp.limit(expr, x, to)
    report(got == want, f"{name} -> {want} for x -> {to}", f"got {got}")


# Definitions, as a user would write them; everything below is measured against these.
softplus = sp.log(1 + E)
tanh_sp = sp.tanh(softplus)
mish = x * tanh_sp


def d(f, k):
    return sp.diff(f, x, k) if k else f


print("# 1. the notebook's cells")
f = sp.Function("f")(x)
prove("softplus' = 1 - 1/(exp(x) + 1)", d(softplus, 1), 1 - 1 / (E + 1))
prove("softplus' = 1 - exp(-softplus)", d(softplus, 1), 1 - sp.exp(-softplus))
prove("softplus' = sigmoid", d(softplus, 1), E / (1 + E))
prove("sigmoid, as it is computed", E / (1 + E), 1 / (1 + 1 / E))
report(sp.simplify(sp.diff(sp.tanh(f), x) - (1 - sp.tanh(f) ** 2) * sp.diff(f, x)) == 0,
       "(tanh f)' = (1 - tanh(f)^2) f'")
report(sp.simplify((sp.diff(x * sp.tanh(f), x) - (x * sp.diff(f, x) / sp.cosh(f) ** 2 + sp.tanh(f)))
                   .rewrite(sp.exp)) == 0,
       "(x tanh f)' = x f' / cosh(f)^2 + tanh(f)")
prove("(tanh softplus)' = (1 - tanh(sp)^2) (1 - exp(-sp))",
      d(tanh_sp, 1), (1 - tanh_sp**2) * (1 - sp.exp(-softplus)))
prove("mish' = x (1 - tanh(sp)^2) exp(x)/(exp(x) + 1) + tanh(sp)",
      d(mish, 1), x * (1 - tanh_sp**2) * E / (E + 1) + tanh_sp)
prove("mish' = x (1 - tanh(sp)^2) (1 - exp(-sp)) + tanh(sp)",
      d(mish, 1), x * (1 - tanh_sp**2) * (1 - sp.exp(-softplus)) + tanh_sp)

print("# 2. one exponential")
s = 1 + e
m = e + e**2 / 2
M = 1 + m
prove("s = 1 + exp(x) = exp(softplus x)", sp.exp(softplus), s)
prove("s^2 - 1 = 2m", s**2 - 1, 2 * m)
prove("s^2 + 1 = 2M", s**2 + 1, 2 * M)
T = m / M
T1 = e * (1 + e) / M**2
T2 = e * (1 + e - sp.Rational(3, 2) * e**2 - e**3) / M**3
prove("tanh(softplus x) = (s^2 - 1)/(s^2 + 1)", tanh_sp, (s**2 - 1) / (s**2 + 1))
prove("tanh(softplus x) = m/M", tanh_sp, T)
prove("1 - tanh(softplus x) = 1/M", 1 - tanh_sp, 1 / M)
prove("1 - tanh(softplus x)^2 = s^2/M^2", 1 - tanh_sp**2, s**2 / M**2)
prove("1 - exp(-softplus) = e/s", 1 - sp.exp(-softplus), e / s)
prove("(tanh softplus)' = e (1 + e)/M^2", d(tanh_sp, 1), T1)
prove("(tanh softplus)'' = e (1 + e - 3e^2/2 - e^3)/M^3", d(tanh_sp, 2), T2)
prove("mish = x - x/M", mish, x - x / M)
prove("mish' = m/M + x e (1 + e)/M^2", d(mish, 1), T + x * T1)
prove("mish' = (e (1 + x) + (e^2/2)(1 - x e/M))/M", d(mish, 1),
      (e * (1 + x) + e**2 / 2 * (1 - x * e / M)) / M)
prove("mish'' = 2 (tanh softplus)' + x (tanh softplus)''", d(mish, 2), 2 * T1 + x * T2)
prove("softplus'' = sigmoid (1 - sigmoid)", d(softplus, 2), e / s * (1 - e / s))

print("# 3. both branches, t = exp(-|x|)")
branches = {
    "x >= 0": dict(
        e=1 / t, D=1 + 2*t + 2*t**2, T=1 + 2*t, T1=4*t**2 * (1 + t),
        T2=4*t**2 * (2*t**3 + 2*t**2 - 3*t - 2), sigma=1 / (1 + t)),
    "x < 0": dict(
        e=t, D=t**2 + 2*t + 2, T=t * (t + 2), T1=4*t * (1 + t),
        T2=4*t * (2 + 2*t - 3*t**2 - 2*t**3), sigma=t / (1 + t)),
}
for name, b in branches.items():
    def over_t(expr):
        return over_e(expr).subs(e, b["e"])

    D = b["D"]
    prove(f"{name}: D = {'2t^2 M' if name == 'x >= 0' else '2M'}",
          2 * M.subs(e, b["e"]) * (t**2 if name == "x >= 0" else 1), D)
    bT, bT1, bT2 = b["T"] / D, b["T1"] / D**2, b["T2"] / D**3
    prove(f"{name}: tanh_softplus   = T", over_t(tanh_sp), bT)
    prove(f"{name}: tanh_softplus'  = T'", over_t(d(tanh_sp, 1)), bT1)
    prove(f"{name}: tanh_softplus'' = T''", over_t(d(tanh_sp, 2)), bT2)
    prove(f"{name}: mish   = x T", over_t(mish), x * bT)
    prove(f"{name}: mish'  = T + x T'", over_t(d(mish, 1)), bT + x * bT1)
    prove(f"{name}: mish'' = 2 T' + x T''", over_t(d(mish, 2)), 2 * bT1 + x * bT2)
    prove(f"{name}: softplus'  = sigmoid", over_t(d(softplus, 1)), b["sigma"])
    prove(f"{name}: softplus'' = t/(1 + t)^2", over_t(d(softplus, 2)), t / (1 + t) ** 2)
    # The logarithms are real, so equality of their exponentials is equality.
    # exp(max(x, 0)) is e for x >= 0 and 1 for x < 0.
    exp_max = b["e"] if name == "x >= 0" else sp.Integer(1)
    prove(f"{name}: softplus = max(x, 0) + log1p(t)", over_t(sp.exp(softplus)), exp_max * (1 + t))
prove("x >= 0: mish = x - x 2t^2/D", over_e(mish).subs(e, 1 / t),
      x - x * 2 * t**2 / branches["x >= 0"]["D"])

half = sp.Rational(1, 2)
shared = {  # name: e, L, N, P of the forms that divide by N alone
    "x >= 0": (1 / t, t**2, half + t + t**2, -1 - 3 * half * t + t**2 + t**3),
    "x < 0": (t, t, 1 + t + half * t**2, 1 + t - 3 * half * t**2 - t**3),
}
for name, (of_t, L, N, P) in shared.items():
    def over_t(expr):
        return over_e(expr).subs(e, of_t)

    prove(f"{name}: N = D/2", N, branches[name]["D"] / 2)
    prove(f"{name}: T'  = L (1 + t)/N^2", over_t(d(tanh_sp, 1)), L * (1 + t) / N**2)
    prove(f"{name}: T'' = L P/N^3", over_t(d(tanh_sp, 2)), L * P / N**3)
    prove(f"{name}: mish'' = L (2 (1 + t) N + x P)/N^3", over_t(d(mish, 2)), L * (2 * (1 + t) * N + x * P) / N**3)

print("# 4. softplus with beta")
beta = sp.Symbol("beta", real=True, nonzero=True)
sp_beta = sp.log(1 + sp.exp(beta * x)) / beta
u = sp.exp(beta * x)
report(sp.simplify(sp.diff(sp_beta, x) - u / (1 + u)) == 0, "softplus_beta'  = sigmoid(beta x)")
report(sp.simplify(sp.diff(sp_beta, x, 2) - beta * u / (1 + u) ** 2) == 0,
       "softplus_beta'' = beta sigmoid'(beta x)")

print("# 5. limits and values at zero")
real = {e: E}
forms = {
    "tanh_softplus": (T.subs(real), T1.subs(real), T2.subs(real)),
    "mish": (x * T.subs(real), (T + x * T1).subs(real), (2 * T1 + x * T2).subs(real)),
    "softplus": (softplus, E / (1 + E), E / (1 + E) ** 2),
}
limits = {  # (f, f', f'') at +oo, then at -oo
    "tanh_softplus": ((1, 0, 0), (0, 0, 0)),
    "mish": ((sp.oo, 1, 0), (0, 0, 0)),
    "softplus": ((sp.oo, 1, 0), (0, 0, 0)),
}
for name, (top, bottom) in limits.items():
    for k in range(3):
        prove_limit(name + "'" * k, forms[name][k], sp.oo, top[k])
        prove_limit(name + "'" * k, forms[name][k], -sp.oo, bottom[k])
# The tails a relative error bound has to follow, and the sign of the zeros.
prove_limit("tanh_softplus/exp(x)", forms["tanh_softplus"][0] / E, -sp.oo, 1)
prove_limit("mish/(x exp(x))", forms["mish"][0] / (x * E), -sp.oo, 1)
prove_limit("mish'/((1 + x) exp(x))", forms["mish"][1] / ((1 + x) * E), -sp.oo, 1)
prove_limit("mish''/((2 + x) exp(x))", forms["mish"][2] / ((2 + x) * E), -sp.oo, 1)
prove_limit("softplus/exp(x)", softplus / E, -sp.oo, 1)
prove_limit("(x - mish) exp(2x)/x", sp.simplify((x - forms["mish"][0]) * E**2 / x), sp.oo, 2)
prove_limit("(tanh_softplus)' exp(2x)", forms["tanh_softplus"][1] * E**2, sp.oo, 4)
prove_limit("(tanh_softplus)'/exp(x)", forms["tanh_softplus"][1] / E, -sp.oo, 1)
prove_limit("(tanh_softplus)''/exp(x)", forms["tanh_softplus"][2] / E, -sp.oo, 1)
prove_limit("(tanh_softplus)'' exp(2x)", forms["tanh_softplus"][2] * E**2, sp.oo, -8)
prove_limit("mish'' exp(2x)/(1 - x)", sp.simplify(forms["mish"][2] * E**2 / (1 - x)), sp.oo, 8)
prove_limit("softplus'/exp(x)", forms["softplus"][1] / E, -sp.oo, 1)
prove_limit("softplus''/exp(x)", forms["softplus"][2] / E, -sp.oo, 1)
prove_limit("softplus'' exp(x)", forms["softplus"][2] * E, sp.oo, 1)
# 2 artanh(u) = log((1 + u)/(1 - u)), and u**3 G(u**2) is all of it but 2u.
u = t / (2 + t)
prove("log1p(t) = 2 artanh(t/(2 + t)), under exp", (1 + u) / (1 - u), 1 + t)
prove("t - t u = 2u, so that log1p(t) = t - u (t - u**2 G)", t - t * u, 2 * u)
prove_limit("(softplus - x) exp(x)", sp.log(1 + 1 / E) * E, sp.oo, 1)  # softplus - x = log1p(t), section 3
zero = {
    "tanh_softplus": (sp.Rational(3, 5), sp.Rational(8, 25), sp.Rational(-4, 125)),
    "mish": (0, sp.Rational(3, 5), sp.Rational(16, 25)),
    "softplus": (sp.log(2), sp.Rational(1, 2), sp.Rational(1, 4)),
}
for name, values in zero.items():
    for k, want in enumerate(values):
        got = sp.simplify(forms[name][k].subs(x, 0))
        report(got == want, f"{name}{chr(39) * k}(0) = {want}", f"got {got}")

print("# 6. polynomials for segments")
prove("T = 1 - 2t^2/(1 + 2t + 2t^2) for t = exp(-x)", tanh_sp, 1 - 2 / E**2 / (1 + 2 / E + 2 / E**2))
prove("sigmoid = 1 - t/(1 + t)", E / (1 + E), 1 - (1 / E) / (1 + 1 / E))
for n in (3, 4, 7, 8):
    # What src/cpu/piecewise.rs has in the place of y^n: y^n less Chebyshev's polynomial, scaled to have y^n.
    y, factor, instead = sp.Symbol("y"), sp.Integer(1), sp.Integer(0)
    for j in range(1, n // 2 + 1):
        factor *= -sp.Integer((n - 2 * j + 2) * (n - 2 * j + 1)) / (4 * j * (n - j))
        instead -= factor * y ** (n - 2 * j)
    report(sp.expand(y**n - sp.chebyshevt(n, y) / 2 ** (n - 1) - instead) == 0, f"y^{n} less T_{n}/2^{n - 1}")

print("# 7. backward of backward: (x, g) -> g f^(k)(x) against an upstream G")
g, G = sp.symbols("g G", real=True)
h = sp.Function("h")(x)  # f^(k)
report(sp.diff(G * g * h, g) == G * h, "d/dg  G g f^(k)(x) = G f^(k)(x): the same op on (x, G)")
report(sp.simplify(sp.diff(G * g * h, x) - g * G * sp.diff(h, x)) == 0,
       "d/dx  G g f^(k)(x) = g G f^(k+1)(x): the next op on (x, g G)")

print("# 8. roots, 30 digits")
# mish' = 0 <=> Q + x (1 + e) = 0 with Q = (1 + e/2) M, since mish' = e (Q + x (1 + e))/M^2.
Q = (1 + e / 2) * M
prove("mish' = e (Q + x (1 + e))/M^2, Q = (1 + e/2) M", d(mish, 1), e * (Q + x * (1 + e)) / M**2)
# x + Q/(1 + e) has derivative 1 + e (dQ/de (1 + e) - Q)/(1 + e)^2; all coefficients positive.
slope = sp.Poly(sp.expand(sp.diff(Q, e) * (1 + e) - Q), e)
report(all(c > 0 for c in slope.all_coeffs()), "x + Q/(1 + e) increases: mish' has exactly one root", str(slope))

mp.mp.dps = 50


def prove_root(name, form, near, digits):
    fn = sp.lambdify(x, form, "mpmath")
    root = mp.findroot(fn, mp.mpf(near))
    step = mp.mpf(10) ** -32
    bracketed = fn(root - step) * fn(root + step) < 0
    got = mp.nstr(root, 30)
    report(bracketed and got == digits, f"{name} = 0 at x = {got}", f"want {digits}")
    return root


root = prove_root("mish'", forms["mish"][1], -1.19, "-1.19243121451549521213758834042")
minimum = mp.nstr(sp.lambdify(x, forms["mish"][0], "mpmath")(root), 30)
report(minimum == "-0.308843413017250406628760229042", f"mish there = {minimum}")
prove_root("mish''", forms["mish"][2], -2.26, "-2.25637639636079312000574854395")
prove_root("mish''", forms["mish"][2], 1.49, "1.4905711794854284592944189082")
prove_root("tanh_softplus''", forms["tanh_softplus"][2], -0.1, "-0.117400979628739393424504968041")

print(f"{failures} failed" if failures else "all proved")
sys.exit(failures != 0)
