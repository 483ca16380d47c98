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
#else
MISH_INLINE float fused(float a, float b, float c) { return std::fma(a, b, c); }
MISH_INLINE double fused(double a, double b, double c) { return std::fma(a, b, c); }
MISH_INLINE float magnitude(float a) { return std::fabs(a); }
MISH_INLINE double magnitude(double a) { return std::fabs(a); }
MISH_INLINE uint32_t bits_of(float a) { uint32_t b; std::memcpy(&b, &a, 4); return b; }
MISH_INLINE float float_of(uint32_t a) { float b; std::memcpy(&b, &a, 4); return b; }
#endif

// 1/a, off by 2 ulp at most for a in 2^-100 to 2^100; whoever calls it corrects the rest with a residual.
#if defined(MISH_RECIP)
MISH_INLINE float recip(float a) { return MISH_RECIP(a); }
#elif defined(__CUDACC__)
MISH_INLINE float recip(float a) {
    // PTX ISA: 1 ulp at most; the flush of subnormals lies outside of the range above.
    float r;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a));
    return r;
}
#else
MISH_INLINE float recip(float a) { return 1.0f / a; }
#endif

// a > b ? t : e; a NaN in a or b chooses e.
template <typename T> MISH_INLINE T if_gt(T a, T b, T t, T e) { return a > b ? t : e; }
// The larger of a and low, NaN if a is.
template <typename T> MISH_INLINE T at_least(T a, T low) { return if_gt(low, a, low, a); }
// The smaller of a and high, NaN if a is.
template <typename T> MISH_INLINE T at_most(T a, T high) { return if_gt(a, high, high, a); }
// Chooses by the sign of x.
template <typename T> MISH_INLINE T by_sign(T x, T negative, T positive) { return if_gt(T(0), x, negative, positive); }

// c0 + c1·w + c2·w² + …, of every second coefficient.
template <typename T> MISH_INLINE T every_second(T, T c0) { return c0; }
template <typename T> MISH_INLINE T every_second(T, T c0, T) { return c0; }
template <typename T, typename... C> MISH_INLINE T every_second(T w, T c0, T, C... c) {
    return fused(every_second(w, T(c)...), w, c0);
}
// Σ cᵢxⁱ, even and odd powers apart: half the latency of Horner's rule.
template <typename T, typename... C> MISH_INLINE T polynomial(T x, T c0, C... c) {
    T w = x * x;
    return fused(every_second(w, T(c)...), x, every_second(w, c0, T(c)...));
}

template <typename T> struct Real;

// Constants of f32 arithmetic; `real.rs` says what each is.
template <> struct Real<float> {
    MISH_CONSTANT float LOG2E = 1.4426950408889634f;
    MISH_CONSTANT float LN2_HIGH = 0.693359375f;
    MISH_CONSTANT float LN2_LOW = -2.12194440e-4f;
    MISH_CONSTANT float MAGIC = 12582912.0f + 127.0f + 64.0f;
    MISH_CONSTANT float UNSCALE = 1.0f / 18446744073709551616.0f;
    MISH_CONSTANT float LOWEST = -125.0f;
    MISH_CONSTANT float SATURATED = 12.0f;
    MISH_CONSTANT float HUGE_PRODUCT = 3.0e38f;

    static MISH_INLINE float exp(float r) {
        return polynomial(r, 0.5f, 0.16666576845993976311f, 0.041666554437685938899f, 0.0083632029715758549465f,
                          0.0013926213466332443037f);
    }
    static MISH_INLINE float log1p(float u) {
        return polynomial(u, -0.0640697800867573645213f, -0.288527101371979350375f, 0.132609015777187157731f,
                          -0.0676881896539957283334f, 0.036635234166339380945f, -0.0205631824321635383027f,
                          0.0115776851823827465929f, -0.00678801695193855940571f, 0.0052502706780702828741f,
                          -0.00317605701843195969464f);
    }
    static MISH_INLINE float exp2_of_magic(float z) { return float_of(bits_of(z) << 23); }
};

#if !defined(__METAL_VERSION__)
#if defined(__CUDACC__)
MISH_INLINE double recip(double a) { return __drcp_rn(a); }
#else
MISH_INLINE double recip(double a) { return 1.0 / a; }
#endif

template <> struct Real<double> {
    MISH_CONSTANT double LOG2E = 1.4426950408889634;
    MISH_CONSTANT double LN2_HIGH = 6.93147180369123816490e-01;
    MISH_CONSTANT double LN2_LOW = 1.90821492927058770002e-10;
    MISH_CONSTANT double MAGIC = 6755399441055744.0 + 1023.0 + 128.0;
    MISH_CONSTANT double UNSCALE = 1.0 / (18446744073709551616.0 * 18446744073709551616.0);
    MISH_CONSTANT double LOWEST = -780.0;
    MISH_CONSTANT double SATURATED = 22.0;
    MISH_CONSTANT double HUGE_PRODUCT = 1e300;

    static MISH_INLINE double exp(double r) {
        return polynomial(r, 0.5, 0.16666666666666667456, 0.041666666666623991516, 0.0083333333333300513464,
                          0.0013888888917281793308, 0.00019841269863105968748, 0.000024801521190217727651,
                          2.7557268378684192873e-6, 2.7620138719973995569e-7, 2.5100424157005066788e-8);
    }
    static MISH_INLINE double log1p(double u) {
        return polynomial(u, -0.064069783783671236044, -0.28852709909932389665, 0.132609753754203754196,
                          -0.0676886433109642956174, 0.036611854523044425134, -0.0205488119191207142278,
                          0.0118337921154982735902, -0.00694539497498551293622, 0.00413617896949257887473,
                          -0.00249184119479886246971, 0.00151538510533750961034, -0.000928857427927732354606,
                          0.000573044608467786722267, -0.000354820487831023811196, 0.000221191708957665656925,
                          -0.000142100022899990296291, 0.0000893330340681927138118, -0.0000448284432522325634186,
                          0.0000282780835856265437572, -0.0000383623744516012453322, 0.000024437973948580947113);
    }
    static MISH_INLINE double exp2_of_magic(double z) {
#if defined(__CUDACC__)
        return __hiloint2double(__double2loint(z) << 20, 0);
#else
        uint64_t b;
        std::memcpy(&b, &z, 8);
        b <<= 52;
        std::memcpy(&z, &b, 8);
        return z;
#endif
    }
};
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
