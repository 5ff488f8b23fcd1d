// Activations one by one: what is chosen or compared is too little for vectors.
#ifndef HRM_SCALAR_H
#define HRM_SCALAR_H

#include <stdint.h>
#include <string.h>

// number reads element i.
static inline double number(const void *p, int bf, long i) {
	if (!bf) return ((const float *)p)[i];
	uint32_t bits = (uint32_t)((const uint16_t *)p)[i] << 16;
	float x;
	memcpy(&x, &bits, sizeof x);
	return x;
}

// put writes element i, rounded to nearest, ties to even.
static inline void put(void *p, int bf, long i, float x) {
	if (!bf) {
		((float *)p)[i] = x;
		return;
	}
	uint32_t b;
	memcpy(&b, &x, sizeof b);
	((uint16_t *)p)[i] = x != x ? (b >> 16) | 0x40 : (b + 0x7fff + ((b >> 16) & 1)) >> 16;
}

// largest_of returns which of n elements from the given one on is the largest, the first one of equals.
static inline int largest_of(int n, const void *p, int bf, long from) {
	int best = 0;
	for (int j = 1; j < n; j++)
		if (number(p, bf, from + j) > number(p, bf, from + best)) best = j;
	return best;
}

#endif
