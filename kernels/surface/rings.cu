// How much of the faces around a face a box shows. CPU reference: src/ops/surface/rings.rs.
#include "common.cuh"

struct RingsDims {
    uint32_t entries;  // E
    uint32_t faces;    // F
};

// seen[e] = faces of the entry's ring that its box shows; around[e] = faces of its ring.
// offsets [F + 1], rings [offsets[F]], counts [B, F], box_of and face_of [E]; seen, around [E]. One warp per entry.
extern "C" __global__ void __launch_bounds__(256)
rings_count(const uint32_t* __restrict__ offsets, const uint32_t* __restrict__ rings, const uint32_t* __restrict__ counts,
            const uint32_t* __restrict__ box_of, const uint32_t* __restrict__ face_of, uint32_t* __restrict__ seen,
            uint32_t* __restrict__ around, RingsDims d) {
    const uint32_t entry = thread_index() / WARP;
    if (entry >= d.entries) return;
    const uint32_t begin = offsets[face_of[entry]], end = offsets[face_of[entry] + 1];
    const uint32_t* of_box = counts + size_t(box_of[entry]) * d.faces;
    uint32_t mine = 0;
    for (uint32_t i = begin + threadIdx.x % WARP; i < end; i += WARP) mine += of_box[rings[i]] != 0;
    mine = warp_sum(mine);
    if (threadIdx.x % WARP != 0) return;
    seen[entry] = mine;
    around[entry] = end - begin;
}
