// Points grouped by label.
#include "common.cuh"

struct GroupDims {
    uint32_t points;
};

// keys[i] = labels[i], order[i] = i.
// labels, keys, order [N]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
    group_keys(const uint32_t* __restrict__ labels, uint32_t* __restrict__ keys, uint32_t* __restrict__ order,
               GroupDims d) {
    uint32_t i = thread_index();
    if (i >= d.points) return;
    keys[i] = labels[i];
    order[i] = i;
}

// starts[i] = whether the i-th sorted label differs from the one before; 0 of the first.
// keys, starts [N]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
    group_starts(const uint32_t* __restrict__ keys, uint32_t* __restrict__ starts, GroupDims d) {
    uint32_t i = thread_index();
    if (i < d.points) starts[i] = i > 0 && keys[i] != keys[i - 1];
}

// The group of the i-th sorted point is the number of starts up to it.
// starts, order [N], ranks [N + 1]; points [N], of_point [N], offsets [N + 1], count [1] = S; offsets past S are N.
// One thread per point.
extern "C" __global__ void __launch_bounds__(256)
    group_members(const uint32_t* __restrict__ starts, const uint32_t* __restrict__ order,
                  const uint32_t* __restrict__ ranks, uint32_t* __restrict__ points, uint32_t* __restrict__ of_point,
                  uint32_t* __restrict__ offsets, uint32_t* __restrict__ count, GroupDims d) {
    uint32_t i = thread_index();
    if (i >= d.points) return;
    uint32_t group = ranks[i + 1];
    points[i] = order[i];
    of_point[order[i]] = group;
    if (i == 0 || starts[i]) offsets[group] = i;
    if (i > ranks[d.points]) offsets[i + 1] = d.points;
    if (i + 1 == d.points) {
        offsets[group + 1] = d.points;
        count[0] = group + 1;
    }
}
