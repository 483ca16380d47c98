// The arithmetic of formula.h, as `real.rs` and `twin.rs` have it: float and double with the constants of their
// precision, in the C++ that CUDA, Metal and the host share. Metal gets this file spliced in front of formula.h.
//
// It relies on separate roundings of a product and a sum: compile without contraction (nvcc -fmad=false,
// -ffp-contract=off); where one rounding is meant, `fused` says so.

#pragma once

#if defined(__CUDACC__)
#define MISH_INLINE __device__ __forceinline__
#define MISH_CONSTANT static constexpr
#elif defined(__METAL_VERSION__)
#include <metal_stdlib>
using namespace metal;
#pragma METAL fp contract(off)
#define MISH_INLINE inline __attribute__((always_inline))
#define MISH_CONSTANT static constexpr constant
#else
#include <cmath>
#include <cstdint>
#include <cstring>
#define MISH_INLINE inline
#define MISH_CONSTANT static constexpr
#endif

namespace candle_mish {

#if defined(__METAL_VERSION__)
MISH_INLINE float fused(float a, float b, float c) { return metal::fma(a, b, c); }
MISH_INLINE float magnitude(float a) { return metal::fabs(a); }
MISH_INLINE uint bits_of(float a) { return as_type<uint>(a); }
MISH_INLINE float float_of(uint a) { return as_type<float>(a); }
#elif defined(__CUDACC__)
MISH_INLINE float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
MISH_INLINE double fused(double a, double b, double c) { return __fma_rn(a, b, c); }
MISH_INLINE float magnitude(float a) { return fabsf(a); }
MISH_INLINE double magnitude(double a) { return fabs(a); }
MISH_INLINE unsigned bits_of(float a) { return __float_as_uint(a); }
MISH_INLINE float float_of(unsigned a) { return __uint_as_float(a); }
MISH_INLINE unsigned long long bits_of(double a) { return __double_as_longlong(a); }
MISH_INLINE double double_of(unsigned long long a) { return __longlong_as_double(a); }
#else
MISH_INLINE float fused(float a, float b, float c) { return std::fma(a, b, c); }
MISH_INLINE double fused(double a, double b, double c) { return std::fma(a, b, c); }
MISH_INLINE float magnitude(float a) { return std::fabs(a); }
MISH_INLINE double magnitude(double a) { return std::fabs(a); }
MISH_INLINE uint32_t bits_of(float a) { uint32_t b; std::memcpy(&b, &a, 4); return b; }
MISH_INLINE float float_of(uint32_t a) { float b; std::memcpy(&b, &a, 4); return b; }
MISH_INLINE uint64_t bits_of(double a) { uint64_t b; std::memcpy(&b, &a, 8); return b; }
MISH_INLINE double double_of(uint64_t a) { double b; std::memcpy(&b, &a, 8); return b; }
#endif

// 1/a, off by 2 ulp at most for a in 2^-120 to 2^120; whoever calls it corrects the rest with a residual.
#if defined(MISH_RECIP)
MISH_INLINE float recip_full(float a) { return MISH_RECIP(a, 1.0f); }
#elif defined(__CUDACC__)
MISH_INLINE float recip_full(float a) {
    // PTX ISA: 1 ulp at most; the flush of subnormals lies outside of the range above.
    float r;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a));
    return r;
}
#else
MISH_INLINE float recip_full(float a) { return 1.0f / a; }
#endif

// a > b ? t : e; a NaN in a or b chooses e.
template <typename T> MISH_INLINE T if_gt(T a, T b, T t, T e) { return a > b ? t : e; }
// The larger of a and low, NaN if a is.
template <typename T> MISH_INLINE T at_least(T a, T low) { return if_gt(low, a, low, a); }
// The smaller of a and high, NaN if a is.
template <typename T> MISH_INLINE T at_most(T a, T high) { return if_gt(a, high, high, a); }
// Chooses by the sign of x.
template <typename T> MISH_INLINE T by_sign(T x, T negative, T positive) { return if_gt(T(0), x, negative, positive); }

// To two bits less than it has, to nearest.
MISH_INLINE float shortened(float a) { return float_of((bits_of(a) + 2) & ~3u); }
#if !defined(__METAL_VERSION__)
MISH_INLINE double shortened(double a) { return double_of((bits_of(a) + 2) & ~3ull); }
#endif

// c0 + c1·x + (c2 + c3·x)·w + …
template <typename T> MISH_INLINE T in_pairs(T, T, T c0) { return c0; }
template <typename T> MISH_INLINE T in_pairs(T x, T, T c0, T c1) { return fused(c1, x, c0); }
template <typename T, typename... C> MISH_INLINE T in_pairs(T x, T w, T c0, T c1, C... c) {
    return fused(in_pairs(x, w, T(c)...), w, fused(c1, x, c0));
}
// Σ cᵢxⁱ, two terms at a time: half the latency of Horner's rule.
template <typename T, typename... C> MISH_INLINE T polynomial(T x, C... c) { return in_pairs(x, x * x, T(c)...); }

template <typename T> struct Real;

// Constants of f32 arithmetic; `real.rs` says what each is.
template <> struct Real<float> {
    MISH_CONSTANT float LOG2E = 1.4426950408889634f;
    MISH_CONSTANT float LN2_HIGH = 0.693359375f;
    MISH_CONSTANT float LN2_LOW = -2.12194440e-4f;
    MISH_CONSTANT float MAGIC = 12582912.0f + 127.0f + 64.0f;
    MISH_CONSTANT float MAGIC_DOWN = MAGIC - 2.0f * 64.0f;
    MISH_CONSTANT float UNSCALE = 1.0f / 18446744073709551616.0f;
    // Below 1 by less than the square root of an ulp.
    MISH_CONSTANT float BELOW_ONE = 1.0f - 1.0f / 16384.0f;
    MISH_CONSTANT float LOWEST = -125.0f;
    MISH_CONSTANT float SATURATED = 12.0f;

    static MISH_INLINE float exp(float r) {
        return polynomial(r, 0.49999993451716157f, 0.16666520689870967f, 0.04166838736220404f,
                          0.008368709822203757f, 0.0013814613140192423f);
    }
    static MISH_INLINE float log1p(float w) {
        return polynomial(w, 0.6666641628513784f, 0.4002152726325061f, 0.28001804934343916f, 0.28011988308236024f);
    }
    static MISH_INLINE float exp2_of_magic(float z) { return float_of(bits_of(z) << 23); }
};

#if defined(MISH_RECIP)
MISH_INLINE float recip(float a) { return MISH_RECIP(a, Real<float>::BELOW_ONE); }
#else
// 1/a from below, as `real.rs` has it: a residual of a quotient is then positive.
MISH_INLINE float recip(float a) { return recip_full(a) * Real<float>::BELOW_ONE; }
#endif

#if !defined(__METAL_VERSION__)
template <> struct Real<double> {
    MISH_CONSTANT double LOG2E = 1.4426950408889634;
    MISH_CONSTANT double LN2_HIGH = 6.93147180369123816490e-01;
    MISH_CONSTANT double LN2_LOW = 1.90821492927058770002e-10;
    MISH_CONSTANT double MAGIC = 6755399441055744.0 + 1023.0 + 128.0;
    MISH_CONSTANT double MAGIC_DOWN = MAGIC - 2.0 * 128.0;
    MISH_CONSTANT double UNSCALE = 1.0 / (18446744073709551616.0 * 18446744073709551616.0);
    MISH_CONSTANT double BELOW_ONE = 1.0 - 1.0 / 1073741824.0;
    MISH_CONSTANT double LOWEST = -760.0;
    MISH_CONSTANT double SATURATED = 22.0;

    static MISH_INLINE double exp(double r) {
        return polynomial(r, 0.5000000000000011, 0.16666666666666413, 0.041666666666530267, 0.008333333333494336,
                          0.0013888888943597627, 0.00019841269506772397, 2.4801493136217803e-05, 2.7557586273364693e-06,
                          2.7630233916204213e-07, 2.5000069972484397e-08);
    }
    static MISH_INLINE double log1p(double w) {
        return polynomial(w, 0.666666666666777, 0.3999999999604968, 0.28571429057999315, 0.2222219290456946,
                          0.18182814074181367, 0.15364295509030107, 0.1358631429351992, 0.09902821253378055, 0.17739757338192702);
    }
    static MISH_INLINE double exp2_of_magic(double z) {
#if defined(__CUDACC__)
        return __hiloint2double(__double2loint(z) << 20, 0);
#else
        return double_of(bits_of(z) << 52);
#endif
    }
};

#if defined(__CUDACC__)
MISH_INLINE double recip_full(double a) { return __drcp_rn(a); }
MISH_INLINE double recip(double a) { return __drcp_rn(a) * Real<double>::BELOW_ONE; }
#else
MISH_INLINE double recip_full(double a) { return 1.0 / a; }
MISH_INLINE double recip(double a) { return Real<double>::BELOW_ONE / a; }
#endif
#endif

// high + low, with low far below high.
template <typename T> struct Twin {
    T high, low;
};

template <typename T> MISH_INLINE Twin<T> twin(T high, T low) { return Twin<T>{high, low}; }

// a + b with |a| ≥ |b|, exactly (Dekker).
template <typename T> MISH_INLINE Twin<T> fast_two_sum(T a, T b) {
    T high = a + b;
    return twin(high, b - (high - a));
}

// a·b, exactly.
template <typename T> MISH_INLINE Twin<T> two_product(T a, T b) {
    T high = a * b;
    return twin(high, fused(a, b, -high));
}

template <typename T> MISH_INLINE T sum(Twin<T> a) { return a.high + a.low; }

// Times a power of two.
template <typename T> MISH_INLINE Twin<T> scale(Twin<T> a, T factor) { return twin(a.high * factor, a.low * factor); }

template <typename T> MISH_INLINE Twin<T> add(Twin<T> a, Twin<T> b) {
    // Knuth's two-sum: no assumption on which is larger.
    T high = a.high + b.high;
    T part = high - a.high;
    T low = (a.high - (high - part)) + (b.high - part);
    return fast_two_sum(high, low + (a.low + b.low));
}

template <typename T> MISH_INLINE Twin<T> mul(Twin<T> a, Twin<T> b) {
    Twin<T> product = two_product(a.high, b.high);
    T low = fused(a.high, b.low, fused(a.low, b.high, product.low));
    return fast_two_sum(product.high, low);
}

template <typename T> MISH_INLINE Twin<T> recip(Twin<T> a) {
    // Two Newton steps: the approximation has at least half of the bits.
    T r = recip(a.high);
    r = fused(fused(-r, a.high, T(1)), r, r);
    T rest = fused(-r, a.low, fused(-r, a.high, T(1)));
    return fast_two_sum(r, rest * r);
}

}  // namespace candle_mish
