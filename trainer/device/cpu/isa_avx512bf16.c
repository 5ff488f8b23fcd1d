//go:build onednn && cgo && linux && amd64

// The kernels for AVX-512 with bfloat16 conversions.
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,prefer-vector-width=512")
#define HRM_LANES 16
#define HRM_LEVEL 3
#define HRM_NAME "avx512bf16"
#define HRM_TABLE hrm_avx512bf16
#include "isa_table.h"
