// What each view shows of each superpoint. CPU reference: src/ops/lift/observe.rs.
#include "common.cuh"

struct ObserveDims {
    uint32_t points;       // N
    uint32_t superpoints;  // S
    uint32_t views;        // K
    uint32_t words;        // of 32 points, ceil(N / 32)
};

namespace observe {

// Bits that order as the floats do.
__device__ inline uint32_t ordered(float value) {
    const uint32_t bits = __float_as_uint(value);
    return bits ^ (bits >> 31 ? 0xffffffffu : 0x80000000u);
}

__device__ inline float unordered(uint32_t bits) {
    return __uint_as_float(bits ^ (bits >> 31 ? 0x80000000u : 0xffffffffu));
}

// Of the lanes named in `lanes`, which all call with the same mask.
__device__ inline float group_min(uint32_t lanes, float value) {
    return unordered(__reduce_min_sync(lanes, ordered(value)));
}

__device__ inline float group_max(uint32_t lanes, float value) {
    return unordered(__reduce_max_sync(lanes, ordered(value)));
}

// Positive floats order as signed integers, negative ones against unsigned; exact, whatever the order.
__device__ inline void atomic_min(float* at, float value) {
    if (__float_as_uint(value) >> 31) {
        atomicMax(reinterpret_cast<unsigned int*>(at), __float_as_uint(value));
    } else {
        atomicMin(reinterpret_cast<int*>(at), __float_as_int(value));
    }
}

__device__ inline void atomic_max(float* at, float value) {
    if (__float_as_uint(value) >> 31) {
        atomicMin(reinterpret_cast<unsigned int*>(at), __float_as_uint(value));
    } else {
        atomicMax(reinterpret_cast<int*>(at), __float_as_int(value));
    }
}

}  // namespace observe

// Nothing seen yet: counts 0, extents (inf, inf, -inf, -inf).
// counts [S, K], extents [S, K, 4], totals [S]. One thread per (superpoint, view).
extern "C" __global__ void __launch_bounds__(256)
observe_clear(uint32_t* __restrict__ counts, float* __restrict__ extents, uint32_t* __restrict__ totals,
              ObserveDims d) {
    const uint32_t i = thread_index();
    if (i >= d.superpoints * d.views) return;
    counts[i] = 0;
    for (uint32_t side = 0; side < 4; side++) extents[4 * size_t(i) + side] = side < 2 ? INFINITY : -INFINITY;
    if (i % d.views == 0) totals[i / d.views] = 0;
}

// counts[s, k]  = visible points of s in view k;  totals[s] = their sum over k
// extents[s, k] = left, top, right, bottom of their screen positions
// superpoint_points [N] by superpoint, superpoint_of [N], visible [K, words], screen [K, N, 2].
// One thread per (place in superpoint_points, view); grid [N / 256, K]. Neighbouring lanes mostly share a superpoint:
// one lane of each group of equals writes.
extern "C" __global__ void __launch_bounds__(256)
observe_views(const uint32_t* __restrict__ superpoint_points, const uint32_t* __restrict__ superpoint_of,
              const uint32_t* __restrict__ visible, const float* __restrict__ screen, uint32_t* counts,
              float* extents, uint32_t* totals, ObserveDims d) {
    using namespace observe;
    const uint32_t i = thread_index(), view = blockIdx.y;
    uint32_t superpoint = 0xffffffffu;
    bool seen = false;
    float x = 0.0f, y = 0.0f;
    if (i < d.points) {
        const uint32_t point = superpoint_points[i];
        superpoint = superpoint_of[point];
        seen = visible[size_t(view) * d.words + point / 32] >> point % 32 & 1;
        if (seen) {
            const float* at = screen + (size_t(view) * d.points + point) * 2;
            x = at[0];
            y = at[1];
        }
    }
    const uint32_t group = __match_any_sync(ALL_LANES, seen ? superpoint : 0xffffffffu);
    if (!seen) return;
    const float left = group_min(group, x), top = group_min(group, y);
    const float right = group_max(group, x), bottom = group_max(group, y);
    if (threadIdx.x % WARP != uint32_t(__ffs(group) - 1)) return;
    const size_t cell = size_t(superpoint) * d.views + view;
    atomicAdd(counts + cell, __popc(group));
    atomicAdd(totals + superpoint, __popc(group));
    atomic_min(extents + 4 * cell, left);
    atomic_min(extents + 4 * cell + 1, top);
    atomic_max(extents + 4 * cell + 2, right);
    atomic_max(extents + 4 * cell + 3, bottom);
}
