// From what boxes add to the scores of faces. CPU reference: src/ops/surface/scores.rs.
#include "common.cuh"

struct ScoresDims {
    uint32_t boxes;   // B
    uint32_t faces;   // F
    uint32_t labels;  // P
};

// scores[f, parts[b]] += weights[places[b, f]] for every box b that shows face f, one after the other.
// counts [B, F], places [B F + 1], parts [B], weights [E], scores [F, P]. One thread per face.
extern "C" __global__ void __launch_bounds__(256)
scores_sum(const uint32_t* __restrict__ counts, const uint32_t* __restrict__ places, const uint32_t* __restrict__ parts,
           const double* __restrict__ weights, double* __restrict__ scores, ScoresDims d) {
    const uint32_t face = thread_index();
    if (face >= d.faces) return;
    for (uint32_t b = 0; b < d.boxes; ++b) {
        const uint32_t i = b * d.faces + face;
        if (counts[i] != 0 && parts[b] < d.labels) scores[size_t(face) * d.labels + parts[b]] += weights[places[i]];
    }
}
