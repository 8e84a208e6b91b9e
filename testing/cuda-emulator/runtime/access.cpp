// Every load and store of the checked build comes by here first: the compiler calls the functions that
// -fsanitize=thread calls, and these are ours.
#include <dlfcn.h>

#include "block.h"
#include "memory.h"

namespace emulator {

std::string source_line(const void *site) {
    Dl_info info;
    if (!dladdr(site, &info)) return "somewhere";
    const size_t offset = size_t(static_cast<const char *>(site) - static_cast<const char *>(info.dli_fbase)) - 1;
    const std::string command = format("addr2line -s -e '%s' %#zx 2>/dev/null", info.dli_fname, offset);
    char line[256] = "";
    if (FILE *pipe = popen(command.c_str(), "r")) {
        if (!fgets(line, sizeof line, pipe)) line[0] = 0;
        pclose(pipe);
    }
    std::string text = line;
    text.resize(std::min(text.find_first_of(" \n"), text.size()));
    return text.empty() || text[0] == '?' ? format("code offset %#zx", offset) : text;
}

namespace {

struct Access {
    uintptr_t address;
    size_t bytes;
    bool write, atomic;
    const void *site;   // in the kernel's code,
    Where where;        // or in its source
};

[[gnu::noinline, noreturn]] void wrong(const Access &a, const char *why, Result code) {
    const std::string line = a.site ? source_line(a.site) : format("%s:%d", a.where.file, a.where.line);
    worker->crime(code, format("%s of %zu bytes %s: %s (%s)", a.atomic ? "atomic" : a.write ? "write" : "read", a.bytes, why,
                               memory().place(a.address).c_str(), line.c_str()));
}

inline void check_global(const Access &a) {
    Byte *state = device_memory->state(a.address);
    for (size_t i = 0; i < a.bytes; i++) {
        if (state[i] == NOBODYS) wrong(a, "outside of every allocation", ILLEGAL_ADDRESS);
        if (state[i] == UNWRITTEN && (!a.write || a.atomic)) wrong(a, "of memory that nothing wrote", ILLEGAL_ADDRESS);
    }
    if (a.write) memset(state, WRITTEN, a.bytes);
}

inline void check(const Access &a) {
    if (!worker) return;
    if (device_memory->contains(a.address)) {
        if (a.address % std::min<size_t>(a.bytes, 16) && std::has_single_bit(a.bytes)) wrong(a, "at a misaligned address", MISALIGNED_ADDRESS);
        return check_global(a);
    }
    if (worker->on_stack(a.address)) return;
    if (a.address < 4096) wrong(a, "through a null pointer", ILLEGAL_ADDRESS);
}

}  // namespace
}  // namespace emulator

using namespace emulator;
#define SITE __builtin_return_address(0)

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
#define HOOKS(bytes)                                                                                                 \
    void __tsan_read##bytes(void *p) { check({uintptr_t(p), bytes, false, false, SITE, {}}); }                       \
    void __tsan_write##bytes(void *p) { check({uintptr_t(p), bytes, true, false, SITE, {}}); }                       \
    void __tsan_unaligned_read##bytes(void *p) { check({uintptr_t(p), bytes, false, false, SITE, {}}); }             \
    void __tsan_unaligned_write##bytes(void *p) { check({uintptr_t(p), bytes, true, false, SITE, {}}); }             \
    void __tsan_volatile_read##bytes(void *p) { check({uintptr_t(p), bytes, false, true, SITE, {}}); }               \
    void __tsan_volatile_write##bytes(void *p) { check({uintptr_t(p), bytes, true, true, SITE, {}}); }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
void __tsan_read_range(void *p, size_t bytes) { check({uintptr_t(p), bytes, false, false, SITE, {}}); }
void __tsan_write_range(void *p, size_t bytes) { check({uintptr_t(p), bytes, true, false, SITE, {}}); }

void emulator_fence() { std::atomic_thread_fence(std::memory_order_seq_cst); }
}

template <class T> static uint64_t apply(int operation, T *p, T value, T compare) {
    constexpr int order = __ATOMIC_SEQ_CST;
    using S = std::make_signed_t<T>;
    switch (operation) {
    case ATOMIC_ADD: return __atomic_fetch_add(p, value, order);
    case ATOMIC_AND: return __atomic_fetch_and(p, value, order);
    case ATOMIC_OR: return __atomic_fetch_or(p, value, order);
    case ATOMIC_XOR: return __atomic_fetch_xor(p, value, order);
    case ATOMIC_EXCHANGE: return __atomic_exchange_n(p, value, order);
    case ATOMIC_COMPARE: __atomic_compare_exchange_n(p, &compare, value, false, order, order); return compare;
    }
    T old = __atomic_load_n(p, order);
    for (;;) {
        T wanted = operation == ATOMIC_MIN          ? std::min(old, value)
                   : operation == ATOMIC_MAX        ? std::max(old, value)
                   : operation == ATOMIC_MIN_SIGNED ? T(std::min(S(old), S(value)))
                                                    : T(std::max(S(old), S(value)));
        if (__atomic_compare_exchange_n(p, &old, wanted, false, order, order)) return old;
    }
}

uint64_t emulator_atomic_on(int operation, void *address, int bytes, uint64_t value, uint64_t compare, const char *file, int line) {
    if (checked) check({uintptr_t(address), size_t(bytes), true, true, nullptr, {file, line}});
    if (bytes == 4) return apply<uint32_t>(operation, static_cast<uint32_t *>(address), uint32_t(value), uint32_t(compare));
    return apply<uint64_t>(operation, static_cast<uint64_t *>(address), value, compare);
}
