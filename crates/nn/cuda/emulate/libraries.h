// What the layers take from others: cuBLAS's products and candle's kernels, as plain loops over the same arguments.
#pragma once
#include <functional>
#include <map>
#include <string>

#include "../common.cuh"

namespace libraries {

inline float load(const void *from, size_t i, bool half) {
    return half ? number(static_cast<const bf16 *>(from)[i]) : static_cast<const float *>(from)[i];
}

inline void store(void *to, size_t i, bool half, float x) {
    if (half) static_cast<bf16 *>(to)[i] = stored<bf16>(x);
    else static_cast<float *>(to)[i] = x;
}

// Columns lie one after the other. Types: 0 is f32, 14 bf16. Factors other than 1 and 0 do not occur.
struct Product {
    bool turned_a, turned_b;
    int m, n, k;
    const void *a, *b;
    void *c;
    int type_a, type_b, type_c, lda, ldb, ldc;

    void run(size_t from_a, size_t from_b, size_t from_c) const {
        for (int column = 0; column < n; column++) {
            for (int row = 0; row < m; row++) {
                double sum = 0;
                for (int i = 0; i < k; i++) {
                    size_t at_a = turned_a ? i + size_t(row) * lda : row + size_t(i) * lda;
                    size_t at_b = turned_b ? column + size_t(i) * ldb : i + size_t(column) * ldb;
                    sum += double(load(a, from_a + at_a, type_a == 14)) * load(b, from_b + at_b, type_b == 14);
                }
                store(c, from_c + row + size_t(column) * ldc, type_c == 14, sum);
            }
        }
    }
};

// The arguments of a launch, one after the other.
struct Arguments {
    void **next;

    template <typename T> T take() { return *static_cast<T *>(*next++); }
};

// Dimensions, and strides of one or several operands; without them everything is contiguous.
struct Places {
    size_t rank;
    const size_t *info;

    size_t of(size_t index, int operand) const {
        if (!info) return index;
        size_t place = 0;
        for (size_t axis = rank; axis-- > 0; index /= info[axis]) {
            place += index % info[axis] * info[(1 + operand) * rank + axis];
        }
        return place;
    }
};

inline bool ends_with(const std::string &name, const char *end) {
    size_t length = strlen(end);
    return name.size() >= length && name.compare(name.size() - length, length, end) == 0;
}

// Whether the name, up to its type, is `stem`; `half` is set if the type is bf16.
inline bool is(const std::string &name, const std::string &stem, bool &half) {
    half = ends_with(name, "_bf16");
    return name == stem + (half ? "_bf16" : "_f32");
}

typedef std::function<float(float)> Unary;
typedef std::function<float(float, float)> Binary;

inline const std::map<std::string, Unary> unary = {
    {"ucopy", [](float x) { return x; }},   {"uneg", [](float x) { return -x; }},
    {"usqr", [](float x) { return x * x; }}, {"usqrt", [](float x) { return std::sqrt(x); }},
};
inline const std::map<std::string, Binary> binary = {
    {"badd", [](float x, float y) { return x + y; }}, {"bsub", [](float x, float y) { return x - y; }},
    {"bmul", [](float x, float y) { return x * y; }}, {"bdiv", [](float x, float y) { return x / y; }},
};

// Runs one of candle's kernels; false if it is none of those that are known here.
inline bool run(const std::string &name, void **parameters) {
    Arguments arguments{parameters};
    bool half = false;
    for (auto &[stem, function] : unary) {
        if (!is(name, stem, half)) continue;
        size_t count = arguments.take<size_t>();
        Places places{arguments.take<size_t>(), arguments.take<const size_t *>()};
        const void *from = arguments.take<const void *>();
        void *to = arguments.take<void *>();
        for (size_t i = 0; i < count; i++) store(to, i, half, function(load(from, places.of(i, 0), half)));
        return true;
    }
    for (auto &[stem, function] : binary) {
        if (!is(name, stem, half)) continue;
        size_t count = arguments.take<size_t>();
        Places places{arguments.take<size_t>(), arguments.take<const size_t *>()};
        const void *a = arguments.take<const void *>(), *b = arguments.take<const void *>();
        void *to = arguments.take<void *>();
        for (size_t i = 0; i < count; i++) {
            store(to, i, half, function(load(a, places.of(i, 0), half), load(b, places.of(i, 1), half)));
        }
        return true;
    }
    if (name == "cast_f32_bf16" || name == "cast_bf16_f32") {
        size_t count = arguments.take<size_t>();
        Places places{arguments.take<size_t>(), arguments.take<const size_t *>()};
        const void *from = arguments.take<const void *>();
        void *to = arguments.take<void *>();
        half = name == "cast_f32_bf16";
        for (size_t i = 0; i < count; i++) store(to, i, half, load(from, places.of(i, 0), !half));
        return true;
    }
    if (is(name, "const_set", half)) {
        size_t count = arguments.take<size_t>();
        Places places{arguments.take<size_t>(), arguments.take<const size_t *>()};
        float value = half ? number(arguments.take<bf16>()) : arguments.take<float>();
        void *to = arguments.take<void *>();
        for (size_t i = 0; i < count; i++) store(to, places.of(i, 0), half, value);
        return true;
    }
    if (is(name, "copy2d", half)) {
        const void *from = arguments.take<const void *>();
        void *to = arguments.take<void *>();
        unsigned rows = arguments.take<unsigned>(), columns = arguments.take<unsigned>();
        unsigned from_stride = arguments.take<unsigned>(), to_stride = arguments.take<unsigned>();
        for (size_t i = 0; i < size_t(rows) * columns; i++) {
            size_t row = i / columns, column = i % columns;
            store(to, row * to_stride + column, half, load(from, row * from_stride + column, half));
        }
        return true;
    }
    bool small = is(name, "fast_sum_small", half);
    if (small || is(name, "fast_sum", half)) {
        // The first number counts results of the small kernel, numbers of the other.
        size_t count = arguments.take<size_t>(), each = arguments.take<size_t>();
        Places places{arguments.take<size_t>(), arguments.take<const size_t *>()};
        const void *from = arguments.take<const void *>();
        void *to = arguments.take<void *>();
        size_t results = small ? count : count / each;
        for (size_t result = 0; result < results; result++) {
            double sum = 0;
            for (size_t i = 0; i < each; i++) sum += load(from, places.of(result * each + i, 0), half);
            store(to, result, half, sum);
        }
        return true;
    }
    return false;
}

} // namespace libraries
