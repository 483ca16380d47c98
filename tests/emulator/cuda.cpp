// The CUDA kernels as a host library: their source, and a loop over blocks and threads.

#include "../../cuda/activations.cu"

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT uint64_t arguments_size() { return sizeof(Arguments); }
EXPORT uint64_t made_up_bits(uint64_t index, uint64_t size) { return made_up(index, size); }
EXPORT uint32_t threads() { return THREADS; }
EXPORT uint16_t to_f16(float v) { return __half_as_ushort(__float2half_rn(v)); }
EXPORT uint16_t to_bf16(float v) { return __bfloat16_as_ushort(__float2bfloat16_rn(v)); }
EXPORT float from_f16(uint16_t bits) { return __half2float(__half{bits}); }

// Blocks first..last of a grid; `pointers` are the operands' and the output's.
EXPORT void emulate(void *kernel, uint32_t operands, const uint64_t *pointers, Arguments arguments, uint32_t grid,
                    uint32_t first, uint32_t last, Region *memory, int recip, Report *result) {
    typedef void (*Unary)(const void *, void *, Arguments);
    typedef void (*Binary)(const void *, const void *, void *, Arguments);
    regions = memory, region_count = int(operands) + 1, report = result, recip_error = recip;
    gridDim = Coordinate{grid, 1, 1};
    for (uint32_t block = first; block < last; ++block) {
        for (uint32_t thread = 0; thread < THREADS; ++thread) {
            blockIdx = Coordinate{block, 0, 0}, threadIdx = Coordinate{thread, 0, 0};
            if (operands == 1) {
                ((Unary)kernel)((const void *)pointers[0], (void *)pointers[1], arguments);
            } else {
                ((Binary)kernel)((const void *)pointers[0], (const void *)pointers[1], (void *)pointers[2], arguments);
            }
        }
    }
}
