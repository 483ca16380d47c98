// A libcuda.so.1 whose devices are the CPU: as much of the driver as candle and this crate call. A module's PTX is
// compiled by ./compile and kept by its hash; launches are queued until memory is copied or freed, and then run their
// threads one after the other.
//
// It is stricter than a GPU: an access outside of live memory, a read of what nothing has written, a call without a
// context, a launch that its kernel does not allow or in another device's context, or a module that is unloaded before
// its kernels have run, is reported and fails all that follows.
//
// EMULATED_DRIVER is this folder, EMULATED_DRIVER_CACHE one for compiled modules. With EMULATED_DRIVER_IDLE kernels do
// nothing, which leaves what a call costs the host.

#include <dlfcn.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "device.h"

namespace {

typedef std::chrono::steady_clock Clock;

constexpr int MULTIPROCESSORS = 3;

struct Function;
struct Module {
    void *library;
    CUcontext context;
    bool loaded;
    std::map<std::string, Function> functions;

    void *symbol(const std::string &name) const { return dlsym(library, name.c_str()); }
};
struct Function {
    std::string name;
    void (*thread)(void *const *);
    const Module *module;
    bool waits;
    // In a block, at most.
    unsigned threads;
    // Of the parameters.
    std::vector<unsigned> sizes;
};

// What has been queued and not run: a launch, or an event that has yet to happen.
struct Work {
    const Module *module;
    Launch launch;
    Clock::time_point *event;
};
std::vector<Work> queue;

// Two, for what is kept of one and must not serve the other.
constexpr int DEVICES = 2;
// Each has one context, whose handle is the address here.
char contexts[DEVICES];
thread_local CUcontext current = nullptr;

// What every call that needs a context asks first.
CUresult ready() {
    if (failure != CUDA_SUCCESS) return failure;
    return current ? CUDA_SUCCESS : report(CUDA_ERROR_INVALID_CONTEXT, "a call without a current context");
}

// The same for a call that what has been queued comes before.
CUresult idle() {
    for (const Work &work : queue) {
        if (work.event) {
            *work.event = Clock::now();
        } else {
            run(work.launch);
        }
    }
    queue.clear();
    return ready();
}

// Where the library is that a module becomes; empty after a report.
std::string compiled(const char *ptx) {
    const char *driver = std::getenv("EMULATED_DRIVER"), *cache = std::getenv("EMULATED_DRIVER_CACHE");
    if (!driver || !cache) {
        report(CUDA_ERROR_SYSTEM_NOT_READY, "EMULATED_DRIVER and EMULATED_DRIVER_CACHE are not set");
        return "";
    }
    // FNV-1a.
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = ptx; *c; ++c) hash = (hash ^ uint8_t(*c)) * 0x100000001b3u;
    std::string base = std::string(cache) + "/" + hex(hash), library = base + ".so";
    static std::mutex compiling;
    std::lock_guard<std::mutex> lock(compiling);
    if (std::ifstream(library)) return library;
    std::ofstream(base + ".ptx") << ptx;
    std::string command = std::string("'") + driver + "/compile' '" + base + ".ptx' '" + library + "'";
    if (std::system(command.c_str()) == 0) return library;
    report(CUDA_ERROR_INVALID_PTX, command + " failed");
    return "";
}

// A copy or a fill of memory.
template <typename Transfer> CUresult transfer(Transfer transfer) {
    Lock lock(mutex);
    if (CUresult error = idle()) return error;
    transfer();
    return failure;
}

}  // namespace

extern "C" {

// For libraries beside the driver.
uint8_t *emulated_bytes(uint64_t address, uint64_t bytes, bool write) {
    Lock lock(mutex);
    return idle() == CUDA_SUCCESS ? reached(address, bytes, write, "a library") : nullptr;
}

CUresult cuInit(unsigned) { return CUDA_SUCCESS; }

CUresult cuGetErrorString(CUresult error, const char **text) {
    *text = error == CUDA_ERROR_OUT_OF_MEMORY ? "out of memory" : "reported by the emulated driver";
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    *device = ordinal;
    return ordinal < DEVICES ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
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

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    *context = reinterpret_cast<CUcontext>(&contexts[device]);
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease(CUdevice) { return CUDA_SUCCESS; }
CUresult cuCtxDestroy(CUcontext) { return CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext context) {
    current = context;
    return CUDA_SUCCESS;
}
CUresult cuCtxGetCurrent(CUcontext *context) {
    *context = current;
    return CUDA_SUCCESS;
}

// Streams, and devices, share a queue.
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

CUresult cuEventCreate(CUevent *event, unsigned) {
    *event = reinterpret_cast<CUevent>(new Clock::time_point());
    return ready();
}
CUresult cuEventDestroy(CUevent event) {
    Lock lock(mutex);
    auto time = reinterpret_cast<Clock::time_point *>(event);
    auto of_event = [=](const Work &work) { return work.event == time; };
    queue.erase(std::remove_if(queue.begin(), queue.end(), of_event), queue.end());
    delete time;
    return CUDA_SUCCESS;
}
CUresult cuEventRecord(CUevent event, CUstream) {
    Lock lock(mutex);
    queue.push_back({nullptr, {}, reinterpret_cast<Clock::time_point *>(event)});
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

CUresult cuMemAlloc(CUdeviceptr *pointer, size_t bytes) {
    Lock lock(mutex);
    if (CUresult error = ready()) return error;
    *pointer = allocate(bytes);
    return *pointer ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
CUresult cuMemAllocAsync(CUdeviceptr *pointer, size_t bytes, CUstream) { return cuMemAlloc(pointer, bytes); }
CUresult cuMemFree(CUdeviceptr pointer) {
    Lock lock(mutex);
    CUresult error = idle();
    return release(pointer) ? error : report(CUDA_ERROR_INVALID_VALUE, hex(pointer) + " is freed, and no allocation");
}
CUresult cuMemFreeAsync(CUdeviceptr pointer, CUstream) { return cuMemFree(pointer); }
CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice device) {
    *pool = reinterpret_cast<CUmemoryPool>(&contexts[device]);
    return CUDA_SUCCESS;
}
CUresult cuMemPoolSetAttribute(CUmemoryPool, CUmemPool_attribute, void *) { return CUDA_SUCCESS; }

CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream) {
    return transfer([=] {
        if (uint8_t *target = reached(to, bytes, true, "a copy")) std::memcpy(target, from, bytes);
    });
}
CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream) {
    return transfer([=] {
        if (uint8_t *source = reached(from, bytes, false, "a copy")) std::memcpy(to, source, bytes);
    });
}
CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream) {
    return transfer([=] {
        uint8_t *source = reached(from, bytes, false, "a copy"), *target = reached(to, bytes, true, "a copy");
        if (source && target) std::memmove(target, source, bytes);
    });
}
CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext, CUdeviceptr from, CUcontext, size_t bytes, CUstream stream) {
    return cuMemcpyDtoDAsync(to, from, bytes, stream);
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream) {
    return transfer([=] {
        if (uint8_t *target = reached(to, bytes, true, "a fill")) std::memset(target, value, bytes);
    });
}

// Several threads may load at once, as on a GPU.
CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    if (CUresult error = ready()) return error;
    std::string path = compiled(static_cast<const char *>(image));
    if (path.empty()) return failure;
    void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) return report(CUDA_ERROR_INVALID_PTX, dlerror());
    *module = reinterpret_cast<CUmodule>(new Module{library, current, true, {}});
    return CUDA_SUCCESS;
}
CUresult cuModuleLoad(CUmodule *module, const char *path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return file ? cuModuleLoadData(module, text.str().c_str()) : CUDA_ERROR_FILE_NOT_FOUND;
}
// Its functions' addresses stay valid, so that a launch of one can be reported.
CUresult cuModuleUnload(CUmodule module) {
    Lock lock(mutex);
    Module *unloaded = reinterpret_cast<Module *>(module);
    unloaded->loaded = false;
    for (const Work &work : queue) {
        if (work.module != unloaded) continue;
        std::string kernel = work.launch.name;
        return report(CUDA_ERROR_INVALID_HANDLE, "a module is unloaded before its " + kernel + " has run");
    }
    return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    Lock lock(mutex);
    if (CUresult error = ready()) return error;
    Module *of = reinterpret_cast<Module *>(module);
    auto [found, is_new] = of->functions.try_emplace(name);
    if (is_new) {
        auto thread = reinterpret_cast<void (*)(void *const *)>(of->symbol(std::string("ptx_") + name));
        if (!thread) {
            auto why = reinterpret_cast<const char *(*)()>(of->symbol(std::string("missing_") + name));
            return report(CUDA_ERROR_NOT_FOUND, std::string("there is no kernel ") + (why ? why() : name));
        }
        auto about = reinterpret_cast<const unsigned *(*)()>(of->symbol(std::string("about_") + name))();
        found->second = {name, thread, of, about[0] != 0, about[1], {}};
        for (about += 2; *about; ++about) found->second.sizes.push_back(*about);
    }
    *function = reinterpret_cast<CUfunction>(&found->second);
    return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction function) {
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK) {
        return report(CUDA_ERROR_NOT_SUPPORTED, "attribute " + std::to_string(attribute) + " of a kernel");
    }
    *value = int(reinterpret_cast<const Function *>(function)->threads);
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared, CUstream, void **parameters,
                        void **extra) {
    Lock lock(mutex);
    if (CUresult error = ready()) return error;
    const Function &f = *reinterpret_cast<const Function *>(function);
    if (!f.module->loaded) return report(CUDA_ERROR_INVALID_HANDLE, f.name + " of an unloaded module is launched");
    if (f.module->context != current) {
        return report(CUDA_ERROR_INVALID_CONTEXT, f.name + " of another context is launched");
    }
    uint64_t threads = uint64_t(block_x) * block_y * block_z;
    bool grid_is_possible = grid_x - 1 < 0x7fffffff && grid_y - 1 < 65535 && grid_z - 1 < 65535;
    if (!grid_is_possible || threads == 0 || threads > f.threads || shared > SHARED_MEMORY || extra) {
        std::ostringstream text;
        text << f.name << " in a grid of " << grid_x << "x" << grid_y << "x" << grid_z << ", blocks of " << threads
             << " threads with " << shared << " bytes of shared memory";
        return report(CUDA_ERROR_INVALID_VALUE, text.str());
    }
    Launch launch{f.name.c_str(), f.thread, f.waits, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, {}};
    for (unsigned size : f.sizes) {
        auto bytes = static_cast<const uint8_t *>(*parameters++);
        launch.parameters.emplace_back(bytes, bytes + size);
    }
    queue.push_back({f.module, std::move(launch), nullptr});
    return CUDA_SUCCESS;
}

}  // extern "C"
