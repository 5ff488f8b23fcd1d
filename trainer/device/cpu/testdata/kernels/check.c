// Random numbers, operands, and the comparison with what is wanted.
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "check.h"

static uint64_t next(check *c) {
	uint64_t z = c->state += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

long draw(check *c, long n) { return next(c) % n; }
int odds(check *c, int n) { return draw(c, n) == 0; }

double normal(check *c) {
	double u = ((next(c) >> 11) + 1) * 0x1p-53, v = (next(c) >> 11) * 0x1p-53;
	return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

void describe(check *c, const char *format, ...) {
	va_list args;
	va_start(args, format);
	vsnprintf(c->sizes, sizeof c->sizes, format, args);
	va_end(args);
}

static size_t element(int type) { return type == HRM_BF16 ? 2 : 4; }

// rounded is the number of that type nearest to x, of two equally near ones the even.
double rounded(int type, double x) {
	if (type == HRM_I32 || !isfinite(x)) return x;
	float f = x;
	if (type == HRM_F32 || f == 0) return f;
	int exponent;
	frexp(f, &exponent);
	double y = ldexp(rint(ldexp(f, 8 - exponent)), exponent - 8);
	return fabs(y) >= 0x1p128 ? copysign(INFINITY, y) : y;
}

static void put(void *to, int type, long i, double x) {
	float f = x;
	uint32_t bits;
	if (type == HRM_I32) {
		((int32_t *)to)[i] = x;
		return;
	}
	memcpy(&bits, &f, sizeof bits);
	if (type == HRM_F32) memcpy((char *)to + 4 * i, &bits, 4);
	else ((uint16_t *)to)[i] = bits >> 16;
}

static double get(const void *from, int type, long i) {
	if (type == HRM_I32) return ((const int32_t *)from)[i];
	if (type == HRM_F32) return ((const float *)from)[i];
	uint32_t bits = (uint32_t)((const uint16_t *)from)[i] << 16;
	float f;
	memcpy(&f, &bits, sizeof f);
	return f;
}

void set(operand *o, long i, double x) {
	o->value[i] = rounded(o->type, x);
	put(o->first, o->type, i, o->value[i]);
}

operand *add(check *c, const char *name, int type, long n, enum use use) {
	operand *o = &c->operands[c->count++];
	*o = (operand){.name = name, .type = type, .use = use, .n = n};
	o->value = calloc(n + 1, sizeof *o->value);
	o->want = calloc(n + 1, sizeof *o->want);
	o->first = calloc(n + 1, element(type));
	o->result = calloc(n + 1, element(type));
	for (long i = 0; i < n && type != HRM_I32 && (use == INPUT || use == UPDATED); i++) set(o, i, normal(c));
	return o;
}

void finish(check *c) {
	for (int i = 0; i < c->count; i++) {
		operand *o = c->operands + i;
		free(o->value);
		free(o->want);
		free(o->first);
		free(o->result);
	}
	c->count = 0;
	c->place = -1;
	c->sizes[0] = 0;
}

double tolerance(int type) { return type == HRM_BF16 ? 1.3e-2 : 2e-5; }

void judge(check *c, const operand *o, double tolerance) {
	double size = 1e-3;
	for (long i = 0; i < o->n; i++)
		if (isfinite(o->want[i])) size = fmax(size, fabs(o->want[i]));
	for (long i = 0; i < o->n; i++) {
		double got = get(o->result, o->type, i), want = o->want[i];
		if (got == want || (isnan(got) && isnan(want)) || fabs(got - want) <= tolerance * size) continue;
		fprintf(stderr, "%s %s (%s): %s[%ld] = %.9g, want %.9g\n", c->k->name, c->kernel, c->sizes, o->name, i, got, want);
		c->failures++;
		return;
	}
}
