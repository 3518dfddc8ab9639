// A block of CUDA threads as fibers of one thread: they run until they wait for each other. The order changes from block
// to block, so that a missing barrier shows as a wrong result.
#pragma once
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <ucontext.h>
#include <vector>

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulated {

[[noreturn]] inline void fail(const char *what) {
    fprintf(stderr, "block %u, thread %u: %s\n", blockIdx.x, threadIdx.x, what);
    exit(1);
}

// A meeting of `members` fibers.
struct Barrier {
    unsigned members = 0, arrived = 0;
};

struct Fiber {
    ucontext_t context;
    jmp_buf jump;
    std::unique_ptr<char[]> stack;
    bool started = false, done = true;
    Barrier *waiting = nullptr;
    unsigned index = 0;
};

constexpr size_t STACK = 128 << 10;
constexpr size_t MOST_SHARED = 227 << 10; // of a Hopper block
constexpr unsigned char POISON = 0xff;    // NaN as a float and as a bf16

struct Block {
    std::vector<std::unique_ptr<Fiber>> fibers;
    std::vector<Barrier> warps;
    Barrier all;
    Fiber *current = nullptr;
    jmp_buf scheduler;
    const std::function<void()> *body = nullptr;
    uint64_t dice = 88172645463325252u;
    // What the lanes of a warp show each other: 64 bits each for shuffles, two tiles for tensor cores.
    std::vector<uint64_t> shown;
    std::vector<float> tiles;
};

inline Block block;
alignas(128) inline unsigned char shared[MOST_SHARED + 128];

inline void fiber_main() {
    for (;;) {
        (*block.body)();
        block.current->done = true;
        if (!_setjmp(block.current->jump)) _longjmp(block.scheduler, 1);
    }
}

inline void release(Barrier &barrier) {
    barrier.arrived = 0;
    for (auto &fiber : block.fibers) {
        if (fiber->waiting == &barrier) fiber->waiting = nullptr;
    }
}

inline void meet(Barrier &barrier) {
    if (++barrier.arrived == barrier.members) return release(barrier);
    Fiber *own = block.current;
    own->waiting = &barrier;
    if (!_setjmp(own->jump)) _longjmp(block.scheduler, 1);
}

inline void __attribute__((noinline)) resume(Fiber *fiber) {
    block.current = fiber;
    unsigned i = fiber->index;
    threadIdx = dim3(i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y);
    if (_setjmp(block.scheduler)) return;
    if (fiber->started) _longjmp(fiber->jump, 1);
    fiber->started = true;
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack.get();
    fiber->context.uc_stack.ss_size = STACK;
    makecontext(&fiber->context, fiber_main, 0);
    setcontext(&fiber->context);
}

inline unsigned roll() {
    block.dice ^= block.dice << 13, block.dice ^= block.dice >> 7, block.dice ^= block.dice << 17;
    return unsigned(block.dice >> 20);
}

// Runs every thread of a warp that can run, from a random one on, forwards or backwards.
inline bool sweep(unsigned warp, unsigned *left) {
    unsigned lane = roll() % 32, step = roll() & 1 ? 1 : 31;
    bool moved = false;
    for (unsigned n = 0; n < 32; n++, lane = (lane + step) % 32) {
        Fiber *fiber = block.fibers[warp * 32 + lane].get();
        if (fiber->done || fiber->waiting) continue;
        moved = true;
        resume(fiber);
        if (!fiber->done) continue;
        --*left;
        // The others no longer wait for a thread that has left.
        if (--block.all.members > 0 && block.all.arrived == block.all.members) release(block.all);
    }
    return moved;
}

inline void run_block(unsigned threads) {
    while (block.fibers.size() < threads) {
        block.fibers.push_back(std::make_unique<Fiber>());
        block.fibers.back()->stack.reset(new char[STACK]);
        block.fibers.back()->index = block.fibers.size() - 1;
    }
    block.all = Barrier{threads, 0};
    block.warps.assign(threads / 32, Barrier{32, 0});
    block.shown.assign(threads, 0);
    block.tiles.assign(threads / 32 * 512, 0);
    for (unsigned i = 0; i < threads; i++) block.fibers[i]->done = false;
    for (unsigned left = threads; left > 0;) {
        unsigned warp = roll() % (threads / 32);
        bool moved = false;
        for (unsigned n = 0; n < threads / 32; n++, warp = (warp + 1) % (threads / 32)) {
            // Some warps run ahead as far as they can, others a step at a time.
            bool eager = roll() & 1;
            while (sweep(warp, &left)) {
                moved = true;
                if (!eager) break;
            }
        }
        if (!moved && left > 0) fail("threads wait for each other for ever");
    }
}

inline void launch(dim3 grid, dim3 threads, size_t bytes, const std::function<void()> &kernel) {
    gridDim = grid, blockDim = threads, block.body = &kernel;
    unsigned count = threads.x * threads.y * threads.z;
    if (count % 32 != 0 || count > 1024 || bytes > MOST_SHARED) fail("no such launch");
    for (unsigned z = 0; z < grid.z; z++) {
        for (unsigned y = 0; y < grid.y; y++) {
            for (unsigned x = 0; x < grid.x; x++) {
                blockIdx = dim3(x, y, z);
                memset(shared, POISON, bytes + 128);
                run_block(count);
                for (size_t i = bytes; i < bytes + 128; i++) {
                    if (shared[i] != POISON) fail("wrote beyond the shared memory asked for");
                }
            }
        }
    }
}

inline unsigned warp_index() { return block.current->index / 32; }

inline void meet_warp() {
    unsigned first = warp_index() * 32;
    for (unsigned i = first; i < first + 32; i++) {
        if (block.fibers[i]->done) fail("a warp waits for a lane that has left");
    }
    meet(block.warps[warp_index()]);
}

template <typename T> T shuffle(T value, int mask) {
    unsigned own = block.current->index;
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    block.shown[own] = bits;
    meet_warp();
    bits = block.shown[own / 32 * 32 + (own % 32 ^ mask)];
    meet_warp();
    memcpy(&value, &bits, sizeof(T));
    return value;
}

} // namespace emulated
