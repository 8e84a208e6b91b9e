// Kernels for the emulator's own tests: each innocent one has a twin that commits the crime.

// sum[block] = sum of the block's values; -- one block per 256 values
extern "C" __global__ void __launch_bounds__(256) block_sum(const uint32_t* __restrict__ values, uint32_t* __restrict__ sum, uint32_t count) {
    __shared__ uint32_t partial[8];
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    uint32_t value = i < count ? values[i] : 0;
    for (uint32_t offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
    __syncthreads();
    if (threadIdx.x < 8) value = partial[threadIdx.x];
    if (threadIdx.x < 8) {
        for (uint32_t offset = 4; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffu, value, offset);
        if (threadIdx.x == 0) sum[blockIdx.x] = value;
    }
}
