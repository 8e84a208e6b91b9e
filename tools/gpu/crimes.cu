// A crime for each tool of compute-sanitizer, named on the command line: proof that the tool runs and finds.
#include <cstdio>
#include <cstring>
#include <cuda_runtime.h>

__global__ void memcheck(int* x) { x[threadIdx.x + 1] = 1; }

__global__ void initcheck(const int* x, int* y) { y[threadIdx.x] = x[threadIdx.x] + 1; }

__global__ void racecheck(int* y) {
    __shared__ int box[64];
    box[threadIdx.x] = threadIdx.x;
    y[threadIdx.x] = box[threadIdx.x ^ 32];  // no barrier: written by the other warp
}

__global__ void synccheck(int* y) {
    if (threadIdx.x < 16) __syncthreads();  // half a warp only
    y[threadIdx.x] = 1;
}

int main(int, char** arguments) {
    int *x, *y;
    cudaMalloc(&x, 64 * sizeof *x);
    cudaMalloc(&y, 64 * sizeof *y);
    const char* crime = arguments[1];
    if (!std::strcmp(crime, "memcheck")) memcheck<<<1, 64>>>(x);
    if (!std::strcmp(crime, "initcheck")) initcheck<<<1, 64>>>(x, y);
    if (!std::strcmp(crime, "racecheck")) racecheck<<<1, 64>>>(y);
    if (!std::strcmp(crime, "synccheck")) synccheck<<<1, 64>>>(y);
    std::printf("%s: %s\n", crime, cudaGetErrorString(cudaDeviceSynchronize()));
}
