// Device memory as the emulators have it: a kernel computes with addresses that exist nowhere, and every access is
// looked up. What falls outside of an operand or is not aligned is a fault. A tensor too large to have is not backed
// by memory, but for a window of it: elsewhere, elements are made up from their index and writes are only counted.

#pragma once
#include <cstdint>
#include <cstring>

// An operand or the output.
struct Region {
    uint64_t base, bytes;
    // The part that `data` holds, relative to base.
    uint64_t window, window_bytes;
    // Of an element.
    uint64_t size;
    uint8_t *data;
    // How often each byte of the window was written; null if it must not be.
    uint8_t *writes;
};

// UNKNOWN_LAUNCH: no kernel has so many pointers, or a struct of that size. ENDLESS: more was written than there is to
// write, as by a loop whose counter wraps around.
enum Fault : uint32_t { NONE, OUT_OF_BOUNDS, MISALIGNED, READ_ONLY, UNKNOWN_LAUNCH, ENDLESS };

// Thrown to leave a kernel that does not end.
struct Stop {};

struct Report {
    uint64_t bytes_written;
    uint64_t fault_address;
    uint32_t fault;
    uint32_t pad;
};

static thread_local Region *regions;
static thread_local int region_count;
static thread_local Report *report;
// In bytes, of all that is launched.
static thread_local uint64_t write_limit;

static inline void fail(Fault fault, uint64_t address) {
    if (report->fault == NONE) report->fault = fault, report->fault_address = address;
}

static inline Region *region_of(uint64_t address, uint64_t bytes) {
    if (address % bytes != 0) {
        fail(MISALIGNED, address);
        return nullptr;
    }
    for (int i = 0; i < region_count; ++i) {
        Region *r = &regions[i];
        if (address >= r->base && address - r->base + bytes <= r->bytes) return r;
    }
    fail(OUT_OF_BOUNDS, address);
    return nullptr;
}

// Where the bytes are, if the window has them all.
static inline int64_t in_window(const Region *r, uint64_t address, uint64_t bytes) {
    uint64_t at = address - r->base;
    bool inside = at >= r->window && at + bytes <= r->window + r->window_bytes;
    return inside ? int64_t(at - r->window) : -1;
}

// A positive number of moderate size in the type of so many bytes.
static inline uint64_t made_up(uint64_t index, uint64_t size) {
    uint64_t hash = (index + 1) * 0x9E3779B97F4A7C15u >> 40;
    switch (size) {
        case 2: return 0x3c00 | (hash & 0x3ff);
        case 4: return 0x3f800000 | (hash & 0x7fffff);
        default: return 0x3ff0000000000000 | hash << 20;
    }
}

template <typename V> static inline V load(const V *p) {
    V value;
    std::memset(&value, 0, sizeof(V));
    Region *r = region_of(uint64_t(p), sizeof(V));
    if (r == nullptr) return value;
    int64_t at = in_window(r, uint64_t(p), sizeof(V));
    if (at >= 0) {
        std::memcpy(&value, r->data + at, sizeof(V));
        return value;
    }
    for (uint64_t i = 0; i < sizeof(V); i += r->size) {
        uint64_t bits = made_up((uint64_t(p) - r->base + i) / r->size, r->size);
        std::memcpy(reinterpret_cast<uint8_t *>(&value) + i, &bits, r->size);
    }
    return value;
}

template <typename V> static inline void store(V *p, V value) {
    Region *r = region_of(uint64_t(p), sizeof(V));
    if (r == nullptr) return;
    if (r->writes == nullptr) return fail(READ_ONLY, uint64_t(p));
    report->bytes_written += sizeof(V);
    if (report->bytes_written > write_limit) {
        fail(ENDLESS, uint64_t(p));
        throw Stop();
    }
    int64_t at = in_window(r, uint64_t(p), sizeof(V));
    if (at < 0) return;
    std::memcpy(r->data + at, &value, sizeof(V));
    for (uint64_t i = 0; i < sizeof(V); ++i) r->writes[at + i] += r->writes[at + i] < 255;
}
