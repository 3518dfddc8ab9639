// Around the attention of long sequences, token by token: queries and keys made ready, their gradients brought back.
#include "heads.cuh"

// Norm, rotary positions and scale of all queries (part 0) or keys (part 1), to rows unit by unit. One warp a row of a
// head. Moves 2 numbers an element.
template <typename T>
__device__ void ready(T *to, const T *from, const float *table, const float *turns, const Heads &heads, unsigned part) {
    unsigned length = heads.length[part], row = blockIdx.x * warps() + warp_of();
    if (row >= heads.units * length) return; // The whole warp leaves.
    unsigned unit = row / length, position = row % length;
    Row values = ready_row(from + heads.place(unit, position, part), table, turns, heads, part, position);
    store_row(to + size_t(row) * heads.size, values, heads.size);
}

// Row sums of the result times its gradient: what softmax's gradient subtracts. Moves 2 numbers an element.
template <typename T> __device__ void deltas(float *to, const T *out, const T *grad, const Heads &heads) {
    unsigned length = heads.length[0], row = blockIdx.x * warps() + warp_of();
    if (row >= heads.units * length) return; // The whole warp leaves.
    size_t place = heads.out(row / length, row % length);
    float sum = dot_rows(load_row(out + place, heads.size), load_row(grad + place, heads.size));
    if (lane_of() == 0) to[row] = sum;
}

// The gradient back through `ready`, to its place in the operand's gradient. Warps take rows in turn, so that there is
// one partial sum for the norm's parameters a block. Moves 3 numbers an element.
template <typename T>
__device__ void finish(T *to, float *partial, const T *grad, const T *from, const float *table, const float *turns,
                       const Heads &heads, unsigned part) {
    SHARED_MEMORY(memory);
    unsigned length = heads.length[part];
    Row sums[2] = {};
    for (unsigned row = blockIdx.x * warps() + warp_of(); row < heads.units * length; row += gridDim.x * warps()) {
        size_t place = heads.place(row / length, row % length, part);
        Row values = load_row(grad + size_t(row) * heads.size, heads.size);
        ready_row_back(values, from + place, table, turns, heads, part, row % length, sums);
        store_row(to + place, values, heads.size);
    }
    if (!partial) return;
    Row all[2][2] = {};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        if (part == 0) all[0][i] = sums[i];
        else all[1][i] = sums[i];
    }
    table_sums(partial, reinterpret_cast<float *>(memory), all, heads);
}

// Blocks of any number of warps. Shared memory of heads_finish: (table, size) floats; `partial` has a row of them a
// block, zero where the other part's parameters are, and may be null.
#define HEADS_ROWS(T, type)                                                                                          \
    KERNEL(heads_ready_##T)(type *to, const type *from, const float *table, const float *turns, Heads heads,         \
                            unsigned part) {                                                                         \
        ready(to, from, table, turns, heads, part);                                                                  \
    }                                                                                                                \
    KERNEL(heads_deltas_##T)(float *to, const type *out, const type *grad, Heads heads) {                            \
        deltas(to, out, grad, heads);                                                                                \
    }                                                                                                                \
    KERNEL(heads_finish_##T)(type *to, float *partial, const type *grad, const type *from, const float *table,       \
                             const float *turns, Heads heads, unsigned part) {                                       \
        finish(to, partial, grad, from, table, turns, heads, part);                                                  \
    }

HEADS_ROWS(f32, float)
HEADS_ROWS(bf16, bf16)
