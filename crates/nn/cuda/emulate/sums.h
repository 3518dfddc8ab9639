// Sums over rows in two steps, launched as the library does.
#pragma once
#include <numeric>

#include "../activation.cuh"
#include "check.h"

namespace linear {
#include "../linear.cu"
}

struct Cut {
    Runs runs;
    unsigned total;
};

// Runs of at most 64 rows within which neither table changes.
inline Cut cut_rows(unsigned rows, unsigned inner, unsigned other) {
    unsigned segment = std::gcd(inner, other), pieces = ceil_div(segment, 64);
    return Cut{{segment, pieces, 64}, rows / segment * pieces};
}

inline void launch_gather(Buffer<float> &to, float *partial, unsigned w, unsigned count, unsigned each, unsigned visits) {
    emulated::launch(ceil_div(w, 32) * count, dim3(32, 8), 1024, [&] {
        linear::gather_f32(to.get(), partial, w, count, each, visits);
    });
}

inline void launch_gather(Buffer<bf16> &to, float *partial, unsigned w, unsigned count, unsigned each, unsigned visits) {
    emulated::launch(ceil_div(w, 32) * count, dim3(32, 8), 1024, [&] {
        linear::gather_bf16(to.get(), partial, w, count, each, visits);
    });
}

template <typename P>
void gather(Buffer<P> &to, Buffer<float> &partial, unsigned width, unsigned rows, unsigned inner, unsigned count, const Cut &cut) {
    unsigned each = inner / cut.runs.segment * cut.runs.pieces;
    launch_gather(to, partial.get(), width, count, each, rows / (inner * count));
}
