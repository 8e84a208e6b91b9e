// The points around every point, and the tree that they are found in (tree.cuh).
//
// One search serves both the neighbour graph and the normals.
#include "tree.cuh"

namespace knn {

// Cells along an axis, over the longest side of the cloud's box. Far outliers leave few cells to the rest, which slows
// the search down; what it finds does not depend on the order.
constexpr uint32_t CELL_BITS = 16;

// An unsigned integer that orders as the float does.
__device__ inline uint32_t ordered(float x) {
    uint32_t bits = __float_as_uint(x);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ inline float unordered(uint32_t bits) {
    return __uint_as_float(bits & 0x80000000u ? bits & 0x7fffffffu : ~bits);
}

// Two zeros before each of the lowest 16 bits.
__device__ inline uint64_t spread(uint64_t x) {
    x = (x | x << 16) & 0x0000ff0000ffull;
    x = (x | x << 8) & 0x00f00f00f00full;
    x = (x | x << 4) & 0x0c30c30c30c3ull;
    return (x | x << 2) & 0x249249249249ull;
}

// The place of a cell on Hilbert's curve through all cells. Those that follow each other touch, so that 32 points in a row
// lie in a small box. Skilling, "Programming the Hilbert curve", AIP Conf. Proc. 707, 2004.
__device__ inline uint64_t along_curve(uint32_t (&cell)[3]) {
    constexpr uint32_t HIGHEST = 1u << (CELL_BITS - 1);
    for (uint32_t bit = HIGHEST; bit > 1; bit /= 2) {
        for (uint32_t axis = 0; axis < 3; ++axis) {
            uint32_t swapped = (cell[0] ^ cell[axis]) & (bit - 1);
            if (cell[axis] & bit) {
                cell[0] ^= bit - 1;
            } else {
                cell[0] ^= swapped;
                cell[axis] ^= swapped;
            }
        }
    }
    cell[1] ^= cell[0];
    cell[2] ^= cell[1];
    uint32_t turned = 0;
    for (uint32_t bit = HIGHEST; bit > 1; bit /= 2) turned ^= cell[2] & bit ? bit - 1 : 0;
    return spread(cell[0] ^ turned) << 2 | spread(cell[1] ^ turned) << 1 | spread(cell[2] ^ turned);
}

__device__ inline tree::Box united(tree::Box box) {
    for (uint32_t step = WARP / 2; step > 0; step /= 2) {
        box.low_x = fminf(box.low_x, __shfl_xor_sync(ALL_LANES, box.low_x, step));
        box.low_y = fminf(box.low_y, __shfl_xor_sync(ALL_LANES, box.low_y, step));
        box.low_z = fminf(box.low_z, __shfl_xor_sync(ALL_LANES, box.low_z, step));
        box.high_x = fmaxf(box.high_x, __shfl_xor_sync(ALL_LANES, box.high_x, step));
        box.high_y = fmaxf(box.high_y, __shfl_xor_sync(ALL_LANES, box.high_y, step));
        box.high_z = fmaxf(box.high_z, __shfl_xor_sync(ALL_LANES, box.high_z, step));
    }
    box.first = __reduce_min_sync(ALL_LANES, box.first);
    return box;
}

__device__ inline tree::Box empty() {
    float most = __uint_as_float(0x7f800000u);
    return {most, most, most, ~0u, -most, -most, -most, 0};
}

}  // namespace knn

struct KnnDims {
    uint32_t points;
    // Points around each, itself among them; a row of `around`.
    uint32_t width;
    uint32_t neighbors;
};

// bounds[a] = max of -p[a], bounds[3 + a] = max of p[a] over the points p, each as an integer of the same order.
// points [N, 3], bounds [6], zero at first. One thread per point and step; few blocks, so that few atomics meet.
extern "C" __global__ void __launch_bounds__(256)
    knn_bounds(const float* __restrict__ points, uint32_t* __restrict__ bounds, KnnDims d) {
    __shared__ uint32_t block_bounds[6];
    if (threadIdx.x < 6) block_bounds[threadIdx.x] = 0;
    __syncthreads();
    uint32_t low[3] = {0, 0, 0}, high[3] = {0, 0, 0};
    for (uint32_t i = thread_index(); i < d.points; i += gridDim.x * blockDim.x) {
        for (uint32_t axis = 0; axis < 3; ++axis) {
            float x = points[3 * i + axis];
            low[axis] = max(low[axis], knn::ordered(-x));
            high[axis] = max(high[axis], knn::ordered(x));
        }
    }
    for (uint32_t axis = 0; axis < 3; ++axis) {
        low[axis] = __reduce_max_sync(ALL_LANES, low[axis]);
        high[axis] = __reduce_max_sync(ALL_LANES, high[axis]);
        if (threadIdx.x % WARP == 0) {
            atomicMax(&block_bounds[axis], low[axis]);
            atomicMax(&block_bounds[3 + axis], high[axis]);
        }
    }
    __syncthreads();
    if (threadIdx.x < 6) atomicMax(&bounds[threadIdx.x], block_bounds[threadIdx.x]);
}

// keys[i] = the place of p_i's cell on Hilbert's curve; order[i] = i.
// points [N, 3], bounds [6], keys [N], order [N]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
    knn_keys(const float* __restrict__ points, const uint32_t* __restrict__ bounds, uint64_t* __restrict__ keys,
             uint32_t* __restrict__ order, KnnDims d) {
    uint32_t i = thread_index();
    if (i >= d.points) return;
    float low[3], longest = 0;
    for (uint32_t axis = 0; axis < 3; ++axis) {
        low[axis] = -knn::unordered(bounds[axis]);
        longest = fmaxf(longest, knn::unordered(bounds[3 + axis]) - low[axis]);
    }
    constexpr float LAST = (1 << knn::CELL_BITS) - 1;
    uint32_t cell[3];
    for (uint32_t axis = 0; axis < 3; ++axis) {
        float share = longest > 0 ? (points[3 * i + axis] - low[axis]) / longest : 0;
        cell[axis] = uint32_t(fminf(share, 1) * LAST);
    }
    keys[i] = knn::along_curve(cell);
    order[i] = i;
}

// items[i] = (p, index) of point order[i]; boxes[l] = the box of items 32 l .. 32 l + 31.
// points [N, 3], order [N], items [N, 4], boxes [ceil(N / 32), 8]. One warp per leaf.
extern "C" __global__ void __launch_bounds__(256)
    knn_leaves(const float* __restrict__ points, const uint32_t* __restrict__ order, float* __restrict__ items,
               float* __restrict__ boxes, KnnDims d) {
    uint32_t i = thread_index();
    if (i / WARP * WARP >= d.points) return;
    tree::Box box = knn::empty();
    if (i < d.points) {
        uint32_t index = order[i];
        float x = points[3 * index], y = points[3 * index + 1], z = points[3 * index + 2];
        reinterpret_cast<tree::Item*>(items)[i] = {x, y, z, index};
        box = {x, y, z, index, x, y, z, 0};
    }
    box = knn::united(box);
    if (i % WARP == 0) reinterpret_cast<tree::Box*>(boxes)[i / WARP] = box;
}

struct KnnLevelDims {
    // Where the boxes of the level below begin in `boxes`, and their number; those of this level follow them.
    uint32_t begin;
    uint32_t count;
};

// The box of every 32 boxes of the level below.
// boxes [all levels, 8]. One warp per box.
extern "C" __global__ void __launch_bounds__(256) knn_nodes(float* __restrict__ boxes, KnnLevelDims d) {
    uint32_t i = thread_index();
    if (i / WARP * WARP >= d.count) return;
    tree::Box* all = reinterpret_cast<tree::Box*>(boxes) + d.begin;
    tree::Box box = knn::united(i < d.count ? all[i] : knn::empty());
    if (i % WARP == 0) all[d.count + i / WARP] = box;
}

// around[i]: the w points j with the least |p_i - p_j|^2, i itself among them, ascending, ties to the lowest j.
// items [N, 4], boxes [all levels, 8], around [N, w], w <= 32 and N. One warp per point, in the items' order, so that the
// warps of a block read the same leaves.
extern "C" __global__ void __launch_bounds__(256)
    knn_search(const float* __restrict__ items, const float* __restrict__ boxes, uint32_t* __restrict__ around,
               KnnDims d) {
    __shared__ tree::Pending pending;
    uint32_t i = thread_index() / WARP, lane = threadIdx.x % WARP;
    if (i >= d.points) return;
    tree::Tree points = {reinterpret_cast<const tree::Item*>(items), reinterpret_cast<const tree::Box*>(boxes),
                         d.points};
    tree::Item query = points.items[i];
    tree::Nearest nearest(d.width);
    tree::search(points, query, i / WARP, nearest, pending, [](uint32_t) { return false; });
    if (lane < d.width) around[uint64_t(query.index) * d.width + lane] = uint32_t(nearest.key);
}

// Row i: the first k points of around[i] that are not i, and their distances.
// points [N, 3], around [N, w], indices [N, k], distances [N, k], k < w. One warp per point.
extern "C" __global__ void __launch_bounds__(256)
    knn_nearest(const float* __restrict__ points, const uint32_t* __restrict__ around, uint32_t* __restrict__ indices,
                float* __restrict__ distances, KnnDims d) {
    uint32_t i = thread_index() / WARP, lane = threadIdx.x % WARP;
    if (i >= d.points) return;
    uint32_t j = lane <= d.neighbors ? around[uint64_t(i) * d.width + lane] : i;
    // Among many points in one place, i itself may come later.
    uint32_t self = __ffs(__ballot_sync(ALL_LANES, j == i)) - 1;
    uint32_t column = lane > self ? lane - 1 : lane;
    if (lane == self || column >= d.neighbors) return;
    tree::Item query = {points[3 * i], points[3 * i + 1], points[3 * i + 2], i};
    float squared = tree::squared_distance(query, points[3 * j], points[3 * j + 1], points[3 * j + 2]);
    indices[i * d.neighbors + column] = j;
    distances[i * d.neighbors + column] = sqrtf(squared);
}
