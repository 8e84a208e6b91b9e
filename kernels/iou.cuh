// Intersection over union.
#pragma once
#include "common.cuh"

// Of two rectangles (left, top, right, bottom); 0 if they do not touch or both are empty.
__device__ inline double iou(const float* a, const float* b) {
    const double width = fmin(double(a[2]), double(b[2])) - fmax(double(a[0]), double(b[0]));
    const double height = fmin(double(a[3]), double(b[3])) - fmax(double(a[1]), double(b[1]));
    if (!(width > 0.0 && height > 0.0)) return 0.0;
    const double area_a = (double(a[2]) - a[0]) * (double(a[3]) - a[1]);
    const double area_b = (double(b[2]) - b[0]) * (double(b[3]) - b[1]);
    return width * height / (area_a + area_b - width * height);
}
