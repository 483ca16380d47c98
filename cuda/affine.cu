// The CUDA kernels of the fused neighbours: f(u) and its gradients with u = x·scale + shift, where scale and shift have
// one value per channel. The plans are made in src/plan/affine.rs.

#include "elements.cuh"

// Everything but the pointers, by value.
struct AffineArguments {
    uint64_t n;
    // Outermost first; strides of x, g, scale and shift, in elements. Channels: dims are the channels and the elements
    // of one that lie side by side. Sums: the channels, then the dims of one channel, of which n are the elements.
    uint64_t dims[MAX_DIMS];
    uint64_t strides[4][MAX_DIMS];
    uint32_t multipliers[MAX_DIMS];
    uint32_t shifts[MAX_DIMS];
    uint32_t rank;
    // Threads that share the sums of a channel, and whether such threads are neighbours.
    uint32_t parts, together;
    // Whether scale and shift are float where x is narrower.
    uint32_t single[2];
    // Channels: whether each element has a channel of its own, and vectors of elements have vectors of scale and shift,
    // aligned to 16 bytes as well.
    uint32_t adjacent;
};

namespace candle_mish {

template <typename E>
__device__ __forceinline__ typename E::Compute parameter(const void *values, uint64_t at, uint32_t single) {
    if (sizeof(typename E::Word) == 2 && single) return MISH_LOAD(static_cast<const float *>(values) + at);
    return E::widen(MISH_LOAD(static_cast<const typename E::Word *>(values) + at));
}

// Of as many channels in a row as a vector has elements.
template <typename E>
__device__ __forceinline__ Vector<E> parameters(const void *values, uint32_t at, uint32_t single) {
    Vector<E> v;
    if (sizeof(typename E::Word) == 2 && single) {
        const uint4 *words = reinterpret_cast<const uint4 *>(static_cast<const float *>(values) + at);
#pragma unroll
        for (int i = 0; i < Vector<E>::N / 4; ++i) {
            Vector<F32> four;
            four.read(MISH_LOAD(words + i));
#pragma unroll
            for (int j = 0; j < 4; ++j) v.v[4 * i + j] = four.v[j];
        }
    } else {
        v.read(MISH_LOAD(reinterpret_cast<const uint4 *>(static_cast<const typename E::Word *>(values) + at)));
    }
    return v;
}

// What an element meets of its channel.
template <typename F, typename E> struct Channel {
    typedef typename E::Compute C;
    C scale, shift;

    __device__ __forceinline__ void load(const void *scales, const void *shifts, uint64_t scale_at, uint64_t shift_at,
                                         const AffineArguments &a) {
        scale = F::SCALED ? parameter<E>(scales, scale_at, a.single[0]) : C(1);
        shift = parameter<E>(shifts, shift_at, a.single[1]);
    }
    // x·scale + shift, rounded once.
    __device__ __forceinline__ C argument(C x) const { return F::SCALED ? fused(x, scale, shift) : x + shift; }
    // f(u), or g·f′(u)·scale.
    __device__ __forceinline__ C value(C x, C g) const {
        C y = F::eval(E(), argument(x));
        if (F::ORDER == 0) return y;
        return F::SCALED ? g * y * scale : g * y;
    }
};

// x and g contiguous and aligned to 16 bytes, fewer than 2^31 elements.
template <typename F, typename E>
__device__ __forceinline__ void channels(const typename E::Word *x, const typename E::Word *g, const void *scales,
                                         const void *shifts, typename E::Word *out, const AffineArguments &a) {
    typedef Vector<E> V;
    const uint32_t n = uint32_t(a.n), count = uint32_t(a.dims[0]), side = uint32_t(a.dims[1]);
    const uint32_t vectors = (n + V::N - 1) / V::N;
    const uint32_t stride = gridDim.x * THREADS;
    for (uint32_t i = blockIdx.x * THREADS + threadIdx.x; i < vectors; i += stride) {
        const uint32_t at = i * V::N;
        const bool whole = at + V::N <= n;
        // Asked for before the channels are, which take two divisions and loads that depend on them.
        uint4 xs = {}, gs = {};
        if (whole) {
            xs = MISH_LOAD(reinterpret_cast<const uint4 *>(x) + i);
            if (F::ORDER > 0) gs = MISH_LOAD(reinterpret_cast<const uint4 *>(g) + i);
        }
        const uint32_t run = divide(at, a.dims[1], a.multipliers[1], a.shifts[1]);
        uint32_t channel = run - divide(run, a.dims[0], a.multipliers[0], a.shifts[0]) * count;
        uint32_t within = at - run * side;
        Channel<F, E> of[V::N];
        if (a.adjacent) {
            const V shift = parameters<E>(shifts, channel, a.single[1]);
            const V scale = F::SCALED ? parameters<E>(scales, channel, a.single[0]) : shift;
#pragma unroll
            for (int j = 0; j < V::N; ++j) {
                of[j].scale = F::SCALED ? scale.v[j] : typename E::Compute(1);
                of[j].shift = shift.v[j];
            }
        } else {
            of[0].load(scales, shifts, channel * a.strides[2][0], channel * a.strides[3][0], a);
#pragma unroll
            for (int j = 1; j < V::N; ++j) {
                of[j] = of[j - 1];
                // A vector has a single channel where the vectors divide a run.
                if (side % V::N != 0) {
                    ++within;
                    channel = within == side ? channel + 1 : channel;
                    within = within == side ? 0 : within;
                    channel = channel == count ? 0 : channel;
                    of[j].load(scales, shifts, channel * a.strides[2][0], channel * a.strides[3][0], a);
                }
            }
        }
        V value, factor;
        value.read(xs);
        factor.read(gs);
        if (!whole) {
#pragma unroll
            for (int j = 0; j < V::N; ++j) {
                if (at + j >= n) break;
                value.v[j] = E::widen(MISH_LOAD(x + at + j));
                if (F::ORDER > 0) factor.v[j] = E::widen(MISH_LOAD(g + at + j));
            }
        }
#pragma unroll
        for (int j = 0; j < V::N; ++j) value.v[j] = of[j].value(value.v[j], factor.v[j]);
        if (whole) {
            MISH_STORE(reinterpret_cast<uint4 *>(out) + i, value.write());
        } else {
#pragma unroll
            for (int j = 0; j < V::N; ++j) {
                if (at + j >= n) break;
                MISH_STORE(out + at + j, E::narrow(value.v[j]));
            }
        }
    }
}

// Where the operands have an element.
template <typename Index> struct Place {
    Index at[4];
};

// Of element i, which counts within the dims from `first` on.
template <typename Index>
__device__ __forceinline__ Place<Index> place(Index i, int first, const AffineArguments &a) {
    Place<Index> p = {{0, 0, 0, 0}};
#pragma unroll 1
    for (int d = int(a.rank) - 1; d > first; --d) {
        Index next = divide(i, a.dims[d], a.multipliers[d], a.shifts[d]);
        Index index = i - next * Index(a.dims[d]);
#pragma unroll
        for (int k = 0; k < 4; ++k) p.at[k] += index * Index(a.strides[k][d]);
        i = next;
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) p.at[k] += i * Index(a.strides[k][first]);
    return p;
}

// Any layout; `out` is contiguous.
template <typename F, typename E, typename Index>
__device__ __forceinline__ void strided(const typename E::Word *x, const typename E::Word *g, const void *scales,
                                        const void *shifts, typename E::Word *out, const AffineArguments &a) {
    const Index n = Index(a.n);
    const Index stride = Index(gridDim.x) * THREADS;
    for (Index i = Index(blockIdx.x) * THREADS + threadIdx.x; i < n; i += stride) {
        Place<Index> p = place(i, 0, a);
        Channel<F, E> c;
        c.load(scales, shifts, p.at[2], p.at[3], a);
        typename E::Compute x_value = E::widen(MISH_LOAD(x + p.at[0]));
        typename E::Compute g_value = F::ORDER > 0 ? E::widen(MISH_LOAD(g + p.at[1])) : x_value;
        MISH_STORE(out + i, E::narrow(c.value(x_value, g_value)));
    }
}

// A sum with what its additions rounded off (Kahan, Babuška and Neumaier's variant).
template <typename C> struct Sum {
    C high = C(0), low = C(0);
    __device__ __forceinline__ void add(C v) {
        C sum = high + v;
        low = low + (magnitude(high) >= magnitude(v) ? (high - sum) + v : (v - sum) + high);
        high = sum;
    }
    // Where a term or the sum is infinite, `low` is NaN.
    __device__ __forceinline__ C total() const { return low == low ? high + low : high; }
};

// Σ g·f′(u)·x and Σ g·f′(u) of every channel, each as `parts` partial sums of one thread: the gradients of scale and
// of shift. Without atomics and barriers, so the same on every run.
template <typename F, typename E, typename Index>
__device__ __forceinline__ void sums(const typename E::Word *x, const typename E::Word *g, const void *scales,
                                     const void *shifts, typename E::Compute *out, const AffineArguments &a) {
    typedef typename E::Compute C;
    const Index count = Index(a.dims[0]), parts = Index(a.parts), n = Index(a.n);
    const Index stride = Index(gridDim.x) * THREADS;
    for (Index sum = Index(blockIdx.x) * THREADS + threadIdx.x; sum < count * parts; sum += stride) {
        const Index channel = a.together ? sum / parts : sum % count;
        const Index part = a.together ? sum % parts : sum / count;
        const Index x_first = channel * Index(a.strides[0][0]), g_first = channel * Index(a.strides[1][0]);
        Channel<F, E> c;
        c.load(scales, shifts, channel * Index(a.strides[2][0]), channel * Index(a.strides[3][0]), a);
        Sum<C> times_x, plain;
        for (Index i = part; i < n; i += parts) {
            Place<Index> p = place(i, 1, a);
            C x_value = E::widen(MISH_LOAD(x + (x_first + p.at[0])));
            C product = E::widen(MISH_LOAD(g + (g_first + p.at[1]))) * F::eval(E(), c.argument(x_value));
            if (F::SCALED) times_x.add(product * x_value);
            plain.add(product);
        }
        const Index at = channel * parts + part;
        if (F::SCALED) MISH_STORE(out + at, times_x.total());
        MISH_STORE(out + (F::SCALED ? count * parts : Index(0)) + at, plain.total());
    }
}

// A function with or without a scale, of order K.
template <typename F, bool WITH_SCALE, int K> struct Affine : F {
    static constexpr bool SCALED = WITH_SCALE;
    static constexpr int ORDER = K;
};

}  // namespace candle_mish

#define KERNEL(kernel, E, Out, ...)                                                                           \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)                                                   \
        kernel(const candle_mish::E::Word *x, const candle_mish::E::Word *g, const void *scale,               \
               const void *shift, candle_mish::E::Out *out, const __grid_constant__ AffineArguments a) {      \
        candle_mish::__VA_ARGS__(x, g, scale, shift, out, a);                                                 \
    }

#define LAYOUTS(name, type, E)                                                                                \
    KERNEL(name##_##type##_channels, E, Word, channels<candle_mish::name##_kernel, candle_mish::E>)            \
    KERNEL(name##_##type##_strided32, E, Word, strided<candle_mish::name##_kernel, candle_mish::E, uint32_t>)  \
    KERNEL(name##_##type##_strided64, E, Word, strided<candle_mish::name##_kernel, candle_mish::E, uint64_t>)

#define SUMS(name, type, E)                                                                                    \
    KERNEL(name##_sums_##type##_strided32, E, Compute, sums<candle_mish::name##_d1_kernel, candle_mish::E, uint32_t>) \
    KERNEL(name##_sums_##type##_strided64, E, Compute, sums<candle_mish::name##_d1_kernel, candle_mish::E, uint64_t>)

#define PASSES(type, E, name)     \
    LAYOUTS(name, type, E)        \
    LAYOUTS(name##_d1, type, E)   \
    SUMS(name, type, E)

// A row of the table in src/affine.rs: its name, the activation, and whether there is a scale.
#define AFFINE(name, activation, scaled)                                                  \
    namespace candle_mish {                                                               \
    typedef Affine<activation##_function, scaled, 0> name##_kernel;                       \
    typedef Affine<activation##_d1_function, scaled, 1> name##_d1_kernel;                 \
    }                                                                                     \
    FOR_ELEMENTS(PASSES, name)

FUNCTION(mish)
FUNCTION(mish_d1)
FUNCTION(softplus)
FUNCTION(softplus_d1)
AFFINE(mish_affine, mish, true)
AFFINE(mish_bias, mish, false)
AFFINE(softplus_bias, softplus, false)
