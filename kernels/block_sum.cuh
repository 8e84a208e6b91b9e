// Sums in the fixed trees of src/ops/basic/sum.rs.
#pragma once
#include "common.cuh"

// Sum over the 256 threads of a block: the trees of its warps, then one over the warps' sums. Thread 0 has the result.
// A barrier must come before the next use of `sums`.
template <class T>
__device__ inline T sum_of_block(T value, T (&sums)[8]) {
    value = warp_sum(value);
    if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = value;
    __syncthreads();
    for (uint32_t step = 4; step > 0; step /= 2) {
        if (threadIdx.x < step) sums[threadIdx.x] += sums[threadIdx.x + step];
        __syncthreads();
    }
    return sums[0];
}
