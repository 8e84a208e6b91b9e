// Relaxed IoU and cross-entropy, with their gradients (paper eq. 2 and 3). CPU reference: src/ops/learn/riou.
#include "block_sum.cuh"
#include "basic/softmax.cuh"

struct RiouDims {
    uint32_t superpoints;  // S
    uint32_t columns;      // L + 1, null first
};

struct BlendDims {
    uint32_t count;
    float share;
    float other_share;
};

// sums[j] = (sum n g p, sum n g, sum n p) over the valid superpoints; n = size, g = share, p = predicted.
// predicted and shares [S, L + 1], sizes [S], valid [S], sums [L + 1, 3].
// One block per column: superpoint s goes to thread s % 256, then a tree.
extern "C" __global__ void __launch_bounds__(256)
riou_sums(const float* __restrict__ predicted, const float* __restrict__ shares, const uint32_t* __restrict__ sizes,
          const uint8_t* __restrict__ valid, float* __restrict__ sums, RiouDims d) {
    __shared__ float shared[8];
    const uint32_t column = blockIdx.x;
    float sum[3] = {};
    for (uint32_t s = threadIdx.x; s < d.superpoints; s += 256) {
        if (!valid[s]) continue;
        const size_t at = size_t(s) * d.columns + column;
        const float n = float(sizes[s]), g = shares[at], p = predicted[at];
        sum[0] += n * g * p;
        sum[1] += n * g;
        sum[2] += n * p;
    }
    for (uint32_t i = 0; i < 3; i++) {
        const float total = sum_of_block(sum[i], shared);
        if (threadIdx.x == 0) sums[3 * column + i] = total;
        __syncthreads();
    }
}

// riou[j] = both / (truth + predicted - both), 0 where nothing was predicted;  loss = sum of 1 - riou[j] over the parts / L
// sums [L + 1, 3], riou [L + 1], loss [1]. One warp: part j goes to lane (j - 1) % 32, then a tree.
extern "C" __global__ void __launch_bounds__(32)
riou_forward(const float* __restrict__ sums, float* __restrict__ riou, float* __restrict__ loss, RiouDims d) {
    float sum = 0.0f;
    // Null goes with the last lane, so that the parts begin at lane 0.
    for (uint32_t column = (threadIdx.x + 1) % WARP; column < d.columns; column += WARP) {
        const float both = sums[3 * column], truth = sums[3 * column + 1], predicted = sums[3 * column + 2];
        const float value = predicted == 0.0f ? 0.0f : both / (truth + predicted - both);
        riou[column] = value;
        if (column > 0) sum += 1.0f - value;
    }
    sum = warp_sum(sum);
    if (threadIdx.x == 0) loss[0] = sum / float(d.columns - 1);
}

// grad[s, j] = -(n g / union - both / union^2 (n - n g)) / L; 0 for null, where s is not valid, and where nothing was
// predicted. shares [S, L + 1], sizes and valid [S], sums [L + 1, 3], grad [S, L + 1]. One thread per value.
extern "C" __global__ void __launch_bounds__(256)
riou_backward(const float* __restrict__ shares, const uint32_t* __restrict__ sizes, const uint8_t* __restrict__ valid,
              const float* __restrict__ sums, float* __restrict__ grad, RiouDims d) {
    const uint32_t at = thread_index();
    if (at >= d.superpoints * d.columns) return;
    const uint32_t s = at / d.columns, column = at % d.columns;
    const float both = sums[3 * column], truth = sums[3 * column + 1], predicted = sums[3 * column + 2];
    float value = 0.0f;
    if (column > 0 && valid[s] && predicted != 0.0f) {
        const float all = truth + predicted - both, n = float(sizes[s]), g = shares[at];
        const float slope = n * g / all - both / (all * all) * (n - n * g);
        value = -slope / float(d.columns - 1);
    }
    grad[at] = value;
}

// values[i] = share values[i] + other_share others[i]: two losses, or their gradients, as one.
// others and values [count]. One thread per value.
extern "C" __global__ void __launch_bounds__(256)
riou_blend(const float* __restrict__ others, float* __restrict__ values, BlendDims d) {
    const uint32_t i = thread_index();
    if (i < d.count) values[i] = d.share * values[i] + d.other_share * others[i];
}

// losses[s] = -log softmax(predicted[s])[label[s]], 0 where s is not valid.
// predicted [S, L + 1], label [S] (a column), valid [S], losses [S]. One warp per superpoint.
extern "C" __global__ void __launch_bounds__(256)
cross_entropy_losses(const float* __restrict__ predicted, const uint32_t* __restrict__ label,
                     const uint8_t* __restrict__ valid, float* __restrict__ losses, RiouDims d) {
    const uint32_t s = thread_index() / WARP;
    if (s >= d.superpoints) return;
    const float* x = predicted + size_t(s) * d.columns;
    const softmax::Row whole = softmax::row(x, d.columns, nullptr);
    if (threadIdx.x % WARP != 0) return;
    losses[s] = valid[s] ? float(log(double(whole.sum))) + whole.largest - x[label[s]] : 0.0f;
}

// loss = sum of the losses / valid superpoints, 0 if there is none. count = valid superpoints.
// losses and valid [S], loss [1], count [1]. One block: superpoint s goes to thread s % 256, then a tree.
extern "C" __global__ void __launch_bounds__(256)
cross_entropy_mean(const float* __restrict__ losses, const uint8_t* __restrict__ valid, float* __restrict__ loss,
                   uint32_t* __restrict__ count, RiouDims d) {
    __shared__ float sums[8];
    __shared__ uint32_t found;
    if (threadIdx.x == 0) found = 0;
    __syncthreads();
    float sum = 0.0f;
    uint32_t own = 0;
    for (uint32_t s = threadIdx.x; s < d.superpoints; s += 256) {
        sum += losses[s];
        own += valid[s] != 0;
    }
    atomicAdd(&found, own);
    sum = sum_of_block(sum, sums);
    if (threadIdx.x != 0) return;
    loss[0] = sum / float(max(found, 1u));
    count[0] = found;
}

// grad[s, j] = (softmax(predicted[s])[j] - [j = label[s]]) / count; 0 where s is not valid.
// predicted and grad [S, L + 1], label and valid [S], count [1]. One warp per superpoint.
extern "C" __global__ void __launch_bounds__(256)
cross_entropy_backward(const float* __restrict__ predicted, const uint32_t* __restrict__ label,
                       const uint8_t* __restrict__ valid, const uint32_t* __restrict__ count, float* __restrict__ grad,
                       RiouDims d) {
    const uint32_t s = thread_index() / WARP;
    if (s >= d.superpoints) return;
    float* row = grad + size_t(s) * d.columns;
    const float sum = softmax::row(predicted + size_t(s) * d.columns, d.columns, row).sum;
    const float n = float(max(count[0], 1u));
    for (uint32_t c = threadIdx.x % WARP; c < d.columns; c += WARP) {
        const float p = row[c] / sum;
        row[c] = valid[s] ? (c == label[s] ? p - 1.0f : p) / n : 0.0f;
    }
}
