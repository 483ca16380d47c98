#include "device.h"

#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>

thread_local Coordinate threadIdx, blockIdx, blockDim, gridDim;
std::recursive_mutex mutex;
CUresult failure = CUDA_SUCCESS;

namespace {

// Of what runs.
std::string kernel_name;

struct Allocation {
    std::vector<uint8_t> bytes;
    // 1 for each byte that has been written.
    std::vector<uint8_t> written;
};
std::map<uint64_t, Allocation> memory;
uint64_t used = 0;
// Addresses are not used again, so that what was freed is not mistaken for what came after.
uint64_t next_address = uint64_t(0x7f) << 40;

}  // namespace

CUresult report(CUresult code, const std::string &message) {
    if (failure == CUDA_SUCCESS) {
        failure = code;
        std::string name = kernel_name.empty() ? "" : kernel_name + ": ";
        std::fprintf(stderr, "emulated driver: %s%s\n", name.c_str(), message.c_str());
    }
    return failure;
}

std::string hex(uint64_t number) {
    std::ostringstream text;
    text << "0x" << std::hex << number;
    return text.str();
}

uint64_t allocate(uint64_t bytes) {
    if (bytes > MEMORY - used) return 0;
    used += bytes;
    uint64_t address = next_address;
    // At least a page apart; at multiples of 256, as on a GPU, but of no more.
    next_address += (bytes + 8191) / 4096 * 4096 + 256;
    memory.emplace(address, Allocation{std::vector<uint8_t>(bytes, 0xff), std::vector<uint8_t>(bytes, 0)});
    return address;
}

bool release(uint64_t address) {
    auto found = memory.find(address);
    if (found == memory.end()) return false;
    used -= found->second.bytes.size();
    memory.erase(found);
    return true;
}

uint8_t *reached(uint64_t address, uint64_t bytes, bool write, const char *who) {
    auto complain = [&](const char *what) {
        std::string access = std::string(who) + (write ? " writes " : " reads ") + std::to_string(bytes) + " bytes at ";
        report(CUDA_ERROR_ILLEGAL_ADDRESS, access + hex(address) + what);
    };
    auto after = memory.upper_bound(address);
    if (after == memory.begin() || address - std::prev(after)->first + bytes > std::prev(after)->second.bytes.size()) {
        complain(", outside of live memory");
        return nullptr;
    }
    auto &[base, found] = *std::prev(after);
    auto begin = found.written.begin() + (address - base);
    if (write) {
        std::fill(begin, begin + bytes, 1);
    } else if (std::find(begin, begin + bytes, 0) != begin + bytes) {
        complain(" that nothing has written");
    }
    return found.bytes.data() + (address - base);
}

// What kernels call.

uint8_t *device_memory(uint64_t address, uint64_t bytes, bool write) {
    static uint8_t nowhere[64];
    if (address % bytes != 0) {
        report(CUDA_ERROR_MISALIGNED_ADDRESS, std::to_string(bytes) + " bytes at " + hex(address));
    }
    uint8_t *found = reached(address, bytes, write, "a thread");
    return found ? found : nowhere;
}

static uint8_t shared_bytes[SHARED_MEMORY];

uint8_t *shared_memory(uint64_t offset, uint64_t bytes) {
    if (offset % bytes == 0 && offset + bytes <= SHARED_MEMORY) return shared_bytes + offset;
    report(CUDA_ERROR_ILLEGAL_ADDRESS, "shared memory at " + hex(offset));
    return shared_bytes;
}

void fail(Fault, uint64_t address) { report(CUDA_ERROR_ILLEGAL_ADDRESS, "a parameter at " + hex(address)); }
void assertion_failed() { report(CUDA_ERROR_ASSERT, "an assertion failed"); }

namespace {

// A thread of a block whose threads wait for each other: it has a stack, and gives way until the others have arrived.
struct Fiber {
    ucontext_t context;
    Coordinate index;
    bool done = false;
    uint32_t value = 0;
    // How often it has arrived at a barrier of its block, and of its warp.
    uint64_t block = 0, warp = 0;
    std::unique_ptr<uint8_t[]> stack;
};
constexpr size_t STACK = 256 << 10;
std::vector<Fiber> fibers;
size_t current_fiber;
ucontext_t scheduler;
void (*entry)(void *const *);
void *const *parameters;

size_t block_size() { return size_t(blockDim.x) * blockDim.y * blockDim.z; }

Coordinate coordinate(uint64_t i, Coordinate size) {
    return {uint32_t(i % size.x), uint32_t(i / size.x % size.y), uint32_t(i / size.x / size.y)};
}

void start_fiber() {
    entry(parameters);
    fibers[current_fiber].done = true;
}

// On its own, as getcontext returns as setjmp does.
void prepare(Fiber &fiber, Coordinate index) {
    if (!fiber.stack) fiber.stack.reset(new uint8_t[STACK]);
    fiber.index = index;
    fiber.done = false, fiber.block = fiber.warp = 0;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get(), fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = &scheduler;
    makecontext(&fiber.context, start_fiber, 0);
}

void run_in_turns() {
    size_t threads = block_size();
    if (fibers.size() < threads) fibers.resize(threads);
    for (size_t i = 0; i < threads; ++i) prepare(fibers[i], coordinate(i, blockDim));
    for (size_t left = threads; left > 0;) {
        for (current_fiber = 0; current_fiber < threads; ++current_fiber) {
            Fiber &fiber = fibers[current_fiber];
            if (fiber.done) continue;
            threadIdx = fiber.index;
            swapcontext(&scheduler, &fiber.context);
            left -= fiber.done;
        }
    }
}

// Until every thread from `first` to `last` has arrived as often as this one, or has ended.
template <uint64_t Fiber::*COUNT> void arrive(size_t first, size_t last) {
    Fiber &self = fibers[current_fiber];
    uint64_t count = ++(self.*COUNT);
    auto waits = [&](const Fiber &fiber) { return !fiber.done && fiber.*COUNT < count; };
    while (std::any_of(fibers.begin() + first, fibers.begin() + last, waits)) swapcontext(&self.context, &scheduler);
}

}  // namespace

void barrier() { arrive<&Fiber::block>(0, block_size()); }

uint32_t shuffle_xor(uint32_t value, uint32_t mask) {
    size_t first = current_fiber / 32 * 32, last = std::min(first + 32, block_size());
    fibers[current_fiber].value = value;
    arrive<&Fiber::warp>(first, last);
    size_t from = first + (current_fiber % 32 ^ mask);
    uint32_t result = from < last ? fibers[from].value : value;
    arrive<&Fiber::warp>(first, last);
    return result;
}

void run(const Launch &launch) {
    static const bool is_idle = std::getenv("EMULATED_DRIVER_IDLE");
    if (is_idle) return;
    kernel_name = launch.name;
    gridDim = launch.grid, blockDim = launch.block;
    std::vector<const void *> pointers;
    for (const auto &bytes : launch.parameters) pointers.push_back(bytes.data());
    entry = launch.thread, parameters = const_cast<void *const *>(pointers.data());
    // The last one first in every other launch: nothing may depend on the order.
    static bool backwards = false;
    backwards = !backwards;
    auto number = [](uint64_t i, uint64_t count) { return backwards ? count - 1 - i : i; };
    uint64_t blocks = uint64_t(gridDim.x) * gridDim.y * gridDim.z, threads = block_size();
    for (uint64_t i = 0; i < blocks && failure == CUDA_SUCCESS; ++i) {
        blockIdx = coordinate(number(i, blocks), gridDim);
        if (launch.waits) {
            std::memset(shared_bytes, 0xff, sizeof(shared_bytes));
            run_in_turns();
            continue;
        }
        for (uint64_t k = 0; k < threads; ++k) {
            threadIdx = coordinate(number(k, threads), blockDim);
            entry(parameters);
        }
    }
    kernel_name.clear();
}
