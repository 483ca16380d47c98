// As much of CUDA C++ as cuda/activations.cu uses, for a host compiler. Threads run one after the other. Conversions
// round as on the device; rcp.approx is off by as much as a test asks for.

#pragma once
#include <cstdint>

#include "half.h"
#include "memory.h"
#include "recip.h"

#define __device__
#define __global__ __attribute__((visibility("default")))
#define __forceinline__ inline
#define __launch_bounds__(...)
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

static inline uint32_t __float_as_uint(float v) { return bit_cast<uint32_t>(v); }
static inline float __uint_as_float(uint32_t v) { return bit_cast<float>(v); }
static inline double __longlong_as_double(int64_t v) { return bit_cast<double>(v); }
static inline double __hiloint2double(int32_t high, int32_t low) {
    return bit_cast<double>(uint64_t(uint32_t(high)) << 32 | uint32_t(low));
}
static inline int32_t __double2loint(double v) { return int32_t(bit_cast<uint64_t>(v)); }
static inline int32_t __double2hiint(double v) { return int32_t(bit_cast<uint64_t>(v) >> 32); }
static inline uint32_t __umulhi(uint32_t a, uint32_t b) { return uint32_t(uint64_t(a) * b >> 32); }

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

static inline __half __float2half_rn(float v) { return __half{f16_of(v)}; }
static inline float __half2float(__half h) { return float_of_f16(h.bits); }
static inline __nv_bfloat16 __float2bfloat16_rn(float v) { return __nv_bfloat16{bf16_of(v)}; }

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
