// What float kernels do differently from `formula.rs`: second derivatives around their roots, and forms for 16-bit
// results.
//
// The latter are off by up to 0.0013 ulp of f16 before they are rounded, and take 22 to 35 instructions. All 65,536 inputs are
// correctly rounded all the same, whatever reciprocals are off by, as their constants are chosen for that.

#pragma once
#if !defined(__METAL_VERSION__)
#include "formula.h"
#endif

namespace candle_mish {

// Around a root, at high + low, float's exponential is not precise enough: a polynomial in the distance d,
// f″ = d·(c0 + c1·d + …), for |d| < reach.
template <typename... C>
MISH_INLINE float near_root(float x, float high, float low, float reach, float otherwise, C... c) {
    float d = (x - high) - low;
    return if_gt(reach, magnitude(d), polynomial(d, float(c)...) * d, otherwise);
}

// Relative errors of the polynomials: 3.3e-9, 1.4e-9, 2.5e-9.
MISH_INLINE float tanh_softplus_d2_within(float x, float reach) {
    return near_root(x, -0.11740098148584366f, 1.8571042481596578e-09f, reach, tanh_softplus_d2_elsewhere(x),
                     -0.2678970082959935f, -0.056616764495802205f, 0.13755286921819482f, 0.052944164394552753f,
                     -0.038250988755920014f, -0.024633950645231363f);
}
// Up to here the polynomial is within 3 ulp, from here on the formula is, which is better further out.
template <> MISH_INLINE float tanh_softplus_d2(float x) { return tanh_softplus_d2_within(x, 0.0625f); }
template <> MISH_INLINE float mish_d2(float x) {
    float y = near_root(x, -2.2563765048980713f, 1.0853727872017771e-07f, 0.0625f, mish_d2_elsewhere(x),
                        0.1087544107316427f, 0.09898194988089547f, 0.03736189938962093f, 0.0033419409439863013f,
                        -0.003864364214007778f);
    return near_root(x, 1.490571141242981f, 3.82424474310028e-08f, 0.0625f, y, -0.23069451159746054f,
                     0.2812728204596849f, -0.0797073001548756f, -0.06669522092364427f, 0.059932551626126464f);
}

// The element types.
struct F16;
struct BF16;

namespace quick {

// The constants of each function: 2^f for |f| ≤ 1/2 in powers of f, log1p(t)/t in powers of t, mish′ in powers of the distance to
// its root, and factors that could as well be ½, 1 or 2. docs/search.cpp finds them, such that all 65,536 inputs of either type
// come out right.
struct MishConstants {
    MISH_CONSTANT float C0 = 1.00000036f;
    MISH_CONSTANT float C1 = 0.693148732f;
    MISH_CONSTANT float C2 = 0.240221828f;
    MISH_CONSTANT float C3 = 0.0555001609f;
    MISH_CONSTANT float C4 = 0.00967829209f;
    MISH_CONSTANT float C5 = 0.00132612733f;
    MISH_CONSTANT float A = 2.00000072f;
    MISH_CONSTANT float B = 2.00000167f;
};
struct TanhSoftplusConstants {
    MISH_CONSTANT float C0 = 0.999999702f;
    MISH_CONSTANT float C1 = 0.693146825f;
    MISH_CONSTANT float C2 = 0.240223542f;
    MISH_CONSTANT float C3 = 0.0555083863f;
    MISH_CONSTANT float C4 = 0.00967126433f;
    MISH_CONSTANT float C5 = 0.00132407807f;
    MISH_CONSTANT float A = 1.99999869f;
    MISH_CONSTANT float B = 1.99999845f;
};
struct SoftplusConstants {
    MISH_CONSTANT float C0 = 1.0f;
    MISH_CONSTANT float C1 = 0.693145931f;
    MISH_CONSTANT float C2 = 0.240221083f;
    MISH_CONSTANT float C3 = 0.0555048399f;
    MISH_CONSTANT float C4 = 0.00967586134f;
    MISH_CONSTANT float C5 = 0.00135446829f;
    MISH_CONSTANT float L0 = 0.999999821f;
    MISH_CONSTANT float L1 = -0.499974072f;
    MISH_CONSTANT float L2 = 0.33275488f;
    MISH_CONSTANT float L3 = -0.244952589f;
    MISH_CONSTANT float L4 = 0.177452415f;
    MISH_CONSTANT float L5 = -0.10768377f;
    MISH_CONSTANT float L6 = 0.0440800898f;
    MISH_CONSTANT float L7 = -0.00852964818f;
};
struct MishD1Constants {
    MISH_CONSTANT float C0 = 1.00000012f;
    MISH_CONSTANT float C1 = 0.693147182f;
    MISH_CONSTANT float C2 = 0.240221933f;
    MISH_CONSTANT float C3 = 0.0555076674f;
    MISH_CONSTANT float C4 = 0.00967738871f;
    MISH_CONSTANT float C5 = 0.00132334663f;
    MISH_CONSTANT float A = 0.499999911f;
    MISH_CONSTANT float B = 1.00000024f;
    MISH_CONSTANT float R0 = 8.12516554e-10f;
    MISH_CONSTANT float R1 = 0.266947985f;
    MISH_CONSTANT float R2 = 0.204731107f;
    MISH_CONSTANT float R3 = 0.0418452062f;
    MISH_CONSTANT float R4 = -0.0202758536f;
};
struct SoftplusD1Constants {
    MISH_CONSTANT float C0 = 1.00000012f;
    MISH_CONSTANT float C1 = 0.693147182f;
    MISH_CONSTANT float C2 = 0.24022077f;
    MISH_CONSTANT float C3 = 0.0555057153f;
    MISH_CONSTANT float C4 = 0.00967532862f;
    MISH_CONSTANT float C5 = 0.00133379118f;
    MISH_CONSTANT float A = 1.0f;
    MISH_CONSTANT float B = 1.00000048f;
};
struct SoftplusD2Constants {
    MISH_CONSTANT float C0 = 0.999999821f;
    MISH_CONSTANT float C1 = 0.693146944f;
    MISH_CONSTANT float C2 = 0.240221575f;
    MISH_CONSTANT float C3 = 0.0555081069f;
    MISH_CONSTANT float C4 = 0.00967537798f;
    MISH_CONSTANT float C5 = 0.00132664375f;
    MISH_CONSTANT float A = 0.99999994f;
};
struct TanhSoftplusD1Constants {
    MISH_CONSTANT float C0 = 0.999999881f;
    MISH_CONSTANT float C1 = 0.693146884f;
    MISH_CONSTANT float C2 = 0.24022159f;
    MISH_CONSTANT float C3 = 0.0555057935f;
    MISH_CONSTANT float C4 = 0.00967367925f;
    MISH_CONSTANT float C5 = 0.00133403414f;
    MISH_CONSTANT float A = 1.0f;
    MISH_CONSTANT float B = 0.99999994f;
};

// 2^64, which exponentials are scaled by.
MISH_CONSTANT float ONE = 1.0f / Real<float>::UNSCALE;

// y and z with eˣ = y·2^k, and k + `bias` in the low bits of z. In powers of two, as the product with log₂e, less k, is rounded
// once: log₂e itself is off by so little that eˣ is by 2^-26·|x|.
template <typename K> MISH_INLINE ExpParts<float> exp_parts(float x, float bias) {
    typedef Real<float> R;
    float magic = 12582912.0f + bias;
    float z = fused(x, R::LOG2E, magic);
    float f = fused(x, R::LOG2E, -(z - magic));
    float y = fused(K::C5, f, K::C4);
    y = fused(y, f, K::C3);
    y = fused(y, f, K::C2);
    y = fused(y, f, K::C1);
    y = fused(y, f, K::C0);
    return ExpParts<float>{z, y};
}

// eˣ, scaled.
template <typename K> MISH_INLINE float exp(float x) {
    ExpParts<float> p = quick::exp_parts<K>(x, 64.0f + 127.0f);
    return p.y * Real<float>::exp2_of_magic(p.s);
}

// eˣ, times 2^scale, in one instruction less, for x that is no NaN: adding to the exponent makes anything of a NaN.
template <typename K> MISH_INLINE float exp_of_number(float x, float scale = 64.0f) {
    ExpParts<float> p = quick::exp_parts<K>(x, scale);
    return float_of(bits_of(p.y) + (bits_of(p.s) << 23));
}

// t = exp(−|x|), scaled.
template <typename K> MISH_INLINE float exp_of_minus_abs(float x) {
    return exp<K>(-at_most(magnitude(x), -Real<float>::LOWEST));
}

// A Newton step from r ≈ 1/a.
MISH_INLINE float refined(float r, float a) { return fused(fused(-r, a, 1.0f), r, r); }

// T = 2m/(2 + 2m), both scaled.
struct Gate {
    float twice_m, b;
};

template <typename K> MISH_INLINE Gate gate(float e) {
    float twice_m = e * fused(e, Real<float>::UNSCALE, K::A);
    return Gate{twice_m, twice_m + K::B * ONE};
}

// A NaN comes back with the last product.
template <typename E, typename K = MishConstants> MISH_INLINE float mish(float x) {
    x = at_least(x, Real<float>::LOWEST);
    Gate t = gate<K>(exp_of_number<K>(at_most(x, Real<float>::SATURATED)));
#if defined(__METAL_VERSION__)
    // Metal takes a subnormal T for zero, though x·T may not be one: T is scaled, but where x is large.
    float scaled = quotient(t.twice_m, t.b * Real<float>::UNSCALE);
    return x * (scaled * by_sign(x, 1.0f, Real<float>::UNSCALE)) * by_sign(x, Real<float>::UNSCALE, 1.0f);
#else
    return x * quotient(t.twice_m, t.b);
#endif
}

template <typename E, typename K = TanhSoftplusConstants> MISH_INLINE float tanh_softplus(float x) {
    Gate t = gate<K>(exp<K>(to_saturation(x)));
    return quotient(t.twice_m, t.b);
}

// max(x, 0), NaN if x is. In one instruction where there is one: at_least would keep −0, for which there is none.
MISH_INLINE float positive_part(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    float r;
    asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(r) : "f"(x));
    return r;
#else
    return at_least(x, 0.0f);
#endif
}

// What t is scaled by in softplus: results in f16 end at 2^-25, those in bf16 at 2^-134.
template <typename E> struct SoftplusScale;
template <> struct SoftplusScale<F16> {
    MISH_CONSTANT float SCALE = 0.0f;
    MISH_CONSTANT float UNSCALE = 1.0f;
    MISH_CONSTANT float LOWEST = -30.0f;
};
template <> struct SoftplusScale<BF16> {
    MISH_CONSTANT float SCALE = 64.0f;
    MISH_CONSTANT float UNSCALE = Real<float>::UNSCALE;
    MISH_CONSTANT float LOWEST = Real<float>::LOWEST;
};

template <typename E, typename K = SoftplusConstants> MISH_INLINE float softplus(float x) {
    typedef SoftplusScale<E> S;
    float scaled = exp_of_number<K>(-at_most(magnitude(x), -S::LOWEST), S::SCALE);
    float t = scaled * S::UNSCALE;
    // log1p(t)/t
    float w = fused(K::L7, t, K::L6);
    w = fused(w, t, K::L5);
    w = fused(w, t, K::L4);
    w = fused(w, t, K::L3);
    w = fused(w, t, K::L2);
    w = fused(w, t, K::L1);
    w = fused(w, t, K::L0);
    // A NaN comes back with max(x, 0).
    float above = positive_part(x);
    return S::SCALE == 0.0f ? fused(t, w, above) : fused(scaled * w, S::UNSCALE, above);
}

// Next to its root: one ulp of float is a sixteenth of f16's there; bf16 has no number that close to it. x less the root's
// first part is exact.
template <typename E> struct MishD1Root {
    template <typename K> static MISH_INLINE float next_to(float, float elsewhere) { return elsewhere; }
};
template <> struct MishD1Root<F16> {
    template <typename K> static MISH_INLINE float next_to(float x, float elsewhere) {
        float d = x + 1.1924312114715576f;
        float y = fused(K::R4, d, K::R3);
        y = fused(y, d, K::R2);
        y = fused(y, d, K::R1);
        y = fused(y, d, K::R0);
        return if_gt(0.0625f, magnitude(d), y, elsewhere);
    }
};

// (e/M)·(1 + x + (e/2)(1 − x·e/M)) with M = 1 + e + e²/2.
template <typename E, typename K = MishD1Constants> MISH_INLINE float mish_d1(float x) {
    float clamped = to_saturation(x);
    float e = exp_of_number<K>(clamped);
    float half_e = e * (K::A * Real<float>::UNSCALE);
    float big_m = fused(e, 1.0f + half_e, K::B * ONE);
    float r = refined(recip_full(big_m), big_m);
    // A NaN comes back with x.
    float y = fused(half_e, fused(-(clamped * e), r, 1.0f), 1.0f + clamped);
    return MishD1Root<E>::template next_to<K>(x, (e * y) * r);
}

template <typename E, typename K = SoftplusD1Constants> MISH_INLINE float softplus_d1(float x) {
    float e = exp<K>(at_most(at_least(x, Real<float>::LOWEST), 2.0f * Real<float>::SATURATED));
    return quotient(e, e + by_sign(x, K::A * ONE, K::B * ONE));
}

template <typename E, typename K = SoftplusD2Constants> MISH_INLINE float softplus_d2(float x) {
    float t = exp_of_minus_abs<K>(x);
    float a = t + K::A * ONE;
    float r = refined(recip_full(a), a);
    return (t * r) * (r * ONE);
}

template <typename E, typename K = TanhSoftplusD1Constants> MISH_INLINE float tanh_softplus_d1(float x) {
    float scaled = exp_of_minus_abs<K>(x);
    float t = scaled * Real<float>::UNSCALE;
    float big_m = fused(t * by_sign(x, 0.5f, 1.0f), t, by_sign(x, K::A, 0.5f * K::B) + t);
    float r = refined(recip_full(big_m), big_m);
    return ((scaled * by_sign(x, 1.0f, t)) * r) * ((1.0f + t) * r) * Real<float>::UNSCALE;
}

// With a longer reach all results are the nearest ones.
template <typename E> MISH_INLINE float tanh_softplus_d2(float x) { return tanh_softplus_d2_within(x, 0.125f); }
template <typename E> MISH_INLINE float mish_d2(float x) { return candle_mish::mish_d2(x); }

}  // namespace quick
}  // namespace candle_mish
