// The nearest point of another cloud. CPU reference: src/ops/merge/nearest.rs.
#include "partition/tree.cuh"

struct NearestDims {
    double radius;
    uint32_t points;
    uint32_t queries;  // Q
};

// there[i] = positions[points[i]]. positions [N, 3], points [points], there [points, 3]. One thread per coordinate.
extern "C" __global__ void __launch_bounds__(256)
nearest_positions(const float* __restrict__ positions, const uint32_t* __restrict__ points, float* __restrict__ there,
                  NearestDims d) {
    const uint32_t i = thread_index();
    if (i < 3 * d.points) there[i] = positions[3 * size_t(points[i / 3]) + i % 3];
}

// found[q] = the nearest point of the tree to query q, of as near ones the first; -1 if it is not nearer than the radius.
// items [points, 4], boxes [all levels, 8], queries [Q, 3], found [Q]. One warp per query.
extern "C" __global__ void __launch_bounds__(256)
nearest_within(const float* __restrict__ items, const float* __restrict__ boxes, const float* __restrict__ queries,
               int32_t* __restrict__ found, NearestDims d) {
    __shared__ tree::Pending pending;
    const uint32_t q = thread_index() / WARP;
    if (q >= d.queries) return;
    const tree::Tree points = {reinterpret_cast<const tree::Item*>(items), reinterpret_cast<const tree::Box*>(boxes), d.points};
    const tree::Item query = {queries[3 * size_t(q)], queries[3 * size_t(q) + 1], queries[3 * size_t(q) + 2], q};
    tree::Nearest nearest(1);
    tree::search(points, query, tree::NOWHERE, nearest, pending, [](uint32_t) { return false; });
    if (threadIdx.x % WARP != 0) return;
    const float distance = sqrtf(__uint_as_float(uint32_t(nearest.key >> 32)));
    found[q] = double(distance) < d.radius ? int32_t(uint32_t(nearest.key)) : -1;
}
