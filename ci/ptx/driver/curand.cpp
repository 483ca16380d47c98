// As much of cuRAND as candle calls: a generator, of other numbers than NVIDIA's.

#include <random>

#include "library.h"

SUCCEEDS(curandCreateGenerator)
SUCCEEDS(curandDestroyGenerator)
SUCCEEDS(curandSetPseudoRandomGeneratorSeed)
SUCCEEDS(curandSetStream)

template <typename T, typename Distribution> static int generate(uint64_t to, size_t n, Distribution distribution) {
    static std::mt19937_64 random;
    uint8_t *bytes = emulated_bytes(to, n * sizeof(T), true);
    if (!bytes) return UNSUPPORTED;
    for (size_t i = 0; i < n; ++i) {
        T value = T(distribution(random));
        std::memcpy(bytes + i * sizeof(T), &value, sizeof(T));
    }
    return 0;
}

#define GENERATES(T, name)                                                                                    \
    EXPORT int curandGenerateNormal##name(void *, uint64_t to, size_t n, T mean, T deviation) {               \
        return generate<T>(to, n, std::normal_distribution<T>(mean, deviation));                              \
    }                                                                                                         \
    EXPORT int curandGenerateUniform##name(void *, uint64_t to, size_t n) {                                   \
        return generate<T>(to, n, std::uniform_real_distribution<T>(0, 1));                                   \
    }
GENERATES(float, )
GENERATES(double, Double)
