// What a softmax needs of a row; also the cross-entropy's.
#pragma once
#include "basic/exp.cuh"

namespace softmax {

struct Row {
    float largest, sum;
};

// The largest value of a row, and the sum of exp(x - largest), which are kept in `exps` unless it is null. For a whole
// warp: column c goes to lane c % 32, then a tree.
__device__ inline Row row(const float* x, uint32_t columns, float* exps) {
    float largest = -INFINITY;
    for (uint32_t c = threadIdx.x % WARP; c < columns; c += WARP) largest = fmaxf(largest, x[c]);
    for (uint32_t step = WARP / 2; step > 0; step /= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, step));
    }
    float sum = 0.0f;
    #pragma unroll 1
    for (uint32_t c = threadIdx.x % WARP; c < columns; c += WARP) {
        const float e = float(exponential::exp(double(x[c] - largest)));
        if (exps) exps[c] = e;
        sum += e;
    }
    return {largest, warp_sum(sum)};
}

}  // namespace softmax
