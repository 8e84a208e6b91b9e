// Masks painted over each other. CPU reference: src/ops/merge/paint.rs.
#include "common.cuh"

struct PaintDims {
    uint32_t masks;   // M
    uint32_t words;   // of a mask
    uint32_t pixels;
};

// regions[i] = M - 1 - the first mask that holds pixel i, or -1.
// masks [M, words], regions [pixels]. One thread per pixel.
extern "C" __global__ void __launch_bounds__(256)
paint_top(const uint32_t* __restrict__ masks, int32_t* __restrict__ regions, PaintDims d) {
    const uint32_t pixel = thread_index();
    if (pixel >= d.pixels) return;
    uint32_t mask = 0;
    while (mask < d.masks && !(masks[size_t(mask) * d.words + pixel / 32] >> pixel % 32 & 1)) ++mask;
    regions[pixel] = int32_t(d.masks - mask) - 1;
}
