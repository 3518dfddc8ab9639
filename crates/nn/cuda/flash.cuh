// What the kernels for long sequences share: tiles of prepared queries and keys, and probabilities from saved sums.
#pragma once
#include "heads.cuh"
#include "tile.cuh"

// Rows of queries or keys that a block takes at once; smaller for floats, so that all tiles of the backward pass fit.
template <typename T> constexpr unsigned SIDE = sizeof(T) == 2 ? 64 : 32;

// Where rows of a unit lie: `start + position * step`.
template <typename T> struct Rows {
    const T *start;
    size_t step;
    unsigned count, size;
};

// Prepared queries or keys lie unit by unit.
template <typename T> __device__ inline Rows<T> ready_rows(const T *all, const Heads &heads, unsigned part, unsigned unit) {
    unsigned count = heads.length[part];
    return Rows<T>{all + size_t(unit) * count * heads.size, heads.size, count, heads.size};
}

template <typename T> __device__ inline Rows<T> value_rows(const T *v, const Heads &heads, unsigned unit) {
    return Rows<T>{v + heads.place(unit, 0, 2), size_t(heads.inner) * heads.width[2], heads.length[1], heads.size};
}

template <typename T> __device__ inline Rows<T> out_rows(const T *out, const Heads &heads, unsigned unit) {
    size_t step = size_t(heads.inner) * heads.heads * heads.size;
    return Rows<T>{out + heads.out(unit, 0), step, heads.length[0], heads.size};
}

// A tile from rows `first..first + SIDE`, packs at a time; zeros beyond the last row and the size.
template <typename T, int W> __device__ inline void fill_tile(const Tile<T> &tile, const Rows<T> &rows, unsigned first) {
    unsigned packs = padded<T>(rows.size) / W;
    for (unsigned item = threadIdx.x; item < SIDE<T> * packs; item += blockDim.x) {
        unsigned row = item / packs, column = item % packs * W;
        float values[W] = {};
        if (first + row < rows.count && column < rows.size) load(values, rows.start + (first + row) * rows.step + column);
        store(&tile.at(row, column), values);
    }
}

template <typename T> __device__ inline void fill_tile(const Tile<T> &tile, const Rows<T> &rows, unsigned first) {
    constexpr int W = PACK<T>;
    bool wide = fits<W>(rows.start, rows.size) && rows.step % W == 0;
    if (wide) fill_tile<T, W>(tile, rows, first);
    else fill_tile<T, 1>(tile, rows, first);
}

// Rows of a tile of floats to the same places.
template <typename T>
__device__ inline void store_tile(T *start, size_t step, unsigned count, unsigned size, const Tile<float> &tile, unsigned first) {
    for (unsigned item = threadIdx.x; item < SIDE<T> * size; item += blockDim.x) {
        unsigned row = item / size, column = item % size;
        if (first + row < count) start[(first + row) * step + column] = stored<T>(tile.at(row, column));
    }
}

__device__ inline void clear(const Tile<float> &tile, unsigned rows) {
    for (unsigned i = threadIdx.x; i < rows * tile.stride; i += blockDim.x) tile.data[i] = 0;
}

// Scores, and products of result gradients with values, become probabilities and score gradients in the storage type.
template <typename T>
__device__ inline void weigh(const Tile<T> &weights, const Tile<T> &for_scores, const Tile<float> &scores,
                             const Tile<float> &products, const float *sums, const float *deltas, const Heads &heads,
                             unsigned query, unsigned key) {
    constexpr unsigned S = SIDE<T>;
    for (unsigned item = threadIdx.x; item < S * S; item += blockDim.x) {
        unsigned row = item / S, column = item % S;
        bool seen = query + row < heads.length[0] && key + column < heads.length[1];
        if (heads.causal && key + column > query + row) seen = false;
        float p = seen ? expf(scores.at(row, column) - sums[row]) : 0;
        float slope = seen ? p * (products.at(row, column) - deltas[row]) : 0;
        weights.at(row, column) = stored<T>(p);
        for_scores.at(row, column) = stored<T>(slope);
    }
}

// The saved sums and deltas of a tile's queries.
template <typename T>
__device__ inline void fill_sums(float *sums, float *deltas, const float *all_sums, const float *all_deltas,
                                 const Heads &heads, unsigned unit, unsigned first) {
    for (unsigned row = threadIdx.x; row < SIDE<T>; row += blockDim.x) {
        bool real = first + row < heads.length[0];
        size_t at = size_t(unit) * heads.length[0] + first + row;
        sums[row] = real ? all_sums[at] : 0;
        deltas[row] = real ? all_deltas[at] : 0;
    }
}
