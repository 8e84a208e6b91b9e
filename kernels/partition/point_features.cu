// What makes two points alike: their normals and their colours.
#include "common.cuh"

struct PointFeaturesDims {
    uint32_t points;
    // Whether the normal's sign is left out.
    uint32_t sign_free;
    float color_weight;
};

// f = [n, w rgb], or, without the sign, [xx, yy, zz, r xy, r xz, r yz, w rgb] with r = sqrt(2).
// normals [N, 3], colors [N, 3], features [N, 6 or 9]. One thread per value of f, so that a warp's stores lie side by side.
extern "C" __global__ void __launch_bounds__(256)
point_features(const float* __restrict__ normals, const float* __restrict__ colors, float* __restrict__ features,
               PointFeaturesDims d) {
    const uint32_t dimensions = d.sign_free ? 9 : 6, first_color = dimensions - 3;
    const uint64_t at = uint64_t(blockIdx.x) * blockDim.x + threadIdx.x, i = at / dimensions;
    if (i >= d.points) return;
    const uint32_t c = at % dimensions;
    const float* n = normals + 3 * i;
    if (c >= first_color) {
        features[at] = d.color_weight * colors[3 * i + c - first_color];
    } else if (!d.sign_free) {
        features[at] = n[c];
    } else if (c < 3) {
        features[at] = n[c] * n[c];
    } else {
        features[at] = 1.41421356f * n[c == 5 ? 1 : 0] * n[c == 3 ? 1 : 2];
    }
}
