// The part of CUDA that the kernels use, for a host compiler.
#pragma once
#include <cmath>
#include <type_traits>

#include "fibers.h"

#define __device__
#define __global__
#define __host__
#define SHARED_MEMORY(name) unsigned char *name = emulated::shared

inline void __syncthreads() { emulated::meet(emulated::block.all); }
inline void __syncwarp() { emulated::meet_warp(); }
template <typename T> T __shfl_xor_sync(unsigned, T value, int mask) { return emulated::shuffle(value, mask); }

struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) float4 { float x, y, z, w; };

struct __nv_bfloat16 { uint16_t bits; };

inline float __bfloat162float(__nv_bfloat16 x) {
    uint32_t bits = uint32_t(x.bits) << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

// To the nearest, ties to even.
inline __nv_bfloat16 __float2bfloat16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (x != x) return {0x7fff};
    return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

// Tensor cores: lane l of a warp holds elements l, l + 32, ... of a tile. The real places are another matter, and the
// kernels must not know them.
namespace nvcuda::wmma {

struct row_major {};
struct col_major {};
struct matrix_a {};
struct matrix_b {};
struct accumulator {};
enum layout_t { mem_row_major, mem_col_major };

template <typename Use, int M, int N, int K, typename T, typename Layout = void> struct fragment {
    static_assert(M == 16 && N == 16 && K == 16);
    static constexpr int num_elements = 8;
    float x[8];
};

inline unsigned element(int i) { return i * 32 + emulated::block.current->index % 32; }

inline void check(const void *tile, size_t stride_bytes) {
    if (reinterpret_cast<uintptr_t>(tile) % 32 != 0 || stride_bytes % 16 != 0) {
        emulated::fail("a tensor core's tile is not aligned");
    }
}

template <typename Use, typename Layout>
void load_matrix_sync(fragment<Use, 16, 16, 16, __nv_bfloat16, Layout> &to, const __nv_bfloat16 *from, unsigned stride) {
    check(from, stride * 2);
    emulated::meet_warp();
    for (int i = 0; i < 8; i++) {
        unsigned row = element(i) / 16, column = element(i) % 16;
        bool rows = std::is_same<Layout, row_major>::value;
        to.x[i] = __bfloat162float(rows ? from[row * stride + column] : from[column * stride + row]);
    }
}

typedef fragment<accumulator, 16, 16, 16, float> Sums;

inline void load_matrix_sync(Sums &to, const float *from, unsigned stride, layout_t) {
    check(from, stride * 4);
    emulated::meet_warp();
    for (int i = 0; i < 8; i++) to.x[i] = from[element(i) / 16 * stride + element(i) % 16];
}

inline void store_matrix_sync(float *to, const Sums &from, unsigned stride, layout_t) {
    check(to, stride * 4);
    emulated::meet_warp();
    for (int i = 0; i < 8; i++) to[element(i) / 16 * stride + element(i) % 16] = from.x[i];
}

inline void fill_fragment(Sums &to, float value) {
    for (float &x : to.x) x = value;
}

template <typename A, typename B> void mma_sync(Sums &to, const A &a, const B &b, const Sums &c) {
    float *tiles = emulated::block.tiles.data() + emulated::warp_index() * 512;
    for (int i = 0; i < 8; i++) tiles[element(i)] = a.x[i], tiles[256 + element(i)] = b.x[i];
    emulated::meet_warp();
    for (int i = 0; i < 8; i++) {
        const float *row = tiles + element(i) / 16 * 16, *column = tiles + 256 + element(i) % 16;
        float sum = c.x[i];
        for (int k = 0; k < 16; k++) sum += row[k] * column[k * 16];
        to.x[i] = sum;
    }
    emulated::meet_warp();
}

} // namespace nvcuda::wmma
