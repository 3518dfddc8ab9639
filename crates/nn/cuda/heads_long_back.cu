// Attention of long sequences backward: one kernel for keys and values, one for queries. Each computes the
// probabilities anew, which costs two products more than one kernel with atomic adds would, and gives the same bits in
// every run.
#include "flash.cuh"

// One block a tile of a unit's keys; tiles of queries pass by. Moves 4 + 2 length / SIDE numbers an element.
template <typename T>
__device__ void keys_back(T *for_k, T *for_v, const T *q, const T *k, const T *v, const T *grad, const float *log_sums,
                          const float *deltas, const Heads &heads) {
    constexpr unsigned S = SIDE<T>;
    SHARED_MEMORY(memory);
    Memory rest{memory};
    unsigned size = heads.size, depth = padded<T>(size), tiles = (heads.length[1] + S - 1) / S;
    unsigned unit = blockIdx.x / tiles, first = blockIdx.x % tiles * S;
    Tile<T> queries = rest.tile<T>(S, size), keys = rest.tile<T>(S, size), values = rest.tile<T>(S, size);
    Tile<T> grads = rest.tile<T>(S, size);
    Tile<float> scores = rest.tile<float>(S, S), products = rest.tile<float>(S, S);
    Tile<float> key_sum = rest.tile<float>(S, depth), value_sum = rest.tile<float>(S, depth);
    float *sums = rest.array<float>(S), *own_deltas = rest.array<float>(S);
    Tile<T> weights = rest.tile<T>(S, S), for_scores = rest.tile<T>(S, S);
    fill_tile(keys, ready_rows(k, heads, 1, unit), first);
    fill_tile(values, value_rows(v, heads, unit), first);
    clear(key_sum, S);
    clear(value_sum, S);
    Rows<T> query_rows = ready_rows(q, heads, 0, unit), grad_rows = out_rows(grad, heads, unit);
    for (unsigned query = heads.causal ? first : 0; query < heads.length[0]; query += S) {
        __syncthreads();
        fill_tile(queries, query_rows, query);
        fill_tile(grads, grad_rows, query);
        fill_sums<T>(sums, own_deltas, log_sums, deltas, heads, unit, query);
        __syncthreads();
        product_nt(scores, queries, keys, S, S, depth);
        product_nt(products, grads, values, S, S, depth);
        __syncthreads();
        weigh(weights, for_scores, scores, products, sums, own_deltas, heads, query, first);
        __syncthreads();
        product<true, true>(value_sum, weights, grads, S, depth, S);
        product<true, true>(key_sum, for_scores, queries, S, depth, S);
    }
    __syncthreads();
    size_t start = size_t(unit) * heads.length[1] * size, step = size_t(heads.inner) * heads.width[2];
    store_tile(for_k + start, size, heads.length[1], size, key_sum, first);
    store_tile(for_v + heads.place(unit, 0, 2), step, heads.length[1], size, value_sum, first);
}

// One block a tile of a unit's queries; tiles of keys pass by.
template <typename T>
__device__ void queries_back(T *for_q, const T *q, const T *k, const T *v, const T *grad, const float *log_sums,
                             const float *deltas, const Heads &heads) {
    constexpr unsigned S = SIDE<T>;
    SHARED_MEMORY(memory);
    Memory rest{memory};
    unsigned size = heads.size, depth = padded<T>(size), tiles = (heads.length[0] + S - 1) / S;
    unsigned unit = blockIdx.x / tiles, first = blockIdx.x % tiles * S;
    Tile<T> queries = rest.tile<T>(S, size), keys = rest.tile<T>(S, size), values = rest.tile<T>(S, size);
    Tile<T> grads = rest.tile<T>(S, size);
    Tile<float> scores = rest.tile<float>(S, S), products = rest.tile<float>(S, S), sum = rest.tile<float>(S, depth);
    float *sums = rest.array<float>(S), *own_deltas = rest.array<float>(S);
    Tile<T> weights = rest.tile<T>(S, S), for_scores = rest.tile<T>(S, S);
    fill_tile(queries, ready_rows(q, heads, 0, unit), first);
    fill_tile(grads, out_rows(grad, heads, unit), first);
    fill_sums<T>(sums, own_deltas, log_sums, deltas, heads, unit, first);
    clear(sum, S);
    Rows<T> key_rows = ready_rows(k, heads, 1, unit), values_rows = value_rows(v, heads, unit);
    unsigned end = heads.causal && first + S < heads.length[1] ? first + S : heads.length[1];
    for (unsigned key = 0; key < end; key += S) {
        __syncthreads();
        fill_tile(keys, key_rows, key);
        fill_tile(values, values_rows, key);
        __syncthreads();
        product_nt(scores, queries, keys, S, S, depth);
        product_nt(products, grads, values, S, S, depth);
        __syncthreads();
        weigh(weights, for_scores, scores, products, sums, own_deltas, heads, first, key);
        __syncthreads();
        product<false, true>(sum, for_scores, keys, S, depth, S);
    }
    __syncthreads();
    store_tile(for_q + size_t(unit) * heads.length[0] * size, size, heads.length[0], size, sum, first);
}

// Blocks of any number of warps. Gradients of queries and keys are those of prepared ones, unit by unit, and go through
// heads_finish; that of values goes to its place in the operand's gradient. Shared memory with s = SIDE, each array
// rounded up to 128 bytes: tiles (s, size) of T four times, (s, s) of float twice, (s, depth) of float twice for keys
// and once for queries, twice s floats, (s, s) of T twice.
#define HEADS_LONG_BACK(T, type)                                                                                     \
    KERNEL(heads_long_keys_##T)(type *for_k, type *for_v, const type *q, const type *k, const type *v,               \
                                const type *grad, const float *log_sums, const float *deltas, Heads heads) {         \
        keys_back<type>(for_k, for_v, q, k, v, grad, log_sums, deltas, heads);                                       \
    }                                                                                                                \
    KERNEL(heads_long_queries_##T)(type *for_q, const type *q, const type *k, const type *v, const type *grad,       \
                                   const float *log_sums, const float *deltas, Heads heads) {                        \
        queries_back<type>(for_q, q, k, v, grad, log_sums, deltas, heads);                                           \
    }

HEADS_LONG_BACK(f32, float)
HEADS_LONG_BACK(bf16, bf16)
