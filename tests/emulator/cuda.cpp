// The CUDA kernels as a host library: their source, and what launches them.

#if defined(EMULATE_AFFINE)
#include "../../cuda/affine.cu"
#else
#include "../../cuda/activations.cu"
#endif

#include "launch.h"

ARGUMENTS_LAYOUT
EXPORT uint64_t made_up_bits(uint64_t index, uint64_t size) { return made_up(index, size); }
EXPORT uint32_t threads() { return THREADS; }
EXPORT uint16_t to_f16(float v) { return __half_as_ushort(__float2half_rn(v)); }
EXPORT uint16_t to_bf16(float v) { return __bfloat16_as_ushort(__float2bfloat16_rn(v)); }
EXPORT float from_f16(uint16_t bits) { return __half2float(__half{bits}); }

EXPORT void emulate(void *kernel, const Launch *launch, Region *memory, Report *result) {
    if (launch->arguments_size != sizeof(ARGUMENTS)) {
        report = result;
        return fail(UNKNOWN_LAUNCH, launch->arguments_size);
    }
    gridDim = Coordinate{launch->grid, 1, 1};
    each_thread(*launch, THREADS, memory, result, [&](uint32_t block, uint32_t thread) {
        blockIdx = Coordinate{block, 0, 0}, threadIdx = Coordinate{thread, 0, 0};
        // Arguments go by value.
        call(kernel, *launch, *static_cast<const ARGUMENTS *>(launch->arguments));
    });
}
