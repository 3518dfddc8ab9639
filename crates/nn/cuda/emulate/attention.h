// Attention, short and long: kernels against the tape.
#pragma once
#include "heads_reference.h"

namespace heads_short {
#include "../heads_short.cu"
}
namespace heads_rows {
#include "../heads_rows.cu"
}
namespace heads_long {
#include "../heads_long.cu"
}
namespace heads_long_back {
#include "../heads_long_back.cu"
}

template <typename T> size_t tile_bytes(unsigned rows, unsigned length) {
    return ceil_div(rows * stride_of<T>(length) * sizeof(T), 128) * 128;
}

template <typename T>
void compare_heads(const std::string &label, HeadsData<T> &data, Buffer<float> &partial, unsigned blocks, double tolerance) {
    HeadsReference<T> want(data);
    compare(label, data.out, want.out, tolerance);
    compare(label + " back", data.for_q, want.for_q, tolerance);
    if (data.c.cross) compare(label + " back kv", data.for_kv, want.for_kv, tolerance);
    if (data.table.count == 0) return;
    Buffer<float> for_table(data.table.count);
    launch_gather(for_table, partial.get(), data.table.count, 1, blocks, 1);
    compare(label + " table", for_table, want.for_table, tolerance);
}

template <typename T, typename Forward, typename Backward>
void check_short(Forward forward, Backward backward, const HeadsCase &c) {
    HeadsData<T> data(c);
    unsigned queries = padded<float>(c.queries), keys = padded<float>(c.keys), most = std::max(queries, keys);
    size_t square = tile_bytes<float>(queries, keys);
    size_t q = tile_bytes<float>(queries, c.size), k = tile_bytes<float>(keys, c.size), m = tile_bytes<float>(most, c.size);
    unsigned threads = c.queries <= 16 ? 64 : 128, blocks = std::min(data.heads.units, 3u);
    emulated::launch(data.heads.units, threads, q + 2 * k + square, [&] {
        forward(data.out.get(), data.operand(0), data.operand(1), data.operand(2), data.table.get(), data.turns.get(), data.heads);
    });
    Buffer<float> partial(blocks * data.table.count);
    emulated::launch(blocks, threads, q + k + 2 * m + 2 * square, [&] {
        backward(data.result(0), data.result(1), data.result(2), c.norm ? partial.get() : none<float>(), data.operand(0),
                 data.operand(1), data.operand(2), data.table.get(), data.turns.get(), data.grad.get(), data.heads);
    });
    compare_heads(named("short %s %s", c.name, type_name<T>()), data, partial, blocks, IS_HALF<T> ? 8e-3 : 3e-5);
}

// The kernels of one storage type.
template <typename T> struct LongKernels;
#define LONG_KERNELS(T, type)                                                                                        \
    template <> struct LongKernels<type> {                                                                           \
        static constexpr auto ready = heads_rows::heads_ready_##T;                                                   \
        static constexpr auto deltas = heads_rows::heads_deltas_##T;                                                 \
        static constexpr auto finish = heads_rows::heads_finish_##T;                                                 \
        static constexpr auto forward = heads_long::heads_long_forward_##T;                                          \
        static constexpr auto keys = heads_long_back::heads_long_keys_##T;                                           \
        static constexpr auto queries = heads_long_back::heads_long_queries_##T;                                     \
    };
LONG_KERNELS(f32, float)
LONG_KERNELS(bf16, bf16)

template <typename T> void check_long(const HeadsCase &c) {
    typedef LongKernels<T> Kernels;
    using emulated::launch;
    HeadsData<T> data(c);
    const Heads &heads = data.heads;
    constexpr unsigned S = SIDE<T>;
    size_t tile = tile_bytes<T>(S, c.size), square = tile_bytes<T>(S, S), rows = ceil_div(S * 4, 128) * 128;
    size_t scores = tile_bytes<float>(S, S), sum = tile_bytes<float>(S, padded<T>(c.size));
    unsigned unit_rows[2] = {heads.units * c.queries, heads.units * c.keys};
    Buffer<T> ready_q(unit_rows[0] * c.size), ready_k(unit_rows[1] * c.size), grad_q(ready_q.count), grad_k(ready_k.count);
    Buffer<float> log_sums(unit_rows[0]), deltas(unit_rows[0]);
    for (unsigned part = 0; part < 2; part++) {
        launch(ceil_div(unit_rows[part], 4), 128, 0, [&] {
            Kernels::ready(part ? ready_k.get() : ready_q.get(), data.operand(part), data.table.get(), data.turns.get(), heads, part);
        });
    }
    unsigned query_tiles = ceil_div(c.queries, S) * heads.units, key_tiles = ceil_div(c.keys, S) * heads.units;
    launch(query_tiles, 128, 3 * tile + scores + sum + 2 * rows + square, [&] {
        Kernels::forward(data.out.get(), log_sums.get(), ready_q.get(), ready_k.get(), data.operand(2), heads);
    });
    launch(ceil_div(unit_rows[0], 4), 128, 0, [&] { Kernels::deltas(deltas.get(), data.out.get(), data.grad.get(), heads); });
    size_t shared = 4 * tile + 2 * scores + 2 * sum + 2 * rows + 2 * square;
    launch(key_tiles, 128, shared, [&] {
        Kernels::keys(grad_k.get(), data.result(2), ready_q.get(), ready_k.get(), data.operand(2), data.grad.get(),
                      log_sums.get(), deltas.get(), heads);
    });
    launch(query_tiles, 128, shared - sum, [&] {
        Kernels::queries(grad_q.get(), ready_q.get(), ready_k.get(), data.operand(2), data.grad.get(), log_sums.get(),
                         deltas.get(), heads);
    });
    constexpr unsigned BLOCKS = 3;
    Buffer<float> partial(2 * BLOCKS * data.table.count);
    for (unsigned part = 0; part < 2; part++) {
        launch(BLOCKS, 128, data.table.count * 4, [&] {
            float *own = partial.get() + part * BLOCKS * data.table.count;
            Kernels::finish(data.result(part), c.norm ? own : nullptr, part ? grad_k.get() : grad_q.get(),
                            data.operand(part), data.table.get(), data.turns.get(), heads, part);
        });
    }
    auto label = named("long %s %s", c.name, type_name<T>());
    report(label, ready_q.whole() && ready_k.whole() && grad_q.whole() && grad_k.whole(), "wrote beyond its memory");
    report(label, log_sums.whole() && deltas.whole(), "wrote beyond its memory");
    compare_heads(label, data, partial, 2 * BLOCKS, IS_HALF<T> ? 6e-2 : 5e-5);
}

inline void check_attention() {
    const HeadsCase brief[] = {
        {"time", 2, 3, 2, 72, 5, 5, 1, 1, true, false},  {"space", 2, 1, 2, 16, 17, 17, 0, 2, true, false},
        {"bare", 1, 1, 3, 6, 4, 4, 0, 0, false, false},  {"odd", 1, 2, 2, 7, 9, 9, 1, 2, false, false},
        {"cross", 3, 1, 2, 24, 2, 30, 0, 2, false, true}, {"cross back", 1, 1, 1, 128, 35, 3, 0, 1, false, true},
        {"one", 1, 2, 1, 8, 1, 1, 1, 1, true, false},    {"longest", 1, 1, 1, 64, 64, 64, 1, 1, true, false},
    };
    for (const HeadsCase &c : brief) {
        using namespace heads_short;
        check_short<float>(heads_short_forward_f32, heads_short_backward_f32, c);
        check_short<bf16>(heads_short_forward_bf16, heads_short_backward_bf16, c);
    }
    const HeadsCase extended[] = {
        {"space", 1, 1, 2, 72, 97, 97, 0, 1, true, false}, {"causal", 1, 2, 1, 16, 130, 130, 1, 2, true, false},
        {"bare", 1, 1, 1, 128, 65, 65, 0, 0, false, false}, {"cross", 2, 1, 1, 24, 3, 140, 0, 2, false, true},
        {"odd", 1, 1, 1, 9, 70, 66, 0, 0, false, true},     {"few", 1, 1, 2, 32, 5, 5, 1, 1, true, false},
    };
    for (const HeadsCase &c : extended) {
        check_long<float>(c);
        check_long<bf16>(c);
    }
}
