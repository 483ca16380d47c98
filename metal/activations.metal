// The Metal kernels: g·f⁽ᵏ⁾(x) for any layout, under the names of cuda/activations.cu. src/msl.rs splices src/real.h,
// src/formula.h and src/quick.h in front of this file; which kernel runs with which arguments is decided in
// src/plan.rs, and tests/emulator runs the whole on the host through the same plans.
//
// Nothing here needs more than MSL 2: bf16 is moved as 16-bit integers, as `bfloat` came with MSL 3.1.

// As in src/plan.rs.
static constexpr constant int THREADS = 256;
static constexpr constant int MAX_DIMS = 8;

// As in cuda/activations.cu. `beta_bits` and `threshold_bits` are of f64, which no kernel here has.
struct Arguments {
    ulong n;
    // Outermost first; strides of x and of g, in elements.
    ulong dims[MAX_DIMS];
    ulong strides[2][MAX_DIMS];
    // i / dims[d] = (mulhi(i, multipliers[d]) + i) >> shifts[d] for i below 2^31.
    uint multipliers[MAX_DIMS];
    uint shifts[MAX_DIMS];
    uint rank;
    float beta, beta_low, threshold;
    ulong beta_bits, threshold_bits;
};

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

// Contiguous operands, all 16-byte aligned. Thread `first` of `threads` takes vectors that lie a grid apart, so that
// a simdgroup reads 512 bytes in a row. Loads come before stores, so that `out` may be `x`.
template <typename F, typename E>
MISH_INLINE void contiguous(device const typename E::Word *x, device const typename E::Word *g,
                            device typename E::Word *out, constant Arguments &a, ulong first, ulong threads) {
    typedef Vector<E> V;
    const ulong vectors = a.n / ulong(V::N);
    for (ulong i = first; i < vectors; i += threads) {
        V value, factor;
        value.read(MISH_LOAD((device const uint4 *)x + i));
        if (F::ORDER > 0) factor.read(MISH_LOAD((device const uint4 *)g + i));
#pragma unroll
        for (int j = 0; j < V::N; ++j) {
            value.v[j] = F::eval(E(), value.v[j], a);
            if (F::ORDER > 0) value.v[j] = factor.v[j] * value.v[j];
        }
        MISH_STORE((device uint4 *)out + i, value.write());
    }
    const ulong i = vectors * ulong(V::N) + first;
    if (i < a.n) {
        float value = F::eval(E(), E::widen(MISH_LOAD(x + i)), a);
        if (F::ORDER > 0) value = E::widen(MISH_LOAD(g + i)) * value;
        MISH_STORE(out + i, E::narrow(value));
    }
}

MISH_INLINE uint divide(uint i, constant Arguments &a, int d) {
    return (metal::mulhi(i, a.multipliers[d]) + i) >> a.shifts[d];
}
MISH_INLINE ulong divide(ulong i, constant Arguments &a, int d) { return i / a.dims[d]; }

// Any layout of x and any of g; `out` is contiguous.
template <typename F, typename E, typename Index>
MISH_INLINE void strided(device const typename E::Word *x, device const typename E::Word *g,
                         device typename E::Word *out, constant Arguments &a, Index first, Index threads) {
    const Index n = Index(a.n);
    for (Index i = first; i < n; i += threads) {
        Index x_at = 0, g_at = 0, rest = i;
        for (int d = int(a.rank) - 1; d > 0; --d) {
            Index next = divide(rest, a, d);
            Index index = rest - next * Index(a.dims[d]);
            x_at += index * Index(a.strides[0][d]);
            if (F::ORDER > 0) g_at += index * Index(a.strides[1][d]);
            rest = next;
        }
        x_at += rest * Index(a.strides[0][0]);
        float value = F::eval(E(), E::widen(MISH_LOAD(x + x_at)), a);
        if (F::ORDER > 0) {
            g_at += rest * Index(a.strides[1][0]);
            value = E::widen(MISH_LOAD(g + g_at)) * value;
        }
        MISH_STORE(out + i, E::narrow(value));
    }
}

// f⁽ᵏ⁾ for each element type: the 16-bit ones take the quick form.
#define FUNCTION(name, order)                                                                                     \
    struct name##_function {                                                                                      \
        MISH_CONSTANT int ORDER = order;                                                                          \
        template <typename E> static MISH_INLINE float eval(E, float x, constant Arguments &) {                   \
            return quick::name<E>(x);                                                                             \
        }                                                                                                         \
        static MISH_INLINE float eval(F32, float x, constant Arguments &) { return name(x); }                     \
    };

template <int K> struct Parametric {
    MISH_CONSTANT int ORDER = K;
    template <typename E> static MISH_INLINE float eval(E, float x, constant Arguments &a) {
        return softplus_parametric<K>(x, Parameters<float>{a.beta, a.beta_low, a.threshold});
    }
};
typedef Parametric<0> softplus_parametric_function;
typedef Parametric<1> softplus_parametric_d1_function;
typedef Parametric<2> softplus_parametric_d2_function;

}  // namespace candle_mish

// Buffers are numbered as src/msl.rs binds them: operands, output, arguments. Without a derivative there is no g to
// read, and x stands in for it.
#define FORWARD(name, E, ...)                                                                                     \
    MISH_KERNEL void name(device const candle_mish::E::Word *x [[buffer(0)]],                                     \
                          device candle_mish::E::Word *out [[buffer(1)]],                                         \
                          constant Arguments &a [[buffer(2)]],                                                    \
                          uint first [[thread_position_in_grid]],                                                 \
                          uint threads [[threads_per_grid]]) {                                                    \
        candle_mish::__VA_ARGS__(x, x, out, a, first, threads);                                                   \
    }

#define DERIVATIVE(name, E, ...)                                                                                  \
    MISH_KERNEL void name(device const candle_mish::E::Word *x [[buffer(0)]],                                     \
                          device const candle_mish::E::Word *g [[buffer(1)]],                                     \
                          device candle_mish::E::Word *out [[buffer(2)]],                                         \
                          constant Arguments &a [[buffer(3)]],                                                    \
                          uint first [[thread_position_in_grid]],                                                 \
                          uint threads [[threads_per_grid]]) {                                                    \
        candle_mish::__VA_ARGS__(x, g, out, a, first, threads);                                                   \
    }

#define LAYOUTS(SHELL, name, type, E)                                                                             \
    SHELL(name##_##type##_contiguous, E, contiguous<candle_mish::name##_function, candle_mish::E>)                \
    SHELL(name##_##type##_strided32, E, strided<candle_mish::name##_function, candle_mish::E, uint>)              \
    SHELL(name##_##type##_strided64, E, strided<candle_mish::name##_function, candle_mish::E, ulong>)

#define DTYPES(SHELL, name)          \
    LAYOUTS(SHELL, name, f16, F16)   \
    LAYOUTS(SHELL, name, bf16, BF16) \
    LAYOUTS(SHELL, name, f32, F32)

#define ORDERS(name)              \
    DTYPES(FORWARD, name)         \
    DTYPES(DERIVATIVE, name##_d1) \
    DTYPES(DERIVATIVE, name##_d2)

#define ACTIVATION(name)                                                                                          \
    namespace candle_mish { FUNCTION(name, 0) FUNCTION(name##_d1, 1) FUNCTION(name##_d2, 2) }                     \
    ORDERS(name)

ACTIVATION(mish)
ACTIVATION(softplus)
ACTIVATION(tanh_softplus)
ORDERS(softplus_parametric)
