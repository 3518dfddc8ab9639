// GELU (tanh formula and exact), SiLU and the SiLU gate: one pass forward, one backward.
#include "activation.cuh"

// y = f(x). Moves 2 numbers an element: reads x, writes y.
template <typename F, typename T> __device__ void pointwise_forward(T *y, const T *x, uint64_t count) {
    constexpr int W = PACK<T>;
    uint64_t start = (uint64_t(blockIdx.x) * blockDim.x + threadIdx.x) * W;
    if (start + W <= count && fits<W>(x, W) && fits<W>(y, W)) {
        float values[W];
        load(values, x + start);
#pragma unroll
        for (int i = 0; i < W; i++) values[i] = F::value(values[i]);
        store(y + start, values);
        return;
    }
    for (uint64_t i = start; i < count && i < start + W; i++) y[i] = stored<T>(F::value(number(x[i])));
}

// dx = dy f'(x). Moves 3 numbers an element: reads x and dy, writes dx.
template <typename F, typename T>
__device__ void pointwise_backward(T *dx, const T *x, const T *grad, uint64_t count) {
    constexpr int W = PACK<T>;
    uint64_t start = (uint64_t(blockIdx.x) * blockDim.x + threadIdx.x) * W;
    if (start + W <= count && fits<W>(x, W) && fits<W>(grad, W) && fits<W>(dx, W)) {
        float values[W], grads[W];
        load(values, x + start);
        load(grads, grad + start);
#pragma unroll
        for (int i = 0; i < W; i++) values[i] = grads[i] * F::slope(values[i]);
        store(dx + start, values);
        return;
    }
    for (uint64_t i = start; i < count && i < start + W; i++) {
        dx[i] = stored<T>(number(grad[i]) * F::slope(number(x[i])));
    }
}

// y = p silu(s), (p, s) the halves of a row of 2 half. Moves 3 numbers an element of y.
template <typename T, int W>
__device__ void gate_forward(T *y, const T *both, uint64_t count, unsigned half) {
    uint64_t start = (uint64_t(blockIdx.x) * blockDim.x + threadIdx.x) * PACK<T>;
    for (uint64_t i = start; i < count && i < start + PACK<T>; i += W) {
        const T *from = both + i / half * 2 * half + i % half;
        float value[W], gate[W];
        load(value, from);
        load(gate, from + half);
#pragma unroll
        for (int k = 0; k < W; k++) value[k] *= Silu::value(gate[k]);
        store(y + i, value);
    }
}

// Moves 5 numbers an element of y: reads dy and both halves, writes both gradients.
template <typename T, int W>
__device__ void gate_backward(T *result, const T *both, const T *grad, uint64_t count, unsigned half) {
    uint64_t start = (uint64_t(blockIdx.x) * blockDim.x + threadIdx.x) * PACK<T>;
    for (uint64_t i = start; i < count && i < start + PACK<T>; i += W) {
        uint64_t at = i / half * 2 * half + i % half;
        float value[W], gate[W], grads[W];
        load(value, both + at);
        load(gate, both + at + half);
        load(grads, grad + i);
#pragma unroll
        for (int k = 0; k < W; k++) {
            float slope = Silu::slope(gate[k]), silu = Silu::value(gate[k]);
            gate[k] = grads[k] * value[k] * slope;
            value[k] = grads[k] * silu;
        }
        store(result + at, value);
        store(result + at + half, gate);
    }
}

// One thread a pack of 16 bytes in all of these.
#define ACTIVATION(T, type)                                                                                          \
    KERNEL(gelu_forward_##T)(type *y, const type *x, uint64_t count) { pointwise_forward<Gelu>(y, x, count); }       \
    KERNEL(gelu_erf_forward_##T)(type *y, const type *x, uint64_t count) { pointwise_forward<GeluErf>(y, x, count); } \
    KERNEL(gelu_erf_backward_##T)(type *dx, const type *x, const type *grad, uint64_t count) {                       \
        pointwise_backward<GeluErf>(dx, x, grad, count);                                                             \
    }                                                                                                                \
    KERNEL(silu_forward_##T)(type *y, const type *x, uint64_t count) { pointwise_forward<Silu>(y, x, count); }       \
    KERNEL(gelu_backward_##T)(type *dx, const type *x, const type *grad, uint64_t count) {                           \
        pointwise_backward<Gelu>(dx, x, grad, count);                                                                \
    }                                                                                                                \
    KERNEL(silu_backward_##T)(type *dx, const type *x, const type *grad, uint64_t count) {                           \
        pointwise_backward<Silu>(dx, x, grad, count);                                                                \
    }                                                                                                                \
    KERNEL(silu_gate_forward_##T)(type *y, const type *both, uint64_t count, unsigned half) {                        \
        constexpr int W = PACK<type>;                                                                                \
        if (fits<W>(both, half) && fits<W>(y, half)) gate_forward<type, W>(y, both, count, half);                    \
        else gate_forward<type, 1>(y, both, count, half);                                                            \
    }                                                                                                                \
    KERNEL(silu_gate_backward_##T)(type *result, const type *both, const type *grad, uint64_t count, unsigned half) { \
        constexpr int W = PACK<type>;                                                                                \
        if (fits<W>(both, half) && fits<W>(grad, half) && fits<W>(result, half)) {                                   \
            gate_backward<type, W>(result, both, grad, count, half);                                                 \
        } else {                                                                                                     \
            gate_backward<type, 1>(result, both, grad, count, half);                                                 \
        }                                                                                                            \
    }

ACTIVATION(f32, float)
ACTIVATION(bf16, bf16)
