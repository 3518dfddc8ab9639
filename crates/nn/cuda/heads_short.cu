// Attention of short sequences in one go: norm, rotary positions, softmax and sum, from rows of tokens to rows of tokens.
#include "heads.cuh"
#include "tile.cuh"

// Queries, keys or values of a unit as floats, ready for products; zeros in the padding.
template <typename T>
__device__ void fill(const Tile<float> &tile, const T *operand, const float *table, const float *turns,
                     const Heads &heads, unsigned part, unsigned unit) {
    unsigned rows = padded<float>(heads.tokens(part)), size = heads.size;
    for (unsigned position = warp_of(); position < rows; position += warps()) {
        Row row = {{0, 0, 0, 0}};
        if (position < heads.tokens(part)) {
            const T *from = operand + heads.place(unit, position, part);
            row = part < 2 ? ready_row(from, table, turns, heads, part, position) : load_row(from, size);
        }
        float *to = tile.row(position);
        for (int k = 0; k < 4; k++) {
            if (index_of(k) < tile.stride) to[index_of(k)] = row.v[k];
        }
    }
}

// Rows of the results or their gradients, as floats.
template <typename T>
__device__ void fill_out(const Tile<float> &tile, const T *out, const Heads &heads, unsigned unit) {
    for (unsigned position = warp_of(); position < padded<float>(heads.length[0]); position += warps()) {
        Row row = {{0, 0, 0, 0}};
        if (position < heads.length[0]) row = load_row(out + heads.out(unit, position), heads.size);
        for (int k = 0; k < 4; k++) {
            if (index_of(k) < tile.stride) tile.row(position)[index_of(k)] = row.v[k];
        }
    }
}

__device__ inline Row tile_row(const Tile<float> &tile, unsigned position, unsigned size) {
    Row row;
    for (int k = 0; k < 4; k++) row.v[k] = index_of(k) < size ? tile.row(position)[index_of(k)] : 0;
    return row;
}

// Scores to probabilities, one warp a row; zeros where a query must not look and in the padding.
__device__ inline void softmax(const Tile<float> &scores, const Heads &heads) {
    for (unsigned query = warp_of(); query < padded<float>(heads.length[0]); query += warps()) {
        unsigned used = heads.causal ? query + 1 : heads.length[1];
        if (used > heads.length[1]) used = heads.length[1];
        float *row = scores.row(query), most = -INFINITE, sum = 0;
        for (unsigned key = lane_of(); key < used; key += WARP) most = fmaxf(most, row[key]);
        most = warp_max(most);
        for (unsigned key = lane_of(); key < scores.stride; key += WARP) {
            row[key] = key < used ? expf(row[key] - most) : 0;
            sum += row[key];
        }
        float share = 1.0f / warp_sum(sum);
        for (unsigned key = lane_of(); key < used; key += WARP) row[key] *= share;
    }
}

// One block a unit. Moves 4 numbers an element of the result with queries and keys of one length: reads q, k, v, writes
// the result.
template <typename T>
__device__ void forward(T *out, const T *const (&operands)[3], const float *table, const float *turns,
                        const Heads &heads) {
    SHARED_MEMORY(memory);
    Memory rest{memory};
    unsigned queries = padded<float>(heads.length[0]), keys = padded<float>(heads.length[1]);
    unsigned size = heads.size, depth = padded<float>(size), unit = blockIdx.x;
    Tile<float> q = rest.tile<float>(queries, size), k = rest.tile<float>(keys, size);
    Tile<float> v = rest.tile<float>(keys, size), weights = rest.tile<float>(queries, keys);
    fill(q, operands[0], table, turns, heads, 0, unit);
    fill(k, operands[1], table, turns, heads, 1, unit);
    fill(v, operands[2], table, turns, heads, 2, unit);
    __syncthreads();
    product_nt(weights, q, k, queries, keys, depth);
    __syncthreads();
    softmax(weights, heads);
    __syncthreads();
    product<false, false>(q, weights, v, queries, depth, heads.length[1]);
    __syncthreads();
    for (unsigned query = warp_of(); query < heads.length[0]; query += warps()) {
        store_row(out + heads.out(unit, query), tile_row(q, query, size), size);
    }
}

// Blocks take units in turn, so that there is one partial sum for the norms' parameters a block and not a unit. The
// probabilities are computed anew. Moves 10 numbers an element of the result: reads q, k, v, the gradient, and queries
// and keys again from the cache for their norm; writes three gradients.
template <typename T>
__device__ void backward(T *const (&results)[3], float *partial, const T *const (&operands)[3], const float *table,
                         const float *turns, const T *grad, const Heads &heads) {
    SHARED_MEMORY(memory);
    Memory rest{memory};
    unsigned queries = padded<float>(heads.length[0]), keys = padded<float>(heads.length[1]);
    unsigned size = heads.size, depth = padded<float>(size), most = queries > keys ? queries : keys;
    // Values give way to the gradient of queries, the result's gradient to that of keys.
    Tile<float> q = rest.tile<float>(queries, size), k = rest.tile<float>(keys, size);
    Tile<float> v = rest.tile<float>(most, size), g = rest.tile<float>(most, size);
    Tile<float> weights = rest.tile<float>(queries, keys), for_weights = rest.tile<float>(queries, keys);
    Row sums[2][2] = {};
    for (unsigned unit = blockIdx.x; unit < heads.units; unit += gridDim.x) {
        __syncthreads(); // A row's last reader happens to be the warp that fills it next; nothing should rest on that.
        fill(q, operands[0], table, turns, heads, 0, unit);
        fill(k, operands[1], table, turns, heads, 1, unit);
        fill(v, operands[2], table, turns, heads, 2, unit);
        fill_out(g, grad, heads, unit);
        __syncthreads();
        product_nt(weights, q, k, queries, keys, depth);
        product_nt(for_weights, g, v, queries, keys, depth);
        __syncthreads();
        softmax(weights, heads);
        __syncthreads();
        product<true, false>(v, weights, g, keys, depth, heads.length[0]);
        for (unsigned query = warp_of(); query < queries; query += warps()) {
            float *row = for_weights.row(query), *p = weights.row(query), total = 0;
            for (unsigned key = lane_of(); key < keys; key += WARP) total += p[key] * row[key];
            total = warp_sum(total);
            for (unsigned key = lane_of(); key < keys; key += WARP) row[key] = p[key] * (row[key] - total);
        }
        __syncthreads();
        for (unsigned key = warp_of(); key < heads.length[1]; key += warps()) {
            store_row(results[2] + heads.place(unit, key, 2), tile_row(v, key, size), size);
        }
        product<true, false>(g, for_weights, q, keys, depth, heads.length[0]);
        __syncthreads();
        product<false, false>(v, for_weights, k, queries, depth, heads.length[1]);
        __syncthreads();
#pragma unroll
        for (unsigned part = 0; part < 2; part++) {
            for (unsigned position = warp_of(); position < heads.length[part]; position += warps()) {
                size_t place = heads.place(unit, position, part);
                Row row = tile_row(part ? g : v, position, size);
                ready_row_back(row, operands[part] + place, table, turns, heads, part, position, sums[part]);
                store_row(results[part] + place, row, size);
            }
        }
    }
    if (partial) table_sums(partial, q.data, sums, heads);
}

// Blocks of any number of warps. Shared memory, in floats, each tile rounded up to 32, with s = stride(size),
// w = stride(keys) and lengths in whole fours: forward (queries + 2 keys) s + queries w; backward
// (queries + keys + 2 max) s + 2 queries w. `partial` has a row of (table, size) a block and may be null; the tile of
// queries has room for it, since a table has no more than four rows.
#define HEADS_SHORT(T, type)                                                                                         \
    KERNEL(heads_short_forward_##T)(type *out, const type *q, const type *k, const type *v, const float *table,      \
                                    const float *turns, Heads heads) {                                               \
        const type *const operands[3] = {q, k, v};                                                                   \
        forward<type>(out, operands, table, turns, heads);                                                           \
    }                                                                                                                \
    KERNEL(heads_short_backward_##T)(type *for_q, type *for_k, type *for_v, float *partial, const type *q,           \
                                     const type *k, const type *v, const float *table, const float *turns,           \
                                     const type *grad, Heads heads) {                                                \
        const type *const operands[3] = {q, k, v};                                                                   \
        type *const results[3] = {for_q, for_k, for_v};                                                              \
        backward<type>(results, partial, operands, table, turns, grad, heads);                                       \
    }

HEADS_SHORT(f32, float)
HEADS_SHORT(bf16, bf16)
