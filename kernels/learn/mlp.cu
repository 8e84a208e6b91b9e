// The weight network around its matrix products (paper section 4.2). CPU reference: src/ops/learn/mlp.
//
// Sums over the boxes run in the tree of a warp: box b goes to row b % 32 of a block's threads, whose columns are
// channels, so that all accesses are of 32 channels side by side.
#include "common.cuh"

struct MlpDims {
    uint32_t boxes;     // B
    uint32_t channels;  // C
    uint32_t slices;    // of the product x W_in^T
    float offset;       // added to the network's output
};

namespace mlp {
// Sum over the 32 rows of threads for each of the 32 columns; every thread has its column's.
struct Columns {
    float (&tile)[WARP][WARP + 1];
    float (&total)[WARP];

    __device__ float sum(float value) {
        const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
        tile[warp][lane] = value;
        __syncthreads();
        value = warp_sum(tile[lane][warp]);
        if (lane == 0) total[warp] = value;
        __syncthreads();
        return total[lane];
    }
};
}  // namespace mlp

// a = sum of the slices (without b_in, which the mean takes away);  normal = (a - mean(a)) / std(a), 0 where std is 0
// Counted from the first box's a, so that equal boxes give exactly 0.
// slices [slices, B, C], normal [B, C], deviation = std(a) [C]. One block per 32 channels.
extern "C" __global__ void __launch_bounds__(1024)
mlp_normalize(const float* __restrict__ slices, float* __restrict__ normal, float* __restrict__ deviation, MlpDims d) {
    __shared__ float tile[WARP][WARP + 1];
    __shared__ float total[WARP];
    mlp::Columns columns{tile, total};
    const uint32_t channel = blockIdx.x * WARP + threadIdx.x % WARP, row = threadIdx.x / WARP;
    const uint32_t boxes = channel < d.channels ? d.boxes : 0;
    const size_t all = size_t(d.boxes) * d.channels;
    const auto product = [&](uint32_t box) {
        const float* at = slices + size_t(box) * d.channels + channel;
        float a = at[0];
        for (uint32_t s = 1; s < d.slices; s++) a += at[s * all];
        return a;
    };
    const float count = float(max(d.boxes, 1u));
    const float first = boxes > 0 ? product(0) : 0.0f;
    float sum = 0.0f;
    for (uint32_t box = row; box < boxes; box += WARP) {
        const float a = product(box) - first;
        normal[size_t(box) * d.channels + channel] = a;
        sum += a;
    }
    const float mean = columns.sum(sum) / count;
    float squares = 0.0f;
    for (uint32_t box = row; box < boxes; box += WARP) {
        const float a = normal[size_t(box) * d.channels + channel] - mean;
        normal[size_t(box) * d.channels + channel] = a;
        squares += a * a;
    }
    const float spread = sqrtf(columns.sum(squares) / count);
    for (uint32_t box = row; box < boxes; box += WARP) {
        const float a = normal[size_t(box) * d.channels + channel];
        normal[size_t(box) * d.channels + channel] = spread > 0.0f ? a / spread : 0.0f;
    }
    if (row == 0 && channel < d.channels) deviation[channel] = spread;
}

// weights[b] = max(10 + w_out . (x[b] + max(normal[b], 0)) + b_out, 0)
// values: W_in, b_in, w_out, b_out; x and normal [B, C], weights [B].
// One warp per box: channel c goes to lane c % 32, then a tree.
extern "C" __global__ void __launch_bounds__(128)
mlp_weigh(const float* __restrict__ values, const float* __restrict__ x, const float* __restrict__ normal,
          float* __restrict__ weights, MlpDims d) {
    const uint32_t box = thread_index() / WARP, lane = threadIdx.x % WARP;
    if (box >= d.boxes) return;
    const float* out = values + size_t(d.channels) * (d.channels + 1);
    const size_t base = size_t(box) * d.channels;
    float sum = 0.0f;
    for (uint32_t c = lane; c < d.channels; c += WARP) {
        sum += out[c] * (x[base + c] + fmaxf(normal[base + c], 0.0f));
    }
    sum = warp_sum(sum);
    if (lane == 0) weights[box] = fmaxf(d.offset + (sum + out[d.channels]), 0.0f);
}

// g[b, c]         = grad_weights[b] w_out[c] where weights[b] and normal[b, c] are positive, else 0
// grad_a          = (g - mean(g) - normal mean(g normal)) / std, the gradient of a; 0 where std is 0
// grad of w_out   = sum over b of grad_weights[b] (x + max(normal, 0));  of b_out: sum of grad_weights[b];  of b_in: 0
// Of boxes with weights[b] > 0. values: W_in, b_in, w_out, b_out; x, normal and grad_a [B, C], deviation [C],
// weights and grad_weights [B], grad: as values, all but W_in's. One block per 32 channels; the first has b_out too.
extern "C" __global__ void __launch_bounds__(1024)
mlp_backward(const float* __restrict__ values, const float* __restrict__ x, const float* __restrict__ normal,
             const float* __restrict__ deviation, const float* __restrict__ weights,
             const float* __restrict__ grad_weights, float* __restrict__ grad_a, float* __restrict__ grad, MlpDims d) {
    __shared__ float tile[WARP][WARP + 1];
    __shared__ float total[WARP];
    mlp::Columns columns{tile, total};
    const uint32_t lane = threadIdx.x % WARP, row = threadIdx.x / WARP;
    const uint32_t channel = blockIdx.x * WARP + lane;
    const bool inside = channel < d.channels;
    const uint32_t boxes = inside ? d.boxes : 0;
    const size_t bias_in = size_t(d.channels) * d.channels, out = bias_in + d.channels;
    const float weight_out = inside ? values[out + channel] : 0.0f, spread = inside ? deviation[channel] : 0.0f;
    float of_out = 0.0f, sum = 0.0f, sum_normal = 0.0f;
    for (uint32_t box = row; box < boxes; box += WARP) {
        const size_t at = size_t(box) * d.channels + channel;
        float g = 0.0f;
        if (weights[box] > 0.0f) {
            const float grad_weight = grad_weights[box], active = fmaxf(normal[at], 0.0f);
            of_out += grad_weight * (x[at] + active);
            g = normal[at] > 0.0f ? grad_weight * weight_out : 0.0f;
            sum += g;
            sum_normal += g * active;
        }
        grad_a[at] = g;
    }
    const float count = float(max(d.boxes, 1u));
    of_out = columns.sum(of_out);
    const float mean = columns.sum(sum) / count, mean_normal = columns.sum(sum_normal) / count;
    for (uint32_t box = row; box < boxes; box += WARP) {
        const size_t at = size_t(box) * d.channels + channel;
        const float centred = grad_a[at] - mean - normal[at] * mean_normal;
        grad_a[at] = spread > 0.0f ? centred / spread : 0.0f;
    }
    if (row == 0 && inside) {
        grad[bias_in + channel] = 0.0f;
        grad[out + channel] = of_out;
    }
    if (blockIdx.x > 0 || row > 0) return;
    float bias = 0.0f;
    for (uint32_t box = lane; box < d.boxes; box += WARP) {
        if (weights[box] > 0.0f) bias += grad_weights[box];
    }
    bias = warp_sum(bias);
    if (lane == 0) grad[out + d.channels] = bias;
}
