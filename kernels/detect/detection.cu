// From a head's scores and boxes to what is found, all images of a batch at once: what the heads share.
//
// N images, A locations of V levels, P parts; M = V top_n slots for the candidates of an image. atss.cu or queries.cu
// scores, two launches choose and rank, atss.cu or queries.cu decodes, two launches suppress and order; their sizes depend
// on nothing that was found. The number of boxes of each image goes to the host, which launches the last.
// CPU reference: src/ops/detect/detection.
#include "detection.cuh"

struct DetectionDims {
    uint32_t locations;
    uint32_t parts;
    uint32_t levels;
    uint32_t top_n;
    uint32_t max_det;
    float nms;
    // Of the boxes that remain, those of a higher score are found, the others weak.
    float threshold;
};

// The top_n largest scores above 0 of each level, ties to the lowest index, in ascending order of their indices.
// scores [N, A, P], levels [V, 2] first location, locations; candidates [N, V, top_n] indices below A P, counts [N, V],
// found [N, 2], set to zero for later. One block per level and image: if not all can enter, four passes
// of a radix selection find the least value that does; then the chosen are packed.
extern "C" __global__ void __launch_bounds__(1024)
    detection_select(const float* __restrict__ scores, const uint32_t* __restrict__ levels,
                     uint32_t* __restrict__ candidates, uint32_t* __restrict__ counts, uint32_t* __restrict__ found,
                     DetectionDims d) {
    constexpr uint32_t THREADS = 1024, ITEMS = 4;
    __shared__ uint32_t sums[THREADS / WARP];
    __shared__ uint32_t histogram[256];
    __shared__ uint32_t chosen_digit;
    __shared__ uint32_t above_digit;
    uint32_t level = blockIdx.x, image = blockIdx.y;
    uint32_t begin = levels[2 * level] * d.parts, length = levels[2 * level + 1] * d.parts;
    const float* own = scores + uint64_t(image) * d.locations * d.parts + begin;
    if (level == 0 && threadIdx.x < 2) found[2 * image + threadIdx.x] = 0;

    uint32_t some = 0, total;
    for (uint32_t i = threadIdx.x; i < length; i += THREADS) some += own[i] > 0.0f;
    warps_before(warp_sum(some), sums, total);

    // Enter: bits above `least`, and the first `ties` of those equal to it.
    uint32_t least = 0, ties = 0;
    if (total > d.top_n) {
        ties = d.top_n;
        for (uint32_t shift = 32; shift > 0;) {
            shift -= 8;
            uint32_t known = shift == 24 ? 0 : ~0u << (shift + 8);
            if (threadIdx.x < 256) histogram[threadIdx.x] = 0;
            __syncthreads();
            for (uint32_t i = threadIdx.x; i < length; i += THREADS) {
                uint32_t bits = __float_as_uint(own[i]);
                if (bits != 0 && (bits & known) == least) atomicAdd(&histogram[bits >> shift & 255], 1u);
            }
            __syncthreads();
            // The digit above which there are fewer than `ties`, and with which there are enough.
            uint32_t count = threadIdx.x < 256 ? histogram[255 - threadIdx.x] : 0, all;
            uint32_t above = block_exclusive(count, sums, all);
            if (threadIdx.x < 256 && above < ties && ties <= above + count) {
                chosen_digit = 255 - threadIdx.x;
                above_digit = above;
            }
            __syncthreads();
            least |= chosen_digit << shift;
            ties -= above_digit;
        }
    }

    uint32_t slot = level + image * d.levels;
    uint32_t* into = candidates + uint64_t(slot) * d.top_n;
    uint32_t above_before = 0, ties_before = 0;
    for (uint32_t tile = 0; tile < length; tile += THREADS * ITEMS) {
        uint32_t first = tile + threadIdx.x * ITEMS;
        // Above in the lower half, ties in the upper: a tile has at most 4096 of both together.
        uint32_t flags[ITEMS], mine = 0;
        for (uint32_t item = 0; item < ITEMS; ++item) {
            uint32_t bits = first + item < length ? __float_as_uint(own[first + item]) : 0;
            flags[item] = bits > least ? 1 : bits == least && bits != 0 ? 1 << 16 : 0;
            mine += flags[item];
        }
        __syncthreads();
        uint32_t all;
        uint32_t before = block_exclusive(mine, sums, all);
        for (uint32_t item = 0; item < ITEMS; ++item) {
            uint32_t tie = ties_before + (before >> 16);
            if (flags[item] == 1 || (flags[item] != 0 && tie < ties)) {
                into[above_before + before % (1 << 16) + min(tie, ties)] = begin + first + item;
            }
            before += flags[item];
        }
        above_before += all % (1 << 16);
        ties_before += all >> 16;
    }
    if (threadIdx.x == 0) counts[slot] = above_before + min(ties_before, ties);
}

// Puts the candidates of each image in the order of part, descending score, location.
// candidates [N, V, top_n], counts [N, V], scores [N, A, P]; keys [N, M], part_begin [N, P + 1] where each part's slots
// begin. One thread per candidate, then one per bound of a part; a rank is the number of lower keys, all of which pass
// through shared memory.
extern "C" __global__ void __launch_bounds__(256)
    detection_rank(const uint32_t* __restrict__ candidates, const uint32_t* __restrict__ counts,
                   const float* __restrict__ scores, uint64_t* __restrict__ keys, uint32_t* __restrict__ part_begin,
                   DetectionDims d) {
    constexpr uint32_t THREADS = 256;
    __shared__ uint64_t tile_keys[THREADS];
    uint32_t image = blockIdx.y, slots = d.levels * d.top_n;
    const uint32_t* count = counts + image * d.levels;
    const float* score = scores + uint64_t(image) * d.locations * d.parts;
    auto key_at = [&](uint32_t slot) {
        if (slot >= slots || slot % d.top_n >= count[slot / d.top_n]) return detection::NOBODY;
        uint32_t index = candidates[uint64_t(image) * slots + slot];
        return detection::slot_key(index % d.parts, score[index], index / d.parts);
    };
    uint32_t own = thread_index();
    // Beyond the candidates: where part j begins.
    bool bound = own >= slots && own <= slots + d.parts;
    uint64_t key = bound ? uint64_t(own - slots) << 56 : key_at(own);
    if (!__syncthreads_or(key != detection::NOBODY)) return;
    uint32_t rank = 0;
    for (uint32_t level = 0; level < d.levels; ++level) {
        for (uint32_t first = 0; first < count[level]; first += THREADS) {
            uint32_t in_tile = min(count[level] - first, THREADS);
            if (threadIdx.x < in_tile) tile_keys[threadIdx.x] = key_at(level * d.top_n + first + threadIdx.x);
            __syncthreads();
            for (uint32_t i = 0; i < in_tile; ++i) rank += tile_keys[i] < key;
            __syncthreads();
        }
    }
    if (bound) {
        part_begin[image * (d.parts + 1) + own - slots] = rank;
    } else if (key != detection::NOBODY) {
        keys[uint64_t(image) * slots + rank] = key;
    }
}

// Non-maximum suppression within each part, by descending score: a box goes if its IoU with a survivor exceeds nms.
// keys [N, M], NOBODY for those that go; corners [N, M, 4]; part_begin [N, P + 1]; kept [N, M] scratch: the survivors'
// slots, from each part's first slot on. One block per part and image, 32 boxes at a time: all warps compare them with
// the survivors so far, then the first warp with each other.
extern "C" __global__ void __launch_bounds__(256)
    detection_suppress(uint64_t* __restrict__ keys, const float* __restrict__ corners,
                       const uint32_t* __restrict__ part_begin, uint32_t* kept, DetectionDims d) {
    constexpr uint32_t WARPS = 256 / WARP;
    __shared__ uint32_t beaten;
    __shared__ uint32_t survivors;
    uint32_t part = blockIdx.x, image = blockIdx.y, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    uint64_t slots = uint64_t(image) * d.levels * d.top_n;
    const uint32_t* bounds = part_begin + image * (d.parts + 1) + part;
    uint32_t begin = bounds[0], end = bounds[1];
    const float4* box = reinterpret_cast<const float4*>(corners) + slots;
    uint32_t* list = kept + slots + begin;
    if (threadIdx.x == 0) survivors = 0;
    for (uint32_t tile = begin; tile < end; tile += WARP) {
        uint32_t slot = min(tile + lane, end - 1);
        float4 mine = box[slot];
        if (threadIdx.x == 0) beaten = 0;
        __syncthreads();
        uint32_t before = survivors;
        bool loses = false;
        for (uint32_t i = warp; i < before; i += WARPS) loses |= detection::iou(box[list[i]], mine) > d.nms;
        uint32_t losers = __ballot_sync(ALL_LANES, loses);
        if (lane == 0 && losers != 0) atomicOr(&beaten, losers);
        __syncthreads();
        if (warp == 0) {
            uint32_t alive = __ballot_sync(ALL_LANES, tile + lane < end) & ~beaten;
            for (uint32_t i = 0; i < WARP; ++i) {
                if ((alive >> i & 1) == 0) continue;
                float4 stronger = {__shfl_sync(ALL_LANES, mine.x, i), __shfl_sync(ALL_LANES, mine.y, i),
                                   __shfl_sync(ALL_LANES, mine.z, i), __shfl_sync(ALL_LANES, mine.w, i)};
                alive &= ~__ballot_sync(ALL_LANES, lane > i && detection::iou(stronger, mine) > d.nms);
            }
            if (alive >> lane & 1) {
                list[before + __popc(alive & ((1u << lane) - 1))] = slot;
            } else if (tile + lane < end) {
                keys[slots + slot] = detection::NOBODY;
            }
            if (lane == 0) survivors = before + __popc(alive);
        }
        __syncthreads();
    }
}

// The survivors of each image by descending score, ties by location, then part; a survivor stays if fewer than max_det
// have a higher score.
// keys [N, M], part_begin [N, P + 1]; chosen [N, M] slots; found [N, 2] how many are found and how many weak, zero at
// first. One thread per slot; ranks as in detection_rank.
extern "C" __global__ void __launch_bounds__(256)
    detection_order(const uint64_t* __restrict__ keys, const uint32_t* __restrict__ part_begin,
                    uint32_t* __restrict__ chosen, uint32_t* __restrict__ found, DetectionDims d) {
    constexpr uint32_t THREADS = 256;
    __shared__ uint64_t tile_keys[THREADS];
    uint32_t image = blockIdx.y;
    uint64_t slots = uint64_t(image) * d.levels * d.top_n;
    uint32_t count = part_begin[image * (d.parts + 1) + d.parts];
    if (blockIdx.x * THREADS >= count) return;
    auto key_at = [&](uint32_t slot) {
        uint64_t key = slot < count ? keys[slots + slot] : detection::NOBODY;
        if (key == detection::NOBODY) return key;
        uint32_t index = detection::location_of(key) * d.parts + detection::part_of(key);
        return uint64_t(detection::inverse_score_of(key)) << 32 | index;
    };
    uint32_t own = thread_index();
    uint64_t key = key_at(own);
    uint32_t rank = 0, stronger = 0;
    for (uint32_t first = 0; first < count; first += THREADS) {
        tile_keys[threadIdx.x] = key_at(first + threadIdx.x);
        __syncthreads();
        for (uint32_t i = 0; i < min(count - first, THREADS); ++i) {
            rank += tile_keys[i] < key;
            stronger += uint32_t(tile_keys[i] >> 32) < uint32_t(key >> 32);
        }
        __syncthreads();
    }
    if (key != detection::NOBODY && stronger < d.max_det) {
        chosen[slots + rank] = own;
        float score = __uint_as_float(~uint32_t(key >> 32));
        atomicAdd(&found[2 * image + (score > d.threshold ? 0 : 1)], 1u);
    }
}

struct DetectionGatherDims {
    uint32_t images;
    uint32_t locations;
    uint32_t slots;
    uint32_t channels;
    // Of the first image.
    uint32_t view;
    // 0: the boxes that were found; 1: the weak ones, which come after them in each image.
    uint32_t weak;
    // From pixels of the head's input to those of the view.
    float scale_x, scale_y;
};

// Row b of the outputs: the b-th box found, images ascending, descending score within each.
// keys [N, M], corners [N, M, 4], chosen [N, M], found [N, 2], features [N, A, C]; views, parts, scores [B], bboxes [B, 4] x,
// y, width, height, rects [B, 4] left, top, right, bottom, box_features [B, C]. One block per box.
extern "C" __global__ void __launch_bounds__(256)
    detection_gather(const uint64_t* __restrict__ keys, const float* __restrict__ corners,
                     const uint32_t* __restrict__ chosen, const uint32_t* __restrict__ found,
                     const float* __restrict__ features, uint32_t* __restrict__ views, uint32_t* __restrict__ parts,
                     float* __restrict__ scores, float* __restrict__ bboxes, float* __restrict__ rects,
                     float* __restrict__ box_features, DetectionGatherDims d) {
    uint32_t image = 0, at = blockIdx.x;
    while (image + 1 < d.images && at >= found[2 * image + d.weak]) at -= found[2 * image++ + d.weak];
    if (d.weak != 0) at += found[2 * image];
    uint64_t slot = uint64_t(image) * d.slots + chosen[uint64_t(image) * d.slots + at];
    uint64_t key = keys[slot];
    uint64_t row = blockIdx.x;
    if (threadIdx.x == 0) {
        float4 box = reinterpret_cast<const float4*>(corners)[slot];
        float x1 = box.x * d.scale_x, y1 = box.y * d.scale_y, x2 = box.z * d.scale_x, y2 = box.w * d.scale_y;
        float4 bbox = {x1, y1, x2 - x1, y2 - y1};
        reinterpret_cast<float4*>(bboxes)[row] = bbox;
        reinterpret_cast<float4*>(rects)[row] = {x1, y1, x1 + bbox.z, y1 + bbox.w};
        views[row] = d.view + image;
        parts[row] = detection::part_of(key);
        scores[row] = detection::score_of(key);
    }
    const float* feature = features + (uint64_t(image) * d.locations + detection::location_of(key)) * d.channels;
    for (uint32_t c = threadIdx.x; c < d.channels; c += 256) box_features[row * d.channels + c] = feature[c];
}
