// The threads of one block, on one worker.
#pragma once
#include <atomic>
#include <csetjmp>
#include <memory>
#include <mutex>
#include <ucontext.h>
#include <vector>

#include "emulator.h"
#include "memory.h"
#include "race.h"
#include "sectors.h"
#include "shared.h"

namespace emulator {

constexpr unsigned MAX_THREADS = 1024, WARP = 32;
constexpr size_t SHARED_LIMIT = 48 << 10;  // of a block that did not ask for more

// The first wrong thing of a launch; whoever commits it says it, everyone else stops.
struct Verdict {
    std::atomic<bool> guilty{false};
    std::mutex lock;
    Result code = SUCCESS;
    std::string message;
    void say(Result code, std::string message);
};

struct Where {
    const char *file = "";
    int line = 0;
    bool of_grid = false;  // a barrier of all blocks
    bool operator==(const Where &other) const { return line == other.line && file == other.file && of_grid == other.of_grid; }
};

enum class State : uint8_t { Ready, Barrier, Collective, Done };

struct Thread {
    jmp_buf context;
    bool alive = false;  // the fiber exists and waits for its next kernel
    State state = State::Done;
    Where where;
    int collective = 0;
    unsigned mask = 0;
    int argument = 0, width = 0;
    unsigned syncs = 0;  // of the warp, as of the last that this thread took part in
    uint64_t value = 0, result = 0;
    uint3 index{};
};

class Worker {
  public:
    Worker();
    ~Worker();
    Worker(const Worker &) = delete;
    // To be called where the OS thread may be another than before: shared memory is the thread's.
    void attach();
    // `place`: among the blocks of a cooperative launch.
    void run(const Launch &launch, uint64_t number, Random random, Verdict &verdict, unsigned place = 0);

    // From a kernel's thread:
    Thread &self() { return threads[current]; }
    int barrier(int value, Where where);
    uint64_t warp(int collective, unsigned mask, uint64_t value, int argument, int width, int words, Where where);
    // Ends the launch with this message and never returns to the thread.
    [[noreturn]] void crime(Result code, const std::string &what);
    bool on_stack(uintptr_t address) const { return address - (stacks + current * STACK) < STACK; }

    const Launch *launch = nullptr;
    uint3 block{};
    uint64_t number = 0;  // of the block
    unsigned current = 0;
    uint64_t who = 0;  // the current thread, as a race knows it
    WarpLog *log = nullptr;  // where this block's accesses are counted

    // Shared memory: of all kernels, side by side; the state of its bytes, and who touched them.
    uintptr_t shared = 0;
    size_t span = 0;
    std::vector<Byte> shared_state;
    std::vector<Cell> shared_cells;
    uint64_t round = 0;  // of the numbers of launches, that the cells are of

  private:
    static constexpr size_t STACK = 64 << 10;
    void resume(unsigned thread);
    void yield();
    [[noreturn]] static void entry();
    void clear_shared();
    void forget_old_accesses();
    void settle();
    void release_barrier();
    void complete(unsigned first, unsigned mask);
    void deadlock();

    std::vector<Thread> threads;
    unsigned barriers = 0, warp_syncs[MAX_THREADS / WARP] = {};
    unsigned arrived[MAX_THREADS / WARP] = {};  // lanes that wait at a warp collective
    WarpLog accesses;
    const Kernel *cleared_for = nullptr;
    size_t cleared_dynamic = 0;
    uintptr_t stacks;
    jmp_buf scheduler;
    ucontext_t origin;
    std::vector<unsigned> ready;
    unsigned count = 0, waiting = 0, done = 0, place = 0;
    int votes = 0, barrier_result = 0;
    uint64_t exchanged = 0;
    Verdict *verdict = nullptr;
};

// The worker of this OS thread while it runs a block.
extern thread_local Worker *worker;

std::string describe(const Launch &launch, uint3 block, unsigned thread);
[[gnu::format(printf, 1, 2)]] std::string format(const char *format, ...);

}  // namespace emulator
