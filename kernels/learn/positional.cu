// What the weight network reads of a box: its feature and its positional code (paper section 4.2).
// CPU reference: src/ops/learn/positional.rs.
#include "common.cuh"

struct PositionalDims {
    uint32_t boxes;     // B
    uint32_t features;  // F
};

namespace positional {
constexpr uint32_t PLACE = 7, CODE = PLACE * 21;

// sin(x + quarters pi / 2), to 1e-16 for |x| < 1e6: the library's keeps a slow way for larger x on the stack.
// x loses a multiple of pi / 2, in two parts; what is left, in [-pi/4, pi/4], goes into a Taylor polynomial.
__device__ inline double sine(double x, int32_t quarters) {
    const double n = rint(x * 0.6366197723675814);
    const double r = fma(n, -6.123233995736766e-17, fma(n, -1.5707963267948966, x)), square = r * r;
    quarters += __double2int_rn(n);
    double sum = 0.0;
    const bool odd = quarters & 1;  // cos: 1 - r^2 / 2! + ..., or sin: r (1 - r^2 / 3! + ...)
    #pragma unroll
    for (int32_t i = 9; i > 0; i--) {
        const double even = 1.0 / ((2 * i - 1) * (2 * i)), uneven = 1.0 / ((2 * i) * (2 * i + 1));
        sum = (1.0 + sum) * -(square * (odd ? even : uneven));
    }
    sum = odd ? 1.0 + sum : r + r * sum;
    return quarters & 2 ? -sum : sum;
}
}  // namespace positional

// x[b] = feature[b], u, sin(2^0 u), cos(2^0 u), ..., sin(2^9 u), cos(2^9 u), in f64, then rounded; u = place[b] (7)
// feature [B, F], place [B, 7], x [B, F + 147]. One thread per number of x.
extern "C" __global__ void __launch_bounds__(256)
positional_inputs(const float* __restrict__ feature, const double* __restrict__ place, float* __restrict__ x,
                  PositionalDims d) {
    const uint32_t columns = d.features + positional::CODE, i = thread_index();
    if (i >= d.boxes * columns) return;
    const uint32_t box = i / columns, column = i % columns;
    if (column < d.features) {
        x[i] = feature[size_t(box) * d.features + column];
        return;
    }
    const uint32_t at = column - d.features, of = at / positional::PLACE;
    const double u = place[size_t(box) * positional::PLACE + at % positional::PLACE];
    if (of == 0) {
        x[i] = float(u);
        return;
    }
    const double angle = double(1u << (of - 1) / 2) * u;
    x[i] = float(positional::sine(angle, of % 2 == 1 ? 0 : 1));
}

struct PositionalPlacesDims {
    uint32_t boxes;  // B
    uint32_t side;   // of the views' images
};

// place[b] = direction of the view (3), x / side, y / side, (x + height) / side, (y + width) / side
// bboxes [B, 4] x, y, width, height, views [B], directions [K, 3], place [B, 7]. One thread per box.
extern "C" __global__ void __launch_bounds__(256)
positional_places(const float* __restrict__ bboxes, const uint32_t* __restrict__ views,
                  const double* __restrict__ directions, double* __restrict__ place, PositionalPlacesDims d) {
    const uint32_t b = thread_index();
    if (b >= d.boxes) return;
    const float4 box = reinterpret_cast<const float4*>(bboxes)[b];
    const double* direction = directions + 3 * size_t(views[b]);
    const double x = box.x, y = box.y, width = box.z, height = box.w, side = d.side;
    double* out = place + positional::PLACE * size_t(b);
    for (uint32_t i = 0; i < 3; i++) out[i] = direction[i];
    out[3] = x / side;
    out[4] = y / side;
    out[5] = (x + height) / side;
    out[6] = (y + width) / side;
}
