// Handles of the driver API, and how work reaches them.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "emulator.h"

#define API extern "C" [[gnu::visibility("default")]] emulator::Result

namespace emulator {

// One call of the API at a time.
extern std::recursive_mutex api;
#define ENTER std::lock_guard entered(emulator::api)

// The living handles of a kind: a dead or invented one is an error, not a crash.
template <class T> class Handles {
  public:
    template <class... A> T *make(A &&...arguments) { return *living.insert(new T{std::forward<A>(arguments)...}).first; }
    bool has(T *handle) const { return living.contains(handle); }
    bool drop(T *handle) {
        if (!living.erase(handle)) return false;
        delete handle;
        return true;
    }

    template <class F> void each(F act) {
        for (T *handle : living) act(handle);
    }

  private:
    std::unordered_set<T *> living;
};

using Operation = std::function<Result()>;
struct Graph { std::vector<Operation> operations; };
struct Capture {
    Graph graph;
    struct Stream *origin;
    int mode;
    std::thread::id owner;
    bool invalid = false;
};
// How many of the captured operations of each stream come before something.
using Before = std::unordered_map<struct Stream *, size_t>;
struct Stream {
    unsigned flags = 0;
    int priority = 0;
    std::shared_ptr<Capture> capture{};
    Before before{};  // what comes next in the capture
    uint64_t to_device = 0, to_host = 0;  // bytes copied
};
struct Event {
    unsigned flags = 0;
    bool recorded = false;
    std::chrono::steady_clock::time_point time{};
    std::weak_ptr<Capture> capture{};  // recorded while a stream was captured
    Before before{};
};

extern Handles<Stream> streams;
extern Handles<Event> events;

// The error of a call that a test of faults has fail, which it then has not done; see emulator_fail.
Result injected(const char *call);
// Runs the operation, or, in a captured stream, notes it down.
Result submit(Stream *stream, Operation operation);
// An error where a call that waits or allocates comes during a capture that forbids it.
Result forbidden_in_capture(const char *call);
Result check_stream(const char *call, Stream *stream);

}  // namespace emulator
