// The CUDA kernels as a host library: their source, and what launches them.

#if defined(EMULATE_AFFINE)
#include "../../cuda/affine.cu"
#else
#include "../../cuda/activations.cu"
#endif

#include "launch.h"

// The same kernels, from PTX, as ci/ptx/translate.py makes them, with `ptx_` in front of their names.
#if defined(EMULATED_PTX)
#include EMULATED_PTX
#endif

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
#if defined(EMULATED_PTX)
    void *parameters[8];
    for (uint32_t i = 0; i < launch->pointer_count; ++i) parameters[i] = const_cast<uint64_t *>(launch->pointers + i);
    parameters[launch->pointer_count] = const_cast<void *>(launch->arguments);
    auto run = [&] { ((void (*)(void *const *))kernel)(parameters); };
#else
    // Arguments go by value.
    auto run = [&] { call(kernel, *launch, *static_cast<const ARGUMENTS *>(launch->arguments)); };
#endif
    gridDim = Coordinate{launch->grid, 1, 1};
    each_thread(*launch, THREADS, memory, result, [&](uint32_t block, uint32_t thread) {
        blockIdx = Coordinate{block, 0, 0}, threadIdx = Coordinate{thread, 0, 0};
        run();
    });
}
