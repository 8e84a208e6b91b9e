// The barrier of a grid.
#pragma once
#include "device.h"

namespace cooperative_groups {
struct grid_group {
    void sync(EMULATOR_WHERE) const { emulator_grid_barrier(file, line); }
};
inline grid_group this_grid() { return {}; }
}  // namespace cooperative_groups
