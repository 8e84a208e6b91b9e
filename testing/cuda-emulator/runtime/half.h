// IEEE half precision by hand: conversions round to nearest even; arithmetic goes through float, as on a device
// without fused steps.
#pragma once

struct __half_raw { unsigned short x; };

struct __half {
    unsigned short bits;
    __half() = default;
    __half(float value) : bits(from(value)) {}
    __half(__half_raw raw) : bits(raw.x) {}
    operator float() const { return to(bits); }

    static unsigned short from(float value) {
        const uint32_t f = std::bit_cast<uint32_t>(value), sign = f >> 16 & 0x8000u, magnitude = f & 0x7fffffffu;
        if (magnitude > 0x7f800000u) return 0x7fffu;
        if (magnitude >= 0x477ff000u) return sign | 0x7c00u;                    // rounds to more than 65504
        if (magnitude < 0x38800000u) {                                          // subnormal: units of 2^-24
            const float units = std::nearbyint(std::bit_cast<float>(magnitude) * 16777216.0f);
            return sign | uint32_t(units);
        }
        const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
        return sign | ((rounded - 0x38000000u) >> 13);
    }
    static float to(unsigned short h) {
        const uint32_t sign = uint32_t(h & 0x8000u) << 16, exponent = h >> 10 & 31u, fraction = h & 0x3ffu;
        if (exponent == 0) {
            const float value = float(fraction) / 16777216.0f;
            return sign ? -value : value;
        }
        return std::bit_cast<float>(sign | (exponent == 31 ? 0x7f800000u : (exponent + 112u) << 23) | fraction << 13);
    }
};
static_assert(sizeof(__half) == 2);
struct alignas(4) __half2 { __half x, y; };
using half = __half;
using half2 = __half2;

inline __half __float2half(float x) { return __half(x); }
inline __half __float2half_rn(float x) { return __half(x); }
inline float __half2float(__half x) { return x; }
inline __half __ushort_as_half(unsigned short x) { return __half(__half_raw{x}); }
inline unsigned short __half_as_ushort(__half x) { return x.bits; }
inline __half2 __floats2half2_rn(float x, float y) { return {__half(x), __half(y)}; }
inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
inline float2 __half22float2(__half2 h) { return {float(h.x), float(h.y)}; }
inline float __low2float(__half2 h) { return h.x; }
inline float __high2float(__half2 h) { return h.y; }
