// Exclusive prefix sums of integers: offsets[i] = sum of values[j] over j < i, for i = 0..N.
//
// Two launches: the sum of every tile, then the sums within each tile on top of those of the tiles before it, which
// each block adds up itself. That is quadratic in the tiles, but 3 million values make 1465 of them: 6 KB to read.
#include "block.cuh"

namespace scan {

constexpr uint32_t THREADS = 256;
constexpr uint32_t WARPS = THREADS / WARP;
constexpr uint32_t ROUNDS = 8;
constexpr uint32_t TILE = THREADS * ROUNDS;

}  // namespace scan

struct ScanDims {
    uint32_t count;
};

// sums[t] = sum of the values of tile t.
// values [N], sums [T], T = ceil(N / 2048). One block per tile.
extern "C" __global__ void __launch_bounds__(256)
    scan_sums(const uint32_t* __restrict__ values, uint32_t* __restrict__ sums, ScanDims d) {
    __shared__ uint32_t warp_sums[scan::WARPS];
    uint32_t sum = 0;
    for (uint32_t round = 0; round < scan::ROUNDS; ++round) {
        uint32_t i = blockIdx.x * scan::TILE + round * scan::THREADS + threadIdx.x;
        if (i < d.count) sum += values[i];
    }
    uint32_t total;
    warps_before(warp_sum(sum), warp_sums, total);
    if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

// offsets[i] = sum of values[j] over j < i; offsets[N] is the sum of all.
// values [N], sums [T], offsets [N + 1]. One block per tile; warp w owns 256 values in a row, 32 a round.
extern "C" __global__ void __launch_bounds__(256)
    scan_offsets(const uint32_t* __restrict__ values, const uint32_t* __restrict__ sums,
                 uint32_t* __restrict__ offsets, ScanDims d) {
    __shared__ uint32_t before_sums[scan::WARPS];
    __shared__ uint32_t warp_sums[scan::WARPS];
    uint32_t lane = threadIdx.x % WARP;
    uint32_t begin = blockIdx.x * scan::TILE + threadIdx.x / WARP * (WARP * scan::ROUNDS);
    uint32_t value[scan::ROUNDS];
    for (uint32_t round = 0; round < scan::ROUNDS; ++round) {
        uint32_t i = begin + round * WARP + lane;
        value[round] = i < d.count ? values[i] : 0;
    }

    uint32_t sum = 0;
    for (uint32_t tile = threadIdx.x; tile < blockIdx.x; tile += scan::THREADS) sum += sums[tile];
    uint32_t tiles_before, total;
    warps_before(warp_sum(sum), before_sums, tiles_before);

    uint32_t own = 0;
    uint32_t offset[scan::ROUNDS];
    for (uint32_t round = 0; round < scan::ROUNDS; ++round) {
        uint32_t inclusive = warp_inclusive(value[round]);
        offset[round] = own + inclusive - value[round];
        own += __shfl_sync(ALL_LANES, inclusive, WARP - 1);
    }
    uint32_t before = tiles_before + warps_before(own, warp_sums, total);
    for (uint32_t round = 0; round < scan::ROUNDS; ++round) {
        uint32_t i = begin + round * WARP + lane;
        if (i < d.count) offsets[i] = before + offset[round];
        if (i + 1 == d.count) offsets[d.count] = before + offset[round] + value[round];
    }
}
