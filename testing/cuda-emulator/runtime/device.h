// The CUDA dialect as a kernel sees it, for the host compiler. What a thread may ask of its block is done in block.cpp.
#pragma once
#include <algorithm>
#include <bit>
#include <cfloat>
#include <climits>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// One copy for each worker; a worker runs one block at a time. The unused neighbour keeps arrays apart, so that an
// access past the end of one does not land in the next.
#define EMULATOR_JOIN_(a, b) a##b
#define EMULATOR_JOIN(a, b) EMULATOR_JOIN_(a, b)
#define __shared__                                                                                  \
    [[gnu::used]] static thread_local char EMULATOR_JOIN(emulator_gap_, __COUNTER__)[256]; \
    static thread_local

#define CUDART_INF_F (__builtin_inff())
#define CUDART_NAN_F (__builtin_nanf(""))
#define CUDART_PI_F 3.141592654f
#define CUDART_INF (__builtin_inf())
#define CUDART_PI 3.14159265358979323846

// A vector is loaded and stored at once, not member by member: the checked build has copies call these.
extern "C" void emulator_copy(const void *to, const void *from, size_t bytes, const void *site);
#ifdef EMULATOR_CHECKED
#define EMULATOR_COPY(name)                                                                                          \
    name() = default;                                                                                                \
    [[gnu::noinline, gnu::no_sanitize("thread")]] name(const name &from) {                                           \
        emulator_copy(nullptr, &from, sizeof from, __builtin_return_address(0));                                     \
        __builtin_memcpy(static_cast<void *>(this), &from, sizeof from);                                             \
    }                                                                                                                \
    [[gnu::noinline, gnu::no_sanitize("thread")]] name &operator=(const name &from) {                                \
        emulator_copy(this, &from, sizeof from, __builtin_return_address(0));                                        \
        __builtin_memcpy(static_cast<void *>(this), &from, sizeof from);                                             \
        return *this;                                                                                                \
    }
#else
#define EMULATOR_COPY(name) name() = default;
#endif
#define EMULATOR_VECTORS(T, name, align2, align4)                                                                    \
    struct alignas(align2) name##2 {                                                                                 \
        T x, y;                                                                                                      \
        EMULATOR_COPY(name##2)                                                                                       \
        name##2(T x, T y) : x(x), y(y) {}                                                                            \
    };                                                                                                               \
    struct name##3 { T x, y, z; };                                                                                   \
    struct alignas(align4) name##4 {                                                                                 \
        T x, y, z, w;                                                                                                \
        EMULATOR_COPY(name##4)                                                                                       \
        name##4(T x, T y, T z, T w) : x(x), y(y), z(z), w(w) {}                                                      \
    };                                                                                                               \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                                       \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                                               \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMULATOR_VECTORS(float, float, 8, 16)
EMULATOR_VECTORS(double, double, 16, 16)
EMULATOR_VECTORS(int, int, 8, 16)
EMULATOR_VECTORS(unsigned int, uint, 8, 16)
EMULATOR_VECTORS(short, short, 4, 8)
EMULATOR_VECTORS(unsigned short, ushort, 4, 8)
EMULATOR_VECTORS(signed char, char, 2, 4)
EMULATOR_VECTORS(unsigned char, uchar, 2, 4)
EMULATOR_VECTORS(long long, longlong, 16, 16)
EMULATOR_VECTORS(unsigned long long, ulonglong, 16, 16)
struct dim3 { unsigned int x = 1, y = 1, z = 1; };

// The place in the source that asks, for messages and for telling one barrier from another.
#define EMULATOR_WHERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

extern "C" {
enum emulator_collective { SHUFFLE, SHUFFLE_UP, SHUFFLE_DOWN, SHUFFLE_XOR, BALLOT, MATCH, ADD, ADD_SIGNED, LEAST, LEAST_SIGNED,
                           GREATEST, GREATEST_SIGNED, AND, OR, XOR, SYNC };
enum emulator_atomic { ATOMIC_ADD, ATOMIC_MIN, ATOMIC_MAX, ATOMIC_MIN_SIGNED, ATOMIC_MAX_SIGNED, ATOMIC_AND, ATOMIC_OR, ATOMIC_XOR,
                       ATOMIC_EXCHANGE, ATOMIC_COMPARE };
__attribute__((const)) uint3 emulator_thread_index();
__attribute__((const)) uint3 emulator_block_index();
__attribute__((const)) uint3 emulator_block_size();
__attribute__((const)) uint3 emulator_grid_size();
// The number of threads of the block whose value is not zero.
int emulator_barrier(int value, const char *file, int line);
void emulator_grid_barrier(const char *file, int line);
// `words`: of 32 bits, that a lane shows the others; votes, which are faster, count as none.
uint64_t emulator_warp(int collective, unsigned mask, uint64_t value, int argument, int width, int words, const char *file, int line);
uint64_t emulator_atomic_on(int operation, void *address, int bytes, uint64_t value, uint64_t compare, const char *file, int line);
void emulator_fence();
[[noreturn]] void emulator_trap(const char *file, int line);
// What `extern __shared__ T name[]` points to: build.rs writes a pointer in its place.
__attribute__((const)) void *emulator_dynamic_shared();
// Whether this planted bug is the one that PARTSTAD_MUTANT names (mutants.txt).
__attribute__((const)) bool emulator_mutant(int number);
}

#define threadIdx (emulator_thread_index())
#define blockIdx (emulator_block_index())
#define blockDim (emulator_block_size())
#define gridDim (emulator_grid_size())
constexpr int warpSize = 32;

inline void __syncthreads(EMULATOR_WHERE) { emulator_barrier(0, file, line); }
inline int __syncthreads_count(int value, EMULATOR_WHERE) { return emulator_barrier(value, file, line); }
inline int __syncthreads_or(int value, EMULATOR_WHERE) { return emulator_barrier(value, file, line) != 0; }
inline int __syncthreads_and(int value, EMULATOR_WHERE) { return emulator_barrier(!value, file, line) == 0; }
inline void __threadfence() { emulator_fence(); }
inline void __threadfence_block() { emulator_fence(); }
inline void __trap(EMULATOR_WHERE) { emulator_trap(file, line); }

// Values of any scalar type travel as 64 bits.
template <class T> inline uint64_t emulator_pack(T value) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
    uint64_t bits = 0;
    __builtin_memcpy(&bits, &value, sizeof(T));
    return bits;
}
template <class T> inline T emulator_unpack(uint64_t bits) {
    T value;
    __builtin_memcpy(&value, &bits, sizeof(T));
    return value;
}

inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATOR_WHERE) { emulator_warp(SYNC, mask, 0, 0, 32, 0, file, line); }
#define EMULATOR_SHUFFLE(name, collective, U)                                                                        \
    template <class T> inline T name(unsigned mask, T value, U argument, int width = 32, EMULATOR_WHERE) {           \
        return emulator_unpack<T>(                                                                                   \
            emulator_warp(collective, mask, emulator_pack(value), int(argument), width, (sizeof(T) + 3) / 4, file, line)); \
    }
EMULATOR_SHUFFLE(__shfl_sync, SHUFFLE, int)
EMULATOR_SHUFFLE(__shfl_up_sync, SHUFFLE_UP, unsigned)
EMULATOR_SHUFFLE(__shfl_down_sync, SHUFFLE_DOWN, unsigned)
EMULATOR_SHUFFLE(__shfl_xor_sync, SHUFFLE_XOR, int)

inline unsigned __ballot_sync(unsigned mask, int value, EMULATOR_WHERE) {
    return unsigned(emulator_warp(BALLOT, mask, value != 0, 0, 32, 0, file, line));
}
inline int __any_sync(unsigned mask, int value, EMULATOR_WHERE) { return __ballot_sync(mask, value, file, line) != 0; }
inline int __all_sync(unsigned mask, int value, EMULATOR_WHERE) { return __ballot_sync(mask, value, file, line) == mask; }
template <class T> inline unsigned __match_any_sync(unsigned mask, T value, EMULATOR_WHERE) {
    return unsigned(emulator_warp(MATCH, mask, emulator_pack(value), 0, 32, 1, file, line));
}
template <class T> inline unsigned __match_all_sync(unsigned mask, T value, int *same, EMULATOR_WHERE) {
    *same = unsigned(emulator_warp(MATCH, mask, emulator_pack(value), 0, 32, 1, file, line)) == mask;
    return *same ? mask : 0;
}
#define EMULATOR_REDUCE(name, T, collective)                                                                         \
    inline T name(unsigned mask, T value, EMULATOR_WHERE) {                                                          \
        return T(emulator_warp(collective, mask, emulator_pack(value), 0, 32, 1, file, line));                       \
    }
EMULATOR_REDUCE(__reduce_add_sync, unsigned, ADD)
EMULATOR_REDUCE(__reduce_add_sync, int, ADD_SIGNED)
EMULATOR_REDUCE(__reduce_min_sync, unsigned, LEAST)
EMULATOR_REDUCE(__reduce_min_sync, int, LEAST_SIGNED)
EMULATOR_REDUCE(__reduce_max_sync, unsigned, GREATEST)
EMULATOR_REDUCE(__reduce_max_sync, int, GREATEST_SIGNED)
EMULATOR_REDUCE(__reduce_and_sync, unsigned, AND)
EMULATOR_REDUCE(__reduce_or_sync, unsigned, OR)
EMULATOR_REDUCE(__reduce_xor_sync, unsigned, XOR)
inline unsigned __activemask(EMULATOR_WHERE) { emulator_trap(file, line); }  // which lanes run together is nobody's promise

// Atomics: integers only; a sum of floats would depend on the order.
template <class T> struct emulator_same { using type = T; };
template <class T> concept EmulatorAtomic = std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8);
#define EMULATOR_ATOMIC(name, operation)                                                                             \
    template <EmulatorAtomic T>                                                                                      \
    inline T name(T *address, typename emulator_same<T>::type value, EMULATOR_WHERE) {                               \
        return T(emulator_atomic_on(operation, address, sizeof(T), emulator_pack(value), 0, file, line));            \
    }
EMULATOR_ATOMIC(atomicAdd, ATOMIC_ADD)
EMULATOR_ATOMIC(atomicMin, std::is_signed_v<T> ? ATOMIC_MIN_SIGNED : ATOMIC_MIN)
EMULATOR_ATOMIC(atomicMax, std::is_signed_v<T> ? ATOMIC_MAX_SIGNED : ATOMIC_MAX)
EMULATOR_ATOMIC(atomicAnd, ATOMIC_AND)
EMULATOR_ATOMIC(atomicOr, ATOMIC_OR)
EMULATOR_ATOMIC(atomicXor, ATOMIC_XOR)
template <class T>
    requires EmulatorAtomic<T> || std::is_same_v<T, float>
inline T atomicExch(T *address, typename emulator_same<T>::type value, EMULATOR_WHERE) {
    return emulator_unpack<T>(emulator_atomic_on(ATOMIC_EXCHANGE, address, sizeof(T), emulator_pack(value), 0, file, line));
}
template <EmulatorAtomic T> inline T atomicSub(T *address, typename emulator_same<T>::type value, EMULATOR_WHERE) {
    return atomicAdd(address, T(0) - value, file, line);
}
template <EmulatorAtomic T>
inline T atomicCAS(T *address, typename emulator_same<T>::type compare, typename emulator_same<T>::type value,
                   EMULATOR_WHERE) {
    return T(emulator_atomic_on(ATOMIC_COMPARE, address, sizeof(T), emulator_pack(value), emulator_pack(compare), file, line));
}

// Loads and stores that choose a cache.
template <class T> inline T __ldg(const T *address) { return *address; }
template <class T> inline T __ldcs(const T *address) { return *address; }
template <class T> inline T __ldca(const T *address) { return *address; }
template <class T> inline void __stcs(T *address, T value) { *address = value; }
// Past the first-level cache: what kernels use where other blocks write at the same time.
template <class T> inline T __ldcg(const T *address) { return *static_cast<const volatile T *>(address); }
template <class T> inline void __stcg(T *address, T value) { *static_cast<volatile T *>(address) = value; }

// Bits.
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(unsigned(x)); }
inline int __clzll(long long x) { return std::countl_zero((unsigned long long)(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (int bit = 0; bit < 32; bit++) reversed |= (x >> bit & 1u) << (31 - bit);
    return reversed;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }

// Arithmetic with its rounding named, and conversions.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline double __dsqrt_rn(double a) { return std::sqrt(a); }
// A device's conversion saturates, where the host's is undefined, and takes NaN to zero; of 64 bits, to the highest bit.
template <class I, class F> inline I emulator_saturate(F x) {
    if (!(x == x)) return sizeof(I) == 8 || sizeof(F) == 8 ? I(I(1) << (sizeof(I) * 8 - 1)) : 0;
    if (x <= F(std::is_signed_v<I> ? (sizeof(I) == 4 ? INT_MIN : LLONG_MIN) : 0))
        return std::is_signed_v<I> ? I(I(1) << (sizeof(I) * 8 - 1)) : I(0);
    constexpr F end = std::is_signed_v<I> ? F(uint64_t(1) << (sizeof(I) * 8 - 1)) : F(uint64_t(1) << (sizeof(I) * 4)) * F(uint64_t(1) << (sizeof(I) * 4));
    if (x >= end) return I(std::is_signed_v<I> ? ~(I(1) << (sizeof(I) * 8 - 1)) : ~I(0));
    return I(x);
}
inline int __float2int_rz(float x) { return emulator_saturate<int>(std::trunc(x)); }
inline int __float2int_rd(float x) { return emulator_saturate<int>(std::floor(x)); }
inline int __float2int_ru(float x) { return emulator_saturate<int>(std::ceil(x)); }
inline int __float2int_rn(float x) { return emulator_saturate<int>(std::nearbyint(x)); }
inline unsigned __float2uint_rz(float x) { return emulator_saturate<unsigned>(std::trunc(x)); }
inline unsigned __float2uint_rd(float x) { return emulator_saturate<unsigned>(std::floor(x)); }
inline unsigned __float2uint_rn(float x) { return emulator_saturate<unsigned>(std::nearbyint(x)); }
inline int __double2int_rn(double x) { return emulator_saturate<int>(std::nearbyint(x)); }
inline int __double2int_rz(double x) { return emulator_saturate<int>(std::trunc(x)); }
inline float __int2float_rn(int x) { return float(x); }
inline float __uint2float_rn(unsigned x) { return float(x); }
inline float __double2float_rn(double x) { return float(x); }
inline float __saturatef(float x) { return !(x > 0.0f) ? 0.0f : x > 1.0f ? 1.0f : x; }

// Of two floats, one of them NaN, the other, and -0 is less than 0, as PTX has it; of int and unsigned, both as unsigned.
template <class A, class B> inline std::common_type_t<A, B> min(A a, B b) {
    using T = std::common_type_t<A, B>;
    const T x = T(a), y = T(b);
    if constexpr (std::is_floating_point_v<T>) {
        if (x == y) return std::signbit(y) ? y : x;
        return std::fmin(x, y);
    }
    return y < x ? y : x;
}
template <class A, class B> inline std::common_type_t<A, B> max(A a, B b) {
    using T = std::common_type_t<A, B>;
    const T x = T(a), y = T(b);
    if constexpr (std::is_floating_point_v<T>) {
        if (x == y) return std::signbit(x) ? y : x;
        return std::fmax(x, y);
    }
    return x < y ? y : x;
}
using std::isfinite, std::isinf, std::isnan, std::abs;

#include "half.h"

// Those of the C library leave open which of two zeros they give.
#define fminf(a, b) (min)(a, b)
#define fmaxf(a, b) (max)(a, b)
#define fmin(a, b) (min)(a, b)
#define fmax(a, b) (max)(a, b)
