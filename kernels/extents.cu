// Bounding boxes of groups of points.
#include "common.cuh"

struct ExtentsDims {
    uint32_t groups;
};

// extents[s] = the least and the greatest coordinates of the points of group s.
// positions [N, 3], offsets [S + 1], points [N]; extents [S, 6] low, then high. One warp per group.
extern "C" __global__ void __launch_bounds__(256)
    extents(const float* __restrict__ positions, const uint32_t* __restrict__ offsets,
            const uint32_t* __restrict__ points, float* __restrict__ extents, ExtentsDims d) {
    uint32_t group = thread_index() / WARP, lane = threadIdx.x % WARP;
    if (group >= d.groups) return;
    float most = __uint_as_float(0x7f800000u);
    float low[3] = {most, most, most}, high[3] = {-most, -most, -most};
    uint32_t end = offsets[group + 1];
    for (uint32_t i = offsets[group] + lane; i < end; i += WARP) {
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
            extents[6 * group + axis] = low[axis];
            extents[6 * group + 3 + axis] = high[axis];
        }
    }
}
