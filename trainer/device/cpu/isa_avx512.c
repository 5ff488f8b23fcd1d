//go:build onednn && cgo && linux && amd64

// The kernels for AVX-512.
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#define HRM_LANES 16
#define HRM_LEVEL 2
#define HRM_NAME "avx512"
#define HRM_TABLE hrm_avx512
#include "isa_table.h"
