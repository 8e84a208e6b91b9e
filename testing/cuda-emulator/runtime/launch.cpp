// A kernel over its grid: blocks in a random order, dealt to a few workers.
#include "block.h"
#include "grid.h"
#include "memory.h"

#include <condition_variable>
#include <cstdarg>
#include <cstdlib>
#include <functional>
#include <map>
#include <numeric>
#include <thread>

namespace emulator {

Result fail(Result code, const char *format, ...) {
    va_list list;
    va_start(list, format);
    char text[2048];
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fprintf(stderr, "cuda-emulator: %s\n", text);
    return code;
}

static uint64_t number(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, nullptr, 10) : otherwise;
}
uint64_t seed() {
    static const uint64_t value = number("PARTSTAD_EMULATOR_SEED", 1);
    return value;
}
const Target &target() {
    static const Target TARGETS[] = {{90, 227 << 10}, {80, 163 << 10}, {86, 99 << 10}, {89, 99 << 10}, {100, 227 << 10}, {120, 99 << 10}};
    static const Target &chosen = []() -> const Target & {
        const uint64_t arch = number("PARTSTAD_EMULATOR_ARCH", 90);
        for (const Target &target : TARGETS)
            if (uint64_t(target.arch) == arch) return target;
        fail(INVALID_DEVICE, "PARTSTAD_EMULATOR_ARCH is %llu; it can be 80, 86, 89, 90, 100 or 120", (unsigned long long)arch);
        exit(1);
    }();
    return chosen;
}
static std::map<const Kernel *, size_t> dynamic_limits;
size_t dynamic_limit(const Kernel &kernel) {
    const auto asked = dynamic_limits.find(&kernel);
    return asked == dynamic_limits.end() ? SHARED_LIMIT - shared_bytes(kernel) : asked->second;
}
Result set_dynamic_limit(const Kernel &kernel, int bytes) {
    const size_t most = target().block_shared - shared_bytes(kernel);
    if (bytes < 0 || size_t(bytes) > most)
        return fail(INVALID_VALUE, "kernel %s: %d bytes of dynamic shared memory a block; sm_%d gives %zu", kernel.name, bytes, target().arch, most);
    dynamic_limits[&kernel] = size_t(bytes);
    return SUCCESS;
}
unsigned workers() {
    static const unsigned value = unsigned(std::clamp<uint64_t>(
        number("PARTSTAD_EMULATOR_THREADS", std::min(std::thread::hardware_concurrency(), 8u)), 1, 64));
    return value;
}

namespace {

// Threads that live as long as the process.
class Pool {
  public:
    // On as many threads, the caller among them.
    void share(unsigned wanted, const std::function<void(Worker &)> &work) {
        {
            std::lock_guard guard(lock);
            for (; threads < wanted; threads++) std::thread([this, number = threads] { serve(number); }).detach();
            job = &work;
            this->wanted = wanted;
            round++;
            busy = wanted - 1;
        }
        start.notify_all();
        alone(work);
        std::unique_lock guard(lock);
        finish.wait(guard, [this] { return busy == 0; });
    }
    // On the caller alone: for a launch of one block.
    void alone(const std::function<void(Worker &)> &work) {
        static Worker &mine = *new Worker;
        mine.attach();
        work(mine);
    }

  private:
    void serve(unsigned number) {
        Worker mine;
        uint64_t seen = 0;
        for (;;) {
            const std::function<void(Worker &)> *work;
            {
                std::unique_lock guard(lock);
                start.wait(guard, [&] { return round != seen && number < wanted; });
                seen = round;
                work = job;
            }
            (*work)(mine);
            std::lock_guard guard(lock);
            if (--busy == 0) finish.notify_one();
        }
    }
    std::mutex lock;
    std::condition_variable start, finish;
    const std::function<void(Worker &)> *job = nullptr;
    uint64_t round = 0;
    unsigned threads = 1, wanted = 0, busy = 0;
};

}  // namespace

Result check(const Launch &launch) {
    const Kernel &kernel = *launch.kernel;
    const uint3 &g = launch.grid, &b = launch.block;
    if (b.x * uint64_t(b.y) * b.z > MAX_THREADS)
        return fail(LAUNCH_OUT_OF_RESOURCES, "kernel %s: %llu threads a block; a device takes %u", kernel.name,
                    (unsigned long long)(b.x * uint64_t(b.y) * b.z), MAX_THREADS);
    if (b.x != kernel.threads || b.y != 1 || b.z != 1)
        return fail(INVALID_VALUE, "kernel %s: block (%u, %u, %u), but its __launch_bounds__ say (%u, 1, 1)", kernel.name, b.x, b.y, b.z,
                    kernel.threads);
    if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > INT_MAX || g.y > 65535 || g.z > 65535)
        return fail(INVALID_VALUE, "kernel %s: grid (%u, %u, %u); each side is at least 1, and at most 2147483647, 65535, 65535", kernel.name,
                    g.x, g.y, g.z);
    if (const uint64_t blocks = g.x * uint64_t(g.y) * g.z; launch.cooperative && blocks > resident_blocks(b.x))
        return fail(COOPERATIVE_LAUNCH_TOO_LARGE, "kernel %s: %llu blocks that wait for each other; the device holds %u at a time", kernel.name,
                    (unsigned long long)blocks, resident_blocks(b.x));
    if (const size_t shared = shared_bytes(kernel); shared > SHARED_LIMIT)
        return fail(INVALID_VALUE, "kernel %s: %zu bytes of shared memory a block; a device gives %zu", kernel.name, shared, SHARED_LIMIT);
    if (const size_t limit = dynamic_limit(kernel); launch.dynamic > limit)
        return fail(INVALID_VALUE, "kernel %s: %zu bytes of dynamic shared memory a block; it may have %zu, and sm_%d gives %zu if asked "
                    "(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)", kernel.name, launch.dynamic, limit, target().arch,
                    target().block_shared - shared_bytes(kernel));
    return SUCCESS;
}

unsigned resident_blocks(unsigned threads) { return MULTIPROCESSORS * std::min(2048 / threads, 8u); }

// Numbers of launches come round; who touched what is forgotten then. Number 0 is nobody's.
uint64_t next_serial() {
    static uint64_t serial = 0;
    if (++serial % Who::LAUNCHES == 0) {
        serial++;
        memory().forget_accesses();
    }
    return serial;
}

static std::mutex exchanges_lock;
static std::map<std::string, std::atomic<uint64_t>> exchanges;
static std::atomic<uint64_t> &exchanges_of(const char *kernel) {
    std::lock_guard guard(exchanges_lock);
    return exchanges[kernel];
}

Result run(Launch launch) {
    // Never ended: its threads may outlive the library's destructors.
    static Pool &pool = *new Pool;
    const uint64_t blocks = uint64_t(launch.grid.x) * launch.grid.y * launch.grid.z;
    launch.serial = next_serial();
    launch.shared = &shared_variables(*launch.kernel);
    launch.exchanged = &exchanges_of(launch.kernel->name);
    const auto fenced = std::make_unique<std::atomic<uint8_t>[]>(checked ? blocks : 0);
    launch.fenced = fenced.get();
    Random random{seed() * 0x9e3779b97f4a7c15u + launch.serial};
    const uint64_t key = random.next();
    // A permutation without a table: i * step + start, step prime to the number of blocks.
    uint64_t step = random.next() % blocks | 1;
    while (std::gcd(step, blocks) != 1) step += 2;
    const uint64_t start = random.next() % blocks;
    Verdict verdict;
    std::atomic<uint64_t> next{0};
    const auto block_at = [&](uint64_t i) { return uint64_t((static_cast<unsigned __int128>(i) * step + start) % blocks); };
    const std::function<void(Worker &)> work = [&](Worker &worker) {
        for (uint64_t i; (i = next.fetch_add(1)) < blocks && !verdict.guilty.load(std::memory_order_relaxed);)
            worker.run(launch, block_at(i), Random{key + block_at(i)}, verdict);
    };
    if (launch.cooperative) {
        Grid barrier(launch, verdict);
        launch.grid_barrier = &barrier;
        pool.share(unsigned(blocks), [&](Worker &worker) {
            const unsigned place = unsigned(next.fetch_add(1));
            barrier.begin(place);
            worker.run(launch, block_at(place), Random{key + block_at(place)}, verdict, place);
            barrier.end();
        });
    } else if (blocks == 1) {
        pool.alone(work);
    } else {
        pool.share(workers(), work);
    }
    if (verdict.guilty) return fail(verdict.code, "%s (seed %llu)", verdict.message.c_str(), (unsigned long long)seed());
    return memory().check_red_zones(launch.kernel->name);
}

}  // namespace emulator

extern "C" [[gnu::visibility("default")]] uint64_t emulator_exchanges(const char *kernel) { return emulator::exchanges_of(kernel).exchange(0); }
