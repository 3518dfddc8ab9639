// What a linear layer needs around cuBLAS's products: its bias, the activation after it, their gradients.
#include "activation.cuh"

// x += b, and y = gelu(x) if y is given: x is then what the backward pass needs. Moves 2 numbers an element, 3 with y.
template <typename T, typename P, int W>
__device__ void bias_forward(T *x, T *y, const P *bias, uint64_t count, unsigned width) {
    uint64_t start = (uint64_t(blockIdx.x) * blockDim.x + threadIdx.x) * PACK<T>;
    for (uint64_t i = start; i < count && i < start + PACK<T>; i += W) {
        float values[W], biases[W];
        load(values, x + i);
        load(biases, bias + i % width);
#pragma unroll
        for (int k = 0; k < W; k++) values[k] += biases[k];
        store(x + i, values);
        if (!y) continue;
        // Of the number as it is stored: the slope will be taken there.
#pragma unroll
        for (int k = 0; k < W; k++) values[k] = Gelu::value(number(stored<T>(values[k])));
        store(y + i, values);
    }
}

// Sums of the columns of a run of rows; of dy, or of dy gelu'(x) if x is given, which then goes to dx as well. Moves 1
// number an element, 3 with x.
template <typename T, int W>
__device__ void bias_backward(T *dx, float *sums, const T *x, const T *grad, Runs runs, unsigned width) {
    unsigned column = (blockIdx.y * blockDim.x + threadIdx.x) * W, row = runs.first(blockIdx.x);
    if (column >= width) return;
    float total[W], grads[W], values[W];
#pragma unroll
    for (int k = 0; k < W; k++) total[k] = 0;
    for (unsigned end = runs.end(blockIdx.x); row < end; row++) {
        size_t at = size_t(row) * width + column;
        load(grads, grad + at);
        if (x) {
            load(values, x + at);
#pragma unroll
            for (int k = 0; k < W; k++) grads[k] *= Gelu::slope(values[k]);
            store(dx + at, grads);
        }
#pragma unroll
        for (int k = 0; k < W; k++) total[k] += grads[k];
    }
    if (!sums) return;
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
    KERNEL(bias_forward_##T##_##P)(type *x, type *y, const table *bias, uint64_t count, unsigned width) {            \
        constexpr int W = PACK<type>;                                                                                \
        if (fits<W>(x, width) && fits<W>(y, width) && fits<W>(bias, width)) {                                        \
            bias_forward<type, table, W>(x, y, bias, count, width);                                                  \
        } else {                                                                                                     \
            bias_forward<type, table, 1>(x, y, bias, count, width);                                                  \
        }                                                                                                            \
    }

BIAS(f32, float, f32, float)
BIAS(bf16, bf16, bf16, bf16)
BIAS(bf16, bf16, f32, float)

// As many blocks along y as the columns need at `W` a thread: a pack if `packed`, else 1. Shared memory of the gather:
// 32 * 8 floats.
#define SUMS(T, type)                                                                                                \
    KERNEL(bias_backward_##T)(type *dx, float *sums, const type *x, const type *grad, Runs runs, unsigned width,     \
                              unsigned packed) {                                                                     \
        if (packed) bias_backward<type, PACK<type>>(dx, sums, x, grad, runs, width);                                 \
        else bias_backward<type, 1>(dx, sums, x, grad, runs, width);                                                 \
    }                                                                                                                \
    KERNEL(gather_##T)(type *total, const float *partial, unsigned width, unsigned count, unsigned each,             \
                       unsigned visits) {                                                                            \
        gather(total, partial, width, count, each, visits);                                                          \
    }

SUMS(f32, float)
SUMS(bf16, bf16)
