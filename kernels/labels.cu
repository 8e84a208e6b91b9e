// Labels: one part, or none, for every superpoint and point. CPU reference: src/ops/labels.rs.
#include "common.cuh"

struct LabelsDims {
    uint32_t superpoints;  // S
    uint32_t labels;       // L
    uint32_t rule;         // ops::labels::Rule: 0 threshold, 1 arg max, 2 votes
    uint32_t points;       // N
    float threshold;       // of rule 0
};

// of_superpoint[s] by the rule, -1 where s is not valid:
//   0, 1, 2 -> threshold, arg max, votes (see ops::labels::Rule)
// votes and probabilities [S, L + 1], column 0 = null; valid [S], small [L], of_superpoint [S].
// One thread per superpoint: rows are a few dozen values at most and the ties are rules in order.
extern "C" __global__ void __launch_bounds__(128)
labels_assign(const float* __restrict__ votes, const float* __restrict__ probabilities,
              const uint8_t* __restrict__ valid, const uint8_t* __restrict__ small,
              int32_t* __restrict__ of_superpoint, LabelsDims d) {
    const uint32_t s = thread_index();
    if (s >= d.superpoints) return;
    int32_t label = -1;
    if (valid[s] && d.rule == 1) {
        const float* p = probabilities + size_t(s) * (d.labels + 1);
        uint32_t largest = 0;
        for (uint32_t c = 1; c <= d.labels; c++) {
            if (p[c] >= p[largest]) largest = c;
        }
        label = int32_t(largest) - 1;
    } else if (valid[s]) {
        const float* score = (d.rule == 0 ? probabilities : votes) + size_t(s) * (d.labels + 1);
        int32_t largest = -1;
        bool found = false;
        for (int32_t j = int32_t(d.labels) - 1; j >= 0 && !found; j--) {
            const float value = score[1 + j];
            const bool passes = d.rule == 0 ? value >= d.threshold : value > score[0];
            found = small[j] && passes;
            if (found) label = j;
            if (largest < 0 || value >= score[1 + largest]) largest = j;
        }
        if (!found && largest >= 0) {
            const float value = score[1 + largest];
            if (d.rule == 0 ? value >= d.threshold : value > score[0]) label = largest;
        }
    }
    of_superpoint[s] = label;
}

// of_point[p] = of_superpoint[superpoint_of[p]]. superpoint_of and of_point [N], of_superpoint [S]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
labels_spread(const uint32_t* __restrict__ superpoint_of, const int32_t* __restrict__ of_superpoint,
              int32_t* __restrict__ of_point, LabelsDims d) {
    const uint32_t point = thread_index();
    if (point < d.points) of_point[point] = of_superpoint[superpoint_of[point]];
}
