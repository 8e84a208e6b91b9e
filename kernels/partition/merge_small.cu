// Small components join whole the component of the large-component point nearest to their first point.
#include "tree.cuh"

struct MergeSmallDims {
    uint32_t points;
    uint32_t small;
};

// into[c] = the component of the large-component point nearest to c's first point, ties to the lowest point, if c is
// small and there is such a point; else c.
// positions [N, 3]; of_point [N], offsets [C + 1], members [N] the components; items [N, 4], boxes [all levels, 8] the
// tree of all points; into [C], C = count[0]. One warp per component and step.
extern "C" __global__ void __launch_bounds__(256)
    merge_small_find(const float* __restrict__ positions, const uint32_t* __restrict__ of_point,
                     const uint32_t* __restrict__ offsets, const uint32_t* __restrict__ members,
                     const uint32_t* __restrict__ count, const float* __restrict__ items,
                     const float* __restrict__ boxes, uint32_t* __restrict__ into, MergeSmallDims d) {
    __shared__ tree::Pending pending;
    auto is_small = [&](uint32_t c) { return offsets[c + 1] - offsets[c] <= d.small; };
    for (uint32_t own = thread_index() / WARP; own < count[0]; own += gridDim.x * blockDim.x / WARP) {
        uint32_t result = own;
        if (is_small(own)) {
            tree::Tree all = {reinterpret_cast<const tree::Item*>(items), reinterpret_cast<const tree::Box*>(boxes),
                              d.points};
            uint32_t first = members[offsets[own]];
            tree::Item query = {positions[3 * first], positions[3 * first + 1], positions[3 * first + 2], first};
            tree::Nearest nearest(1);
            tree::search(all, query, tree::NOWHERE, nearest, pending, [&](uint32_t index) { return is_small(of_point[index]); });
            if (nearest.bound != tree::NOBODY) result = of_point[uint32_t(nearest.bound)];
        }
        if (threadIdx.x % WARP == 0) into[own] = result;
    }
}

// merged[i] = into[of_point[i]].
// of_point, merged [N], into [C]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
    merge_small_join(const uint32_t* __restrict__ of_point, const uint32_t* __restrict__ into,
                     uint32_t* __restrict__ merged, MergeSmallDims d) {
    uint32_t i = thread_index();
    if (i < d.points) merged[i] = into[of_point[i]];
}
