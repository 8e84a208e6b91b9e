// Shares: how much of each superpoint lies in each box. CPU reference: src/ops/shares.rs.
#include "common.cuh"

struct SharesDims {
    uint32_t boxes;  // B
    uint32_t views;  // K
};

// shares[s, b] = points of s in box b / points of s visible in b's view; NaN (0 / 0) where none is visible.
// entry_offsets [S + 1], entry_set and entry_count [E], set_offsets [D + 1], set_boxes, box_view [B], counts [S, K],
// shares [S, B]. One block per superpoint, 1024 boxes at a time in shared memory; integer sums, so any order will do.
extern "C" __global__ void __launch_bounds__(128)
shares_count(const uint32_t* __restrict__ entry_offsets, const uint32_t* __restrict__ entry_set,
             const uint32_t* __restrict__ entry_count, const uint32_t* __restrict__ set_offsets,
             const uint32_t* __restrict__ set_boxes, const uint32_t* __restrict__ box_view,
             const uint32_t* __restrict__ counts, double* __restrict__ shares, SharesDims d) {
    __shared__ uint32_t inside[1024];
    const uint32_t s = blockIdx.x;
    for (uint32_t first = 0; first < d.boxes; first += 1024) {
        const uint32_t end = min(d.boxes - first, 1024u);
        for (uint32_t i = threadIdx.x; i < end; i += 128) inside[i] = 0;
        __syncthreads();
        for (uint32_t e = entry_offsets[s] + threadIdx.x; e < entry_offsets[s + 1]; e += 128) {
            const uint32_t set = entry_set[e];
            for (uint32_t i = set_offsets[set]; i < set_offsets[set + 1]; i++) {
                const uint32_t box = set_boxes[i] - first;  // wraps around before the first
                if (box < end) atomicAdd(&inside[box], entry_count[e]);
            }
        }
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < end; i += 128) {
            const uint32_t visible = counts[size_t(s) * d.views + box_view[first + i]];
            shares[size_t(s) * d.boxes + first + i] = double(inside[i]) / double(visible);
        }
        __syncthreads();
    }
}
