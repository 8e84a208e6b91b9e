// The exponential function below zero. CPU reference: src/ops/basic/exp.rs.
#pragma once
#include "common.cuh"

namespace exponential {

// e^x for x not above zero, as the reference computes it.
__device__ inline double exp(double x) {
    if (x < -745.2) return 0.0;
    const double high = __longlong_as_double(0x3fe62e42fee00000ll), low = __longlong_as_double(0x3dea39ef35793c76ll);
    const double k = trunc(x * 1.44269504088896340736 - 0.5);
    const double r = x - k * high - k * low;
    double sum = 1.0;
    for (int n = 14; n > 0; --n) sum = 1.0 + r / double(n) * sum;
    const double half = trunc(k * 0.5), rest = k - half;
    return sum * __longlong_as_double((int64_t(half) + 1023) << 52) * __longlong_as_double((int64_t(rest) + 1023) << 52);
}

}  // namespace exponential
