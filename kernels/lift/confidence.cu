// The detector's confidence as a box's weight.
// CPU reference: src/ops/lift/confidence.rs.
#include "common.cuh"

struct ConfidenceDims {
    uint32_t boxes;
    float scale;
};

// weights[b] = scale scores[b], both [B]. One thread per box.
extern "C" __global__ void __launch_bounds__(256)
    confidence_weights(const float* __restrict__ scores, float* __restrict__ weights, ConfidenceDims d) {
    uint32_t box = thread_index();
    if (box < d.boxes) weights[box] = d.scale * scores[box];
}
