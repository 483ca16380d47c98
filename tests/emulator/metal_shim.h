// As much of the Metal Shading Language as the kernels use, for a host compiler. Threads run one after the other.
//
// Under clang, `device`, `constant`, `threadgroup` and `thread` are address spaces of their own: a pointer to one of
// them does not convert to a pointer to another. Under other compilers they say nothing.

#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "half.h"
#include "memory.h"
#include "recip.h"

#if defined(__clang__)
#define device __attribute__((address_space(1)))
#define constant __attribute__((address_space(2)))
#define threadgroup __attribute__((address_space(3)))
#else
#define device
#define constant
#define threadgroup
#endif
#define thread

typedef uint8_t uchar;
typedef uint16_t ushort;
typedef uint32_t uint;
typedef uint64_t ulong;

struct alignas(16) uint4 {
    uint x, y, z, w;
    uint4() = default;
    uint4(uint x, uint y, uint z, uint w) : x(x), y(y), z(z), w(w) {}
};

// Conversions are explicit, as the kernels have them.
struct half {
    uint16_t bits;
    half() = default;
    explicit half(float v) : bits(f16_of(v)) {}
    explicit operator float() const { return float_of_f16(bits); }
};

template <typename To, typename From> static inline To as_type(From from) { return bit_cast<To>(from); }

namespace metal {
static inline float fma(float a, float b, float c) { return std::fma(a, b, c); }
static inline float fabs(float a) { return std::fabs(a); }
static inline uint mulhi(uint a, uint b) { return uint(uint64_t(a) * b >> 32); }
}  // namespace metal

template <typename V> static inline V load_from(device const V *p) {
    return load(reinterpret_cast<const V *>(uint64_t(p)));
}
template <typename V> static inline void store_to(device V *p, V value) {
    store(reinterpret_cast<V *>(uint64_t(p)), value);
}
#define MISH_LOAD(p) load_from(p)
#define MISH_STORE(p, value) store_to(p, value)
#define MISH_KERNEL extern "C" __attribute__((visibility("default")))

// There is no such type in MSL.
#pragma GCC poison double
