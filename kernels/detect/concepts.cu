// A concept segmenter's boxes and masks (SAM 3): B pairs of a view and a name, Q queries each; M rows are what counts of them,
// pair after pair. The queries are one level of locations, the pairs are images: detection.cu ranks them, queries.cu decodes.
// CPU reference: src/ops/detect/concepts.
#include "detection.cuh"

struct ConceptsDims {
    uint32_t pairs;
    uint32_t queries;
    // Whether there is a presence, and whether the outputs are probabilities.
    uint32_t present;
    uint32_t likely;
    float threshold;
};

struct ConceptsMasksDims {
    uint32_t pairs;
    uint32_t queries;
    uint32_t slots;
    // Side of the logits; height and width of the view; words of a mask.
    uint32_t low;
    uint32_t height, width;
    uint32_t words;
};

struct ConceptsRowsDims {
    uint32_t rows;
    // Names of a view: its pairs.
    uint32_t names;
    // Words of a mask, and of a row of the matrix.
    uint32_t words;
    uint32_t matrix;
    uint32_t max_det;
    float nms;
    float threshold;
};

struct ConceptsKeepDims {
    uint32_t views;
    uint32_t names;
    uint32_t channels;
    uint32_t words;
    uint32_t bytes;
    // The view of the first, and the pixels of each.
    uint32_t view;
    uint32_t pixels;
    // 0: the boxes that were found; 1: the weak ones, which come after them in each view.
    uint32_t weak;
    // Whether four numbers stand in for a feature.
    uint32_t stand_in;
};

namespace concepts {

__device__ inline float probability(float x, uint32_t likely) { return likely != 0 ? x : detection::sigmoid(x); }

// The bilinear logit at a pixel, three taps along each axis (ops::lift::mask).
__device__ inline float sample(const float* logits, uint32_t low, const float* down, const float* across) {
    float sum = 0.0f;
    for (uint32_t i = 0; i < 3; i++, logits += low) {
        sum += down[i] * (across[0] * logits[0] + across[1] * logits[1] + across[2] * logits[2]);
    }
    return sum;
}

}  // namespace concepts

// score = s(logit) s(presence), 0 where it does not exceed the threshold; probabilities = s(presence), 1 without one.
// logits, scores [B, Q], presence, probabilities [B]. One thread per score.
extern "C" __global__ void __launch_bounds__(256)
    concepts_scores(const float* __restrict__ logits, const float* __restrict__ presence, float* __restrict__ scores,
                    float* __restrict__ probabilities, ConceptsDims d) {
    uint32_t i = thread_index();
    if (i >= d.pairs * d.queries) return;
    uint32_t pair = i / d.queries;
    float there = d.present != 0 ? concepts::probability(presence[pair], d.likely) : 1.0f;
    if (i % d.queries == 0) probabilities[pair] = there;
    float score = concepts::probability(logits[i], d.likely) * there;
    scores[i] = score > d.threshold ? score : 0.0f;
}

// The masks of the rows: bit i % 32 of word i / 32 = whether the bilinear logit of pixel i is above 0; area = bits set.
// keys, chosen [B, slots], found [B, 2], logits [B, Q, S, S]; row_first [H], row_weights [H, 3], the same for the W columns;
// masks [M, words], areas [M] cleared before. A warp makes a word; grid [words / 8, M].
extern "C" __global__ void __launch_bounds__(256)
    concepts_masks(const uint64_t* __restrict__ keys, const uint32_t* __restrict__ chosen,
                   const uint32_t* __restrict__ found, const float* __restrict__ logits,
                   const uint32_t* __restrict__ row_first, const float* __restrict__ row_weights,
                   const uint32_t* __restrict__ column_first, const float* __restrict__ column_weights,
                   uint32_t* __restrict__ masks, uint32_t* areas, ConceptsMasksDims d) {
    __shared__ uint32_t sums[256 / WARP];
    uint32_t row = blockIdx.y, pair = 0, at = row;
    while (pair + 1 < d.pairs && at >= found[2 * pair]) at -= found[2 * pair++];
    uint64_t slot = uint64_t(pair) * d.slots + chosen[uint64_t(pair) * d.slots + at];
    const float* own = logits + (uint64_t(pair) * d.queries + detection::location_of(keys[slot])) * d.low * d.low;
    uint32_t warp = threadIdx.x / WARP, word = blockIdx.x * (256 / WARP) + warp;
    uint32_t pixel = word * WARP + threadIdx.x % WARP;
    bool inside = false;
    if (pixel < d.height * d.width) {
        uint32_t y = pixel / d.width, x = pixel % d.width;
        const float* from = own + uint64_t(row_first[y]) * d.low + column_first[x];
        inside = concepts::sample(from, d.low, row_weights + 3 * y, column_weights + 3 * x) > 0.0f;
    }
    uint32_t bits = __ballot_sync(ALL_LANES, inside);
    if (threadIdx.x % WARP == 0) {
        if (word < d.words) masks[uint64_t(row) * d.words + word] = bits;
        sums[warp] = __popc(bits);
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    uint32_t sum = 0;
    for (uint32_t w = 0; w < 256 / WARP; ++w) sum += sums[w];
    if (sum != 0) atomicAdd(areas + row, sum);
}

// The rows of each view by descending score, ties by name, then by rank within the name: by row.
// pairs, scores, order [M], begin [V + 1] the first row of each view. One thread per row; there are few in a view.
extern "C" __global__ void __launch_bounds__(256)
    concepts_order(const uint32_t* __restrict__ pairs, const float* __restrict__ scores,
                   const uint32_t* __restrict__ begin, uint32_t* __restrict__ order, ConceptsRowsDims d) {
    uint32_t own = thread_index();
    if (own >= d.rows) return;
    uint32_t view = pairs[own] / d.names, first = begin[view], before = 0;
    float mine = scores[own];
    for (uint32_t r = first; r < begin[view + 1]; ++r) before += scores[r] > mine || (scores[r] == mine && r < own);
    order[first + before] = own;
}

// beats[i] bit j: of the rows of one view in their order, i comes before j and their masks' IoU exceeds nms.
// order, pairs, areas [M], begin [V + 1], masks [M, words], beats [M, matrix]. One block per i; a warp makes a word.
extern "C" __global__ void __launch_bounds__(256)
    concepts_overlap(const uint32_t* __restrict__ order, const uint32_t* __restrict__ pairs,
                     const uint32_t* __restrict__ begin, const uint32_t* __restrict__ masks,
                     const uint32_t* __restrict__ areas, uint32_t* __restrict__ beats, ConceptsRowsDims d) {
    uint32_t row = order[blockIdx.x], view = pairs[row] / d.names, first = begin[view];
    uint32_t count = begin[view + 1] - first, i = blockIdx.x - first;
    uint32_t lane = threadIdx.x % WARP;
    const uint32_t* mine = masks + uint64_t(row) * d.words;
    double area = areas[row];
    for (uint32_t w = threadIdx.x / WARP; w * WARP < count; w += 256 / WARP) {
        uint32_t bits = 0;
        for (uint32_t j = max(w * WARP, i + 1); j < min(w * WARP + WARP, count); ++j) {
            uint32_t other = order[first + j];
            const uint32_t* its = masks + uint64_t(other) * d.words;
            uint32_t some = 0;
            for (uint32_t k = lane; k < d.words; k += WARP) some += __popc(mine[k] & its[k]);
            double shared = warp_sum(some);
            if (shared > double(d.nms) * (area + double(areas[other]) - shared)) bits |= 1u << j % WARP;
        }
        if (lane == 0) beats[uint64_t(blockIdx.x) * d.matrix + w] = bits;
    }
}

// The rows of each view that no row that remains beats, at most max_det and those as strong as the last.
// order, scores [M], begin [V + 1], beats [M, matrix], beaten [M] scratch; kept [M], those of a view from its first row on;
// counts [V, 2] how many of them exceed the threshold, and how many do not. One block per view.
extern "C" __global__ void __launch_bounds__(256)
    concepts_suppress(const uint32_t* __restrict__ order, const float* __restrict__ scores,
                      const uint32_t* __restrict__ begin, const uint32_t* __restrict__ beats, uint32_t* beaten,
                      uint32_t* __restrict__ kept, uint32_t* __restrict__ counts, ConceptsRowsDims d) {
    uint32_t view = blockIdx.x, first = begin[view], count = begin[view + 1] - first;
    for (uint32_t i = threadIdx.x; i < count; i += 256) beaten[first + i] = 0;
    for (uint32_t i = 0; i < count; ++i) {
        __syncthreads();
        if (beaten[first + i] != 0) continue;
        const uint32_t* row = beats + uint64_t(first + i) * d.matrix;
        for (uint32_t j = i + 1 + threadIdx.x; j < count; j += 256) {
            if (row[j / WARP] >> j % WARP & 1) beaten[first + j] = 1;
        }
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    uint32_t remaining = 0, found = 0;
    float last = 0.0f;
    for (uint32_t i = 0; i < count; ++i) {
        if (beaten[first + i] != 0) continue;
        float score = scores[order[first + i]];
        if (remaining >= d.max_det && score < last) break;
        last = score;
        kept[first + remaining++] = order[first + i];
        found += score > d.threshold;
    }
    counts[2 * view] = found;
    counts[2 * view + 1] = remaining - found;
}

// The boxes that remain, views ascending, descending score within each.
// begin [V + 1], kept [M], counts [V, 2]; of the rows: pairs, row_scores, areas [M], row_bboxes, row_rects [M, 4], row_features
// [M, C], masks [M, words]; probabilities [V names]; views, parts, scores [B], bboxes, rects [B, 4], features [B, C], bits
// [B, bytes]. One block per box.
extern "C" __global__ void __launch_bounds__(256)
    concepts_keep(const uint32_t* __restrict__ begin, const uint32_t* __restrict__ kept,
                  const uint32_t* __restrict__ counts, const uint32_t* __restrict__ pairs,
                  const float* __restrict__ row_scores, const float* __restrict__ row_bboxes,
                  const float* __restrict__ row_rects, const float* __restrict__ row_features,
                  const uint32_t* __restrict__ masks, const uint32_t* __restrict__ areas,
                  const float* __restrict__ probabilities, uint32_t* __restrict__ views,
                  uint32_t* __restrict__ parts, float* __restrict__ scores, float* __restrict__ bboxes,
                  float* __restrict__ rects, float* __restrict__ features, uint8_t* __restrict__ bits,
                  ConceptsKeepDims d) {
    uint32_t view = 0, at = blockIdx.x;
    while (view + 1 < d.views && at >= counts[2 * view + d.weak]) at -= counts[2 * view++ + d.weak];
    if (d.weak != 0) at += counts[2 * view];
    uint64_t row = kept[begin[view] + at], box = blockIdx.x;
    if (threadIdx.x == 0) {
        uint32_t pair = pairs[row];
        float4 bbox = reinterpret_cast<const float4*>(row_bboxes)[row];
        float4 rect = reinterpret_cast<const float4*>(row_rects)[row];
        views[box] = d.view + view;
        parts[box] = pair % d.names;
        scores[box] = row_scores[row];
        reinterpret_cast<float4*>(bboxes)[box] = bbox;
        reinterpret_cast<float4*>(rects)[box] = rect;
        if (d.stand_in != 0) {
            float area = float(areas[row]), room = bbox.z * bbox.w;
            float4 stand_in = {row_scores[row], probabilities[pair], area / float(d.pixels),
                               room > 0.0f ? area / room : 0.0f};
            reinterpret_cast<float4*>(features)[box] = stand_in;
        }
    }
    for (uint32_t c = threadIdx.x; c < d.channels; c += 256) {
        features[box * d.channels + c] = row_features[row * d.channels + c];
    }
    const uint32_t* mask = masks + row * d.words;
    for (uint32_t i = threadIdx.x; i < d.bytes; i += 256) bits[box * d.bytes + i] = uint8_t(mask[i / 4] >> i % 4 * 8);
}
