// The maths of `formula.rs` for CUDA, Metal and the host: the same functions under the same names, in the same order.
// `formula.rs` explains them; here stand only the differences.

#pragma once
#if !defined(__METAL_VERSION__)
#include "real.h"
#endif

namespace candle_mish {

// 2^k, scaled as magic has it, and y, with eˣ = 2^k(1 + y).
template <typename T> struct ExpParts {
    T s, y;
};

// Low is added to x where x alone is not precise enough.
struct NoLow {};
template <typename T> MISH_INLINE T with_low(T r, NoLow) { return r; }
template <typename T> MISH_INLINE T with_low(T r, T low) { return r + low; }
MISH_INLINE bool given(NoLow) { return false; }
template <typename T> MISH_INLINE bool given(T) { return true; }

template <typename T, typename Low> MISH_INLINE ExpParts<T> exp_parts(T x, Low low, T magic) {
    typedef Real<T> R;
    T z = fused(x, T(R::LOG2E), magic);
    T k = z - magic;
    T r = fused(-k, T(R::LN2_HIGH), x);
    r = with_low(fused(-k, T(R::LN2_LOW), r), low);
    return ExpParts<T>{R::exp2_of_magic(z), fused(r * r, R::exp(r), r)};
}

// eˣ, scaled, as an exact sum of two, not normalised.
template <typename T, typename Low> MISH_INLINE Twin<T> exp_twin(T x, Low low) {
    ExpParts<T> p = exp_parts(x, low, T(Real<T>::MAGIC));
    return twin(p.s, p.s * p.y);
}

// The same, scaled down: times 2^-SCALE.
template <typename T, typename Low> MISH_INLINE Twin<T> exp_twin_down(T x, Low low) {
    ExpParts<T> p = exp_parts(x, low, T(Real<T>::MAGIC_DOWN));
    return twin(p.s, p.s * p.y);
}

template <typename T> MISH_INLINE T to_saturation(T x) {
    return at_most(at_least(x, T(Real<T>::LOWEST)), T(Real<T>::SATURATED));
}
template <typename T> MISH_INLINE T negated(T x) {
    return -at_most(at_least(x, T(Real<T>::LOWEST)), T(2) * Real<T>::SATURATED);
}
template <typename T> MISH_INLINE T minus_abs(T x) { return -at_most(magnitude(x), -T(Real<T>::LOWEST)); }

// a/b: where the reciprocal is correctly rounded so is this; a division takes more instructions on GPUs.
template <typename T> MISH_INLINE T quotient(T a, T b) {
    T r = recip_full(b);
    T q = a * r;
    return fused(fused(-q, b, a), r, q);
}

// A reciprocal or a quotient, and what else is made with it.
template <typename T> struct Reciprocal {
    T first, second;
};

// 1 + b, b scaled, as a sum of two, of which the first is known.
template <typename T> MISH_INLINE Twin<T> one_plus(T b, T high) {
    return twin(high, fused(b, T(Real<T>::UNSCALE), T(1) - high));
}

// What a/b leaves over when q = a.high·r is taken, r ≈ 1/b.
template <typename T> MISH_INLINE T residual(Twin<T> a, Twin<T> b, T q, T r) {
    return fused(a.low, r, fused(-q, b.low, fused(-q, b.high, a.high)));
}

template <typename T> MISH_INLINE Reciprocal<T> gate_reciprocal(Twin<T> e) {
    typedef Real<T> R;
    T total = sum(e);
    T half_e = total * (T(0.5) * R::UNSCALE);
    T b = fused(total, half_e, e.low);
    T big_m = fused(e.high + b, T(R::UNSCALE), T(1));
    return Reciprocal<T>{b, recip(big_m)};
}

// T = t + rest·r, scaled.
template <typename T> struct Gate {
    T t, rest, r;
};

template <typename T> MISH_INLINE Gate<T> gate(Twin<T> e, Reciprocal<T> reciprocal) {
    T b = reciprocal.first, r = reciprocal.second;
    Twin<T> m = fast_two_sum(e.high, b);
    T big_m = fused(m.high, T(Real<T>::UNSCALE), T(1));
    T t = m.high * r;
    return Gate<T>{t, residual(m, one_plus(m.high, big_m), t, r), r};
}

template <typename T> MISH_INLINE T mish(T x) {
    typedef Real<T> R;
    Twin<T> e = exp_twin(to_saturation(x), NoLow());
    Gate<T> g = gate(e, gate_reciprocal(e));
    T clamped = at_least(x, T(R::LOWEST));
    T product = fused(clamped, g.t, g.rest * (clamped * g.r));
    return if_gt(x, T(R::SATURATED), x, product * R::UNSCALE);
}

template <typename T> MISH_INLINE T tanh_softplus(T x) {
    typedef Real<T> R;
    Twin<T> e = exp_twin(to_saturation(x), NoLow());
    Gate<T> g = gate(e, gate_reciprocal(e));
    return if_gt(x, T(R::SATURATED), T(1), fused(g.rest, g.r, g.t) * R::UNSCALE);
}

// 1/M, scaled, roughly, and what it is short of.
template <typename T> MISH_INLINE Reciprocal<T> mish_d1_reciprocal(Twin<T> e) {
    typedef Real<T> R;
    T total = sum(e);
    T half_square = total * (total * (T(0.5) * R::UNSCALE));
    Twin<T> big_m = fast_two_sum(T(1) / R::UNSCALE + e.high, e.low + half_square);
    T r = recip(big_m.high);
    return Reciprocal<T>{r, r * fused(-r, big_m.low, fused(-r, big_m.high, T(1)))};
}

template <typename T> MISH_INLINE T mish_d1(T x) {
    typedef Real<T> R;
    T one = T(1), scale = T(1) / R::UNSCALE;
    x = to_saturation(x);
    Twin<T> e = exp_twin(x, NoLow());
    Reciprocal<T> reciprocal = mish_d1_reciprocal(e);
    T rough = reciprocal.first, correction = reciprocal.second;
    e = fast_two_sum(e.high, e.low);
    T half_e = e.high * (T(0.5) * R::UNSCALE);
    T half_square = e.high * half_e;
    T r = rough + correction;
    T x1 = one + x;
    T p = (x * e.high) * r;
    T rest = fused(-half_square, p, fused(e.low, fused(half_e, T(1.5), x1), half_square));
    T k = fused(e.high, x1, rest);
    T above = fused(fused(p, e.high + scale, -scale), r, one);
#if defined(__METAL_VERSION__)
    // Metal takes the last product for zero long before the result is.
    T below = fused(k, rough * scale, k * (correction * scale)) * R::UNSCALE;
#else
    T below = fused(k, rough, k * correction);
#endif
    return by_sign(x, below, above);
}

// t to two bits less than it has, not scaled, and u = t/(2 + t) of that.
template <typename T> MISH_INLINE Reciprocal<T> log1p_quotient(Twin<T> t) {
    T shorter = shortened(sum(t)) * Real<T>::UNSCALE;
    return Reciprocal<T>{shorter, quotient(shorter, shorter + T(2))};
}

// log1p(t) = t − u·inner and t = shorter + low, not scaled.
template <typename T> struct Log1p {
    T low, inner;
};

template <typename T> MISH_INLINE Log1p<T> log1p_parts(Twin<T> t, Reciprocal<T> quotient) {
    typedef Real<T> R;
    T shorter = quotient.first, u = quotient.second;
    T low = fused(t.low, T(R::UNSCALE), fused(t.high, T(R::UNSCALE), -shorter));
    T w = u * u;
    return Log1p<T>{low, fused(-w, R::log1p(w), fused(low, T(1.6), shorter))};
}

template <typename T> MISH_INLINE T softplus(T x) {
    Twin<T> t = exp_twin(minus_abs(x), NoLow());
    Reciprocal<T> quotient = log1p_quotient(t);
    Log1p<T> log1p = log1p_parts(t, quotient);
    T value = quotient.first + fused(-quotient.second, log1p.inner, log1p.low + at_least(x, T(0)));
#if defined(__METAL_VERSION__)
    // Metal takes the low part for zero long before the result is; down there log1p(t) = t.
    value = if_gt(x, T(-40), value, sum(t) * Real<T>::UNSCALE);
#endif
    return value;
}

// r, scaled, and rest, with 1/(1 + e) = r(1 + rest).
template <typename T> MISH_INLINE Reciprocal<T> sigmoid_reciprocal(Twin<T> e) {
    T one = Real<T>::UNSCALE;
    e = fast_two_sum(e.high, e.low);
    T a = one + e.high;
    T low = ((one - a) + e.high) + e.low;
    T r = recip(a);
    return Reciprocal<T>{r, fused(-r, low, fused(-r, a, T(1)))};
}

template <typename T> MISH_INLINE T sigmoid(Twin<T> e) {
    Reciprocal<T> reciprocal = sigmoid_reciprocal(e);
    T r = reciprocal.first;
    return fused(r, reciprocal.second, r) * Real<T>::UNSCALE;
}

template <typename T> MISH_INLINE T softplus_d1(T x) { return sigmoid(exp_twin_down(negated(x), NoLow())); }

// times·σ′, where times·2^62 does not overflow.
template <typename T> MISH_INLINE T sigmoid_d1(Twin<T> t, T times) {
    T unscale = Real<T>::UNSCALE;
    t = fast_two_sum(t.high, t.low);
    Twin<T> r = recip(add(scale(t, unscale), twin(T(1), T(0))));
    return sum(mul(mul(t, r), r)) * times * unscale;
}

template <typename T> MISH_INLINE T softplus_d2(T x) { return sigmoid_d1(exp_twin(minus_abs(x), NoLow()), T(1)); }

// What T′ and T″ are made of; the table is in `formula.rs`.
template <typename T> struct Decay {
    Twin<T> t, lead, big_m, r;
};

// M for x < 0 or x ≥ 0.
template <typename T> MISH_INLINE Twin<T> decay_m(T x, Twin<T> t) {
    Twin<T> square = scale(mul(t, t), by_sign(x, T(0.5), T(1)));
    return add(add(twin(by_sign(x, T(1), T(0.5)), T(0)), t), square);
}

template <typename T> MISH_INLINE Decay<T> decay(T x) {
    T zero = T(0), one = T(1);
    Twin<T> scaled = exp_twin(minus_abs(x), NoLow());
    scaled = fast_two_sum(scaled.high, scaled.low);
    Twin<T> t = scale(scaled, T(Real<T>::UNSCALE));
    Twin<T> factor = twin(if_gt(zero, x, one, t.high), if_gt(zero, x, zero, t.low));
    Twin<T> big_m = decay_m(x, t);
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

// r and rest, with 1/M = r(1 + rest).
template <typename T> MISH_INLINE Reciprocal<T> tanh_softplus_d1_reciprocal(T x, Twin<T> t) {
    T small = sum(t) * Real<T>::UNSCALE;
    Twin<T> head = fast_two_sum(by_sign(x, T(1), T(0.5)), small);
    Twin<T> big_m = fast_two_sum(head.high, small * (small * by_sign(x, T(0.5), T(1))));
    T low = big_m.low + head.low;
    T r = recip(big_m.high);
    return Reciprocal<T>{r, fused(-r, low, fused(-r, big_m.high, T(1)))};
}

template <typename T> MISH_INLINE T tanh_softplus_d1(T x) {
    typedef Real<T> R;
    Twin<T> t = exp_twin(minus_abs(x), NoLow());
    Reciprocal<T> reciprocal = tanh_softplus_d1_reciprocal(x, t);
    T r = reciprocal.first, rest = reciprocal.second;
    t = fast_two_sum(t.high, t.low);
    T small = t.high * R::UNSCALE;
    Twin<T> a = fast_two_sum(T(1), small);
    T factor = if_gt(T(0), x, T(1), small);
    T lead = t.high * factor;
    T lead_low = fused(t.low * factor, by_sign(x, T(1), T(2)), fused(t.high, factor, -lead));
    T p = lead * r;
    T p_low = fused(lead_low, r, fused(lead, r, -p));
    T q = a.high * r;
    T q_low = fused(a.low, r, fused(a.high, r, -q));
    q_low = fused(q + q, rest, q_low);
    return fused(p, q, fused(p, q_low, p_low * q)) * R::UNSCALE;
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

// What PyTorch has in its place beyond the threshold: x, 1 or 0.
template <int ORDER, typename T> MISH_INLINE T above_threshold(T x) { return ORDER == 0 ? x : T(ORDER == 1); }

template <int ORDER, typename T> MISH_INLINE T softplus_parametric(T x, Parameters<T> p) {
    typedef Real<T> R;
    T zero = T(0);
    Twin<T> u = two_product(x, p.beta);
    T low = if_gt(-T(R::LOWEST), magnitude(u.high), fused(x, p.beta_low, u.low), zero);
    T away = if_gt(zero, u.high, low, -low);
    T smooth;
    if (ORDER == 0) {
        Twin<T> e = exp_twin(minus_abs(u.high), away);
        Reciprocal<T> reciprocal = log1p_quotient(e);
        T scaled_u = reciprocal.second * (T(1) / R::UNSCALE);
        Twin<T> t = fast_two_sum(e.high, e.low);
        Twin<T> log1p = fast_two_sum(t.high, -scaled_u * log1p_parts(e, reciprocal).inner);
        T r = recip_full(p.beta);
        T quotient = log1p.high * r;
        T rest = fused(-quotient, p.beta, log1p.high);
        rest = fused(-quotient, p.beta_low, rest) + (log1p.low + t.low);
        T linear = if_gt(u.high, zero, x, zero);
        smooth = fused(quotient, T(R::UNSCALE), fused(rest * r, T(R::UNSCALE), linear));
    } else if (ORDER == 1) {
        smooth = sigmoid(exp_twin_down(negated(u.high), -low));
    } else {
        // σ′ alone may be subnormal, which Metal takes for zero. β is 2^60 at most.
        const bool early = sizeof(T) == sizeof(float);
        smooth = sigmoid_d1(exp_twin(minus_abs(u.high), away), early ? p.beta : T(1)) * (early ? T(1) : p.beta);
    }
    // PyTorch's test: a single product, in float unless the tensor is double.
    return if_gt(u.high, p.threshold, above_threshold<ORDER>(x), smooth);
}

}  // namespace candle_mish
