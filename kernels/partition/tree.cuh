// Exact nearest-neighbour search: points along Hilbert's curve, every 32 of them in a box, every 32 boxes in a box, and so
// on. One warp answers a query: its lanes look at the 32 children of a node at once.
#pragma once
#include "common.cuh"

namespace tree {

constexpr uint32_t WARPS = 8;
// Of boxes: 32^6 leaves are more than there are indices.
constexpr uint32_t LEVELS = 6;
constexpr uint64_t NOBODY = ~uint64_t(0);
// The home of a query that is no item.
constexpr uint32_t NOWHERE = ~0u;

// A point and its index.
struct alignas(16) Item {
    float x, y, z;
    uint32_t index;
};

// What bounds the points below a node, and the lowest of their indices: it decides whether a node at the same distance
// can still win.
struct alignas(16) Box {
    float low_x, low_y, low_z;
    uint32_t first;
    float high_x, high_y, high_z;
    uint32_t unused;
};

// Squared distance above, index below: one comparison orders by distance, then index.
__device__ inline uint64_t pack(float squared, uint32_t index) {
    return uint64_t(__float_as_uint(squared)) << 32 | index;
}

__device__ inline float squared_distance(const Item& a, float x, float y, float z) {
    float dx = a.x - x, dy = a.y - y, dz = a.z - z;
    return dx * dx + dy * dy + dz * dz;
}

// At most the key of any point inside: rounding is monotone, so no point is missed.
__device__ inline uint64_t key_of(const Box& box, const Item& query) {
    float x = fminf(fmaxf(query.x, box.low_x), box.high_x);
    float y = fminf(fmaxf(query.y, box.low_y), box.high_y);
    float z = fminf(fmaxf(query.z, box.low_z), box.high_z);
    return pack(squared_distance(query, x, y, z), box.first);
}

// The items [N] in their order, and the boxes of all levels, leaves first.
struct Tree {
    const Item* items;
    const Box* boxes;
    uint32_t points;
};

// The best `wanted` keys so far, from 1 to 32: lane i holds the i-th, or NOBODY where there are fewer.
struct Nearest {
    uint64_t key = NOBODY;
    uint64_t bound = NOBODY;
    uint32_t wanted;

    __device__ explicit Nearest(uint32_t wanted) : wanted(wanted) {}

    // Every lane offers a key, which may be NOBODY. A few are inserted one by one, many are sorted and merged.
    __device__ void offer(uint64_t offered) {
        uint32_t hits = __ballot_sync(ALL_LANES, offered < bound);
        if (__popc(hits) > 9) {
            merge(offered < bound ? offered : NOBODY);
        } else {
            for (; hits != 0; hits &= hits - 1) insert(__shfl_sync(ALL_LANES, offered, __ffs(hits) - 1));
        }
        bound = __shfl_sync(ALL_LANES, key, wanted - 1);
    }

  private:
    __device__ void insert(uint64_t next) {
        uint32_t lane = threadIdx.x % WARP;
        uint32_t place = __popc(__ballot_sync(ALL_LANES, key < next));
        uint64_t before = __shfl_up_sync(ALL_LANES, key, 1);
        key = lane == place ? next : lane > place ? before : key;
    }

    // Bitonic: the offers in descending order, the lower of each pair, then the order of those.
    __device__ void merge(uint64_t offered) {
        uint32_t lane = threadIdx.x % WARP;
        for (uint32_t size = 2; size <= WARP; size *= 2) {
            for (uint32_t step = size / 2; step > 0; step /= 2) {
                offered = exchange(offered, step, (lane & size) != 0);
            }
        }
        key = offered < key ? offered : key;
        for (uint32_t step = WARP / 2; step > 0; step /= 2) key = exchange(key, step, true);
    }

    // The lower key to the lower lane if ascending, else the higher.
    __device__ static uint64_t exchange(uint64_t key, uint32_t step, bool ascending) {
        uint64_t other = __shfl_xor_sync(ALL_LANES, key, step);
        bool lower = (threadIdx.x & step) == 0;
        return (other < key) == (lower == ascending) ? other : key;
    }
};

// Where the keys of the nodes that still wait lie, by warp, level and lane.
using Pending = uint64_t[WARPS][LEVELS][WARP];

// The keys of a leaf's points, one a lane; NOBODY for those that `skip` names.
template <class Skip>
__device__ inline uint64_t key_in(const Tree& tree, uint32_t leaf, const Item& query, Skip skip) {
    uint32_t at = leaf * WARP + threadIdx.x % WARP;
    if (at >= tree.points) return NOBODY;
    Item item = tree.items[at];
    return skip(item.index) ? NOBODY : pack(squared_distance(query, item.x, item.y, item.z), item.index);
}

// Offers `nearest` every point that could enter, except those that `skip` names.
//
// The leaf that the query lies in, its `home`, goes first: its points bound the others', where boxes overlap. Then the
// nearest child of each node goes first. The nodes of a level are numbered through, so that the children of node n are
// 32 n .. 32 n + 31 of the level below.
template <class Skip>
__device__ inline void search(const Tree& tree, const Item& query, uint32_t home, Nearest& nearest, Pending& all_pending,
                              Skip skip) {
    uint32_t lane = threadIdx.x % WARP;
    if (home != NOWHERE) nearest.offer(key_in(tree, home, query, skip));
    uint64_t(&pending)[LEVELS][WARP] = all_pending[threadIdx.x / WARP];
    // `begin` and `count` are those of the boxes at `level`.
    uint32_t level = 0, begin = 0, count = (tree.points + WARP - 1) / WARP, node = 0;
    while (count > WARP) {
        begin += count;
        count = (count + WARP - 1) / WARP;
        ++level;
    }
    uint32_t top = level;
    bool arrived = true;
    while (true) {
        uint32_t child = node * WARP + lane;
        if (arrived) {
            bool there = child < count && (level > 0 || child != home);
            pending[level][lane] = there ? key_of(tree.boxes[begin + child], query) : NOBODY;
        }
        uint64_t key = pending[level][lane];
        uint32_t distance = key < nearest.bound ? uint32_t(key >> 32) : ~0u;
        uint32_t least = __reduce_min_sync(ALL_LANES, distance);
        if (least == ~0u) {
            if (level == top) break;
            // Back up; the level above has as many boxes as were counted on the way down.
            ++level;
            node /= WARP;
            begin += count;
            count = (count + WARP - 1) / WARP;
            arrived = false;
            continue;
        }
        uint32_t chosen = __ffs(__ballot_sync(ALL_LANES, distance == least)) - 1;
        if (lane == chosen) pending[level][lane] = NOBODY;
        uint32_t next = node * WARP + chosen;
        if (level > 0) {
            --level;
            node = next;
            // The number of boxes of a level follows from the number of points alone.
            count = tree.points;
            for (uint32_t l = 0; l <= level; ++l) count = (count + WARP - 1) / WARP;
            begin -= count;
            arrived = true;
        } else {
            nearest.offer(key_in(tree, next, query, skip));
            arrived = false;
        }
    }
}

}  // namespace tree
