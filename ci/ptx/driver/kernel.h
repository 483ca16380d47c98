// What translated kernels are written in, where they run on driver.cpp: ./compile includes it in front of them.

#pragma once
#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "half.h"
#include "recip.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

// In the driver:
struct Coordinate {
    uint32_t x, y, z;
};
extern thread_local Coordinate threadIdx, blockIdx, blockDim, gridDim;
// Where these bytes of device memory are, or a place that takes the access after it has been reported.
uint8_t *device_memory(uint64_t address, uint64_t bytes, bool write);
uint8_t *shared_memory(uint64_t offset, uint64_t bytes);
enum Fault : uint32_t { OUT_OF_BOUNDS };
void fail(Fault fault, uint64_t address);
void assertion_failed();
// Every thread of the block; every thread of the warp, the value of the one whose lane differs by `mask`.
void barrier();
uint32_t shuffle_xor(uint32_t value, uint32_t mask);

template <typename V> static inline V load(const V *p) {
    V value;
    std::memcpy(&value, device_memory(uint64_t(p), sizeof(V), false), sizeof(V));
    return value;
}
template <typename V> static inline void store(V *p, V value) {
    std::memcpy(device_memory(uint64_t(p), sizeof(V), true), &value, sizeof(V));
}
template <typename V> static inline V shared_load(const V *p) {
    V value;
    std::memcpy(&value, shared_memory(uint64_t(p), sizeof(V)), sizeof(V));
    return value;
}
template <typename V> static inline void shared_store(V *p, V value) {
    std::memcpy(shared_memory(uint64_t(p), sizeof(V)), &value, sizeof(V));
}

// 1/a, off by −1, 0 or 1 ulp, as a has it.
static inline float reciprocal(float a) {
    recip_error = int(bit_cast<uint32_t>(a) * 0x9E3779B9u >> 16) % 3 - 1;
    return approximate_reciprocal(a, 1.0f);
}
#define RECIPROCAL(a) reciprocal(a)

// ab + c in a mode of rounding. Nothing volatile moves from where the mode is to where it is not.
template <typename T> static inline T rounded(int mode, T a, T b, T c) {
    volatile T x = a, y = b, z = c, result;
    std::fesetround(mode);
    result = std::fma(T(x), T(y), T(z));
    std::fesetround(FE_TONEAREST);
    return result;
}

// Towards zero; to the nearest there is, and zero from a NaN.
template <typename Integer> static inline Integer truncated(double v) {
    if (std::isnan(v)) return 0;
    if (v <= double(std::numeric_limits<Integer>::min())) return std::numeric_limits<Integer>::min();
    return v < double(std::numeric_limits<Integer>::max()) ? Integer(v) : std::numeric_limits<Integer>::max();
}
