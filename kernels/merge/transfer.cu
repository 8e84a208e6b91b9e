// Groups of the target take numbers of the source's. CPU reference: src/ops/merge/transfer.rs.
#include "common.cuh"

struct TransferDims {
    uint32_t points;   // of the target
    uint32_t targets;  // T: more than every group of the target
    uint32_t sources;  // S: more than every group of the source
};

namespace transfer {

// The group of what matches point i, -1 = none.
__device__ inline int32_t matching(const int32_t* source, const int32_t* matched, uint32_t i) {
    return matched[i] >= 0 ? source[matched[i]] : -1;
}

}  // namespace transfer

// shared[t, s] = points of group t whose match has group s; firsts[t, s] = the complement of the first of them.
// source [any], target and matched [points]; shared and firsts [T, S] cleared before. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
transfer_overlaps(const int32_t* __restrict__ source, const int32_t* __restrict__ target, const int32_t* __restrict__ matched,
                  uint32_t* __restrict__ shared, uint32_t* __restrict__ firsts, TransferDims d) {
    const uint32_t i = thread_index();
    if (i >= d.points || target[i] < 0) return;
    const int32_t s = transfer::matching(source, matched, i);
    if (s < 0) return;
    const size_t cell = size_t(target[i]) * d.sources + s;
    atomicAdd(shared + cell, 1u);
    atomicMax(firsts + cell, ~i);
}

// becomes[t] = the s of most shared points, of equals the first to be met, if twice as many are at least the smaller of both
// groups; else t + S.
// shared and firsts [T, S], of_source [S] and of_target [T] sizes, becomes [T]. One warp per group of the target.
extern "C" __global__ void __launch_bounds__(256)
transfer_best(const uint32_t* __restrict__ shared, const uint32_t* __restrict__ firsts, const uint32_t* __restrict__ of_source,
              const uint32_t* __restrict__ of_target, int32_t* __restrict__ becomes, TransferDims d) {
    const uint32_t t = thread_index() / WARP;
    if (t >= d.targets) return;
    uint64_t best = 0;
    uint32_t of_best = 0;
    for (uint32_t s = threadIdx.x % WARP; s < d.sources; s += WARP) {
        const size_t cell = size_t(t) * d.sources + s;
        const uint64_t key = uint64_t(shared[cell]) << 32 | firsts[cell];
        if (key > best) best = key, of_best = s;
    }
    for (uint32_t step = WARP / 2; step > 0; step /= 2) {
        const uint64_t other = __shfl_xor_sync(ALL_LANES, best, step);
        const uint32_t of_other = __shfl_xor_sync(ALL_LANES, of_best, step);
        // No two cells share their first point.
        if (other > best) best = other, of_best = of_other;
    }
    if (threadIdx.x % WARP != 0) return;
    const uint32_t count = uint32_t(best >> 32);
    const bool taken = count > 0 && 2 * uint64_t(count) >= min(of_source[of_best], of_target[t]);
    becomes[t] = int32_t(taken ? of_best : t + d.sources);
}

// renamed[i] = what the group of point i becomes; without one, that of its match.
// source [any], target, matched and renamed [points], becomes [T]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
transfer_rename(const int32_t* __restrict__ source, const int32_t* __restrict__ target, const int32_t* __restrict__ matched,
                const int32_t* __restrict__ becomes, int32_t* __restrict__ renamed, TransferDims d) {
    const uint32_t i = thread_index();
    if (i >= d.points) return;
    renamed[i] = target[i] >= 0 ? becomes[target[i]] : transfer::matching(source, matched, i);
}
