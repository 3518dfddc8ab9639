// Plain references in double with exact gradients: numbers that remember what they were made of.
#pragma once
#include <cmath>
#include <utility>
#include <vector>

struct Tape {
    std::vector<double> values;
    std::vector<size_t> ends;
    std::vector<std::pair<unsigned, double>> edges;
};

inline Tape tape;

inline void new_tape() { tape.values.clear(), tape.ends.clear(), tape.edges.clear(); }

struct Var {
    unsigned id = 0;
    double value() const { return tape.values[id]; }
};

typedef std::vector<Var> Vars;

inline Var made(double value, std::initializer_list<std::pair<Var, double>> of = {}) {
    for (auto &[var, slope] : of) tape.edges.push_back({var.id, slope});
    tape.values.push_back(value);
    tape.ends.push_back(tape.edges.size());
    return Var{unsigned(tape.values.size() - 1)};
}

inline Vars inputs(const std::vector<double> &values) {
    Vars vars;
    for (double value : values) vars.push_back(made(value));
    return vars;
}

inline Var operator+(Var a, Var b) { return made(a.value() + b.value(), {{a, 1}, {b, 1}}); }
inline Var operator-(Var a, Var b) { return made(a.value() - b.value(), {{a, 1}, {b, -1}}); }
inline Var operator*(Var a, Var b) { return made(a.value() * b.value(), {{a, b.value()}, {b, a.value()}}); }
inline Var operator+(Var a, double b) { return made(a.value() + b, {{a, 1}}); }
inline Var operator*(Var a, double b) { return made(a.value() * b, {{a, b}}); }
inline Var inverse(Var a) { return made(1 / a.value(), {{a, -1 / (a.value() * a.value())}}); }
inline Var root(Var a) { return made(std::sqrt(a.value()), {{a, 0.5 / std::sqrt(a.value())}}); }
inline Var error_function(Var a) {
    return made(std::erf(a.value()), {{a, 2 / std::sqrt(M_PI) * std::exp(-a.value() * a.value())}});
}
inline Var exponential(Var a) { return made(std::exp(a.value()), {{a, std::exp(a.value())}}); }
inline Var hyperbolic_tangent(Var a) {
    double t = std::tanh(a.value());
    return made(t, {{a, 1 - t * t}});
}

inline Var sum(const Vars &vars) {
    double total = 0;
    for (Var var : vars) total += var.value(), tape.edges.push_back({var.id, 1});
    return made(total);
}

inline Var dot(const Var *a, const Var *b, size_t count, size_t stride_b = 1) {
    double total = 0;
    for (size_t i = 0; i < count; i++) {
        Var x = a[i], y = b[i * stride_b];
        total += x.value() * y.value();
        tape.edges.push_back({x.id, y.value()});
        tape.edges.push_back({y.id, x.value()});
    }
    return made(total);
}

// The gradient of sum(seeds * of) for everything on the tape.
inline std::vector<double> gradients(const Vars &of, const std::vector<double> &seeds) {
    std::vector<double> slopes(tape.values.size());
    for (size_t i = 0; i < of.size(); i++) slopes[of[i].id] += seeds[i];
    for (size_t node = slopes.size(); node-- > 0;) {
        for (size_t edge = node ? tape.ends[node - 1] : 0; edge < tape.ends[node]; edge++) {
            slopes[tape.edges[edge].first] += tape.edges[edge].second * slopes[node];
        }
    }
    return slopes;
}

inline std::vector<double> values(const Vars &vars) {
    std::vector<double> values;
    for (Var var : vars) values.push_back(var.value());
    return values;
}

inline std::vector<double> pick(const std::vector<double> &slopes, const Vars &vars) {
    std::vector<double> values;
    for (Var var : vars) values.push_back(slopes[var.id]);
    return values;
}
