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

// The larger of the two kernels' needs, with vectors of up to 16 lanes and tiles of 96 queries (attention.h).
long hrm_attention_scratch(const hrm_attention_shape *s) {
	long T = s->positions, d = s->width / s->heads, dp = (d + 15) / 16 * 16, Tp = (T + 15) / 16 * 16;
	return 4 * (8 * T * dp + 2 * dp * Tp + 2 * 96 * Tp + 96 * dp);
}
