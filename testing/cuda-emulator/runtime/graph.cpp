// Streams, events, and graphs captured from streams. Work is done when it is submitted, so streams are always idle.
#include "driver.h"

#include <algorithm>

namespace emulator {

std::recursive_mutex api;
Handles<Stream> streams;
Handles<Event> events;
static Handles<Graph> graphs, executables;
static std::vector<std::shared_ptr<Capture>> captures;  // under way

Result check_stream(const char *call, Stream *stream) {
    if (stream == nullptr || stream == reinterpret_cast<Stream *>(1) || stream == reinterpret_cast<Stream *>(2)) {
        for (const auto &capture : captures)
            if (!(capture->origin->flags & 1)) {
                capture->invalid = true;
                return fail(CAPTURE_IMPLICIT, "%s on the default stream while a blocking stream is captured", call);
            }
        return SUCCESS;
    }
    return streams.has(stream) ? SUCCESS : fail(INVALID_HANDLE, "%s: no such stream", call);
}

static Capture *captured(Stream *stream) { return streams.has(stream) ? stream->capture.get() : nullptr; }

Result submit(Stream *stream, Operation operation) {
    Capture *capture = captured(stream);
    if (!capture) return operation();
    if (capture->invalid) return CAPTURE_INVALIDATED;
    capture->graph.operations.push_back(std::move(operation));
    stream->before[stream]++;
    return SUCCESS;
}

Result forbidden_in_capture(const char *call) {
    for (const auto &capture : captures) {
        if (capture->mode == 2 || (capture->mode == 1 && capture->owner != std::this_thread::get_id())) continue;
        capture->invalid = true;
        return fail(CAPTURE_UNSUPPORTED, "%s while a stream is captured", call);
    }
    return SUCCESS;
}

static Result wait(const char *call, Stream *stream) {
    if (Result wrong = check_stream(call, stream)) return wrong;
    Capture *capture = captured(stream);
    if (!capture) return SUCCESS;
    capture->invalid = true;
    return fail(CAPTURE_UNSUPPORTED, "%s of a stream that is captured", call);
}

}  // namespace emulator

using namespace emulator;

API cuStreamCreateWithPriority(Stream **stream, unsigned flags, int priority) {
    ENTER;
    if (Result wrong = injected("cuStreamCreateWithPriority")) return wrong;
    *stream = streams.make(flags, priority);
    return SUCCESS;
}
API cuStreamCreate(Stream **stream, unsigned flags) { return cuStreamCreateWithPriority(stream, flags, 0); }
API cuStreamDestroy_v2(Stream *stream) {
    ENTER;
    if (captured(stream)) return fail(CAPTURE_UNSUPPORTED, "cuStreamDestroy of a stream that is captured");
    return streams.drop(stream) ? SUCCESS : fail(INVALID_HANDLE, "cuStreamDestroy: no such stream");
}
API cuStreamSynchronize(Stream *stream) {
    ENTER;
    if (Result wrong = injected("cuStreamSynchronize")) return wrong;
    return wait("cuStreamSynchronize", stream);
}
API cuStreamQuery(Stream *stream) {
    ENTER;
    return wait("cuStreamQuery", stream);
}
API cuStreamGetFlags(Stream *stream, unsigned *flags) {
    ENTER;
    *flags = streams.has(stream) ? stream->flags : 0;
    return SUCCESS;
}
API cuStreamGetPriority(Stream *stream, int *priority) {
    ENTER;
    *priority = streams.has(stream) ? stream->priority : 0;
    return SUCCESS;
}
API cuStreamWaitEvent(Stream *stream, Event *event, unsigned) {
    ENTER;
    if (Result wrong = injected("cuStreamWaitEvent")) return wrong;
    if (Result wrong = check_stream("cuStreamWaitEvent", stream)) return wrong;
    if (!events.has(event)) return fail(INVALID_HANDLE, "cuStreamWaitEvent: no such event");
    const auto from = event->capture.lock();
    if (Capture *capture = captured(stream); capture && from.get() != capture) {
        capture->invalid = true;
        return fail(CAPTURE_ISOLATION, "cuStreamWaitEvent: a captured stream waits for an event recorded outside the capture");
    }
    if (!from || !streams.has(stream)) return SUCCESS;
    if (!stream->capture) stream->before.clear();
    stream->capture = from;  // a fork is captured too
    for (const auto &[other, count] : event->before) stream->before[other] = std::max(stream->before[other], count);
    return SUCCESS;
}
API cuLaunchHostFunc(Stream *stream, void (*function)(void *), void *data) {
    ENTER;
    if (Result wrong = check_stream("cuLaunchHostFunc", stream)) return wrong;
    return submit(stream, [=] {
        function(data);
        return SUCCESS;
    });
}

API cuEventCreate(Event **event, unsigned flags) {
    ENTER;
    if (Result wrong = injected("cuEventCreate")) return wrong;
    *event = events.make(flags);
    return SUCCESS;
}
API cuEventDestroy_v2(Event *event) {
    ENTER;
    return events.drop(event) ? SUCCESS : fail(INVALID_HANDLE, "cuEventDestroy: no such event");
}
API cuEventRecord(Event *event, Stream *stream) {
    ENTER;
    if (Result wrong = injected("cuEventRecord")) return wrong;
    if (Result wrong = check_stream("cuEventRecord", stream)) return wrong;
    if (!events.has(event)) return fail(INVALID_HANDLE, "cuEventRecord: no such event");
    event->capture.reset();
    if (captured(stream)) {  // an order within the graph, and no node of it: the event may be destroyed
        event->capture = stream->capture;
        event->before = stream->before;
        return SUCCESS;
    }
    event->recorded = true;
    event->time = std::chrono::steady_clock::now();
    return SUCCESS;
}
API cuEventSynchronize(Event *event) {
    ENTER;
    if (Result wrong = injected("cuEventSynchronize")) return wrong;
    if (!events.has(event)) return fail(INVALID_HANDLE, "cuEventSynchronize: no such event");
    if (const auto capture = event->capture.lock()) {
        capture->invalid = true;
        return fail(CAPTURE_UNSUPPORTED, "cuEventSynchronize of an event recorded in a capture");
    }
    return SUCCESS;
}
API cuEventQuery(Event *event) { return cuEventSynchronize(event); }
API cuEventElapsedTime_v2(float *milliseconds, Event *from, Event *to) {
    ENTER;
    if (Result wrong = injected("cuEventElapsedTime")) return wrong;
    if (!events.has(from) || !events.has(to) || !from->recorded || !to->recorded || (from->flags | to->flags) & 2)
        return fail(INVALID_HANDLE, "cuEventElapsedTime: both events must be recorded, and made without DISABLE_TIMING");
    *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
    return SUCCESS;
}
API cuEventElapsedTime(float *milliseconds, Event *from, Event *to) { return cuEventElapsedTime_v2(milliseconds, from, to); }

API cuStreamBeginCapture_v2(Stream *stream, int mode) {
    ENTER;
    if (Result wrong = injected("cuStreamBeginCapture")) return wrong;
    if (!streams.has(stream)) return fail(CAPTURE_UNSUPPORTED, "cuStreamBeginCapture: the default stream cannot be captured");
    if (stream->capture) return fail(INVALID_VALUE, "cuStreamBeginCapture: the stream is captured already");
    stream->capture = std::make_shared<Capture>(Capture{{}, stream, mode, std::this_thread::get_id()});
    stream->before.clear();
    captures.push_back(stream->capture);
    return SUCCESS;
}
API cuStreamEndCapture(Stream *stream, Graph **graph) {
    ENTER;
    *graph = nullptr;
    const std::shared_ptr<Capture> capture = streams.has(stream) ? stream->capture : nullptr;
    if (!capture || capture->origin != stream) return fail(CAPTURE_UNMATCHED, "cuStreamEndCapture: no capture began on this stream");
    std::erase(captures, capture);
    bool joined = true;
    streams.each([&](Stream *other) {
        if (other->capture != capture) return;
        joined &= stream->before[other] >= other->before[other];
        other->capture.reset();
    });
    if (Result wrong = injected("cuStreamEndCapture")) return wrong;
    if (capture->invalid) return CAPTURE_INVALIDATED;
    if (!joined) return fail(CAPTURE_UNJOINED, "cuStreamEndCapture: the stream does not come after all that was forked from it");
    *graph = graphs.make(std::move(capture->graph));
    return SUCCESS;
}
API cuStreamIsCapturing(Stream *stream, int *status) {
    ENTER;
    Capture *capture = captured(stream);
    *status = !capture ? 0 : capture->invalid ? 2 : 1;
    return SUCCESS;
}
API cuGraphInstantiateWithFlags(Graph **executable, Graph *graph, unsigned long long) {
    ENTER;
    if (Result wrong = injected("cuGraphInstantiateWithFlags")) return wrong;
    if (!graphs.has(graph)) return fail(INVALID_HANDLE, "cuGraphInstantiate: no such graph");
    *executable = executables.make(*graph);
    return SUCCESS;
}
API cuGraphUpload(Graph *executable, Stream *) {
    ENTER;
    if (Result wrong = injected("cuGraphUpload")) return wrong;
    return executables.has(executable) ? SUCCESS : fail(INVALID_HANDLE, "cuGraphUpload: no such graph");
}
API cuGraphLaunch(Graph *executable, Stream *stream) {
    ENTER;
    if (Result wrong = injected("cuGraphLaunch")) return wrong;
    if (!executables.has(executable)) return fail(INVALID_HANDLE, "cuGraphLaunch: no such graph");
    if (Result wrong = check_stream("cuGraphLaunch", stream)) return wrong;
    for (const Operation &operation : executable->operations)
        if (Result wrong = submit(stream, operation)) return wrong;
    return SUCCESS;
}
API cuGraphGetNodes(Graph *graph, void **nodes, size_t *count) {
    ENTER;
    if (!graphs.has(graph) || nodes) return fail(INVALID_VALUE, "cuGraphGetNodes: only the number of nodes can be asked for");
    *count = graph->operations.size();
    return SUCCESS;
}
API cuGraphExecDestroy(Graph *executable) {
    ENTER;
    return executables.drop(executable) ? SUCCESS : fail(INVALID_HANDLE, "cuGraphExecDestroy: no such graph");
}
API cuGraphDestroy(Graph *graph) {
    ENTER;
    return graphs.drop(graph) ? SUCCESS : fail(INVALID_HANDLE, "cuGraphDestroy: no such graph");
}
