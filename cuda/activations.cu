// The CUDA kernels: g·f⁽ᵏ⁾(x) for any layout. The maths is in src/formula.h and src/quick.h; which kernel runs with
// which arguments is decided in src/plan.rs, and tests/emulator runs this file on the host through the same plans.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

#include "../src/quick.h"

// As in src/plan.rs.
constexpr int THREADS = 256;
constexpr int MAX_DIMS = 8;

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
    // Softplus' parameters for results up to f32, and the bits of the doubles for f64.
    float beta, beta_low, threshold;
    uint64_t beta_bits, threshold_bits;
};

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

// The emulator watches memory through these.
#if !defined(MISH_LOAD)
#define MISH_LOAD(p) (*(p))
#define MISH_STORE(p, value) (*(p) = (value))
#endif

// Contiguous operands, all 16-byte aligned. Loads come before stores, so that `out` may be `x`.
template <typename F, typename E>
__device__ __forceinline__ void contiguous(const typename E::Word *x, const typename E::Word *g,
                                           typename E::Word *out, const Arguments &a) {
    typedef Vector<E> V;
    // Loads of each operand that a thread has under way; f″ is not bound by memory.
    constexpr int IN_FLIGHT = F::ORDER == 2 ? 1 : 2;
    const uint64_t vectors = a.n / V::N;
    const uint64_t stride = uint64_t(gridDim.x) * THREADS;
    const uint64_t first = uint64_t(blockIdx.x) * THREADS + threadIdx.x;
    for (uint64_t at = first; at < vectors; at += IN_FLIGHT * stride) {
        uint4 xs[IN_FLIGHT], gs[IN_FLIGHT];
#pragma unroll
        for (int k = 0; k < IN_FLIGHT; ++k) {
            uint64_t i = at + k * stride;
            if (i < vectors) {
                xs[k] = MISH_LOAD(reinterpret_cast<const uint4 *>(x) + i);
                if (F::ORDER > 0) gs[k] = MISH_LOAD(reinterpret_cast<const uint4 *>(g) + i);
            }
        }
#pragma unroll
        for (int k = 0; k < IN_FLIGHT; ++k) {
            uint64_t i = at + k * stride;
            if (i >= vectors) break;
            V value, factor;
            value.read(xs[k]);
            if (F::ORDER > 0) factor.read(gs[k]);
#pragma unroll
            for (int j = 0; j < V::N; ++j) {
                value.v[j] = F::eval(E(), value.v[j], a);
                if (F::ORDER > 0) value.v[j] = factor.v[j] * value.v[j];
            }
            MISH_STORE(reinterpret_cast<uint4 *>(out) + i, value.write());
        }
    }
    const uint64_t i = vectors * V::N + first;
    if (i < a.n) {
        typename E::Compute value = F::eval(E(), E::widen(MISH_LOAD(x + i)), a);
        if (F::ORDER > 0) value = E::widen(MISH_LOAD(g + i)) * value;
        MISH_STORE(out + i, E::narrow(value));
    }
}

__device__ __forceinline__ uint32_t divide(uint32_t i, const Arguments &a, int d) {
    return (__umulhi(i, a.multipliers[d]) + i) >> a.shifts[d];
}
__device__ __forceinline__ uint64_t divide(uint64_t i, const Arguments &a, int d) { return i / a.dims[d]; }

// Any layout of x and any of g; `out` is contiguous.
template <typename F, typename E, typename Index>
__device__ __forceinline__ void strided(const typename E::Word *x, const typename E::Word *g, typename E::Word *out,
                                        const Arguments &a) {
    constexpr int IN_FLIGHT = F::ORDER == 2 || sizeof(Index) == 8 || sizeof(typename E::Word) == 8 ? 1 : 4;
    const Index n = Index(a.n);
    const Index stride = Index(gridDim.x) * THREADS;
    const int last = int(a.rank) - 1;
    for (Index at = Index(blockIdx.x) * THREADS + threadIdx.x; at < n; at += IN_FLIGHT * stride) {
        typename E::Word xs[IN_FLIGHT], gs[IN_FLIGHT];
#pragma unroll
        for (int k = 0; k < IN_FLIGHT; ++k) {
            Index i = at + k * stride;
            if (i < n) {
                Index x_at = 0, g_at = 0;
#pragma unroll 1
                for (int d = last; d > 0; --d) {
                    Index next = divide(i, a, d);
                    Index index = i - next * Index(a.dims[d]);
                    x_at += index * Index(a.strides[0][d]);
                    if (F::ORDER > 0) g_at += index * Index(a.strides[1][d]);
                    i = next;
                }
                x_at += i * Index(a.strides[0][0]);
                xs[k] = MISH_LOAD(x + x_at);
                if (F::ORDER > 0) gs[k] = MISH_LOAD(g + (g_at + i * Index(a.strides[1][0])));
            }
        }
#pragma unroll
        for (int k = 0; k < IN_FLIGHT; ++k) {
            Index i = at + k * stride;
            if (i >= n) break;
            typename E::Compute value = F::eval(E(), E::widen(xs[k]), a);
            if (F::ORDER > 0) value = E::widen(gs[k]) * value;
            MISH_STORE(out + i, E::narrow(value));
        }
    }
}

// f⁽ᵏ⁾ for each element type: the 16-bit ones take the quick form.
#define FUNCTION(name, order)                                                                                     \
    struct name##_function {                                                                                      \
        static constexpr int ORDER = order;                                                                       \
        template <typename E> static __device__ __forceinline__ float eval(E, float x, const Arguments &) {       \
            return quick::name<E>(x);                                                                              \
        }                                                                                                         \
        static __device__ __forceinline__ float eval(F32, float x, const Arguments &) { return name(x); }         \
        static __device__ __forceinline__ double eval(F64, double x, const Arguments &) { return name(x); }       \
    };

template <int K> struct Parametric {
    static constexpr int ORDER = K;
    template <typename E> static __device__ __forceinline__ float eval(E, float x, const Arguments &a) {
        return softplus_parametric<K>(x, Parameters<float>{a.beta, a.beta_low, a.threshold});
    }
    static __device__ __forceinline__ double eval(F64, double x, const Arguments &a) {
        return softplus_parametric<K>(
            x, Parameters<double>{__longlong_as_double(a.beta_bits), 0.0, __longlong_as_double(a.threshold_bits)});
    }
};
typedef Parametric<0> softplus_parametric_function;
typedef Parametric<1> softplus_parametric_d1_function;
typedef Parametric<2> softplus_parametric_d2_function;

}  // namespace candle_mish

#define FORWARD(kernel, E, ...)                                                                        \
    extern "C" __global__ void __launch_bounds__(THREADS)                                              \
        kernel(const candle_mish::E::Word *x, candle_mish::E::Word *out, const __grid_constant__ Arguments a) { \
        candle_mish::__VA_ARGS__(x, nullptr, out, a);                                                  \
    }

#define DERIVATIVE(kernel, E, ...)                                                                     \
    extern "C" __global__ void __launch_bounds__(THREADS)                                              \
        kernel(const candle_mish::E::Word *x, const candle_mish::E::Word *g, candle_mish::E::Word *out, \
               const __grid_constant__ Arguments a) {                                                  \
        candle_mish::__VA_ARGS__(x, g, out, a);                                                        \
    }

#define LAYOUTS(SHELL, name, type, E)                                                                              \
    SHELL(name##_##type##_contiguous, E, contiguous<candle_mish::name##_function, candle_mish::E>)                 \
    SHELL(name##_##type##_strided32, E, strided<candle_mish::name##_function, candle_mish::E, uint32_t>)           \
    SHELL(name##_##type##_strided64, E, strided<candle_mish::name##_function, candle_mish::E, uint64_t>)

#define DTYPES(SHELL, name)         \
    LAYOUTS(SHELL, name, f16, F16)  \
    LAYOUTS(SHELL, name, bf16, BF16) \
    LAYOUTS(SHELL, name, f32, F32)  \
    LAYOUTS(SHELL, name, f64, F64)

#define ORDERS(name)              \
    DTYPES(FORWARD, name)         \
    DTYPES(DERIVATIVE, name##_d1) \
    DTYPES(DERIVATIVE, name##_d2)

#define ACTIVATION(name)                                                                                            \
    namespace candle_mish { FUNCTION(name, 0) FUNCTION(name##_d1, 1) FUNCTION(name##_d2, 2) }                       \
    ORDERS(name)

ACTIVATION(mish)
ACTIVATION(softplus)
ACTIVATION(tanh_softplus)
ORDERS(softplus_parametric)
