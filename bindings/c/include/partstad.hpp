// partstad for C++17: handles that free themselves, failures as exceptions. All else is partstad.h's.
#ifndef PARTSTAD_HPP
#define PARTSTAD_HPP

#include "partstad.h"

#include <memory>
#include <stdexcept>
#include <string>

namespace partstad {

// A call that failed: its status, and its message as what().
struct error : std::runtime_error {
    partstad_status status;

    error(partstad_status status, const char *message) : std::runtime_error(message), status(status) {}
};

// Throws if a call failed.
inline void check(partstad_status status) {
    if (status != PARTSTAD_OK) {
        throw error(status, partstad_last_error());
    }
}

// Frees any handle.
struct freeing {
    void operator()(partstad_device *handle) const noexcept { partstad_device_free(handle); }
    void operator()(partstad_pipeline *handle) const noexcept { partstad_pipeline_free(handle); }
    void operator()(partstad_cloud *handle) const noexcept { partstad_cloud_free(handle); }
    void operator()(partstad_result *handle) const noexcept { partstad_result_free(handle); }
    void operator()(partstad_views *handle) const noexcept { partstad_views_free(handle); }
};

// A handle that frees itself; get() is what the calls take.
template <typename T> using handle = std::unique_ptr<T, freeing>;
using device = handle<partstad_device>;
using pipeline = handle<partstad_pipeline>;
using cloud = handle<partstad_cloud>;
using result = handle<partstad_result>;
using views = handle<partstad_views>;

// Makes a handle by a call and all its arguments but the last: make<partstad_device>(partstad_device_open, "cpu").
template <typename T, typename Call, typename... Arguments> handle<T> make(Call call, Arguments... arguments) {
    T *made = nullptr;
    check(call(arguments..., &made));
    return handle<T>(made);
}

// What a call shows of a handle: a list that lives as long as the handle.
template <typename T> struct list {
    const T *data = nullptr;
    std::size_t count = 0;

    const T *begin() const noexcept { return data; }
    const T *end() const noexcept { return data + count; }
    const T &operator[](std::size_t i) const noexcept { return data[i]; }
};

// The list that a call shows: show(partstad_result_labels, result).
template <typename T, typename H>
list<T> show(partstad_status (*call)(const H *, const T **, std::size_t *), const handle<H> &of) {
    list<T> shown;
    check(call(of.get(), &shown.data, &shown.count));
    return shown;
}

// An array of the caller's for a call.
inline partstad_array array(const std::uint8_t *data, std::size_t rows) { return {data, rows, PARTSTAD_U8}; }
inline partstad_array array(const std::int32_t *data, std::size_t rows) { return {data, rows, PARTSTAD_I32}; }
inline partstad_array array(const float *data, std::size_t rows) { return {data, rows, PARTSTAD_F32}; }
inline partstad_array array(const double *data, std::size_t rows) { return {data, rows, PARTSTAD_F64}; }

} // namespace partstad

#endif
