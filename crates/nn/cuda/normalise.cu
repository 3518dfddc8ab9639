// y = (x - mean) / root * (offset + scale[group]) + shift[group]: layer norm and RMS norm, affine or modulated.
#include "common.cuh"

// What a norm is; the same words on the launching side.
struct Norm {
    unsigned width;
    unsigned centred;  // subtract the mean?
    unsigned least;    // eps is the least mean square instead of being added to it
    float eps;
    float offset;      // 0 for a scale that is a factor, 1 for one that is a change

    // One over the root of a mean square; flat if that is a constant, which passes no gradient.
    __device__ float inverse(float square, bool *flat) const {
        *flat = least && square < eps;
        if (!least) return 1.0f / sqrtf(square + eps);
        return 1.0f / sqrtf(*flat ? eps : square);
    }
};

// A table's row for a row of x: words of both tables.
struct Tables {
    unsigned scale_inner, scale_count, shift_inner, shift_count;
};

// One warp a row; the row is read three times, twice from the first-level cache. Moves 2 numbers an element, and the
// tables once if they stay in the cache.
template <typename T, typename P, int W>
__device__ void forward_row(T *y, const T *x, const P *scale, const P *shift, const Norm &norm) {
    float share = 1.0f / norm.width, mean = 0, square = 0, values[W], factor[W];
    unsigned first = lane_of() * W;
    if (norm.centred) {
        for (unsigned c = first; c < norm.width; c += WARP * W) {
            load(values, x + c);
#pragma unroll
            for (int i = 0; i < W; i++) mean += values[i];
        }
        mean = warp_sum(mean) * share;
    }
    for (unsigned c = first; c < norm.width; c += WARP * W) {
        load(values, x + c);
#pragma unroll
        for (int i = 0; i < W; i++) square += (values[i] - mean) * (values[i] - mean);
    }
    bool flat;
    float inverse = norm.inverse(warp_sum(square) * share, &flat);
    for (unsigned c = first; c < norm.width; c += WARP * W) {
        load(values, x + c);
#pragma unroll
        for (int i = 0; i < W; i++) values[i] = (values[i] - mean) * inverse;
        if (scale) {
            load(factor, scale + c);
#pragma unroll
            for (int i = 0; i < W; i++) values[i] *= norm.offset + factor[i];
        }
        if (shift) {
            load(factor, shift + c);
#pragma unroll
            for (int i = 0; i < W; i++) values[i] += factor[i];
        }
        store(y + c, values);
    }
}

template <typename T, typename P>
__device__ void forward(T *y, const T *x, const P *scale, const P *shift, unsigned rows, Norm norm, Tables tables) {
    constexpr int W = PACK<T>;
    unsigned row = blockIdx.x * warps() + warp_of();
    if (row >= rows) return; // The whole warp leaves.
    size_t width = norm.width;
    if (scale) scale += group(row, tables.scale_inner, tables.scale_count) * width;
    if (shift) shift += group(row, tables.shift_inner, tables.shift_count) * width;
    x += row * width, y += row * width;
    bool wide = fits<W>(x, width) && fits<W>(y, width) && fits<W>(scale, width) && fits<W>(shift, width);
    if (wide) forward_row<T, P, W>(y, x, scale, shift, norm);
    else forward_row<T, P, 1>(y, x, scale, shift, norm);
}

// One block a run of rows. A thread keeps its columns for all of them, so the sums for scale and shift need no
// exchange; they lie in shared memory because their number is known at the launch only. Moves 3 numbers an element:
// reads x and dy, writes dx.
template <typename T, typename P, int W>
__device__ void backward_rows(T *dx, float *for_scale, float *for_shift, const T *x, const T *grad, const P *scale,
                              unsigned rows, const Norm &norm) {
    SHARED_MEMORY(memory);
    float *place = reinterpret_cast<float *>(memory), *scale_sum = place + 3 * WARP;
    float *shift_sum = scale_sum + norm.width;
    unsigned first = threadIdx.x * W, step = blockDim.x * W, width = norm.width;
    for (unsigned c = first; c < width; c += step) {
        for (int i = 0; i < W; i++) scale_sum[c + i] = shift_sum[c + i] = 0;
    }
    float share = 1.0f / width, values[W], grads[W], factor[W];
    for (unsigned row = 0; row < rows; row++, x += width, grad += width) {
        float mean[1] = {0}, sums[3] = {0, 0, 0};
        if (norm.centred) {
            for (unsigned c = first; c < width; c += step) {
                load(values, x + c);
#pragma unroll
                for (int i = 0; i < W; i++) mean[0] += values[i];
            }
            block_sum(mean, place);
            mean[0] *= share;
        }
        // Sum of squares, of the normed row's gradient, and of both multiplied.
        for (unsigned c = first; c < width; c += step) {
            load(values, x + c);
            load(grads, grad + c);
            if (scale) load(factor, scale + c);
#pragma unroll
            for (int i = 0; i < W; i++) {
                float centred = values[i] - mean[0], g = scale ? grads[i] * (norm.offset + factor[i]) : grads[i];
                sums[0] += centred * centred, sums[1] += g, sums[2] += g * centred;
            }
        }
        block_sum(sums, place);
        bool flat;
        float inverse = norm.inverse(sums[0] * share, &flat);
        float average = norm.centred ? sums[1] * share : 0, along = flat ? 0 : sums[2] * inverse * share;
        for (unsigned c = first; c < width; c += step) {
            load(values, x + c);
            load(grads, grad + c);
            if (scale) load(factor, scale + c);
#pragma unroll
            for (int i = 0; i < W; i++) {
                float normed = (values[i] - mean[0]) * inverse;
                if (for_scale) scale_sum[c + i] += grads[i] * normed;
                if (for_shift) shift_sum[c + i] += grads[i];
                float g = scale ? grads[i] * (norm.offset + factor[i]) : grads[i];
                values[i] = (g - average - normed * along) * inverse;
            }
            if (dx) store(dx + c, values);
        }
        if (dx) dx += width;
    }
    for (unsigned c = first; c < width; c += step) {
        for (int i = 0; i < W; i++) {
            if (for_scale) for_scale[c + i] = scale_sum[c + i];
            if (for_shift) for_shift[c + i] = shift_sum[c + i];
        }
    }
}

template <typename T, typename P>
__device__ void backward(T *dx, float *for_scale, float *for_shift, const T *x, const T *grad, const P *scale,
                         Runs runs, Norm norm, Tables tables) {
    constexpr int W = PACK<T>;
    unsigned run = blockIdx.x, row = runs.first(run), rows = runs.end(run) - row;
    size_t width = norm.width, start = row * width;
    x += start, grad += start;
    if (dx) dx += start;
    if (scale) scale += group(row, tables.scale_inner, tables.scale_count) * width;
    if (for_scale) for_scale += run * width;
    if (for_shift) for_shift += run * width;
    bool wide = fits<W>(x, width) && fits<W>(grad, width) && fits<W>(dx, width) && fits<W>(scale, width);
    if (wide) backward_rows<T, P, W>(dx, for_scale, for_shift, x, grad, scale, rows, norm);
    else backward_rows<T, P, 1>(dx, for_scale, for_shift, x, grad, scale, rows, norm);
}

// Blocks of any number of warps. Backward: shared memory for 96 + 2 width floats; the sums of a run go to row `run` of
// for_scale and for_shift. Pointers to scale, shift, dx and the sums may be null.
#define NORMALISE(T, type, P, table)                                                                                 \
    KERNEL(normalise_forward_##T##_##P)(type *y, const type *x, const table *scale, const table *shift,              \
                                        unsigned rows, Norm norm, Tables tables) {                                   \
        forward(y, x, scale, shift, rows, norm, tables);                                                             \
    }                                                                                                                \
    KERNEL(normalise_backward_##T##_##P)(type *dx, float *for_scale, float *for_shift, const type *x,                \
                                         const type *grad, const table *scale, Runs runs, Norm norm, Tables tables) { \
        backward(dx, for_scale, for_shift, x, grad, scale, runs, norm, tables);                                      \
    }

NORMALISE(f32, float, f32, float)
NORMALISE(bf16, bf16, bf16, bf16)
NORMALISE(bf16, bf16, f32, float)
