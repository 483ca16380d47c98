// What the kernels' sources share: the element types, vectors of 16 bytes, divisions, and the functions by element type.
// src/msl.rs splices src/real.h, src/formula.h and src/quick.h in front of this file.
// bf16 is moved as 16-bit integers: not every GPU has `bfloat`.

// As in src/plan.rs.
static constexpr constant int THREADS = 256;
static constexpr constant int MAX_DIMS = 8;

// The emulator watches memory through these, and gives a kernel C linkage.
#if !defined(MISH_LOAD)
#define MISH_LOAD(p) (*(p))
#define MISH_STORE(p, value) (*(p) = (value))
#define MISH_KERNEL [[kernel, max_total_threads_per_threadgroup(THREADS)]]
#endif

namespace candle_mish {

// The element types: how they lie in memory, and how they become floats.
struct F16 {
    typedef ushort Word;
    static MISH_INLINE float widen(ushort w) { return float(as_type<half>(w)); }
    static MISH_INLINE ushort narrow(float v) { return as_type<ushort>(half(v)); }
};

struct BF16 {
    typedef ushort Word;
    static MISH_INLINE float widen(ushort w) { return float_of(uint(w) << 16); }
    // To nearest, ties to even. The carry makes a number that is too large an infinity; it may make anything of a NaN.
    static MISH_INLINE ushort narrow(float v) {
        uint bits = bits_of(v);
        uint rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
        return ushort((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : rounded);
    }
};

struct F32 {
    typedef uint Word;
    static MISH_INLINE float widen(uint w) { return float_of(w); }
    static MISH_INLINE uint narrow(float v) { return bits_of(v); }
};

// 16 bytes as the type holds them.
template <typename E> struct Vector {
    MISH_CONSTANT int N = 8;
    float v[8];
    MISH_INLINE void read(uint4 w) {
        uint words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            v[2 * i] = E::widen(ushort(words[i] & 0xffffu));
            v[2 * i + 1] = E::widen(ushort(words[i] >> 16));
        }
    }
    MISH_INLINE uint pair(int i) const { return uint(E::narrow(v[i])) | uint(E::narrow(v[i + 1])) << 16; }
    MISH_INLINE uint4 write() const { return uint4(pair(0), pair(2), pair(4), pair(6)); }
};

template <> struct Vector<F32> {
    MISH_CONSTANT int N = 4;
    float v[4];
    MISH_INLINE void read(uint4 w) {
        v[0] = float_of(w.x), v[1] = float_of(w.y), v[2] = float_of(w.z), v[3] = float_of(w.w);
    }
    MISH_INLINE uint4 write() const { return uint4(bits_of(v[0]), bits_of(v[1]), bits_of(v[2]), bits_of(v[3])); }
};

// i / d = (mulhi(i, multiplier) + i) >> shift for i below 2^31.
MISH_INLINE uint divide(uint i, ulong, uint multiplier, uint shift) {
    return (metal::mulhi(i, multiplier) + i) >> shift;
}
MISH_INLINE ulong divide(ulong i, ulong d, uint, uint) { return i / d; }

}  // namespace candle_mish

// f⁽ᵏ⁾ for each element type: the 16-bit ones take the quick form.
#define FUNCTION(name)                                                                                            \
    namespace candle_mish {                                                                                       \
    struct name##_function {                                                                                      \
        template <typename E> static MISH_INLINE float eval(E, float x) { return quick::name<E>(x); }             \
        static MISH_INLINE float eval(F32, float x) { return name(x); }                                           \
    };                                                                                                            \
    }
