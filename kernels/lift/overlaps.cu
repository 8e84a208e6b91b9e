// Overlaps: how much of what two masks of a part show they hold together, and which masks hold a superpoint.
// CPU reference: src/ops/lift/overlaps/mod.rs.
#include "lift/inside.cuh"

struct OverlapsDims {
    uint32_t superpoints;  // S
    uint32_t boxes;        // B
    uint32_t views;        // K
};

namespace overlaps {

// Of `count` points of a superpoint, of which a view shows `own`, those that a view shows too that shows `other` of it.
__device__ inline uint64_t shown_too(uint32_t count, uint32_t own, uint32_t other) {
    return other == 0 ? 0 : inside::UNIT * count * other / max(own, other);
}

}  // namespace overlaps

// held[s, b] = points of s in box b.
// entry_offsets [S + 1], entry_set and entry_count [E], set_offsets [D + 1], set_boxes, held [S, B].
// One block per superpoint.
extern "C" __global__ void __launch_bounds__(128)
overlaps_held(const uint32_t* __restrict__ entry_offsets, const uint32_t* __restrict__ entry_set,
              const uint32_t* __restrict__ entry_count, const uint32_t* __restrict__ set_offsets,
              const uint32_t* __restrict__ set_boxes, uint32_t* __restrict__ held, OverlapsDims d) {
    __shared__ uint32_t counts[inside::BOXES];
    const uint32_t s = blockIdx.x;
    for (uint32_t first = 0; first < d.boxes; first += inside::BOXES) {
        const uint32_t end = min(d.boxes - first, inside::BOXES);
        inside::count<128>(counts, s, first, end, entry_offsets, entry_set, entry_count, set_offsets, set_boxes);
        for (uint32_t i = threadIdx.x; i < end; i += 128) held[size_t(s) * d.boxes + first + i] = counts[i];
        __syncthreads();
    }
}

// For boxes a < b of one part, in `UNIT`s of a point, summed over the superpoints s:
//   shared[a, b] += points that one set of both holds, if they are of one view; else
//                   min(held[s, a] n_s(b's view) / max(n_s(a's view), n_s(b's view)), and the same of b)
//   shown[a, k]  += held[s, a] n_s(k) / max(n_s(a's view), n_s(k)); all that it holds in a's own view
// n = counts [S, K]. held [S, B], entry_offsets [S + 1], entry_set and entry_count [E], set_offsets [D + 1], set_boxes,
// box_label and box_view [B], shared [B, B] and shown [B, K] cleared before.
// One block per superpoint, a box a to each warp. Integer sums, so any order will do.
extern "C" __global__ void __launch_bounds__(256)
overlaps_sum(const uint32_t* __restrict__ held, const uint32_t* __restrict__ entry_offsets,
             const uint32_t* __restrict__ entry_set, const uint32_t* __restrict__ entry_count,
             const uint32_t* __restrict__ set_offsets, const uint32_t* __restrict__ set_boxes,
             const uint32_t* __restrict__ box_label, const uint32_t* __restrict__ box_view,
             const uint32_t* __restrict__ counts, uint64_t* __restrict__ shared, uint64_t* __restrict__ shown,
             OverlapsDims d) {
    using namespace overlaps;
    const uint32_t s = blockIdx.x, lane = threadIdx.x % WARP;
    const uint32_t *of = held + size_t(s) * d.boxes, *visible = counts + size_t(s) * d.views;
    for (uint32_t a = threadIdx.x / WARP; a < d.boxes; a += 256 / WARP) {
        if (of[a] == 0) continue;
        const uint32_t label = box_label[a], view = box_view[a], own = visible[view];
        for (uint32_t k = lane; k < d.views; k += WARP) {
            add(shown + size_t(a) * d.views + k, k == view ? inside::UNIT * of[a] : shown_too(of[a], own, visible[k]));
        }
        for (uint32_t b = a + 1 + lane; b < d.boxes; b += WARP) {
            if (of[b] == 0 || box_label[b] != label || box_view[b] == view) continue;
            const uint32_t other = visible[box_view[b]];
            add(shared + size_t(a) * d.boxes + b, min(shown_too(of[a], own, other), shown_too(of[b], other, own)));
        }
    }
    for (uint32_t e = entry_offsets[s] + threadIdx.x; e < entry_offsets[s + 1]; e += 256) {
        const uint32_t first = set_offsets[entry_set[e]], end = set_offsets[entry_set[e] + 1];
        for (uint32_t i = first; i < end; i++) {
            for (uint32_t j = i + 1; j < end; j++) {
                const uint32_t a = min(set_boxes[i], set_boxes[j]), b = max(set_boxes[i], set_boxes[j]);
                if (box_label[a] != box_label[b] || box_view[a] != box_view[b]) continue;
                add(shared + size_t(a) * d.boxes + b, inside::UNIT * entry_count[e]);
            }
        }
    }
}

// holder[s] = the group whose boxes of s's part hold most of its points, the first of equals; -1 if none does.
// held [S, B], label [S], negative = no part, box_label [B], group [B]: each named after its first box, -1 = none,
// holder [S].
// One warp per superpoint, a group to each lane.
extern "C" __global__ void __launch_bounds__(256)
overlaps_holders(const uint32_t* __restrict__ held, const int32_t* __restrict__ label,
                 const uint32_t* __restrict__ box_label, const int32_t* __restrict__ group,
                 int32_t* __restrict__ holder, OverlapsDims d) {
    const uint32_t s = thread_index() / WARP, lane = threadIdx.x % WARP;
    if (s >= d.superpoints) return;
    const uint32_t* of = held + size_t(s) * d.boxes;
    uint64_t most = 0;
    uint32_t best = d.boxes;
    for (uint32_t g = lane; g < d.boxes; g += WARP) {
        if (group[g] != int32_t(g) || int32_t(box_label[g]) != label[s]) continue;
        uint64_t points = 0;
        for (uint32_t b = g; b < d.boxes; b++) points += group[b] == int32_t(g) ? of[b] : 0;
        if (points > most) {
            most = points;
            best = g;
        }
    }
    for (uint32_t step = WARP / 2; step > 0; step /= 2) {
        const uint64_t points = __shfl_xor_sync(ALL_LANES, static_cast<unsigned long long>(most), step);
        const uint32_t other = __shfl_xor_sync(ALL_LANES, best, step);
        if (points > most || (points == most && other < best)) {
            most = points;
            best = other;
        }
    }
    if (lane == 0) holder[s] = most == 0 ? -1 : int32_t(best);
}
