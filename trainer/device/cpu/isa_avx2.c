//go:build onednn && cgo && linux && amd64

// The kernels for AVX2 with FMA.
#pragma GCC target("avx2,fma")
#define HRM_LANES 8
#define HRM_LEVEL 1
#define HRM_NAME "avx2"
#define HRM_TABLE hrm_avx2
#include "isa_table.h"
