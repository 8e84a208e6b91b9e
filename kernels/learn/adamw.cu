// AdamW. CPU reference: src/ops/learn/adamw.rs.
#include "common.cuh"

struct AdamwDims {
    uint32_t parameters;  // P
    uint32_t tail;        // the first parameter of the second group
    uint32_t batch;       // N
    float share;          // 1 / N
    float follow;         // 1 - beta1
    float beta2;
    float take;           // 1 - beta2
    float epsilon;
};

// g  = mean of the batch's gradients;  (keep, step, correction) = factors[step, group of i]
// m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g g;  p = p keep - step m / (sqrt(v) / correction + epsilon)
// grads [N, P], factors [T, 2, 3], cursor [1] (the step, below T), values p, first m and second v [P].
// One thread per parameter.
extern "C" __global__ void __launch_bounds__(256)
adamw_step(const float* __restrict__ grads, const float* __restrict__ factors, const uint32_t* __restrict__ cursor,
           float* __restrict__ values, float* __restrict__ first, float* __restrict__ second, AdamwDims d) {
    const uint32_t i = thread_index();
    if (i >= d.parameters) return;
    const float* f = factors + (size_t(cursor[0]) * 2 + (i >= d.tail)) * 3;
    float g = grads[i];
    for (uint32_t n = 1; n < d.batch; n++) g += grads[size_t(n) * d.parameters + i];
    g *= d.share;
    const float m = first[i] + d.follow * (g - first[i]);
    const float v = d.beta2 * second[i] + d.take * g * g;
    first[i] = m;
    second[i] = v;
    values[i] = values[i] * f[0] - f[1] * (m / (sqrtf(v) / f[2] + d.epsilon));
}

// cursor[0] += 1: a replayed graph finds the factors of its step. cursor [1]. One thread.
extern "C" __global__ void __launch_bounds__(32)
adamw_next(uint32_t* __restrict__ cursor) {
    if (threadIdx.x == 0) cursor[0] += 1;
}
