// Stable sort of pairs by unsigned keys: least significant digit first, 8 bits a pass, as many passes as the keys have
// significant bits. One launch counts the digits of all passes, then each pass is one launch (Onesweep, arXiv 2206.01784).
//
// A pass: a block takes the next tile, ranks its items, and learns how many of each digit lie in the tiles before it by
// looking back at what their blocks have told (Merrill and Garland, decoupled look-back). Whoever holds an earlier tile
// began earlier, and tells what it has before it waits for still earlier ones, so all come to an end. The order of equal
// keys never changes, so the result has one possible value.
#include "block.cuh"

namespace sort {

constexpr uint32_t THREADS = 256;
constexpr uint32_t WARPS = THREADS / WARP;
constexpr uint32_t ROUNDS = 8;
constexpr uint32_t TILE = THREADS * ROUNDS;
constexpr uint32_t DIGITS = 256;
constexpr uint32_t MOST_PASSES = 8;
static_assert(DIGITS == THREADS, "a thread owns a digit");

template <typename Key>
__device__ inline uint32_t digit(Key key, uint32_t pass) {
    return uint32_t(key >> 8 * pass) % DIGITS;
}

// What a block tells of a tile and a digit: how many items the tile has, and later where the next tile's go. The number
// lies below, what it is above; a later pass overwrites an earlier one's, so that nobody need clear them.
enum Told : uint32_t { OF_THE_TILE = 1, UP_TO_ITS_END = 2 };

__device__ inline void tell(uint64_t* told, uint32_t pass, Told what, uint32_t number) {
    *static_cast<volatile uint64_t*>(told) = uint64_t(2 * pass + what) << 32 | number;
}

// Where the items of a thread's digit go that lie in this tile, not the first. `told`: [T, 256].
__device__ inline uint32_t look_back(const uint64_t* told, uint32_t pass, uint32_t tile) {
    uint32_t sum = 0;
    while (tile > 0) {
        uint64_t word = *static_cast<const volatile uint64_t*>(told + size_t(tile - 1) * DIGITS + threadIdx.x);
        uint32_t what = uint32_t(word >> 32);
        if (what < 2 * pass + OF_THE_TILE) continue;
        sum += uint32_t(word);
        tile = what == 2 * pass + UP_TO_ITS_END ? 0 : tile - 1;
    }
    return sum;
}

}  // namespace sort

struct SortDims {
    uint32_t count;   // or the most that there may be
    uint32_t tiles;   // of so many
    uint32_t passes;  // of the sort
    uint32_t pass;    // this one, from 0
};

namespace sort {

// How many items there are.
__device__ inline uint32_t count_of(const uint32_t* count_or_null, const SortDims& d) {
    return count_or_null ? min(count_or_null[0], d.count) : d.count;
}

template <typename Key>
__device__ inline void count_digits(const Key* __restrict__ keys, const uint32_t* __restrict__ count_or_null,
                                    uint32_t* __restrict__ counts, uint64_t* __restrict__ told, SortDims d) {
    uint32_t count = count_of(count_or_null, d);
    __shared__ uint32_t of_block[MOST_PASSES][DIGITS];
    for (uint32_t pass = 0; pass < d.passes; ++pass) of_block[pass][threadIdx.x] = 0;
    __syncthreads();
    for (uint32_t tile = blockIdx.x; tile < d.tiles; tile += gridDim.x) {
        told[size_t(tile) * DIGITS + threadIdx.x] = 0;
        uint32_t begin = tile * TILE + threadIdx.x;
        Key key[ROUNDS];
        for (uint32_t round = 0; round < ROUNDS; ++round) {
            if (begin + round * THREADS < count) key[round] = keys[begin + round * THREADS];
        }
        for (uint32_t round = 0; round < ROUNDS && begin + round * THREADS < count; ++round) {
            for (uint32_t pass = 0; pass < d.passes; ++pass) atomicAdd(&of_block[pass][digit(key[round], pass)], 1u);
        }
    }
    __syncthreads();
    for (uint32_t pass = 0; pass < d.passes; ++pass) {
        atomicAdd(&counts[pass * DIGITS + threadIdx.x], of_block[pass][threadIdx.x]);
    }
}

// Warp w ranks 256 items in a row, 32 a round: an item's rank is the number of equal digits before it in its warp. With
// those of the warps before, and of the lower digits, that is its place in the sorted tile, which is put together in
// shared memory so that items of one digit leave side by side.
template <typename Key>
__device__ inline void scatter(const Key* __restrict__ keys, const uint32_t* __restrict__ values,
                               const uint32_t* __restrict__ count_or_null, const uint32_t* __restrict__ counts,
                               uint32_t* tickets, uint64_t* told, Key* __restrict__ sorted_keys,
                               uint32_t* __restrict__ sorted_values, SortDims d) {
    // Half words, so that more blocks find room.
    __shared__ uint16_t warp_counts[WARPS][DIGITS];
    __shared__ uint32_t target[DIGITS];
    __shared__ uint32_t tile_sums[WARPS], all_sums[WARPS];
    __shared__ Key tile_keys[TILE];
    __shared__ uint32_t tile_values[TILE];
    __shared__ uint32_t ticket;
    uint32_t warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (threadIdx.x == 0) ticket = atomicAdd(&tickets[d.pass], 1u);
    for (uint32_t w = 0; w < WARPS; ++w) warp_counts[w][threadIdx.x] = 0;
    __syncthreads();
    uint32_t tile = ticket, start = tile * TILE, count = count_of(count_or_null, d);
    if (start >= count) return;
    uint32_t length = min(count - start, TILE);
    uint32_t begin = warp * (WARP * ROUNDS) + lane;

    // Digit above, rank below; the keys are read again later, which costs less than the registers to hold them.
    uint32_t item[ROUNDS];
    for (uint32_t round = 0; round < ROUNDS; ++round) {
        uint32_t i = begin + round * WARP;
        // What lies beyond the end has a digit of its own.
        item[round] = i < length ? digit(keys[start + i], d.pass) : DIGITS;
    }
    for (uint32_t round = 0; round < ROUNDS; ++round) {
        uint32_t own = item[round];
        uint32_t peers = __match_any_sync(ALL_LANES, own);
        uint32_t before = __popc(peers & ((1u << lane) - 1));
        if (own < DIGITS) item[round] = own << 16 | (warp_counts[warp][own] + before);
        __syncwarp();
        if (own < DIGITS && before == 0) warp_counts[warp][own] += __popc(peers);
        __syncwarp();
    }
    __syncthreads();

    uint32_t sum = 0;
    for (uint32_t w = 0; w < WARPS; ++w) {
        uint32_t count = warp_counts[w][threadIdx.x];
        warp_counts[w][threadIdx.x] = sum;
        sum += count;
    }
    uint64_t* mine = told + size_t(tile) * DIGITS + threadIdx.x;
    if (tile > 0) tell(mine, d.pass, OF_THE_TILE, sum);
    uint32_t total;
    uint32_t lower = block_exclusive(sum, tile_sums, total);
    for (uint32_t w = 0; w < WARPS; ++w) warp_counts[w][threadIdx.x] += lower;
    // The first tile's items go behind all of lower digits.
    uint32_t begins = tile > 0 ? look_back(told, d.pass, tile)
                               : block_exclusive(counts[d.pass * DIGITS + threadIdx.x], all_sums, total);
    tell(mine, d.pass, UP_TO_ITS_END, begins + sum);
    target[threadIdx.x] = begins - lower;
    __syncthreads();

    for (uint32_t round = 0; round < ROUNDS; ++round) {
        uint32_t i = begin + round * WARP;
        if (i < length) {
            uint32_t place = warp_counts[warp][item[round] >> 16] + item[round] % (1 << 16);
            tile_keys[place] = keys[start + i];
            tile_values[place] = values[start + i];
        }
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < length; i += THREADS) {
        Key key = tile_keys[i];
        uint32_t to = target[digit(key, d.pass)] + i;
        sorted_keys[to] = key;
        sorted_values[to] = tile_values[i];
    }
}

}  // namespace sort

// counts[p, g] = number of keys whose digit of pass p is g. Nobody has told anything of a tile.
// keys [N], count_or_null [1] the number of keys that there are, if the host does not know it, counts [P, 256], 0 before,
// told [T, 256], T = ceil(N / 2048). A block takes every so many-th tile.
extern "C" __global__ void __launch_bounds__(256)
    sort_digits_u64(const uint64_t* __restrict__ keys, const uint32_t* __restrict__ count_or_null,
                    uint32_t* __restrict__ counts, uint64_t* __restrict__ told, SortDims d) {
    sort::count_digits(keys, count_or_null, counts, told, d);
}

// As sort_digits_u64.
extern "C" __global__ void __launch_bounds__(256)
    sort_digits_u32(const uint32_t* __restrict__ keys, const uint32_t* __restrict__ count_or_null,
                    uint32_t* __restrict__ counts, uint64_t* __restrict__ told, SortDims d) {
    sort::count_digits(keys, count_or_null, counts, told, d);
}

// An item with digit g goes behind all items of lower digits, and those of digit g before it.
// keys, values [N]; count_or_null [1]; counts [P, 256]; tickets [P], 0 before; told [T, 256]; sorted_keys, sorted_values
// [N]. One block per tile.
extern "C" __global__ void __launch_bounds__(256)
    sort_scatter_u64(const uint64_t* __restrict__ keys, const uint32_t* __restrict__ values,
                     const uint32_t* __restrict__ count_or_null, const uint32_t* __restrict__ counts,
                     uint32_t* __restrict__ tickets, uint64_t* told, uint64_t* __restrict__ sorted_keys,
                     uint32_t* __restrict__ sorted_values, SortDims d) {
    sort::scatter(keys, values, count_or_null, counts, tickets, told, sorted_keys, sorted_values, d);
}

// As sort_scatter_u64.
extern "C" __global__ void __launch_bounds__(256)
    sort_scatter_u32(const uint32_t* __restrict__ keys, const uint32_t* __restrict__ values,
                     const uint32_t* __restrict__ count_or_null, const uint32_t* __restrict__ counts,
                     uint32_t* __restrict__ tickets, uint64_t* told, uint32_t* __restrict__ sorted_keys,
                     uint32_t* __restrict__ sorted_values, SortDims d) {
    sort::scatter(keys, values, count_or_null, counts, tickets, told, sorted_keys, sorted_values, d);
}
