// The Metal kernels of the fused neighbours, under the names of cuda/affine.cu: f(u) and its gradients with
// u = x·scale + shift, where scale and shift have one value per channel. src/msl.rs splices the headers of src/ and
// elements.h in front of this file; the plans are made in src/plan/affine.rs.

// As in cuda/affine.cu.
struct AffineArguments {
    ulong n;
    // Outermost first; strides of x, g, scale and shift, in elements. Channels: dims are the channels and the elements
    // of one that lie side by side. Sums: the channels, then the dims of one channel, of which n are the elements.
    ulong dims[MAX_DIMS];
    ulong strides[4][MAX_DIMS];
    uint multipliers[MAX_DIMS];
    uint shifts[MAX_DIMS];
    uint rank;
    // Threads that share the sums of a channel, and whether such threads are neighbours.
    uint parts, together;
    // Whether scale and shift are float where x is narrower.
    uint single[2];
    // Channels: whether each element has a channel of its own, and vectors of elements have vectors of scale and shift,
    // aligned to 16 bytes as well.
    uint adjacent;
};

namespace candle_mish {

template <typename E> MISH_INLINE float parameter(device const uchar *values, ulong at, uint single) {
    if (sizeof(typename E::Word) == 2 && single != 0) return float_of(MISH_LOAD((device const uint *)values + at));
    return E::widen(MISH_LOAD((device const typename E::Word *)values + at));
}

// Of as many channels in a row as a vector has elements.
template <typename E> MISH_INLINE Vector<E> parameters(device const uchar *values, ulong at, uint single) {
    Vector<E> v;
    if (sizeof(typename E::Word) == 2 && single != 0) {
        device const uint4 *words = (device const uint4 *)((device const uint *)values + at);
#pragma unroll
        for (int i = 0; i < Vector<E>::N / 4; ++i) {
            Vector<F32> four;
            four.read(MISH_LOAD(words + i));
#pragma unroll
            for (int j = 0; j < 4; ++j) v.v[4 * i + j] = four.v[j];
        }
    } else {
        v.read(MISH_LOAD((device const uint4 *)((device const typename E::Word *)values + at)));
    }
    return v;
}

// What an element meets of its channel.
template <typename F, typename E> struct Channel {
    float scale, shift;

    MISH_INLINE void load(device const uchar *scales, device const uchar *shifts, ulong scale_at, ulong shift_at,
                          constant AffineArguments &a) {
        scale = F::SCALED ? parameter<E>(scales, scale_at, a.single[0]) : 1.0f;
        shift = parameter<E>(shifts, shift_at, a.single[1]);
    }
    // x·scale + shift, rounded once.
    MISH_INLINE float argument(float x) const { return F::SCALED ? fused(x, scale, shift) : x + shift; }
    // f(u), or g·f′(u)·scale.
    MISH_INLINE float value(float x, float g) const {
        float y = F::eval(E(), argument(x));
        if (F::ORDER == 0) return y;
        return F::SCALED ? g * y * scale : g * y;
    }
};

// x and g contiguous and aligned to 16 bytes, fewer than 2^31 elements.
template <typename F, typename E>
MISH_INLINE void channels(device const typename E::Word *x, device const typename E::Word *g,
                          device const uchar *scales, device const uchar *shifts, device typename E::Word *out,
                          constant AffineArguments &a, uint first, uint threads) {
    typedef Vector<E> V;
    const uint n = uint(a.n), count = uint(a.dims[0]), side = uint(a.dims[1]);
    const uint vectors = (n + uint(V::N) - 1u) / uint(V::N);
    for (uint i = first; i < vectors; i += threads) {
        const uint at = i * uint(V::N);
        const bool whole = at + uint(V::N) <= n;
        // Asked for before the channels are, which take two divisions and loads that depend on them.
        uint4 xs = uint4(0u, 0u, 0u, 0u), gs = xs;
        if (whole) {
            xs = MISH_LOAD((device const uint4 *)x + i);
            if (F::ORDER > 0) gs = MISH_LOAD((device const uint4 *)g + i);
        }
        const uint run = divide(at, a.dims[1], a.multipliers[1], a.shifts[1]);
        uint channel = run - divide(run, a.dims[0], a.multipliers[0], a.shifts[0]) * count;
        uint within = at - run * side;
        Channel<F, E> of[V::N];
        if (a.adjacent != 0) {
            const V shift = parameters<E>(shifts, channel, a.single[1]);
            const V scale = F::SCALED ? parameters<E>(scales, channel, a.single[0]) : shift;
#pragma unroll
            for (int j = 0; j < V::N; ++j) {
                of[j].scale = F::SCALED ? scale.v[j] : 1.0f;
                of[j].shift = shift.v[j];
            }
        } else {
            of[0].load(scales, shifts, channel * a.strides[2][0], channel * a.strides[3][0], a);
#pragma unroll
            for (int j = 1; j < V::N; ++j) {
                of[j] = of[j - 1];
                // A vector has a single channel where the vectors divide a run.
                if (side % uint(V::N) != 0u) {
                    ++within;
                    channel = within == side ? channel + 1u : channel;
                    within = within == side ? 0u : within;
                    channel = channel == count ? 0u : channel;
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
                if (at + uint(j) >= n) break;
                value.v[j] = E::widen(MISH_LOAD(x + (at + uint(j))));
                if (F::ORDER > 0) factor.v[j] = E::widen(MISH_LOAD(g + (at + uint(j))));
            }
        }
#pragma unroll
        for (int j = 0; j < V::N; ++j) value.v[j] = of[j].value(value.v[j], factor.v[j]);
        if (whole) {
            MISH_STORE((device uint4 *)out + i, value.write());
        } else {
#pragma unroll
            for (int j = 0; j < V::N; ++j) {
                if (at + uint(j) >= n) break;
                MISH_STORE(out + (at + uint(j)), E::narrow(value.v[j]));
            }
        }
    }
}

// Where the operands have an element.
template <typename Index> struct Place {
    Index at[4];
};

// Of element i, which counts within the dims from `first` on.
template <typename Index> MISH_INLINE Place<Index> place(Index i, int first, constant AffineArguments &a) {
    Place<Index> p = {{0, 0, 0, 0}};
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
MISH_INLINE void strided(device const typename E::Word *x, device const typename E::Word *g,
                         device const uchar *scales, device const uchar *shifts, device typename E::Word *out,
                         constant AffineArguments &a, Index first, Index threads) {
    const Index n = Index(a.n);
    for (Index i = first; i < n; i += threads) {
        Place<Index> p = place(i, 0, a);
        Channel<F, E> c;
        c.load(scales, shifts, p.at[2], p.at[3], a);
        float x_value = E::widen(MISH_LOAD(x + p.at[0]));
        float g_value = F::ORDER > 0 ? E::widen(MISH_LOAD(g + p.at[1])) : x_value;
        MISH_STORE(out + i, E::narrow(c.value(x_value, g_value)));
    }
}

// A sum with what its additions rounded off (Kahan, Babuška and Neumaier's variant).
struct Sum {
    float high, low;
    MISH_INLINE void add(float v) {
        float sum = high + v;
        low = low + (magnitude(high) >= magnitude(v) ? (high - sum) + v : (v - sum) + high);
        high = sum;
    }
    // Where a term or the sum is infinite, `low` is NaN.
    MISH_INLINE float total() const { return low == low ? high + low : high; }
};

// Σ g·f′(u)·x and Σ g·f′(u) of every channel, each as `parts` partial sums of one thread: the gradients of scale and
// of shift. Without atomics and barriers, so the same on every run.
template <typename F, typename E, typename Index>
MISH_INLINE void sums(device const typename E::Word *x, device const typename E::Word *g, device const uchar *scales,
                      device const uchar *shifts, device uint *out, constant AffineArguments &a, Index first,
                      Index threads) {
    const Index count = Index(a.dims[0]), parts = Index(a.parts), n = Index(a.n);
    for (Index sum = first; sum < count * parts; sum += threads) {
        const Index channel = a.together != 0 ? sum / parts : sum % count;
        const Index part = a.together != 0 ? sum % parts : sum / count;
        const Index x_first = channel * Index(a.strides[0][0]), g_first = channel * Index(a.strides[1][0]);
        Channel<F, E> c;
        c.load(scales, shifts, channel * Index(a.strides[2][0]), channel * Index(a.strides[3][0]), a);
        Sum times_x = {0.0f, 0.0f}, plain = {0.0f, 0.0f};
        for (Index i = part; i < n; i += parts) {
            Place<Index> p = place(i, 1, a);
            float x_value = E::widen(MISH_LOAD(x + (x_first + p.at[0])));
            float product = E::widen(MISH_LOAD(g + (g_first + p.at[1]))) * F::eval(E(), c.argument(x_value));
            if (F::SCALED) times_x.add(product * x_value);
            plain.add(product);
        }
        const Index at = channel * parts + part;
        if (F::SCALED) MISH_STORE(out + at, bits_of(times_x.total()));
        MISH_STORE(out + (F::SCALED ? count * parts + at : at), bits_of(plain.total()));
    }
}

// A function with or without a scale, of order K.
template <typename F, bool WITH_SCALE, int K> struct Affine {
    MISH_CONSTANT bool SCALED = WITH_SCALE;
    MISH_CONSTANT int ORDER = K;
    template <typename E> static MISH_INLINE float eval(E e, float x) { return F::eval(e, x); }
};

}  // namespace candle_mish

// Buffers are numbered as src/msl.rs binds them: operands, output, arguments.
#define KERNEL(name, E, Out, ...)                                                                                 \
    MISH_KERNEL void name(device const candle_mish::E::Word *x [[buffer(0)]],                                     \
                          device const candle_mish::E::Word *g [[buffer(1)]],                                     \
                          device const uchar *scale [[buffer(2)]],                                                \
                          device const uchar *shift [[buffer(3)]],                                                \
                          device candle_mish::Out::Word *out [[buffer(4)]],                                       \
                          constant AffineArguments &a [[buffer(5)]],                                              \
                          uint first [[thread_position_in_grid]],                                                 \
                          uint threads [[threads_per_grid]]) {                                                    \
        candle_mish::__VA_ARGS__(x, g, scale, shift, out, a, first, threads);                                     \
    }

#define LAYOUTS(name, type, E)                                                                                    \
    KERNEL(name##_##type##_channels, E, E, channels<candle_mish::name##_kernel, candle_mish::E>)                  \
    KERNEL(name##_##type##_strided32, E, E, strided<candle_mish::name##_kernel, candle_mish::E, uint>)            \
    KERNEL(name##_##type##_strided64, E, E, strided<candle_mish::name##_kernel, candle_mish::E, ulong>)

#define SUMS(name, type, E)                                                                                       \
    KERNEL(name##_sums_##type##_strided32, E, F32, sums<candle_mish::name##_d1_kernel, candle_mish::E, uint>)     \
    KERNEL(name##_sums_##type##_strided64, E, F32, sums<candle_mish::name##_d1_kernel, candle_mish::E, ulong>)

#define DTYPE(name, type, E)    \
    LAYOUTS(name, type, E)      \
    LAYOUTS(name##_d1, type, E) \
    SUMS(name, type, E)

// A row of the table in src/affine.rs: its name, the activation, and whether there is a scale.
#define AFFINE(name, activation, scaled)                                  \
    namespace candle_mish {                                               \
    typedef Affine<activation##_function, scaled, 0> name##_kernel;       \
    typedef Affine<activation##_d1_function, scaled, 1> name##_d1_kernel; \
    }                                                                     \
    DTYPE(name, f16, F16) DTYPE(name, bf16, BF16) DTYPE(name, f32, F32)

FUNCTION(mish)
FUNCTION(mish_d1)
FUNCTION(softplus)
FUNCTION(softplus_d1)
AFFINE(mish_affine, mish, true)
AFFINE(mish_bias, mish, false)
AFFINE(softplus_bias, softplus, false)
