// What the parts of the emulator know of each other.
//   driver.cpp, graph.cpp  the driver API: handles, copies, streams, capture
//   memory.cpp             the device's memory: allocations, their red zones, the state of every byte
//   launch.cpp             a kernel over its grid, blocks dealt to workers
//   grid.cpp               the blocks of a cooperative launch: their barrier
//   block.cpp              the threads of one block as fibers: barriers, warp collectives
//   access.cpp             every load and store of the checked build: bounds, unwritten memory, races, sectors
//   kernels.cpp (generated) the kernels themselves
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "device.h"

namespace emulator {

// ---- kernels ----
struct Kernel {
    const char *name;
    unsigned threads;  // of a block, from __launch_bounds__
    const size_t *sizes;  // of the parameters, in bytes; zero ends
    void (*run)(void **parameters);
};
extern const Kernel kernels[];
extern const size_t kernel_count;
extern const bool checked;
// Names of the planted bugs; a build has none unless PARTSTAD_MUTANTS was set.
extern const char *const mutants[];
extern const size_t mutant_count;

template <auto F> struct Entry;
template <class... A, void (*F)(A...)> struct Entry<F> {
    static constexpr size_t sizes[] = {sizeof(A)..., 0};
    template <size_t... I> [[gnu::no_sanitize("thread"), gnu::noinline]] static void call(void **p, std::index_sequence<I...>) {
        F(*static_cast<A *>(p[I])...);
    }
    [[gnu::no_sanitize("thread")]] static void run(void **p) { call(p, std::index_sequence_for<A...>{}); }
};
template <auto F> constexpr Kernel kernel(const char *name, unsigned threads) {
    return {name, threads, Entry<F>::sizes, Entry<F>::run};
}

// ---- errors: the driver's numbers ----
enum Result : int {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_OUT_OF_RESOURCES = 701,
    MISALIGNED_ADDRESS = 716,
    LAUNCH_FAILED = 719,
    COOPERATIVE_LAUNCH_TOO_LARGE = 720,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
    CAPTURE_UNMATCHED = 903,
    CAPTURE_UNJOINED = 904,
    CAPTURE_ISOLATION = 905,
    CAPTURE_IMPLICIT = 906,
};
// Prints what went wrong, for people, and returns `code`, for programs.
[[gnu::format(printf, 2, 3)]] Result fail(Result code, const char *format, ...);

// ---- settings, read once ----
uint64_t seed();
unsigned workers();
// The device that is imitated: its compute capability, and the shared memory that a block may ask for.
struct Target { int arch; size_t block_shared; };
const Target &target();
constexpr unsigned MULTIPROCESSORS = 2;
// A small generator (splitmix64): orders, poison.
struct Random {
    uint64_t state;
    uint64_t next() {
        uint64_t z = state += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return z ^ z >> 31;
    }
    unsigned below(unsigned n) { return unsigned((next() >> 32) * n >> 32); }
};

// ---- launch ----
struct Launch {
    const Kernel *kernel;
    uint3 grid, block;
    void **parameters;
    uint64_t serial = 0;                           // from 1, for telling accesses of one launch from those of another
    const std::vector<struct SharedVariable> *shared = nullptr;
    std::atomic<uint8_t> *fenced = nullptr;        // per block: it has come by a __threadfence
    size_t dynamic = 0;                            // bytes of dynamic shared memory
    bool cooperative = false;
    class Grid *grid_barrier = nullptr;            // of a cooperative launch
    std::atomic<uint64_t> *exchanged = nullptr;    // words that its kernel's warps showed each other
};
// Whether a device would take the launch.
Result check(const Launch &launch);
Result run(Launch launch);
// Blocks of so many threads that the device holds at a time.
unsigned resident_blocks(unsigned threads);
// A number for a launch, or what comes after a barrier of its grid, that no access yet is of.
uint64_t next_serial();
// What a block of the kernel takes of the shared memory, in bytes, dynamic memory left out.
size_t shared_bytes(const Kernel &kernel);
// How much dynamic memory a block of the kernel may have: what is left of 48 KiB, or what was asked for since.
size_t dynamic_limit(const Kernel &kernel);
Result set_dynamic_limit(const Kernel &kernel, int bytes);

}  // namespace emulator
