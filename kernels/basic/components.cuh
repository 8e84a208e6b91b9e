// Union-find by many threads at once: every root is the lowest vertex of its component.
#pragma once
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

// Hangs the higher of the roots above a and b below the lower one. Which links are made depends on the order; that the
// last root is the lowest vertex does not.
__device__ inline void unite(uint32_t* parents, uint32_t a, uint32_t b) {
    uint32_t low = find(parents, a), high = find(parents, b);
    while (low != high) {
        if (low > high) {
            uint32_t other = low;
            low = high;
            high = other;
        }
        uint32_t before = atomicCAS(&parents[high], high, low);
        if (before == high) return;
        // Someone else has hung it elsewhere.
        high = find(parents, before);
        low = find(parents, low);
    }
}

}  // namespace components
