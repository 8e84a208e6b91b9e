// What a face that a box shows adds to the score of the box's part. CPU reference: src/ops/surface/weights.rs.
#include "basic/exp.cuh"
#include "block_sum.cuh"

struct WeightsDims {
    double epsilon;       // added to the number of faces of a ring
    double least_spread;  // of a box whose distances tell its faces apart
    uint32_t boxes;       // B
    uint32_t gaussian;    // whether distances count
    uint32_t visibility;  // whether rings count
    uint32_t undefined;   // whether boxes without spread give NaN, not 0
};

// out[e] = pixels * score of the box * G * Q.
// offsets [B + 1], pixels, distances, seen, around and out [E], scores [B]. One block per box.
extern "C" __global__ void __launch_bounds__(256)
weights_entries(const uint32_t* __restrict__ offsets, const uint32_t* __restrict__ pixels,
                const double* __restrict__ distances, const uint32_t* __restrict__ seen,
                const uint32_t* __restrict__ around, const float* __restrict__ scores, double* __restrict__ out,
                WeightsDims d) {
    __shared__ double sums[8];
    __shared__ double squares[8];
    const uint32_t begin = offsets[blockIdx.x], end = offsets[blockIdx.x + 1];
    const double count = double(end - begin), score = double(scores[blockIdx.x]);
    double sum = 0.0;
    for (uint32_t e = begin + threadIdx.x; e < end; e += 256) sum += distances[e];
    const double mean = sum_of_block(sum, sums) / count;
    sum = 0.0;
    for (uint32_t e = begin + threadIdx.x; e < end; e += 256) sum += (distances[e] - mean) * (distances[e] - mean);
    const double spread = sqrt(sum_of_block(sum, squares) / count);
    for (uint32_t e = begin + threadIdx.x; e < end; e += 256) {
        double factor = 1.0;
        if (d.gaussian && spread < d.least_spread) {
            factor = d.undefined ? __longlong_as_double(0x7ff8000000000000ll) : 0.0;
        } else if (d.gaussian) {
            const double z = (distances[e] - mean) / spread;
            factor = exponential::exp(-0.5 * z * z) / (spread * 2.5066282746310002);
        }
        if (d.visibility) factor = factor * (double(seen[e]) / (double(around[e]) + d.epsilon));
        out[e] = double(pixels[e]) * score * factor;
    }
}
