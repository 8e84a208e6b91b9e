// The device's memory.
#pragma once
#include <map>
#include <string>

#include "emulator.h"
#include "race.h"

namespace emulator {

// What is known of a byte of the device's memory.
enum Byte : uint8_t { NOBODYS = 0, UNWRITTEN = 1, WRITTEN = 2 };

class Memory {
  public:
    static constexpr size_t SIZE = size_t(8) << 30, RED_ZONE = 256;

    Memory();
    Result allocate(uintptr_t *address, size_t bytes);
    Result free(uintptr_t address);
    void free_all();
    // Whether [address, address + bytes) lies in one allocation, and, with `written`, whether all of it was written.
    Result check(const char *what, uintptr_t address, size_t bytes, bool written);
    void mark_written(uintptr_t address, size_t bytes);
    void copy_state(uintptr_t to, uintptr_t from, size_t bytes);
    Result check_red_zones(const char *after);
    // Says which allocations still live; returns how many.
    size_t report_leaks(const char *when);
    size_t live() const { return allocations.size(); }
    size_t used() const { return in_use; }

    bool contains(uintptr_t address) const { return address - base < SIZE; }
    // Of the checked build: who touched these four bytes.
    Cell *cell(uintptr_t address) { return cells + (address - base) / 4; }
    void forget_accesses();
    Byte *state(uintptr_t address) { return states + (address - base); }
    // "offset 1024 of an allocation of 1024 bytes", as near as can be said.
    std::string place(uintptr_t address) const;

    uintptr_t base;
    uint8_t poison_byte;  // what new memory is full of

  private:
    struct Allocation { size_t bytes; uint64_t serial; };
    Result check_red_zone(uintptr_t address, const Allocation &allocation, const char *after) const;
    uintptr_t find_space(size_t bytes);
    void poison(uintptr_t from, uintptr_t to);

    Byte *states;
    uintptr_t next;
    uint64_t serial = 0;
    size_t in_use = 0;
    Cell *cells = nullptr;
    std::map<uintptr_t, Allocation> allocations, freed;
};

Memory &memory();
// The same, for the checks of every access: there as soon as anything is allocated.
extern Memory *const device_memory;

}  // namespace emulator
