// AdamW over all tensors at once: sums of squares of gradients, and one pass over weights and moments.
#include "common.cuh"

// A tensor's part of the work; the same words on the launching side. The pointer to ema may be null; for a sum of squares
// all but grad are. What an average keeps and what it takes up are given both: 1 - 0.999f is not 0.001f.
struct Slot {
    const void *grad;
    float *weight, *first, *second, *ema;
    uint64_t length;
    unsigned block;                     // the first block that works here
    unsigned half;                      // the gradient is bf16
    float scale;                        // of the gradient
    float keep1, take1, keep2, take2;   // the moments
    float keep;                         // 1 - learning rate times decay
    float rate;                         // learning rate times the first moment's correction
    float correction;                   // of the second moment
    float eps;
    float keep_ema, take_ema;
    float unused;
};
static_assert(sizeof(Slot) == 104, "the launching side packs 104 bytes");

constexpr unsigned CHUNK = 4096; // numbers that one block takes

// The last slot that starts at this block or before it.
__device__ inline unsigned slot_of(const Slot *slots, unsigned count, unsigned block) {
    unsigned low = 0, high = count;
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (slots[middle].block <= block) low = middle;
        else high = middle;
    }
    return low;
}

// A chunk of a tensor.
struct Span {
    uint64_t start, end;

    __device__ explicit Span(const Slot &slot) : start(uint64_t(blockIdx.x - slot.block) * CHUNK), end(start + CHUNK) {
        if (slot.length < end) end = slot.length;
    }
    __device__ unsigned length() const { return unsigned(end - start); }
};

template <typename G, int W> __device__ float square(const G *grad, unsigned length) {
    float sum = 0, values[W];
    for (unsigned i = threadIdx.x * W; i < length; i += blockDim.x * W) {
        load(values, grad + i);
#pragma unroll
        for (int k = 0; k < W; k++) sum += values[k] * values[k];
    }
    return sum;
}

template <typename G> __device__ float square(const G *grad, unsigned length) {
    return fits<PACK<G>>(grad, length) ? square<G, PACK<G>>(grad, length) : square<G, 1>(grad, length);
}

// Sum of squares of a block's chunk. Moves 1 number an element. Shared memory: 32 floats.
KERNEL(adamw_square)(float *partial, const Slot *slots, unsigned count) {
    SHARED_MEMORY(memory);
    const Slot &slot = slots[slot_of(slots, count, blockIdx.x)];
    Span span(slot);
    float sum[1];
    if (slot.half) sum[0] = square(static_cast<const bf16 *>(slot.grad) + span.start, span.length());
    else sum[0] = square(static_cast<const float *>(slot.grad) + span.start, span.length());
    block_sum(sum, reinterpret_cast<float *>(memory));
    if (threadIdx.x == 0) partial[blockIdx.x] = sum[0];
}

// All blocks' sums together; one block, in f64 since there may be a million of them. Shared memory: 32 doubles.
KERNEL(adamw_total)(double *total, const float *partial, unsigned count) {
    SHARED_MEMORY(memory);
    double *place = reinterpret_cast<double *>(memory), sum = 0;
    for (unsigned i = threadIdx.x; i < count; i += blockDim.x) sum += partial[i];
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(ALL, sum, step);
    if (lane_of() == 0) place[warp_of()] = sum;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (unsigned warp = 1; warp < warps(); warp++) sum += place[warp];
    *total = sum;
}

template <typename G, int W>
__device__ void update(const Slot &slot, const Span &span) {
    const G *grad = static_cast<const G *>(slot.grad);
    float g[W], weight[W], first[W], second[W], average[W] = {};
    for (uint64_t i = span.start + threadIdx.x * W; i < span.end; i += blockDim.x * W) {
        load(g, grad + i);
        load(weight, slot.weight + i);
        load(first, slot.first + i);
        load(second, slot.second + i);
        if (slot.ema) load(average, slot.ema + i);
#pragma unroll
        for (int k = 0; k < W; k++) {
            g[k] *= slot.scale;
            first[k] = slot.keep1 * first[k] + slot.take1 * g[k];
            second[k] = slot.keep2 * second[k] + slot.take2 * (g[k] * g[k]);
            weight[k] = slot.keep * weight[k] - slot.rate * first[k] / (sqrtf(slot.correction * second[k]) + slot.eps);
            average[k] = slot.keep_ema * average[k] + slot.take_ema * weight[k];
        }
        store(slot.first + i, first);
        store(slot.second + i, second);
        store(slot.weight + i, weight);
        if (slot.ema) store(slot.ema + i, average);
    }
}

// Four at a time where everything is aligned and the chunk is a multiple of four.
template <typename G> __device__ void update(const Slot &slot) {
    Span span(slot);
    unsigned length = span.length();
    const G *grad = static_cast<const G *>(slot.grad);
    bool wide = fits<4>(grad, length) && fits<4>(slot.weight, length) && fits<4>(slot.first, length) &&
                fits<4>(slot.second, length) && fits<4>(slot.ema, length);
    if (wide) update<G, 4>(slot, span);
    else update<G, 1>(slot, span);
}

// Averages and steps. Moves 28 bytes an element with f32 gradients (reads g, m, v, w; writes m, v, w), 26 with bf16 ones;
// 8 more for an average of the weights.
KERNEL(adamw_step)(const Slot *slots, unsigned count) {
    const Slot slot = slots[slot_of(slots, count, blockIdx.x)];
    if (slot.half) update<bf16>(slot);
    else update<float>(slot);
}
