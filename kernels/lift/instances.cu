// Instances: the superpoints of one part, merged into its separate pieces. CPU reference: src/ops/lift/instances.
#include "block_sum.cuh"
#include "basic/components.cuh"
#include "iou.cuh"
#include "lift/inside.cuh"

struct InstancesDims {
    double max_size_ratio;  // of the points of two superpoints
    double max_distance;    // of their shares
    double min_box_iou;     // of a piece's extent with a box, to keep it
    uint32_t superpoints;   // S
    uint32_t boxes;         // B
    uint32_t views;         // K
    uint32_t columns;       // L + 1
    uint32_t words;         // of 32 superpoints, W = ceil(S / 32)
    float max_gap;          // between two bounding boxes, along every axis
};

// shares[s, b] = points of s in box b / points of s that b's view shows; NaN (0 / 0) where it shows none.
// entry_offsets [S + 1], entry_set and entry_count [E], set_offsets [D + 1], set_boxes, box_view [B], counts [S, K],
// shares [S, B]. One block per superpoint.
extern "C" __global__ void __launch_bounds__(128)
instances_shares(const uint32_t* __restrict__ entry_offsets, const uint32_t* __restrict__ entry_set,
                 const uint32_t* __restrict__ entry_count, const uint32_t* __restrict__ set_offsets,
                 const uint32_t* __restrict__ set_boxes, const uint32_t* __restrict__ box_view,
                 const uint32_t* __restrict__ counts, double* __restrict__ shares, InstancesDims d) {
    __shared__ uint32_t held[inside::BOXES];
    const uint32_t s = blockIdx.x;
    for (uint32_t first = 0; first < d.boxes; first += inside::BOXES) {
        const uint32_t end = min(d.boxes - first, inside::BOXES);
        inside::count<128>(held, s, first, end, entry_offsets, entry_set, entry_count, set_offsets, set_boxes);
        for (uint32_t i = threadIdx.x; i < end; i += 128) {
            const uint32_t visible = counts[size_t(s) * d.views + box_view[first + i]];
            shares[size_t(s) * d.boxes + first + i] = double(held[i]) / double(visible);
        }
        __syncthreads();
    }
}

// parents[s] = s.
// parents [S]. One thread per superpoint.
extern "C" __global__ void __launch_bounds__(256) instances_start(uint32_t* __restrict__ parents, InstancesDims d) {
    const uint32_t s = thread_index();
    if (s < d.superpoints) parents[s] = s;
}

// Unites superpoint s with every later t that belongs to it: one part, gap < max_gap, sizes within the ratio, and
//   sum_b |share[s, b] - share[t, b]| / max(sum_b share[s, b], sum_b share[t, b]) < max_distance
// over the boxes b of the part in whose view both are visible; 1 if the larger sum is below 1e-3.
// label [S], offsets [S + 1], extents [S, 2, 3], shares [S, B], box_label [B], parents [S], at first each its own.
// One warp per s and 32 t: a lane asks the cheap questions about its t, then all lanes sum for each t that is left: box b
// goes to lane b % 32, then a tree.
extern "C" __global__ void __launch_bounds__(256)
instances_join(const int32_t* __restrict__ label, const uint32_t* __restrict__ offsets,
               const float* __restrict__ extents, const double* __restrict__ shares,
               const uint32_t* __restrict__ box_label, uint32_t* __restrict__ parents, InstancesDims d) {
    const uint64_t at = (uint64_t(blockIdx.x) * blockDim.x + threadIdx.x) / WARP;
    if (at >= uint64_t(d.superpoints) * d.words) return;
    const uint32_t lane = threadIdx.x % WARP, s = at / d.words, first = at % d.words * WARP, t = first + lane;
    const int32_t part = label[s];
    bool close = part >= 0 && t < d.superpoints && t > s;
    if (close && label[t] == part) {
        const float *a = extents + 6 * size_t(s), *b = extents + 6 * size_t(t);
        float gap = -INFINITY;
        for (uint32_t i = 0; i < 3; i++) gap = fmaxf(gap, fmaxf(a[i] - b[3 + i], b[i] - a[3 + i]));
        const uint32_t m = offsets[s + 1] - offsets[s], n = offsets[t + 1] - offsets[t];
        close = gap < d.max_gap && double(max(m, n)) / double(min(m, n)) < d.max_size_ratio;
    } else {
        close = false;
    }
    uint32_t left = __ballot_sync(ALL_LANES, close), found = 0;
    const double* of_s = shares + size_t(s) * d.boxes;
    for (; left != 0; left &= left - 1) {
        const uint32_t i = __ffs(left) - 1;
        const double* of_t = shares + size_t(first + i) * d.boxes;
        double sum_s = 0.0, sum_t = 0.0, differences = 0.0;
        for (uint32_t b = lane; b < d.boxes; b += WARP) {
            const double x = of_s[b], y = of_t[b];
            if (int32_t(box_label[b]) == part && !isnan(x) && !isnan(y)) {
                sum_s += x;
                sum_t += y;
                differences += fabs(x - y);
            }
        }
        const double larger = fmax(warp_sum(sum_s), warp_sum(sum_t));
        differences = warp_sum(differences);
        const double distance = larger < 1e-3 ? 1.0 : differences / larger;
        if (distance < d.max_distance) found |= 1u << i;
    }
    if (found >> lane & 1) components::unite(parents, s, t);
}

// root[s] = first superpoint of s's piece; -1 where it has no part.
// label, parents and root [S]. One thread per superpoint.
extern "C" __global__ void __launch_bounds__(256)
instances_roots(const int32_t* __restrict__ label, const uint32_t* __restrict__ parents, int32_t* __restrict__ root,
                InstancesDims d) {
    const uint32_t s = thread_index();
    if (s < d.superpoints) root[s] = label[s] < 0 ? -1 : int32_t(components::find(parents, s));
}

// points[r] = points of the piece whose first superpoint is r, if in some view its extent has IoU > min_box_iou with a box
// of its part; 0 everywhere else.
// root and label [S], offsets [S + 1], seen [S, K, 4], box_label and box_view [B], rects [B, 4], points [S].
// One block per superpoint, a view to each warp.
extern "C" __global__ void __launch_bounds__(256)
instances_keep(const int32_t* __restrict__ root, const int32_t* __restrict__ label,
               const uint32_t* __restrict__ offsets, const float* __restrict__ seen,
               const uint32_t* __restrict__ box_label, const uint32_t* __restrict__ box_view,
               const float* __restrict__ rects, uint32_t* __restrict__ points, InstancesDims d) {
    __shared__ uint32_t kept, size;
    const uint32_t r = blockIdx.x, lane = threadIdx.x % WARP;
    const int32_t part = label[r];
    if (root[r] != int32_t(r)) {
        if (threadIdx.x == 0) points[r] = 0;
        return;
    }
    if (threadIdx.x == 0) {
        kept = 0;
        size = 0;
    }
    __syncthreads();
    for (uint32_t view = threadIdx.x / WARP; view < d.views; view += 256 / WARP) {
        float extent[4] = {INFINITY, INFINITY, -INFINITY, -INFINITY};
        for (uint32_t s = r + lane; s < d.superpoints; s += WARP) {
            if (root[s] != int32_t(r)) continue;
            const float* e = seen + 4 * (size_t(s) * d.views + view);
            for (uint32_t i = 0; i < 2; i++) extent[i] = fminf(extent[i], e[i]);
            for (uint32_t i = 2; i < 4; i++) extent[i] = fmaxf(extent[i], e[i]);
        }
        for (uint32_t step = WARP / 2; step > 0; step /= 2) {
            for (uint32_t i = 0; i < 2; i++) extent[i] = fminf(extent[i], __shfl_xor_sync(ALL_LANES, extent[i], step));
            for (uint32_t i = 2; i < 4; i++) extent[i] = fmaxf(extent[i], __shfl_xor_sync(ALL_LANES, extent[i], step));
        }
        for (uint32_t b = lane; b < d.boxes; b += WARP) {
            const bool ours = box_view[b] == view && int32_t(box_label[b]) == part;
            if (ours && iou(extent, rects + 4 * size_t(b)) > d.min_box_iou) atomicOr(&kept, 1u);
        }
    }
    uint32_t own = 0;
    for (uint32_t s = r + threadIdx.x; s < d.superpoints; s += 256) {
        if (root[s] == int32_t(r)) own += offsets[s + 1] - offsets[s];
    }
    atomicAdd(&size, own);
    __syncthreads();
    if (threadIdx.x == 0) points[r] = kept ? size : 0;
}

// confidence[r] = sum of n_s p[s, 1 + label] / points[r], over the superpoints s of the piece whose first is r, if it is
// kept; 0 everywhere else.
// root and label [S], offsets [S + 1], probabilities [S, L + 1], points and confidence [S].
// One block per superpoint. Superpoint s goes to thread s % 256, then a tree.
extern "C" __global__ void __launch_bounds__(256)
instances_softmax(const int32_t* __restrict__ root, const int32_t* __restrict__ label,
                  const uint32_t* __restrict__ offsets, const float* __restrict__ probabilities,
                  const uint32_t* __restrict__ points, float* __restrict__ confidence, InstancesDims d) {
    __shared__ double sums[8];
    const uint32_t r = blockIdx.x;
    if (points[r] == 0) {
        if (threadIdx.x == 0) confidence[r] = 0.0f;
        return;
    }
    double sum = 0.0;
    for (uint32_t s = threadIdx.x; s < d.superpoints; s += 256) {
        if (root[s] != int32_t(r)) continue;
        sum += double(offsets[s + 1] - offsets[s]) * double(probabilities[size_t(s) * d.columns + 1 + label[r]]);
    }
    sum = sum_of_block(sum, sums);
    if (threadIdx.x == 0) confidence[r] = float(sum / double(points[r]));
}

namespace instances {

// How many points of the piece r a view shows; every lane of the warp has the result.
__device__ inline uint64_t shown(const int32_t* __restrict__ root, const uint32_t* __restrict__ counts, uint32_t r,
                                 uint32_t view, const InstancesDims& d) {
    uint64_t points = 0;
    for (uint32_t s = r + threadIdx.x % WARP; s < d.superpoints; s += WARP) {
        if (root[s] == int32_t(r)) points += counts[size_t(s) * d.views + view];
    }
    return warp_sum(points);
}

}  // namespace instances

// For the piece whose first superpoint is r, if it is kept, over its superpoints s:
//   shown[k] = sum of counts[s, k]    n[b] = sum of held[s, b]
//   confidence[r] = mean over the views k with 3 shown[k] >= the most of
//                   max over the boxes b of its part in view k of score[b] n[b] / (of[b, k] + shown[k] - n[b])
// 0 everywhere else. root, label and points [S], counts [S, K], held [S, B], of [B, K] in `UNIT`s of a point,
// box_label, box_view and score [B], confidence [S].
// One block per superpoint, a view to each warp.
extern "C" __global__ void __launch_bounds__(256)
instances_support(const int32_t* __restrict__ root, const int32_t* __restrict__ label,
                  const uint32_t* __restrict__ points, const uint32_t* __restrict__ counts,
                  const uint32_t* __restrict__ held, const uint64_t* __restrict__ of,
                  const uint32_t* __restrict__ box_label, const uint32_t* __restrict__ box_view,
                  const float* __restrict__ score, float* __restrict__ confidence, InstancesDims d) {
    constexpr uint32_t WARPS = 256 / WARP;
    __shared__ uint64_t most;
    __shared__ uint32_t counted[WARPS];
    __shared__ double best[WARPS];
    const uint32_t r = blockIdx.x, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    if (points[r] == 0) {
        if (threadIdx.x == 0) confidence[r] = 0.0f;
        return;
    }
    if (threadIdx.x == 0) most = 0;
    __syncthreads();
    for (uint32_t k = warp; k < d.views; k += WARPS) {
        const uint64_t shown = instances::shown(root, counts, r, k, d);
        if (lane == 0) atomicMax(atomic(&most), static_cast<unsigned long long>(shown));
    }
    __syncthreads();
    double sum = 0.0;
    uint32_t views = 0;
    for (uint32_t first = 0; first < d.views; first += WARPS) {
        const uint32_t k = first + warp;
        const uint64_t shown = k < d.views ? instances::shown(root, counts, r, k, d) : 0;
        const bool counts_here = shown > 0 && 3 * shown >= most;
        double top = 0.0;
        for (uint32_t at = 0; counts_here && at < d.boxes; at += WARP) {
            const uint32_t mine = at + lane;
            const bool ours = mine < d.boxes && box_view[mine] == k && int32_t(box_label[mine]) == label[r];
            for (uint32_t left = __ballot_sync(ALL_LANES, ours); left != 0; left &= left - 1) {
                const uint32_t b = at + __ffs(left) - 1;
                uint64_t n = 0;
                for (uint32_t s = r + lane; s < d.superpoints; s += WARP) {
                    if (root[s] == int32_t(r)) n += held[size_t(s) * d.boxes + b];
                }
                n = warp_sum(n);
                const uint64_t either = of[size_t(b) * d.views + k] / inside::UNIT + shown - n;
                top = fmax(top, double(score[b]) * double(n) / double(either));
            }
        }
        if (lane == 0) {
            counted[warp] = counts_here;
            best[warp] = top;
        }
        __syncthreads();
        for (uint32_t w = 0; w < WARPS && threadIdx.x == 0; w++) {
            if (counted[w]) sum += best[w];
            views += counted[w];
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) confidence[r] = views == 0 ? 0.0f : float(sum / double(views));
}
