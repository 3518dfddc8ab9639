// x + gate[group] * branch: what ends a residual branch.
#include "common.cuh"

// One thread a pack. Moves 3 numbers an element, and the gates once if they stay in the cache.
template <typename T, typename P, int W>
__device__ void forward(T *y, const T *x, const P *gate, const T *branch, uint64_t count, unsigned width,
                        unsigned inner, unsigned groups) {
    uint64_t start = (uint64_t(blockIdx.x) * blockDim.x + threadIdx.x) * PACK<T>;
    for (uint64_t i = start; i < count && i < start + PACK<T>; i += W) {
        float values[W], branches[W], gates[W];
        load(values, x + i);
        load(branches, branch + i);
        load(gates, gate + group(i / width, inner, groups) * width + i % width);
#pragma unroll
        for (int k = 0; k < W; k++) values[k] += gates[k] * branches[k];
        store(y + i, values);
    }
}

// One block a run of rows and a tile of columns; a thread keeps its pack of columns. Moves 3 numbers an element: reads
// dy and branch, writes the branch's gradient. The gradient of x is dy itself.
template <typename T, typename P, int W>
__device__ void backward(T *for_branch, float *for_gate, const P *gate, const T *branch, const T *grad, Runs runs,
                         unsigned width, unsigned inner, unsigned groups) {
    unsigned column = (blockIdx.y * blockDim.x + threadIdx.x) * W, row = runs.first(blockIdx.x);
    if (column >= width) return;
    float gates[W], sums[W], branches[W], grads[W];
    load(gates, gate + group(row, inner, groups) * width + column);
#pragma unroll
    for (int k = 0; k < W; k++) sums[k] = 0;
    for (unsigned end = runs.end(blockIdx.x); row < end; row++) {
        size_t at = size_t(row) * width + column;
        load(grads, grad + at);
        if (for_gate) {
            load(branches, branch + at);
#pragma unroll
            for (int k = 0; k < W; k++) sums[k] += grads[k] * branches[k];
        }
        if (for_branch) {
#pragma unroll
            for (int k = 0; k < W; k++) grads[k] *= gates[k];
            store(for_branch + at, grads);
        }
    }
    if (!for_gate) return;
    for (int k = 0; k < W; k++) for_gate[size_t(blockIdx.x) * width + column + k] = sums[k];
}

// Forward: one thread a pack of 16 bytes. Backward: as many blocks along y as the columns need at `W` a thread, where W
// is a whole pack if the width is a multiple of it and all pointers are aligned, else 1: the caller says which. The sums
// of a run go to its row of for_gate. Pointers to gradients may be null.
#define GATE_ADD(T, type, P, table)                                                                                  \
    KERNEL(gate_add_forward_##T##_##P)(type *y, const type *x, const table *gate, const type *branch,                \
                                       uint64_t count, unsigned width, unsigned inner, unsigned groups) {            \
        constexpr int W = PACK<type>;                                                                                \
        if (fits<W>(y, width) && fits<W>(x, width) && fits<W>(gate, width) && fits<W>(branch, width)) {              \
            forward<type, table, W>(y, x, gate, branch, count, width, inner, groups);                                \
        } else {                                                                                                     \
            forward<type, table, 1>(y, x, gate, branch, count, width, inner, groups);                                \
        }                                                                                                            \
    }                                                                                                                \
    KERNEL(gate_add_backward_##T##_##P)(type *for_branch, float *for_gate, const table *gate, const type *branch,    \
                                        const type *grad, Runs runs, unsigned width, unsigned inner,                 \
                                        unsigned groups, unsigned packed) {                                          \
        if (packed) {                                                                                                \
            backward<type, table, PACK<type>>(for_branch, for_gate, gate, branch, grad, runs, width, inner, groups); \
        } else {                                                                                                     \
            backward<type, table, 1>(for_branch, for_gate, gate, branch, grad, runs, width, inner, groups);          \
        }                                                                                                            \
    }

GATE_ADD(f32, float, f32, float)
GATE_ADD(bf16, bf16, bf16, bf16)
GATE_ADD(bf16, bf16, f32, float)
