// Whether two accesses to the same memory are ordered: by a barrier, by the end of the kernel, or not at all.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>

namespace emulator {

// An access, in 64 bits: launch 10 | block 22 | thread 10 | barriers 11 | warp barriers 6 | atomic 1 | bytes of the word 4.
// Barriers are counted in the block since it began, warp barriers by the thread since the last barrier. A count that
// has reached its end stays there and then claims no race.
struct Who {
    static constexpr unsigned LAUNCHES = 1 << 10, BARRIERS = (1 << 11) - 1, SYNCS = (1 << 6) - 1;
    static constexpr uint64_t ATOMIC = 1 << 4;

    static uint64_t thread(uint64_t launch, uint64_t block, unsigned thread, unsigned barriers, unsigned syncs) {
        return launch << 54 | (block & ((1 << 22) - 1)) << 32 | uint64_t(thread) << 22 | uint64_t(std::min(barriers, BARRIERS)) << 11 |
               uint64_t(std::min(syncs, SYNCS)) << 5;
    }
    static unsigned block_of(uint64_t who) { return who >> 32 & ((1 << 22) - 1); }
    static unsigned thread_of(uint64_t who) { return who >> 22 & 1023; }
    static unsigned syncs_of(uint64_t who) { return who >> 5 & SYNCS; }

    static bool same_launch(uint64_t a, uint64_t b) { return (a ^ b) >> 54 == 0; }
    static bool same_block(uint64_t a, uint64_t b) { return (a ^ b) >> 32 == 0; }
    static bool same_warp(uint64_t a, uint64_t b) { return (a ^ b) >> 27 == 0; }
    static bool same_thread(uint64_t a, uint64_t b) { return (a ^ b) >> 22 == 0; }

    // `now` came after `before` in the emulator; whether a device could turn them round. Blocks run at the same time,
    // but each has its own shared memory.
    static bool unordered(uint64_t before, uint64_t now, bool shared) {
        if (!same_launch(before, now) || same_thread(before, now)) return false;
        if (!same_block(before, now)) return !shared;
        if ((before ^ now) >> 11 & BARRIERS || (now >> 11 & BARRIERS) == BARRIERS) return false;
        return !same_warp(before, now) || (syncs_of(now) <= syncs_of(before) && syncs_of(before) != SYNCS);
    }
};

// Who last touched four bytes: one writer and two readers of different places.
struct Cell {
    std::atomic<uint64_t> write, read, other;

    // Notes the access down and returns one that it races with, or 0.
    uint64_t touch(uint64_t me, bool writes, bool shared) {
        constexpr auto RELAXED = std::memory_order_relaxed;
        const auto races = [=](uint64_t before) {
            return before & me & 15 && !(before & me & Who::ATOMIC) && Who::unordered(before, me, shared);
        };
        const uint64_t w = write.load(RELAXED);
        if (races(w)) return w;
        const uint64_t r = read.load(RELAXED), o = other.load(RELAXED);
        if (writes) {
            if (races(r)) return r;
            if (races(o)) return o;
            write.store(me, RELAXED);
        } else {
            if (Who::same_thread(r, me) || !Who::unordered(r, me, shared)) read.store(me, RELAXED);
            else if (!Who::unordered(o, me, shared) || (Who::same_warp(o, r) && !Who::same_warp(me, r))) other.store(me, RELAXED);
        }
        return 0;
    }
};

}  // namespace emulator
