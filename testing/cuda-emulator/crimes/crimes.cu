// Kernels for the emulator's own tests. The innocent ones come first; each crime is named by its kernel.
#include <cooperative_groups.h>

namespace crimes { constexpr uint32_t THREADS = 64; }

// sum[block] = sum of the block's values
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

// out[i] = i, written by the thread's neighbour in the warp, and handed over through shared memory
extern "C" __global__ void __launch_bounds__(64) innocent_exchange(uint32_t* out) {
    __shared__ uint32_t box[crimes::THREADS];
    for (uint32_t round = 0; round < 100; round++) {
        box[threadIdx.x ^ 1] = threadIdx.x ^ 1;
        __syncwarp();
        out[blockIdx.x * blockDim.x + threadIdx.x] = box[threadIdx.x];
        __syncwarp();
    }
}

// out[i] = i - turn
extern "C" __global__ void __launch_bounds__(64) innocent_rotation(uint32_t* out, uint32_t turn) {
    __shared__ uint32_t box[crimes::THREADS];
    box[(threadIdx.x + turn) % crimes::THREADS] = threadIdx.x;
    __syncthreads();
    out[threadIdx.x] = box[threadIdx.x];
}

// Bytes side by side belong to different threads; all count together; the last block sums up.
extern "C" __global__ void __launch_bounds__(64) innocent_neighbours(uint8_t* bytes, uint32_t* count, uint32_t* sum) {
    __shared__ uint32_t last;
    bytes[blockIdx.x * blockDim.x + threadIdx.x] = uint8_t(threadIdx.x);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicAdd(count, 1u) == gridDim.x - 1;
    __syncthreads();
    if (!last) return;
    __threadfence();
    uint32_t mine = 0;
    for (uint32_t i = threadIdx.x; i < gridDim.x * blockDim.x; i += blockDim.x) mine += bytes[i];
    atomicAdd(sum, mine);
}

// order[n] = the n-th thread to come
extern "C" __global__ void __launch_bounds__(64) arrivals(uint32_t* count, uint32_t* order) {
    order[atomicAdd(count, 1u)] = blockIdx.x * blockDim.x + threadIdx.x;
}

// sum = that of the tiles before this one, from what blocks have told: where many run at a time, which they do not here.
extern "C" __global__ void __launch_bounds__(64) look_back(const uint64_t* told, uint32_t* sum, uint32_t tile) {
    const uint32_t before = scan::look_back(told, tile);
    if (threadIdx.x == 0) sum[0] = before;
}

// Numbers go round: in every round each block writes its own, and reads that of another. The blocks below `leaving` end
// before the last barrier; with `early` each reads before the barrier.
extern "C" __global__ void __launch_bounds__(64)
    rounds_of_the_grid(uint32_t* numbers, uint32_t* out, uint32_t rounds, uint32_t leaving, uint32_t early) {
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    const uint32_t own = blockIdx.x * blockDim.x + threadIdx.x;
    const uint32_t other = (own + blockDim.x) % (gridDim.x * blockDim.x);
    uint32_t number = own;
    for (uint32_t round = 0; round < rounds; round++) {
        numbers[own] = number;
        if (round + 1 == rounds && blockIdx.x < leaving) return;
        if (early == 0) grid.sync();
        number = numbers[other];
        grid.sync();
    }
    out[own] = number;
}

extern "C" __global__ void __launch_bounds__(64) write_past_the_end(uint32_t* out, uint32_t count) {
    if (threadIdx.x <= count) out[threadIdx.x] = 1;
}

extern "C" __global__ void __launch_bounds__(64) read_past_the_end(const uint32_t* in, uint32_t* out, uint32_t count) {
    if (threadIdx.x < count) out[threadIdx.x] = in[threadIdx.x + 1];
}

extern "C" __global__ void __launch_bounds__(64) write_past_shared_memory(uint32_t* out, uint32_t offset) {
    __shared__ uint32_t a[crimes::THREADS], b[crimes::THREADS];
    a[threadIdx.x + offset] = threadIdx.x;
    b[threadIdx.x] = threadIdx.x;
    __syncthreads();
    out[threadIdx.x] = a[crimes::THREADS - 1 - threadIdx.x] + b[threadIdx.x];
}

// Shifts by one: innocent where `in` was written throughout.
extern "C" __global__ void __launch_bounds__(64) shift(const uint32_t* in, uint32_t* out, uint32_t count) {
    if (threadIdx.x + 1 < count) out[threadIdx.x] = in[threadIdx.x + 1];
}

extern "C" __global__ void __launch_bounds__(64) read_unwritten_shared_memory(uint32_t* out) {
    __shared__ uint32_t box[crimes::THREADS];
    if (threadIdx.x > 0) box[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = box[threadIdx.x];
}

extern "C" __global__ void __launch_bounds__(64) add_without_zeroing(uint32_t* sum) { atomicAdd(sum, 1u); }

extern "C" __global__ void __launch_bounds__(64) leave_before_the_barrier(uint32_t* out, uint32_t count) {
    if (threadIdx.x >= count) return;
    __syncthreads();
    out[threadIdx.x] = 1;
}

extern "C" __global__ void __launch_bounds__(64) wait_at_two_barriers(uint32_t* out, uint32_t count) {
    if (threadIdx.x < count) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    out[threadIdx.x] = 1;
}

extern "C" __global__ void __launch_bounds__(64) shuffle_without_a_lane(uint32_t* out, uint32_t count) {
    uint32_t value = threadIdx.x;
    if (threadIdx.x < count) value = __shfl_down_sync(0xffffffffu, value, 1);
    out[threadIdx.x] = value;
}

// A shift through shared memory, with the barrier left out where `forget` says so.
extern "C" __global__ void __launch_bounds__(64) forget_a_barrier(uint32_t* out, uint32_t forget) {
    __shared__ uint32_t box[crimes::THREADS];
    box[threadIdx.x] = threadIdx.x;
    if (!forget) __syncthreads();
    else __syncwarp();
    out[threadIdx.x] = box[(threadIdx.x + 32) % crimes::THREADS];
}

extern "C" __global__ void __launch_bounds__(64) forget_a_warp_barrier(uint32_t* out) {
    __shared__ uint32_t box[crimes::THREADS];
    box[threadIdx.x] = 0;
    __syncthreads();
    box[threadIdx.x] = threadIdx.x;
    out[threadIdx.x] = box[threadIdx.x ^ 1];
}

// Overwrites what others still read.
extern "C" __global__ void __launch_bounds__(64) overwrite_too_early(uint32_t* out) {
    __shared__ uint32_t box[crimes::THREADS];
    box[threadIdx.x] = threadIdx.x;
    __syncthreads();
    const uint32_t other = box[crimes::THREADS - 1 - threadIdx.x];
    box[threadIdx.x] = other;
    __syncthreads();
    out[threadIdx.x] = box[threadIdx.x];
}

extern "C" __global__ void __launch_bounds__(64) count_without_atomics(uint32_t* count) { count[0] += 1; }

extern "C" __global__ void __launch_bounds__(64) read_what_others_count(uint32_t* count, uint32_t* out, uint32_t early) {
    atomicAdd(count, 1u);
    if (early) out[blockIdx.x * blockDim.x + threadIdx.x] = count[0];
    else out[blockIdx.x * blockDim.x + threadIdx.x] = __ldcg(count);
}

extern "C" __global__ void __launch_bounds__(64) load_four(const float* in, float* out, uint32_t offset) {
    const float4 four = *reinterpret_cast<const float4*>(in + offset);
    if (threadIdx.x == 0) out[0] = four.x + four.y + four.z + four.w;
}

extern "C" __global__ void __launch_bounds__(64) give_up(uint32_t* out) {
    if (out) __trap();
}

// 50 KiB of shared memory.
extern "C" __global__ void __launch_bounds__(64) take_too_much_shared_memory(uint32_t* out) {
    __shared__ uint32_t box[12800];
    box[threadIdx.x] = threadIdx.x;
    out[threadIdx.x] = box[threadIdx.x];
}

// Hands the numbers below `count` over through dynamic shared memory, `past` places further on.
extern "C" __global__ void __launch_bounds__(64) turn_in_dynamic_memory(uint32_t* out, uint32_t count, uint32_t past) {
    extern __shared__ __align__(16) uint32_t box[];
    for (uint32_t i = threadIdx.x; i < count; i += crimes::THREADS) box[i + past] = i;
    __syncthreads();
    out[threadIdx.x] = box[count - 1 - threadIdx.x];
}

// 32 lanes read 4 bytes each, `stride` values apart.
extern "C" __global__ void __launch_bounds__(64) strided(const float* in, float* out, uint32_t stride) {
    out[threadIdx.x] = in[threadIdx.x * stride];
}
