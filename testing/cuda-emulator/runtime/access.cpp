// Every load and store of the checked build comes by here first: the compiler calls the functions that
// -fsanitize=thread calls, and these are ours.
#include <dlfcn.h>
#include <link.h>

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

// Tables of the kernels' file: constants.
bool in_library(uintptr_t address) {
    static const std::pair<uintptr_t, uintptr_t> image = [] {
        std::pair<uintptr_t, uintptr_t> found{0, 0};
        dl_iterate_phdr(
            [](dl_phdr_info *info, size_t, void *found) {
                for (int i = 0; i < info->dlpi_phnum; i++) {
                    const auto &part = info->dlpi_phdr[i];
                    const uintptr_t start = info->dlpi_addr + part.p_vaddr;
                    if (part.p_type == PT_LOAD && uintptr_t(kernels) - start < part.p_memsz)
                        *static_cast<std::pair<uintptr_t, uintptr_t> *>(found) = {info->dlpi_addr, start + part.p_memsz};
                }
                return 0;
            },
            &found);
        return found;
    }();
    return address >= image.first && address < image.second;
}

struct Access {
    uintptr_t address;
    size_t bytes;
    bool write, atomic;
    bool updates;       // reads what it writes over
    const void *site;   // in the kernel's code,
    Where where;        // or in its source
};

[[gnu::noinline, noreturn]] void wrong(const Access &a, const std::string &why, Result code) {
    const std::string line = a.site ? source_line(a.site) : format("%s:%d", a.where.file, a.where.line);
    std::string place;
    if (a.address - worker->shared < worker->span) {
        place = "shared memory";
        const auto near = [&](const SharedVariable &v) { return a.address + 256 - (worker->shared + v.offset) < v.bytes + 512; };
        for (const SharedVariable &v : *worker->launch->shared)
            if (near(v)) place = format("offset %td of the shared variable %s, which has %zu bytes", ptrdiff_t(a.address - worker->shared - v.offset),
                                        v.name.c_str(), v.bytes);
        const uintptr_t dynamic = uintptr_t(dynamic_shared());
        if (a.address - dynamic < MOST_DYNAMIC + 256)
            place = format("offset %td of the dynamic shared memory, which has %zu bytes", ptrdiff_t(a.address - dynamic), worker->launch->dynamic);
    } else {
        place = memory().place(a.address);
    }
    worker->crime(code, format("%s of %zu bytes %s: %s (%s)", a.atomic ? "atomic access" : a.write ? "write" : "read", a.bytes, why.c_str(),
                               place.c_str(), line.c_str()));
}

[[gnu::noinline]] void race(const Access &a, uint64_t before) {
    const uint64_t me = worker->who;
    std::string who = format("thread %u", Who::thread_of(before));
    if (!Who::same_block(before, me)) {
        // A fence on both sides is taken for a hand-over.
        const auto *fenced = worker->launch->fenced;
        if (fenced[Who::block_of(before)] && fenced[worker->number]) return;
        who += format(" of block %u", Who::block_of(before));
    }
    if (a.atomic || before & Who::ATOMIC) who += " (an early read is meant? say so: __ldcg or volatile)";
    wrong(a, "races with an access of " + who + ", as nothing orders the two", LAUNCH_FAILED);
}

// The state of each byte, then who touched each word.
[[gnu::always_inline]] inline void check_bytes(const Access &a, Byte *state, Cell *cells, bool shared) {
    static const Byte ALL[16] = {WRITTEN, WRITTEN, WRITTEN, WRITTEN, WRITTEN, WRITTEN, WRITTEN, WRITTEN,
                                 WRITTEN, WRITTEN, WRITTEN, WRITTEN, WRITTEN, WRITTEN, WRITTEN, WRITTEN};
    if (a.bytes > sizeof ALL || memcmp(state, ALL, a.bytes)) {
        for (size_t i = 0; i < a.bytes; i++) {
            if (state[i] == NOBODYS) wrong(a, "out of bounds", ILLEGAL_ADDRESS);
            if (state[i] == UNWRITTEN && (!a.write || a.updates)) wrong(a, "of memory that nothing wrote", ILLEGAL_ADDRESS);
        }
        if (a.write) memset(state, WRITTEN, a.bytes);
    }
    const uintptr_t end = a.address + a.bytes;
    for (uintptr_t word = a.address & ~uintptr_t(3); word < end; word += 4, cells++) {
        uint64_t me = worker->who | (a.atomic ? Who::ATOMIC : 0) | 15;
        if (word < a.address) me &= ~uint64_t((1 << (a.address - word)) - 1);
        if (word + 4 > end) me &= ~uint64_t(15 & (15 << (end - word)));
        if (const uint64_t before = cells->touch(me, a.write, shared)) race(a, before);
    }
}

[[gnu::always_inline]] inline void check(const Access &a) {
    if (!worker) return;
    const bool global = memory().contains(a.address);
    const size_t offset = a.address - worker->shared;
    if (!global && offset >= worker->span) {
        if (worker->on_stack(a.address) || in_library(a.address)) return;
        wrong(a, a.address < 4096 ? "through a null pointer" : "out of bounds", ILLEGAL_ADDRESS);
    }
    if (std::has_single_bit(a.bytes) && a.address % a.bytes) wrong(a, "at a misaligned address", MISALIGNED_ADDRESS);
    if (global) {
        if (worker->log && a.site) worker->log->note(worker->current, a.site, a.address, a.bytes, a.write);
        return check_bytes(a, memory().state(a.address), memory().cell(a.address), false);
    }
    check_bytes(a, &worker->shared_state[offset], &worker->shared_cells[offset / 4], true);
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
    void __tsan_read##bytes(void *p) { check({uintptr_t(p), bytes, false, false, false, SITE, {}}); }                       \
    void __tsan_write##bytes(void *p) { check({uintptr_t(p), bytes, true, false, false, SITE, {}}); }                       \
    void __tsan_unaligned_read##bytes(void *p) { check({uintptr_t(p), bytes, false, false, false, SITE, {}}); }             \
    void __tsan_unaligned_write##bytes(void *p) { check({uintptr_t(p), bytes, true, false, false, SITE, {}}); }             \
    void __tsan_volatile_read##bytes(void *p) { check({uintptr_t(p), bytes, false, true, false, SITE, {}}); }               \
    void __tsan_volatile_write##bytes(void *p) { check({uintptr_t(p), bytes, true, true, false, SITE, {}}); }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
void __tsan_read_range(void *p, size_t bytes) { check({uintptr_t(p), bytes, false, false, false, SITE, {}}); }
void __tsan_write_range(void *p, size_t bytes) { check({uintptr_t(p), bytes, true, false, false, SITE, {}}); }

void emulator_copy(const void *to, const void *from, size_t bytes, const void *site) {
    check({uintptr_t(from), bytes, false, false, false, site, {}});
    if (to) check({uintptr_t(to), bytes, true, false, false, site, {}});
}

void emulator_fence() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (checked) worker->launch->fenced[worker->number] = 1;
}
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
    if (checked) check({uintptr_t(address), size_t(bytes), true, true, operation != ATOMIC_EXCHANGE, nullptr, {file, line}});
    if (bytes == 4) return apply<uint32_t>(operation, static_cast<uint32_t *>(address), uint32_t(value), uint32_t(compare));
    return apply<uint64_t>(operation, static_cast<uint64_t *>(address), value, compare);
}
