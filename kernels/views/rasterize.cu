// Point splatting: which point each pixel of every view shows. CPU reference: src/ops/views/rasterize.
#include "common.cuh"

struct RasterizeDims {
    uint32_t points;       // N
    uint32_t side;         // pixels along each side
    float radius;          // of a disc, NDC
    float radius_squared;  // for the compositor: squared in f64, then rounded
};

namespace rasterize {

constexpr float FOCAL = 1.7320507f;
constexpr uint32_t CAMERA = 32;  // floats: world to view [4, 4], then world to NDC before the division [4, 4]
constexpr uint32_t COLUMNS = 8;  // of pixels at a time: their distances stay in registers, as each takes a division

// p * m for row vectors, column j.
__device__ inline float transform(const float* p, const float* m, uint32_t j) {
    return p[0] * m[j] + p[1] * m[4 + j] + p[2] * m[8 + j] + m[12 + j];
}

struct Splat {
    float x, y, depth;
};

__device__ inline Splat splat(const float* p, const float* world_to_view) {
    const float depth = transform(p, world_to_view, 2);
    return {FOCAL * transform(p, world_to_view, 0) / depth, FOCAL * transform(p, world_to_view, 1) / depth, depth};
}

__device__ inline float pixel_center(uint32_t i, uint32_t n) {
    return -1.0f + float(2 * (n - 1 - i) + 1) / float(n);
}

// The pixels whose centre may lie within `reach` of `center`: [low, high).
struct Span {
    uint32_t low, high;
};

__device__ inline Span span(float center, float reach, uint32_t side) {
    const float low = ceilf(center - reach - 0.5f), high = floorf(center + reach - 0.5f) + 1.0f;
    return {uint32_t(fminf(fmaxf(low, 0.0f), float(side))), uint32_t(fminf(fmaxf(high, 0.0f), float(side)))};
}

__device__ inline uint8_t quantize(float c) {
    return uint8_t(fminf(fmaxf(c * 0.99999f * 255.0f, 0.0f), 255.0f));
}

}  // namespace rasterize

// Splats every point into every view and projects it.
//   key(p)              = depth bits << 32 | p              nearest first, then the lowest index
//   nearest[k, pixel]   = max over the points that cover it of ~key    (0, as cleared: background)
//   screen[k, p]        = half - half * (x / w)
// positions [N, 3], cameras [K, 2, 4, 4], nearest [K, side, side] cleared before, screen [K, N, 2].
// One thread per (point, view); grid [N / 256, K]. Inverted keys, so that memory set to zero is an empty image.
// The read ahead of the atomic may be stale, which costs an atomic but changes nothing.
extern "C" __global__ void __launch_bounds__(256)
rasterize_splat(const float* __restrict__ positions, const float* __restrict__ cameras, uint64_t* nearest,
                float* __restrict__ screen, RasterizeDims d) {
    using namespace rasterize;
    const uint32_t index = thread_index(), view = blockIdx.y;
    if (index >= d.points) return;
    const float* camera = cameras + view * CAMERA;
    const float* at = positions + size_t(index) * 3;
    const float p[3] = {at[0], at[1], at[2]};
    const float half = float(d.side) / 2.0f;

    const float w = transform(p, camera + 16, 3);
    float* out = screen + (size_t(view) * d.points + index) * 2;
    out[0] = half - half * (transform(p, camera + 16, 0) / w);
    out[1] = half - half * (transform(p, camera + 16, 1) / w);

    const Splat s = splat(p, camera);
    if (!(s.depth >= 0.0f && isfinite(s.x) && isfinite(s.y))) return;
    // -0 would sort behind every positive depth.
    const uint64_t key = ~(uint64_t(__float_as_uint(s.depth + 0.0f)) << 32 | index);
    const float reach = d.radius * half + 1.0f;
    const Span columns = span(half - half * s.x, reach, d.side), rows = span(half - half * s.y, reach, d.side);
    uint64_t* image = nearest + size_t(view) * d.side * d.side;
    for (uint32_t left = columns.low; left < columns.high; left += COLUMNS) {
        float across[COLUMNS];
        for (uint32_t i = 0; i < COLUMNS; i++) {
            const float dx = pixel_center(left + i, d.side) - s.x;
            across[i] = left + i < columns.high ? dx * dx : INFINITY;
        }
        for (uint32_t row = rows.low; row < rows.high; row++) {
            const float dy = pixel_center(row, d.side) - s.y, down = dy * dy;
            uint64_t* slots = image + size_t(row) * d.side + left;
            for (uint32_t i = 0; i < COLUMNS; i++) {
                if (!(across[i] + down < d.radius * d.radius)) continue;
                if (__ldcg(slots + i) < key) atomicMax(atomic(slots + i), static_cast<unsigned long long>(key));
            }
        }
    }
}

// Reads the winners and colours the images.
//   pixel_to_point[k, pixel] = p or -1
//   image[k, pixel]          = trunc(255 * 0.99999 * alpha c / max(alpha, 1e-4)), alpha = 1 - d^2 / r^2; white: 254
// nearest [K, side, side], positions and colors [N, 3], pixel_to_point [K, side, side], image [K, side, side, 3].
// One thread per (pixel, view); grid [side * side / 256, K]. Colours go through shared memory, so that a warp writes
// whole sectors and not every third byte.
extern "C" __global__ void __launch_bounds__(256)
rasterize_resolve(const uint64_t* __restrict__ nearest, const float* __restrict__ positions,
                  const float* __restrict__ cameras, const float* __restrict__ colors,
                  int32_t* __restrict__ pixel_to_point, uint8_t* __restrict__ image, RasterizeDims d) {
    using namespace rasterize;
    __shared__ uint8_t rgb[3 * 256];
    const uint32_t pixel = thread_index(), pixels = d.side * d.side, view = blockIdx.y;
    const size_t base = size_t(view) * pixels;
    if (pixel < pixels) {
        const uint64_t found = nearest[base + pixel];
        const uint32_t index = uint32_t(~found);
        pixel_to_point[base + pixel] = found == 0 ? -1 : int32_t(index);
        float weight = 1.0f, covered = 1.0f;
        float color[3] = {1.0f, 1.0f, 1.0f};
        if (found != 0) {
            const float* at = positions + size_t(index) * 3;
            const float p[3] = {at[0], at[1], at[2]};
            const Splat s = splat(p, cameras + view * CAMERA);
            const float dx = pixel_center(pixel % d.side, d.side) - s.x;
            const float dy = pixel_center(pixel / d.side, d.side) - s.y;
            weight = 1.0f - (dx * dx + dy * dy) / d.radius_squared;
            covered = fmaxf(weight, 1e-4f);
            for (uint32_t c = 0; c < 3; c++) color[c] = colors[size_t(index) * 3 + c];
        }
        for (uint32_t c = 0; c < 3; c++) rgb[3 * threadIdx.x + c] = quantize(weight * color[c] / covered);
    }
    __syncthreads();
    const uint32_t first = blockIdx.x * 256 * 3, end = min(3 * pixels - first, 3 * 256);
    for (uint32_t i = threadIdx.x; i < end; i += 256) image[base * 3 + first + i] = rgb[i];
}
