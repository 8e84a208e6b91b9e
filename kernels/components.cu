// Connected components of a graph: union-find in which every root is the lowest vertex of its component.
#include "common.cuh"

namespace components {

// The root above v. Others link roots meanwhile, hence the loads past the first-level cache; a vertex that has a parent
// keeps one in the same component, and parents only get lower.
__device__ inline uint32_t find(const uint32_t* parents, uint32_t v) {
    uint32_t up = __ldcg(&parents[v]);
    while (up != v) {
        v = up;
        up = __ldcg(&parents[v]);
    }
    return v;
}

}  // namespace components

struct ComponentsDims {
    uint32_t vertices;
};

// parents[v] = v.
// parents [V]. One thread per vertex.
extern "C" __global__ void __launch_bounds__(256) components_start(uint32_t* __restrict__ parents, ComponentsDims d) {
    uint32_t v = thread_index();
    if (v < d.vertices) parents[v] = v;
}

// Hangs the higher of two roots below the lower one, for every arc within a part. Which links are made depends on the
// order; that the last root is the lowest vertex does not.
// first [V + 1], heads [A], parts [V], parents [V]. One thread per vertex; each edge is seen from its higher end.
extern "C" __global__ void __launch_bounds__(256)
    components_link(const uint32_t* __restrict__ first, const uint32_t* __restrict__ heads,
                    const uint32_t* __restrict__ parts, uint32_t* __restrict__ parents, ComponentsDims d) {
    uint32_t v = thread_index();
    if (v >= d.vertices) return;
    for (uint32_t arc = first[v]; arc < first[v + 1]; ++arc) {
        uint32_t head = heads[arc];
        if (head >= v || parts[head] != parts[v]) continue;
        uint32_t low = components::find(parents, head), high = components::find(parents, v);
        while (low != high) {
            if (low > high) {
                uint32_t other = low;
                low = high;
                high = other;
            }
            uint32_t before = atomicCAS(&parents[high], high, low);
            if (before == high) break;
            // Someone else has hung it elsewhere.
            high = components::find(parents, before);
            low = components::find(parents, low);
        }
    }
}

// roots[v] = the lowest vertex of v's component; is_root[v] = whether that is v.
// parents, roots, is_root [V]. One thread per vertex.
extern "C" __global__ void __launch_bounds__(256)
    components_roots(const uint32_t* __restrict__ parents, uint32_t* __restrict__ roots,
                     uint32_t* __restrict__ is_root, ComponentsDims d) {
    uint32_t v = thread_index();
    if (v >= d.vertices) return;
    uint32_t root = components::find(parents, v);
    roots[v] = root;
    is_root[v] = root == v;
}

// labels[v] = the number of roots before v's.
// roots [V], ranks [V + 1], labels [V]. One thread per vertex.
extern "C" __global__ void __launch_bounds__(256)
    components_number(const uint32_t* __restrict__ roots, const uint32_t* __restrict__ ranks,
                      uint32_t* __restrict__ labels, ComponentsDims d) {
    uint32_t v = thread_index();
    if (v < d.vertices) labels[v] = ranks[roots[v]];
}
