// What a linear layer needs beside cuBLAS's products: its bias, and sums over rows.
#include "common.cuh"

// x += b. Moves 2 numbers an element.
template <typename T, typename P, int W>
__device__ void bias(T *x, const P *bias, uint64_t count, unsigned width) {
    uint64_t start = (uint64_t(blockIdx.x) * blockDim.x + threadIdx.x) * PACK<T>;
    for (uint64_t i = start; i < count && i < start + PACK<T>; i += W) {
        float values[W], biases[W];
        load(values, x + i);
        load(biases, bias + i % width);
#pragma unroll
        for (int k = 0; k < W; k++) values[k] += biases[k];
        store(x + i, values);
    }
}

// Sums of the columns of a run of rows. Moves 1 number an element.
template <typename T, int W> __device__ void columns(float *sums, const T *x, Runs runs, unsigned width) {
    unsigned column = (blockIdx.y * blockDim.x + threadIdx.x) * W, row = runs.first(blockIdx.x);
    if (column >= width) return;
    float total[W], values[W];
#pragma unroll
    for (int k = 0; k < W; k++) total[k] = 0;
    for (unsigned end = runs.end(blockIdx.x); row < end; row++) {
        load(values, x + size_t(row) * width + column);
#pragma unroll
        for (int k = 0; k < W; k++) total[k] += values[k];
    }
    for (int k = 0; k < W; k++) sums[size_t(blockIdx.x) * width + column + k] = total[k];
}

// The second half of every sum over rows: row g of the total is the sum of the runs that belong to group g, which are
// `each` neighbours in each of `visits` places. Blocks of (32, 8): eight threads share a column's runs.
template <typename P>
__device__ void gather(P *total, const float *partial, unsigned width, unsigned count, unsigned each,
                       unsigned visits) {
    SHARED_MEMORY(memory);
    float *place = reinterpret_cast<float *>(memory);
    unsigned tiles = (width + WARP - 1) / WARP, wanted = blockIdx.x / tiles;
    unsigned column = blockIdx.x % tiles * WARP + threadIdx.x;
    float sum = 0;
    if (column < width) {
        for (unsigned k = threadIdx.y; k < each * visits; k += blockDim.y) {
            size_t run = size_t(k / each * count + wanted) * each + k % each;
            sum += partial[run * width + column];
        }
    }
    place[threadIdx.y * WARP + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || column >= width) return;
    for (unsigned y = 1; y < blockDim.y; y++) sum += place[y * WARP + threadIdx.x];
    total[size_t(wanted) * width + column] = stored<P>(sum);
}

#define BIAS(T, type, P, table)                                                                                      \
    KERNEL(bias_##T##_##P)(type *x, const table *b, uint64_t count, unsigned width) {                                \
        constexpr int W = PACK<type>;                                                                                \
        if (fits<W>(x, width) && fits<W>(b, width)) bias<type, table, W>(x, b, count, width);                        \
        else bias<type, table, 1>(x, b, count, width);                                                               \
    }

BIAS(f32, float, f32, float)
BIAS(bf16, bf16, bf16, bf16)
BIAS(bf16, bf16, f32, float)

// As many blocks along y as the columns need at `W` a thread: a pack if `packed`, else 1. Shared memory of the gather:
// 32 * 8 floats.
#define SUMS(T, type)                                                                                                \
    KERNEL(columns_##T)(float *sums, const type *x, Runs runs, unsigned width, unsigned packed) {                    \
        if (packed) columns<type, PACK<type>>(sums, x, runs, width);                                                 \
        else columns<type, 1>(sums, x, runs, width);                                                                 \
    }                                                                                                                \
    KERNEL(gather_##T)(type *total, const float *partial, unsigned width, unsigned count, unsigned each,             \
                       unsigned visits) {                                                                            \
        gather(total, partial, width, count, each, visits);                                                          \
    }

SUMS(f32, float)
SUMS(bf16, bf16)
