// As much of CUDA as this project's layers need, on the host: memory with guarded ends, launches by name, products. A
// kernel of candle that the layers do not need ends the program. Built and used by driver.sh.
#define COLA_EMULATE
#include <algorithm>
#include <map>
#include <string>

#include "attention.h"
#include "libraries.h"
#include "norms.h"
#include "optimizer.h"
#include "pointwise.h"

namespace {

typedef void (*Call)(void **);

template <typename... Args, size_t... I>
void call_with(void (*kernel)(Args...), void **parameters, std::index_sequence<I...>) {
    kernel(*static_cast<Args *>(parameters[I])...);
}

template <auto Kernel> struct Entry;
template <typename... Args, void (*Kernel)(Args...)> struct Entry<Kernel> {
    static void call(void **parameters) { call_with(Kernel, parameters, std::index_sequence_for<Args...>()); }
};

// One line for each kernel: ENTRY(file, kernel).
#define ENTRY(file, kernel) {#kernel, Entry<file::kernel>::call},
const std::map<std::string, Call> kernels = {
#include "entries.h"
};

constexpr size_t GUARD = 256, USUAL_SHARED = 48 << 10;
constexpr unsigned char UNTOUCHED = 0xff;

std::map<uint64_t, size_t> sizes;
std::map<std::string, size_t> shared_allowed;

// How often each kernel and product was called, printed at the end if the environment names COLA_COUNT_LAUNCHES.
struct Launches : std::map<std::string, size_t> {
    ~Launches() {
        if (!getenv("COLA_COUNT_LAUNCHES")) return;
        for (auto &[name, count] : *this) printf("%6zu %s\n", count, name.c_str());
    }
} launches;

void *current = nullptr;

[[noreturn]] void stop(const char *what, const std::string &name) {
    fprintf(stderr, "emulated driver: %s %s\n", what, name.c_str());
    abort();
}

int take(uint64_t *place, size_t size) {
    size_t all = (size + 2 * GUARD + 255) / 256 * 256;
    unsigned char *memory = static_cast<unsigned char *>(aligned_alloc(256, all));
    memset(memory, UNTOUCHED, all);
    *place = reinterpret_cast<uint64_t>(memory + GUARD);
    sizes[*place] = size;
    return 0;
}

int give(uint64_t place) {
    auto found = sizes.find(place);
    if (found == sizes.end()) stop("no such memory", "");
    unsigned char *memory = reinterpret_cast<unsigned char *>(place);
    for (size_t i = 0; i < GUARD; i++) {
        if (memory[found->second + i] != UNTOUCHED || memory[-1 - ptrdiff_t(i)] != UNTOUCHED) {
            stop("a kernel wrote beyond its memory", "");
        }
    }
    free(memory - GUARD);
    sizes.erase(found);
    return 0;
}

template <typename T> T *at(uint64_t place) { return reinterpret_cast<T *>(place); }

} // namespace

extern "C" {

int cuDeviceGet(int *device, int) { return *device = 0; }
int cuDeviceGetCount(int *count) { return *count = 1, 0; }
// Attribute 97: shared memory that a block may ask for. The others asked for are abilities.
int cuDeviceGetAttribute(int *value, int attribute, int) {
    return *value = attribute == 97 ? int(emulated::MOST_SHARED) : 1, 0;
}
int cuDevicePrimaryCtxRetain(void **context, int) { return *context = &sizes, 0; }
int cuCtxGetCurrent(void **context) { return *context = current, 0; }
int cuCtxSetCurrent(void *context) { return current = context, 0; }
int cuStreamIsCapturing(void *, int *capturing) { return *capturing = 0; }
int cuEventCreate(void **event, unsigned) { return *event = &sizes, 0; }
int cuGetErrorString(int, const char **text) { return *text = "an error of the emulated driver", 0; }
int cuGetErrorName(int, const char **text) { return *text = "EMULATED", 0; }

int cuMemAllocAsync(uint64_t *place, size_t size, void *) { return take(place, size); }
int cuMemAlloc_v2(uint64_t *place, size_t size) { return take(place, size); }
int cuMemFreeAsync(uint64_t place, void *) { return give(place); }
int cuMemFree_v2(uint64_t place) { return give(place); }
int cuMemsetD8Async(uint64_t to, unsigned char byte, size_t size, void *) {
    return memset(at<void>(to), byte, size), 0;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, void *) {
    return memcpy(at<void>(to), from, size), 0;
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, void *) { return memcpy(to, at<void>(from), size), 0; }
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t size, void *) {
    return memcpy(at<void>(to), at<void>(from), size), 0;
}

int cuModuleLoadData(void **module, const void *) { return *module = &sizes, 0; }
// A function is its name.
int cuModuleGetFunction(void **function, void *, const char *name) { return *function = strdup(name), 0; }
int cuFuncSetAttribute(void *function, int, int value) {
    return shared_allowed[static_cast<char *>(function)] = value, 0;
}

int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned width, unsigned height, unsigned depth,
                   unsigned shared, void *, void **parameters, void **) {
    std::string name = static_cast<char *>(function);
    launches[name]++;
    auto kernel = kernels.find(name);
    if (kernel == kernels.end()) {
        if (!libraries::run(name, parameters)) stop("a kernel that is not emulated:", name);
        return 0;
    }
    if (shared > USUAL_SHARED && shared_allowed[name] < shared) stop("more shared memory than allowed:", name);
    emulated::launch(dim3(x, y, z), dim3(width, height, depth), shared, [&] { kernel->second(parameters); });
    return 0;
}

int cublasGemmStridedBatchedEx(void *, int turned_a, int turned_b, int m, int n, int k, const void *, const void *a,
                               int type_a, int lda, long long stride_a, const void *b, int type_b, int ldb,
                               long long stride_b, const void *, void *c, int type_c, int ldc, long long stride_c,
                               int count, int, int) {
    launches["cuBLAS"]++;
    libraries::Product product{turned_a != 0, turned_b != 0, m, n, k, a, b, c, type_a, type_b, type_c, lda, ldb, ldc};
    for (int i = 0; i < count; i++) product.run(i * stride_a, i * stride_b, i * stride_c);
    return 0;
}

int cublasGemmEx(void *, int turned_a, int turned_b, int m, int n, int k, const void *, const void *a, int type_a,
                 int lda, const void *b, int type_b, int ldb, const void *, void *c, int type_c, int ldc, int, int) {
    launches["cuBLAS"]++;
    libraries::Product{turned_a != 0, turned_b != 0, m, n, k, a, b, c, type_a, type_b, type_c, lda, ldb, ldc}.run(0, 0, 0);
    return 0;
}

} // extern "C"
