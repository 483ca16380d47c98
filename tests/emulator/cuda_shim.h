// As much of CUDA C++ as cuda/activations.cu uses, for a host compiler. Threads run one after the other. Conversions
// round as on the device; rcp.approx is off by as much as a test asks for.

#pragma once
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "memory.h"

#define __device__
#define __global__ __attribute__((visibility("default")))
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define __grid_constant__

struct Coordinate {
    uint32_t x, y, z;
};
static thread_local Coordinate threadIdx, blockIdx, gridDim;

#define MISH_LOAD(p) load(p)
#define MISH_STORE(p, value) store(p, value)

struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
struct float2 {
    float x, y;
};
static inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return uint4{x, y, z, w}; }
static inline float2 make_float2(float x, float y) { return float2{x, y}; }

template <typename To, typename From> static inline To bit_cast(From from) {
    static_assert(sizeof(To) == sizeof(From), "sizes differ");
    To to;
    std::memcpy(&to, &from, sizeof(To));
    return to;
}
static inline uint32_t __float_as_uint(float v) { return bit_cast<uint32_t>(v); }
static inline float __uint_as_float(uint32_t v) { return bit_cast<float>(v); }
static inline double __longlong_as_double(int64_t v) { return bit_cast<double>(v); }
static inline double __hiloint2double(int32_t high, int32_t low) {
    return bit_cast<double>(uint64_t(uint32_t(high)) << 32 | uint32_t(low));
}
static inline int32_t __double2loint(double v) { return int32_t(bit_cast<uint64_t>(v)); }
static inline int32_t __double2hiint(double v) { return int32_t(bit_cast<uint64_t>(v) >> 32); }
static inline uint32_t __umulhi(uint32_t a, uint32_t b) { return uint32_t(uint64_t(a) * b >> 32); }

// rcp.approx.ftz: 1 ulp at most, per the PTX ISA.
static thread_local int recip_error;
static inline float approximate_reciprocal(float a, float one) {
    float r = one / a;
    if (std::isnan(r) || std::isinf(r)) return r;
    if (std::fabs(a) < FLT_MIN) return std::copysign(INFINITY, a);
    if (std::fabs(r) < FLT_MIN) return std::copysign(0.0f, r);
    return bit_cast<float>(bit_cast<uint32_t>(r) + uint32_t(recip_error));
}
#define MISH_RECIP(a, one) approximate_reciprocal(a, one)

struct __half {
    uint16_t bits;
};
struct __nv_bfloat16 {
    uint16_t bits;
};
struct __half2 {
    __half low, high;
};
struct __nv_bfloat162 {
    __nv_bfloat16 low, high;
};

static inline __half __float2half_rn(float v) {
    uint32_t b = bit_cast<uint32_t>(v);
    uint16_t sign = b >> 16 & 0x8000;
    b &= 0x7fffffff;
    if (b > 0x7f800000) return __half{0x7fff};
    if (b >= 0x47800000) return __half{uint16_t(sign | 0x7c00)};
    // Below 2^-14 one step is 2^-24, and scaling to it is exact.
    if (b < 0x38800000) return __half{uint16_t(sign | uint16_t(std::nearbyint(bit_cast<float>(b) * 16777216.0f)))};
    b += 0xfff + (b >> 13 & 1);
    return __half{uint16_t(sign | ((b - 0x38000000) >> 13))};
}
static inline float __half2float(__half h) {
    uint32_t exponent = h.bits >> 10 & 31, fraction = h.bits & 1023;
    float v = exponent == 0 ? std::ldexp(float(fraction), -24)
              : exponent == 31 ? bit_cast<float>(0x7f800000 | fraction << 13)
                               : std::ldexp(float(1024 + fraction), int(exponent) - 25);
    return std::copysign(v, h.bits >> 15 ? -1.0f : 1.0f);
}
static inline __nv_bfloat16 __float2bfloat16_rn(float v) {
    uint32_t b = bit_cast<uint32_t>(v);
    if ((b & 0x7fffffff) > 0x7f800000) return __nv_bfloat16{0x7fff};
    return __nv_bfloat16{uint16_t((b + 0x7fff + (b >> 16 & 1)) >> 16)};
}

static inline uint16_t __half_as_ushort(__half h) { return h.bits; }
static inline __half __ushort_as_half(uint16_t bits) { return __half{bits}; }
static inline __half2 __halves2half2(__half low, __half high) { return __half2{low, high}; }
static inline float2 __half22float2(__half2 h) { return float2{__half2float(h.low), __half2float(h.high)}; }
static inline __half2 __floats2half2_rn(float low, float high) {
    return __half2{__float2half_rn(low), __float2half_rn(high)};
}
static inline __half __low2half(__half2 h) { return h.low; }
static inline __half __high2half(__half2 h) { return h.high; }
static inline uint16_t __bfloat16_as_ushort(__nv_bfloat16 h) { return h.bits; }
static inline __nv_bfloat162 __floats2bfloat162_rn(float low, float high) {
    return __nv_bfloat162{__float2bfloat16_rn(low), __float2bfloat16_rn(high)};
}
static inline __nv_bfloat16 __low2bfloat16(__nv_bfloat162 h) { return h.low; }
static inline __nv_bfloat16 __high2bfloat16(__nv_bfloat162 h) { return h.high; }
