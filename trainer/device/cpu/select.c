//go:build onednn && cgo && linux

// Choice of the kernel table at run time.
#include <string.h>
#include "kernels.h"

const hrm_kernels *hrm_select(const char *name) {
	int any = !name[0];
#if defined(__x86_64__)
	__builtin_cpu_init();
	int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
	if (avx512 && __builtin_cpu_supports("avx512bf16") && (any || !strcmp(name, "avx512bf16"))) return &hrm_avx512bf16;
	if (avx512 && (any || !strcmp(name, "avx512"))) return &hrm_avx512;
	if (avx2 && (any || !strcmp(name, "avx2"))) return &hrm_avx2;
#endif
	return any || !strcmp(name, "portable") ? &hrm_portable : 0;
}

static long larger(long a, long b) { return a > b ? a : b; }

// The largest of the four kernels' needs, with vectors of up to 16 lanes (attention.h, attention_bf16.h).
long hrm_attention_scratch(const hrm_attention_shape *s) {
	long T = s->positions, d = s->width / s->heads, dp = (d + 15) / 16 * 16, Tp = (T + 15) / 16 * 16;
	long wide = ((d + 1) / 2 + 15) / 16 * 16, halves = (T + 1) / 2;
	long any = 8 * T * dp + 2 * dp * Tp + HRM_QUERIES * (2 * Tp + dp);
	long short_forward = 2 * T * wide + wide * Tp + halves * dp + HRM_QUERIES * (HRM_KEYS + dp);
	long short_grad = 3 * T * wide + 2 * wide * Tp + 3 * halves * dp + 3 * T * dp + 3 * HRM_QUERIES * Tp;
	return 4 * larger(any, larger(short_forward, short_grad));
}
