// The Metal kernels: g·f⁽ᵏ⁾(x) for any layout, under the names of cuda/activations.cu. src/msl.rs splices the headers of
// src/ and elements.h in front of this file; which kernel runs with which arguments is decided in src/plan.rs, and
// tests/emulator runs the whole on the host through the same plans.

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
    // Whether `out` is x's buffer, laid out as x is.
    uint in_place;
    float beta, beta_low, threshold;
    uint reserved;
    ulong beta_bits, threshold_bits;
};

namespace candle_mish {

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

// Any layout of x and any of g; `out` is contiguous, or x itself.
template <typename F, typename E, typename Index>
MISH_INLINE void strided(device const typename E::Word *x, device const typename E::Word *g,
                         device typename E::Word *out, constant Arguments &a, Index first, Index threads) {
    const Index n = Index(a.n);
    for (Index i = first; i < n; i += threads) {
        Index x_at = 0, g_at = 0, rest = i;
        for (int d = int(a.rank) - 1; d > 0; --d) {
            Index next = divide(rest, a.dims[d], a.multipliers[d], a.shifts[d]);
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
        MISH_STORE(out + (F::ORDER == 0 && a.in_place != 0 ? x_at : i), E::narrow(value));
    }
}

// A function of the table, of order K.
template <typename F, int K> struct Plain {
    MISH_CONSTANT int ORDER = K;
    template <typename E> static MISH_INLINE float eval(E e, float x, constant Arguments &) { return F::eval(e, x); }
};

// Softplus with β = 1, f or the line that takes its place.
template <typename F, int K> struct Thresholded {
    MISH_CONSTANT int ORDER = K;
    template <typename E> static MISH_INLINE float eval(E e, float x, constant Arguments &a) {
        return if_gt(x, a.threshold, above_threshold<K>(x), F::eval(e, x));
    }
};

// Softplus with any β.
template <int K> struct Parametric {
    MISH_CONSTANT int ORDER = K;
    template <typename E> static MISH_INLINE float eval(E, float x, constant Arguments &a) {
        return softplus_parametric<K>(x, Parameters<float>{a.beta, a.beta_low, a.threshold});
    }
};

}  // namespace candle_mish

// Buffers are numbered as src/msl.rs binds them: operands, output, arguments. Without a derivative there is no g to
// read, and x stands in for it. The compiler may take buffers not to overlap (MSL 5.2), so what is overwritten is read
// through `out`.
#define FORWARD(name, E, ...)                                                                                     \
    MISH_KERNEL void name(device const candle_mish::E::Word *x [[buffer(0)]],                                     \
                          device candle_mish::E::Word *out [[buffer(1)]],                                         \
                          constant Arguments &a [[buffer(2)]],                                                    \
                          uint first [[thread_position_in_grid]],                                                 \
                          uint threads [[threads_per_grid]]) {                                                    \
        device const candle_mish::E::Word *in = a.in_place != 0 ? out : x;                                        \
        candle_mish::__VA_ARGS__(in, in, out, a, first, threads);                                                 \
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
    SHELL(name##_##type##_contiguous, E, contiguous<candle_mish::name##_kernel, candle_mish::E>)                \
    SHELL(name##_##type##_strided32, E, strided<candle_mish::name##_kernel, candle_mish::E, uint>)              \
    SHELL(name##_##type##_strided64, E, strided<candle_mish::name##_kernel, candle_mish::E, ulong>)

#define DTYPES(SHELL, name)          \
    LAYOUTS(SHELL, name, f16, F16)   \
    LAYOUTS(SHELL, name, bf16, BF16) \
    LAYOUTS(SHELL, name, f32, F32)

#define ORDERS(name)              \
    DTYPES(FORWARD, name)         \
    DTYPES(DERIVATIVE, name##_d1) \
    DTYPES(DERIVATIVE, name##_d2)

#define PLAIN(name, order)  \
    FUNCTION(name)          \
    namespace candle_mish { \
    typedef Plain<name##_function, order> name##_kernel; \
    }

#define ACTIVATION(name)                                   \
    PLAIN(name, 0) PLAIN(name##_d1, 1) PLAIN(name##_d2, 2) \
    ORDERS(name)

ACTIVATION(mish)
ACTIVATION(softplus)
ACTIVATION(tanh_softplus)

namespace candle_mish {
typedef Thresholded<softplus_function, 0> softplus_thresholded_kernel;
typedef Thresholded<softplus_d1_function, 1> softplus_thresholded_d1_kernel;
typedef Thresholded<softplus_d2_function, 2> softplus_thresholded_d2_kernel;
typedef Parametric<0> softplus_parametric_kernel;
typedef Parametric<1> softplus_parametric_d1_kernel;
typedef Parametric<2> softplus_parametric_d2_kernel;
}  // namespace candle_mish
ORDERS(softplus_thresholded)
ORDERS(softplus_parametric)
