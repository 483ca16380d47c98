// The maths of `formula.rs` for CUDA, Metal and the host: the same functions under the same names, in the same order.
// `formula.rs` explains them; here stand only the differences.

#pragma once
#if !defined(__METAL_VERSION__)
#include "real.h"
#endif

namespace candle_mish {

// 2^k, scaled, and y, with eˣ = 2^k(1 + y).
template <typename T> struct ExpParts {
    T s, y;
};

// Low is added to x where x alone is not precise enough.
struct NoLow {};
template <typename T> MISH_INLINE T with_low(T r, NoLow) { return r; }
template <typename T> MISH_INLINE T with_low(T r, T low) { return r + low; }
MISH_INLINE bool given(NoLow) { return false; }
template <typename T> MISH_INLINE bool given(T) { return true; }

template <typename T, typename Low> MISH_INLINE ExpParts<T> exp_parts(T x, Low low) {
    typedef Real<T> R;
    T magic = R::MAGIC;
    T z = fused(x, T(R::LOG2E), magic);
    T k = z - magic;
    T r = fused(-k, T(R::LN2_HIGH), x);
    r = with_low(fused(-k, T(R::LN2_LOW), r), low);
    return ExpParts<T>{R::exp2_of_magic(z), fused(r * r, R::exp(r), r)};
}

// eˣ, scaled, as a sum of two.
template <typename T, typename Low> MISH_INLINE Twin<T> exp_twin(T x, Low low) {
    ExpParts<T> p = exp_parts(x, low);
    T high = fused(p.s, p.y, p.s);
    return twin(high, fused(p.s, p.y, p.s - high));
}

// T = tanh(softplus x), scaled, as a sum of two, for LOWEST ≤ x < SATURATED.
template <typename T> MISH_INLINE Twin<T> gate(T x) {
    T unscale = Real<T>::UNSCALE;
    ExpParts<T> p = exp_parts(x, NoLow());
    T e = fused(p.s, p.y, p.s);
    T half_square = e * (e * (T(0.5) * unscale));
    Twin<T> m = fast_two_sum(p.s, fused(p.s, p.y, half_square));
    T big_m = fused(m.high, unscale, T(1));
    T big_m_low = fused(m.high, unscale, T(1) - big_m);
    T r = recip(big_m);
    T t = m.high * r;
    T rest = fused(-t, big_m, m.high);
    rest = fused(-t, big_m_low, rest);
    rest = fused(m.low, r, rest);
    return twin(t, rest * r);
}

template <typename T> MISH_INLINE T mish(T x) {
    typedef Real<T> R;
    T clamped = at_least(x, T(R::LOWEST));
    Twin<T> t = gate(clamped);
    T product = fused(clamped, t.high, clamped * t.low);
    return if_gt(x, T(R::SATURATED), x, product * R::UNSCALE);
}

template <typename T> MISH_INLINE T tanh_softplus(T x) {
    typedef Real<T> R;
    Twin<T> t = gate(at_least(x, T(R::LOWEST)));
    return if_gt(x, T(R::SATURATED), T(1), sum(t) * R::UNSCALE);
}

template <typename T> MISH_INLINE T mish_d1(T x) {
    typedef Real<T> R;
    T one = T(1), scale = T(1) / R::UNSCALE;
    x = at_most(at_least(x, T(R::LOWEST)), T(R::SATURATED));
    ExpParts<T> parts = exp_parts(x, NoLow());
    T e = fused(parts.s, parts.y, parts.s);
    T e_low = fused(parts.s, parts.y, parts.s - e);
    T half_e = e * (T(0.5) * R::UNSCALE);
    T half_square = e * half_e;
    Twin<T> big_m = fast_two_sum(scale + parts.s, fused(parts.s, parts.y, half_square));
    // 1/M is r, or rough * (1 + rest) without the rounding of r.
    T rough = recip(big_m.high);
    T rest = fused(-rough, big_m.low, fused(-rough, big_m.high, one));
    T r = fused(rest, rough, rough);
    T x1 = one + x;
    T p = (x * e) * r;
    T tail = fused(e_low, fused(half_e, T(2), x1), fused(-half_square, p, half_square));
    T k = fused(e, x1, tail);
    T above = fused(fused(p, e + scale, -scale), r, one);
#if defined(__METAL_VERSION__)
    // Metal takes the last product for zero long before the result is.
    T big = rough * scale;
    T below = fused(k, big, (k * big) * rest) * R::UNSCALE;
#else
    T below = fused(k, rough, (k * rough) * rest);
#endif
    return if_gt(x, T(0.25), above, below);
}

// t = exp(−|x|), scaled.
template <typename T, typename Low> MISH_INLINE Twin<T> exp_of_minus_abs(T x, Low low) {
    return exp_twin(-at_most(magnitude(x), -T(Real<T>::LOWEST)), low);
}

// log1p(exp(−|x|)·exp(low)), scaled, as a sum of two, of which the second may be missing unless SOFTPLUS_LOW.
template <typename T, typename Low> MISH_INLINE Twin<T> log1p_of_exp(T x, Low low) {
    typedef Real<T> R;
    Twin<T> t = exp_of_minus_abs(x, low);
    T small = t.high * R::UNSCALE;
    T w = R::log1p(small - T(0.5));
    T most = T(0.875);
    if (!R::SOFTPLUS_LOW && !given(low)) return twin(fused(t.high, most, t.high * w), T(0));
    T slope = given(low) ? fused(small, T(-0.5), T(1)) : T(0.75);
    T rest = fused(t.high, w, t.low * slope);
    T high = fused(t.high, most, rest);
    return twin(high, fused(t.high, most, -high) + rest);
}

template <typename T> MISH_INLINE T softplus(T x) {
    typedef Real<T> R;
    Twin<T> log1p = log1p_of_exp(x, NoLow());
    T rest = at_least(x, T(0));
    if (R::SOFTPLUS_LOW) rest = fused(log1p.low, T(R::UNSCALE), rest);
    return fused(log1p.high, T(R::UNSCALE), rest);
}

template <typename T, typename Low> MISH_INLINE T sigmoid(T x, Low low) {
    typedef Real<T> R;
    T unscale = R::UNSCALE;
    x = at_most(at_least(x, T(R::LOWEST)), T(2) * R::SATURATED);
    Twin<T> e = exp_twin(x, low);
    T a = fused(e.high, unscale, T(1));
    T a_low = fused(e.high, unscale, T(1) - a);
    T r = recip(a);
    T t = e.high * r;
    T rest = fused(-t, a, e.high);
    rest = fused(-t, a_low, rest);
    rest = fused(e.low, r, rest);
    return fused(rest, r, t) * unscale;
}

template <typename T> MISH_INLINE T softplus_d1(T x) { return sigmoid(x, NoLow()); }

// times·σ′, where times·2^62 does not overflow.
template <typename T, typename Low> MISH_INLINE T sigmoid_d1(T x, Low low, T times) {
    T unscale = Real<T>::UNSCALE;
    Twin<T> scaled = exp_of_minus_abs(x, low);
    Twin<T> r = recip(add(scale(scaled, unscale), twin(T(1), T(0))));
    return sum(mul(mul(scaled, r), r)) * times * unscale;
}

template <typename T> MISH_INLINE T softplus_d2(T x) { return sigmoid_d1(x, NoLow(), T(1)); }

// What T′ and T″ are made of; the table is in `formula.rs`.
template <typename T> struct Decay {
    Twin<T> t, lead, big_m, r;
};

template <typename T> MISH_INLINE Decay<T> decay(T x) {
    T zero = T(0), one = T(1);
    Twin<T> scaled = exp_of_minus_abs(x, NoLow());
    Twin<T> t = scale(scaled, T(Real<T>::UNSCALE));
    Twin<T> factor = twin(if_gt(zero, x, one, t.high), if_gt(zero, x, zero, t.low));
    Twin<T> square = scale(mul(t, t), by_sign(x, T(0.5), one));
    Twin<T> big_m = add(add(twin(by_sign(x, one, T(0.5)), zero), t), square);
    return Decay<T>{t, mul(scaled, factor), big_m, recip(big_m)};
}

// A coefficient of the polynomial of T″.
template <typename T> MISH_INLINE Twin<T> either(T x, T negative, T positive) {
    return twin(by_sign(x, negative, positive), T(0));
}

template <typename T> MISH_INLINE Twin<T> second(T x, Twin<T> t) {
    Twin<T> p = add(mul(either(x, T(-1), T(1)), t), either(x, T(-1.5), T(1)));
    p = add(mul(p, t), either(x, T(1), T(-1.5)));
    return add(mul(p, t), either(x, T(1), T(-1)));
}

// lead·rest, brought back from its scale. A sum of two loses the sign of a zero.
template <typename T> MISH_INLINE T finish(Twin<T> lead, Twin<T> rest) {
    T value = sum(mul(lead, rest)) * Real<T>::UNSCALE;
    return if_gt(magnitude(value), T(0), value, rest.high * T(0));
}

template <typename T> MISH_INLINE T tanh_softplus_d1(T x) {
    Decay<T> d = decay(x);
    return finish(d.lead, mul(mul(add(d.t, twin(T(1), T(0))), d.r), d.r));
}

template <typename T> MISH_INLINE T tanh_softplus_d2_elsewhere(T x) {
    Decay<T> d = decay(x);
    return finish(d.lead, mul(mul(mul(second(x, d.t), d.r), d.r), d.r));
}

template <typename T> MISH_INLINE T mish_d2_elsewhere(T x) {
    typedef Real<T> R;
    x = at_most(at_least(x, T(R::LOWEST)), -T(R::LOWEST));
    Decay<T> d = decay(x);
    Twin<T> first = scale(mul(add(d.t, twin(T(1), T(0))), d.big_m), T(2));
    Twin<T> k = add(mul(second(x, d.t), twin(x, T(0))), first);
    return finish(d.lead, mul(mul(mul(k, d.r), d.r), d.r));
}

// For float, quick.h has something to add.
template <typename T> MISH_INLINE T tanh_softplus_d2(T x) { return tanh_softplus_d2_elsewhere(x); }
template <typename T> MISH_INLINE T mish_d2(T x) { return mish_d2_elsewhere(x); }

// Softplus with beta + beta_low = β; beta_low is what the type cannot hold of it.
template <typename T> struct Parameters {
    T beta, beta_low, threshold;
};

template <int ORDER, typename T> MISH_INLINE T softplus_parametric(T x, Parameters<T> p) {
    typedef Real<T> R;
    T zero = T(0);
    Twin<T> u = two_product(x, p.beta);
    T low = if_gt(-T(R::LOWEST), magnitude(u.high), fused(x, p.beta_low, u.low), zero);
    T away = if_gt(zero, u.high, low, -low);
    T smooth, above;
    if (ORDER == 0) {
        Twin<T> log1p = log1p_of_exp(u.high, away);
        T r = recip_full(p.beta);
        T quotient = log1p.high * r;
        T rest = fused(-quotient, p.beta, log1p.high);
        rest = fused(-quotient, p.beta_low, rest) + log1p.low;
        T linear = if_gt(u.high, zero, x, zero);
        smooth = fused(quotient, T(R::UNSCALE), fused(rest * r, T(R::UNSCALE), linear));
        above = x;
    } else if (ORDER == 1) {
        smooth = sigmoid(u.high, low);
        above = T(1);
    } else {
        // σ′ alone may be subnormal, which Metal takes for zero. β is 2^60 at most for float, but anything for double.
        const bool early = sizeof(T) == sizeof(float);
        smooth = sigmoid_d1(u.high, away, early ? p.beta : T(1)) * (early ? T(1) : p.beta);
        above = zero;
    }
    // PyTorch's test: a single product, in float unless the tensor is double.
    return if_gt(u.high, p.threshold, above, smooth);
}

}  // namespace candle_mish
