// What attention heads look like, and one token's part of one head: norm, rotary position and scale, there and back.
#pragma once
#include "common.cuh"

// The same words on the launching side. Tokens are rows; a sequence's rows lie `inner` apart, and `inner` sequences make
// up a block: (blocks, length, inner, width). Head by head within a row.
struct Heads {
    unsigned width[3], offset[3];  // of queries, keys, values: their operand's width and first column
    unsigned heads, size, length[2], inner, causal;
    unsigned norm[2];              // of queries and keys: 0 none, 1 RMS, 2 centred
    float eps[2];
    unsigned scale[2], shift[2];   // rows of the parameter table; a shift only when centred
    unsigned rotary;
    float factor;                  // 1 / sqrt(size)
    unsigned units;                // sequences times heads
    unsigned table;                // rows of the parameter table

    __device__ unsigned tokens(unsigned part) const { return length[part > 0]; }

    // Row number of a sequence's token, and from it the place of a head's numbers.
    __device__ size_t token(unsigned unit, unsigned position, unsigned part) const {
        unsigned sequence = unit / heads;
        return (size_t(sequence / inner) * tokens(part) + position) * inner + sequence % inner;
    }
    __device__ size_t place(unsigned unit, unsigned position, unsigned part) const {
        return token(unit, position, part) * width[part] + offset[part] + unit % heads * size;
    }
    __device__ size_t out(unsigned unit, unsigned position) const {
        return (token(unit, position, 0) * heads + unit % heads) * size;
    }
};

constexpr unsigned LARGEST = 128; // head size

// A head's numbers of one token over the lanes of a warp, neighbours in pairs so that a rotation stays within a lane:
// lane l holds numbers 2l, 2l + 1, 64 + 2l, 65 + 2l; zeros beyond the size.
struct Row {
    float v[4];
};

__device__ inline unsigned index_of(int k) { return (k >> 1) * 64 + 2 * lane_of() + (k & 1); }

template <typename T> __device__ inline Row load_row(const T *from, unsigned size) {
    Row row;
    bool pairs = fits<2>(from, size);
#pragma unroll
    for (int k = 0; k < 4; k += 2) {
        unsigned i = index_of(k);
        float two[2] = {0, 0};
        if (pairs && i < size) load(two, from + i);
        if (!pairs && i < size) two[0] = number(from[i]);
        if (!pairs && i + 1 < size) two[1] = number(from[i + 1]);
        row.v[k] = two[0], row.v[k + 1] = two[1];
    }
    return row;
}

template <typename T> __device__ inline void store_row(T *to, const Row &row, unsigned size) {
    bool pairs = fits<2>(to, size);
#pragma unroll
    for (int k = 0; k < 4; k += 2) {
        unsigned i = index_of(k);
        float two[2] = {row.v[k], row.v[k + 1]};
        if (pairs && i < size) store(to + i, two);
        if (!pairs && i < size) to[i] = stored<T>(two[0]);
        if (!pairs && i + 1 < size) to[i + 1] = stored<T>(two[1]);
    }
}

__device__ inline float sum_row(const Row &row) { return warp_sum((row.v[0] + row.v[1]) + (row.v[2] + row.v[3])); }

__device__ inline float dot_rows(const Row &a, const Row &b) {
    return warp_sum((a.v[0] * b.v[0] + a.v[1] * b.v[1]) + (a.v[2] * b.v[2] + a.v[3] * b.v[3]));
}

// Rotates pairs by the angles of a position; `turns` holds (cosine, sine), size / 2 of them a position.
__device__ inline void rotate(Row &row, const float *turns, unsigned position, unsigned size, float direction) {
#pragma unroll
    for (int k = 0; k < 4; k += 2) {
        unsigned i = index_of(k);
        if (i >= size) continue;
        const float *turn = turns + size_t(position) * size + i;
        float cosine = turn[0], sine = direction * turn[1], even = row.v[k], odd = row.v[k + 1];
        row.v[k] = even * cosine - odd * sine, row.v[k + 1] = odd * cosine + even * sine;
    }
}

// Subtracts the mean if the norm is centred and divides by the root; returns what was multiplied by.
__device__ inline float norm_row(Row &row, const Heads &heads, unsigned part) {
    float share = 1.0f / heads.size;
    if (heads.norm[part] == 2) {
        float mean = sum_row(row) * share;
#pragma unroll
        for (int k = 0; k < 4; k++) row.v[k] = index_of(k) < heads.size ? row.v[k] - mean : 0;
    }
    float inverse = 1.0f / sqrtf(dot_rows(row, row) * share + heads.eps[part]);
#pragma unroll
    for (int k = 0; k < 4; k++) row.v[k] *= inverse;
    return inverse;
}

// A query (part 0) or key (part 1) made ready for products.
template <typename T>
__device__ inline Row ready_row(const T *from, const float *table, const float *turns, const Heads &heads,
                                unsigned part, unsigned position) {
    unsigned size = heads.size;
    Row row = load_row(from, size);
    if (heads.norm[part]) {
        norm_row(row, heads, part);
        Row scale = load_row(table + heads.scale[part] * size, size);
#pragma unroll
        for (int k = 0; k < 4; k++) row.v[k] *= scale.v[k];
        if (heads.norm[part] == 2) {
            Row shift = load_row(table + heads.shift[part] * size, size);
#pragma unroll
            for (int k = 0; k < 4; k++) row.v[k] += shift.v[k];
        }
    }
    if (heads.rotary) rotate(row, turns, position, size, 1.0f);
    if (part == 0) {
#pragma unroll
        for (int k = 0; k < 4; k++) row.v[k] *= heads.factor;
    }
    return row;
}

// The gradient through `ready_row`, in place; those of the norm's scale and shift are added to `sums`.
template <typename T>
__device__ inline void ready_row_back(Row &grad, const T *from, const float *table, const float *turns,
                                      const Heads &heads, unsigned part, unsigned position, Row (&sums)[2]) {
    unsigned size = heads.size;
    if (part == 0) {
#pragma unroll
        for (int k = 0; k < 4; k++) grad.v[k] *= heads.factor;
    }
    if (heads.rotary) rotate(grad, turns, position, size, -1.0f);
    if (!heads.norm[part]) return;
    Row normed = load_row(from, size), scale = load_row(table + heads.scale[part] * size, size);
    float inverse = norm_row(normed, heads, part);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        sums[0].v[k] += grad.v[k] * normed.v[k];
        sums[1].v[k] += grad.v[k];
        grad.v[k] *= scale.v[k];
    }
    float share = 1.0f / size;
    float average = heads.norm[part] == 2 ? sum_row(grad) * share : 0, along = dot_rows(grad, normed) * share;
#pragma unroll
    for (int k = 0; k < 4; k++) {
        grad.v[k] = (grad.v[k] - average - normed.v[k] * along) * inverse;
        if (index_of(k) >= size) grad.v[k] = 0;
    }
}

// Adds up what the warps of a block gathered for the table, warp by warp, into the block's row of `partial`
// (table, size); `place` holds as many floats in shared memory. sums: of queries and keys, scale and shift.
__device__ inline void table_sums(float *partial, float *place, const Row (&sums)[2][2], const Heads &heads) {
    unsigned size = heads.size, total = heads.table * size;
    for (unsigned i = threadIdx.x; i < total; i += blockDim.x) place[i] = 0;
    for (unsigned warp = 0; warp < warps(); warp++) {
        __syncthreads();
        if (warp_of() != warp) continue;
#pragma unroll
        for (unsigned part = 0; part < 2; part++) {
            if (!heads.norm[part]) continue;
#pragma unroll
            for (int k = 0; k < 4; k++) {
                unsigned i = index_of(k);
                if (i >= size) continue;
                place[heads.scale[part] * size + i] += sums[part][0].v[k];
                if (heads.norm[part] == 2) place[heads.shift[part] * size + i] += sums[part][1].v[k];
            }
        }
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < total; i += blockDim.x) partial[size_t(blockIdx.x) * total + i] = place[i];
}
