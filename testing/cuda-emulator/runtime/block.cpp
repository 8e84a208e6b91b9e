// Every thread of a block is a fiber. A thread runs until it waits or ends; then a random ready one goes on.
#include "block.h"
#include "grid.h"

#include <cstdarg>
#include <sys/mman.h>
#include <utility>

namespace emulator {

thread_local Worker *worker = nullptr;

std::string format(const char *format, ...) {
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return text;
}

void Verdict::say(Result code, std::string message) {
    std::lock_guard guard(lock);
    if (guilty.exchange(true)) return;
    this->code = code;
    this->message = std::move(message);
}

std::string describe(const Launch &launch, uint3 block, unsigned thread) {
    return format("kernel %s, block (%u, %u, %u), thread %u: ", launch.kernel->name, block.x, block.y, block.z, thread);
}

Worker::Worker() : threads(MAX_THREADS) {
    attach();
    shared_state.resize(span);
    shared_cells = std::vector<Cell>(checked ? span / 4 + 1 : 0);
    void *memory = mmap(nullptr, STACK * MAX_THREADS, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) abort();
    stacks = uintptr_t(memory);
    for (unsigned i = 0; i < MAX_THREADS; i++) mprotect(reinterpret_cast<void *>(stacks + i * STACK), 4096, PROT_NONE);
}
Worker::~Worker() { munmap(reinterpret_cast<void *>(stacks), STACK * MAX_THREADS); }

// A fiber's life: kernel after kernel, each begun by `resume`.
void Worker::entry() {
    Worker *mine = worker;
    for (;;) {
        mine->launch->kernel->run(mine->launch->parameters);
        mine->self().state = State::Done;
        mine->done++;
        mine->yield();
    }
}

void Worker::resume(unsigned thread) {
    current = thread;
    Thread &t = threads[thread];
    who = Who::thread(launch->serial % Who::LAUNCHES, number, thread, barriers, t.syncs);
    if (_setjmp(scheduler)) return;
    if (t.alive) _longjmp(t.context, 1);
    t.alive = true;
    ucontext_t fiber;
    getcontext(&fiber);
    fiber.uc_stack.ss_sp = reinterpret_cast<void *>(stacks + thread * STACK);
    fiber.uc_stack.ss_size = STACK;
    fiber.uc_link = nullptr;
    makecontext(&fiber, entry, 0);
    setcontext(&fiber);
    abort();
}

void Worker::yield() {
    if (!_setjmp(self().context)) _longjmp(scheduler, 1);
}

void Worker::crime(Result code, const std::string &what) {
    verdict->say(code, describe(*launch, block, current) + what);
    _longjmp(scheduler, 1);
}

void Worker::attach() {
    worker = nullptr;  // makes the system give this thread its thread-local memory
    shared = shared_memory();
    span = shared_span();
}

// New shared memory holds nothing of the last block's.
void Worker::clear_shared() {
    if (cleared_for != launch->kernel || cleared_dynamic != launch->dynamic) std::fill(shared_state.begin(), shared_state.end(), NOBODYS);
    cleared_for = launch->kernel;
    cleared_dynamic = launch->dynamic;
    const auto clear = [&](size_t offset, size_t bytes) {
        memset(&shared_state[offset], UNWRITTEN, bytes);
        memset(reinterpret_cast<void *>(shared + offset), memory().poison_byte, bytes);
    };
    for (const SharedVariable &variable : *launch->shared) clear(variable.offset, variable.bytes);
    if (launch->dynamic) clear(uintptr_t(dynamic_shared()) - shared, launch->dynamic);
}

// As next_serial does with global memory when the numbers of launches come round.
void Worker::forget_old_accesses() {
    const uint64_t now = launch->serial / Who::LAUNCHES;
    if (now == round) return;
    round = now;
    shared_cells = std::vector<Cell>(shared_cells.size());
}

void Worker::run(const Launch &launch, uint64_t number, Random random, Verdict &verdict, unsigned place) {
    this->launch = &launch;
    this->number = number;
    this->place = place;
    forget_old_accesses();
    const uint64_t row = number / launch.grid.x;
    block = {unsigned(number % launch.grid.x), unsigned(row % launch.grid.y), unsigned(row / launch.grid.y)};
    this->verdict = &verdict;
    count = launch.block.x;
    waiting = done = 0;
    votes = 0;
    barriers = 0;
    std::fill_n(warp_syncs, MAX_THREADS / WARP, 0);
    std::fill_n(arrived, MAX_THREADS / WARP, 0);
    ready.clear();
    worker = this;
    clear_shared();
    log = counted(number, uint64_t(launch.grid.x) * launch.grid.y * launch.grid.z) ? &accesses : nullptr;
    for (unsigned i = 0; i < count; i++) {
        threads[i].state = State::Ready;
        threads[i].index = {i, 0, 0};
        threads[i].syncs = 0;
        ready.push_back(i);
    }
    while (done < count && !verdict.guilty.load(std::memory_order_relaxed)) {
        if (ready.empty()) {
            if (waiting < count) deadlock();
            else release_barrier();
            continue;
        }
        unsigned &chosen = ready[random.below(unsigned(ready.size()))];
        const unsigned thread = chosen;
        chosen = ready.back();
        ready.pop_back();
        resume(thread);
    }
    // What did not end stays where it is; its stack is used afresh.
    if (done < count)
        for (unsigned i = 0; i < count; i++) threads[i].alive &= threads[i].state == State::Done;
    settle();
    *launch.exchanged += std::exchange(exchanged, 0);
    worker = nullptr;
}

void Worker::settle() {
    for (unsigned first = 0; log && first < count; first += WARP) log->settle(first, *launch->kernel);
}

int Worker::barrier(int value, Where where) {
    if (where.of_grid && !launch->grid_barrier)
        crime(LAUNCH_FAILED, format("a barrier of the grid at %s:%d, in a launch that is not cooperative", where.file, where.line));
    Thread &t = self();
    t.state = State::Barrier;
    t.where = where;
    waiting++;
    votes += value != 0;
    yield();
    return barrier_result;
}

void Worker::release_barrier() {
    for (unsigned i = 1; i < count; i++) {
        if (threads[i].where == threads[0].where) continue;
        verdict->say(LAUNCH_FAILED, describe(*launch, block, i) +
                                        format("waits at the barrier of %s:%d, while thread 0 waits at that of %s:%d", threads[i].where.file,
                                               threads[i].where.line, threads[0].where.file, threads[0].where.line));
        return;
    }
    settle();
    if (threads[0].where.of_grid) {
        launch->grid_barrier->barrier(place);
        forget_old_accesses();
    }
    barrier_result = votes;
    waiting = votes = 0;
    barriers++;
    std::fill_n(warp_syncs, MAX_THREADS / WARP, 0);
    for (unsigned i = 0; i < count; i++) {
        threads[i].state = State::Ready;
        threads[i].syncs = 0;
        ready.push_back(i);
    }
}

// No thread can go on: says who waits for whom.
void Worker::deadlock() {
    for (unsigned i = 0; i < count; i++) {
        const Thread &t = threads[i];
        if (t.state == State::Done || t.state == State::Ready) continue;
        const bool barrier = t.state == State::Barrier;
        const unsigned first = barrier ? 0 : i / WARP * WARP, last = barrier ? count : std::min(first + WARP, count);
        for (unsigned other = first; other < last; other++) {
            if (!barrier && !(t.mask >> (other - first) & 1)) continue;
            const Thread &o = threads[other];
            if (o.state == t.state && o.where == t.where) continue;
            verdict->say(LAUNCH_FAILED,
                         describe(*launch, block, i) +
                             format("waits at the %s of %s:%d for thread %u, which ", barrier ? "barrier" : "warp collective", t.where.file,
                                    t.where.line, other) +
                             (o.state == State::Done ? std::string("has ended") : format("waits at %s:%d", o.where.file, o.where.line)));
            return;
        }
    }
    verdict->say(LAUNCH_FAILED, describe(*launch, block, 0) + "threads wait for each other");
}

uint64_t Worker::warp(int collective, unsigned mask, uint64_t value, int argument, int width, int words, Where where) {
    Thread &t = self();
    const unsigned first = current / WARP * WARP, lane = current - first;
    if (!(mask >> lane & 1)) crime(LAUNCH_FAILED, format("its mask %08x at %s:%d leaves the lane itself out", mask, where.file, where.line));
    if (count - first < WARP && mask >> (count - first))
        crime(LAUNCH_FAILED, format("the mask %08x at %s:%d names lanes that do not exist", mask, where.file, where.line));
    t.state = State::Collective;
    t.where = where;
    t.collective = collective;
    t.mask = mask;
    t.value = value;
    t.argument = argument;
    t.width = width;
    arrived[first / WARP] |= 1u << lane;
    bool complete_now = (arrived[first / WARP] & mask) == mask;
    for (unsigned rest = complete_now ? mask : 0; rest && complete_now; rest &= rest - 1) {
        const Thread &o = threads[first + unsigned(std::countr_zero(rest))];
        complete_now = o.mask == mask && o.collective == collective && o.where == where;
    }
    if (complete_now) {
        exchanged += unsigned(words);
        complete(first, mask);
    }
    yield();
    return t.result;
}

// All lanes of the mask have come: each gets its answer and is ready.
void Worker::complete(unsigned first, unsigned mask) {
    Thread *lanes = &threads[first];
    const int collective = lanes[std::countr_zero(mask)].collective;
    uint64_t all = collective == AND || collective == LEAST ? ~0u : 0;
    int64_t signed_all = collective == LEAST_SIGNED ? INT_MAX : collective == GREATEST_SIGNED ? INT_MIN : 0;
    for (unsigned rest = mask; rest; rest &= rest - 1) {
        const unsigned lane = unsigned(std::countr_zero(rest));
        const uint64_t value = lanes[lane].value;
        const int64_t as_signed = int32_t(value);
        switch (collective) {
        case BALLOT: all |= uint64_t(value) << lane; break;
        case ADD: case ADD_SIGNED: all = uint32_t(all + value); break;
        case AND: all &= value; break;
        case OR: all |= value; break;
        case XOR: all ^= value; break;
        case LEAST: all = std::min(all, value); break;
        case GREATEST: all = std::max(all, value); break;
        case LEAST_SIGNED: signed_all = std::min(signed_all, as_signed); all = uint32_t(signed_all); break;
        case GREATEST_SIGNED: signed_all = std::max(signed_all, as_signed); all = uint32_t(signed_all); break;
        }
    }
    for (unsigned rest = mask; rest; rest &= rest - 1) {
        const unsigned lane = unsigned(std::countr_zero(rest));
        Thread &t = lanes[lane];
        t.result = all;
        if (collective == MATCH) {
            t.result = 0;
            for (unsigned others = mask; others; others &= others - 1)
                if (const unsigned o = unsigned(std::countr_zero(others)); lanes[o].value == t.value) t.result |= 1u << o;
        } else if (collective <= SHUFFLE_XOR) {
            const int width = t.width, base = int(lane) & ~(width - 1), a = t.argument;
            int source = int(lane);
            if (collective == SHUFFLE) source = base + (a & (width - 1));
            if (collective == SHUFFLE_UP && int(lane) - a >= base) source = int(lane) - a;
            if (collective == SHUFFLE_DOWN && int(lane) + a < base + width) source = int(lane) + a;
            if (collective == SHUFFLE_XOR && (int(lane) ^ a) < base + width) source = int(lane) ^ a;
            if (!(mask >> source & 1)) {
                verdict->say(LAUNCH_FAILED, describe(*launch, block, first + lane) +
                                                format("the shuffle of %s:%d reads lane %d, which its mask %08x leaves out", t.where.file,
                                                       t.where.line, source, mask));
                return;
            }
            t.result = lanes[source].value;
        }
    }
    if (log && mask == ~0u) log->settle(first, *launch->kernel);
    // Only __syncwarp orders memory; the others exchange values and nothing else.
    if (collective == SYNC) warp_syncs[first / WARP]++;
    arrived[first / WARP] &= ~mask;
    for (unsigned rest = mask; rest; rest &= rest - 1) {
        const unsigned lane = unsigned(std::countr_zero(rest));
        if (collective == SYNC) lanes[lane].syncs = warp_syncs[first / WARP];
        lanes[lane].state = State::Ready;
        ready.push_back(first + lane);
    }
}

}  // namespace emulator

using emulator::worker;

extern "C" {
uint3 emulator_thread_index() { return worker->self().index; }
uint3 emulator_block_index() { return worker->block; }
uint3 emulator_block_size() { return worker->launch->block; }
uint3 emulator_grid_size() { return worker->launch->grid; }
int emulator_barrier(int value, const char *file, int line) { return worker->barrier(value, {file, line}); }
void emulator_grid_barrier(const char *file, int line) { worker->barrier(0, {file, line, true}); }
uint64_t emulator_warp(int collective, unsigned mask, uint64_t value, int argument, int width, int words, const char *file, int line) {
    return worker->warp(collective, mask, value, argument, width, words, {file, line});
}
void *emulator_dynamic_shared() { return emulator::dynamic_shared(); }
void emulator_trap(const char *file, int line) {
    worker->crime(emulator::LAUNCH_FAILED, emulator::format("trap at %s:%d", file, line));
}
}
