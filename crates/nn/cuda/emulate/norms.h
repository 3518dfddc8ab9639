// Norms with scales and shifts: kernels against the tape.
#pragma once
#include "sums.h"

namespace normalise {
#include "../normalise.cu"
}

struct NormCase {
    unsigned outer, rows_inner, width;
    unsigned scale_inner, scale_count, shift_inner, shift_count; // no table if the count is 0
    unsigned centred, least;
    double eps, offset;
    bool skewed; // input not aligned
};

inline Vars tape_normalise(const NormCase &c, unsigned rows, const Vars &x, const Vars &scale, const Vars &shift) {
    Vars out;
    for (unsigned row = 0; row < rows; row++) {
        Vars centred(x.begin() + size_t(row) * c.width, x.begin() + size_t(row + 1) * c.width);
        if (c.centred) {
            Var mean = sum(centred) * (-1.0 / c.width);
            for (Var &var : centred) var = var + mean;
        }
        Var square = dot(centred.data(), centred.data(), c.width) * (1.0 / c.width);
        if (!c.least) square = square + c.eps;
        else if (square.value() < c.eps) square = made(c.eps);
        Var factor = inverse(root(square));
        for (unsigned i = 0; i < c.width; i++) {
            Var y = centred[i] * factor;
            if (c.scale_count) y = y * (scale[row / c.scale_inner % c.scale_count * c.width + i] + c.offset);
            if (c.shift_count) y = y + shift[row / c.shift_inner % c.shift_count * c.width + i];
            out.push_back(y);
        }
    }
    return out;
}

template <typename T, typename P, typename Forward, typename Backward>
void check_normalise(Forward forward, Backward backward, const NormCase &c) {
    using namespace emulated;
    unsigned rows = c.outer * c.rows_inner;
    size_t count = size_t(rows) * c.width;
    Doubles start = random(count, 2, 0.5);
    // A row below the least square, which passes no gradient through its root.
    if (c.least) for (unsigned i = 0; i < c.width; i++) start[i] *= 1e-6;
    Buffer<T> x(start, c.skewed), y(count), grad(random(count)), dx(count);
    Buffer<P> scale(random(c.scale_count * c.width)), shift(random(c.shift_count * c.width));
    Buffer<P> for_scale(scale.count), for_shift(shift.count);
    P *scales = c.scale_count ? scale.get() : nullptr, *shifts = c.shift_count ? shift.get() : nullptr;
    normalise::Norm norm{c.width, c.centred, c.least, float(c.eps), float(c.offset)};
    unsigned scale_inner = c.scale_count ? c.scale_inner : rows, shift_inner = c.shift_count ? c.shift_inner : rows;
    normalise::Tables tables{scale_inner, std::max(c.scale_count, 1u), shift_inner, std::max(c.shift_count, 1u)};
    launch(ceil_div(rows, 4), 128, 0, [&] { forward(y.get(), x.get(), scales, shifts, rows, norm, tables); });
    Cut cut = cut_rows(rows, scale_inner, shift_inner);
    Buffer<float> scale_sums(c.scale_count ? cut.total * c.width : 0), shift_sums(c.shift_count ? cut.total * c.width : 0);
    launch(cut.total, 64, (96 + 2 * c.width) * 4, [&] {
        backward(dx.get(), c.scale_count ? scale_sums.get() : nullptr, c.shift_count ? shift_sums.get() : nullptr,
                 x.get(), grad.get(), scales, cut.runs, norm, tables);
    });
    new_tape();
    Vars xs = inputs(x.values()), vars = inputs(scale.values()), shift_vars = inputs(shift.values());
    Vars out = tape_normalise(c, rows, xs, vars, shift_vars);
    Doubles slopes = gradients(out, grad.values());
    auto label = named("normalise %s %s %u x %u", type_name<T>(), type_name<P>(), rows, c.width);
    compare(label, y, values(out), CLOSE<T>);
    Doubles want = pick(slopes, xs);
    if (c.least) {
        // Its gradient is a million times as large and would hide the others'.
        for (unsigned i = 0; i < c.width; i++) {
            double got = to_double(dx[i]);
            report(label, std::fabs(got - want[i]) <= 2 * CLOSE<T> * (std::fabs(want[i]) + 1e3), "flat row");
            want[i] = 0, dx[i] = from_double<T>(0);
        }
    }
    compare(label + " x", dx, want, 3 * CLOSE<T>);
    if (c.scale_count) {
        gather(for_scale, scale_sums, c.width, rows, c.scale_inner, c.scale_count, cut);
        compare(label + " scale", for_scale, pick(slopes, vars), 2 * CLOSE<P>);
    }
    if (c.shift_count) {
        gather(for_shift, shift_sums, c.width, rows, c.shift_inner, c.shift_count, cut);
        compare(label + " shift", for_shift, pick(slopes, shift_vars), 2 * CLOSE<P>);
    }
}

inline void check_norms() {
    const NormCase cases[] = {
        {1, 5, 40, 0, 0, 0, 0, 1, 0, 1e-6, 0, false},        // layer norm alone
        {2, 75, 72, 150, 1, 150, 1, 1, 0, 1e-5, 0, false},   // affine, more than one run
        {2, 12, 64, 4, 3, 4, 3, 1, 0, 1e-6, 1, false},       // modulated
        {2, 140, 16, 70, 2, 70, 2, 1, 0, 1e-6, 1, false},    // modulated, runs within a group
        {1, 12, 33, 6, 2, 4, 3, 1, 0, 1e-6, 1, false},       // tables of different groups, odd width
        {1, 9, 36, 9, 1, 0, 0, 0, 0, 1e-6, 0, false},        // RMS
        {1, 6, 32, 6, 1, 0, 0, 0, 1, 1e-6, 0, false},        // RMS with a least square
        {3, 4, 1152, 4, 3, 4, 3, 1, 0, 1e-6, 1, false},      // the paper's width
        {1, 6, 24, 1, 6, 1, 6, 1, 0, 1e-6, 1, true},         // a table row for each row
    };
    for (const NormCase &c : cases) {
        using namespace normalise;
        check_normalise<float, float>(normalise_forward_f32_f32, normalise_backward_f32_f32, c);
        check_normalise<bf16, bf16>(normalise_forward_bf16_bf16, normalise_backward_bf16_bf16, c);
        check_normalise<bf16, float>(normalise_forward_bf16_f32, normalise_backward_bf16_f32, c);
    }
}
