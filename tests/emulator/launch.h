// A launch, and the call of a kernel of which only the number of pointers is known.

#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>

#include "memory.h"
#include "recip.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

// `pointers` are the operands' and the output's, in the order of the kernel's parameters; the struct at `arguments`
// follows them.
struct Launch {
    const uint64_t *pointers;
    const void *arguments;
    uint64_t arguments_size;
    uint64_t write_limit;
    uint32_t pointer_count;
    uint32_t grid;
    // Blocks first..last of the grid are run.
    uint32_t first, last;
    // By how many ulps a reciprocal is off.
    int32_t recip;
    // Whether floats below the smallest normal number count as zero, as operands and as results.
    uint32_t flush;
};

// The processor's mode for such floats, where there is one.
class Flush {
#if defined(__x86_64__)
    // FZ and DAZ.
    static constexpr unsigned BITS = 0x8040;
    unsigned before = _mm_getcsr();

   public:
    explicit Flush(bool flush) { _mm_setcsr(flush ? before | BITS : before); }
    ~Flush() { _mm_setcsr(before); }
#elif defined(__aarch64__)
    // FZ.
    static constexpr uint64_t BIT = uint64_t(1) << 24;
    uint64_t before;

   public:
    explicit Flush(bool flush) {
        asm volatile("mrs %0, fpcr" : "=r"(before));
        asm volatile("msr fpcr, %0" : : "r"(flush ? before | BIT : before));
    }
    ~Flush() { asm volatile("msr fpcr, %0" : : "r"(before)); }
#else
   public:
    explicit Flush(bool) {}
#endif
};

template <typename... Rest, size_t... I>
static void call_with(void *kernel, const uint64_t *pointers, std::index_sequence<I...>, Rest... rest) {
    typedef void (*Kernel)(decltype((void)I, (void *)nullptr)..., Rest...);
    ((Kernel)kernel)((void *)pointers[I]..., rest...);
}

// kernel(pointers..., rest...).
template <typename... Rest> static void call(void *kernel, const Launch &launch, Rest... rest) {
    switch (launch.pointer_count) {
        case 2: return call_with(kernel, launch.pointers, std::make_index_sequence<2>(), rest...);
        case 3: return call_with(kernel, launch.pointers, std::make_index_sequence<3>(), rest...);
        case 4: return call_with(kernel, launch.pointers, std::make_index_sequence<4>(), rest...);
        case 5: return call_with(kernel, launch.pointers, std::make_index_sequence<5>(), rest...);
        default: fail(UNKNOWN_LAUNCH, launch.pointer_count);
    }
}

// run(block, thread) of every thread, with memory.h watching.
template <typename Run>
static void each_thread(const Launch &launch, uint32_t threads, Region *memory, Report *result, Run run) {
    regions = memory, region_count = int(launch.pointer_count), report = result;
    recip_error = launch.recip, write_limit = launch.write_limit;
    Flush flush(launch.flush);
    try {
        for (uint32_t block = launch.first; block < launch.last; ++block) {
            for (uint32_t thread = 0; thread < threads; ++thread) run(block, thread);
        }
    } catch (Stop) {
    }
}

// Where each field of the kernels' arguments is, and their size.
#if defined(EMULATE_AFFINE)
#define ARGUMENTS AffineArguments
#define FIELDS(FIELD) \
    FIELD(n) FIELD(dims) FIELD(strides) FIELD(multipliers) FIELD(shifts) FIELD(rank) FIELD(parts) FIELD(together) \
    FIELD(single) FIELD(adjacent)
#else
#define ARGUMENTS Arguments
#define FIELDS(FIELD) \
    FIELD(n) FIELD(dims) FIELD(strides) FIELD(multipliers) FIELD(shifts) FIELD(rank) FIELD(in_place) FIELD(beta) \
    FIELD(beta_low) FIELD(threshold) FIELD(reserved) FIELD(beta_bits) FIELD(threshold_bits)
#endif
#define OFFSET(field) offsetof(ARGUMENTS, field),
#define ARGUMENTS_LAYOUT                                                 \
    EXPORT void arguments_layout(uint64_t *to) {                         \
        const uint64_t layout[] = {FIELDS(OFFSET) sizeof(ARGUMENTS)};    \
        std::memcpy(to, layout, sizeof(layout));                         \
    }
