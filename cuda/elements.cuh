// What the kernels' sources share: the element types, vectors of 16 bytes, divisions, and the functions by element type.

#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

#include "../src/quick.h"

// As in src/plan.rs.
constexpr int THREADS = 256;
constexpr int MAX_DIMS = 8;
// That a multiprocessor holds at least, which leaves a thread 64 registers. With no such number ptxas aims at 32, for which it
// puts off the second of two loads until what the first one is for is done.
constexpr int BLOCKS = 1024 / THREADS;

// The emulator watches memory through these.
#if !defined(MISH_LOAD)
#define MISH_LOAD(p) (*(p))
#define MISH_STORE(p, value) (*(p) = (value))
#endif

namespace candle_mish {

// The element types: how they lie in memory, and what they are computed in. Vector: 16 bytes.
struct F16 {
    typedef uint16_t Word;
    typedef float Compute;
    static __device__ __forceinline__ float widen(Word w) { return __half2float(__ushort_as_half(w)); }
    static __device__ __forceinline__ Word narrow(float v) { return __half_as_ushort(__float2half_rn(v)); }
    static __device__ __forceinline__ float2 widen_pair(uint32_t w) {
        return __half22float2(__halves2half2(__ushort_as_half(w & 0xffff), __ushort_as_half(w >> 16)));
    }
    static __device__ __forceinline__ uint32_t narrow_pair(float low, float high) {
        __half2 pair = __floats2half2_rn(low, high);
        return __half_as_ushort(__low2half(pair)) | uint32_t(__half_as_ushort(__high2half(pair))) << 16;
    }
};

struct BF16 {
    typedef uint16_t Word;
    typedef float Compute;
    static __device__ __forceinline__ float widen(Word w) { return __uint_as_float(uint32_t(w) << 16); }
    static __device__ __forceinline__ Word narrow(float v) { return __bfloat16_as_ushort(__float2bfloat16_rn(v)); }
    static __device__ __forceinline__ float2 widen_pair(uint32_t w) {
        return make_float2(__uint_as_float(w << 16), __uint_as_float(w & 0xffff0000));
    }
    static __device__ __forceinline__ uint32_t narrow_pair(float low, float high) {
        __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
        return __bfloat16_as_ushort(__low2bfloat16(pair)) |
               uint32_t(__bfloat16_as_ushort(__high2bfloat16(pair))) << 16;
    }
};

struct F32 {
    typedef float Word;
    typedef float Compute;
    static __device__ __forceinline__ float widen(float w) { return w; }
    static __device__ __forceinline__ float narrow(float v) { return v; }
};

struct F64 {
    typedef double Word;
    typedef double Compute;
    static __device__ __forceinline__ double widen(double w) { return w; }
    static __device__ __forceinline__ double narrow(double v) { return v; }
};

// 16 bytes as the type holds them.
template <typename E> struct Vector {
    static constexpr int N = 8;
    float v[N];
    __device__ __forceinline__ void read(uint4 w) {
        uint32_t words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            float2 pair = E::widen_pair(words[i]);
            v[2 * i] = pair.x;
            v[2 * i + 1] = pair.y;
        }
    }
    __device__ __forceinline__ uint4 write() const {
        return make_uint4(E::narrow_pair(v[0], v[1]), E::narrow_pair(v[2], v[3]), E::narrow_pair(v[4], v[5]),
                          E::narrow_pair(v[6], v[7]));
    }
};

template <> struct Vector<F32> {
    static constexpr int N = 4;
    float v[N];
    __device__ __forceinline__ void read(uint4 w) {
        v[0] = __uint_as_float(w.x), v[1] = __uint_as_float(w.y);
        v[2] = __uint_as_float(w.z), v[3] = __uint_as_float(w.w);
    }
    __device__ __forceinline__ uint4 write() const {
        return make_uint4(__float_as_uint(v[0]), __float_as_uint(v[1]), __float_as_uint(v[2]), __float_as_uint(v[3]));
    }
};

template <> struct Vector<F64> {
    static constexpr int N = 2;
    double v[N];
    __device__ __forceinline__ void read(uint4 w) {
        v[0] = __hiloint2double(w.y, w.x), v[1] = __hiloint2double(w.w, w.z);
    }
    __device__ __forceinline__ uint4 write() const {
        return make_uint4(__double2loint(v[0]), __double2hiint(v[0]), __double2loint(v[1]), __double2hiint(v[1]));
    }
};

// i / d = (mulhi(i, multiplier) + i) >> shift for i below 2^31.
__device__ __forceinline__ uint32_t divide(uint32_t i, uint64_t, uint32_t multiplier, uint32_t shift) {
    return (__umulhi(i, multiplier) + i) >> shift;
}
__device__ __forceinline__ uint64_t divide(uint64_t i, uint64_t d, uint32_t, uint32_t) { return i / d; }

}  // namespace candle_mish

// kernels(type, E, …) for every element type, or for the one of a module that build.rs compiles.
#if defined(MISH_TYPE)
#define FOR_ELEMENT(kernels, type, E, ...) kernels(type, E, __VA_ARGS__)
#define FOR_ELEMENTS(kernels, ...) FOR_ELEMENT(kernels, MISH_TYPE, MISH_ELEMENT, __VA_ARGS__)
#else
#define FOR_ELEMENTS(kernels, ...)                                    \
    kernels(f16, F16, __VA_ARGS__) kernels(bf16, BF16, __VA_ARGS__)   \
    kernels(f32, F32, __VA_ARGS__) kernels(f64, F64, __VA_ARGS__)
#endif

// f⁽ᵏ⁾ for each element type: the 16-bit ones take the quick form.
#define FUNCTION(name)                                                                                  \
    namespace candle_mish {                                                                             \
    struct name##_function {                                                                            \
        template <typename E> static __device__ __forceinline__ float eval(E, float x) {                \
            return quick::name<E>(x);                                                                   \
        }                                                                                               \
        static __device__ __forceinline__ float eval(F32, float x) { return name(x); }                  \
        static __device__ __forceinline__ double eval(F64, double x) { return name(x); }                \
    };                                                                                                  \
    }
