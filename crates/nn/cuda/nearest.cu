// The nearest row of a codebook for each token.
#include "common.cuh"

// One warp a token, one code a lane at a time. Distances as sum((x - c)^2): the expanded form loses its digits where
// codes are nearly equal. The lowest index wins ties; a token without a finite distance gets the last index. Reads each
// token once and the codebook from the cache: K D numbers a token.
template <typename T>
__device__ void nearest(unsigned *index, const T *tokens, const float *codebook, unsigned count, unsigned codes,
                        unsigned size) {
    unsigned token = blockIdx.x * warps() + warp_of();
    if (token >= count) return; // The whole warp leaves.
    const T *x = tokens + size_t(token) * size;
    float best = INFINITE;
    unsigned found = codes - 1;
    for (unsigned code = lane_of(); code < codes; code += WARP) {
        const float *row = codebook + size_t(code) * size;
        float distance = 0;
        for (unsigned i = 0; i < size; i++) {
            float difference = number(x[i]) - row[i];
            distance += difference * difference;
        }
        if (distance < best) best = distance, found = code;
    }
    for (int step = 16; step > 0; step /= 2) {
        float other = __shfl_xor_sync(ALL, best, step);
        unsigned code = __shfl_xor_sync(ALL, found, step);
        if (other < best || (other == best && code < found)) best = other, found = code;
    }
    if (lane_of() == 0) index[token] = found;
}

// Blocks of any number of warps.
#define NEAREST(T, type)                                                                                             \
    KERNEL(nearest_##T)(unsigned *index, const type *tokens, const float *codebook, unsigned count, unsigned codes,  \
                        unsigned size) {                                                                             \
        nearest(index, tokens, codebook, count, codes, size);                                                        \
    }

NEAREST(f32, float)
NEAREST(bf16, bf16)
