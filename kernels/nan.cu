// How many values are not a number: what a broken model gives.
// CPU reference: src/ops/nan.rs.
#include "common.cuh"

struct NanDims {
    uint64_t values;
};

// total += number of values that are NaN. Each thread takes every so many-th value; a warp that found some adds once.
extern "C" __global__ void __launch_bounds__(256)
    nan_count(const float* __restrict__ values, uint32_t* __restrict__ total, NanDims d) {
    uint32_t mine = 0;
    for (uint64_t i = thread_index(); i < d.values; i += uint64_t(gridDim.x) * blockDim.x) mine += isnan(values[i]);
    uint32_t all = warp_sum(mine);
    if (threadIdx.x % WARP == 0 && all != 0) atomicAdd(total, all);
}
