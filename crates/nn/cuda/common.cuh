// Numbers, packs of numbers, and sums over a warp or a block: what all kernels share.
//
// Storage is float or bf16, arithmetic float. No kernel uses atomics: sums are taken in an order that depends on the
// shape only, so results are the same to the last bit from run to run.
#pragma once

#ifdef COLA_EMULATE
#include "emulate/device.h"
#else
#include <cuda_bf16.h>
#include <mma.h>
#define SHARED_MEMORY(name) extern __shared__ __align__(128) unsigned char name[]
#endif

#include <stdint.h>

typedef __nv_bfloat16 bf16;

// An entry point; its parameters are what the launching side checks its arguments against.
#define KERNEL(name) extern "C" __global__ void name

constexpr unsigned WARP = 32;
constexpr unsigned ALL = 0xffffffffu;
constexpr float INFINITE = __builtin_huge_valf();

__device__ inline float number(float x) { return x; }
__device__ inline float number(bf16 x) { return __bfloat162float(x); }

template <typename T> __device__ inline T stored(float x);
template <> __device__ inline float stored<float>(float x) { return x; }
template <> __device__ inline bf16 stored<bf16>(float x) { return __float2bfloat16(x); }

// Numbers in 16 bytes: what a thread moves at once.
template <typename T> constexpr int PACK = 16 / sizeof(T);

template <int BYTES> struct Raw;
template <> struct Raw<2> { typedef unsigned short Type; };
template <> struct Raw<4> { typedef unsigned Type; };
template <> struct Raw<8> { typedef uint2 Type; };
template <> struct Raw<16> { typedef uint4 Type; };

// Bytes of the widest single access for W numbers: a pack of floats beside one of bf16 takes two.
template <typename T, int W> constexpr int ACCESS = sizeof(T) * W < 16 ? sizeof(T) * W : 16;

template <typename T, int W> __device__ inline void load(float (&to)[W], const T *from) {
    typedef typename Raw<ACCESS<T, W>>::Type Word;
    constexpr int COUNT = sizeof(T) * W / sizeof(Word);
    Word raw[COUNT];
    T values[W];
#pragma unroll
    for (int i = 0; i < COUNT; i++) raw[i] = reinterpret_cast<const Word *>(from)[i];
    memcpy(values, raw, sizeof(values));
#pragma unroll
    for (int i = 0; i < W; i++) to[i] = number(values[i]);
}

template <typename T, int W> __device__ inline void store(T *to, const float (&from)[W]) {
    typedef typename Raw<ACCESS<T, W>>::Type Word;
    constexpr int COUNT = sizeof(T) * W / sizeof(Word);
    Word raw[COUNT];
    T values[W];
#pragma unroll
    for (int i = 0; i < W; i++) values[i] = stored<T>(from[i]);
    memcpy(raw, values, sizeof(values));
#pragma unroll
    for (int i = 0; i < COUNT; i++) reinterpret_cast<Word *>(to)[i] = raw[i];
}

// Whether rows of `width` numbers from here on can be moved W at a time. A null pointer can.
template <int W, typename T> __device__ inline bool fits(const T *start, unsigned width) {
    return width % W == 0 && reinterpret_cast<uintptr_t>(start) % ACCESS<T, W> == 0;
}

__device__ inline unsigned lane_of() { return threadIdx.x % WARP; }
__device__ inline unsigned warp_of() { return threadIdx.x / WARP; }
__device__ inline unsigned warps() { return blockDim.x / WARP; }

// Every lane gets the same bits: the butterfly adds the same pairs everywhere.
__device__ inline float warp_sum(float x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(ALL, x, step);
    return x;
}

__device__ inline float warp_max(float x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(ALL, x, step));
    return x;
}

// Sums of N numbers over the block, known to all threads; `place` holds N * 32 floats of shared memory.
template <int N> __device__ inline void block_sum(float (&x)[N], float *place) {
#pragma unroll
    for (int n = 0; n < N; n++) {
        x[n] = warp_sum(x[n]);
        if (lane_of() == 0) place[n * WARP + warp_of()] = x[n];
    }
    __syncthreads();
#pragma unroll
    for (int n = 0; n < N; n++) {
        x[n] = 0;
        for (unsigned warp = 0; warp < warps(); warp++) x[n] += place[n * WARP + warp];
    }
    __syncthreads();
}

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// Which row of a table goes with a row of `x`: row r with (r / inner) % count.
__device__ inline size_t group(unsigned row, unsigned inner, unsigned count) { return (row / inner) % count; }

// Rows in which no table changes, cut into pieces: what one block sums. Row numbers of run r.
struct Runs {
    unsigned segment, pieces, length;

    __device__ unsigned first(unsigned run) const { return run / pieces * segment + run % pieces * length; }
    __device__ unsigned end(unsigned run) const {
        unsigned whole = (run / pieces + 1) * segment, own = first(run) + length;
        return own < whole ? own : whole;
    }
};
