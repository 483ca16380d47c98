// The Metal kernels as a host library: the source as `candle_mish::internals::msl` splices it, and what launches them.

#include "launch.h"

// MSL 2.4, of macOS 12: older than `bfloat`.
#define __METAL_VERSION__ 240
#include SPLICED_SOURCE

ARGUMENTS_LAYOUT
EXPORT uint64_t made_up_bits(uint64_t index, uint64_t size) { return made_up(index, size); }
EXPORT uint32_t threads() { return THREADS; }
EXPORT uint16_t to_f16(float v) { return candle_mish::F16::narrow(v); }
EXPORT uint16_t to_bf16(float v) { return candle_mish::BF16::narrow(v); }
EXPORT float from_f16(uint16_t bits) { return candle_mish::F16::widen(bits); }

EXPORT void emulate(void *kernel, const Launch *launch, Region *memory, Report *result) {
    if (launch->arguments_size != sizeof(ARGUMENTS)) {
        report = result;
        return fail(UNKNOWN_LAUNCH, launch->arguments_size);
    }
    const uint threads_in_grid = launch->grid * THREADS;
    each_thread(*launch, THREADS, memory, result, [&](uint block, uint thread_in_block) {
        // A reference is passed as a pointer.
        call(kernel, *launch, launch->arguments, block * THREADS + thread_in_block, threads_in_grid);
    });
}
