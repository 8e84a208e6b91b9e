// A dense grounding head's scores and boxes (GLIP's ATSS): N images, A locations of V levels, L tokens, P parts.
// CPU reference: src/ops/detect/atss.
#include "detection.cuh"

struct AtssDims {
    uint32_t images;
    uint32_t locations;
    uint32_t tokens;
    uint32_t parts;
    uint32_t levels;
    uint32_t slots;
    float pre_nms;
    float threshold;
    // Divisors of dx, dy, dw, dh.
    float weight_x, weight_y, weight_w, weight_h;
    // The image's last column and row within the head's input.
    float last_x, last_y;
};

// p = mean of sigmoid(x[t]) over the part's tokens t; score = sqrt(p sigmoid(c)) if p > pre_nms, 0 where it is none or
// does not exceed the threshold.
// logits [N, A, L], centerness [N, A], part_tokens [P, 2] first and end, scores [N, A, P]. One thread per score: the
// threads of one location read its tokens side by side.
extern "C" __global__ void __launch_bounds__(256)
    atss_scores(const float* __restrict__ logits, const float* __restrict__ centerness,
                const uint32_t* __restrict__ part_tokens, float* __restrict__ scores, AtssDims d) {
    uint32_t i = thread_index();
    if (i >= d.images * d.locations * d.parts) return;
    uint32_t location = i / d.parts, part = i % d.parts;
    uint32_t first = part_tokens[2 * part], end = part_tokens[2 * part + 1];
    const float* row = logits + uint64_t(location) * d.tokens;
    float sum = 0.0f;
    for (uint32_t t = first; t < end; ++t) sum += detection::sigmoid(row[t]);
    float probability = sum / float(end - first);
    float score = probability > d.pre_nms ? sqrtf(probability * detection::sigmoid(centerness[location])) : 0.0f;
    scores[i] = score > d.threshold ? score : 0.0f;
}

// The boxes of the ranked candidates: centre + side d_xy / w_xy -+ (side exp(d_wh / w_wh) - 1) / 2, d_wh / w_wh at most
// ln(1000 / 16), clipped.
// keys [N, M], part_begin [N, P + 1], regression [N, A, 4], levels [V, 4] stride, anchor, columns, first location;
// corners [N, M, 4]. One thread per slot.
extern "C" __global__ void __launch_bounds__(256)
    atss_decode(const uint64_t* __restrict__ keys, const uint32_t* __restrict__ part_begin,
                const float* __restrict__ regression, const uint32_t* __restrict__ levels,
                float* __restrict__ corners, AtssDims d) {
    uint32_t image = blockIdx.y, own = thread_index();
    if (own >= part_begin[image * (d.parts + 1) + d.parts]) return;
    uint64_t slot = uint64_t(image) * d.slots + own;
    uint32_t location = detection::location_of(keys[slot]), last = d.levels - 1;
    while (levels[4 * last + 3] > location) --last;
    const uint32_t* level = levels + 4 * last;
    uint32_t stride = level[0], columns = level[2], within = location - level[3];
    float side = float(level[1]), half = (float(stride) - 1.0f) / 2.0f;
    float4 delta = reinterpret_cast<const float4*>(regression)[uint64_t(image) * d.locations + location];
    constexpr float LARGEST = 4.1351666f;  // ln(1000 / 16)
    float x = delta.x / d.weight_x * side + (half + float(within % columns * stride));
    float y = delta.y / d.weight_y * side + (half + float(within / columns * stride));
    float reach_x = 0.5f * (detection::exp(fminf(delta.z / d.weight_w, LARGEST)) * side - 1.0f);
    float reach_y = 0.5f * (detection::exp(fminf(delta.w / d.weight_h, LARGEST)) * side - 1.0f);
    reinterpret_cast<float4*>(corners)[slot] = {
        detection::clip(x - reach_x, d.last_x), detection::clip(y - reach_y, d.last_y),
        detection::clip(x + reach_x, d.last_x), detection::clip(y + reach_y, d.last_y)};
}
