// Labels of superpoints that no view shows, from those that they border on. CPU reference: src/ops/lift/fill.rs.
#include "common.cuh"

struct FillDims {
    uint32_t points;       // N
    uint32_t neighbors;    // k
    uint32_t superpoints;  // S
    uint32_t columns;      // L + 1: none, then the parts
};

namespace fill {

constexpr int32_t UNKNOWN = INT32_MIN;

}  // namespace fill

// known[s] = label[s] where a view shows s, else unknown; hidden = how many are not shown.
// label, visible, known [S], hidden [1], 0 before. One thread per superpoint.
extern "C" __global__ void __launch_bounds__(256)
    fill_hidden(const int32_t* __restrict__ label, const uint32_t* __restrict__ visible, int32_t* __restrict__ known,
                uint32_t* __restrict__ hidden, FillDims d) {
    uint32_t s = thread_index();
    if (s >= d.superpoints) return;
    known[s] = visible[s] ? label[s] : fill::UNKNOWN;
    if (!visible[s]) atomicAdd(hidden, 1);
}

// votes[s, 1 + j] = edges between unknown s and superpoints with label j, whichever way they point.
// superpoint_of [N], neighbors [N, k], known [S], votes [S, L + 1], 0 before. One thread per edge.
extern "C" __global__ void __launch_bounds__(256)
    fill_votes(const uint32_t* __restrict__ superpoint_of, const uint32_t* __restrict__ neighbors,
               const int32_t* __restrict__ known, uint32_t* __restrict__ votes, FillDims d) {
    uint32_t at = thread_index();
    if (at >= d.points * d.neighbors) return;
    uint32_t a = superpoint_of[at / d.neighbors], b = superpoint_of[neighbors[at]];
    int32_t of_a = known[a], of_b = known[b];
    if (of_a == fill::UNKNOWN && of_b != fill::UNKNOWN) atomicAdd(&votes[size_t(a) * d.columns + 1 + of_b], 1);
    if (of_b == fill::UNKNOWN && of_a != fill::UNKNOWN) atomicAdd(&votes[size_t(b) * d.columns + 1 + of_a], 1);
}

// An unknown superpoint takes the label with the most votes, of equals the lowest; taken = how many did.
// votes [S, L + 1], known [S], taken [1], 0 before. One thread per superpoint.
extern "C" __global__ void __launch_bounds__(256)
    fill_take(const uint32_t* __restrict__ votes, int32_t* __restrict__ known, uint32_t* __restrict__ taken,
              FillDims d) {
    uint32_t s = thread_index();
    if (s >= d.superpoints || known[s] != fill::UNKNOWN) return;
    const uint32_t* row = votes + size_t(s) * d.columns;
    uint32_t best = 0;
    for (uint32_t c = 1; c < d.columns; ++c) {
        if (row[c] > row[best]) best = c;
    }
    if (row[best] == 0) return;
    known[s] = int32_t(best) - 1;
    atomicAdd(taken, 1);
}

// What is still unknown has no label.
// known [S]. One thread per superpoint.
extern "C" __global__ void __launch_bounds__(256) fill_rest(int32_t* __restrict__ known, FillDims d) {
    uint32_t s = thread_index();
    if (s < d.superpoints && known[s] == fill::UNKNOWN) known[s] = -1;
}
