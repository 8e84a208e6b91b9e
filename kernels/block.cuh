// Sums over the threads of a block before a thread.
#pragma once
#include "common.cuh"

// Sum of the values of the lanes up to this one.
__device__ inline uint32_t warp_inclusive(uint32_t value) {
    uint32_t lane = threadIdx.x % WARP;
    for (uint32_t step = 1; step < WARP; step *= 2) {
        uint32_t before = __shfl_up_sync(ALL_LANES, value, step);
        if (lane >= step) value += before;
    }
    return value;
}

// Sum of the values of the warps before this thread's, and of all; `value` must be the same in all lanes of a warp.
// A barrier must come before the next use of `sums`.
template <uint32_t WARPS>
__device__ inline uint32_t warps_before(uint32_t value, uint32_t (&sums)[WARPS], uint32_t& total) {
    uint32_t warp = threadIdx.x / WARP;
    if (threadIdx.x % WARP == 0) sums[warp] = value;
    __syncthreads();
    uint32_t before = 0;
    total = 0;
    for (uint32_t w = 0; w < WARPS; ++w) {
        if (w < warp) before += sums[w];
        total += sums[w];
    }
    return before;
}

// Sum of the values of the threads before this one, and of all. A barrier must come before the next use of `sums`.
template <uint32_t WARPS>
__device__ inline uint32_t block_exclusive(uint32_t value, uint32_t (&sums)[WARPS], uint32_t& total) {
    uint32_t inclusive = warp_inclusive(value);
    return warps_before(__shfl_sync(ALL_LANES, inclusive, WARP - 1), sums, total) + inclusive - value;
}
