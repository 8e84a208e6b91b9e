// The kernels may include this header of the CUDA toolkit.
#pragma once
#include "device.h"
