// Boxes on their way from the detector to the segmenter and the memberships.
// CPU reference: src/ops/detect/boxes.rs.
#include "common.cuh"

struct BoxesDims {
    uint32_t boxes;  // B
    float scale_x, scale_y;
};

// order: the boxes by view, within a view by label, within a label by index.
// views, labels, order [B]. One thread per box, whose place is the number of boxes before it: there are few.
extern "C" __global__ void __launch_bounds__(256)
    boxes_by_view(const uint32_t* __restrict__ views, const uint32_t* __restrict__ labels,
                  uint32_t* __restrict__ order, BoxesDims d) {
    uint32_t own = thread_index();
    if (own >= d.boxes) return;
    auto key = [&](uint32_t b) { return uint64_t(views[b]) << 32 | labels[b]; };
    uint64_t mine = key(own);
    uint32_t before = 0;
    for (uint32_t b = 0; b < d.boxes; ++b) before += key(b) < mine || (key(b) == mine && b < own);
    order[before] = own;
}

// corners = rects scaled; row_of[b] = rows[views[b]].
// rects, corners [B, 4], views, row_of [B], rows [K]. One thread per box.
extern "C" __global__ void __launch_bounds__(256)
    boxes_prompts(const float* __restrict__ rects, const uint32_t* __restrict__ views,
                  const int64_t* __restrict__ rows, float* __restrict__ corners, int64_t* __restrict__ row_of,
                  BoxesDims d) {
    uint32_t b = thread_index();
    if (b >= d.boxes) return;
    float4 box = reinterpret_cast<const float4*>(rects)[b];
    reinterpret_cast<float4*>(corners)[b] = {box.x * d.scale_x, box.y * d.scale_y, box.z * d.scale_x, box.w * d.scale_y};
    row_of[b] = rows[views[b]];
}
