// AdamW and the nearest code against plain loops.
#pragma once
#include "check.h"

namespace adamw {
#include "../adamw.cu"
}
namespace nearest {
#include "../nearest.cu"
}

struct Weights {
    Buffer<float> grad;
    Buffer<bf16> half_grad;
    Buffer<float> weight, first, second, ema;
    bool half;

    Weights(size_t count, bool half)
        : grad(random(count, 0.3)), half_grad(random(count, 0.3)), weight(random(count)), first(random(count, 0.1)),
          second(random(count, 0.01, 0.02)), ema(random(count)), half(half) {}
};

inline void check_adamw() {
    using namespace adamw;
    std::vector<Weights> all;
    for (auto [count, half] : {std::pair<size_t, bool>{5, false}, {CHUNK * 2 + 77, false}, {CHUNK, true}, {1, false}}) {
        all.emplace_back(count, half);
    }
    std::vector<Slot> slots;
    unsigned blocks = 0;
    double square = 0;
    for (size_t i = 0; i < all.size(); i++) {
        Weights &w = all[i];
        Slot slot{};
        slot.grad = w.half ? static_cast<void *>(w.half_grad.get()) : w.grad.get();
        slot.weight = w.weight.get(), slot.first = w.first.get(), slot.second = w.second.get();
        if (i != 0) slot.ema = w.ema.get();
        slot.length = w.weight.count, slot.block = blocks, slot.half = w.half;
        slot.scale = 0.5f, slot.keep1 = 0.9f, slot.take1 = 0.1f, slot.keep2 = 0.999f, slot.take2 = 0.001f;
        slot.rate = 1e-2f * (i + 1), slot.keep = 0.999f, slot.correction = 1.5f, slot.eps = 1e-8f;
        slot.keep_ema = 0.99f, slot.take_ema = 0.01f;
        slots.push_back(slot);
        blocks += ceil_div(slot.length, CHUNK);
        for (double g : w.half ? w.half_grad.values() : w.grad.values()) square += g * g;
    }
    std::vector<Weights> before = all;
    Buffer<float> partial(blocks);
    Buffer<double> total(1);
    unsigned count = slots.size();
    emulated::launch(blocks, 64, 128, [&] { adamw_square(partial.get(), slots.data(), count); });
    emulated::launch(1, 128, 256, [&] { adamw_total(total.get(), partial.get(), blocks); });
    emulated::launch(blocks, 64, 0, [&] { adamw_step(slots.data(), count); });
    compare("sum of squares", total, {square}, 1e-6);
    for (size_t t = 0; t < all.size(); t++) {
        Weights &w = before[t];
        Doubles weight, first, second, ema;
        for (size_t i = 0; i < w.weight.count; i++) {
            double g = 0.5 * (w.half ? to_double(w.half_grad[i]) : w.grad[i]);
            first.push_back(0.9 * w.first[i] + 0.1 * g);
            second.push_back(0.999 * w.second[i] + 0.001 * g * g);
            double step = 1e-2 * (t + 1) * first[i] / (std::sqrt(1.5 * second[i]) + 1e-8);
            weight.push_back(0.999f * w.weight[i] - step);
            ema.push_back(0.99 * w.ema[i] + 0.01 * weight[i]);
        }
        compare("adamw weight", all[t].weight, weight, 1e-6);
        compare("adamw first", all[t].first, first, 1e-6);
        compare("adamw second", all[t].second, second, 1e-6);
        compare("adamw ema", all[t].ema, t == 0 ? w.ema.values() : ema, 1e-6);
    }
}

template <typename T, typename Kernel> void check_nearest(Kernel kernel) {
    for (auto [count, codes, size] : {std::tuple<unsigned, unsigned, unsigned>{9, 70, 32}, {4, 3, 5}}) {
        Buffer<T> tokens(random(count * size));
        Buffer<float> codebook(random(codes * size));
        Buffer<unsigned> index(count);
        // The second code once more at the end: the lower index wins.
        for (unsigned i = 0; i < size; i++) {
            codebook[(codes - 1) * size + i] = codebook[size + i];
            tokens[size + i] = from_double<T>(codebook[size + i]);
        }
        tokens[0] = from_double<T>(NAN);
        Doubles want{double(codes - 1)};
        for (unsigned token = 1; token < count; token++) {
            double best = INFINITY, found = 0;
            for (unsigned code = 0; code < codes; code++) {
                double distance = 0;
                for (unsigned i = 0; i < size; i++) {
                    distance += std::pow(to_double(tokens[token * size + i]) - codebook[code * size + i], 2);
                }
                if (distance < best) best = distance, found = code;
            }
            want.push_back(found);
        }
        unsigned n = count, k = codes, d = size;
        emulated::launch(ceil_div(n, 2), 64, 0, [&] { kernel(index.get(), tokens.get(), codebook.get(), n, k, d); });
        compare(named("nearest %s", type_name<T>()), index, want, 1e-12);
    }
}

inline void check_optimizer() {
    check_adamw();
    check_nearest<float>(nearest::nearest_f32);
    check_nearest<bf16>(nearest::nearest_bf16);
}
