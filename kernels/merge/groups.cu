// Groups of points: sizes, small ones dropped, numbers without gaps. CPU reference: src/ops/merge/groups.rs.
#include "common.cuh"

struct GroupsDims {
    uint32_t points;
    uint32_t groups;  // more than every group
    uint32_t least;   // points of a group that stays
};

// sizes[g] = points of group g. groups [points], sizes [groups] cleared before. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
groups_sizes(const int32_t* __restrict__ groups, uint32_t* __restrict__ sizes, GroupsDims d) {
    const uint32_t i = thread_index();
    if (i < d.points && groups[i] >= 0) atomicAdd(sizes + groups[i], 1u);
}

// Groups of fewer points than the least become -1. groups [points], sizes [groups]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
groups_drop(int32_t* __restrict__ groups, const uint32_t* __restrict__ sizes, GroupsDims d) {
    const uint32_t i = thread_index();
    if (i < d.points && groups[i] >= 0 && sizes[groups[i]] < d.least) groups[i] = -1;
}

// marks[g] = whether group g has a point. sizes, marks [groups]. One thread per group.
extern "C" __global__ void __launch_bounds__(256)
groups_marks(const uint32_t* __restrict__ sizes, uint32_t* __restrict__ marks, GroupsDims d) {
    const uint32_t group = thread_index();
    if (group < d.groups) marks[group] = sizes[group] != 0;
}

// Group g becomes numbers[g]. groups [points], numbers [groups]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
groups_rename(int32_t* __restrict__ groups, const uint32_t* __restrict__ numbers, GroupsDims d) {
    const uint32_t i = thread_index();
    if (i < d.points && groups[i] >= 0) groups[i] = int32_t(numbers[groups[i]]);
}

// of_query[q] = the group of the point found for it, -1 = none. groups [points], found, of_query [queries].
// One thread per query, which `points` counts.
extern "C" __global__ void __launch_bounds__(256)
groups_of(const int32_t* __restrict__ groups, const int32_t* __restrict__ found, int32_t* __restrict__ of_query, GroupsDims d) {
    const uint32_t q = thread_index();
    if (q < d.points) of_query[q] = found[q] >= 0 ? groups[found[q]] : -1;
}
