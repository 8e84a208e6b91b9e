// Bounding boxes of groups of points.
// CPU reference: src/ops/lift/extents.rs.
#include "common.cuh"

// extents[s] = the least and the greatest coordinates of the points of group s.
// positions [N, 3], offsets [S + 1], points [N]; extents [S, 6] low, then high. One block per group: some are large, and
// least and greatest do not depend on the order.
extern "C" __global__ void __launch_bounds__(256)
    extents(const float* __restrict__ positions, const uint32_t* __restrict__ offsets,
            const uint32_t* __restrict__ points, float* __restrict__ extents) {
    constexpr uint32_t WARPS = 256 / WARP;
    __shared__ float of_warps[6][WARPS];
    uint32_t group = blockIdx.x, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    float most = __uint_as_float(0x7f800000u);
    float low[3] = {most, most, most}, high[3] = {-most, -most, -most};
    uint32_t end = offsets[group + 1];
    for (uint32_t i = offsets[group] + threadIdx.x; i < end; i += 256) {
        const float* position = positions + 3 * uint64_t(points[i]);
        for (uint32_t axis = 0; axis < 3; ++axis) {
            low[axis] = fminf(low[axis], position[axis]);
            high[axis] = fmaxf(high[axis], position[axis]);
        }
    }
    for (uint32_t axis = 0; axis < 3; ++axis) {
        for (uint32_t step = WARP / 2; step > 0; step /= 2) {
            low[axis] = fminf(low[axis], __shfl_xor_sync(ALL_LANES, low[axis], step));
            high[axis] = fmaxf(high[axis], __shfl_xor_sync(ALL_LANES, high[axis], step));
        }
        if (lane == 0) {
            of_warps[axis][warp] = low[axis];
            of_warps[3 + axis][warp] = high[axis];
        }
    }
    __syncthreads();
    if (threadIdx.x >= 6) return;
    float value = of_warps[threadIdx.x][0];
    for (uint32_t w = 1; w < WARPS; ++w) {
        float other = of_warps[threadIdx.x][w];
        value = threadIdx.x < 3 ? fminf(value, other) : fmaxf(value, other);
    }
    extents[6 * uint64_t(group) + threadIdx.x] = value;
}
