// What every kernel may use. All kernels are one translation unit.
#pragma once
#include <cstdint>
#include <cuda_fp16.h>

constexpr uint32_t WARP = 32;
constexpr uint32_t ALL_LANES = 0xffffffffu;

// The index of this thread in a one-dimensional grid.
__device__ inline uint32_t thread_index() { return blockIdx.x * blockDim.x + threadIdx.x; }

// 64 bits as atomics want them.
__device__ inline unsigned long long* atomic(uint64_t* at) { return reinterpret_cast<unsigned long long*>(at); }
__device__ inline unsigned long long* atomic(int64_t* at) { return reinterpret_cast<unsigned long long*>(at); }

// Adds to a sum that others add to.
__device__ inline void add(uint64_t* sum, uint64_t value) {
    if (value != 0) atomicAdd(atomic(sum), static_cast<unsigned long long>(value));
}

// Sum over the lanes of a warp in a fixed tree; every lane has the result.
template <class T>
__device__ inline T warp_sum(T value) {
    for (uint32_t offset = WARP / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(ALL_LANES, value, offset);
    return value;
}
