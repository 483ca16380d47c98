// A reciprocal that is off by as much as a test asks for; the kernels' headers take it where MISH_RECIP is defined.

#pragma once
#include <cfloat>
#include <cmath>

#include "half.h"

static thread_local int recip_error;

// `one` / a, with arguments and results below the smallest normal number flushed, as rcp.approx.ftz has it.
static inline float approximate_reciprocal(float a, float one) {
    float r = one / a;
    if (std::isnan(r) || std::isinf(r)) return r;
    if (std::fabs(a) < FLT_MIN) return std::copysign(INFINITY, a);
    if (std::fabs(r) < FLT_MIN) return std::copysign(0.0f, r);
    return bit_cast<float>(bit_cast<uint32_t>(r) + uint32_t(recip_error));
}
#define MISH_RECIP(a, one) approximate_reciprocal(a, one)
