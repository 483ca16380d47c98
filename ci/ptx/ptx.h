// What translate.py writes PTX in, in front of its output.

#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wunused-label"
#pragma GCC diagnostic ignored "-Wunused-parameter"

#if !defined(RECIPROCAL)
#define RECIPROCAL(a) approximate_reciprocal(a, 1.0f)
#endif

// The registers of a vector.
template <typename Word, int COUNT> struct alignas(sizeof(Word) * COUNT) Words {
    Word w[COUNT];
};

// What lies in a parameter of that size.
template <typename V> static inline V parameter(const void *begin, uint64_t size, uint64_t at) {
    V value{};
    if (at > size - sizeof(V) || at % sizeof(V) != 0) {
        fail(OUT_OF_BOUNDS, at);
    } else {
        std::memcpy(&value, static_cast<const uint8_t *>(begin) + at, sizeof(V));
    }
    return value;
}

// −0 is less than +0.
static inline float min_nan(float a, float b) {
    if (std::isnan(a) || std::isnan(b)) return NAN;
    return a < b || (a == b && std::signbit(a)) ? a : b;
}
static inline float max_nan(float a, float b) { return -min_nan(-a, -b); }
