// The device of driver.cpp: its memory, and threads that run on it.

#pragma once
#include <cuda.h>

#include <mutex>
#include <string>
#include <vector>

#include "kernel.h"

extern std::recursive_mutex mutex;
typedef std::lock_guard<std::recursive_mutex> Lock;

// The first failure that is a program's: what every call returns from then on.
extern CUresult failure;
CUresult report(CUresult code, const std::string &message);
std::string hex(uint64_t number);

// Bytes.
constexpr uint64_t MEMORY = uint64_t(4) << 30;
constexpr uint64_t SHARED_MEMORY = 48 << 10;

// Null if there is no memory left.
uint64_t allocate(uint64_t bytes);
// Whether it was an allocation.
bool release(uint64_t address);
// These bytes, for `who` to read or write, or null after a report.
uint8_t *reached(uint64_t address, uint64_t bytes, bool write, const char *who);

// A kernel, and what it is launched with.
struct Launch {
    const char *name;
    void (*thread)(void *const *parameters);
    // Whether threads wait for each other.
    bool waits;
    Coordinate grid, block;
    std::vector<std::vector<uint8_t>> parameters;
};

// Every thread of every block, unless something fails.
void run(const Launch &launch);
