// Small matrices in shared memory and their products by the threads of a block: plain multiply-adds on floats, tensor
// cores on bf16. The result is float. Nothing here synchronises; the caller does before and after.
#pragma once
#include "common.cuh"

template <typename T> struct Tile {
    T *data;
    unsigned stride;

    __device__ T *row(unsigned index) const { return data + size_t(index) * stride; }
    __device__ T &at(unsigned row, unsigned column) const { return data[size_t(row) * stride + column]; }
};

// What sizes are rounded up to: a vector of four, or the side of a tensor core's tile.
template <typename T> constexpr unsigned STEP = 4;
template <> constexpr unsigned STEP<bf16> = 16;

template <typename T> __host__ __device__ constexpr unsigned padded(unsigned length) {
    return (length + STEP<T> - 1) / STEP<T> * STEP<T>;
}

// Row lengths that spread a column over the banks: an odd number of four floats; for bf16 eight more than a whole tile.
template <typename T> __host__ __device__ constexpr unsigned stride_of(unsigned length) {
    return sizeof(T) == 2 ? padded<T>(length) + 8 : ((length + 3) / 4 | 1) * 4;
}

// Hands out a block's shared memory in steps of 128 bytes, as tensor cores' tiles want it.
struct Memory {
    unsigned char *next;

    template <typename T> __device__ T *array(unsigned count) {
        T *place = reinterpret_cast<T *>(next);
        next += (count * sizeof(T) + 127) / 128 * 128;
        return place;
    }
    template <typename T> __device__ Tile<T> tile(unsigned rows, unsigned length) {
        unsigned stride = stride_of<T>(length);
        return Tile<T>{array<T>(rows * stride), stride};
    }
};

__device__ inline float4 four(const Tile<float> &tile, unsigned row, unsigned column) {
    return *reinterpret_cast<const float4 *>(&tile.at(row, column));
}

__device__ inline void add(float4 &to, float factor, const float4 &x) {
    to.x += factor * x.x, to.y += factor * x.y, to.z += factor * x.z, to.w += factor * x.w;
}

// c = a b^T: (rows, depth) and (cols, depth). Rows and depth in whole fours; a thread makes four rows of a column, so
// that one read of b serves 16 multiply-adds.
__device__ inline void product_nt(const Tile<float> &c, const Tile<float> &a, const Tile<float> &b, unsigned rows,
                                  unsigned cols, unsigned depth) {
    for (unsigned item = threadIdx.x; item < rows / 4 * cols; item += blockDim.x) {
        unsigned row = item / cols * 4, col = item % cols;
        float sums[4] = {0, 0, 0, 0};
        for (unsigned d = 0; d < depth; d += 4) {
            float4 y = four(b, col, d);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float4 x = four(a, row + i, d);
                sums[i] += x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
            }
        }
#pragma unroll
        for (int i = 0; i < 4; i++) c.at(row + i, col) = sums[i];
    }
}

// c (+)= a b: (rows, depth) and (depth, cols), or a^T b with a (depth, rows) if TURNED. Rows and cols in whole fours.
template <bool TURNED, bool ADD>
__device__ inline void product(const Tile<float> &c, const Tile<float> &a, const Tile<float> &b, unsigned rows,
                               unsigned cols, unsigned depth) {
    for (unsigned item = threadIdx.x; item < rows / 4 * (cols / 4); item += blockDim.x) {
        unsigned row = item / (cols / 4) * 4, col = item % (cols / 4) * 4;
        float4 sums[4];
#pragma unroll
        for (int i = 0; i < 4; i++) sums[i] = ADD ? four(c, row + i, col) : float4{0, 0, 0, 0};
        for (unsigned d = 0; d < depth; d++) {
            float4 y = four(b, d, col);
            float4 x = TURNED ? four(a, d, row)
                              : float4{a.at(row, d), a.at(row + 1, d), a.at(row + 2, d), a.at(row + 3, d)};
            add(sums[0], x.x, y), add(sums[1], x.y, y), add(sums[2], x.z, y), add(sums[3], x.w, y);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) *reinterpret_cast<float4 *>(&c.at(row + i, col)) = sums[i];
    }
}

namespace wmma = nvcuda::wmma;

template <typename Side> using Operand = wmma::fragment<wmma::matrix_a, 16, 16, 16, bf16, Side>;
template <typename Side> using Other = wmma::fragment<wmma::matrix_b, 16, 16, 16, bf16, Side>;

// One tile of 16 x 16 a warp at a time; all sizes in whole sixteens. NT: b is (cols, depth). TURNED: a is (depth, rows).
template <bool TURNED, bool NT, bool ADD>
__device__ inline void tensor_product(const Tile<float> &c, const Tile<bf16> &a, const Tile<bf16> &b, unsigned rows,
                                      unsigned cols, unsigned depth) {
    typedef typename std::conditional<TURNED, wmma::col_major, wmma::row_major>::type SideA;
    typedef typename std::conditional<NT, wmma::col_major, wmma::row_major>::type SideB;
    for (unsigned item = warp_of(); item < rows / 16 * (cols / 16); item += warps()) {
        unsigned row = item / (cols / 16) * 16, col = item % (cols / 16) * 16;
        wmma::fragment<wmma::accumulator, 16, 16, 16, float> sums;
        if (ADD) wmma::load_matrix_sync(sums, &c.at(row, col), c.stride, wmma::mem_row_major);
        else wmma::fill_fragment(sums, 0.0f);
        for (unsigned d = 0; d < depth; d += 16) {
            Operand<SideA> x;
            Other<SideB> y;
            wmma::load_matrix_sync(x, TURNED ? &a.at(d, row) : &a.at(row, d), a.stride);
            wmma::load_matrix_sync(y, NT ? &b.at(col, d) : &b.at(d, col), b.stride);
            wmma::mma_sync(sums, x, y, sums);
        }
        wmma::store_matrix_sync(&c.at(row, col), sums, c.stride, wmma::mem_row_major);
    }
}

__device__ inline void product_nt(const Tile<float> &c, const Tile<bf16> &a, const Tile<bf16> &b, unsigned rows,
                                  unsigned cols, unsigned depth) {
    tensor_product<false, true, false>(c, a, b, rows, cols, depth);
}

template <bool TURNED, bool ADD>
__device__ inline void product(const Tile<float> &c, const Tile<bf16> &a, const Tile<bf16> &b, unsigned rows,
                               unsigned cols, unsigned depth) {
    tensor_product<TURNED, false, ADD>(c, a, b, rows, cols, depth);
}
