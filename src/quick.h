// The forms for 16-bit results: in float, about 1 ulp of float before the last rounding, some 25 instructions.
//
// `Narrow<E>` says how far down E reaches. What is off by less than 2^-23 rarely lands on the wrong side of a
// boundary between two 16-bit numbers; the last operation rounds to odd, so that the rounding to 16 bits comes out as
// if it were the only one. Tests count the misrounded inputs of all 65,536.

#pragma once
#if !defined(__METAL_VERSION__)
#include "formula.h"
#endif

namespace candle_mish {

// a·b + c and a·b, rounded to odd: toward zero, with the last bit set for the part that is lost. An exact result is
// moved too, by less than an ulp of float; it is 0 or a number of the 16-bit type, and rounds back.
#if defined(__CUDACC__) || defined(MISH_TOWARD_ZERO)
MISH_INLINE float fused_odd(float a, float b, float c) { return float_of(bits_of(__fmaf_rz(a, b, c)) | 1); }
MISH_INLINE float product_odd(float a, float b) { return float_of(bits_of(__fmul_rz(a, b)) | 1); }
#else
// Metal has no rounding but to nearest.
MISH_INLINE float fused_odd(float a, float b, float c) { return fused(a, b, c); }
MISH_INLINE float product_odd(float a, float b) { return a * b; }
#endif

// at_least and at_most in one instruction where there is one.
MISH_INLINE float no_less(float a, float low) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    float r;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(low));
    return r;
#else
    return at_least(a, low);
#endif
}

MISH_INLINE float no_more(float a, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    float r;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(high));
    return r;
#else
    return at_most(a, high);
#endif
}

struct F16;
struct BF16;

template <typename E> struct Narrow;
// f16 ends at 2^-25, so nothing is scaled.
template <> struct Narrow<F16> {
    MISH_CONSTANT float MAGIC = 12582912.0f;
    MISH_CONSTANT float UNSCALE = 1.0f;
    MISH_CONSTANT float LOWEST = -30.0f;
};
// bf16 reaches down to 2^-134, below the normal numbers of float.
template <> struct Narrow<BF16> {
    MISH_CONSTANT float MAGIC = 12582912.0f + 64.0f;
    MISH_CONSTANT float UNSCALE = Real<float>::UNSCALE;
    MISH_CONSTANT float LOWEST = -100.0f;
};

// Back from its scale, which rounds where the result is subnormal.
template <typename E> MISH_INLINE float unscale_odd(float a) {
    return Narrow<E>::UNSCALE == 1.0f ? a : product_odd(a, Narrow<E>::UNSCALE);
}

namespace quick {


// y and z with eˣ = y·2^k, and k + `bias` + SCALE in the low bits of z; to about 2^-24.
template <typename E> MISH_INLINE ExpParts<float> exp_parts(float x, float bias) {
    typedef Real<float> R;
    float magic = Narrow<E>::MAGIC + bias;
    float z = fused(x, R::LOG2E, magic);
    float k = z - magic;
    float r = fused(-k, R::LN2_HIGH, x);
    r = fused(-k, R::LN2_LOW, r);
    float y = fused(0.0013926213466332443037f, r, 0.0083632029715758549465f);
    y = fused(y, r, 0.041666554437685938899f);
    y = fused(y, r, 0.16666576845993976311f);
    y = fused(y, r, 0.5f);
    y = fused(y, r, 1.0f);
    y = fused(y, r, 1.0f);
    return ExpParts<float>{z, y};
}

// eˣ, scaled.
template <typename E> MISH_INLINE float exp(float x) {
    ExpParts<float> p = quick::exp_parts<E>(x, 127.0f);
    return p.y * Real<float>::exp2_of_magic(p.s);
}

// eˣ, scaled, in one instruction less, for x that is no NaN: adding to the exponent makes anything of a NaN.
template <typename E> MISH_INLINE float exp_of_number(float x) {
    ExpParts<float> p = quick::exp_parts<E>(x, 0.0f);
    return float_of(bits_of(p.y) + (bits_of(p.s) << 23));
}

// a/b, scaled as a is.
MISH_INLINE float quotient(float a, float b) {
    float r = recip(b);
    float q = a * r;
    return fused(fused(-q, b, a), r, q);
}

MISH_INLINE float quotient_odd(float a, float b) {
    float r = recip(b);
    float q = a * r;
    return fused_odd(fused(-q, b, a), r, q);
}

// 2m, scaled: T = 2m/(2 + 2m).
template <typename E> MISH_INLINE float twice_m(float e) { return fused(e, e * Narrow<E>::UNSCALE, e + e); }

// A NaN comes back with the last product.
template <typename E> MISH_INLINE float mish(float x) {
    typedef Narrow<E> N;
    x = no_less(x, N::LOWEST);
    float m = twice_m<E>(exp_of_number<E>(no_more(x, Real<float>::SATURATED)));
    return product_odd(x, quotient(m, fused(m, N::UNSCALE, 2.0f)) * N::UNSCALE);
}

template <typename E> MISH_INLINE float tanh_softplus(float x) {
    x = no_more(no_less(x, Narrow<E>::LOWEST), Real<float>::SATURATED);
    float m = twice_m<E>(exp<E>(x));
    return unscale_odd<E>(quotient_odd(m, fused(m, Narrow<E>::UNSCALE, 2.0f)));
}

// The form left of the root: the other is as good as this one to within 2 ulp of float.
template <typename E> MISH_INLINE float mish_d1(float x) {
    typedef Narrow<E> N;
    x = no_more(no_less(x, N::LOWEST), Real<float>::SATURATED);
    float e = exp<E>(x);
    float small = e * N::UNSCALE;
    float half_square = e * (small * 0.5f);
    float big_m = fused(e + half_square, N::UNSCALE, 1.0f);
    float r = recip(big_m);
    r = fused(fused(-r, big_m, 1.0f), r, r);
    float tail = half_square * fused(-(x * small), r, 1.0f);
    float k = fused(e, 1.0f + x, tail);
    return unscale_odd<E>(product_odd(k, r));
}

template <typename E> MISH_INLINE float softplus(float x) {
    typedef Narrow<E> N;
    // A NaN comes back with max(x, 0).
    float t = exp_of_number<E>(-no_more(magnitude(x), -N::LOWEST));
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
    return fused_odd(t * w, N::UNSCALE, no_less(x, 0.0f));
}

template <typename E> MISH_INLINE float softplus_d1(float x) {
    typedef Narrow<E> N;
    float e = exp<E>(no_more(no_less(x, N::LOWEST), 2.0f * Real<float>::SATURATED));
    return unscale_odd<E>(quotient_odd(e, fused(e, N::UNSCALE, 1.0f)));
}

template <typename E> MISH_INLINE float softplus_d2(float x) {
    typedef Narrow<E> N;
    float t = exp<E>(-no_more(magnitude(x), -N::LOWEST));
    float a = fused(t, N::UNSCALE, 1.0f);
    float r = recip(a);
    float q = t * r;
    q = fused(fused(-q, a, t), r, q);
    r = fused(fused(-r, a, 1.0f), r, r);
    return unscale_odd<E>(product_odd(q, r));
}

template <typename E> MISH_INLINE float tanh_softplus_d1(float x) {
    typedef Narrow<E> N;
    float scaled = exp<E>(-no_more(magnitude(x), -N::LOWEST));
    float t = scaled * N::UNSCALE;
    float a = 1.0f + t;
    float m = fused(t * by_sign(x, 0.5f, 1.0f), t, by_sign(x, 1.0f, 0.5f) + t);
    float r = recip(m);
    float q = a * r;
    q = fused(fused(-q, m, a), r, q);
    float lead = scaled * by_sign(x, 1.0f, t);
    float p = lead * r;
    p = fused(fused(-p, m, lead), r, p);
    return unscale_odd<E>(product_odd(p, q));
}

// Where the result is a 16-bit number, the polynomial's root asks for more than float's ulp of x: a Taylor series
// around it, off by 2^-28 within 1/32.
template <typename E> MISH_INLINE float tanh_softplus_d2(float x) {
    float d = (x - -0.11740098148584366f) - 1.8571042481596578e-9f;
    float near_root = fused(-0.038399766564283944f, d, 0.052945276316835511f);
    near_root = fused(near_root, d, 0.13755374089496412f);
    near_root = fused(near_root, d, -0.056616765460797836f);
    near_root = fused(near_root, d, -0.26789700905264703f);
    return if_gt(0.03125f, magnitude(d), near_root * d, candle_mish::tanh_softplus_d2(x));
}

template <typename E> MISH_INLINE float mish_d2(float x) { return candle_mish::mish_d2(x); }

}  // namespace quick
}  // namespace candle_mish
