// Regions of a neighbour graph that merge while the energy falls. CPU reference: src/ops/partition/agglomeration.
//
// A round: means, gains of the edges, the best gain of each region (agglomeration_gains), the edge that it chose
// (agglomeration_choose), what it joins (agglomeration_join), ranks of the regions that stay (ops::scan), their sums
// (agglomeration_absorb), and the edges between them: those whose ends are apart, sorted by their ends (ops::sort),
// parallel ones as one. Edges from region 0 to itself fill up the arrays; they count nothing.
#include "common.cuh"

struct AgglomerationDims {
    double border;        // energy of a unit of weight
    double square;        // square of a unit of features
    uint32_t regions;     // R
    uint32_t edges;       // E
    uint32_t dimensions;  // D
    uint32_t small;       // points of a region that merges at whatever cost
};

struct AgglomerationStartDims {
    double units;      // that make 1
    uint32_t points;   // N
    uint32_t columns;  // D or k
};

struct AgglomerationEdgesDims {
    uint32_t edges;  // E
    uint32_t bits;   // of a region's number
};

namespace agglomeration {

// As in the reference.
constexpr uint32_t LARGER = 4;
constexpr uint32_t SCRAMBLE = 0x9e3779b1;
constexpr uint32_t UNSCRAMBLE = 0x0e8b2f51;  // SCRAMBLE * UNSCRAMBLE = 1

// Numbers whose order is that of the floats; 0 is none's.
__device__ inline uint64_t ordered(double x) {
    uint64_t bits = uint64_t(__double_as_longlong(x));
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

__device__ inline unsigned long long* atomic(uint64_t* at) { return reinterpret_cast<unsigned long long*>(at); }
__device__ inline unsigned long long* atomic(int64_t* at) { return reinterpret_cast<unsigned long long*>(at); }

__device__ inline double squared(const double* means, uint32_t a, uint32_t b, const AgglomerationDims& d) {
    const double* one = means + size_t(a) * d.dimensions;
    const double* other = means + size_t(b) * d.dimensions;
    double sum = 0.0;
    for (uint32_t i = 0; i < d.dimensions; ++i) sum += (one[i] - other[i]) * (one[i] - other[i]);
    return sum * d.square;
}

}  // namespace agglomeration

// Every point is a region: sums[i, c] = features[i, c] in whole units, count[i] = 1, labels[i] = i.
// features, sums [N, D], count, labels [N]. One thread per value.
extern "C" __global__ void __launch_bounds__(256)
    agglomeration_points(const float* __restrict__ features, int64_t* __restrict__ sums, uint32_t* __restrict__ count,
                         uint32_t* __restrict__ labels, AgglomerationStartDims d) {
    uint32_t at = thread_index();
    if (at >= d.points * d.columns) return;
    sums[at] = int64_t(rint(double(features[at]) * d.units));
    if (at % d.columns == 0) {
        count[at / d.columns] = 1;
        labels[at / d.columns] = at / d.columns;
    }
}

// An edge for every neighbour of every point.
// neighbors, weights [N, k]; low, high, border [N * k]. One thread per edge.
extern "C" __global__ void __launch_bounds__(256)
    agglomeration_arcs(const uint32_t* __restrict__ neighbors, const float* __restrict__ weights,
                       uint32_t* __restrict__ low, uint32_t* __restrict__ high, uint64_t* __restrict__ border,
                       AgglomerationStartDims d) {
    uint32_t at = thread_index();
    if (at >= d.points * d.columns) return;
    uint32_t i = at / d.columns, j = neighbors[at];
    low[at] = min(i, j);
    high[at] = max(i, j);
    border[at] = uint64_t(rint(double(weights[at]) * d.units));
}

// means[a, c] = sums[a, c] / count[a], in units.
// sums, means [R, D], count [R]. One thread per value.
extern "C" __global__ void __launch_bounds__(256)
    agglomeration_means(const int64_t* __restrict__ sums, const uint32_t* __restrict__ count,
                        double* __restrict__ means, AgglomerationDims d) {
    uint32_t at = thread_index();
    if (at < d.regions * d.dimensions) means[at] = double(sums[at]) / double(count[at / d.dimensions]);
}

// gains[e] = border - n_a n_b / (n_a + n_b) |mean_a - mean_b|^2, ordered; best[a] = the largest of a region's edges that
// it considers: those that lose nothing, and all if it is small.
// low, high, border, gains [E], count, best [R], means [R, D]. One thread per edge.
extern "C" __global__ void __launch_bounds__(256)
    agglomeration_gains(const uint32_t* __restrict__ low, const uint32_t* __restrict__ high,
                        const uint64_t* __restrict__ border, const uint32_t* __restrict__ count,
                        const double* __restrict__ means, uint64_t* __restrict__ gains, uint64_t* __restrict__ best,
                        AgglomerationDims d) {
    uint32_t e = thread_index();
    if (e >= d.edges) return;
    uint32_t a = low[e], b = high[e];
    if (a == b) return;
    double of_a = count[a], of_b = count[b];
    double gain = double(border[e]) * d.border -
                  of_a * of_b / (of_a + of_b) * agglomeration::squared(means, a, b, d);
    uint64_t key = agglomeration::ordered(gain);
    gains[e] = key;
    if (gain >= 0.0 || count[a] <= d.small) atomicMax(agglomeration::atomic(&best[a]), key);
    if (gain >= 0.0 || count[b] <= d.small) atomicMax(agglomeration::atomic(&best[b]), key);
}

// chosen[a] = the edge whose gain is best[a], of several the one whose scrambled number is the largest.
// low, high, gains [E], best, chosen [R]. One thread per edge.
extern "C" __global__ void __launch_bounds__(256)
    agglomeration_choose(const uint32_t* __restrict__ low, const uint32_t* __restrict__ high,
                         const uint64_t* __restrict__ gains, const uint64_t* __restrict__ best,
                         uint32_t* __restrict__ chosen, AgglomerationDims d) {
    uint32_t e = thread_index();
    if (e >= d.edges) return;
    uint32_t a = low[e], b = high[e];
    if (a == b) return;
    uint64_t gain = gains[e];
    uint32_t place = (e + 1) * agglomeration::SCRAMBLE;
    if (gain == best[a]) atomicMax(&chosen[a], place);
    if (gain == best[b]) atomicMax(&chosen[b], place);
}

// into[a] = the region that a merges into, itself if it stays; stays[a] says so.
// low, high, border [E], count, chosen, into, stays [R], means [R, D]. One thread per region.
extern "C" __global__ void __launch_bounds__(256)
    agglomeration_join(const uint32_t* __restrict__ low, const uint32_t* __restrict__ high,
                       const uint64_t* __restrict__ border, const uint32_t* __restrict__ count,
                       const double* __restrict__ means, const uint32_t* __restrict__ chosen,
                       uint32_t* __restrict__ into, uint32_t* __restrict__ stays, AgglomerationDims d) {
    uint32_t a = thread_index();
    if (a >= d.regions) return;
    auto edge = [](uint32_t place) { return place * agglomeration::UNSCRAMBLE - 1; };
    auto other = [&](uint32_t place, uint32_t end) { return low[edge(place)] ^ high[edge(place)] ^ end; };
    auto root = [&](uint32_t one, uint32_t two) {
        return count[one] == count[two] ? min(one, two) : count[one] > count[two] ? one : two;
    };
    uint32_t result = a, own = chosen[a];
    if (own != 0) {
        uint32_t b = other(own, a), back = chosen[b];
        if (back == own) {
            result = root(a, b);
        } else {
            uint32_t c = back == 0 ? b : other(back, b);
            bool idle = back == 0 || (chosen[c] == back && root(b, c) == b);
            bool joins = count[a] <= d.small ||
                         (count[b] / agglomeration::LARGER >= count[a] &&
                          double(border[edge(own)]) * d.border >=
                              double(count[a]) * agglomeration::squared(means, a, b, d));
            if (idle && joins) result = b;
        }
    }
    into[a] = result;
    stays[a] = result == a;
}

// target[a] = the new number of the region that a merges into.
// into, target [R], ranks [R + 1] of those that stay. One thread per region.
extern "C" __global__ void __launch_bounds__(256)
    agglomeration_target(const uint32_t* __restrict__ into, const uint32_t* __restrict__ ranks,
                         uint32_t* __restrict__ target, AgglomerationDims d) {
    uint32_t a = thread_index();
    if (a < d.regions) target[a] = ranks[into[a]];
}

// The region that a merges into takes its sums.
// target, count [R], sums [R, D]; new_sums [R', D], new_count [R'], both 0 before. One thread per value; integers, so
// any order will do.
extern "C" __global__ void __launch_bounds__(256)
    agglomeration_absorb(const uint32_t* __restrict__ target, const int64_t* __restrict__ sums,
                         const uint32_t* __restrict__ count, int64_t* __restrict__ new_sums,
                         uint32_t* __restrict__ new_count, AgglomerationDims d) {
    uint32_t at = thread_index();
    if (at >= d.regions * d.dimensions) return;
    uint32_t a = at / d.dimensions, channel = at % d.dimensions;
    int64_t* sum = &new_sums[size_t(target[a]) * d.dimensions + channel];
    atomicAdd(agglomeration::atomic(sum), static_cast<unsigned long long>(sums[at]));
    if (channel == 0) atomicAdd(&new_count[target[a]], count[a]);
}

// labels[i] = target[labels[i]].
// target [R], labels [N]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
    agglomeration_rename(const uint32_t* __restrict__ target, uint32_t* __restrict__ labels,
                         AgglomerationStartDims d) {
    uint32_t i = thread_index();
    if (i < d.points) labels[i] = target[labels[i]];
}

// apart[e] = whether the edge leads from one new region to another.
// low, high, apart [E], target [R]. One thread per edge.
extern "C" __global__ void __launch_bounds__(256)
    agglomeration_apart(const uint32_t* __restrict__ low, const uint32_t* __restrict__ high,
                        const uint32_t* __restrict__ target, uint32_t* __restrict__ apart, AgglomerationEdgesDims d) {
    uint32_t e = thread_index();
    if (e < d.edges) apart[e] = target[low[e]] != target[high[e]];
}

// keys[r] = lower and higher new end of the r-th edge that is apart, values[r] = its number.
// low, high, apart [E], target [R], ranks [E + 1]; keys, values [those that are apart]. One thread per edge.
extern "C" __global__ void __launch_bounds__(256)
    agglomeration_keys(const uint32_t* __restrict__ low, const uint32_t* __restrict__ high,
                       const uint32_t* __restrict__ target, const uint32_t* __restrict__ apart,
                       const uint32_t* __restrict__ ranks, uint64_t* __restrict__ keys, uint32_t* __restrict__ values,
                       AgglomerationEdgesDims d) {
    uint32_t e = thread_index();
    if (e >= d.edges || !apart[e]) return;
    uint32_t a = target[low[e]], b = target[high[e]];
    keys[ranks[e]] = uint64_t(min(a, b)) << d.bits | max(a, b);
    values[ranks[e]] = e;
}

// starts[i] = whether the i-th sorted edge has other ends than the one before; 0 of the first.
// keys, starts [E]. One thread per edge.
extern "C" __global__ void __launch_bounds__(256)
    agglomeration_starts(const uint64_t* __restrict__ keys, uint32_t* __restrict__ starts, AgglomerationEdgesDims d) {
    uint32_t i = thread_index();
    if (i < d.edges) starts[i] = i > 0 && keys[i] != keys[i - 1];
}

// Sorted edges with the same ends become one, with the sum of their borders.
// keys, values, starts [E], ranks [E + 1], border [edges before]; low, high, new_border [E], all 0 before.
// One thread per edge; integers, so any order will do.
extern "C" __global__ void __launch_bounds__(256)
    agglomeration_unite(const uint64_t* __restrict__ keys, const uint32_t* __restrict__ values,
                        const uint32_t* __restrict__ starts, const uint32_t* __restrict__ ranks,
                        const uint64_t* __restrict__ border, uint32_t* __restrict__ low, uint32_t* __restrict__ high,
                        uint64_t* __restrict__ new_border, AgglomerationEdgesDims d) {
    uint32_t i = thread_index();
    if (i >= d.edges) return;
    uint32_t to = ranks[i + 1];
    if (i == 0 || starts[i]) {
        low[to] = uint32_t(keys[i] >> d.bits);
        high[to] = uint32_t(keys[i]) & ((1u << d.bits) - 1);
    }
    atomicAdd(agglomeration::atomic(&new_border[to]), static_cast<unsigned long long>(border[values[i]]));
}
