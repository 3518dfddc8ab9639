// Attention of long sequences forward: tiles of keys pass by a tile of queries, which keeps a running softmax.
#include "flash.cuh"

// Adds a tile of scores to the running softmax, one warp a row: probabilities relative to the new maximum go to
// `weights`, the result so far is scaled to it. Rows without any visible key so far keep a sum of zero.
template <typename T>
__device__ void soften(const Tile<T> &weights, const Tile<float> &scores, const Tile<float> &out, float *most,
                       float *sums, const Heads &heads, unsigned first_query, unsigned first_key) {
    constexpr unsigned S = SIDE<T>, EACH = S / WARP;
    for (unsigned row = warp_of(); row < S; row += warps()) {
        unsigned query = first_query + row;
        float values[EACH], before = most[row], best = before, sum = 0;
#pragma unroll
        for (unsigned i = 0; i < EACH; i++) {
            unsigned column = lane_of() + i * WARP, key = first_key + column;
            bool seen = key < heads.length[1] && (!heads.causal || key <= query);
            values[i] = seen ? scores.at(row, column) : -INFINITE;
            best = fmaxf(best, values[i]);
        }
        best = warp_max(best);
        float scale = before == -INFINITE ? 0 : expf(before - best);
        __syncwarp(); // All lanes have read the row's maximum.
#pragma unroll
        for (unsigned i = 0; i < EACH; i++) {
            values[i] = values[i] == -INFINITE ? 0 : expf(values[i] - best);
            sum += values[i];
            weights.at(row, lane_of() + i * WARP) = stored<T>(values[i]);
        }
        sum = warp_sum(sum);
        for (unsigned column = lane_of(); column < out.stride; column += WARP) out.at(row, column) *= scale;
        if (lane_of() == 0) sums[row] = sums[row] * scale + sum;
        if (lane_of() == 0) most[row] = best;
    }
}

// One block a tile of a unit's queries. Keys and values are read once a tile of queries: moves 2 + 2 length / SIDE
// numbers an element of the result, most of them from the second-level cache.
template <typename T>
__device__ void forward(T *out, float *log_sums, const T *q, const T *k, const T *v, const Heads &heads) {
    constexpr unsigned S = SIDE<T>;
    SHARED_MEMORY(memory);
    Memory rest{memory};
    unsigned size = heads.size, depth = padded<T>(size), tiles = (heads.length[0] + S - 1) / S;
    unsigned unit = blockIdx.x / tiles, first = blockIdx.x % tiles * S;
    Tile<T> queries = rest.tile<T>(S, size), keys = rest.tile<T>(S, size), values = rest.tile<T>(S, size);
    Tile<float> scores = rest.tile<float>(S, S), sum = rest.tile<float>(S, depth);
    float *most = rest.array<float>(S), *sums = rest.array<float>(S);
    Tile<T> weights = rest.tile<T>(S, S);
    Rows<T> key_rows = ready_rows(k, heads, 1, unit), values_rows = value_rows(v, heads, unit);
    fill_tile(queries, ready_rows(q, heads, 0, unit), first);
    clear(sum, S);
    for (unsigned row = threadIdx.x; row < S; row += blockDim.x) most[row] = -INFINITE, sums[row] = 0;
    unsigned end = heads.causal && first + S < heads.length[1] ? first + S : heads.length[1];
    for (unsigned key = 0; key < end; key += S) {
        __syncthreads();
        fill_tile(keys, key_rows, key);
        fill_tile(values, values_rows, key);
        __syncthreads();
        product_nt(scores, queries, keys, S, S, depth);
        __syncthreads();
        soften(weights, scores, sum, most, sums, heads, first, key);
        __syncthreads();
        product<false, true>(sum, weights, values, S, depth, S);
    }
    __syncthreads();
    for (unsigned item = threadIdx.x; item < S * size; item += blockDim.x) {
        unsigned row = item / size, column = item % size;
        if (first + row >= heads.length[0]) continue;
        out[heads.out(unit, first + row) + column] = stored<T>(sum.at(row, column) / sums[row]);
        if (column == 0) log_sums[size_t(unit) * heads.length[0] + first + row] = most[row] + logf(sums[row]);
    }
}

// Blocks of any number of warps. q and k come from heads_ready, unit by unit; v lies in its operand. Shared memory with
// s = SIDE, each array rounded up to 128 bytes: tiles (s, size) of T three times, (s, s) and (s, depth) of float, twice s
// floats, (s, s) of T.
#define HEADS_LONG(T, type)                                                                                          \
    KERNEL(heads_long_forward_##T)(type *out, float *log_sums, const type *q, const type *k, const type *v,          \
                                   Heads heads) {                                                                    \
        forward<type>(out, log_sums, q, k, v, heads);                                                                \
    }

HEADS_LONG(f32, float)
HEADS_LONG(bf16, bf16)
