// Stable sort of pairs by unsigned keys: least significant digit first, 8 bits a pass, as many passes as the keys have
// significant bits.
//
// A pass: how often each digit occurs in each tile; prefix sums over (digit, tile) (scan.cu), which tell where each
// tile's items of a digit go; scatter. The order of equal keys never changes, so the result has one possible value.
#include "block.cuh"

namespace sort {

constexpr uint32_t THREADS = 256;
constexpr uint32_t WARPS = THREADS / WARP;
constexpr uint32_t ROUNDS = 8;
constexpr uint32_t TILE = THREADS * ROUNDS;
constexpr uint32_t DIGITS = 256;
static_assert(DIGITS == THREADS, "a thread owns a digit");

template <typename Key>
__device__ inline uint32_t digit(Key key, uint32_t shift) {
    return uint32_t(key >> shift) % DIGITS;
}

}  // namespace sort

struct SortDims {
    uint32_t count;
    uint32_t tiles;
    uint32_t shift;
};

namespace sort {

template <typename Key>
__device__ inline void histogram(const Key* __restrict__ keys, uint32_t* __restrict__ counts, SortDims d) {
    __shared__ uint32_t count[DIGITS];
    count[threadIdx.x] = 0;
    __syncthreads();
    for (uint32_t round = 0; round < ROUNDS; ++round) {
        uint32_t i = blockIdx.x * TILE + round * THREADS + threadIdx.x;
        if (i < d.count) atomicAdd(&count[digit(keys[i], d.shift)], 1u);
    }
    __syncthreads();
    counts[threadIdx.x * d.tiles + blockIdx.x] = count[threadIdx.x];
}

// Warp w ranks 256 items in a row, 32 a round: an item's rank is the number of equal digits before it in its warp. With
// those of the warps before, and of the lower digits, that is its place in the sorted tile, which is put together in
// shared memory so that items of one digit leave side by side.
template <typename Key>
__device__ inline void scatter(const Key* __restrict__ keys, const uint32_t* __restrict__ values,
                               const uint32_t* __restrict__ offsets, Key* __restrict__ sorted_keys,
                               uint32_t* __restrict__ sorted_values, SortDims d) {
    __shared__ uint32_t counts[WARPS][DIGITS];
    __shared__ uint32_t target[DIGITS];
    __shared__ uint32_t warp_sums[WARPS];
    __shared__ Key tile_keys[TILE];
    __shared__ uint32_t tile_values[TILE];
    uint32_t warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    uint32_t tile = blockIdx.x * TILE;
    uint32_t length = min(d.count - tile, TILE);
    uint32_t begin = warp * (WARP * ROUNDS) + lane;

    for (uint32_t w = 0; w < WARPS; ++w) counts[w][threadIdx.x] = 0;
    __syncthreads();
    // Digit above, rank below; the keys are read again later, which costs less than the registers to hold them.
    uint32_t item[ROUNDS];
    for (uint32_t round = 0; round < ROUNDS; ++round) {
        uint32_t i = begin + round * WARP;
        // What lies beyond the end has a digit of its own.
        item[round] = i < length ? digit(keys[tile + i], d.shift) : DIGITS;
    }
    for (uint32_t round = 0; round < ROUNDS; ++round) {
        uint32_t own = item[round];
        uint32_t peers = __match_any_sync(ALL_LANES, own);
        uint32_t before = __popc(peers & ((1u << lane) - 1));
        if (own < DIGITS) item[round] = own << 16 | (counts[warp][own] + before);
        __syncwarp();
        if (own < DIGITS && before == 0) counts[warp][own] += __popc(peers);
        __syncwarp();
    }
    __syncthreads();

    uint32_t sum = 0;
    for (uint32_t w = 0; w < WARPS; ++w) {
        uint32_t count = counts[w][threadIdx.x];
        counts[w][threadIdx.x] = sum;
        sum += count;
    }
    uint32_t total;
    uint32_t lower = block_exclusive(sum, warp_sums, total);
    for (uint32_t w = 0; w < WARPS; ++w) counts[w][threadIdx.x] += lower;
    target[threadIdx.x] = offsets[threadIdx.x * d.tiles + blockIdx.x] - lower;
    __syncthreads();

    for (uint32_t round = 0; round < ROUNDS; ++round) {
        uint32_t i = begin + round * WARP;
        if (i < length) {
            uint32_t place = counts[warp][item[round] >> 16] + item[round] % (1 << 16);
            tile_keys[place] = keys[tile + i];
            tile_values[place] = values[tile + i];
        }
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < length; i += THREADS) {
        Key key = tile_keys[i];
        uint32_t to = target[digit(key, d.shift)] + i;
        sorted_keys[to] = key;
        sorted_values[to] = tile_values[i];
    }
}

}  // namespace sort

// counts[g, t] = number of keys of tile t whose digit is g.
// keys [N], counts [256, T], T = ceil(N / 2048). One block per tile.
extern "C" __global__ void __launch_bounds__(256)
    sort_histogram_u64(const uint64_t* __restrict__ keys, uint32_t* __restrict__ counts, SortDims d) {
    sort::histogram(keys, counts, d);
}

// As sort_histogram_u64.
extern "C" __global__ void __launch_bounds__(256)
    sort_histogram_u32(const uint32_t* __restrict__ keys, uint32_t* __restrict__ counts, SortDims d) {
    sort::histogram(keys, counts, d);
}

// Item i of tile t with digit g goes to offsets[g, t] + the number of items with digit g before it in the tile.
// keys, values [N]; offsets [256, T] of the histogram's counts; sorted_keys, sorted_values [N]. One block per tile.
extern "C" __global__ void __launch_bounds__(256)
    sort_scatter_u64(const uint64_t* __restrict__ keys, const uint32_t* __restrict__ values,
                     const uint32_t* __restrict__ offsets, uint64_t* __restrict__ sorted_keys,
                     uint32_t* __restrict__ sorted_values, SortDims d) {
    sort::scatter(keys, values, offsets, sorted_keys, sorted_values, d);
}

// As sort_scatter_u64.
extern "C" __global__ void __launch_bounds__(256)
    sort_scatter_u32(const uint32_t* __restrict__ keys, const uint32_t* __restrict__ values,
                     const uint32_t* __restrict__ offsets, uint32_t* __restrict__ sorted_keys,
                     uint32_t* __restrict__ sorted_values, SortDims d) {
    sort::scatter(keys, values, offsets, sorted_keys, sorted_values, d);
}
