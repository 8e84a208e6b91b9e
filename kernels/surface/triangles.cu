// Face rasterization: which face each pixel of every view shows. CPU reference: src/ops/surface/triangles.
#include "common.cuh"

struct TrianglesDims {
    uint32_t faces;  // F
    uint32_t side;   // pixels along each side
    uint32_t both;   // whether faces that are turned away are drawn too
};

namespace triangles {

constexpr float FOCAL = 1.7320508f;
constexpr float SCALE = 1000.0f;
constexpr uint32_t CAMERA = 12;  // floats: world to camera [4, 3]

struct Place {
    float x, y;
};

// p * m for row vectors, column j.
__device__ inline float transform(const float* p, const float* m, uint32_t j) {
    return p[0] * m[j] + p[1] * m[3 + j] + p[2] * m[6 + j] + m[9 + j];
}

__device__ inline float cross(Place a, Place b) { return a.x * b.y - a.y * b.x; }

// Where the centre of column c or, counted from below, row c lies.
__device__ inline float centre(uint32_t c, uint32_t side) {
    return SCALE / float(side) * (2.0f * float(c) + 1.0f - float(side));
}

// The pixels whose centre may lie between two places: [low, high).
struct Span {
    uint32_t low, high;
};

__device__ inline Span span(float low, float high, uint32_t side) {
    const float all = float(side);
    low = ceilf((low / SCALE + 1.0f) * 0.5f * all - 0.6f);
    high = ceilf((high / SCALE + 1.0f) * 0.5f * all - 0.4f);
    return {uint32_t(fminf(fmaxf(low, 0.0f), all)), uint32_t(fminf(fmaxf(high, 0.0f), all))};
}

// Orders floats as integers; both zeros are one.
__device__ inline uint32_t ordered(float x) {
    const uint32_t bits = __float_as_uint(x + 0.0f);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

}  // namespace triangles

// Draws every face into every view.
//   shown[k, pixel] = max over the faces that cover it of (depth, ordered) << 32 | ~face    (0, as cleared: background)
// vertices [V, 3], faces [F, 3], cameras [K, 4, 3], shown [K, side, side] cleared before.
// One warp per (face, view), its lanes over the pixels of the box around the face; grid [F / 8, K]. The read ahead of the
// atomic may be stale, which costs an atomic but changes nothing.
extern "C" __global__ void __launch_bounds__(256)
triangles_draw(const float* __restrict__ vertices, const uint32_t* __restrict__ faces, const float* __restrict__ cameras,
               uint64_t* shown, TrianglesDims d) {
    using namespace triangles;
    const uint32_t face = thread_index() / WARP, view = blockIdx.y;
    if (face >= d.faces) return;
    const float* camera = cameras + view * CAMERA;
    float x[3], y[3], z[3];
    for (uint32_t corner = 0; corner < 3; ++corner) {
        const float* p = vertices + size_t(faces[size_t(face) * 3 + corner]) * 3;
        x[corner] = transform(p, camera, 0);
        y[corner] = transform(p, camera, 1);
        z[corner] = transform(p, camera, 2);
    }
    const float turned = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0]);
    if (!d.both && !(turned >= 0.0f)) return;
    Place at[3];
    for (uint32_t corner = 0; corner < 3; ++corner) {
        at[corner] = {SCALE * (FOCAL * x[corner] / -z[corner]), SCALE * (FOCAL * y[corner] / -z[corner])};
        if (!(isfinite(at[corner].x) && isfinite(at[corner].y) && isfinite(z[corner]))) return;
    }
    const float left = fminf(fminf(at[0].x, at[1].x), at[2].x), right = fmaxf(fmaxf(at[0].x, at[1].x), at[2].x);
    const float low = fminf(fminf(at[0].y, at[1].y), at[2].y), high = fmaxf(fmaxf(at[0].y, at[1].y), at[2].y);
    const Span columns = span(left, right, d.side), rows = span(low, high, d.side);
    if (columns.low >= columns.high || rows.low >= rows.high) return;
    const uint32_t width = columns.high - columns.low, pixels = width * (rows.high - rows.low);
    uint64_t* image = shown + size_t(view) * d.side * d.side;
    for (uint32_t i = threadIdx.x % WARP; i < pixels; i += WARP) {
        const uint32_t column = columns.low + i % width, up = rows.low + i / width;
        const float px = centre(column, d.side), py = centre(up, d.side);
        if (!(left <= px && px < right && low <= py && py < high)) continue;
        Place to[3];
        for (uint32_t corner = 0; corner < 3; ++corner) to[corner] = {at[corner].x - px, at[corner].y - py};
        float w[3] = {cross(to[1], to[2]), cross(to[2], to[0]), cross(to[0], to[1])};
        float sum = w[0] + w[1] + w[2];
        sum = sum + copysignf(1e-8f, sum);
        for (float& weight : w) weight = weight / sum;
        if (!(w[0] >= 0.0f && w[1] >= 0.0f && w[2] >= 0.0f)) continue;
        const float depth = w[0] * z[0] + w[1] * z[1] + w[2] * z[2];
        if (!(depth > -INFINITY)) continue;
        const uint64_t key = uint64_t(ordered(depth)) << 32 | uint32_t(~face);
        uint64_t* slot = image + size_t(d.side - 1 - up) * d.side + column;
        if (__ldcg(slot) < key) atomicMax(atomic(slot), static_cast<unsigned long long>(key));
    }
}

// maps[k, pixel] = the face of the key, -1 where nothing was drawn.
// shown, maps [K, side, side]. One thread per (pixel, view); grid [pixels / 256, K].
extern "C" __global__ void __launch_bounds__(256)
triangles_resolve(const uint64_t* __restrict__ shown, int32_t* __restrict__ maps, TrianglesDims d) {
    const uint32_t pixel = thread_index(), pixels = d.side * d.side;
    if (pixel >= pixels) return;
    const size_t at = size_t(blockIdx.y) * pixels + pixel;
    maps[at] = shown[at] == 0 ? -1 : int32_t(~uint32_t(shown[at]));
}
