// Weights of the neighbour graph: high between points that are close and look alike.
#include "common.cuh"

namespace edge_weights {

constexpr uint32_t THREADS = 256;
// Edges of one partial sum.
constexpr uint32_t CHUNK = 2048;

// Sum over the block in the tree of ops::sum::block; thread 0 has the result.
__device__ inline double block_sum(double value, double (&sums)[THREADS / WARP]) {
    value = warp_sum(value);
    if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = value;
    __syncthreads();
    return threadIdx.x < WARP ? warp_sum(threadIdx.x < THREADS / WARP ? sums[threadIdx.x] : 0.0) : 0.0;
}

__device__ inline double relative(float x, double mean) { return mean > 0.0 ? double(x) / mean : 0.0; }

}  // namespace edge_weights

struct EdgeWeightsDims {
    uint32_t edges;
    uint32_t neighbors;
    uint32_t dimensions;
    uint32_t chunks;
};

// u_e = |f_i - f_j| of the edges e = (i, j); the sums of d and u over each chunk of 2048 edges.
// features [N, D], neighbors [N, k], distances [N, k]; unlike [N, k], sums [chunks, 2]. One block per chunk.
extern "C" __global__ void __launch_bounds__(256)
    edge_weights_differences(const float* __restrict__ features, const uint32_t* __restrict__ neighbors,
                             const float* __restrict__ distances, float* __restrict__ unlike,
                             double* __restrict__ sums, EdgeWeightsDims d) {
    uint32_t begin = blockIdx.x * edge_weights::CHUNK;
    uint32_t end = min(d.edges, begin + edge_weights::CHUNK);
    __shared__ double apart_sums[edge_weights::THREADS / WARP];
    __shared__ double unlike_sums[edge_weights::THREADS / WARP];
    double2 sum = {0.0, 0.0};
    for (uint32_t e = begin + threadIdx.x; e < end; e += edge_weights::THREADS) {
        const float* a = features + uint64_t(e / d.neighbors) * d.dimensions;
        const float* b = features + uint64_t(neighbors[e]) * d.dimensions;
        float squared = 0.0f;
        for (uint32_t c = 0; c < d.dimensions; ++c) squared += (a[c] - b[c]) * (a[c] - b[c]);
        float difference = sqrtf(squared);
        unlike[e] = difference;
        sum.x += double(distances[e]);
        sum.y += double(difference);
    }
    sum.x = edge_weights::block_sum(sum.x, apart_sums);
    sum.y = edge_weights::block_sum(sum.y, unlike_sums);
    if (threadIdx.x == 0) reinterpret_cast<double2*>(sums)[blockIdx.x] = sum;
}

// The means over all edges.
// sums [chunks, 2], means [2]. One block.
extern "C" __global__ void __launch_bounds__(256)
    edge_weights_means(const double* __restrict__ sums, double* __restrict__ means, EdgeWeightsDims d) {
    __shared__ double apart_sums[edge_weights::THREADS / WARP];
    __shared__ double unlike_sums[edge_weights::THREADS / WARP];
    double2 sum = {0.0, 0.0};
    for (uint32_t c = threadIdx.x; c < d.chunks; c += edge_weights::THREADS) {
        sum.x += sums[2 * c];
        sum.y += sums[2 * c + 1];
    }
    sum.x = edge_weights::block_sum(sum.x, apart_sums);
    sum.y = edge_weights::block_sum(sum.y, unlike_sums);
    if (threadIdx.x == 0) {
        means[0] = sum.x / double(d.edges);
        means[1] = sum.y / double(d.edges);
    }
}

// w = (1 / (1 + d / mean(d) + u / mean(u)))^2; a term whose mean is 0 counts 0.
// distances, unlike, weights [N, k], means [2]. One thread per edge.
extern "C" __global__ void __launch_bounds__(256)
    edge_weights_weigh(const float* __restrict__ distances, const float* __restrict__ unlike,
                       const double* __restrict__ means, float* __restrict__ weights, EdgeWeightsDims d) {
    uint32_t e = thread_index();
    if (e >= d.edges) return;
    double apart = edge_weights::relative(distances[e], means[0]);
    double different = edge_weights::relative(unlike[e], means[1]);
    float root = float(1.0 / (1.0 + apart + different));
    weights[e] = root * root;
}
