// A query detector's scores and boxes (GroundingDINO, OWL-ViT): N images, Q queries, L tokens, P parts. The queries are
// one level of locations.
// CPU reference: src/ops/detect/queries.rs.
#include "detection.cuh"

struct QueriesDims {
    uint32_t images;
    uint32_t queries;
    uint32_t tokens;
    uint32_t parts;
    uint32_t slots;
    // Of a part's tokens: 0 = their mean, 1 = the largest.
    uint32_t largest;
    // Of the boxes: 0 = centre and size, 1 = corners, in parts of the input; 2 = corners in its pixels.
    uint32_t form;
    float threshold;
    // The head's input, and the image's last column and row within it.
    float width, height, last_x, last_y;
};

// The mean or the largest of sigmoid(x[t]) over the part's tokens t, 0 where it does not exceed the threshold.
// logits [N, Q, L], part_tokens [P, 2] first and end, scores [N, Q, P]. One thread per score.
extern "C" __global__ void __launch_bounds__(256)
    queries_scores(const float* __restrict__ logits, const uint32_t* __restrict__ part_tokens,
                   float* __restrict__ scores, QueriesDims d) {
    uint32_t i = thread_index();
    if (i >= d.images * d.queries * d.parts) return;
    uint32_t query = i / d.parts, part = i % d.parts;
    uint32_t first = part_tokens[2 * part], end = part_tokens[2 * part + 1];
    const float* row = logits + uint64_t(query) * d.tokens;
    float sum = 0.0f, most = 0.0f;
    for (uint32_t t = first; t < end; ++t) {
        float probability = detection::sigmoid(row[t]);
        sum += probability;
        most = fmaxf(most, probability);
    }
    float score = d.largest != 0 ? most : sum / float(end - first);
    scores[i] = score > d.threshold ? score : 0.0f;
}

// The boxes of the ranked candidates: to corners in pixels of the head's input, clipped.
// keys [N, M], part_begin [N, P + 1], boxes [N, Q, 4], corners [N, M, 4]. One thread per slot.
extern "C" __global__ void __launch_bounds__(256)
    queries_decode(const uint64_t* __restrict__ keys, const uint32_t* __restrict__ part_begin,
                   const float* __restrict__ boxes, float* __restrict__ corners, QueriesDims d) {
    uint32_t image = blockIdx.y, own = thread_index();
    if (own >= part_begin[image * (d.parts + 1) + d.parts]) return;
    uint64_t slot = uint64_t(image) * d.slots + own;
    uint32_t query = detection::location_of(keys[slot]);
    float4 box = reinterpret_cast<const float4*>(boxes)[uint64_t(image) * d.queries + query];
    if (d.form == 0) {
        box = {box.x - box.z / 2.0f, box.y - box.w / 2.0f, box.x + box.z / 2.0f, box.y + box.w / 2.0f};
    }
    float width = d.form == 2 ? 1.0f : d.width, height = d.form == 2 ? 1.0f : d.height;
    reinterpret_cast<float4*>(corners)[slot] = {
        detection::clip(box.x * width, d.last_x), detection::clip(box.y * height, d.last_y),
        detection::clip(box.z * width, d.last_x), detection::clip(box.w * height, d.last_y)};
}
