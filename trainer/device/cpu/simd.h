// Vectors of HRM_LANES floats, so that each kernel is written once for every instruction set. Included with HRM_LANES and
// HRM_LEVEL (0 portable, 1 AVX2, 2 AVX-512, 3 AVX-512 BF16) defined, after the target pragma.
#include <stdint.h>
#include <string.h>
#include <math.h>
#include "kernels.h"
#if HRM_LEVEL > 0
#include <immintrin.h>
#endif

#define L HRM_LANES
#define INLINE static inline __attribute__((always_inline))
#define ROUND_UP(n) (((n) + L - 1) / L * L)

typedef float vf __attribute__((vector_size(4 * L)));
typedef int32_t vi __attribute__((vector_size(4 * L)));
typedef uint32_t vu __attribute__((vector_size(4 * L)));
typedef uint16_t vh __attribute__((vector_size(2 * L)));
typedef float vf_mem __attribute__((vector_size(4 * L), aligned(4), may_alias));
typedef uint16_t vh_mem __attribute__((vector_size(2 * L), aligned(2), may_alias));

INLINE vf splat(float x) { return x - (vf){}; }

INLINE vf choose(vi mask, vf a, vf b) { return (vf)(((vi)a & mask) | ((vi)b & ~mask)); }

INLINE vf widen(vh h) {
#if HRM_LEVEL >= 2
	return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)h), 16);
#elif HRM_LEVEL == 1
	return (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32((__m128i)h), 16);
#else
	return (vf)(__builtin_convertvector(h, vu) << 16);
#endif
}

// narrow rounds to nearest, ties to even, and keeps NaNs.
INLINE vh narrow(vf x) {
#if HRM_LEVEL == 3
	return (vh)_mm512_cvtneps_pbh((__m512)x);
#else
	vu b = (vu)x;
	vu rounded = (b + 0x7fff + ((b >> 16) & 1)) >> 16;
	vu nan = (vu)(x != x);
	vu bits = (rounded & ~nan) | (((b >> 16) | 0x40) & nan);
#if HRM_LEVEL == 2
	return (vh)_mm512_cvtepi32_epi16((__m512i)bits);
#else
	return __builtin_convertvector(bits, vh);
#endif
#endif
}

INLINE vf vmax(vf a, vf b) {
#if HRM_LEVEL >= 2
	return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif HRM_LEVEL == 1
	return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
	return choose(a > b, a, b);
#endif
}

INLINE vf vmin(vf a, vf b) {
#if HRM_LEVEL >= 2
	return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif HRM_LEVEL == 1
	return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
	return choose(a < b, a, b);
#endif
}

INLINE vf vsqrt(vf a) {
#if HRM_LEVEL >= 2
	return (vf)_mm512_sqrt_ps((__m512)a);
#elif HRM_LEVEL == 1
	return (vf)_mm256_sqrt_ps((__m256)a);
#else
	for (int i = 0; i < L; i++) a[i] = sqrtf(a[i]);
	return a;
#endif
}

INLINE float sum_lanes(vf a) {
#if HRM_LEVEL >= 2
	return _mm512_reduce_add_ps((__m512)a);
#else
	float s[L];
	memcpy(s, &a, sizeof a);
	for (int w = L / 2; w > 0; w /= 2)
		for (int i = 0; i < w; i++) s[i] += s[i + w];
	return s[0];
#endif
}

INLINE float max_lanes(vf a) {
#if HRM_LEVEL >= 2
	return _mm512_reduce_max_ps((__m512)a);
#else
	float s[L];
	memcpy(s, &a, sizeof a);
	for (int w = L / 2; w > 0; w /= 2)
		for (int i = 0; i < w; i++) s[i] = s[i] > s[i + w] ? s[i] : s[i + w];
	return s[0];
#endif
}

// butterfly swaps, between two vectors, the lanes that differ in the bit w of their number: a step of a transposition.
INLINE void butterfly(vf *a, vf *b, int w) {
	vi low, high;
	for (int i = 0; i < L; i++) {
		low[i] = i & w ? L + i - w : i;
		high[i] = i & w ? L + i : i + w;
	}
	vf x = *a, y = *b;
	*a = __builtin_shuffle(x, y, low);
	*b = __builtin_shuffle(x, y, high);
}

// transpose_block transposes L vectors of L lanes.
INLINE void transpose_block(vf *x) {
#pragma GCC unroll 4
	for (int w = 1; w < L; w *= 2)
#pragma GCC unroll 16
		for (int i = 0; i < L; i++)
			if (!(i & w)) butterfly(&x[i], &x[i + w], w);
}

INLINE vf load(const float *p) { return *(const vf_mem *)p; }
INLINE void store(float *p, vf x) { *(vf_mem *)p = x; }

// every_lane reads one element of 32 bits, whatever it means, into every lane.
INLINE vf every_lane(const float *p) {
#if HRM_LEVEL >= 2
	return (vf)_mm512_set1_epi32(*(const int32_t __attribute__((may_alias)) *)p);
#else
	return splat(*p);
#endif
}

// load_twice reads half a vector into both halves of one.
INLINE vf load_twice(const float *p) {
#if HRM_LEVEL >= 2
	return (vf)_mm512_broadcast_f32x8(_mm256_loadu_ps(p));
#elif HRM_LEVEL == 1
	return (vf)_mm256_broadcast_ps((const __m128 *)p);
#else
	vf x;
	for (int i = 0; i < L; i++) x[i] = p[i % (L / 2)];
	return x;
#endif
}

// load_act reads element i and those after it, m of them at most; the lanes beyond are zero.
INLINE vf load_act(const void *p, long i, long m, int bf) {
	if (bf) {
		const uint16_t *h = (const uint16_t *)p + i;
		if (m >= L) return widen(*(const vh_mem *)h);
		uint16_t t[L] = {0};
		for (long k = 0; k < m; k++) t[k] = h[k];
		return widen(*(const vh_mem *)t);
	}
	const float *f = (const float *)p + i;
	if (m >= L) return load(f);
	float t[L] = {0};
	for (long k = 0; k < m; k++) t[k] = f[k];
	return load(t);
}

// store_act writes at most m elements from element i on.
INLINE void store_act(void *p, long i, long m, vf x, int bf) {
	if (bf) {
		uint16_t *h = (uint16_t *)p + i;
		vh n = narrow(x);
		if (m >= L) {
			*(vh_mem *)h = n;
			return;
		}
		uint16_t t[L];
		memcpy(t, &n, sizeof n);
		for (long k = 0; k < m; k++) h[k] = t[k];
		return;
	}
	float *f = (float *)p + i;
	if (m >= L) {
		store(f, x);
		return;
	}
	float t[L];
	store(t, x);
	for (long k = 0; k < m; k++) f[k] = t[k];
}

// vexp is e^x to about one unit in the last place; it saturates outside [-80, 88], far from denormals, which are slow.
INLINE vf vexp(vf x) {
	x = vmin(vmax(x, splat(-80.0f)), splat(88.0f));
	vf shifted = x * 1.44269504f + 12582912.0f;
	vf n = shifted - 12582912.0f;
	vf r = x - n * 0.693359375f + n * 2.12194440e-4f;
	vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * r * r + r + 1.0f;
	return (vf)((vi)p + ((vi)shifted << 23));
}

#if HRM_LEVEL >= 2
// vexp2 is 2^x for x up to 127 to 4e-06 of it, and 0 or a denormal far below: for results that are rounded to bfloat16.
INLINE vf vexp2(vf x) {
	vf n = (vf)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), r = x - n;
	vf p = r * 9.66636852e-03f + 5.59219758e-02f;
	p = p * r + 2.40223490e-01f;
	p = p * r + 6.93121045e-01f;
	p = p * r + 1.00000000e+00f;
	return (vf)_mm512_scalef_ps((__m512)p, (__m512)n);
}

// vlog is the natural logarithm of x > 0 to about 1e-6.
INLINE vf vlog(vf x) {
	vf m = (vf)_mm512_getmant_ps((__m512)x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src), f = m - 1.0f;
	vf n = (vf)_mm512_getexp_ps((__m512)x) - (vf)_mm512_getexp_ps((__m512)m);
	vf p = f * -6.50838147e-02f + 1.40068818e-01f;
	p = p * f + -1.73574057e-01f;
	p = p * f + 2.01196031e-01f;
	p = p * f + -2.49788265e-01f;
	p = p * f + 3.33294738e-01f;
	p = p * f + -5.00001774e-01f;
	p = p * f + 1.00000016e+00f;
	return n * 0.693147181f + p * f;
}
#endif

// sigmoid is 1/(1+e^-x); what is rounded to bfloat16 may be less exact.
INLINE vf sigmoid(vf x, int bf) {
#if HRM_LEVEL >= 2
	if (bf) return (vf)_mm512_rcp14_ps((__m512)(1 + vexp2(x * -1.44269504f)));
#endif
	return 1 / (1 + vexp(-x));
}
