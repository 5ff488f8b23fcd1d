//go:build onednn && cgo && linux

// The kernels for any processor: vectors of four floats, which every compiler target has or can imitate.
#define HRM_LANES 4
#define HRM_LEVEL 0
#define HRM_NAME "portable"
#define HRM_TABLE hrm_portable
#include "isa_table.h"
