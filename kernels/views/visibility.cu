// Visibility: V_k(p) = 1 if point p owns at least one pixel of view k. CPU reference: src/ops/views/visibility.rs.
#include "common.cuh"

struct VisibilityDims {
    uint32_t points;  // N
    uint32_t pixels;  // of a view
    uint32_t words;   // of 32 points, ceil(N / 32)
};

// visible[k, p / 32] |= 1 << p % 32 for every p in pixel_to_point[k]; what is no point marks nothing.
// pixel_to_point [K, pixels], visible [K, words] cleared before.
// One thread per (pixel, view); grid [pixels / 256, K]. Most pixels find their bit set and skip the atomic.
extern "C" __global__ void __launch_bounds__(256)
visibility_mark(const int32_t* __restrict__ pixel_to_point, uint32_t* visible, VisibilityDims d) {
    const uint32_t pixel = thread_index(), view = blockIdx.y;
    if (pixel >= d.pixels) return;
    const uint32_t point = uint32_t(pixel_to_point[size_t(view) * d.pixels + pixel]);
    if (point >= d.points) return;
    uint32_t* word = visible + size_t(view) * d.words + point / 32;
    const uint32_t bit = 1u << point % 32;
    if ((__ldcg(word) & bit) == 0) atomicOr(word, bit);
}
