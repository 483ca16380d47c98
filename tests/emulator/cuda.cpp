// The CUDA kernels as a host library: their source, and what launches them.

#include "../../cuda/activations.cu"

#include "launch.h"

ARGUMENTS_LAYOUT
EXPORT uint64_t made_up_bits(uint64_t index, uint64_t size) { return made_up(index, size); }
EXPORT uint32_t threads() { return THREADS; }
EXPORT uint16_t to_f16(float v) { return __half_as_ushort(__float2half_rn(v)); }
EXPORT uint16_t to_bf16(float v) { return __bfloat16_as_ushort(__float2bfloat16_rn(v)); }
EXPORT float from_f16(uint16_t bits) { return __half2float(__half{bits}); }

// Arguments go by value.
template <typename A> static void run(void *kernel, const Launch &launch, Region *memory, Report *result) {
    const A &arguments = *static_cast<const A *>(launch.arguments);
    gridDim = Coordinate{launch.grid, 1, 1};
    each_thread(launch, THREADS, memory, result, [&](uint32_t block, uint32_t thread) {
        blockIdx = Coordinate{block, 0, 0}, threadIdx = Coordinate{thread, 0, 0};
        call(kernel, launch, arguments);
    });
}

EXPORT void emulate(void *kernel, const Launch *launch, Region *memory, Report *result) {
    switch (launch->arguments_size) {
        case sizeof(Arguments): return run<Arguments>(kernel, *launch, memory, result);
        default: report = result, fail(UNKNOWN_LAUNCH, launch->arguments_size);
    }
}
