// Agreement: how far each box is believed, by what the other views say at its points.
// CPU reference: src/ops/lift/agreement.
#include "basic/exp.cuh"

struct AgreementDims {
    uint32_t superpoints;  // S
    uint32_t boxes;        // B
    uint32_t views;        // K
    uint32_t labels;       // L
    uint32_t round;        // from 0
    uint32_t rounds;       // of them
    uint32_t unit;         // what a belief of 1 is
    uint32_t least;        // a box votes if its belief is above
    double unknown;        // what other views say of points that none of them shows
};

namespace agreement {

// A round's sums: what each box heard, and what each view shows.
enum Sum : uint32_t { POINTS, KNOWN, SAME, OTHER, BOXES };  // BOXES: sums of a box

__device__ inline size_t sums_of_round(const AgreementDims& d) {
    return size_t(d.round) * (size_t(BOXES) * d.boxes + d.views);
}

// The largest belief of a label's boxes in a set.
__device__ inline uint32_t largest(const uint32_t* set_boxes, uint32_t begin, uint32_t end, const uint32_t* box_label,
                                   const uint32_t* belief, uint32_t label) {
    uint32_t most = 0;
    for (uint32_t i = begin; i < end; i++) {
        if (box_label[set_boxes[i]] == label) most = max(most, belief[set_boxes[i]]);
    }
    return most;
}

}  // namespace agreement

// All are believed: belief[b] = unit, best[0, k, j] = unit where view k has a box of label j.
// box_view, box_label and belief [B], best [ROUNDS + 1, K, L] cleared before. One thread per box.
extern "C" __global__ void __launch_bounds__(128)
agreement_begin(const uint32_t* __restrict__ box_view, const uint32_t* __restrict__ box_label,
                uint32_t* __restrict__ belief, uint32_t* __restrict__ best, AgreementDims d) {
    const uint32_t b = thread_index();
    if (b >= d.boxes) return;
    belief[b] = d.unit;
    atomicMax(&best[box_view[b] * d.labels + box_label[b]], d.unit);
}

// What the superpoints tell their boxes: sums of the round, [BOXES, B] and [K].
// entry_offsets [S + 1], entry_set and entry_count [E], set_offsets [D + 1], set_boxes, box_view, box_label and belief [B],
// observed [S, K], sums [ROUNDS, BOXES B + K] cleared before. One thread per (superpoint, label); integer sums, so any
// order will do.
extern "C" __global__ void __launch_bounds__(128)
agreement_tell(const uint32_t* __restrict__ entry_offsets, const uint32_t* __restrict__ entry_set,
               const uint32_t* __restrict__ entry_count, const uint32_t* __restrict__ set_offsets,
               const uint32_t* __restrict__ set_boxes, const uint32_t* __restrict__ box_view,
               const uint32_t* __restrict__ box_label, const uint32_t* __restrict__ belief,
               const uint32_t* __restrict__ observed, uint64_t* __restrict__ sums, AgreementDims d) {
    using namespace agreement;
    const uint32_t cell = thread_index();
    if (cell >= d.superpoints * d.labels) return;
    const uint32_t s = cell / d.labels, label = cell % d.labels;
    const uint32_t begin = entry_offsets[s], end = entry_offsets[s + 1];
    const uint32_t* seen = observed + size_t(s) * d.views;
    uint64_t* of_round = sums + sums_of_round(d);
    uint64_t all_seen = 0, all = 0;
    for (uint32_t k = 0; k < d.views; k++) {
        all_seen += seen[k];
        if (label == 0) add(of_round + size_t(BOXES) * d.boxes + k, seen[k]);
    }
    for (uint32_t e = begin; e < end; e++) {
        const uint32_t set = entry_set[e];
        all += uint64_t(entry_count[e]) *
               largest(set_boxes, set_offsets[set], set_offsets[set + 1], box_label, belief, label);
    }
    for (uint32_t first = begin; first < end;) {
        const uint32_t view = box_view[set_boxes[set_offsets[entry_set[first]]]];
        const uint64_t others = all_seen - seen[view];
        uint64_t own = 0;
        uint32_t last = first;
        for (; last < end; last++) {
            const uint32_t set = entry_set[last];
            if (box_view[set_boxes[set_offsets[set]]] != view) break;
            own += uint64_t(entry_count[last]) *
                   largest(set_boxes, set_offsets[set], set_offsets[set + 1], box_label, belief, label);
        }
        const uint64_t told = others == 0 ? 0 : (all - own) / others;
        for (uint32_t e = first; e < last; e++) {
            const uint32_t set = entry_set[e], count = entry_count[e];
            for (uint32_t i = set_offsets[set]; i < set_offsets[set + 1]; i++) {
                const uint32_t b = set_boxes[i];
                const Sum which = box_label[b] == label ? SAME : OTHER;
                add(of_round + size_t(which) * d.boxes + b, count * told);
                if (label != 0) continue;
                add(of_round + size_t(POINTS) * d.boxes + b, count);
                if (others != 0) add(of_round + size_t(KNOWN) * d.boxes + b, count);
            }
        }
        first = last;
    }
}

// What the boxes make of it: belief [B], best [ROUNDS + 1, K, L] of the next round; the last round takes the weight [B] of
// those that are not believed.
// sums [ROUNDS, BOXES B + K], box_view, box_label and score [B]. One thread per box.
extern "C" __global__ void __launch_bounds__(128)
agreement_believe(const uint64_t* __restrict__ sums, const uint32_t* __restrict__ box_view,
                  const uint32_t* __restrict__ box_label, const float* __restrict__ score,
                  uint32_t* __restrict__ belief, uint32_t* __restrict__ best, float* __restrict__ weights,
                  AgreementDims d) {
    using namespace agreement;
    const uint32_t b = thread_index();
    if (b >= d.boxes) return;
    const uint64_t* of_round = sums + sums_of_round(d);
    const uint64_t points = of_round[size_t(POINTS) * d.boxes + b], known = of_round[size_t(KNOWN) * d.boxes + b];
    const uint32_t view = box_view[b], label = box_label[b], cells = d.views * d.labels;
    uint32_t q = 0;
    if (points != 0) {
        uint64_t sum = 0;
        uint32_t looking = 0;
        for (uint32_t k = 0; k < d.views; k++) {
            sum += best[d.round * cells + k * d.labels + label];
            looking += of_round[size_t(BOXES) * d.boxes + k] != 0;
        }
        const double unit = d.unit, spread = double(sum) / (double(looking) * unit);
        const double parts = double(known) * unit;
        const double same = known == 0 ? d.unknown : double(of_round[size_t(SAME) * d.boxes + b]) / parts;
        const double other = known == 0 ? 0.0 : double(of_round[size_t(OTHER) * d.boxes + b]) / parts;
        const double area = double(points) / double(of_round[size_t(BOXES) * d.boxes + view]);
        const double z = -4.0 + 6.0 * double(score[b]) - 2.0 * area + 6.0 * same - 2.0 * other - 3.0 * spread;
        const double below = exponential::exp(-fabs(z));
        q = uint32_t((z < 0.0 ? below : 1.0) / (1.0 + below) * unit + 0.5);
    }
    belief[b] = q;
    atomicMax(&best[(d.round + 1) * cells + view * d.labels + label], q);
    if (d.round + 1 == d.rounds && q <= d.least) weights[b] = 0.0f;
}
