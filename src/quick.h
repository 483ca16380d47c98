// What float kernels do differently from `formula.rs`: second derivatives around their roots, and forms for 16-bit
// results.
//
// The latter are off by 1 to 2 ulp of float before they are rounded, 2^-12 ulp of f16, and take 25 to 40 instructions.
// Of all 65,536 inputs, none to seven are misrounded, by less than 0.0003 ulp; tests count them.

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
template <> MISH_INLINE float tanh_softplus_d2(float x) {
    return near_root(x, -0.11740098148584366f, 1.8571042481596578e-09f, 0.125f, tanh_softplus_d2_elsewhere(x),
                     -0.2678970082959935f, -0.056616764495802205f, 0.13755286921819482f, 0.052944164394552753f,
                     -0.038250988755920014f, -0.024633950645231363f);
}
template <> MISH_INLINE float mish_d2(float x) {
    float y = near_root(x, -2.2563765048980713f, 1.0853727872017771e-07f, 0.0625f, mish_d2_elsewhere(x),
                        0.1087544107316427f, 0.09898194988089547f, 0.03736189938962093f, 0.0033419409439863013f,
                        -0.003864364214007778f);
    return near_root(x, 1.490571141242981f, 3.82424474310028e-08f, 0.0625f, y, -0.23069451159746054f,
                     0.2812728204596849f, -0.0797073001548756f, -0.06669522092364427f, 0.059932551626126464f);
}

// at_least and at_most in one instruction where there is one.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
MISH_INLINE float no_less(float a, float low) {
    float r;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(low));
    return r;
}
MISH_INLINE float no_more(float a, float high) {
    float r;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(high));
    return r;
}
#else
MISH_INLINE float no_less(float a, float low) { return at_least(a, low); }
MISH_INLINE float no_more(float a, float high) { return at_most(a, high); }
#endif

// How far down the results of a forward pass reach.
struct F16;
struct BF16;
template <typename E> struct Narrow;
// f16 ends at 2^-25: nothing has to be scaled.
template <> struct Narrow<F16> {
    MISH_CONSTANT float SCALE = 0.0f;
    MISH_CONSTANT float UNSCALE = 1.0f;
    MISH_CONSTANT float LOWEST = -30.0f;
};
// bf16 ends at 2^-134, and a derivative times g anywhere.
template <> struct Narrow<BF16> {
    MISH_CONSTANT float SCALE = 64.0f;
    MISH_CONSTANT float UNSCALE = Real<float>::UNSCALE;
    MISH_CONSTANT float LOWEST = Real<float>::LOWEST;
};
typedef Narrow<BF16> Derivative;

namespace quick {

// y and z with eˣ = y·2^k, and k + `bias` in the low bits of z; to about 2^-24.
MISH_INLINE ExpParts<float> exp_parts(float x, float bias) {
    typedef Real<float> R;
    float magic = 12582912.0f + bias;
    float z = fused(x, R::LOG2E, magic);
    float k = z - magic;
    float r = fused(-k, R::LN2_HIGH, x);
    r = fused(-k, R::LN2_LOW, r);
    float y = fused(0.0013926213466332443f, r, 0.008363202971575855f);
    y = fused(y, r, 0.04166655443768594f);
    y = fused(y, r, 0.16666576845993977f);
    y = fused(y, r, 0.5f);
    y = fused(y, r, 1.0f);
    y = fused(y, r, 1.0f);
    return ExpParts<float>{z, y};
}

// eˣ, scaled.
template <typename N> MISH_INLINE float exp(float x) {
    ExpParts<float> p = quick::exp_parts(x, N::SCALE + 127.0f);
    return p.y * Real<float>::exp2_of_magic(p.s);
}

// eˣ, scaled, in one instruction less, for x that is no NaN: adding to the exponent makes anything of a NaN.
template <typename N> MISH_INLINE float exp_of_number(float x) {
    ExpParts<float> p = quick::exp_parts(x, N::SCALE);
    return float_of(bits_of(p.y) + (bits_of(p.s) << 23));
}

// t = exp(−|x|), scaled.
MISH_INLINE float exp_of_minus_abs(float x) { return exp<Derivative>(-no_more(magnitude(x), -Derivative::LOWEST)); }

// a/b, with r = 1/b to a few ulp; scaled as a is.
MISH_INLINE float quotient(float a, float b, float r) {
    float q = a * r;
    return fused(fused(-q, b, a), r, q);
}

// T = 2m/(2 + 2m).
template <typename N> MISH_INLINE float gate(float e) {
    float twice_m = fused(e, e * N::UNSCALE, e + e);
    float b = fused(twice_m, N::UNSCALE, 2.0f);
    return quotient(twice_m, b, recip_full(b)) * N::UNSCALE;
}

// A NaN comes back with the last product.
template <typename E> MISH_INLINE float mish(float x) {
    typedef Narrow<E> N;
    x = no_less(x, N::LOWEST);
    return x * gate<N>(exp_of_number<N>(no_more(x, Real<float>::SATURATED)));
}

template <typename E> MISH_INLINE float tanh_softplus(float x) {
    typedef Narrow<E> N;
    x = no_more(no_less(x, N::LOWEST), Real<float>::SATURATED);
    return gate<N>(exp<N>(x));
}

template <typename E> MISH_INLINE float softplus(float x) {
    typedef Narrow<E> N;
    // A NaN comes back with max(x, 0).
    float t = exp_of_number<N>(-no_more(magnitude(x), -N::LOWEST));
    float u = fused(t, N::UNSCALE, -0.5f);
    // log1p(t)/t in powers of t - 1/2: error 3.3e-8.
    float w = fused(0.0051261021409669134f, u, -0.0085696561136265477f);
    w = fused(w, u, 0.011639575355908102f);
    w = fused(w, u, -0.020230340573761975f);
    w = fused(w, u, 0.036625605974571229f);
    w = fused(w, u, -0.067711186616587619f);
    w = fused(w, u, 0.13260949406398687f);
    w = fused(w, u, -0.28852667341991602f);
    w = fused(w, u, 0.81093021621632876f);
    return fused(t * w, N::UNSCALE, no_less(x, 0.0f));
}

// The form left of the root: the other is better by 2 ulp of float at most.
MISH_INLINE float mish_d1_elsewhere(float x) {
    typedef Derivative N;
    x = no_more(no_less(x, N::LOWEST), Real<float>::SATURATED);
    float e = exp<N>(x);
    float small = e * N::UNSCALE;
    float half_square = e * (small * 0.5f);
    float big_m = fused(e + half_square, N::UNSCALE, 1.0f);
    float r = recip_full(big_m);
    r = fused(fused(-r, big_m, 1.0f), r, r);
    float tail = half_square * fused(-(x * small), r, 1.0f);
    return fused(e, 1.0f + x, tail) * r * N::UNSCALE;
}

// Next to the root, one ulp of float is a sixteenth of f16's; bf16 has no number that close to it.
template <typename E> MISH_INLINE float mish_d1(float x) { return mish_d1_elsewhere(x); }
template <> MISH_INLINE float mish_d1<F16>(float x) {
    return near_root(x, -1.1924312114715576f, -3.0439375464652585e-09f, 0.0625f, mish_d1_elsewhere(x),
                     0.2669479442177931f, 0.20473127048273002f, 0.04184603436451775f, -0.020284937178561408f);
}

template <typename E> MISH_INLINE float softplus_d1(float x) {
    typedef Derivative N;
    float e = exp<N>(no_more(no_less(x, N::LOWEST), 2.0f * Real<float>::SATURATED));
    float a = fused(e, N::UNSCALE, 1.0f);
    return quotient(e, a, recip_full(a)) * N::UNSCALE;
}

template <typename E> MISH_INLINE float softplus_d2(float x) {
    typedef Derivative N;
    float t = exp_of_minus_abs(x);
    float a = fused(t, N::UNSCALE, 1.0f);
    float r = recip_full(a);
    float q = quotient(t, a, r);
    return q * fused(fused(-r, a, 1.0f), r, r) * N::UNSCALE;
}

template <typename E> MISH_INLINE float tanh_softplus_d1(float x) {
    typedef Derivative N;
    float scaled = exp_of_minus_abs(x);
    float t = scaled * N::UNSCALE;
    float big_m = fused(t * by_sign(x, 0.5f, 1.0f), t, by_sign(x, 1.0f, 0.5f) + t);
    float r = recip_full(big_m);
    float lead = quotient(scaled * by_sign(x, 1.0f, t), big_m, r);
    return lead * quotient(1.0f + t, big_m, r) * N::UNSCALE;
}

template <typename E> MISH_INLINE float tanh_softplus_d2(float x) { return candle_mish::tanh_softplus_d2(x); }
template <typename E> MISH_INLINE float mish_d2(float x) { return candle_mish::mish_d2(x); }

}  // namespace quick
}  // namespace candle_mish
