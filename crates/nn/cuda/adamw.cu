// AdamW over all tensors at once: the gradients' norm, then one pass over weights and moments.
#include "common.cuh"

// A tensor's part of the work; the same words on the launching side. Pointers to ema and copy may be null.
struct Slot {
    const void *grad;
    float *weight, *first, *second, *ema;
    bf16 *copy;          // the weight once more, for the next forward pass
    uint64_t length;
    unsigned block;      // the first block that works here
    unsigned half;       // the gradient is bf16
    float rate;          // learning rate times the first moment's correction
    float keep;          // 1 - learning rate times decay
    float correction;    // of the second moment
    float unused;
};
static_assert(sizeof(Slot) == 80, "the launching side packs 80 bytes");

// What an average keeps and what it takes up are given both: 1 - 0.999f is not 0.001f.
struct Constants {
    float keep1, take1, keep2, take2, keep_ema, take_ema, eps, clip;
};

constexpr unsigned CHUNK = 4096; // numbers that one block takes

__device__ inline float gradient(const Slot &slot, uint64_t at) {
    return slot.half ? number(static_cast<const bf16 *>(slot.grad)[at]) : static_cast<const float *>(slot.grad)[at];
}

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

// Sum of squares of a block's chunk. Moves 1 number an element. Shared memory: 32 floats.
KERNEL(adamw_square)(float *partial, const Slot *slots, unsigned count) {
    SHARED_MEMORY(memory);
    const Slot &slot = slots[slot_of(slots, count, blockIdx.x)];
    uint64_t start = uint64_t(blockIdx.x - slot.block) * CHUNK;
    uint64_t end = slot.length < start + CHUNK ? slot.length : start + CHUNK;
    float sum[1] = {0};
    for (uint64_t i = start + threadIdx.x; i < end; i += blockDim.x) {
        float g = gradient(slot, i);
        sum[0] += g * g;
    }
    block_sum(sum, reinterpret_cast<float *>(memory));
    if (threadIdx.x == 0) partial[blockIdx.x] = sum[0];
}

// The norm, from all blocks' sums; one block, in f64 since there may be a million of them. Shared memory: 32 doubles.
KERNEL(adamw_norm)(double *norm, const float *partial, unsigned count) {
    SHARED_MEMORY(memory);
    double *place = reinterpret_cast<double *>(memory), sum = 0;
    for (unsigned i = threadIdx.x; i < count; i += blockDim.x) sum += partial[i];
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(ALL, sum, step);
    if (lane_of() == 0) place[warp_of()] = sum;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (unsigned warp = 1; warp < warps(); warp++) sum += place[warp];
    *norm = sqrt(sum);
}

// Clips, averages, steps. A norm that is not finite changes nothing. Moves 28 bytes an element with f32 gradients (reads
// g, m, v, w; writes m, v, w), 26 with bf16 ones; 8 more for an average of the weights, 2 more for a copy.
KERNEL(adamw_step)(const Slot *slots, const double *norm, unsigned count, Constants constants) {
    if (!(*norm < INFINITE)) return;
    float factor = constants.clip > 0 ? fminf(float(constants.clip / (*norm + 1e-6)), 1.0f) : 1.0f;
    const Slot slot = slots[slot_of(slots, count, blockIdx.x)];
    uint64_t start = uint64_t(blockIdx.x - slot.block) * CHUNK;
    uint64_t end = slot.length < start + CHUNK ? slot.length : start + CHUNK;
    for (uint64_t i = start + threadIdx.x; i < end; i += blockDim.x) {
        float g = gradient(slot, i) * factor;
        float first = constants.keep1 * slot.first[i] + constants.take1 * g;
        float second = constants.keep2 * slot.second[i] + constants.take2 * (g * g);
        float weight = slot.keep * slot.weight[i];
        weight -= slot.rate * first / (sqrtf(slot.correction * second) + constants.eps);
        slot.first[i] = first, slot.second[i] = second, slot.weight[i] = weight;
        if (slot.ema) slot.ema[i] = constants.keep_ema * slot.ema[i] + constants.take_ema * weight;
        if (slot.copy) slot.copy[i] = stored<bf16>(weight);
    }
}
