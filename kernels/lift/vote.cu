// Vote: every superpoint's score for every part, and its gradient (paper eq. 5). CPU reference: src/ops/lift/vote.
#include "block_sum.cuh"

struct VoteDims {
    uint32_t superpoints;  // S
    uint32_t boxes;        // B
    uint32_t sets;         // D
    uint32_t labels;       // L
    float min_null;        // the least score of the null label
    float epsilon;         // added to the number of visible points
};

struct VoteEntriesDims {
    uint32_t superpoints;  // S
    uint32_t sets;         // D
    uint32_t entries;      // E
};

namespace vote {
constexpr uint32_t NONE = 0xffffffffu;
}

// winner[i, j] = the first box of largest positive weight among those of label j in set i, or NONE.
// set_offsets [D + 1], set_boxes, box_label and weights [B], winner [D, L]. One thread per (set, label).
extern "C" __global__ void __launch_bounds__(256)
vote_winners(const uint32_t* __restrict__ set_offsets, const uint32_t* __restrict__ set_boxes,
             const uint32_t* __restrict__ box_label, const float* __restrict__ weights, uint32_t* __restrict__ winner,
             VoteDims d) {
    const uint32_t cell = thread_index();
    if (cell >= d.sets * d.labels) return;
    const uint32_t set = cell / d.labels, label = cell % d.labels;
    uint32_t best = vote::NONE;
    float largest = 0.0f;
    for (uint32_t i = set_offsets[set]; i < set_offsets[set + 1]; i++) {
        const uint32_t box = set_boxes[i];
        if (box_label[box] == label && weights[box] > largest) best = box, largest = weights[box];
    }
    winner[cell] = best;
}

// score[s, 1 + j] = sum over the entries e of s of count[e] * W(winner[set[e], j]) / (visible[s] + 1e-6)
// score[s, 0]     = max(W_null, 5e-4);  valid[s] = s has an entry
// entry_offsets [S + 1], entry_set and entry_count [E], visible [S], null_weight [1], scores [S, L + 1], valid [S].
// One warp per (superpoint, label): entry i of s goes to lane i % 32, then a tree.
extern "C" __global__ void __launch_bounds__(256)
vote_forward(const uint32_t* __restrict__ entry_offsets, const uint32_t* __restrict__ entry_set,
             const uint32_t* __restrict__ entry_count, const uint32_t* __restrict__ visible,
             const uint32_t* __restrict__ winner, const float* __restrict__ weights,
             const float* __restrict__ null_weight, float* __restrict__ scores, uint8_t* __restrict__ valid,
             VoteDims d) {
    const uint32_t cell = thread_index() / WARP, lane = threadIdx.x % WARP;
    if (cell >= d.superpoints * d.labels) return;
    const uint32_t s = cell / d.labels, label = cell % d.labels;
    const uint32_t begin = entry_offsets[s], end = entry_offsets[s + 1];
    float sum = 0.0f;
    for (uint32_t e = begin + lane; e < end; e += WARP) {
        const uint32_t box = winner[entry_set[e] * d.labels + label];
        if (box != vote::NONE) sum += float(entry_count[e]) * weights[box];
    }
    sum = warp_sum(sum);
    if (lane != 0) return;
    float* row = scores + size_t(s) * (d.labels + 1);
    row[1 + label] = sum / (float(visible[s]) + d.epsilon);
    if (label == 0) {
        row[0] = fmaxf(null_weight[0], d.min_null);
        valid[s] = begin < end;
    }
}

// pull[i, j] = sum over the entries (s, count) of set i of count * grad_scores[s, 1 + j] / (visible[s] + 1e-6);
// 0 without a winner.
// by_set_offsets [D + 1], by_set_superpoint and by_set_count [E], winner and pull [D, L], grad_scores [S, L + 1].
// One warp per (set, label): entry i of the set goes to lane i % 32, then a tree.
extern "C" __global__ void __launch_bounds__(256)
vote_backward_sets(const uint32_t* __restrict__ by_set_offsets, const uint32_t* __restrict__ by_set_superpoint,
                   const uint32_t* __restrict__ by_set_count, const uint32_t* __restrict__ visible,
                   const uint32_t* __restrict__ winner, const float* __restrict__ grad_scores,
                   float* __restrict__ pull, VoteDims d) {
    const uint32_t cell = thread_index() / WARP, lane = threadIdx.x % WARP;
    if (cell >= d.sets * d.labels) return;
    const uint32_t set = cell / d.labels, label = cell % d.labels;
    float sum = 0.0f;
    if (winner[cell] != vote::NONE) {
        for (uint32_t e = by_set_offsets[set] + lane; e < by_set_offsets[set + 1]; e += WARP) {
            const uint32_t s = by_set_superpoint[e];
            const float grad = grad_scores[size_t(s) * (d.labels + 1) + 1 + label];
            sum += float(by_set_count[e]) * grad / (float(visible[s]) + d.epsilon);
        }
        sum = warp_sum(sum);
    }
    if (lane == 0) pull[cell] = sum;
}

// grad_weights[b] = sum over the sets i in which b wins of pull[i, label(b)]
// grad_null       = sum over s of grad_scores[s, 0] where W_null > 5e-4, else 0
// winner and pull [D, L], grad_scores [S, L + 1], grad_weights [B], grad_null [1].
// One block per box and one more for null: set (or superpoint) i goes to thread i % 256, then a tree.
extern "C" __global__ void __launch_bounds__(256)
vote_backward_boxes(const uint32_t* __restrict__ winner, const float* __restrict__ pull,
                    const uint32_t* __restrict__ box_label, const float* __restrict__ null_weight,
                    const float* __restrict__ grad_scores, float* __restrict__ grad_weights,
                    float* __restrict__ grad_null, VoteDims d) {
    __shared__ float sums[8];
    const uint32_t box = blockIdx.x;
    float sum = 0.0f;
    if (box < d.boxes) {
        const uint32_t label = box_label[box];
        for (uint32_t set = threadIdx.x; set < d.sets && label < d.labels; set += 256) {
            const uint32_t cell = set * d.labels + label;
            if (winner[cell] == box) sum += pull[cell];
        }
    } else {
        for (uint32_t s = threadIdx.x; s < d.superpoints; s += 256) sum += grad_scores[size_t(s) * (d.labels + 1)];
    }
    sum = sum_of_block(sum, sums);
    if (threadIdx.x != 0) return;
    if (box < d.boxes) {
        grad_weights[box] = sum;
    } else {
        grad_null[0] = null_weight[0] > d.min_null ? sum : 0.0f;
    }
}

// What sorts the entries by set: keys[e] = entry_set[e], values[e] = e; superpoint_of[e] = the superpoint of entry e.
// entry_offsets [S + 1], the others [E]. One warp per superpoint.
extern "C" __global__ void __launch_bounds__(256)
vote_entries(const uint32_t* __restrict__ entry_offsets, const uint32_t* __restrict__ entry_set,
             uint32_t* __restrict__ keys, uint32_t* __restrict__ values, uint32_t* __restrict__ superpoint_of,
             VoteEntriesDims d) {
    const uint32_t s = thread_index() / WARP;
    if (s >= d.superpoints) return;
    for (uint32_t e = entry_offsets[s] + threadIdx.x % WARP; e < entry_offsets[s + 1]; e += WARP) {
        keys[e] = entry_set[e];
        values[e] = e;
        superpoint_of[e] = s;
    }
}

// offsets[i] = entries of the sets before i;  superpoint and count of every entry, in the order of the sets.
// keys (sorted sets) and values (entries) [E], superpoint_of and entry_count [E]; offsets [D + 1], superpoint and
// count [E]. One thread per entry or offset, whichever are more.
extern "C" __global__ void __launch_bounds__(256)
vote_by_set(const uint32_t* __restrict__ keys, const uint32_t* __restrict__ values,
            const uint32_t* __restrict__ superpoint_of, const uint32_t* __restrict__ entry_count,
            uint32_t* __restrict__ offsets, uint32_t* __restrict__ superpoint, uint32_t* __restrict__ count,
            VoteEntriesDims d) {
    const uint32_t i = thread_index();
    if (i < d.entries) {
        superpoint[i] = superpoint_of[values[i]];
        count[i] = entry_count[values[i]];
    }
    if (i > d.sets) return;
    uint32_t low = 0, high = d.entries;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (keys[middle] < i) low = middle + 1; else high = middle;
    }
    offsets[i] = low;
}
