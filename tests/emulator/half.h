// The 16-bit types on the host, with conversions that round to nearest even.

#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

template <typename To, typename From> static inline To bit_cast(From from) {
    static_assert(sizeof(To) == sizeof(From), "sizes differ");
    To to;
    std::memcpy(&to, &from, sizeof(To));
    return to;
}

static inline uint16_t f16_of(float v) {
    uint32_t b = bit_cast<uint32_t>(v);
    uint16_t sign = b >> 16 & 0x8000;
    b &= 0x7fffffff;
    if (b > 0x7f800000) return 0x7fff;
    if (b >= 0x47800000) return uint16_t(sign | 0x7c00);
    // Below 2^-14 one step is 2^-24, and scaling to it is exact.
    if (b < 0x38800000) return uint16_t(sign | uint16_t(std::nearbyint(bit_cast<float>(b) * 16777216.0f)));
    b += 0xfff + (b >> 13 & 1);
    return uint16_t(sign | ((b - 0x38000000) >> 13));
}

static inline float float_of_f16(uint16_t h) {
    uint32_t exponent = h >> 10 & 31, fraction = h & 1023;
    float v = exponent == 0 ? std::ldexp(float(fraction), -24)
              : exponent == 31 ? bit_cast<float>(0x7f800000 | fraction << 13)
                               : std::ldexp(float(1024 + fraction), int(exponent) - 25);
    return std::copysign(v, h >> 15 ? -1.0f : 1.0f);
}

static inline uint16_t bf16_of(float v) {
    uint32_t b = bit_cast<uint32_t>(v);
    if ((b & 0x7fffffff) > 0x7f800000) return 0x7fff;
    return uint16_t((b + 0x7fff + (b >> 16 & 1)) >> 16);
}

static inline float float_of_bf16(uint16_t h) { return bit_cast<float>(uint32_t(h) << 16); }
