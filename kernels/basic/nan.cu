// How many values are not a number: what a broken model gives.
// CPU reference: src/ops/basic/nan.rs.
#include "common.cuh"

struct NanDims {
    uint64_t values;
};

// total += number of values that are NaN; values lie at a multiple of 16 bytes. Each thread takes every so many-th four of
// them, the first few threads what is left; a warp that found some adds once.
extern "C" __global__ void __launch_bounds__(256)
    nan_count(const float* __restrict__ values, uint32_t* __restrict__ total, NanDims d) {
    uint32_t mine = 0;
    uint64_t fours = d.values / 4;
    for (uint64_t i = thread_index(); i < fours; i += uint64_t(gridDim.x) * blockDim.x) {
        float4 four = reinterpret_cast<const float4*>(values)[i];
        mine += isnan(four.x) + isnan(four.y) + isnan(four.z) + isnan(four.w);
    }
    if (thread_index() < d.values % 4) mine += isnan(values[4 * fours + thread_index()]);
    uint32_t all = warp_sum(mine);
    if (threadIdx.x % WARP == 0 && all != 0) atomicAdd(total, all);
}
