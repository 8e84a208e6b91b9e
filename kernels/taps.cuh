// Logits sampled at a pixel: three taps along each axis (ops::lift::mask).
#pragma once
#include "common.cuh"

// `at`: the first of 3 x 3 logits in rows of 256.
__device__ inline float tapped(const float* at, const float (&across)[3], const float (&down)[3]) {
    float sum = 0.0f;
    for (uint32_t i = 0; i < 3; i++, at += 256) {
        sum += down[i] * (across[0] * at[0] + across[1] * at[1] + across[2] * at[2]);
    }
    return sum;
}
