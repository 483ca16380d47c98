// The CUDA kernels: g·f⁽ᵏ⁾(x) for any layout. The maths is in src/formula.h and src/quick.h; which kernel runs with
// which arguments is decided in src/plan.rs, and tests/emulator runs this file on the host through the same plans.

#include "elements.cuh"

// Everything but the pointers, by value: no upload per call, and nothing that a graph capture would refuse.
struct Arguments {
    uint64_t n;
    // Outermost first; strides of x and of g, in elements.
    uint64_t dims[MAX_DIMS];
    uint64_t strides[2][MAX_DIMS];
    // i / dims[d] = (mulhi(i, multipliers[d]) + i) >> shifts[d] for i below 2^31.
    uint32_t multipliers[MAX_DIMS];
    uint32_t shifts[MAX_DIMS];
    uint32_t rank;
    // Whether `out` is x's storage, laid out as x is.
    uint32_t in_place;
    // Softplus' parameters for results up to f32, and the bits of the doubles for f64.
    float beta, beta_low, threshold;
    uint32_t reserved;
    uint64_t beta_bits, threshold_bits;
};

namespace candle_mish {

// COUNT vectors that lie a grid apart, all loaded before the first is stored, so that `out` may be `x`.
template <int COUNT, typename F, typename E>
__device__ __forceinline__ void vectors(const uint4 *x, const uint4 *g, uint4 *out, uint64_t stride, const Arguments &a) {
    uint4 xs[COUNT], gs[COUNT];
#pragma unroll
    for (int k = 0; k < COUNT; ++k) {
        xs[k] = MISH_LOAD(x + k * stride);
        if (F::ORDER > 0) gs[k] = MISH_LOAD(g + k * stride);
    }
#pragma unroll
    for (int k = 0; k < COUNT; ++k) {
        Vector<E> value, factor;
        value.read(xs[k]);
        if (F::ORDER > 0) factor.read(gs[k]);
#pragma unroll
        for (int j = 0; j < Vector<E>::N; ++j) {
            value.v[j] = F::eval(E(), value.v[j], a);
            if (F::ORDER > 0) value.v[j] = factor.v[j] * value.v[j];
        }
        MISH_STORE(out + k * stride, value.write());
    }
}

// Contiguous operands, all 16-byte aligned.
template <typename F, typename E>
__device__ __forceinline__ void contiguous(const typename E::Word *x, const typename E::Word *g,
                                           typename E::Word *out, const Arguments &a) {
    typedef Vector<E> V;
    constexpr int IN_FLIGHT = F::VECTORS;
    const uint4 *const xs = reinterpret_cast<const uint4 *>(x), *const gs = reinterpret_cast<const uint4 *>(g);
    uint4 *const outs = reinterpret_cast<uint4 *>(out);
    const uint64_t count = a.n / V::N;
    const uint64_t stride = uint64_t(gridDim.x) * THREADS;
    const uint64_t first = uint64_t(blockIdx.x) * THREADS + threadIdx.x;
    uint64_t at = first;
    for (; at + (IN_FLIGHT - 1) * stride < count; at += IN_FLIGHT * stride) {
        vectors<IN_FLIGHT, F, E>(xs + at, gs + at, outs + at, stride, a);
    }
    if (IN_FLIGHT > 1) {
        for (; at < count; at += stride) vectors<1, F, E>(xs + at, gs + at, outs + at, stride, a);
    }
    const uint64_t i = count * V::N + first;
    if (i < a.n) {
        typename E::Compute value = F::eval(E(), E::widen(MISH_LOAD(x + i)), a);
        if (F::ORDER > 0) value = E::widen(MISH_LOAD(g + i)) * value;
        MISH_STORE(out + i, E::narrow(value));
    }
}

// Any layout of x and any of g; `out` is contiguous, or x itself.
template <typename F, typename E, typename Index>
__device__ __forceinline__ void strided(const typename E::Word *x, const typename E::Word *g, typename E::Word *out,
                                        const Arguments &a) {
    constexpr int IN_FLIGHT = F::ORDER == 2 || sizeof(Index) == 8 || sizeof(typename E::Word) == 8 ? 1 : 4;
    const Index n = Index(a.n);
    const Index stride = Index(gridDim.x) * THREADS;
    const int last = int(a.rank) - 1;
    for (Index at = Index(blockIdx.x) * THREADS + threadIdx.x; at < n; at += IN_FLIGHT * stride) {
        typename E::Word xs[IN_FLIGHT], gs[IN_FLIGHT];
        Index to[IN_FLIGHT];
#pragma unroll
        for (int k = 0; k < IN_FLIGHT; ++k) {
            Index i = at + k * stride;
            to[k] = i;
            if (i < n) {
                Index x_at = 0, g_at = 0;
#pragma unroll 1
                for (int d = last; d > 0; --d) {
                    Index next = divide(i, a.dims[d], a.multipliers[d], a.shifts[d]);
                    Index index = i - next * Index(a.dims[d]);
                    x_at += index * Index(a.strides[0][d]);
                    if (F::ORDER > 0) g_at += index * Index(a.strides[1][d]);
                    i = next;
                }
                x_at += i * Index(a.strides[0][0]);
                xs[k] = MISH_LOAD(x + x_at);
                if (F::ORDER == 0 && a.in_place) to[k] = x_at;
                if (F::ORDER > 0) gs[k] = MISH_LOAD(g + (g_at + i * Index(a.strides[1][0])));
            }
        }
#pragma unroll
        for (int k = 0; k < IN_FLIGHT; ++k) {
            if (at + k * stride >= n) break;
            typename E::Compute value = F::eval(E(), E::widen(xs[k]), a);
            if (F::ORDER > 0) value = E::widen(gs[k]) * value;
            MISH_STORE(out + to[k], E::narrow(value));
        }
    }
}

// Vectors of each operand that a thread has under way, which makes two loads, but where arithmetic takes longer than memory.
constexpr int vectors_of(int order) { return order == 0 ? 2 : 1; }

// A function of the table, of order K.
template <typename F, int K> struct Plain {
    static constexpr int ORDER = K, VECTORS = vectors_of(K), RESIDENT = BLOCKS;
    template <typename E, typename T> static __device__ __forceinline__ T eval(E e, T x, const Arguments &) {
        return F::eval(e, x);
    }
};

__device__ __forceinline__ float threshold(float, const Arguments &a) { return a.threshold; }
__device__ __forceinline__ double threshold(double, const Arguments &a) { return __longlong_as_double(a.threshold_bits); }

// Softplus with β = 1, f or the line that takes its place.
template <typename F, int K> struct Thresholded {
    static constexpr int ORDER = K, VECTORS = vectors_of(K), RESIDENT = BLOCKS;
    template <typename E, typename T> static __device__ __forceinline__ T eval(E e, T x, const Arguments &a) {
        return if_gt(x, threshold(x, a), above_threshold<K>(x), F::eval(e, x));
    }
};

// Softplus with any β. It spills registers if it may have 64.
template <int K> struct Parametric {
    static constexpr int ORDER = K, VECTORS = 1, RESIDENT = 0;
    template <typename E> static __device__ __forceinline__ float eval(E, float x, const Arguments &a) {
        return softplus_parametric<K>(x, Parameters<float>{a.beta, a.beta_low, a.threshold});
    }
    static __device__ __forceinline__ double eval(F64, double x, const Arguments &a) {
        return softplus_parametric<K>(
            x, Parameters<double>{__longlong_as_double(a.beta_bits), 0.0, __longlong_as_double(a.threshold_bits)});
    }
};

}  // namespace candle_mish

#define FORWARD(kernel, E, F, ...)                                                                                  \
    extern "C" __global__ void __launch_bounds__(THREADS, candle_mish::F::RESIDENT)                                 \
        kernel(const candle_mish::E::Word *x, candle_mish::E::Word *out, const __grid_constant__ Arguments a) {     \
        candle_mish::__VA_ARGS__(x, nullptr, out, a);                                                               \
    }

#define DERIVATIVE(kernel, E, F, ...)                                                                               \
    extern "C" __global__ void __launch_bounds__(THREADS, candle_mish::F::RESIDENT)                                 \
        kernel(const candle_mish::E::Word *x, const candle_mish::E::Word *g, candle_mish::E::Word *out,             \
               const __grid_constant__ Arguments a) {                                                               \
        candle_mish::__VA_ARGS__(x, g, out, a);                                                                     \
    }

#define LAYOUTS(type, E, SHELL, name)                                                                              \
    SHELL(name##_##type##_contiguous, E, name##_kernel, contiguous<candle_mish::name##_kernel, candle_mish::E>)    \
    SHELL(name##_##type##_strided32, E, name##_kernel, strided<candle_mish::name##_kernel, candle_mish::E, uint32_t>) \
    SHELL(name##_##type##_strided64, E, name##_kernel, strided<candle_mish::name##_kernel, candle_mish::E, uint64_t>)

#define DTYPES(SHELL, name) FOR_ELEMENTS(LAYOUTS, SHELL, name)

#define ORDERS(name)              \
    DTYPES(FORWARD, name)         \
    DTYPES(DERIVATIVE, name##_d1) \
    DTYPES(DERIVATIVE, name##_d2)

#define PLAIN(name, order)  \
    FUNCTION(name)          \
    namespace candle_mish { \
    typedef Plain<name##_function, order> name##_kernel; \
    }

#define ACTIVATION(name)                               \
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
