// The activation functions and their slopes.
#pragma once
#include "common.cuh"

// x/2 (1 + tanh(u)) with u = sqrt(2/pi) (x + 0.044715 x^3), computed as x sigmoid(2 u).
struct Gelu {
    static constexpr float LINEAR = 1.5957691216057308f; // 2 sqrt(2 / pi)
    static constexpr float CUBIC = 0.07135481627260025f; // that times 0.044715

    __device__ static float value(float x) { return x * sigmoid(x * (LINEAR + CUBIC * (x * x))); }
    __device__ static float slope(float x) {
        float cubic = CUBIC * (x * x);
        float s = sigmoid(x * (LINEAR + cubic));
        return s + s * (1.0f - s) * (x * (LINEAR + 3.0f * cubic));
    }
};

// x/2 (1 + erf(x / sqrt(2))).
struct GeluErf {
    static constexpr float ROOT_HALF = 0.7071067811865476f;
    static constexpr float PEAK = 0.3989422804014327f; // 1 / sqrt(2 pi)

    __device__ static float below(float x) { return 0.5f + 0.5f * erff(x * ROOT_HALF); }
    __device__ static float value(float x) { return x * below(x); }
    __device__ static float slope(float x) { return below(x) + x * (PEAK * expf(-0.5f * (x * x))); }
};

struct Silu {
    __device__ static float value(float x) { return x * sigmoid(x); }
    __device__ static float slope(float x) {
        float s = sigmoid(x);
        return s + s * (1.0f - s) * x;
    }
};
