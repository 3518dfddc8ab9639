// Device memory with guarded ends, random numbers, comparisons.
#pragma once
#include <string>

#include "../common.cuh"
#include "tape.h"

typedef std::vector<double> Doubles;

inline uint64_t seed = 1;

// Uniform in (-1, 1).
inline double draw() {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return double(seed >> 11) / double(1ull << 52) - 1;
}

inline Doubles random(size_t count, double spread = 1, double centre = 0) {
    Doubles values(count);
    for (double &value : values) value = centre + spread * draw();
    return values;
}

inline int failures = 0;

template <typename T> T from_double(double x) {
    if constexpr (std::is_floating_point<T>::value || std::is_integral<T>::value) return T(x);
    else return stored<T>(float(x));
}

template <typename T> double to_double(T x) {
    if constexpr (std::is_floating_point<T>::value || std::is_integral<T>::value) return double(x);
    else return double(number(x));
}

struct alignas(32) Aligned {
    unsigned char bytes[32];
};

// `shift` numbers past an aligned address. Both ends are followed by numbers that are none, and so is the content
// until it is written.
template <typename T> struct Buffer {
    static constexpr size_t GUARD = 64;
    size_t count, start;
    std::vector<Aligned> memory;

    explicit Buffer(size_t count, size_t shift = 0)
        : count(count), start(GUARD + shift), memory((count + 3 * GUARD) * sizeof(T) / 32 + 1) {
        memset(static_cast<void *>(memory.data()), 0xff, memory.size() * 32);
    }
    explicit Buffer(const Doubles &values, size_t shift = 0) : Buffer(values.size(), shift) {
        for (size_t i = 0; i < count; i++) (*this)[i] = from_double<T>(values[i]);
    }
    T *all() { return reinterpret_cast<T *>(memory.data()); }
    T *get() { return all() + start; }
    T &operator[](size_t i) { return get()[i]; }
    Doubles values() {
        Doubles values(count);
        for (size_t i = 0; i < count; i++) values[i] = to_double((*this)[i]);
        return values;
    }
    bool whole() {
        const unsigned char *before = reinterpret_cast<unsigned char *>(all());
        const unsigned char *after = reinterpret_cast<unsigned char *>(get() + count);
        for (size_t i = 0; i < start * sizeof(T); i++) if (before[i] != 0xff) return false;
        for (size_t i = 0; i < GUARD * sizeof(T); i++) if (after[i] != 0xff) return false;
        return true;
    }
};

inline void report(const std::string &name, bool good, const std::string &why) {
    if (good) return;
    printf("%s: %s\n", name.c_str(), why.c_str());
    failures++;
}

// Each number within `tolerance` of the expected one, measured by its size plus the usual size of all of them; the usual
// difference within a third of that.
template <typename T>
void compare(const std::string &name, Buffer<T> &got, const Doubles &want, double tolerance) {
    report(name, got.whole(), "wrote beyond its memory");
    report(name, got.count == want.size(), "has another length");
    double square = 0, worst = 0, errors = 0;
    for (double value : want) square += value * value;
    double usual = std::sqrt(square / want.size()) + 1e-9;
    size_t where = 0;
    for (size_t i = 0; i < want.size(); i++) {
        double error = std::fabs(to_double(got[i]) - want[i]) / (std::fabs(want[i]) + usual);
        errors += error * error;
        if (!(error <= worst)) worst = error, where = i;
    }
    char text[200];
    snprintf(text, sizeof text, "off by %.2e at %zu: %g instead of %g", worst, where, to_double(got[where]), want[where]);
    report(name, worst <= tolerance, text);
    double common = std::sqrt(errors / want.size());
    snprintf(text, sizeof text, "usually off by %.2e", common);
    report(name, common <= tolerance / 3, text);
}

template <typename T> constexpr bool IS_HALF = sizeof(T) == 2;
// A few roundings of the arithmetic or one of the storage.
template <typename T> constexpr double CLOSE = IS_HALF<T> ? 6e-3 : 1e-5;
template <typename T> const char *type_name() { return IS_HALF<T> ? "bf16" : "f32"; }

template <typename... Args> std::string named(const char *format, Args... args) {
    char text[160];
    snprintf(text, sizeof text, format, args...);
    return text;
}

template <typename T> T *none() { return nullptr; }

inline unsigned ceil_div(uint64_t a, uint64_t b) { return unsigned((a + b - 1) / b); }
