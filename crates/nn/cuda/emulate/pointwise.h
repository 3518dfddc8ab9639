// Activations, the gated residual sum, biases: kernels against the tape.
#pragma once
#include "sums.h"

namespace activation {
#include "../activation.cu"
}
namespace modulate {
#include "../modulate.cu"
}

inline Var tape_gelu(Var x) {
    Var u = (x + x * x * x * 0.044715) * std::sqrt(2 / M_PI);
    return x * (hyperbolic_tangent(u) + 1.0) * 0.5;
}

inline Var tape_gelu_erf(Var x) { return x * (error_function(x * M_SQRT1_2) * 0.5 + 0.5); }

inline Var tape_silu(Var x) { return x * inverse(exponential(x * -1.0) + 1.0); }

template <typename T, typename Forward, typename Backward>
void check_function(const char *name, Forward forward, Backward backward, Var (*function)(Var)) {
    using namespace emulated;
    for (auto [count, shift] : {std::pair<size_t, size_t>{1, 0}, {1000, 0}, {2048, 0}, {777, 1}}) {
        Buffer<T> x(random(count, 6), shift), y(count), grad(random(count)), dx(count);
        unsigned blocks = ceil_div(count, 64 * PACK<T>);
        launch(blocks, 64, 0, [&] { forward(y.get(), x.get(), count); });
        launch(blocks, 64, 0, [&] { backward(dx.get(), x.get(), grad.get(), count); });
        new_tape();
        Vars in = inputs(x.values()), out;
        for (Var var : in) out.push_back(function(var));
        auto label = named("%s %s %zu", name, type_name<T>(), count);
        compare(label, y, values(out), CLOSE<T>);
        compare(label + " back", dx, pick(gradients(out, grad.values()), in), CLOSE<T>);
    }
}

template <typename T, typename Forward, typename Backward> void check_silu_gate(Forward forward, Backward backward) {
    using namespace emulated;
    for (auto [rows, half] : {std::pair<unsigned, unsigned>{5, 32}, {7, 33}, {3, 344}}) {
        uint64_t count = uint64_t(rows) * half;
        Buffer<T> both(random(2 * count, 4)), y(count), grad(random(count)), result(2 * count);
        unsigned blocks = ceil_div(count, 64 * PACK<T>), h = half;
        launch(blocks, 64, 0, [&] { forward(y.get(), both.get(), count, h); });
        launch(blocks, 64, 0, [&] { backward(result.get(), both.get(), grad.get(), count, h); });
        new_tape();
        Vars in = inputs(both.values()), out;
        for (size_t i = 0; i < count; i++) {
            size_t at = i / half * 2 * half + i % half;
            out.push_back(in[at] * tape_silu(in[at + half]));
        }
        auto label = named("silu gate %s %u", type_name<T>(), half);
        compare(label, y, values(out), CLOSE<T>);
        compare(label + " back", result, pick(gradients(out, grad.values()), in), CLOSE<T>);
    }
}

template <typename T, typename P, typename Forward, typename Backward>
void check_gate_add(Forward forward, Backward backward) {
    using namespace emulated;
    struct Case { unsigned outer, count, inner, width, shift; };
    for (Case c : {Case{1, 3, 5, 40, 0}, {2, 3, 70, 16, 0}, {3, 1, 7, 72, 0}, {1, 6, 1, 33, 0}, {2, 2, 3, 24, 1}}) {
        unsigned rows = c.outer * c.count * c.inner, width = c.width, inner = c.inner, groups = c.count;
        uint64_t count = uint64_t(rows) * width;
        Buffer<T> x(random(count), c.shift), y(count), branch(random(count)), grad(random(count)), for_branch(count);
        Buffer<P> gate(random(c.count * width)), for_gate(c.count * width);
        launch(ceil_div(count, 96 * PACK<T>), 96, 0, [&] {
            forward(y.get(), x.get(), gate.get(), branch.get(), count, width, inner, groups);
        });
        Cut cut = cut_rows(rows, inner, inner);
        Buffer<float> partial(cut.total * width);
        bool packed = width % PACK<T> == 0;
        unsigned tiles = ceil_div(width, 32 * (packed ? PACK<T> : 1));
        launch(dim3(cut.total, tiles), 32, 0, [&] {
            backward(for_branch.get(), partial.get(), gate.get(), branch.get(), grad.get(), cut.runs, width, inner,
                     groups, packed);
        });
        gather(for_gate, partial, width, rows, inner, groups, cut);
        new_tape();
        Vars xs = inputs(x.values()), gates = inputs(gate.values()), branches = inputs(branch.values()), out;
        for (size_t i = 0; i < count; i++) {
            out.push_back(xs[i] + gates[i / width / inner % groups * width + i % width] * branches[i]);
        }
        Doubles slopes = gradients(out, grad.values());
        auto label = named("gate add %s %s %u", type_name<T>(), type_name<P>(), width);
        compare(label, y, values(out), CLOSE<T>);
        compare(label + " branch", for_branch, pick(slopes, branches), CLOSE<T>);
        compare(label + " gate", for_gate, pick(slopes, gates), CLOSE<P>);
    }
}

template <typename T, typename P, typename Forward, typename Columns>
void check_bias(Forward forward, Columns columns) {
    using namespace emulated;
    for (auto [rows, width] : {std::pair<unsigned, unsigned>{3, 8}, {130, 40}, {65, 33}, {1, 72}}) {
        unsigned w = width;
        uint64_t count = uint64_t(rows) * width;
        Buffer<T> x(random(count, 2)), grad(random(count));
        Buffer<P> bias(random(width)), for_bias(width);
        Doubles sums = x.values(), total(width), grads = grad.values();
        for (size_t i = 0; i < count; i++) sums[i] += to_double(bias[i % width]), total[i % width] += grads[i];
        launch(ceil_div(count, 64 * PACK<T>), 64, 0, [&] { forward(x.get(), bias.get(), count, w); });
        auto label = named("bias %s %s %u", type_name<T>(), type_name<P>(), width);
        compare(label, x, sums, CLOSE<T>);
        Cut cut = cut_rows(rows, rows, rows);
        Buffer<float> partial(cut.total * width);
        bool packed = width % PACK<T> == 0;
        unsigned tiles = ceil_div(width, 32 * (packed ? PACK<T> : 1));
        launch(dim3(cut.total, tiles), 32, 0, [&] { columns(partial.get(), grad.get(), cut.runs, w, packed); });
        gather(for_bias, partial, width, rows, rows, 1, cut);
        compare(label + " sum", for_bias, total, CLOSE<P>);
    }
}

inline void check_pointwise() {
    using namespace activation;
    check_function<float>("gelu", gelu_forward_f32, gelu_backward_f32, tape_gelu);
    check_function<bf16>("gelu", gelu_forward_bf16, gelu_backward_bf16, tape_gelu);
    check_function<float>("gelu erf", gelu_erf_forward_f32, gelu_erf_backward_f32, tape_gelu_erf);
    check_function<bf16>("gelu erf", gelu_erf_forward_bf16, gelu_erf_backward_bf16, tape_gelu_erf);
    check_function<float>("silu", silu_forward_f32, silu_backward_f32, tape_silu);
    check_function<bf16>("silu", silu_forward_bf16, silu_backward_bf16, tape_silu);
    check_silu_gate<float>(silu_gate_forward_f32, silu_gate_backward_f32);
    check_silu_gate<bf16>(silu_gate_forward_bf16, silu_gate_backward_bf16);
    using namespace modulate;
    check_gate_add<float, float>(gate_add_forward_f32_f32, gate_add_backward_f32_f32);
    check_gate_add<bf16, bf16>(gate_add_forward_bf16_bf16, gate_add_backward_bf16_bf16);
    check_gate_add<bf16, float>(gate_add_forward_bf16_f32, gate_add_backward_bf16_f32);
    using namespace linear;
    check_bias<float, float>(bias_f32_f32, columns_f32);
    check_bias<bf16, bf16>(bias_bf16_bf16, columns_bf16);
    check_bias<bf16, float>(bias_bf16_f32, columns_bf16);
}
