// What libraries beside the driver are made of.

#pragma once
#include <cstdint>
#include <cstring>

#include "half.h"

#define EXPORT extern "C" __attribute__((visibility("default")))
#define SUCCEEDS(name) EXPORT int name() { return 0; }

// CUBLAS_STATUS_NOT_SUPPORTED; curand has no such code, and takes any but 0 for a failure.
constexpr int UNSUPPORTED = 15;

// The driver's: these bytes of device memory, or null after a report.
extern "C" uint8_t *emulated_bytes(uint64_t address, uint64_t bytes, bool write);
