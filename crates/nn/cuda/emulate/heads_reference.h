// Attention of one head of one sequence on the tape, and the cases that are run.
#pragma once
#include "../flash.cuh"
#include "sums.h"

struct HeadsCase {
    const char *name;
    unsigned blocks, inner, heads, size, queries, keys, causal;
    unsigned norm; // 0 none, 1 RMS, 2 centred
    bool rotary, cross;
};

// Operands, parameters and results of a case, laid out as the layers do.
template <typename T> struct HeadsData {
    HeadsCase c;
    Heads heads{};
    Buffer<T> q, kv, for_q, for_kv, grad, out;
    Buffer<float> table, turns;

    static size_t rows(const HeadsCase &c, unsigned length) { return size_t(c.blocks) * c.inner * length; }
    static unsigned dim(const HeadsCase &c) { return c.heads * c.size; }

    explicit HeadsData(const HeadsCase &c)
        : c(c), q(random(rows(c, c.queries) * dim(c) * (c.cross ? 1 : 3))),
          kv(random(c.cross ? rows(c, c.keys) * dim(c) * 2 : 0)), for_q(q.count), for_kv(kv.count),
          grad(random(rows(c, c.queries) * dim(c))), out(grad.count), table(random(table_rows(c) * c.size, 0.5, 1)),
          turns(c.rotary ? std::max(c.queries, c.keys) * c.size : 0) {
        unsigned d = dim(c);
        for (unsigned part = 0; part < 3; part++) {
            heads.width[part] = c.cross ? (part ? 2 * d : d) : 3 * d;
            heads.offset[part] = c.cross ? (part == 2 ? d : 0) : part * d;
        }
        heads.heads = c.heads, heads.size = c.size, heads.length[0] = c.queries, heads.length[1] = c.keys;
        heads.inner = c.inner, heads.causal = c.causal, heads.norm[0] = heads.norm[1] = c.norm;
        heads.eps[0] = heads.eps[1] = 1e-6f;
        heads.scale[1] = c.norm == 2 ? 2 : 1, heads.shift[0] = 1, heads.shift[1] = 3;
        heads.rotary = c.rotary, heads.factor = float(1 / std::sqrt(double(c.size)));
        heads.units = c.blocks * c.inner * c.heads, heads.table = table_rows(c);
        for (size_t i = 0; i < turns.count; i += 2) {
            double angle = double(i / c.size) * std::pow(10000.0, -double(i % c.size) / c.size);
            turns[i] = float(std::cos(angle)), turns[i + 1] = float(std::sin(angle));
        }
    }
    static unsigned table_rows(const HeadsCase &c) { return 2 * c.norm; }
    T *operand(unsigned part) { return c.cross && part ? kv.get() : q.get(); }
    T *result(unsigned part) { return c.cross && part ? for_kv.get() : for_q.get(); }
};

// One ready row on the tape.
template <typename T>
Vars tape_row(HeadsData<T> &data, const Vars &table, unsigned part, unsigned position, Vars row) {
    const HeadsCase &c = data.c;
    unsigned n = c.size;
    if (c.norm == 2) {
        Var mean = sum(row) * (-1.0 / n);
        for (Var &var : row) var = var + mean;
    }
    if (c.norm) {
        Var factor = inverse(root(dot(row.data(), row.data(), n) * (1.0 / n) + 1e-6));
        for (unsigned i = 0; i < n; i++) {
            row[i] = row[i] * factor * table[data.heads.scale[part] * n + i];
            if (c.norm == 2) row[i] = row[i] + table[data.heads.shift[part] * n + i];
        }
    }
    for (unsigned i = 0; c.rotary && i < n; i += 2) {
        double cosine = data.turns[position * n + i], sine = data.turns[position * n + i + 1];
        Var even = row[i] * cosine - row[i + 1] * sine, odd = row[i + 1] * cosine + row[i] * sine;
        row[i] = even, row[i + 1] = odd;
    }
    if (part == 0) for (Var &var : row) var = var * (1 / std::sqrt(double(n)));
    return row;
}

// Expected results, gradients of both operands and of the table; a tape for each unit.
template <typename T> struct HeadsReference {
    Doubles out, for_q, for_kv, for_table;

    explicit HeadsReference(HeadsData<T> &data) {
        out.resize(data.out.count), for_q.resize(data.q.count), for_kv.resize(data.kv.count);
        for_table.resize(data.table.count);
        for (unsigned unit = 0; unit < data.heads.units; unit++) run(data, unit);
    }

    void run(HeadsData<T> &data, unsigned unit) {
        new_tape();
        const HeadsCase &c = data.c;
        Vars table = inputs(data.table.values());
        std::vector<Vars> raw[3], ready[3];
        for (unsigned part = 0; part < 3; part++) {
            for (unsigned position = 0; position < data.heads.tokens(part); position++) {
                const T *from = data.operand(part) + data.heads.place(unit, position, part);
                Doubles numbers;
                for (unsigned i = 0; i < c.size; i++) numbers.push_back(to_double(from[i]));
                raw[part].push_back(inputs(numbers));
                ready[part].push_back(part < 2 ? tape_row(data, table, part, position, raw[part].back()) : raw[part].back());
            }
        }
        Vars values, results;
        for (Vars &row : ready[2]) values.insert(values.end(), row.begin(), row.end());
        Doubles seeds;
        for (unsigned query = 0; query < c.queries; query++) {
            Vars weights;
            for (unsigned key = 0; key < (c.causal ? query + 1 : c.keys); key++) {
                weights.push_back(exponential(dot(ready[0][query].data(), ready[1][key].data(), c.size)));
            }
            Var share = inverse(sum(weights));
            size_t place = data.heads.out(unit, query);
            for (unsigned i = 0; i < c.size; i++) {
                results.push_back(dot(weights.data(), values.data() + i, weights.size(), c.size) * share);
                out[place + i] = results.back().value();
                seeds.push_back(to_double(data.grad[place + i]));
            }
        }
        Doubles slopes = gradients(results, seeds);
        for (unsigned part = 0; part < 3; part++) {
            Doubles &to = c.cross && part ? for_kv : for_q;
            for (unsigned position = 0; position < raw[part].size(); position++) {
                Doubles row = pick(slopes, raw[part][position]);
                std::copy(row.begin(), row.end(), to.begin() + data.heads.place(unit, position, part));
            }
        }
        Doubles own = pick(slopes, table);
        for (size_t i = 0; i < own.size(); i++) for_table[i] += own[i];
    }
};
