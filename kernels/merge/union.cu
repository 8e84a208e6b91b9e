// One point of each place. CPU reference: src/ops/merge/union.rs.
#include "common.cuh"

struct UnionDims {
    uint32_t points;
};

namespace unite {

// An unsigned integer, the larger the lower the cell.
__device__ inline uint32_t lowness(int32_t cell) { return ~(uint32_t(cell) ^ 0x80000000u); }

}  // namespace unite

// low[a] = the most of what unite::lowness makes of the cells along axis a.
// cells [N, 3], points [points], low [3] cleared before. One thread per point and step; few blocks, so that few atomics meet.
extern "C" __global__ void __launch_bounds__(256)
union_low(const int32_t* __restrict__ cells, const uint32_t* __restrict__ points, uint32_t* __restrict__ low, UnionDims d) {
    uint32_t mine[3] = {0, 0, 0};
    for (uint32_t i = thread_index(); i < d.points; i += gridDim.x * blockDim.x) {
        for (uint32_t axis = 0; axis < 3; ++axis) {
            mine[axis] = max(mine[axis], unite::lowness(cells[3 * size_t(points[i]) + axis]));
        }
    }
    for (uint32_t axis = 0; axis < 3; ++axis) {
        const uint32_t most = __reduce_max_sync(ALL_LANES, mine[axis]);
        if (threadIdx.x % WARP == 0) atomicMax(low + axis, most);
    }
}

// keys[i] = the hash of the cell of the i-th point, counted from the lowest; order[i] = i.
// cells [N, 3], points, keys, order [points], low [3]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
union_hashes(const int32_t* __restrict__ cells, const uint32_t* __restrict__ points, const uint32_t* __restrict__ low,
             uint64_t* __restrict__ keys, uint32_t* __restrict__ order, UnionDims d) {
    const uint32_t i = thread_index();
    if (i >= d.points) return;
    uint64_t hash = 14695981039346656037ull;
    for (uint32_t axis = 0; axis < 3; ++axis) {
        // The lowness of the lowest cell less this one's is how far this cell lies above it.
        const uint32_t above = low[axis] - unite::lowness(cells[3 * size_t(points[i]) + axis]);
        hash = hash * 1099511628211ull ^ above;
    }
    keys[i] = hash;
    order[i] = i;
}

// keys[i] = the i-th point itself; order[i] = i. points, keys, order [points]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
union_numbers(const uint32_t* __restrict__ points, uint64_t* __restrict__ keys, uint32_t* __restrict__ order, UnionDims d) {
    const uint32_t i = thread_index();
    if (i >= d.points) return;
    keys[i] = points[i];
    order[i] = i;
}

// starts[i] = whether the i-th sorted key is another than the one before. keys, starts [points]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
union_starts(const uint64_t* __restrict__ keys, uint32_t* __restrict__ starts, UnionDims d) {
    const uint32_t i = thread_index();
    if (i < d.points) starts[i] = i == 0 || keys[i] != keys[i - 1];
}

// The rows at which keys start, in their order. starts, order [points], places [points + 1], rows [places[points]].
// One thread per point.
extern "C" __global__ void __launch_bounds__(256)
union_rows(const uint32_t* __restrict__ starts, const uint32_t* __restrict__ order, const uint32_t* __restrict__ places,
           uint32_t* __restrict__ rows, UnionDims d) {
    const uint32_t i = thread_index();
    if (i < d.points && starts[i]) rows[places[i]] = order[i];
}

// The points and groups of some rows. points, groups [any], rows, to_points, to_groups [points]. One thread per row.
extern "C" __global__ void __launch_bounds__(256)
union_gather(const uint32_t* __restrict__ points, const int32_t* __restrict__ groups, const uint32_t* __restrict__ rows,
             uint32_t* __restrict__ to_points, int32_t* __restrict__ to_groups, UnionDims d) {
    const uint32_t i = thread_index();
    if (i >= d.points) return;
    to_points[i] = points[rows[i]];
    to_groups[i] = groups[rows[i]];
}
