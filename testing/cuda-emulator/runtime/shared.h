// The __shared__ variables of the kernels, read from the library's own symbol table.
#pragma once
#include <string>
#include <vector>

#include "emulator.h"

namespace emulator {

struct SharedVariable {
    std::string function, name;  // the kernel is empty where a device function declares it
    size_t offset, bytes;        // in what `shared_memory` returns
};

// Those that the kernel may touch: its own, and those of device functions.
const std::vector<SharedVariable> &shared_variables(const Kernel &kernel);
// The shared memory of this worker, all kernels' side by side.
uintptr_t shared_memory();
size_t shared_span();
// The dynamic part of it.
constexpr size_t MOST_DYNAMIC = 227 << 10;
char *dynamic_shared();

}  // namespace emulator
