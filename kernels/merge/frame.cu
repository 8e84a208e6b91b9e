// The group of most of a point's pixels. CPU reference: src/ops/merge/frame.rs.
//
// The pixels are sorted by point, then group.
#include "common.cuh"

struct FrameDims {
    uint32_t pixels;
    uint32_t points;  // N
    uint32_t groups;  // more than every group + 1
};

// keys[i] = the point that pixel i shows and its group + 1, as one number; N * groups if it shows none. order[i] = i.
// map, regions, keys, order [pixels]. One thread per pixel.
extern "C" __global__ void __launch_bounds__(256)
frame_keys(const int32_t* __restrict__ map, const int32_t* __restrict__ regions, uint64_t* __restrict__ keys,
           uint32_t* __restrict__ order, FrameDims d) {
    const uint32_t i = thread_index();
    if (i >= d.pixels) return;
    const uint32_t point = min(uint32_t(map[i]), d.points);
    keys[i] = uint64_t(point) * d.groups + (point < d.points ? uint32_t(regions[i] + 1) : 0);
    order[i] = i;
}

// winners[p] = 1 + what most of the keys of point p say, the larger of equals; 0 of a point without a key.
// keys [pixels] sorted, winners [N] cleared before. One thread per key; the first of a point reads all of that point.
extern "C" __global__ void __launch_bounds__(256)
frame_winners(const uint64_t* __restrict__ keys, uint32_t* __restrict__ winners, FrameDims d) {
    const uint32_t first = thread_index();
    if (first >= d.pixels) return;
    const uint64_t point = keys[first] / d.groups;
    if (point >= d.points || (first > 0 && keys[first - 1] / d.groups == point)) return;
    const uint64_t end = (point + 1) * d.groups;
    uint32_t most = 0, count = 0;
    uint64_t winner = 0;
    for (uint32_t i = first; i < d.pixels && keys[i] < end; ++i) {
        count = i > first && keys[i] == keys[i - 1] ? count + 1 : 1;
        if (count >= most) most = count, winner = keys[i];
    }
    winners[point] = uint32_t(winner - point * d.groups) + 1;
}

// marks[p] = whether point p is shown. winners, marks [N]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
frame_marks(const uint32_t* __restrict__ winners, uint32_t* __restrict__ marks, FrameDims d) {
    const uint32_t point = thread_index();
    if (point < d.points) marks[point] = winners[point] != 0;
}

// The points that are shown, ascending, and their groups, -1 = none.
// winners [N], places [N + 1], points and groups [places[N]]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
frame_gather(const uint32_t* __restrict__ winners, const uint32_t* __restrict__ places, uint32_t* __restrict__ points,
             int32_t* __restrict__ groups, FrameDims d) {
    const uint32_t point = thread_index();
    if (point >= d.points || winners[point] == 0) return;
    points[places[point]] = point;
    groups[places[point]] = int32_t(winners[point]) - 2;
}
