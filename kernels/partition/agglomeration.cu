// Regions of a neighbour graph that merge while the energy falls. CPU reference: src/ops/partition/agglomeration.
//
// A region bears the number of one of its points, its root. The edges lie in a hash table under their two ends; in which
// slot is chance, and nothing depends on it. A round: means, gains of the edges and the best of each region, the edge that
// each region chooses, what it joins, and the sums and edges of what remains, these in the other of two tables. What a
// round has read it clears, for the next but one. One launch does all rounds (agglomeration_rounds): its blocks wait for
// each other between the steps, until so few regions are left that one block alone is faster.
#include <cooperative_groups.h>

#include "common.cuh"

struct AgglomerationDims {
    double border;        // energy of a unit of weight
    double square;        // square of a unit of features
    uint32_t dimensions;  // D
    uint32_t small;       // points of a region that merges at whatever cost, in the last rounds
};

struct AgglomerationStartDims {
    float units;       // that make 1, a power of two
    uint32_t points;   // N
    uint32_t columns;  // D or k
    uint32_t slots;    // S
};

namespace agglomeration {

// As in the reference.
constexpr uint32_t LARGER = 4;
// No more regions, and edges between them, than one block merges in little time.
constexpr uint32_t FEW_REGIONS = 512, FEW_EDGES = 1024;
constexpr uint64_t SCRAMBLE = 0x9e3779b97f4a7c15;
constexpr uint64_t UNSCRAMBLE = 0xf1de83e19937733d;  // SCRAMBLE * UNSCRAMBLE = 1

// What a round knows: how many regions there are, how many of them stay, how many edges, the size of what merges at
// whatever cost, 0 in the beginning, and the slots of the table that is read and of the one that is filled. A round
// writes what the next will know beside it, where no block reads before the round is over.
enum { REGIONS, STAYING, EDGES, SMALL, SLOTS, NEW_SLOTS };

// Whether one block alone is faster.
__device__ inline bool few(const uint32_t* state) { return state[REGIONS] <= FEW_REGIONS && state[EDGES] <= FEW_EDGES; }

// Items begin + thread, begin + step + thread, ...: of a grid, or of the only block.
struct Items {
    uint32_t begin, step;
};
__device__ inline Items of_grid() { return {blockIdx.x * blockDim.x, gridDim.x * blockDim.x}; }
__device__ inline Items of_block() { return {0, blockDim.x}; }

// An edge of low < high; never 0, which marks an empty slot.
__device__ inline uint64_t pair(uint32_t low, uint32_t high) { return uint64_t(low) << 32 | high; }
__device__ inline uint32_t low(uint64_t pair) { return uint32_t(pair >> 32); }
__device__ inline uint32_t high(uint64_t pair) { return uint32_t(pair); }

__device__ inline uint32_t first_slot(uint64_t pair, uint32_t slots) {
    return uint32_t((pair * SCRAMBLE >> 32) * slots >> 32);
}

// A third of a table stays empty.
__device__ inline uint32_t room(uint32_t edges) { return edges + edges / 2 + 1; }

__device__ inline uint32_t next_slot(uint32_t slot, uint32_t slots) { return slot + 1 < slots ? slot + 1 : 0; }

// Adds to the border of an edge; whether the table did not hold it before.
__device__ inline bool add(uint64_t* pairs, uint64_t* borders, uint32_t slots, uint64_t pair, uint64_t border) {
    for (uint32_t slot = first_slot(pair, slots);; slot = next_slot(slot, slots)) {
        uint64_t there = atomicCAS(atomic(&pairs[slot]), 0ull, static_cast<unsigned long long>(pair));
        if (there != 0 && there != pair) continue;
        atomicAdd(atomic(&borders[slot]), static_cast<unsigned long long>(border));
        return there == 0;
    }
}

// The slot of an edge that the table holds.
__device__ inline uint32_t slot_of(const uint64_t* pairs, uint32_t slots, uint64_t pair) {
    uint32_t slot = first_slot(pair, slots);
    while (pairs[slot] != pair) slot = next_slot(slot, slots);
    return slot;
}

// Counts the edges that the threads of a block found new.
__device__ inline void count_edges(bool fresh, uint32_t* state) {
    uint32_t found = __syncthreads_count(fresh);
    if (threadIdx.x == 0 && found > 0) atomicAdd(&state[EDGES], found);
}

// Numbers whose order is that of the floats; 0 is none's.
__device__ inline uint64_t ordered(double x) {
    uint64_t bits = uint64_t(__double_as_longlong(x));
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

__device__ inline double squared(const double* means, uint32_t a, uint32_t b, const AgglomerationDims& d) {
    const double* one = means + size_t(a) * d.dimensions;
    const double* other = means + size_t(b) * d.dimensions;
    double sum = 0.0;
    for (uint32_t i = 0; i < d.dimensions; ++i) sum += (one[i] - other[i]) * (one[i] - other[i]);
    return sum * d.square;
}

// Empties as many slots as the table of the next round has, and those after it.
__device__ inline void clear(Items items, uint64_t* new_pairs, uint64_t* new_borders, const uint32_t* state) {
    uint32_t slots = room(state[EDGES]);
    for (uint32_t slot = items.begin + threadIdx.x; slot < slots; slot += items.step) new_pairs[slot] = new_borders[slot] = 0;
}

__device__ inline void mean(Items items, const uint32_t* live, const int64_t* sums, const uint32_t* count,
                            double* means, uint32_t* state, uint32_t* next, const AgglomerationDims& d) {
    uint32_t values = state[REGIONS] * d.dimensions;
    for (uint32_t at = items.begin + threadIdx.x; at < values; at += items.step) {
        uint32_t a = live[at / d.dimensions];
        size_t value = size_t(a) * d.dimensions + at % d.dimensions;
        means[value] = double(sums[value]) / double(count[a]);
    }
    if (items.begin + threadIdx.x == 0) {
        state[STAYING] = 0;
        next[SLOTS] = state[NEW_SLOTS] = room(state[EDGES]);
        next[EDGES] = 0;
    }
}

__device__ inline void gain(Items items, const uint64_t* pairs, const uint64_t* borders, const uint32_t* count,
                            const double* means, uint64_t* gains, uint64_t* best, const uint32_t* state,
                            const AgglomerationDims& d) {
    uint32_t slots = state[SLOTS], small = state[SMALL];
    for (uint32_t slot = items.begin + threadIdx.x; slot < slots; slot += items.step) {
        uint64_t edge = pairs[slot];
        if (edge == 0) continue;
        uint32_t a = low(edge), b = high(edge);
        double of_a = count[a], of_b = count[b];
        double gain = double(borders[slot]) * d.border - of_a * of_b / (of_a + of_b) * squared(means, a, b, d);
        uint64_t key = ordered(gain);
        gains[slot] = key;
        if (gain >= 0.0 || count[a] <= small) atomicMax(atomic(&best[a]), static_cast<unsigned long long>(key));
        if (gain >= 0.0 || count[b] <= small) atomicMax(atomic(&best[b]), static_cast<unsigned long long>(key));
    }
}

__device__ inline void choose(Items items, const uint64_t* pairs, const uint64_t* gains, const uint64_t* best,
                              uint64_t* chosen, const uint32_t* state) {
    uint32_t slots = state[SLOTS];
    for (uint32_t slot = items.begin + threadIdx.x; slot < slots; slot += items.step) {
        uint64_t edge = pairs[slot];
        if (edge == 0) continue;
        unsigned long long place = edge * SCRAMBLE;
        if (gains[slot] == best[low(edge)]) atomicMax(atomic(&chosen[low(edge)]), place);
        if (gains[slot] == best[high(edge)]) atomicMax(atomic(&chosen[high(edge)]), place);
    }
}

// What a region merges into; itself if it stays.
__device__ inline uint32_t into(uint32_t a, const uint64_t* pairs, const uint64_t* borders, const uint32_t* count,
                                const double* means, const uint64_t* chosen, const uint32_t* state,
                                const AgglomerationDims& d) {
    auto other = [](uint64_t place, uint32_t end) {
        return low(place * UNSCRAMBLE) ^ high(place * UNSCRAMBLE) ^ end;
    };
    auto larger = [&](uint32_t one, uint32_t two) {
        return count[one] == count[two] ? min(one, two) : count[one] > count[two] ? one : two;
    };
    uint64_t own = chosen[a];
    if (own == 0) return a;
    uint32_t b = other(own, a);
    uint64_t back = chosen[b];
    if (back == own) return larger(a, b);
    uint32_t c = back == 0 ? b : other(back, b);
    bool idle = back == 0 || (chosen[c] == back && larger(b, c) == b);
    if (!idle) return a;
    if (count[a] <= state[SMALL]) return b;
    if (count[b] / LARGER < count[a]) return a;
    double border = double(borders[slot_of(pairs, state[SLOTS], own * UNSCRAMBLE)]) * d.border;
    return border >= double(count[a]) * squared(means, a, b, d) ? b : a;
}

__device__ inline void join(Items items, const uint32_t* live, const uint64_t* pairs, const uint64_t* borders,
                            const uint32_t* count, const double* means, const uint64_t* chosen, uint32_t* parent,
                            uint32_t* next_live, uint32_t* state, const AgglomerationDims& d) {
    uint32_t regions = state[REGIONS], lane = threadIdx.x % WARP;
    for (uint32_t begin = items.begin; begin < regions; begin += items.step) {
        uint32_t i = begin + threadIdx.x, a = 0;
        bool stays = false;
        if (i < regions) {
            a = live[i];
            uint32_t to = into(a, pairs, borders, count, means, chosen, state, d);
            parent[a] = to;
            stays = to == a;
        }
        uint32_t lanes = __ballot_sync(ALL_LANES, stays), first = 0;
        if (lane == 0) first = atomicAdd(&state[STAYING], uint32_t(__popc(lanes)));
        first = __shfl_sync(ALL_LANES, first, 0);
        if (stays) next_live[first + __popc(lanes & ((1u << lane) - 1))] = a;
    }
}

__device__ inline void absorb(Items items, const uint32_t* live, const uint32_t* parent, int64_t* sums,
                              uint32_t* count, uint64_t* best, uint64_t* chosen, const uint32_t* state,
                              const AgglomerationDims& d) {
    uint32_t values = state[REGIONS] * d.dimensions;
    for (uint32_t at = items.begin + threadIdx.x; at < values; at += items.step) {
        uint32_t a = live[at / d.dimensions], channel = at % d.dimensions, to = parent[a];
        if (channel == 0) best[a] = chosen[a] = 0;
        if (to == a) continue;
        int64_t own = sums[size_t(a) * d.dimensions + channel];
        atomicAdd(atomic(&sums[size_t(to) * d.dimensions + channel]), static_cast<unsigned long long>(own));
        if (channel == 0) atomicAdd(&count[to], count[a]);
    }
}

__device__ inline void contract(Items items, const uint32_t* parent, uint64_t* pairs, uint64_t* borders,
                                uint64_t* new_pairs, uint64_t* new_borders, const uint32_t* state, uint32_t* next,
                                const AgglomerationDims& d) {
    uint32_t slots = state[SLOTS], new_slots = state[NEW_SLOTS];
    for (uint32_t begin = items.begin; begin < slots; begin += items.step) {
        uint32_t slot = begin + threadIdx.x;
        uint64_t edge = slot < slots ? pairs[slot] : 0;
        bool fresh = false;
        if (edge != 0) {
            uint32_t a = parent[low(edge)], b = parent[high(edge)];
            if (a != b) fresh = add(new_pairs, new_borders, new_slots, pair(min(a, b), max(a, b)), borders[slot]);
            pairs[slot] = borders[slot] = 0;
        }
        count_edges(fresh, next);
    }
    if (items.begin + threadIdx.x == 0) {
        uint32_t before = state[REGIONS], after = state[STAYING];
        next[REGIONS] = after;
        next[SMALL] = uint64_t(before - after) * 16 < before ? d.small : state[SMALL];
    }
}

}  // namespace agglomeration

// Every point is a region: sums[i, c] = features[i, c] in whole units, count[i] = 1.
// features, sums [N, D], count, best, chosen, live, parent [N], state [6], of the first round. One thread per value.
extern "C" __global__ void __launch_bounds__(256)
    agglomeration_points(const float* __restrict__ features, int64_t* __restrict__ sums, uint32_t* __restrict__ count,
                         uint64_t* __restrict__ best, uint64_t* __restrict__ chosen, uint32_t* __restrict__ live,
                         uint32_t* __restrict__ parent, uint32_t* __restrict__ state, AgglomerationStartDims d) {
    uint32_t at = thread_index();
    if (at >= d.points * d.columns) return;
    sums[at] = int64_t(rint(double(features[at]) * double(d.units)));
    if (at == 0) {
        state[agglomeration::REGIONS] = d.points;
        state[agglomeration::SLOTS] = d.slots;
        state[agglomeration::EDGES] = state[agglomeration::SMALL] = 0;
    }
    if (at % d.columns == 0) {
        uint32_t i = at / d.columns;
        count[i] = 1;
        best[i] = chosen[i] = 0;
        live[i] = parent[i] = i;
    }
}

// Edges between neighbours; the weights of both directions add up.
// neighbors, weights [N, k]; pairs, borders [S], 0 before; state [6]. One thread per neighbour.
extern "C" __global__ void __launch_bounds__(256)
    agglomeration_arcs(const uint32_t* __restrict__ neighbors, const float* __restrict__ weights,
                       uint64_t* __restrict__ pairs, uint64_t* __restrict__ borders, uint32_t* __restrict__ state,
                       AgglomerationStartDims d) {
    uint32_t at = thread_index();
    bool fresh = false;
    if (at < d.points * d.columns) {
        uint32_t i = at / d.columns, j = neighbors[at];
        uint64_t border = uint64_t(rint(double(weights[at]) * double(d.units)));
        uint64_t edge = agglomeration::pair(min(i, j), max(i, j));
        if (i != j) fresh = agglomeration::add(pairs, borders, d.slots, edge, border);
    }
    agglomeration::count_edges(fresh, state);
}

// All rounds until nothing merges.
// live, count, best, chosen, parent, next_live [N], sums, means [N, D], pairs, borders, gains, new_pairs, new_borders [S],
// state, next [6]. As many blocks as the device holds at a time. Nothing is __restrict__: one step writes what the next
// reads.
extern "C" __global__ void __launch_bounds__(640, 1)
    agglomeration_rounds(uint32_t* live, int64_t* sums, uint32_t* count, double* means, uint64_t* pairs,
                         uint64_t* borders, uint64_t* gains, uint64_t* best, uint64_t* chosen, uint32_t* parent,
                         uint32_t* next_live, uint64_t* new_pairs, uint64_t* new_borders, uint32_t* state,
                         uint32_t* next, AgglomerationDims d) {
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    bool alone = false;
    for (bool first = true, done = false; !done; first = false) {
        if (!alone && agglomeration::few(state)) {
            // All must have read `state` before the block that stays writes it again.
            grid.sync();
            if (blockIdx.x > 0) return;
            alone = true;
        }
        auto wait = [&] { alone ? __syncthreads() : grid.sync(); };
        agglomeration::Items items = alone ? agglomeration::of_block() : agglomeration::of_grid();
        if (first) agglomeration::clear(items, new_pairs, new_borders, state);
        agglomeration::mean(items, live, sums, count, means, state, next, d);
        wait();
        agglomeration::gain(items, pairs, borders, count, means, gains, best, state, d);
        wait();
        agglomeration::choose(items, pairs, gains, best, chosen, state);
        wait();
        agglomeration::join(items, live, pairs, borders, count, means, chosen, parent, next_live, state, d);
        wait();
        agglomeration::absorb(items, live, parent, sums, count, best, chosen, state, d);
        agglomeration::contract(items, parent, pairs, borders, new_pairs, new_borders, state, next, d);
        done = state[agglomeration::STAYING] == state[agglomeration::REGIONS] && state[agglomeration::SMALL] == d.small;
        wait();
        uint32_t *lives = live, *known = state;
        uint64_t *edges = pairs, *weights = borders;
        live = next_live, pairs = new_pairs, borders = new_borders, state = next;
        next_live = lives, new_pairs = edges, new_borders = weights, next = known;
    }
}

// region[i] = the number of the region that point i came to.
// parent, region [N]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
    agglomeration_regions(const uint32_t* __restrict__ parent, uint32_t* __restrict__ region,
                          AgglomerationStartDims d) {
    uint32_t i = thread_index();
    if (i >= d.points) return;
    uint32_t root = i;
    while (parent[root] != root) root = parent[root];
    region[i] = root;
}
