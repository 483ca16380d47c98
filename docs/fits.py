#!/usr/bin/env python3
"""Prints the polynomials of src/real.rs, and those that docs/search.cpp starts from, with the relative errors of what they are
part of.

Remez' exchange: minimax for the weight with which the polynomial enters the result. Needs mpmath.
"""
from mpmath import atanh, cos, diff, exp, fac, findroot, log, log1p, lu_solve, matrix, mp, mpf, pi, sqrt

mp.dps = 40


def remez(function, weight, low, high, terms):
    """Coefficients of the polynomial p for which weight·(function - p) is smallest, and its size."""
    grid = [low + (high - low) * (1 - cos(pi * i / 1500)) / 2 for i in range(1501)]
    values, weights = [function(x) for x in grid], [weight(x) for x in grid]
    points = [round(750 * (1 - cos(pi * (2 * i + 1) / (2 * terms + 2)))) for i in range(terms + 1)]
    for _ in range(12):
        rows = [[grid[i] ** j for j in range(terms)] + [(-1) ** k / weights[i]] for k, i in enumerate(points)]
        *coefficients, _ = lu_solve(matrix(rows), matrix([values[i] for i in points]))
        errors = [w * (v - sum(c * x**j for j, c in enumerate(coefficients)))
                  for x, v, w in zip(grid, values, weights)]
        # The largest error of each run of one sign.
        points, start = [], 0
        for i in range(1, len(grid) + 1):
            if i == len(grid) or (errors[i] > 0) != (errors[start] > 0):
                points.append(max(range(start, i), key=lambda j: abs(errors[j])))
                start = i
        while len(points) > terms + 1:
            points.remove(min((points[0], points[-1]), key=lambda j: abs(errors[j])))
    return coefficients, max(map(abs, errors))


def exp_rest(r):
    """(exp(r) - 1 - r)/r^2."""
    if abs(r) < mpf(10) ** -6:
        return sum(r**i / fac(i + 2) for i in range(6))
    return (exp(r) - 1 - r) / r**2


def log1p_rest(w):
    """(2 artanh(u) - 2u)/u^3 in w = u^2, with u = t/(2 + t): log1p(t) = t - u (t - w log1p_rest(w))."""
    u = sqrt(w)
    if u < mpf(10) ** -4:
        return sum(2 * w**i / (2 * i + 3) for i in range(5))
    return 2 * (atanh(u) - u) / u**3


def show(name, terms, fit):
    coefficients, error = fit
    print(f"{name}, {terms} terms, error {float(error):.2g}")
    for coefficient in coefficients:
        print(f"    {float(coefficient)!r},")


half_ln2, tiny = log(2) / 2, mpf(10) ** -12
for precision, terms in [("f32", 5), ("f64", 10)]:
    show(f"EXP {precision}", terms,
         remez(exp_rest, lambda r: r**2 / exp(r) + tiny, -half_ln2, half_ln2, terms))
for precision, terms in [("f32", 4), ("f64", 9)]:
    # Relative to log1p(t) = 2 artanh(u).
    show(f"LOG1P {precision}", terms,
         remez(log1p_rest, lambda w: sqrt(w) ** 3 / (2 * atanh(sqrt(w)) + tiny) + tiny, mpf(0), mpf(1) / 9, terms))

show("2^f", 6, remez(lambda f: 2**f, lambda f: 2**-f, -mpf(1) / 2, mpf(1) / 2, 6))


def log1p_ratio(t):
    """log1p(t)/t."""
    return log1p(t) / t if t > tiny else 1 - t / 2


show("log1p(t)/t", 8, remez(log1p_ratio, lambda t: 1 / log1p_ratio(t), mpf(0), mpf(1), 8))


def mish_d1(x):
    e = exp(x)
    m = 1 + e + e**2 / 2
    return e / m * (1 + x + e / 2 * (1 - x * e / m))


root = findroot(mish_d1, -1.1924)


def slope(d):
    """mish' over the distance to its root."""
    return mish_d1(root + d) / d if abs(d) > tiny else diff(mish_d1, root)


show("mish' next to its root, over the distance", 4, remez(slope, lambda d: 1 / slope(d), -mpf(1) / 16, mpf(1) / 16, 4))
