// Products of small matrices. CPU reference: src/ops/basic/matmul.rs.
//
// One block of 2 warps per 32 x 32 tile and slice of the inner dimension: at [150, 403] x [403, 403] the tiles alone
// would fill half a GPU. Chunks of 32 x 32 of both factors go through shared memory; a thread has one column and 16 rows
// of the tile, so that a chunk's 16 fused multiply-adds cost one load that reads 32 banks and four that all lanes share.
// A row of 403 floats begins nowhere in particular, so that wide global loads are out; 32 lanes load 128 bytes together.
#include "common.cuh"

struct MatmulDims {
    uint32_t rows;     // M
    uint32_t columns;  // N
    uint32_t inner;    // K
    uint32_t slice;    // of K, that a block sums over
};

namespace matmul {
constexpr uint32_t TILE = 32, WARPS = 2, ROWS = TILE / WARPS;

// left[k][row], padded to 36 floats, and right[k][column], padded to 33: no two lanes meet in a bank.
struct Tile {
    float (&left)[TILE][TILE + 4];
    float (&right)[TILE][TILE + 1];
    const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const uint32_t column = blockIdx.x * TILE, row = blockIdx.y * TILE;
    float sum[ROWS] = {};

    // sum[i] += the chunk's left[k][16 warp + i] * right[k][lane]. Barriers before and after, so that it may be filled.
    __device__ void multiply() {
        __syncthreads();
        #pragma unroll 8
        for (uint32_t k = 0; k < TILE; k++) {
            const float r = right[k][lane];
            const float4* rows = reinterpret_cast<const float4*>(&left[k][ROWS * warp]);
            #pragma unroll
            for (uint32_t i = 0; i < ROWS; i += 4) {
                const float4 l = rows[i / 4];
                sum[i] = fmaf(l.x, r, sum[i]);
                sum[i + 1] = fmaf(l.y, r, sum[i + 1]);
                sum[i + 2] = fmaf(l.z, r, sum[i + 2]);
                sum[i + 3] = fmaf(l.w, r, sum[i + 3]);
            }
        }
        __syncthreads();
    }

    __device__ void store(float* c, MatmulDims d) const {
        if (column + lane >= d.columns) return;
        c += (size_t(blockIdx.z) * d.rows + row + ROWS * warp) * d.columns + column + lane;
        #pragma unroll
        for (uint32_t i = 0; i < ROWS; i++) {
            if (row + ROWS * warp + i < d.rows) c[size_t(i) * d.columns] = sum[i];
        }
    }
};
}  // namespace matmul

// c[z, m, n] = sum over the k of slice z of a[m, k] b[n, k], k ascending, fused. a [M, K], b [N, K], c [slices, M, N].
// One block per (tile of N, tile of M, slice).
extern "C" __global__ void __launch_bounds__(64)
matmul_by_transpose(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, MatmulDims d) {
    __shared__ __align__(16) float left[matmul::TILE][matmul::TILE + 4];
    __shared__ float right[matmul::TILE][matmul::TILE + 1];
    matmul::Tile tile{left, right};
    const uint32_t lane = tile.lane, end = min((blockIdx.z + 1) * d.slice, d.inner);
    for (uint32_t begin = blockIdx.z * d.slice; begin < end; begin += matmul::TILE) {
        // Beyond the edges the last row, column or k is read again, so that no load waits for a branch.
        #pragma unroll
        for (uint32_t i = tile.warp; i < matmul::TILE; i += matmul::WARPS) {
            // 4 rows of 8, whose places in shared memory, 36 k + row, lie in 32 banks.
            const uint32_t k = i % 4 * 8 + lane % 8, r = i / 4 * 4 + lane / 8;
            const uint32_t row = min(tile.row + r, d.rows - 1), column = min(tile.column + i, d.columns - 1);
            const float l = a[size_t(row) * d.inner + min(begin + k, end - 1)];
            const float m = b[size_t(column) * d.inner + min(begin + lane, end - 1)];
            left[k][r] = begin + k < end ? l : 0.0f;
            right[lane][i] = begin + lane < end ? m : 0.0f;
        }
        tile.multiply();
    }
    tile.store(c, d);
}

// c[z, m, n] = sum over the k of slice z of a[k, m] b[k, n], k ascending, fused. a [K, M], b [K, N], c [slices, M, N].
// One block per (tile of N, tile of M, slice).
extern "C" __global__ void __launch_bounds__(64)
matmul_of_transpose(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, MatmulDims d) {
    __shared__ __align__(16) float left[matmul::TILE][matmul::TILE + 4];
    __shared__ float right[matmul::TILE][matmul::TILE + 1];
    matmul::Tile tile{left, right};
    const uint32_t lane = tile.lane, end = min((blockIdx.z + 1) * d.slice, d.inner);
    const uint32_t row = min(tile.row + lane, d.rows - 1), column = min(tile.column + lane, d.columns - 1);
    for (uint32_t begin = blockIdx.z * d.slice; begin < end; begin += matmul::TILE) {
        #pragma unroll
        for (uint32_t i = tile.warp; i < matmul::TILE; i += matmul::WARPS) {
            const size_t k = min(begin + i, end - 1);
            const float l = a[k * d.rows + row], m = b[k * d.columns + column];
            left[i][lane] = begin + i < end ? l : 0.0f;
            right[i][lane] = begin + i < end ? m : 0.0f;
        }
        tile.multiply();
    }
    tile.store(c, d);
}
