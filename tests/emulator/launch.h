// A launch, and the call of a kernel of which only the number of pointers is known.

#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>

#include "memory.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

// `pointers` are the operands' and the output's, in the order of the kernel's parameters; the struct at `arguments`
// follows them.
struct Launch {
    const uint64_t *pointers;
    const void *arguments;
    uint64_t arguments_size;
    uint32_t pointer_count;
    uint32_t grid;
    // Blocks first..last of the grid are run.
    uint32_t first, last;
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
    for (uint32_t block = launch.first; block < launch.last; ++block) {
        for (uint32_t thread = 0; thread < threads; ++thread) run(block, thread);
    }
}
