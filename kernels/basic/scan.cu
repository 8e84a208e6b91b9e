// Exclusive prefix sums of integers: offsets[i] = sum of values[j] over j < i, for i = 0..N.
//
// One launch: a block takes the next tile and adds it up, and learns the sum of the tiles before by looking back at what
// their blocks have told (Merrill and Garland, decoupled look-back), at 32 of them at a time. Whoever holds an earlier tile
// began earlier, and tells what it has before it waits for still earlier ones, so all come to an end.
#include "block.cuh"

namespace scan {

constexpr uint32_t THREADS = 256;
constexpr uint32_t WARPS = THREADS / WARP;
constexpr uint32_t ROUNDS = 8;
constexpr uint32_t TILE = THREADS * ROUNDS;

// What `told` begins with: how many tiles were taken, and how many are done.
enum Count : uint32_t { TAKEN, DONE, COUNTS };
// What a block tells of its tile: the sum of it, and later that of all up to its end.
enum Told : uint32_t { NOTHING, OF_THE_TILE, UP_TO_ITS_END };

__device__ inline void tell(uint64_t* told, Told what, uint32_t sum) {
    *static_cast<volatile uint64_t*>(told) = uint64_t(what) << 32 | sum;
}

// Sum of the tiles before this one; for all lanes of a warp. `told`: [T].
__device__ inline uint32_t look_back(const uint64_t* told, uint32_t tile) {
    uint32_t lane = threadIdx.x % WARP, sum = 0;
    for (uint32_t end = tile; end > 0;) {
        // The nearest first; before the first tile there is nothing.
        uint64_t word = uint64_t(UP_TO_ITS_END) << 32;
        do {
            if (lane < end) word = *static_cast<const volatile uint64_t*>(told + (end - 1 - lane));
        } while (__any_sync(ALL_LANES, word >> 32 == NOTHING));
        uint32_t whole = __ballot_sync(ALL_LANES, word >> 32 == UP_TO_ITS_END);
        uint32_t last = whole ? __ffs(whole) - 1 : WARP - 1;
        sum += warp_sum(lane <= last ? uint32_t(word) : 0);
        end = whole ? 0 : end - WARP;
    }
    return sum;
}

}  // namespace scan

struct ScanDims {
    uint32_t count;
};

// offsets[i] = sum of values[j] over j < i; offsets[N] is the sum of all.
// values [N], offsets [N + 1], told [2 + T], T = ceil(N / 2048), 0 before and after. One block per tile; warp w owns 256
// values in a row, 32 a round.
extern "C" __global__ void __launch_bounds__(256)
    scan_offsets(const uint32_t* __restrict__ values, uint32_t* __restrict__ offsets, uint64_t* told, ScanDims d) {
    __shared__ uint32_t warp_sums[scan::WARPS];
    __shared__ uint32_t tile, tiles_before;
    __shared__ bool last;
    uint32_t lane = threadIdx.x % WARP;
    if (threadIdx.x == 0) tile = uint32_t(atomicAdd(atomic(&told[scan::TAKEN]), 1ull));
    __syncthreads();
    uint32_t begin = tile * scan::TILE + threadIdx.x / WARP * (WARP * scan::ROUNDS);
    uint32_t value[scan::ROUNDS];
    for (uint32_t round = 0; round < scan::ROUNDS; ++round) {
        uint32_t i = begin + round * WARP + lane;
        value[round] = i < d.count ? values[i] : 0;
    }
    uint32_t own = 0;
    uint32_t offset[scan::ROUNDS];
    for (uint32_t round = 0; round < scan::ROUNDS; ++round) {
        uint32_t inclusive = warp_inclusive(value[round]);
        offset[round] = own + inclusive - value[round];
        own += __shfl_sync(ALL_LANES, inclusive, WARP - 1);
    }
    uint32_t total;
    uint32_t before = warps_before(own, warp_sums, total);
    if (threadIdx.x < WARP) {
        uint64_t* mine = told + scan::COUNTS + tile;
        if (lane == 0 && tile > 0) scan::tell(mine, scan::OF_THE_TILE, total);
        uint32_t sum = scan::look_back(told + scan::COUNTS, tile);
        if (lane == 0) {
            scan::tell(mine, scan::UP_TO_ITS_END, sum + total);
            tiles_before = sum;
        }
    }
    __syncthreads();
    before += tiles_before;
    for (uint32_t round = 0; round < scan::ROUNDS; ++round) {
        uint32_t i = begin + round * WARP + lane;
        if (i < d.count) offsets[i] = before + offset[round];
        if (i + 1 == d.count) offsets[d.count] = before + offset[round] + value[round];
    }
    if (threadIdx.x == 0) {
        __threadfence();
        last = atomicAdd(atomic(&told[scan::DONE]), 1ull) + 1 == gridDim.x;
        __threadfence();
    }
    __syncthreads();
    if (!last) return;
    for (uint32_t i = threadIdx.x; i < scan::COUNTS + gridDim.x; i += scan::THREADS) {
        scan::tell(&told[i], scan::NOTHING, 0);
    }
}
