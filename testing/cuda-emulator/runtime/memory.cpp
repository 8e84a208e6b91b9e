// Device memory is one stretch of addresses with a state beside every byte. New memory is poisoned; freed memory is not
// given out again before the stretch has been used up once.
#include "memory.h"

#include <cstdlib>
#include <sys/mman.h>

#include "block.h"

namespace emulator {

static uintptr_t reserve(size_t bytes) {
    void *at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        fail(OUT_OF_MEMORY, "cannot reserve %zu MiB of addresses; is `ulimit -v` set?", bytes >> 20);
        exit(1);
    }
    return uintptr_t(at);
}

// Floats of the poison are NaN or huge, indices far outside.
Memory::Memory() : base(reserve(SIZE)), poison_byte(uint8_t(0xffu - seed() % 8 * 5)), states(reinterpret_cast<Byte *>(reserve(SIZE))), next(base) {
    if (checked) cells = reinterpret_cast<Cell *>(reserve(SIZE / 4 * sizeof(Cell)));
}

// Never ended: calls may come while the process ends.
Memory *const device_memory = new Memory;
Memory &memory() { return *device_memory; }

static size_t round_up(size_t bytes) { return (bytes + 255) / 256 * 256; }

void Memory::poison(uintptr_t from, uintptr_t to) { memset(reinterpret_cast<void *>(from), poison_byte, to - from); }

// The start of an allocation, with room for its red zones.
uintptr_t Memory::find_space(size_t bytes) {
    const size_t need = round_up(bytes) + 2 * RED_ZONE;
    if (next + need <= base + SIZE) {
        next += need;
        return next - need + RED_ZONE;
    }
    // Once round: the first gap between the living that is wide enough.
    uintptr_t gap = base;
    for (const auto &[address, allocation] : allocations) {
        if (address - RED_ZONE >= gap + need) break;
        gap = address + round_up(allocation.bytes) + RED_ZONE;
    }
    if (gap + need > base + SIZE) return 0;
    std::erase_if(freed, [&](const auto &old) { return old.first < gap + need && old.first + old.second.bytes > gap; });
    return gap + RED_ZONE;
}

Result Memory::allocate(uintptr_t *address, size_t bytes) {
    if (bytes == 0) return fail(INVALID_VALUE, "an allocation of 0 bytes");
    if (bytes > SIZE) return OUT_OF_MEMORY;
    const uintptr_t at = find_space(bytes);
    if (at == 0) return OUT_OF_MEMORY;
    poison(at - RED_ZONE, at + round_up(bytes) + RED_ZONE);
    memset(state(at), UNWRITTEN, bytes);
    allocations[at] = {bytes, ++serial};
    in_use += bytes;
    *address = at;
    return SUCCESS;
}

Result Memory::free(uintptr_t address) {
    const auto it = allocations.find(address);
    if (it == allocations.end())
        return fail(INVALID_VALUE, "free of %s", freed.contains(address) ? "memory that was freed before" : place(address).c_str());
    const Allocation allocation = it->second;
    const Result result = check_red_zone(address, allocation, "until it was freed");
    memset(state(address), NOBODYS, allocation.bytes);
    poison(address, address + allocation.bytes);
    // Whole pages go back to the system.
    const uintptr_t first = (address + 4095) / 4096 * 4096, last = (address + allocation.bytes) / 4096 * 4096;
    if (first < last) {
        madvise(reinterpret_cast<void *>(first), last - first, MADV_DONTNEED);
        madvise(state(first), last - first, MADV_DONTNEED);
        if (cells) madvise(cell(first), (last - first) / 4 * sizeof(Cell), MADV_DONTNEED);
    }
    in_use -= allocation.bytes;
    freed[address] = allocation;
    allocations.erase(it);
    return result;
}

void Memory::free_all() {
    while (!allocations.empty()) free(allocations.begin()->first);
}

Result Memory::check_red_zone(uintptr_t address, const Allocation &allocation, const char *after) const {
    const auto *bytes = reinterpret_cast<const uint8_t *>(address);
    for (size_t i = 0; i < RED_ZONE; i++) {
        const bool before = bytes[-1 - ptrdiff_t(i)] != poison_byte;
        if (before || bytes[allocation.bytes + i] != poison_byte)
            return fail(ILLEGAL_ADDRESS, "%s: something wrote %zu bytes %s allocation %llu (%zu bytes)", after, i + before,
                        before ? "before" : "past the end of", (unsigned long long)allocation.serial, allocation.bytes);
    }
    return SUCCESS;
}

Result Memory::check_red_zones(const char *after) {
    Result result = SUCCESS;
    for (const auto &[address, allocation] : allocations)
        if (const Result wrong = check_red_zone(address, allocation, after)) {
            result = wrong;
            // Said once.
            poison(address - RED_ZONE, address);
            poison(address + allocation.bytes, address + allocation.bytes + RED_ZONE);
        }
    return result;
}

std::string Memory::place(uintptr_t address) const {
    if (address == 0) return "the null pointer";
    if (!contains(address)) return emulator::format("address %#zx, which is not in the device's memory", size_t(address));
    const auto near = [&](const auto &among, const char *kind) -> std::string {
        auto after = among.upper_bound(address + RED_ZONE);
        if (after == among.begin()) return "";
        const auto &[start, allocation] = *--after;
        const ptrdiff_t offset = ptrdiff_t(address - start);
        if (offset >= ptrdiff_t(round_up(allocation.bytes) + RED_ZONE)) return "";
        return emulator::format("offset %td of %sallocation %llu, which has %zu bytes", offset, kind, (unsigned long long)allocation.serial,
                                allocation.bytes);
    };
    std::string text = near(allocations, "");
    if (text.empty()) text = near(freed, "freed ");
    return text.empty() ? "memory that was never allocated" : text;
}

Result Memory::check(const char *what, uintptr_t address, size_t bytes, bool written) {
    if (bytes == 0) return SUCCESS;
    auto after = allocations.upper_bound(address);
    if (after != allocations.begin()) {
        const auto &[start, allocation] = *--after;
        if (address + bytes <= start + allocation.bytes) {
            if (!written || !checked) return SUCCESS;
            const void *first = memchr(state(address), UNWRITTEN, bytes);
            if (!first) return SUCCESS;
            const size_t offset = size_t(static_cast<const Byte *>(first) - state(address));
            return fail(ILLEGAL_ADDRESS, "%s of %zu bytes reads memory that nothing wrote: %s", what, bytes, place(address + offset).c_str());
        }
    }
    return fail(INVALID_VALUE, "%s of %zu bytes from %s", what, bytes, place(address).c_str());
}

void Memory::forget_accesses() {
    if (cells) madvise(cells, SIZE / 4 * sizeof(Cell), MADV_DONTNEED);
}

void Memory::mark_written(uintptr_t address, size_t bytes) { memset(state(address), WRITTEN, bytes); }
void Memory::copy_state(uintptr_t to, uintptr_t from, size_t bytes) { memmove(state(to), state(from), bytes); }

size_t Memory::report_leaks(const char *when) {
    if (allocations.empty()) return 0;
    const auto &[address, first] = *allocations.begin();
    fail(SUCCESS, "%s: %zu allocations (%zu bytes) were never freed; the first is allocation %llu, of %zu bytes", when, allocations.size(),
         in_use, (unsigned long long)first.serial, first.bytes);
    return allocations.size();
}

}  // namespace emulator
