// Connected components of a graph.
#include "components.cuh"

struct ComponentsDims {
    uint32_t vertices;
};

// parents[v] = v.
// parents [V]. One thread per vertex.
extern "C" __global__ void __launch_bounds__(256) components_start(uint32_t* __restrict__ parents, ComponentsDims d) {
    uint32_t v = thread_index();
    if (v < d.vertices) parents[v] = v;
}

// Unites the ends of every arc within a part.
// first [V + 1], heads [A], parts [V], parents [V]. One thread per vertex; each edge is seen from its higher end.
extern "C" __global__ void __launch_bounds__(256)
    components_link(const uint32_t* __restrict__ first, const uint32_t* __restrict__ heads,
                    const uint32_t* __restrict__ parts, uint32_t* __restrict__ parents, ComponentsDims d) {
    uint32_t v = thread_index();
    if (v >= d.vertices) return;
    for (uint32_t arc = first[v]; arc < first[v + 1]; ++arc) {
        uint32_t head = heads[arc];
        if (head >= v || parts[head] != parts[v]) continue;
        components::unite(parents, head, v);
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
