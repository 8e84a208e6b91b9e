// Labels: the part that the votes of every superpoint name, or none. CPU reference: src/ops/lift/labels.rs.
#include "common.cuh"

struct LabelsDims {
    uint32_t superpoints;  // S
    uint32_t labels;       // L
    uint32_t rule;         // 0 threshold, 1 arg max, 2 votes
    float threshold;       // of rule 0
};

struct LabelsSpreadDims {
    uint32_t points;  // N
};

// label[s] by the rule, -1 where s is not valid.
// votes and probabilities [S, L + 1], column 0 = null; valid [S], small [L], label [S].
// One thread per superpoint: a row is a few dozen values at most, and the ties are rules in order.
extern "C" __global__ void __launch_bounds__(128)
labels(const float* __restrict__ votes, const float* __restrict__ probabilities, const uint8_t* __restrict__ valid,
       const uint8_t* __restrict__ small, int32_t* __restrict__ label, LabelsDims d) {
    const uint32_t s = thread_index();
    if (s >= d.superpoints) return;
    const float* row = (d.rule == 2 ? votes : probabilities) + size_t(s) * (d.labels + 1);
    int32_t found = -1, largest = 0;
    if (valid[s] && d.rule == 1) {
        for (int32_t c = 1; c <= int32_t(d.labels); c++) {
            if (row[c] >= row[largest]) largest = c;
        }
        found = largest - 1;
    } else if (valid[s]) {
        bool small_found = false;
        for (int32_t j = int32_t(d.labels) - 1; j >= 0 && !small_found; j--) {
            const float value = row[1 + j];
            const bool passes = d.rule == 0 ? value >= d.threshold : value > row[0];
            small_found = small[j] && passes;
            // The first of the largest comes last here.
            if (largest == 0 || value >= row[largest]) {
                largest = 1 + j;
                found = passes ? j : -1;
            }
            if (small_found) found = j;
        }
    }
    label[s] = found;
}

// of_point[i] = of_superpoint[superpoint_of[i]]. superpoint_of and of_point [N], of_superpoint [S]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
labels_spread(const uint32_t* __restrict__ superpoint_of, const int32_t* __restrict__ of_superpoint,
              int32_t* __restrict__ of_point, LabelsSpreadDims d) {
    const uint32_t i = thread_index();
    if (i < d.points) of_point[i] = of_superpoint[superpoint_of[i]];
}
