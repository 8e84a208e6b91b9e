// Surface normals: the unit eigenvector of the smallest eigenvalue of the covariance of the points around each.
#include "common.cuh"

namespace normals {

struct Vector {
    float x, y, z;
};

__device__ inline float dot(Vector a, Vector b) { return a.x * b.x + a.y * b.y + a.z * b.z; }

__device__ inline Vector cross(Vector a, Vector b) {
    return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

// A Jacobi rotation that takes a_pq to zero; r is the third axis, v_i the i-th row of the eigenvectors.
__device__ inline void rotate(float& pp, float& qq, float& pq, float& pr, float& qr, float& v0p, float& v0q, float& v1p,
                              float& v1q, float& v2p, float& v2q) {
    // Once it no longer changes the diagonal, the entry is as good as zero.
    constexpr float EPSILON = 1.1920929e-7f;
    if (fabsf(pq) <= EPSILON * 0.01f * (fabsf(pp) + fabsf(qq))) return;
    float theta = (qq - pp) / (2.0f * pq);
    float t = fabsf(theta) > 1e9f ? 0.5f / theta
                                  : copysignf(1.0f, theta) / (fabsf(theta) + sqrtf(theta * theta + 1.0f));
    float c = 1.0f / sqrtf(t * t + 1.0f);
    float s = t * c;
    float apr = pr, aqr = qr;
    pp -= t * pq;
    qq += t * pq;
    pq = 0.0f;
    pr = c * apr - s * aqr;
    qr = s * apr + c * aqr;
    float p = v0p, q = v0q;
    v0p = c * p - s * q, v0q = s * p + c * q;
    p = v1p, q = v1q;
    v1p = c * p - s * q, v1q = s * p + c * q;
    p = v2p, q = v2q;
    v2p = c * p - s * q, v2q = s * p + c * q;
}

// Sums, one after the other, a[i] * b[i], or a[i] alone without b.
__device__ inline float sum(const float* a, const float* b, uint32_t n) {
    float sum = 0.0f;
    for (uint32_t i = 0; i < n; ++i) sum += b ? a[i] * b[i] : a[i];
    return sum;
}

}  // namespace normals

struct NormalsDims {
    uint32_t points;
    // Points of a row of `around`.
    uint32_t width;
    uint32_t most;
    float squared_radius;
};

// C = sum over the neighbours j of (p_j - m) (p_j - m)^T, m their mean, added up from the nearest to the farthest as the
// CPU reference does; zero of fewer than three. The neighbours are the first `most` of around[i] closer than the radius.
// points [N, 3], around [N, w] by distance, covariances [N, 6]: xx xy xz yy yz zz; w <= 32. One warp per point; a lane
// owns a neighbour, then a sum.
extern "C" __global__ void __launch_bounds__(256)
    normals_covariances(const float* __restrict__ points, const uint32_t* __restrict__ around,
                        float* __restrict__ covariances, NormalsDims d) {
    // One more than a warp: lanes that read the same column of different rows meet different banks.
    __shared__ float offsets[256 / WARP][3][WARP + 1];
    uint32_t i = thread_index() / WARP, warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (i >= d.points) return;
    bool mine = lane < min(d.most, d.width);
    const float* query = points + 3 * i;
    const float* neighbor = points + 3 * uint64_t(mine ? around[uint64_t(i) * d.width + lane] : i);
    float x = neighbor[0] - query[0], y = neighbor[1] - query[1], z = neighbor[2] - query[2];
    uint32_t n = __popc(__ballot_sync(ALL_LANES, mine && x * x + y * y + z * z < d.squared_radius));
    float(&offset)[3][WARP + 1] = offsets[warp];
    offset[0][lane] = x, offset[1][lane] = y, offset[2][lane] = z;
    __syncwarp();
    float mean = lane < 3 ? normals::sum(offset[lane], nullptr, n) / float(n) : 0.0f;
    __syncwarp();
    offset[0][lane] = x - __shfl_sync(ALL_LANES, mean, 0);
    offset[1][lane] = y - __shfl_sync(ALL_LANES, mean, 1);
    offset[2][lane] = z - __shfl_sync(ALL_LANES, mean, 2);
    __syncwarp();
    if (lane < 6) {
        uint32_t row = lane < 3 ? 0 : lane < 5 ? 1 : 2;
        uint32_t column = lane < 3 ? lane : lane < 5 ? lane - 2 : 2;
        covariances[6 * i + lane] = n < 3 ? 0.0f : normals::sum(offset[row], offset[column], n);
    }
}

// The unit eigenvector of the smallest eigenvalue by cyclic Jacobi rotations; (0, 0, 1) of zero. Its sign is that of the
// cross product of the two rows of C - lambda I that span the largest parallelogram.
// covariances [N, 6], normals [N, 3]. One thread per point.
extern "C" __global__ void __launch_bounds__(256)
    normals_eigenvectors(const float* __restrict__ covariances, float* __restrict__ normals, NormalsDims d) {
    using normals::Vector;
    uint32_t i = thread_index();
    if (i >= d.points) return;
    float m[6], scale = 0.0f;
    for (uint32_t c = 0; c < 6; ++c) {
        m[c] = covariances[6 * i + c];
        scale = fmaxf(scale, fabsf(m[c]));
    }
    Vector normal = {0.0f, 0.0f, 1.0f};
    if (scale != 0.0f) {
        for (uint32_t c = 0; c < 6; ++c) m[c] /= scale;
        float xx = m[0], xy = m[1], xz = m[2], yy = m[3], yz = m[4], zz = m[5];
        Vector v0 = {1.0f, 0.0f, 0.0f}, v1 = {0.0f, 1.0f, 0.0f}, v2 = {0.0f, 0.0f, 1.0f};
        for (uint32_t sweep = 0; sweep < 8; ++sweep) {
            normals::rotate(xx, yy, xy, xz, yz, v0.x, v0.y, v1.x, v1.y, v2.x, v2.y);
            normals::rotate(xx, zz, xz, xy, yz, v0.x, v0.z, v1.x, v1.z, v2.x, v2.z);
            normals::rotate(yy, zz, yz, xy, xz, v0.y, v0.z, v1.y, v1.z, v2.y, v2.z);
        }
        float smallest = xx;
        normal = {v0.x, v1.x, v2.x};
        if (yy < smallest) smallest = yy, normal = {v0.y, v1.y, v2.y};
        if (zz < smallest) smallest = zz, normal = {v0.z, v1.z, v2.z};
        Vector rows[3] = {{m[0] - smallest, m[1], m[2]}, {m[1], m[3] - smallest, m[4]}, {m[2], m[4], m[5] - smallest}};
        Vector widest = normals::cross(rows[0], rows[1]);
        Vector span = normals::cross(rows[0], rows[2]);
        if (normals::dot(span, span) > normals::dot(widest, widest)) widest = span;
        span = normals::cross(rows[1], rows[2]);
        if (normals::dot(span, span) > normals::dot(widest, widest)) widest = span;
        float length = sqrtf(normals::dot(normal, normal));
        if (normals::dot(normal, widest) < 0.0f) length = -length;
        normal = {normal.x / length, normal.y / length, normal.z / length};
    }
    normals[3 * i] = normal.x;
    normals[3 * i + 1] = normal.y;
    normals[3 * i + 2] = normal.z;
}
