// What boxes show: the faces under each, and on how many pixels. CPU reference: src/ops/surface/tally.rs.
#include "common.cuh"

struct TallyDims {
    uint32_t side;   // pixels along each side of a view
    uint32_t boxes;  // B
    uint32_t faces;  // F
};

// counts[b, f] = pixels under box b that show face f; what is no face counts nowhere.
// maps [K, side, side], views [B], rects [B, 4], counts [B, F] cleared before.
// One warp per (row of the box, box), its lanes over the columns; grid [side / 8, B].
extern "C" __global__ void __launch_bounds__(256)
tally_count(const int32_t* __restrict__ maps, const uint32_t* __restrict__ views, const uint32_t* __restrict__ rects,
            uint32_t* __restrict__ counts, TallyDims d) {
    const uint32_t box = blockIdx.y;
    const uint32_t* rect = rects + size_t(box) * 4;
    const uint32_t row = rect[1] + thread_index() / WARP;
    if (row >= rect[3]) return;
    const int32_t* map = maps + (size_t(views[box]) * d.side + row) * d.side;
    for (uint32_t column = rect[0] + threadIdx.x % WARP; column < rect[2]; column += WARP) {
        const uint32_t face = uint32_t(map[column]);
        if (face < d.faces) atomicAdd(counts + size_t(box) * d.faces + face, 1u);
    }
}

// marks[i] = whether counts[i] is not zero. counts, marks [B, F]. One thread per element.
extern "C" __global__ void __launch_bounds__(256)
tally_marks(const uint32_t* __restrict__ counts, uint32_t* __restrict__ marks, TallyDims d) {
    const uint32_t i = thread_index();
    if (i < d.boxes * d.faces) marks[i] = counts[i] != 0;
}

// The entries: box, face and pixels of every count that is not zero, by box, then face; offsets[b] = the first of box b.
// counts [B, F], places [B F + 1]; box_of, face_of and pixels [E], offsets [B + 1]. One thread per element, and one more.
extern "C" __global__ void __launch_bounds__(256)
tally_gather(const uint32_t* __restrict__ counts, const uint32_t* __restrict__ places, uint32_t* __restrict__ box_of,
             uint32_t* __restrict__ face_of, uint32_t* __restrict__ pixels, uint32_t* __restrict__ offsets, TallyDims d) {
    const uint32_t i = thread_index(), all = d.boxes * d.faces;
    if (i > all) return;
    if (i % d.faces == 0) offsets[i / d.faces] = places[i];
    if (i == all || counts[i] == 0) return;
    const uint32_t at = places[i];
    box_of[at] = i / d.faces;
    face_of[at] = i % d.faces;
    pixels[at] = counts[i];
}
