// Masks of logits: bits, pixels and boxes. CPU reference: src/ops/detect/candidates.rs.
#include "taps.cuh"

struct CandidatesDims {
    float offset;    // of the logits that stability compares
    uint32_t side;   // pixels along each side of the image
    uint32_t words;  // of a mask
};

// Bit i % 32 of bits[c, i / 32] = whether the logit of pixel i is above 0; counts[c] = pixels above 0, the offset and minus the
// offset; sides[c] = the most of ~left, ~top, right and bottom over the pixels above 0.
// logits [C, 256, 256], tap_first [side], tap_weights [side, 3], bits [C, words]; counts [C, 3] and sides [C, 4] cleared before.
// A warp takes 32 pixels at a time; grid [few, C].
extern "C" __global__ void __launch_bounds__(256)
candidates_measure(const float* __restrict__ logits, const uint32_t* __restrict__ tap_first,
                   const float* __restrict__ tap_weights, uint32_t* __restrict__ bits, uint32_t* __restrict__ counts,
                   uint32_t* __restrict__ sides, CandidatesDims d) {
    const uint32_t lane = threadIdx.x % WARP, mask = blockIdx.y, pixels = d.side * d.side;
    const float* of_mask = logits + size_t(mask) * 256 * 256;
    uint32_t area = 0, above = 0, likely = 0, left = 0, top = 0, right = 0, bottom = 0;
    for (uint32_t word = thread_index() / WARP; word < d.words; word += gridDim.x * blockDim.x / WARP) {
        const uint32_t pixel = word * WARP + lane;
        const bool there = pixel < pixels;
        const uint32_t x = there ? pixel % d.side : 0, y = there ? pixel / d.side : 0;
        float across[3], down[3];
        for (uint32_t i = 0; i < 3; i++) across[i] = tap_weights[3 * x + i], down[i] = tap_weights[3 * y + i];
        const float logit = tapped(of_mask + tap_first[y] * 256 + tap_first[x], across, down);
        above += there && logit > d.offset;
        likely += there && logit > -d.offset;
        const bool inside = there && logit > 0.0f;
        const uint32_t held = __ballot_sync(ALL_LANES, inside);
        if (lane == 0) bits[size_t(mask) * d.words + word] = held;
        if (inside) {
            area += 1;
            left = max(left, ~x), top = max(top, ~y), right = max(right, x), bottom = max(bottom, y);
        }
    }
    area = warp_sum(area), above = warp_sum(above), likely = warp_sum(likely);
    left = __reduce_max_sync(ALL_LANES, left), top = __reduce_max_sync(ALL_LANES, top);
    right = __reduce_max_sync(ALL_LANES, right), bottom = __reduce_max_sync(ALL_LANES, bottom);
    if (lane != 0) return;
    atomicAdd(counts + 3 * mask, area);
    atomicAdd(counts + 3 * mask + 1, above);
    atomicAdd(counts + 3 * mask + 2, likely);
    atomicMax(sides + 4 * mask, left);
    atomicMax(sides + 4 * mask + 1, top);
    atomicMax(sides + 4 * mask + 2, right);
    atomicMax(sides + 4 * mask + 3, bottom);
}
