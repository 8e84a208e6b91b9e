// The driver API: device, contexts, modules, memory, launches.
#include "driver.h"

#include <atomic>
#include <cstdlib>
#include <map>
#include <string>
#include <unistd.h>

#include "memory.h"
#include "sectors.h"

using namespace emulator;

struct Context { int references; };
struct Module {};
static Handles<Context> contexts;
static Handles<Module> modules;
static Context *primary = nullptr;
static thread_local Context *current = nullptr;
static std::atomic<bool> initialized{false};
static std::unordered_set<void *> pinned;

static int chosen_mutant() {
    static const int chosen = [] {
        const char *name = getenv("PARTSTAD_MUTANT");
        for (size_t i = 0; name && i < mutant_count; i++)
            if (!strcmp(mutants[i], name)) return int(i);
        return -1;
    }();
    return chosen;
}
extern "C" bool emulator_mutant(int number) { return number == chosen_mutant(); }

#define WITH_CONTEXT(call)                                                                                           \
    ENTER;                                                                                                           \
    if (!contexts.has(current)) return fail(INVALID_CONTEXT, call ": no context is current");                        \
    if (Result wrong = injected(call)) return wrong

API cuInit(unsigned) {
    if (const char *mutant = getenv("PARTSTAD_MUTANT"); mutant && chosen_mutant() < 0)
        return fail(NOT_INITIALIZED, "PARTSTAD_MUTANT is %s; this build has %zu planted bugs, and none of that name", mutant, mutant_count);
    if (initialized.exchange(true)) return SUCCESS;
    atexit([] {
        if (memory().report_leaks("at exit")) _exit(70);
    });
    count_sectors_if_asked();
    return SUCCESS;
}
API cuDriverGetVersion(int *version) {
    *version = 13000;
    return SUCCESS;
}
API cuGetErrorName(Result, const char **);
API cuGetErrorString(Result, const char **);
static const struct { Result code; const char *name, *text; } ERRORS[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {COOPERATIVE_LAUNCH_TOO_LARGE, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", "too many blocks in cooperative launch"},
    {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
    {CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not ended in the same stream as it began"},
    {CAPTURE_UNJOINED, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capture has a fork that was not joined to its origin stream"},
    {CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "dependency created on uncaptured work in another stream"},
    {CAPTURE_IMPLICIT, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", "operation would make the legacy stream depend on a capturing blocking stream"},
};
API cuGetErrorName(Result code, const char **text) {
    for (const auto &error : ERRORS)
        if (error.code == code) return *text = error.name, SUCCESS;
    *text = nullptr;
    return INVALID_VALUE;
}
API cuGetErrorString(Result code, const char **text) {
    for (const auto &error : ERRORS)
        if (error.code == code) return *text = error.text, SUCCESS;
    *text = nullptr;
    return INVALID_VALUE;
}

// ---- device ----
API cuDeviceGetCount(int *count) {
    if (!initialized) return NOT_INITIALIZED;
    *count = 1;
    return SUCCESS;
}
API cuDeviceGet(int *device, int ordinal) {
    if (!initialized) return NOT_INITIALIZED;
    *device = ordinal;
    return ordinal == 0 ? SUCCESS : INVALID_DEVICE;
}
API cuDeviceGetName(char *name, int length, int) {
    snprintf(name, size_t(length), "CUDA emulator on the CPU");
    return SUCCESS;
}
API cuDeviceGetUuid_v2(char *uuid, int) {
    memcpy(uuid, "cuda-emulator-00", 16);
    return SUCCESS;
}
API cuDeviceGetUuid(char *uuid, int device) { return cuDeviceGetUuid_v2(uuid, device); }
API cuDeviceTotalMem_v2(size_t *bytes, int) {
    *bytes = Memory::SIZE;
    return SUCCESS;
}
API cuDeviceGetPCIBusId(char *id, int length, int) {
    snprintf(id, size_t(length), "0000:00:00.0");
    return SUCCESS;
}
// Of the target; what it does not decide, as sm_80 has it, the least device.
API cuDeviceGetAttribute(int *value, int attribute, int) {
    const int shared = int(target().block_shared);
    const std::pair<int, int> ATTRIBUTES[] = {
        {1, 1024}, {2, 1024}, {3, 1024}, {4, 64},                 // threads per block, sides of a block
        {5, INT_MAX}, {6, 65535}, {7, 65535},                     // sides of a grid
        {8, 49152}, {97, shared}, {81, shared + 1024}, {111, 1024},  // shared memory: block, opt-in, multiprocessor, reserved
        {9, 65536}, {10, 32}, {12, 65536}, {82, 65536},           // constant memory, warp size, registers
        {13, 1000000}, {36, 1000000}, {37, 1024}, {38, 1 << 22},  // clocks, bus width, L2 cache
        {16, int(MULTIPROCESSORS)}, {39, 2048}, {106, 8},         // multiprocessors, their threads and blocks
        {17, 0}, {18, 0}, {19, 1}, {20, 0}, {31, 1}, {32, 0},     // timeout, integrated, maps host memory, mode, concurrent, ECC
        {33, 0}, {34, 0}, {50, 0},                                // PCI
        {40, 1}, {41, 1}, {83, 0}, {88, 0}, {89, 0}, {90, 0},     // engines, unified addresses, no managed memory
        {75, target().arch / 10}, {76, target().arch % 10}, {78, 1}, {79, 1}, {80, 1}, {86, 0},  // compute capability, priorities, caches
        {95, 1}, {99, 0}, {102, 0}, {115, 1},                     // cooperative launch; memory pools
    };
    for (const auto &[known, its] : ATTRIBUTES)
        if (known == attribute) return *value = its, SUCCESS;
    return fail(INVALID_VALUE, "cuDeviceGetAttribute: the emulator knows no attribute %d", attribute);
}

// ---- contexts ----
API cuDevicePrimaryCtxRetain(Context **context, int device) {
    ENTER;
    if (!initialized) return NOT_INITIALIZED;
    if (device != 0) return INVALID_DEVICE;
    if (!primary) primary = contexts.make(0);
    primary->references++;
    *context = primary;
    return SUCCESS;
}
API cuDevicePrimaryCtxRelease_v2(int) {
    ENTER;
    if (!primary) return INVALID_CONTEXT;
    if (--primary->references > 0) return SUCCESS;
    contexts.drop(primary);
    primary = nullptr;
    const bool leaks = memory().report_leaks("at the end of the context");
    memory().free_all();
    return leaks ? INVALID_CONTEXT : SUCCESS;
}
API cuDevicePrimaryCtxGetState(int, unsigned *flags, int *active) {
    ENTER;
    *flags = 0;
    *active = primary != nullptr;
    return SUCCESS;
}
API cuCtxGetCurrent(Context **context) {
    ENTER;
    *context = contexts.has(current) ? current : nullptr;
    return SUCCESS;
}
API cuCtxSetCurrent(Context *context) {
    ENTER;
    if (Result wrong = injected("cuCtxSetCurrent")) return wrong;
    if (context && !contexts.has(context)) return fail(INVALID_CONTEXT, "cuCtxSetCurrent: no such context");
    current = context;
    return SUCCESS;
}
API cuCtxGetDevice(int *device) {
    WITH_CONTEXT("cuCtxGetDevice");
    *device = 0;
    return SUCCESS;
}
API cuCtxSynchronize() {
    WITH_CONTEXT("cuCtxSynchronize");
    if (Result wrong = forbidden_in_capture("cuCtxSynchronize")) return wrong;
    return memory().check_red_zones("until cuCtxSynchronize");
}
API cuCtxSetFlags(unsigned) { return SUCCESS; }
API cuDevicePrimaryCtxSetFlags_v2(int, unsigned) { return SUCCESS; }
API cuCtxGetStreamPriorityRange(int *least, int *greatest) {
    *least = *greatest = 0;
    return SUCCESS;
}

// ---- modules: whatever the image, the kernels are those compiled in ----
API cuModuleLoadData(Module **module, const void *image) {
    WITH_CONTEXT("cuModuleLoadData");
    if (!image || !*static_cast<const char *>(image)) return fail(INVALID_IMAGE, "cuModuleLoadData: an empty image");
    *module = modules.make();
    return SUCCESS;
}
API cuModuleLoadDataEx(Module **module, const void *image, unsigned, int *, void **) { return cuModuleLoadData(module, image); }
API cuModuleUnload(Module *module) {
    ENTER;
    return modules.drop(module) ? SUCCESS : fail(INVALID_HANDLE, "cuModuleUnload: no such module");
}
API cuModuleGetFunction(const Kernel **function, Module *module, const char *name) {
    ENTER;
    if (!modules.has(module)) return fail(INVALID_HANDLE, "cuModuleGetFunction: no such module");
    for (size_t i = 0; i < kernel_count; i++)
        if (!strcmp(kernels[i].name, name)) return *function = &kernels[i], SUCCESS;
    return fail(NOT_FOUND, "cuModuleGetFunction: no kernel is called %s", name);
}
API cuFuncGetAttribute(int *value, int attribute, const Kernel *kernel) {
    switch (attribute) {
    case 0: *value = int(kernel->threads); return SUCCESS;
    case 1: *value = int(shared_bytes(*kernel)); return SUCCESS;
    case 2: case 3: case 7: *value = 0; return SUCCESS;
    case 8: *value = int(dynamic_limit(*kernel)); return SUCCESS;
    case 4: *value = 32; return SUCCESS;
    case 5: case 6: *value = target().arch; return SUCCESS;
    default: return fail(INVALID_VALUE, "cuFuncGetAttribute: the emulator knows no attribute %d", attribute);
    }
}
API cuFuncSetAttribute(const Kernel *kernel, int attribute, int value) {
    ENTER;
    if (attribute == 8) return set_dynamic_limit(*kernel, value);
    return attribute == 9 ? SUCCESS : fail(INVALID_VALUE, "cuFuncSetAttribute: the emulator knows no attribute %d", attribute);
}
API cuFuncSetCacheConfig(const Kernel *, int) { return SUCCESS; }
API cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const Kernel *, int threads, size_t, unsigned) {
    if (threads < 1 || threads > 1024) return INVALID_VALUE;
    *blocks = int(resident_blocks(unsigned(threads)) / MULTIPROCESSORS);
    return SUCCESS;
}

static Result launch_kernel(const char *call, const Kernel *kernel, uint3 grid, uint3 block, unsigned shared, Stream *stream, void **parameters,
                            bool cooperative) {
    if (kernel < kernels || kernel >= kernels + kernel_count) return fail(INVALID_HANDLE, "%s: no such function", call);
    if (Result wrong = check_stream(call, stream)) return wrong;
    // A captured launch keeps its own copy of the parameters.
    std::vector<std::vector<char>> values;
    for (size_t i = 0; kernel->sizes[i]; i++) {
        if (!parameters || !parameters[i]) return fail(INVALID_VALUE, "kernel %s: parameter %zu is missing", kernel->name, i);
        const char *value = static_cast<const char *>(parameters[i]);
        values.emplace_back(value, value + kernel->sizes[i]);
    }
    Launch launch{kernel, grid, block, nullptr};
    launch.dynamic = shared;
    launch.cooperative = cooperative;
    if (Result wrong = check(launch)) return wrong;
    return submit(stream, [=]() mutable {
        std::vector<void *> pointers;
        for (auto &value : values) pointers.push_back(value.data());
        launch.parameters = pointers.data();
        return run(launch);
    });
}
API cuLaunchKernel(const Kernel *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                   Stream *stream, void **parameters, void **extra) {
    WITH_CONTEXT("cuLaunchKernel");
    if (extra) return fail(NOT_SUPPORTED, "kernel %s: parameters through `extra`", kernel->name);
    return launch_kernel("cuLaunchKernel", kernel, {gx, gy, gz}, {bx, by, bz}, shared, stream, parameters, false);
}
API cuLaunchCooperativeKernel(const Kernel *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                              Stream *stream, void **parameters) {
    WITH_CONTEXT("cuLaunchCooperativeKernel");
    return launch_kernel("cuLaunchCooperativeKernel", kernel, {gx, gy, gz}, {bx, by, bz}, shared, stream, parameters, true);
}

// ---- memory ----
static Result copy_to_host(void *to, uintptr_t from, size_t bytes) {
    if (Result wrong = memory().check("a copy to the host", from, bytes, true)) return wrong;
    memcpy(to, reinterpret_cast<void *>(from), bytes);
    return SUCCESS;
}
static Result copy_to_device(uintptr_t to, const void *from, size_t bytes) {
    if (Result wrong = memory().check("a copy to the device", to, bytes, false)) return wrong;
    memcpy(reinterpret_cast<void *>(to), from, bytes);
    memory().mark_written(to, bytes);
    return SUCCESS;
}
static Result copy_on_device(uintptr_t to, uintptr_t from, size_t bytes) {
    if (Result wrong = memory().check("a copy on the device (from)", from, bytes, false)) return wrong;
    if (Result wrong = memory().check("a copy on the device (to)", to, bytes, false)) return wrong;
    memmove(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes);
    memory().copy_state(to, from, bytes);
    return SUCCESS;
}
static Result counted(Stream *stream, uint64_t Stream::*direction, size_t bytes, Result result) {
    if (streams.has(stream)) stream->*direction += bytes;
    return result;
}
template <class T> static Result set(uintptr_t to, T value, size_t count) {
    if (to % sizeof(T)) return fail(INVALID_VALUE, "a memset of %zu-byte values at %s", sizeof(T), memory().place(to).c_str());
    if (Result wrong = memory().check("a memset", to, count * sizeof(T), false)) return wrong;
    std::fill_n(reinterpret_cast<T *>(to), count, value);
    memory().mark_written(to, count * sizeof(T));
    return SUCCESS;
}
// Every call comes in a form that waits and a form for a stream.
#define SYNCHRONOUS(name, work)                                                                                      \
    {                                                                                                                \
        WITH_CONTEXT(#name);                                                                                         \
        if (Result wrong = forbidden_in_capture(#name)) return wrong;                                                \
        return work;                                                                                                 \
    }
#define STREAMED(name, work)                                                                                         \
    {                                                                                                                \
        WITH_CONTEXT(#name);                                                                                         \
        if (Result wrong = check_stream(#name, stream)) return wrong;                                                \
        return submit(stream, [=] { return work; });                                                                 \
    }
API cuMemcpyHtoD_v2(uintptr_t to, const void *from, size_t bytes) SYNCHRONOUS(cuMemcpyHtoD, copy_to_device(to, from, bytes))
API cuMemcpyDtoH_v2(void *to, uintptr_t from, size_t bytes) SYNCHRONOUS(cuMemcpyDtoH, copy_to_host(to, from, bytes))
API cuMemcpyDtoD_v2(uintptr_t to, uintptr_t from, size_t bytes) SYNCHRONOUS(cuMemcpyDtoD, copy_on_device(to, from, bytes))
API cuMemcpyHtoDAsync_v2(uintptr_t to, const void *from, size_t bytes, Stream *stream) STREAMED(cuMemcpyHtoDAsync, counted(stream, &Stream::to_device, bytes, copy_to_device(to, from, bytes)))
API cuMemcpyDtoHAsync_v2(void *to, uintptr_t from, size_t bytes, Stream *stream) STREAMED(cuMemcpyDtoHAsync, counted(stream, &Stream::to_host, bytes, copy_to_host(to, from, bytes)))
API cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, Stream *stream) STREAMED(cuMemcpyDtoDAsync, copy_on_device(to, from, bytes))
API cuMemcpyPeerAsync(uintptr_t to, Context *, uintptr_t from, Context *, size_t bytes, Stream *stream) STREAMED(cuMemcpyPeerAsync, copy_on_device(to, from, bytes))
API cuMemsetD8_v2(uintptr_t to, unsigned char value, size_t count) SYNCHRONOUS(cuMemsetD8, set(to, value, count))
API cuMemsetD16_v2(uintptr_t to, unsigned short value, size_t count) SYNCHRONOUS(cuMemsetD16, set(to, value, count))
API cuMemsetD32_v2(uintptr_t to, unsigned value, size_t count) SYNCHRONOUS(cuMemsetD32, set(to, value, count))
API cuMemsetD8Async(uintptr_t to, unsigned char value, size_t count, Stream *stream) STREAMED(cuMemsetD8Async, set(to, value, count))
API cuMemsetD16Async(uintptr_t to, unsigned short value, size_t count, Stream *stream) STREAMED(cuMemsetD16Async, set(to, value, count))
API cuMemsetD32Async(uintptr_t to, unsigned value, size_t count, Stream *stream) STREAMED(cuMemsetD32Async, set(to, value, count))

API cuMemAlloc_v2(uintptr_t *address, size_t bytes) SYNCHRONOUS(cuMemAlloc, memory().allocate(address, bytes))
API cuMemFree_v2(uintptr_t address) SYNCHRONOUS(cuMemFree, address ? memory().free(address) : SUCCESS)
API cuMemAllocAsync(uintptr_t *address, size_t bytes, Stream *stream) {
    WITH_CONTEXT("cuMemAllocAsync");
    if (Result wrong = check_stream("cuMemAllocAsync", stream)) return wrong;
    if (streams.has(stream) && stream->capture) return fail(CAPTURE_UNSUPPORTED, "cuMemAllocAsync in a captured stream: the steady state allocates nothing");
    return memory().allocate(address, bytes);
}
API cuMemFreeAsync(uintptr_t address, Stream *stream) {
    WITH_CONTEXT("cuMemFreeAsync");
    if (Result wrong = check_stream("cuMemFreeAsync", stream)) return wrong;
    if (streams.has(stream) && stream->capture) return fail(CAPTURE_UNSUPPORTED, "cuMemFreeAsync in a captured stream");
    return address ? memory().free(address) : SUCCESS;
}
API cuMemGetInfo_v2(size_t *free, size_t *total) {
    WITH_CONTEXT("cuMemGetInfo");
    *total = Memory::SIZE;
    *free = Memory::SIZE - memory().used();
    return SUCCESS;
}
API cuMemHostAlloc(void **address, size_t bytes, unsigned) {
    WITH_CONTEXT("cuMemHostAlloc");
    *address = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    pinned.insert(*address);
    return *address ? SUCCESS : OUT_OF_MEMORY;
}
API cuMemFreeHost(void *address) {
    ENTER;
    if (!pinned.erase(address)) return fail(INVALID_VALUE, "cuMemFreeHost of memory that cuMemHostAlloc did not give");
    ::free(address);
    return SUCCESS;
}
// One pool, which keeps nothing.
API cuDeviceGetDefaultMemPool(Memory **pool, int) {
    *pool = &memory();
    return SUCCESS;
}
API cuDeviceGetMemPool(Memory **pool, int) { return cuDeviceGetDefaultMemPool(pool, 0); }
API cuDeviceSetMemPool(int, Memory *) { return SUCCESS; }
API cuMemPoolSetAttribute(Memory *, int, void *) { return SUCCESS; }
API cuMemPoolTrimTo(Memory *, size_t) { return SUCCESS; }
API cuMemPoolGetAttribute(Memory *, int attribute, void *value) {
    ENTER;
    if (attribute < 4 || attribute > 8) return fail(NOT_SUPPORTED, "cuMemPoolGetAttribute: the emulator knows no attribute %d", attribute);
    *static_cast<uint64_t *>(value) = attribute == 4 ? 0 : memory().used();
    return SUCCESS;
}
API cuPointerGetAttribute(void *value, int attribute, uintptr_t address) {
    ENTER;
    if (!memory().contains(address)) return INVALID_VALUE;
    switch (attribute) {
    case 1: *static_cast<Context **>(value) = primary; return SUCCESS;    // context
    case 2: *static_cast<unsigned *>(value) = 2; return SUCCESS;          // memory type: device
    case 9: *static_cast<int *>(value) = 0; return SUCCESS;               // ordinal
    default: return fail(INVALID_VALUE, "cuPointerGetAttribute: the emulator knows no attribute %d", attribute);
    }
}

// ---- for tests ----
// How often this thread called what, of the calls that a driver may refuse.
static thread_local std::map<std::string, uint64_t> called;

extern "C" [[gnu::visibility("default")]] uint64_t emulator_called(const char *call) { return called[call]; }

// The calls of this thread since emulator_fail that a driver may refuse, and the one of them that is.
static thread_local struct { bool armed; uint64_t calls, at; int code; const char *failed; } faults;

Result emulator::injected(const char *call) {
    called[call]++;
    // What gives back does not fail for reasons of its own.
    if (!faults.armed || !strncmp(call, "cuMemFree", 9) || faults.calls++ != faults.at) return SUCCESS;
    faults.failed = call;
    return Result(faults.code);
}
// From now on call `at` of this thread, counted from 0, fails with `code`; an `at` beyond all only counts.
extern "C" [[gnu::visibility("default")]] void emulator_fail(uint64_t at, int code) { faults = {true, 0, at, code, nullptr}; }
// No call fails any more; how many there were, and the name of the one that failed, if one did.
extern "C" [[gnu::visibility("default")]] uint64_t emulator_failed(const char **name) {
    faults.armed = false;
    *name = faults.failed;
    return faults.calls;
}
// Bytes that were copied on a stream so far.
extern "C" [[gnu::visibility("default")]] void emulator_transfers(Stream *stream, uint64_t *to_device, uint64_t *to_host) {
    ENTER;
    *to_device = streams.has(stream) ? stream->to_device : 0;
    *to_host = streams.has(stream) ? stream->to_host : 0;
}
extern "C" [[gnu::visibility("default")]] size_t emulator_live_allocations() {
    ENTER;
    return memory().live();
}
