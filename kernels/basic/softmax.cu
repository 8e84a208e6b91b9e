// Softmax over the columns of every row (paper eq. 6). CPU reference: src/ops/basic/softmax.rs.
#include "softmax.cuh"

struct SoftmaxDims {
    uint32_t rows;
    uint32_t columns;
};

// p[r, c] = exp(x[r, c] - max) / sum over the columns. x, p [rows, columns].
// One warp per row: column c goes to lane c % 32, then a tree.
extern "C" __global__ void __launch_bounds__(256)
softmax_forward(const float* __restrict__ x, float* __restrict__ p, SoftmaxDims d) {
    const uint32_t row = thread_index() / WARP;
    if (row >= d.rows) return;
    float* to = p + size_t(row) * d.columns;
    const float sum = softmax::row(x + size_t(row) * d.columns, d.columns, to).sum;
    for (uint32_t c = threadIdx.x % WARP; c < d.columns; c += WARP) to[c] = to[c] / sum;
}

// out[r, c] = p (grad - sum over the columns of grad p): the gradient of x. p, grad, out [rows, columns].
// One warp per row: column c goes to lane c % 32, then a tree.
extern "C" __global__ void __launch_bounds__(256)
softmax_backward(const float* __restrict__ p, const float* __restrict__ grad, float* __restrict__ out, SoftmaxDims d) {
    const uint32_t row = thread_index() / WARP;
    if (row >= d.rows) return;
    const size_t base = size_t(row) * d.columns;
    float inner = 0.0f;
    for (uint32_t c = threadIdx.x % WARP; c < d.columns; c += WARP) inner += grad[base + c] * p[base + c];
    inner = warp_sum(inner);
    for (uint32_t c = threadIdx.x % WARP; c < d.columns; c += WARP) {
        out[base + c] = p[base + c] * (grad[base + c] - inner);
    }
}
