// Enough of CUDA C++ for engine/gpu/kernels/*.cu to be compiled by g++ and run on the processor, one thread after another.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
using std::ceil;
using std::floor;
using std::fmin;
using std::max;
using std::min;

struct Index { int x; };
static Index blockIdx, blockDim, threadIdx;

struct __half { std::uint16_t bits; };

// Nearest FP16 number, ties to even (IEEE 754).
static __half __float2half_rn(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, 4);
    const std::uint32_t sign = bits >> 16 & 0x8000;
    const float size = std::fabs(value);
    if (!(size < 65520.0f)) return {std::uint16_t(sign | (size != size ? 0x7e00 : 0x7c00))};
    int exponent;
    std::frexp(size, &exponent);
    // A step of FP16 at this size; below 2^-14 the numbers lie evenly. nearbyint rounds ties to even.
    const int step = size < 0x1p-14f ? -24 : exponent - 11;
    const float steps = std::nearbyint(std::ldexp(size, -step));
    if (size < 0x1p-14f) return {std::uint16_t(sign | std::uint32_t(steps))};
    return {std::uint16_t(sign | ((std::uint32_t(exponent + 14) << 10) + (std::uint32_t(steps) - 1024)))};
}

template <class Kernel, class... Arguments>
static void launch(int threads, Kernel kernel, Arguments... arguments) {
    blockDim.x = 1;
    threadIdx.x = 0;
    for (blockIdx.x = 0; blockIdx.x < threads; ++blockIdx.x) kernel(arguments...);
}
