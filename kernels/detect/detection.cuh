// What the detection kernels share: sort keys of candidates, scores and boxes.
#pragma once
#include "block.cuh"

namespace detection {

// Orders by part, then descending score, then location.
__device__ inline uint64_t slot_key(uint32_t part, float score, uint32_t location) {
    return uint64_t(part) << 56 | uint64_t(~__float_as_uint(score)) << 24 | location;
}
__device__ inline uint32_t part_of(uint64_t key) { return uint32_t(key >> 56); }
__device__ inline uint32_t inverse_score_of(uint64_t key) { return uint32_t(key >> 24); }
__device__ inline float score_of(uint64_t key) { return __uint_as_float(~inverse_score_of(key)); }
__device__ inline uint32_t location_of(uint64_t key) { return uint32_t(key) % (1u << 24); }
// After every other.
constexpr uint64_t NOBODY = ~uint64_t(0);

// e^x to about an ulp, in the operations of the CPU reference (ops/detection.rs), so that no device disagrees.
__device__ inline float exp(float x) {
    x = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    // The sum leaves the integer nearest to x / ln 2 in its lowest bits.
    float shifted = x * 1.44269504f + 12582912.0f;
    uint32_t exponent = __float_as_uint(shifted) - 0x4b400000u + 127u;
    float n = shifted - 12582912.0f;
    float r = x - n * 0.6933594f - n * -2.1219444e-4f;
    float y = 1.9875691e-4f;
    y = y * r + 1.3981999e-3f;
    y = y * r + 8.333452e-3f;
    y = y * r + 4.1665796e-2f;
    y = y * r + 1.6666666e-1f;
    y = y * r + 0.5f;
    y = y * (r * r) + r + 1.0f;
    return y * __uint_as_float(exponent << 23);
}

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + exp(-x)); }

// Not fminf and fmaxf, which would hide what is not a number.
__device__ inline float clip(float x, float last) { return x < 0.0f ? 0.0f : x > last ? last : x; }

__device__ inline float iou(float4 a, float4 b) {
    float width = fmaxf(fminf(a.z, b.z) - fmaxf(a.x, b.x) + 1.0f, 0.0f);
    float height = fmaxf(fminf(a.w, b.w) - fmaxf(a.y, b.y) + 1.0f, 0.0f);
    float shared = width * height;
    float area_a = (a.z - a.x + 1.0f) * (a.w - a.y + 1.0f);
    float area_b = (b.z - b.x + 1.0f) * (b.w - b.y + 1.0f);
    return shared / (area_a + area_b - shared);
}

}  // namespace detection
