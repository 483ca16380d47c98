// A libcuda.so.1 whose one device is the CPU: as much of the driver as candle and this crate call. A module's PTX is
// translated to C++, compiled, and kept by its hash; launches are queued until memory is copied or freed, and then run their
// threads one after the other.
//
// It is stricter than a GPU: an access outside of live memory, a read of what nothing has written, a call without a context, a
// launch that its kernel does not allow, or a module that is unloaded before its kernels have run, is reported and fails all
// that follows.
// EMULATED_DRIVER is this folder, EMULATED_DRIVER_CACHE one for modules.

#include <cuda.h>
#include <dlfcn.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include "kernel.h"

thread_local Coordinate threadIdx, blockIdx, blockDim, gridDim;

namespace {

std::recursive_mutex mutex;
typedef std::lock_guard<std::recursive_mutex> Lock;

typedef std::chrono::steady_clock Clock;

constexpr int MULTIPROCESSORS = 3;
constexpr uint64_t MEMORY = uint64_t(4) << 30;
constexpr uint64_t SHARED = 48 << 10;

// The first failure that is a program's, and what every call returns from then on.
CUresult failure = CUDA_SUCCESS;
std::string kernel_name;

CUresult report(CUresult code, const std::string &message) {
    if (failure == CUDA_SUCCESS) {
        failure = code;
        std::fprintf(stderr, "emulated driver: %s%s%s\n", kernel_name.c_str(), kernel_name.empty() ? "" : ": ",
                     message.c_str());
    }
    return failure;
}

std::string hex(uint64_t number) {
    std::ostringstream text;
    text << "0x" << std::hex << number;
    return text.str();
}

struct Allocation {
    std::vector<uint8_t> bytes;
    // 1 for each byte that has been written.
    std::vector<uint8_t> written;
};
std::map<uint64_t, Allocation> memory;
uint64_t used = 0;
// Addresses are not used again, so that what was freed is not mistaken for what came after.
uint64_t next_address = uint64_t(0x7f) << 40;

// The allocation that has all these bytes.
Allocation *allocation(uint64_t address, uint64_t bytes, uint64_t *at) {
    auto after = memory.upper_bound(address);
    if (after == memory.begin()) return nullptr;
    auto &[base, found] = *std::prev(after);
    *at = address - base;
    return *at + bytes <= found.bytes.size() ? &found : nullptr;
}

struct Module {
    void *library;
    bool loaded = true;
    std::map<std::string, struct Function> functions;
};
struct Function {
    std::string name;
    void (*run)(void *const *);
    Module *module;
    // Whether its threads wait for each other, how many a block may have, and the sizes of its parameters.
    bool waits;
    unsigned most_threads;
    std::vector<unsigned> sizes;
};

// What has been queued and not run: a launch, or an event that has yet to happen.
struct Work {
    const Function *function;
    Coordinate grid, block;
    std::vector<std::vector<uint8_t>> parameters;
    Clock::time_point *event;
};
std::vector<Work> queue;

std::string run(const std::string &command) {
    return std::system(command.c_str()) == 0 ? "" : command + " failed";
}

std::string compile(const char *ptx, std::string *library) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = ptx; *c; ++c) hash = (hash ^ uint8_t(*c)) * 0x100000001b3u;
    const char *driver = std::getenv("EMULATED_DRIVER"), *cache = std::getenv("EMULATED_DRIVER_CACHE");
    if (!driver || !cache) return "EMULATED_DRIVER and EMULATED_DRIVER_CACHE are not set";
    std::string base = std::string(cache) + "/" + hex(hash), folder = driver;
    *library = base + ".so";
    if (std::ifstream(*library)) return "";
    std::ofstream(base + ".ptx") << ptx;
    std::ofstream(base + ".cpp") << "#include \"kernel.h\"\n#include \"" + base + ".h\"\n";
    std::string error = run("python3 '" + folder + "/../translate.py' --lenient '" + base + ".ptx' > '" + base + ".h'");
    if (!error.empty()) return error;
    error = run("c++ -std=c++17 -O1 -ffp-contract=off -march=native -shared -fPIC -fvisibility=hidden -w -I '" + folder +
                "' -I '" + folder + "/../../../tests/emulator' -o '" + *library + ".part' '" + base + ".cpp'");
    return error.empty() ? run("mv '" + *library + ".part' '" + *library + "'") : error;
}

// Threads of a block that wait for each other: each has a stack, and gives way until the others have arrived.
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
uint8_t shared_bytes[SHARED];
void (*entry)(void *const *);
void *const *parameters;

void start_fiber() {
    entry(parameters);
    fibers[current_fiber].done = true;
}

Coordinate coordinate(uint32_t thread) {
    return {thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / (blockDim.x * blockDim.y)};
}

// Runs the threads of a block in turns until all have ended.
void run_in_turns(uint32_t threads) {
    if (fibers.size() < threads) fibers.resize(threads);
    for (uint32_t i = 0; i < threads; ++i) {
        Fiber &fiber = fibers[i];
        if (!fiber.stack) fiber.stack.reset(new uint8_t[STACK]);
        fiber.index = coordinate(i);
        fiber.done = false, fiber.block = fiber.warp = 0;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get(), fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = &scheduler;
        makecontext(&fiber.context, start_fiber, 0);
    }
    for (uint32_t left = threads; left > 0;) {
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
    for (;;) {
        bool all = true;
        for (size_t i = first; i < last; ++i) all = all && (fibers[i].done || fibers[i].*COUNT >= count);
        if (all) return;
        swapcontext(&self.context, &scheduler);
    }
}

size_t block_size() { return size_t(blockDim.x) * blockDim.y * blockDim.z; }

void run(const Work &launch) {
    kernel_name = launch.function->name;
    gridDim = launch.grid, blockDim = launch.block;
    std::vector<const void *> pointers;
    for (const auto &bytes : launch.parameters) pointers.push_back(bytes.data());
    entry = launch.function->run, parameters = const_cast<void *const *>(pointers.data());
    for (uint32_t z = 0; z < gridDim.z; ++z) {
        for (uint32_t y = 0; y < gridDim.y; ++y) {
            for (uint32_t x = 0; x < gridDim.x && failure == CUDA_SUCCESS; ++x) {
                blockIdx = {x, y, z};
                if (launch.function->waits) {
                    std::memset(shared_bytes, 0xff, sizeof(shared_bytes));
                    run_in_turns(uint32_t(block_size()));
                    continue;
                }
                for (uint32_t thread = 0; thread < block_size(); ++thread) {
                    threadIdx = coordinate(thread);
                    entry(parameters);
                }
            }
        }
    }
    kernel_name.clear();
}

thread_local bool has_context = false;

// What every call that needs a context asks first.
CUresult ready() {
    if (failure != CUDA_SUCCESS) return failure;
    return has_context ? CUDA_SUCCESS : report(CUDA_ERROR_INVALID_CONTEXT, "a call without a current context");
}

// The same for a call that what has been queued comes before.
CUresult idle() {
    for (const Work &work : queue) {
        if (work.event) *work.event = Clock::now();
        else run(work);
    }
    queue.clear();
    return ready();
}

uint8_t *reached(uint64_t address, uint64_t bytes, bool write, const char *who) {
    uint64_t at;
    Allocation *found = allocation(address, bytes, &at);
    if (!found) {
        report(CUDA_ERROR_ILLEGAL_ADDRESS, std::string(who) + (write ? " writes " : " reads ") + std::to_string(bytes) +
                                               " bytes at " + hex(address) + ", outside of live memory");
        return nullptr;
    }
    auto begin = found->written.begin() + at;
    if (write) {
        std::fill(begin, begin + bytes, 1);
    } else if (std::find(begin, begin + bytes, 0) != begin + bytes) {
        report(CUDA_ERROR_ILLEGAL_ADDRESS, std::string(who) + " reads " + std::to_string(bytes) + " bytes at " +
                                               hex(address) + " that nothing has written");
    }
    return found->bytes.data() + at;
}

}  // namespace

uint8_t *device_memory(uint64_t address, uint64_t bytes, bool write) {
    static uint8_t nowhere[64];
    if (address % bytes != 0) report(CUDA_ERROR_MISALIGNED_ADDRESS, "an access of " + std::to_string(bytes) + " bytes at " + hex(address));
    uint8_t *found = reached(address, bytes, write, "a thread");
    return found ? found : nowhere;
}

uint8_t *shared_memory(uint64_t offset, uint64_t bytes) {
    if (offset % bytes == 0 && offset + bytes <= SHARED) return shared_bytes + offset;
    report(CUDA_ERROR_ILLEGAL_ADDRESS, "shared memory at " + hex(offset));
    return shared_bytes;
}

void fail(Fault, uint64_t address) { report(CUDA_ERROR_ILLEGAL_ADDRESS, "a parameter at " + hex(address)); }

void assertion_failed() { report(CUDA_ERROR_ASSERT, "an assertion failed"); }

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

extern "C" {

__attribute__((visibility("default"))) uint8_t *emulated_bytes(uint64_t address, uint64_t bytes, bool write) {
    Lock lock(mutex);
    return idle() == CUDA_SUCCESS ? reached(address, bytes, write, "a library") : nullptr;
}

CUresult cuInit(unsigned) { return CUDA_SUCCESS; }

CUresult cuGetErrorString(CUresult error, const char **text) {
    *text = error == CUDA_ERROR_OUT_OF_MEMORY ? "out of memory" : error == failure ? "reported by the emulated driver" : "an error of the emulated driver";
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    *device = 0;
    return ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice) {
    switch (attribute) {
        case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = MULTIPROCESSORS; break;
        case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: *value = 1; break;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 8; break;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 0; break;
        case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
        case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
        default: return report(CUDA_ERROR_NOT_SUPPORTED, "attribute " + std::to_string(attribute));
    }
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice) {
    *context = reinterpret_cast<CUcontext>(&memory);
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease(CUdevice) { return CUDA_SUCCESS; }
CUresult cuCtxDestroy(CUcontext) { return CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext context) {
    has_context = context != nullptr;
    return CUDA_SUCCESS;
}
CUresult cuCtxGetCurrent(CUcontext *context) {
    *context = has_context ? reinterpret_cast<CUcontext>(&memory) : nullptr;
    return CUDA_SUCCESS;
}

// Streams share a queue.
CUresult cuEventCreate(CUevent *event, unsigned) {
    *event = reinterpret_cast<CUevent>(new Clock::time_point());
    return ready();
}
CUresult cuEventDestroy(CUevent event) {
    Lock lock(mutex);
    auto time = reinterpret_cast<Clock::time_point *>(event);
    queue.erase(std::remove_if(queue.begin(), queue.end(), [=](const Work &work) { return work.event == time; }), queue.end());
    delete time;
    return CUDA_SUCCESS;
}
CUresult cuEventRecord(CUevent event, CUstream) {
    Lock lock(mutex);
    queue.push_back({nullptr, {}, {}, {}, reinterpret_cast<Clock::time_point *>(event)});
    return ready();
}
CUresult cuEventSynchronize(CUevent) {
    Lock lock(mutex);
    return idle();
}
CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
    Lock lock(mutex);
    CUresult error = idle();
    auto at = [](CUevent event) { return *reinterpret_cast<Clock::time_point *>(event); };
    *milliseconds = std::chrono::duration<float, std::milli>(at(end) - at(start)).count();
    return error;
}
CUresult cuStreamWaitEvent(CUstream, CUevent, unsigned) { return ready(); }
CUresult cuStreamDestroy(CUstream) { return CUDA_SUCCESS; }
CUresult cuStreamSynchronize(CUstream) {
    Lock lock(mutex);
    return idle();
}
CUresult cuStreamIsCapturing(CUstream, CUstreamCaptureStatus *status) {
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
    return ready();
}

CUresult cuMemAlloc(CUdeviceptr *pointer, size_t bytes) {
    Lock lock(mutex);
    if (CUresult error = ready()) return error;
    if (bytes > MEMORY - used) return CUDA_ERROR_OUT_OF_MEMORY;
    used += bytes;
    *pointer = next_address;
    // At least a page apart, at multiples of 256 as on a GPU, but of no more.
    next_address += (bytes + 8191) / 4096 * 4096 + 256;
    memory.emplace(*pointer, Allocation{std::vector<uint8_t>(bytes, 0xff), std::vector<uint8_t>(bytes, 0)});
    return CUDA_SUCCESS;
}
CUresult cuMemAllocAsync(CUdeviceptr *pointer, size_t bytes, CUstream) { return cuMemAlloc(pointer, bytes); }

CUresult cuMemFree(CUdeviceptr pointer) {
    Lock lock(mutex);
    idle();
    auto found = memory.find(pointer);
    if (found == memory.end()) return report(CUDA_ERROR_INVALID_VALUE, hex(pointer) + " is freed, which is no allocation");
    used -= found->second.bytes.size();
    memory.erase(found);
    return CUDA_SUCCESS;
}
CUresult cuMemFreeAsync(CUdeviceptr pointer, CUstream) { return cuMemFree(pointer); }
CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice) {
    *pool = reinterpret_cast<CUmemoryPool>(&memory);
    return CUDA_SUCCESS;
}
CUresult cuMemPoolSetAttribute(CUmemoryPool, CUmemPool_attribute, void *) { return CUDA_SUCCESS; }

CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream) {
    Lock lock(mutex);
    if (CUresult error = idle()) return error;
    if (uint8_t *found = reached(to, bytes, true, "a copy")) std::memcpy(found, from, bytes);
    return failure;
}
CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream) {
    Lock lock(mutex);
    if (CUresult error = idle()) return error;
    if (uint8_t *found = reached(from, bytes, false, "a copy")) std::memcpy(to, found, bytes);
    return failure;
}
CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream) {
    Lock lock(mutex);
    if (CUresult error = idle()) return error;
    uint8_t *source = reached(from, bytes, false, "a copy"), *target = reached(to, bytes, true, "a copy");
    if (source && target) std::memmove(target, source, bytes);
    return failure;
}
CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext, CUdeviceptr from, CUcontext, size_t bytes, CUstream stream) {
    return cuMemcpyDtoDAsync(to, from, bytes, stream);
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream) {
    Lock lock(mutex);
    if (CUresult error = idle()) return error;
    if (uint8_t *found = reached(to, bytes, true, "a memset")) std::memset(found, value, bytes);
    return failure;
}

CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    Lock lock(mutex);
    if (CUresult error = ready()) return error;
    std::string library, error = compile(static_cast<const char *>(image), &library);
    void *handle = error.empty() ? dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
    if (!handle) return report(CUDA_ERROR_INVALID_PTX, error.empty() ? dlerror() : error);
    *module = reinterpret_cast<CUmodule>(new Module{handle, true, {}});
    return CUDA_SUCCESS;
}
CUresult cuModuleLoad(CUmodule *module, const char *path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return file ? cuModuleLoadData(module, text.str().c_str()) : CUDA_ERROR_FILE_NOT_FOUND;
}
CUresult cuModuleUnload(CUmodule module) {
    Lock lock(mutex);
    Module *of = reinterpret_cast<Module *>(module);
    of->loaded = false;
    for (const Work &work : queue) {
        if (!work.event && work.function->module == of) return report(CUDA_ERROR_INVALID_HANDLE, "a module is unloaded before " + work.function->name + " has run");
    }
    return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    Lock lock(mutex);
    if (CUresult error = ready()) return error;
    Module *of = reinterpret_cast<Module *>(module);
    auto &found = of->functions[name];
    if (!found.run) {
        void *run = dlsym(of->library, (std::string("ptx_") + name).c_str());
        if (!run) {
            void *why = dlsym(of->library, (std::string("missing_") + name).c_str());
            std::string reason = why ? std::string(": ") + reinterpret_cast<const char *(*)()>(why)() : "";
            return report(CUDA_ERROR_NOT_FOUND, std::string("there is no kernel ") + name + reason);
        }
        auto about = reinterpret_cast<const unsigned *(*)()>(dlsym(of->library, (std::string("about_") + name).c_str()))();
        found = {name, reinterpret_cast<void (*)(void *const *)>(run), of, about[0] != 0, about[1], {}};
        for (about += 2; *about; ++about) found.sizes.push_back(*about);
    }
    *function = reinterpret_cast<CUfunction>(&found);
    return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction function) {
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK) return report(CUDA_ERROR_NOT_SUPPORTED, "attribute " + std::to_string(attribute) + " of a kernel");
    *value = int(reinterpret_cast<Function *>(function)->most_threads);
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared, CUstream, void **arguments, void **extra) {
    Lock lock(mutex);
    if (CUresult error = ready()) return error;
    const Function &launched = *reinterpret_cast<Function *>(function);
    uint64_t threads = uint64_t(block_x) * block_y * block_z;
    if (grid_x == 0 || grid_x > 0x7fffffff || grid_y == 0 || grid_y > 65535 || grid_z == 0 || grid_z > 65535 ||
        threads == 0 || threads > launched.most_threads || shared > SHARED || extra) {
        return report(CUDA_ERROR_INVALID_VALUE, launched.name + " in a grid of " + std::to_string(grid_x) + ", blocks of " +
                                                    std::to_string(threads) + " threads, with " + std::to_string(shared) +
                                                    " bytes of shared memory");
    }
    if (!launched.module->loaded) return report(CUDA_ERROR_INVALID_HANDLE, launched.name + " of an unloaded module is launched");
    queue.push_back({&launched, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, {}, nullptr});
    for (unsigned size : launched.sizes) {
        auto bytes = static_cast<const uint8_t *>(*arguments++);
        queue.back().parameters.emplace_back(bytes, bytes + size);
    }
    return CUDA_SUCCESS;
}

}  // extern "C"
