// Which boxes hold each visible point, counted per (superpoint, view, box set). CPU reference: src/ops/lift/membership.
//
// The set of a point is a number of W words of 32 bits, bit i % 32 of word i / 32 = box i of its view. In order:
// gates (boxes that may hold a superpoint), runs (equal sets of neighbouring points, counted), the runs sorted by
// (view, set) and then by superpoint (ops::sort), ranks of both orders (ops::scan), and the arrays of `Sets`. How many runs
// there are, the host learns only with the sizes of those.
#include "iou.cuh"
#include "taps.cuh"

struct MembershipDims {
    double min_iou;        // of a superpoint's extent with a box, to look at the box
    uint32_t points;       // N
    uint32_t superpoints;  // S
    uint32_t views;        // K
    uint32_t words;        // W
    uint32_t side;         // pixels along each side of the views
    uint32_t capacity;     // runs that fit: the stride of a word
};

struct MembershipRunsDims {
    uint32_t superpoints;  // S
    uint32_t words;        // W
    uint32_t capacity;     // C, the runs that fit: the stride of a word
    uint32_t shift;        // bits of the boxes, below those of the view in one key
};

namespace membership {

// The pixel that a point falls on by truncation, as the authors index their masks; false outside the image.
__device__ inline bool pixel_of(float x, float y, uint32_t side, uint32_t* column, uint32_t* row) {
    const bool inside = x > -1.0f && y > -1.0f && x < float(side) && y < float(side);
    *column = inside ? uint32_t(fmaxf(x, 0.0f)) : 0;
    *row = inside ? uint32_t(fmaxf(y, 0.0f)) : 0;
    return inside;
}

// The point lies strictly inside the box.
struct InBoxes {
    const float* rects;  // [B, 4]
    float x = 0.0f, y = 0.0f;

    __device__ void locate(float at_x, float at_y, uint32_t) { x = at_x, y = at_y; }
    __device__ bool operator()(uint32_t box) const {
        const float* rect = rects + 4 * size_t(box);
        return x > rect[0] && x < rect[2] && y > rect[1] && y < rect[3];
    }
};

// The upsampled logit is above 0: three taps along each axis (ops::mask).
struct InLogits {
    static constexpr uint32_t SIDE = 256;
    const float* logits;         // [B, 256, 256]
    const uint32_t* tap_first;   // [side]
    const float* tap_weights;    // [side, 3]
    bool inside = false;
    uint32_t first = 0;
    float across[3] = {}, down[3] = {};

    __device__ void locate(float x, float y, uint32_t side) {
        uint32_t column, row;
        inside = pixel_of(x, y, side, &column, &row);
        first = tap_first[row] * SIDE + tap_first[column];
        for (uint32_t i = 0; i < 3; i++) across[i] = tap_weights[3 * column + i], down[i] = tap_weights[3 * row + i];
    }
    __device__ bool operator()(uint32_t box) const {
        return inside && tapped(logits + size_t(box) * SIDE * SIDE + first, across, down) > 0.0f;
    }
};

// The pixel's bit is set.
struct InBits {
    const uint8_t* masks;  // [B, ceil(side * side / 8)]
    size_t size = 0;       // of one
    bool inside = false;
    uint32_t pixel = 0;

    __device__ void locate(float x, float y, uint32_t side) {
        uint32_t column, row;
        inside = pixel_of(x, y, side, &column, &row);
        pixel = row * side + column;
        size = (size_t(side) * side + 7) / 8;
    }
    __device__ bool operator()(uint32_t box) const {
        return inside && masks[box * size + pixel / 8] >> pixel % 8 & 1;
    }
};

template <class Holds>
__device__ inline uint32_t word(const Holds& holds, uint32_t gate, const uint32_t* boxes) {
    uint32_t bits = 0;
    while (gate) {
        const uint32_t i = __ffs(gate) - 1;
        gate &= gate - 1;
        bits |= uint32_t(holds(boxes[i])) << i;
    }
    return bits;
}

template <class Holds>
__device__ inline void runs(Holds holds, const uint32_t* superpoint_points, const uint32_t* superpoint_of,
                            const uint32_t* visible, const float* screen, const uint32_t* gates,
                            const uint32_t* view_offsets, const uint32_t* view_boxes, uint32_t* run_words,
                            uint32_t* run_view, uint32_t* run_superpoint, uint32_t* run_count, uint32_t* total,
                            const MembershipDims& d) {
    __shared__ uint32_t found, start;
    if (threadIdx.x == 0) found = 0;
    __syncthreads();

    const uint32_t i = thread_index(), view = blockIdx.y, lane = threadIdx.x % WARP;
    const uint32_t* boxes = view_boxes + view_offsets[view];
    uint32_t superpoint = 0xffffffffu;
    bool seen = false;
    if (i < d.points) {
        const uint32_t point = superpoint_points[i];
        superpoint = superpoint_of[point];
        seen = visible[size_t(view) * ((d.points + 31) / 32) + point / 32] >> point % 32 & 1;
        if (seen) {
            const float* at = screen + (size_t(view) * d.points + point) * 2;
            holds.locate(at[0], at[1], d.side);
        }
    }
    const uint32_t* gate = gates + (size_t(seen ? superpoint : 0) * d.views + view) * d.words;
    uint32_t same = __match_any_sync(ALL_LANES, superpoint);
    uint32_t any = 0, lowest = 0;
    for (uint32_t w = 0; w < d.words; w++) {
        const uint32_t bits = seen ? word(holds, gate[w], boxes + 32 * w) : 0;
        same &= __match_any_sync(ALL_LANES, bits);
        any |= bits;
        if (w == 0) lowest = bits;
    }
    const bool leads = any != 0 && lane == uint32_t(__ffs(same) - 1);
    const uint32_t leaders = __ballot_sync(ALL_LANES, leads);
    uint32_t slot = 0;
    if (lane == 0 && leaders != 0) slot = atomicAdd(&found, __popc(leaders));
    slot = __shfl_sync(ALL_LANES, slot, 0) + __popc(leaders & ((1u << lane) - 1));
    __syncthreads();
    if (threadIdx.x == 0 && found > 0) start = atomicAdd(total, found);
    __syncthreads();
    if (!leads) return;
    slot += start;
    if (slot >= d.capacity) return;
    run_view[slot] = view;
    run_superpoint[slot] = superpoint;
    run_count[slot] = __popc(same);
    run_words[slot] = lowest;
    // Only leaders, and only where a view has more than 32 boxes: cheaper to look again than to keep.
    for (uint32_t w = 1; w < d.words; w++) {
        run_words[size_t(w) * d.capacity + slot] = word(holds, gate[w], boxes + 32 * w);
    }
}

// R: how many runs there are and fit.
__device__ inline uint32_t runs_of(const uint32_t* total, const MembershipRunsDims& d) { return min(total[0], d.capacity); }

// Whether run `a` has the view and set of run `b`.
__device__ inline bool same_set(const uint32_t* run_words, const uint32_t* run_view, uint32_t a, uint32_t b,
                                const MembershipRunsDims& d) {
    bool same = run_view[a] == run_view[b];
    for (uint32_t w = 0; w < d.words; w++) {
        same = same && run_words[size_t(w) * d.capacity + a] == run_words[size_t(w) * d.capacity + b];
    }
    return same;
}

// The set that the place `q` of the order by (view, set) belongs to.
__device__ inline uint32_t set_of(const uint32_t* is_set, const uint32_t* set_rank, uint32_t q) {
    return set_rank[q] + is_set[q] - 1;
}

}  // namespace membership

// gates[s, k, w] bit i: box 32 w + i of view k is not ignored, and s has 2 visible points or more in k, whose extent
// has IoU > min_iou with the box.
// counts [S, K], extents [S, K, 4], view_offsets [K + 1], view_boxes [view_offsets[K]], rects [B, 4], ignored [B],
// gates [S, K, W]. One warp per word, one lane per box.
extern "C" __global__ void __launch_bounds__(256)
membership_gates(const uint32_t* __restrict__ counts, const float* __restrict__ extents,
                 const uint32_t* __restrict__ view_offsets, const uint32_t* __restrict__ view_boxes,
                 const float* __restrict__ rects, const uint8_t* __restrict__ ignored, uint32_t* __restrict__ gates,
                 MembershipDims d) {
    const uint64_t at = (uint64_t(blockIdx.x) * blockDim.x + threadIdx.x) / WARP;
    if (at >= uint64_t(d.superpoints) * d.views * d.words) return;
    const uint32_t lane = threadIdx.x % WARP, cell = at / d.words, view = cell % d.views;
    const uint32_t i = view_offsets[view] + at % d.words * 32 + lane;
    bool open = false;
    if (counts[cell] >= 2 && i < view_offsets[view + 1]) {
        const uint32_t box = view_boxes[i];
        open = !ignored[box] && iou(extents + 4 * size_t(cell), rects + 4 * size_t(box)) > d.min_iou;
    }
    const uint32_t gate = __ballot_sync(ALL_LANES, open);
    if (lane == 0) gates[at] = gate;
}

// The runs: within a warp's 32 neighbours in superpoint_points, the visible points of one superpoint and set, counted.
//   run r: run_words[w, r], run_view[r], run_superpoint[r], run_count[r];  total = R, runs in no certain order
// superpoint_points, superpoint_of [N], visible [K, ceil(N / 32)], screen [K, N, 2], gates [S, K, W],
// run_words [W, capacity], the others [capacity], total [1] cleared before. If total > capacity, the rest is lost: call
// again with room for it.
// One thread per (place in superpoint_points, view); grid [N / 256, K]. Here the point lies strictly inside the box.
extern "C" __global__ void __launch_bounds__(256)
membership_boxes(const uint32_t* __restrict__ superpoint_points, const uint32_t* __restrict__ superpoint_of,
                 const uint32_t* __restrict__ visible, const float* __restrict__ screen,
                 const uint32_t* __restrict__ gates, const uint32_t* __restrict__ view_offsets,
                 const uint32_t* __restrict__ view_boxes, const float* __restrict__ rects,
                 uint32_t* __restrict__ run_words, uint32_t* __restrict__ run_view,
                 uint32_t* __restrict__ run_superpoint, uint32_t* __restrict__ run_count, uint32_t* total,
                 MembershipDims d) {
    membership::runs(membership::InBoxes{rects}, superpoint_points, superpoint_of, visible, screen, gates,
                     view_offsets, view_boxes, run_words, run_view, run_superpoint, run_count, total, d);
}

// As membership_boxes, where the upsampled logit of the point's pixel is above 0.
// logits [B, 256, 256], tap_first [side], tap_weights [side, 3].
extern "C" __global__ void __launch_bounds__(256)
membership_logits(const uint32_t* __restrict__ superpoint_points, const uint32_t* __restrict__ superpoint_of,
                  const uint32_t* __restrict__ visible, const float* __restrict__ screen,
                  const uint32_t* __restrict__ gates, const uint32_t* __restrict__ view_offsets,
                  const uint32_t* __restrict__ view_boxes, const float* __restrict__ logits,
                  const uint32_t* __restrict__ tap_first, const float* __restrict__ tap_weights,
                  uint32_t* __restrict__ run_words, uint32_t* __restrict__ run_view,
                  uint32_t* __restrict__ run_superpoint, uint32_t* __restrict__ run_count, uint32_t* total,
                  MembershipDims d) {
    membership::runs(membership::InLogits{logits, tap_first, tap_weights}, superpoint_points, superpoint_of, visible,
                     screen, gates, view_offsets, view_boxes, run_words, run_view, run_superpoint, run_count, total,
                     d);
}

// As membership_boxes, where the bit of the point's pixel is set. masks [B, ceil(side * side / 8)].
extern "C" __global__ void __launch_bounds__(256)
membership_bits(const uint32_t* __restrict__ superpoint_points, const uint32_t* __restrict__ superpoint_of,
                const uint32_t* __restrict__ visible, const float* __restrict__ screen,
                const uint32_t* __restrict__ gates, const uint32_t* __restrict__ view_offsets,
                const uint32_t* __restrict__ view_boxes, const uint8_t* __restrict__ masks,
                uint32_t* __restrict__ run_words, uint32_t* __restrict__ run_view,
                uint32_t* __restrict__ run_superpoint, uint32_t* __restrict__ run_count, uint32_t* total,
                MembershipDims d) {
    membership::runs(membership::InBits{masks}, superpoint_points, superpoint_of, visible, screen, gates,
                     view_offsets, view_boxes, run_words, run_view, run_superpoint, run_count, total, d);
}

// In the order by (view, set): is_set[q] = 1 where a set is met first, set_size[q] = its boxes there, else 0.
// run_words [W, C], run_view, order, is_set and set_size [C]; total [1]. One thread per place.
extern "C" __global__ void __launch_bounds__(256)
membership_set_heads(const uint32_t* __restrict__ run_words, const uint32_t* __restrict__ run_view,
                     const uint32_t* __restrict__ order, const uint32_t* __restrict__ total,
                     uint32_t* __restrict__ is_set, uint32_t* __restrict__ set_size, MembershipRunsDims d) {
    const uint32_t q = thread_index();
    if (q >= d.capacity) return;
    if (q >= membership::runs_of(total, d)) {
        is_set[q] = set_size[q] = 0;
        return;
    }
    const uint32_t run = order[q];
    const bool head = q == 0 || !membership::same_set(run_words, run_view, run, order[q - 1], d);
    uint32_t size = 0;
    for (uint32_t w = 0; w < d.words; w++) size += __popc(run_words[size_t(w) * d.capacity + run]);
    is_set[q] = head;
    set_size[q] = head ? size : 0;
}

// The sets: set_offsets[i] = set_begin[q], and there the set's boxes, for every head q of set i = set_rank[q].
// order, is_set [C]; set_rank, set_begin [C + 1]: the sums before of the heads and their sizes;
// set_offsets [D + 1], set_boxes [set_begin[C]]. One thread per place.
extern "C" __global__ void __launch_bounds__(256)
membership_sets(const uint32_t* __restrict__ run_words, const uint32_t* __restrict__ run_view,
                const uint32_t* __restrict__ order, const uint32_t* __restrict__ is_set,
                const uint32_t* __restrict__ set_rank, const uint32_t* __restrict__ set_begin,
                const uint32_t* __restrict__ view_offsets, const uint32_t* __restrict__ view_boxes,
                uint32_t* __restrict__ set_offsets, uint32_t* __restrict__ set_boxes, MembershipRunsDims d) {
    const uint32_t q = thread_index();
    if (q >= d.capacity) return;
    if (q == 0) set_offsets[set_rank[d.capacity]] = set_begin[d.capacity];
    if (!is_set[q]) return;
    const uint32_t run = order[q];
    const uint32_t* boxes = view_boxes + view_offsets[run_view[run]];
    uint32_t at = set_begin[q];
    set_offsets[set_rank[q]] = at;
    for (uint32_t w = 0; w < d.words; w++) {
        for (uint32_t bits = run_words[size_t(w) * d.capacity + run]; bits; bits &= bits - 1) {
            set_boxes[at++] = boxes[32 * w + __ffs(bits) - 1];
        }
    }
}

// keys[q] = values[order[q]]: what to sort by next. values, order and keys [C], total [1]. One thread per place.
extern "C" __global__ void __launch_bounds__(256)
membership_keys(const uint32_t* __restrict__ values, const uint32_t* __restrict__ order,
                const uint32_t* __restrict__ total, uint32_t* __restrict__ keys, MembershipRunsDims d) {
    const uint32_t q = thread_index();
    if (q < membership::runs_of(total, d)) keys[q] = values[order[q]];
}

// What a sort begins with: places[q] = q, keys[q] = values[order[q]], without an order values[q], in that case with the bits
// of above[q] over theirs.
// values, order_or_null, above_or_null, keys and places [C], total [1]. One thread per place.
extern "C" __global__ void __launch_bounds__(256)
membership_first_keys(const uint32_t* __restrict__ values, const uint32_t* __restrict__ order_or_null,
                      const uint32_t* __restrict__ above_or_null, const uint32_t* __restrict__ total,
                      uint32_t* __restrict__ keys, uint32_t* __restrict__ places, MembershipRunsDims d) {
    const uint32_t q = thread_index();
    if (q >= membership::runs_of(total, d)) return;
    keys[q] = values[order_or_null ? order_or_null[q] : q] | (above_or_null ? above_or_null[q] << d.shift : 0);
    places[q] = q;
}

// In the order by (superpoint, view, set): is_entry[i] = 1 where a superpoint and set are met first.
// superpoints, sorted, is_entry [C]; places [C] in the order by (view, set); set_rank [C + 1], is_set [C]; total [1].
// One thread per place.
extern "C" __global__ void __launch_bounds__(256)
membership_entry_heads(const uint32_t* __restrict__ superpoints, const uint32_t* __restrict__ places,
                       const uint32_t* __restrict__ is_set, const uint32_t* __restrict__ set_rank,
                       const uint32_t* __restrict__ total, uint32_t* __restrict__ is_entry, MembershipRunsDims d) {
    const uint32_t i = thread_index();
    if (i >= d.capacity) return;
    if (i >= membership::runs_of(total, d)) {
        is_entry[i] = 0;
        return;
    }
    is_entry[i] = i == 0 || superpoints[i] != superpoints[i - 1] ||
                  membership::set_of(is_set, set_rank, places[i]) != membership::set_of(is_set, set_rank, places[i - 1]);
}

// The entries: entry_set of every head, entry_count += the counts of its runs.
// places, is_entry [C]; order, is_set [C], set_rank [C + 1] of the order by (view, set); entry_rank [C + 1]; total [1];
// entry_set and entry_count [E], entry_count cleared before. One thread per place.
extern "C" __global__ void __launch_bounds__(256)
membership_entries(const uint32_t* __restrict__ places, const uint32_t* __restrict__ is_entry,
                   const uint32_t* __restrict__ entry_rank, const uint32_t* __restrict__ order,
                   const uint32_t* __restrict__ is_set, const uint32_t* __restrict__ set_rank,
                   const uint32_t* __restrict__ run_count, const uint32_t* __restrict__ total,
                   uint32_t* __restrict__ entry_set, uint32_t* entry_count, MembershipRunsDims d) {
    const uint32_t i = thread_index();
    if (i >= membership::runs_of(total, d)) return;
    const uint32_t q = places[i], entry = entry_rank[i] + is_entry[i] - 1;
    if (is_entry[i]) entry_set[entry] = membership::set_of(is_set, set_rank, q);
    atomicAdd(entry_count + entry, run_count[order[q]]);
}

// entry_offsets[s] = entries of the superpoints before s.
// superpoints [C], sorted; entry_rank [C + 1]; total [1]; entry_offsets [S + 1]. One thread per superpoint and one more.
extern "C" __global__ void __launch_bounds__(256)
membership_entry_offsets(const uint32_t* __restrict__ superpoints, const uint32_t* __restrict__ entry_rank,
                         const uint32_t* __restrict__ total, uint32_t* __restrict__ entry_offsets,
                         MembershipRunsDims d) {
    const uint32_t s = thread_index();
    if (s > d.superpoints) return;
    uint32_t low = 0, high = membership::runs_of(total, d);
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (superpoints[middle] < s) low = middle + 1; else high = middle;
    }
    entry_offsets[s] = entry_rank[low];
}

// sizes = D, the boxes of all sets, E and how many runs there would be: what the host must know to make room. The sums
// [C + 1], total [1]. One thread.
extern "C" __global__ void __launch_bounds__(32)
membership_sizes(const uint32_t* __restrict__ set_rank, const uint32_t* __restrict__ set_begin,
                 const uint32_t* __restrict__ entry_rank, const uint32_t* __restrict__ total,
                 uint32_t* __restrict__ sizes, MembershipRunsDims d) {
    if (threadIdx.x != 0) return;
    sizes[0] = set_rank[d.capacity];
    sizes[1] = set_begin[d.capacity];
    sizes[2] = entry_rank[d.capacity];
    sizes[3] = total[0];
}
