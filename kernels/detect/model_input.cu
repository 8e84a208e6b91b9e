// From 8-bit images to a model's input: resized, scaled, centred, padded. CPU reference: src/ops/detect/model_input.rs.
#include "common.cuh"

struct ModelInputDims {
    uint32_t height, width;          // of the images
    uint32_t rows, columns;          // resized
    uint32_t row_taps, column_taps;  // inputs that make one output along each axis
    uint32_t padded_rows, padded_columns;
    uint32_t bgr;  // whether blue is the model's first channel
    float scale;   // over 255
    float mean_0, mean_1, mean_2;
    float std_0, std_1, std_2;
};

namespace model_input {

constexpr uint32_t BITS = 22;

__device__ inline int32_t round(int32_t sum) { return min(max(sum >> BITS, 0), 255); }

__device__ inline void store(float* out, float value) { *out = value; }
__device__ inline void store(__half* out, float value) { *out = __float2half_rn(value); }
__device__ inline void store(uint8_t* out, float value) { *out = uint8_t(value); }

template <class T>
__device__ inline void run(const uint8_t* __restrict__ images, const uint32_t* __restrict__ row_first,
                           const int32_t* __restrict__ row_weights, const uint32_t* __restrict__ column_first,
                           const int32_t* __restrict__ column_weights, T* __restrict__ out, const ModelInputDims& d) {
    const uint32_t x = thread_index(), y = blockIdx.y, n = blockIdx.z;
    if (x >= d.padded_columns) return;
    const size_t plane = size_t(d.padded_rows) * d.padded_columns;
    T* pixel = out + 3 * plane * n + size_t(y) * d.padded_columns + x;
    if (x >= d.columns || y >= d.rows) {
        for (uint32_t c = 0; c < 3; c++) store(pixel + c * plane, 0.0f);
        return;
    }
    const uint8_t* image = images + size_t(n) * d.height * d.width * 3;
    const uint32_t top = row_first[y], left = column_first[x];
    int32_t sums[3] = {1 << (BITS - 1), 1 << (BITS - 1), 1 << (BITS - 1)};
    #pragma unroll 1
    for (uint32_t i = 0; i < d.row_taps; i++) {
        const uint32_t row = min(top + i, d.height - 1);
        int32_t wide[3] = {1 << (BITS - 1), 1 << (BITS - 1), 1 << (BITS - 1)};
        #pragma unroll 1
        for (uint32_t j = 0; j < d.column_taps; j++) {
            const uint8_t* from = image + (size_t(row) * d.width + min(left + j, d.width - 1)) * 3;
            const int32_t weight = column_weights[size_t(x) * d.column_taps + j];
            for (uint32_t c = 0; c < 3; c++) wide[c] += weight * from[c];
        }
        const int32_t weight = row_weights[size_t(y) * d.row_taps + i];
        for (uint32_t c = 0; c < 3; c++) sums[c] += weight * round(wide[c]);
    }
    const float mean[3] = {d.mean_0, d.mean_1, d.mean_2}, std[3] = {d.std_0, d.std_1, d.std_2};
    for (uint32_t c = 0; c < 3; c++) {
        const int32_t value = round(d.bgr ? sums[2 - c] : sums[c]);
        store(pixel + c * plane, (float(value) * d.scale - mean[c]) / std[c]);
    }
}

}  // namespace model_input

// Pillow's bilinear resize (integer weights of 22 bits, 8 bits between the axes, horizontal first), then
//   out[n, c, y, x] = (scale * resized[n, y, x, channel c] - mean[c]) / std[c]; 0 right of and below the image
// images [n, height, width, 3]; row_first [rows], row_weights [rows, row_taps], the same for the columns;
// out [n, 3, padded_rows, padded_columns].
// One thread per (x, y, image): grid [padded_columns / 256, padded_rows, n]. Both axes at once: a horizontal pass of
// its own would write and read again as much as the neighbours' shared reads cost in L1.
extern "C" __global__ void __launch_bounds__(256)
model_input_f32(const uint8_t* __restrict__ images, const uint32_t* __restrict__ row_first,
            const int32_t* __restrict__ row_weights, const uint32_t* __restrict__ column_first,
            const int32_t* __restrict__ column_weights, float* __restrict__ out, ModelInputDims d) {
    model_input::run(images, row_first, row_weights, column_first, column_weights, out, d);
}

// As model_input_f32, rounded to the nearest f16.
extern "C" __global__ void __launch_bounds__(256)
model_input_f16(const uint8_t* __restrict__ images, const uint32_t* __restrict__ row_first,
            const int32_t* __restrict__ row_weights, const uint32_t* __restrict__ column_first,
            const int32_t* __restrict__ column_weights, __half* __restrict__ out, ModelInputDims d) {
    model_input::run(images, row_first, row_weights, column_first, column_weights, out, d);
}

// As model_input_f32, where no value is anything but an integer from 0 to 255: scale 1, mean 0, std 1.
extern "C" __global__ void __launch_bounds__(256)
model_input_u8(const uint8_t* __restrict__ images, const uint32_t* __restrict__ row_first,
            const int32_t* __restrict__ row_weights, const uint32_t* __restrict__ column_first,
            const int32_t* __restrict__ column_weights, uint8_t* __restrict__ out, ModelInputDims d) {
    model_input::run(images, row_first, row_weights, column_first, column_weights, out, d);
}
