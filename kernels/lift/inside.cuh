// How many points of a superpoint the boxes hold.
#pragma once
#include "common.cuh"

namespace inside {

constexpr uint32_t BOXES = 1024;  // at a time, in shared memory
constexpr uint64_t UNIT = 256;    // to a point, in the sums of src/ops/lift/overlaps, whose UNIT it is

// counts[i] = points of superpoint s in box first + i, for i below end, at most BOXES. All THREADS of the block take part,
// and all counts are there when it returns. Integer sums, so any order will do.
// entry_offsets [S + 1], entry_set and entry_count [E], set_offsets [D + 1], set_boxes.
template <uint32_t THREADS>
__device__ inline void count(uint32_t* counts, uint32_t s, uint32_t first, uint32_t end,
                             const uint32_t* __restrict__ entry_offsets, const uint32_t* __restrict__ entry_set,
                             const uint32_t* __restrict__ entry_count, const uint32_t* __restrict__ set_offsets,
                             const uint32_t* __restrict__ set_boxes) {
    for (uint32_t i = threadIdx.x; i < end; i += THREADS) counts[i] = 0;
    __syncthreads();
    for (uint32_t e = entry_offsets[s] + threadIdx.x; e < entry_offsets[s + 1]; e += THREADS) {
        const uint32_t set = entry_set[e];
        for (uint32_t i = set_offsets[set]; i < set_offsets[set + 1]; i++) {
            const uint32_t box = set_boxes[i] - first;  // wraps around before the first
            if (box < end) atomicAdd(&counts[box], entry_count[e]);
        }
    }
    __syncthreads();
}

}  // namespace inside
