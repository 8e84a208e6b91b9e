// What makes two points alike: their normals and their colours.
#include "common.cuh"

struct PointFeaturesDims {
    uint32_t points;
    // Whether the normal's sign is left out.
    uint32_t sign_free;
    float color_weight;
};

// f = [n, w rgb], or, without the sign, [xx, yy, zz, r xy, r xz, r yz, w rgb] with r = sqrt(2).
// normals [N, 3], colors [N, 3], features [N, 6 or 9]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
    point_features(const float* __restrict__ normals, const float* __restrict__ colors, float* __restrict__ features,
                   PointFeaturesDims d) {
    uint32_t i = thread_index();
    if (i >= d.points) return;
    float x = normals[3 * i], y = normals[3 * i + 1], z = normals[3 * i + 2];
    float* to = features + uint64_t(i) * (d.sign_free ? 9 : 6);
    if (d.sign_free) {
        constexpr float R = 1.41421356f;
        to[0] = x * x, to[1] = y * y, to[2] = z * z;
        to[3] = R * x * y, to[4] = R * x * z, to[5] = R * y * z;
        to += 6;
    } else {
        to[0] = x, to[1] = y, to[2] = z;
        to += 3;
    }
    for (uint32_t c = 0; c < 3; ++c) to[c] = d.color_weight * colors[3 * i + c];
}
