// Boxes that hold the whole object. CPU reference: src/ops/lift/whole_object.rs.
#include "common.cuh"

struct WholeObjectDims {
    double share;     // of all points, from which on a box is ignored
    uint32_t points;  // N
    uint32_t boxes;   // B
};

namespace whole_object {
constexpr uint32_t EACH = 8;  // points of a thread, so that a box costs one warp sum for 256 points
}

// inside[b] += points of b's view strictly inside b, hidden ones too.
// screen [K, N, 2], view_offsets [K + 1], view_boxes [view_offsets[K]], rects [B, 4], inside [B] cleared before.
// One thread per 8 points of a view; grid [N / 2048, K].
extern "C" __global__ void __launch_bounds__(256)
whole_object_count(const float* __restrict__ screen, const uint32_t* __restrict__ view_offsets,
                   const uint32_t* __restrict__ view_boxes, const float* __restrict__ rects, uint32_t* inside,
                   WholeObjectDims d) {
    using namespace whole_object;
    const uint32_t view = blockIdx.y;
    const float* at = screen + size_t(view) * d.points * 2;
    float x[EACH], y[EACH];
    for (uint32_t i = 0; i < EACH; i++) {
        const uint32_t point = (blockIdx.x * EACH + i) * 256 + threadIdx.x;
        // What is no number is inside of nothing.
        x[i] = point < d.points ? at[2 * size_t(point)] : NAN;
        y[i] = point < d.points ? at[2 * size_t(point) + 1] : NAN;
    }
    for (uint32_t i = view_offsets[view]; i < view_offsets[view + 1]; i++) {
        const uint32_t box = view_boxes[i];
        const float* rect = rects + 4 * size_t(box);
        uint32_t count = 0;
        for (uint32_t j = 0; j < EACH; j++) {
            count += x[j] > rect[0] && x[j] < rect[2] && y[j] > rect[1] && y[j] < rect[3];
        }
        count = __reduce_add_sync(ALL_LANES, count);
        if (threadIdx.x % WARP == 0 && count > 0) atomicAdd(inside + box, count);
    }
}

// ignored[b] = inside[b] >= share * N. inside, ignored [B]. One thread per box.
extern "C" __global__ void __launch_bounds__(256)
whole_object_decide(const uint32_t* __restrict__ inside, uint8_t* __restrict__ ignored, WholeObjectDims d) {
    const uint32_t box = thread_index();
    if (box < d.boxes) ignored[box] = double(inside[box]) >= d.share * double(d.points);
}
