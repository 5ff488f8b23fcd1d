// RMS norm, SwiGLU, gates, transposition, activations and weighted sums.
#include <math.h>
#include "check.h"

// shape of n rows, whose width is now and then that of a model.
typedef struct {
	long n;
	int width, type;
} shape;

static shape sizes(check *c) {
	shape s = {draw(c, 9), odds(c, 10) ? 500 + draw(c, 30) : 1 + draw(c, 70), draw(c, 2) ? HRM_BF16 : HRM_F32};
	describe(c, "%ld rows of %d, bf %d", s.n, s.width, s.type);
	return s;
}

void check_rmsnorm(check *c) {
	shape s = sizes(c);
	long all = s.n * s.width;
	float epsilon = 1e-5f;
	operand *x = add(c, "x", s.type, all, INPUT), *y = add(c, "y", s.type, all, INPUT), *out = add(c, "out", s.type, all, OUTPUT);
	operand *inverse = add(c, "inverse", HRM_F32, s.n, OUTPUT);
	while (everywhere(c)) c->k->rmsnorm(s.n, s.width, epsilon, x->at, y->at, out->at, inverse->at, s.type);
	for (long t = 0; t < s.n; t++) {
		double square = 0;
		for (long i = t * s.width; i < (t + 1) * s.width; i++) square += pow(x->value[i] + y->value[i], 2);
		inverse->want[t] = 1 / sqrt(square / s.width + epsilon);
		for (long i = t * s.width; i < (t + 1) * s.width; i++) out->want[i] = (x->value[i] + y->value[i]) * inverse->want[t];
	}
	judge(c, out, tolerance(s.type));
	judge(c, inverse, tolerance(HRM_F32));
}

void check_rmsnorm_grad(check *c) {
	shape s = sizes(c);
	long all = s.n * s.width;
	operand *out = add(c, "out", s.type, all, INPUT), *dout = add(c, "dout", s.type, all, INPUT), *dx = add(c, "dx", s.type, all, OUTPUT);
	operand *inverse = add(c, "inverse", HRM_F32, s.n, INPUT);
	while (everywhere(c)) c->k->rmsnorm_grad(s.n, s.width, out->at, dout->at, inverse->at, dx->at, s.type);
	for (long t = 0; t < s.n; t++) {
		double mean = 0;
		for (long i = t * s.width; i < (t + 1) * s.width; i++) mean += out->value[i] * dout->value[i] / s.width;
		for (long i = t * s.width; i < (t + 1) * s.width; i++) dx->want[i] = inverse->value[t] * (dout->value[i] - out->value[i] * mean);
	}
	judge(c, dx, tolerance(s.type));
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

// add_gates adds gate_up, now and then with gates far out on both sides.
static operand *add_gates(check *c, shape s) {
	operand *o = add(c, "gate_up", s.type, 2 * s.n * s.width, INPUT);
	for (long i = 0; i < o->n; i++)
		if (i / s.width % 2 == 0 && odds(c, 20)) set(o, i, 60 * o->value[i]);
	return o;
}

void check_swiglu(check *c) {
	shape s = sizes(c);
	operand *in = add_gates(c, s), *out = add(c, "out", s.type, s.n * s.width, OUTPUT);
	while (everywhere(c)) c->k->swiglu(s.n, s.width, in->at, out->at, s.type);
	for (long i = 0; i < out->n; i++) {
		const double *gate = in->value + i / s.width * 2 * s.width + i % s.width, *up = gate + s.width;
		out->want[i] = *gate * sigmoid(*gate) * *up;
	}
	judge(c, out, tolerance(s.type));
}

void check_swiglu_grad(check *c) {
	shape s = sizes(c);
	operand *in = add_gates(c, s), *dout = add(c, "dout", s.type, s.n * s.width, INPUT), *din = add(c, "dgate_up", s.type, in->n, OUTPUT);
	while (everywhere(c)) c->k->swiglu_grad(s.n, s.width, in->at, dout->at, din->at, s.type);
	for (long i = 0; i < dout->n; i++) {
		long gate = i / s.width * 2 * s.width + i % s.width, up = gate + s.width;
		double g = in->value[gate], sg = sigmoid(g);
		din->want[gate] = dout->value[i] * in->value[up] * (sg + g * sg * (1 - sg));
		din->want[up] = dout->value[i] * g * sg;
	}
	judge(c, din, tolerance(s.type));
}

// add_gate adds a gate of n numbers, now and then far out on both sides.
static operand *add_gate(check *c, int type, long n) {
	operand *o = add(c, "gate", type, n, INPUT);
	for (long i = 0; i < n; i++)
		if (odds(c, 20)) set(o, i, 60 * o->value[i]);
	return o;
}

void check_gate(check *c) {
	shape s = sizes(c);
	long n = s.n * s.width;
	operand *g = add_gate(c, s.type, n), *x = add(c, "x", s.type, n, INPUT), *y = add(c, "y", s.type, n, INPUT), *out = add(c, "out", s.type, n, OUTPUT);
	while (everywhere(c)) c->k->gate(n, g->at, x->at, y->at, out->at, s.type);
	for (long i = 0; i < n; i++) out->want[i] = 2 * (sigmoid(g->value[i]) * x->value[i] + sigmoid(-g->value[i]) * y->value[i]);
	judge(c, out, tolerance(s.type));
}

void check_gate_grad_gate(check *c) {
	shape s = sizes(c);
	long n = s.n * s.width;
	operand *g = add_gate(c, s.type, n), *x = add(c, "x", s.type, n, INPUT), *y = add(c, "y", s.type, n, INPUT);
	operand *dout = add(c, "dout", s.type, n, INPUT), *dgate = add(c, "dgate", s.type, n, OUTPUT);
	while (everywhere(c)) c->k->gate_grad_gate(n, g->at, x->at, y->at, dout->at, dgate->at, s.type);
	for (long i = 0; i < n; i++)
		dgate->want[i] = 2 * sigmoid(g->value[i]) * sigmoid(-g->value[i]) * (x->value[i] - y->value[i]) * dout->value[i];
	judge(c, dgate, tolerance(s.type));
}

void check_gate_grad_input(check *c) {
	shape s = sizes(c);
	long n = s.n * s.width;
	float scale = draw(c, 2) ? 1 : -1;
	operand *g = add_gate(c, s.type, n), *dout = add(c, "dout", s.type, n, INPUT), *dx = add(c, "dx", s.type, n, OUTPUT);
	while (everywhere(c)) c->k->gate_grad_input(n, scale, g->at, dout->at, dx->at, s.type);
	for (long i = 0; i < n; i++) dx->want[i] = 2 * sigmoid(scale * g->value[i]) * dout->value[i];
	judge(c, dx, tolerance(s.type));
}

void check_transpose(check *c) {
	shape s = sizes(c);
	long n = s.n * s.width;
	operand *x = add(c, "x", s.type, n, INPUT), *out = add(c, "out", s.type, n, OUTPUT);
	while (everywhere(c)) c->k->transpose(s.n, s.width, x->at, out->at, s.type);
	for (long i = 0; i < n; i++) out->want[i % s.width * s.n + i / s.width] = x->value[i];
	judge(c, out, 0);
}

void check_activate(check *c) {
	shape s = sizes(c);
	long n = s.n * s.width;
	int function = draw(c, 3);
	operand *x = add_gate(c, s.type, n), *out = add(c, "out", s.type, n, OUTPUT);
	for (long i = 0; i < n; i++)
		if (odds(c, 10)) set(x, i, x->value[i] / 50);
	while (everywhere(c)) c->k->activate(n, function, x->at, out->at, s.type);
	for (long i = 0; i < n; i++) {
		double v = x->value[i];
		out->want[i] = function == HRM_TANH ? tanh(v) : function == HRM_SIGMOID ? sigmoid(v) : v > 0;
	}
	judge(c, out, tolerance(s.type));
}

void check_activate_grad(check *c) {
	shape s = sizes(c);
	long n = s.n * s.width;
	int function = draw(c, 3);
	operand *x = add(c, "x", s.type, n, INPUT), *dout = add(c, "dout", s.type, n, INPUT), *dx = add(c, "dx", s.type, n, OUTPUT);
	while (everywhere(c)) c->k->activate_grad(n, function, 1.5f, x->at, dout->at, dx->at, s.type);
	for (long i = 0; i < n; i++) {
		double v = x->value[i], slope = function == HRM_TANH ? 1 - v * v : function == HRM_SIGMOID ? v * (1 - v) : fabs(1.5 * v) < 1 ? 0.75 : 0;
		dx->want[i] = slope * dout->value[i];
	}
	judge(c, dx, tolerance(s.type));
}

// weight is what row and column i of a value of so many columns is weighted with.
static double weight(const operand *w, int width, int each, long i) { return w->value[each ? i / width : i]; }

void check_multiply(check *c) {
	shape s = sizes(c);
	long n = s.n * s.width;
	int each = draw(c, 2), complement = draw(c, 2);
	operand *x = add(c, "x", s.type, n, INPUT), *w = add(c, "w", s.type, each ? s.n : n, INPUT), *out = add(c, "out", s.type, n, OUTPUT);
	while (everywhere(c)) c->k->multiply(s.n, s.width, each, complement, x->at, w->at, out->at, s.type);
	for (long i = 0; i < n; i++) out->want[i] = x->value[i] * (complement ? 1 - weight(w, s.width, each, i) : weight(w, s.width, each, i));
	judge(c, out, tolerance(s.type));
}

void check_blend(check *c) {
	shape s = sizes(c);
	long n = s.n * s.width;
	int each = draw(c, 2);
	operand *w = add(c, "w", s.type, each ? s.n : n, INPUT), *x = add(c, "x", s.type, n, INPUT), *y = add(c, "y", s.type, n, INPUT);
	operand *out = add(c, "out", s.type, n, OUTPUT);
	while (everywhere(c)) c->k->blend(s.n, s.width, each, w->at, x->at, y->at, out->at, s.type);
	for (long i = 0; i < n; i++) out->want[i] = y->value[i] + weight(w, s.width, each, i) * (x->value[i] - y->value[i]);
	judge(c, out, tolerance(s.type));
}

void check_blend_grad_weight(check *c) {
	shape s = sizes(c);
	long n = s.n * s.width;
	int each = draw(c, 2);
	operand *dout = add(c, "dout", s.type, n, INPUT), *x = add(c, "x", s.type, n, INPUT), *y = odds(c, 2) ? add(c, "y", s.type, n, INPUT) : 0;
	operand *dw = add(c, "dw", s.type, each ? s.n : n, OUTPUT);
	while (everywhere(c)) c->k->blend_grad_weight(s.n, s.width, each, dout->at, x->at, y ? y->at : 0, dw->at, s.type);
	double size = 0;
	for (long i = 0; i < n; i++) {
		double d = (x->value[i] - (y ? y->value[i] : 0)) * dout->value[i];
		dw->want[each ? i / s.width : i] += d;
		size = fmax(size, fabs(d));
	}
	double largest = 1e-3;
	for (long i = 0; i < dw->n; i++) largest = fmax(largest, fabs(dw->want[i]));
	// What cancels out counts for the error too.
	judge(c, dw, tolerance(s.type) * fmax(1, size * sqrt(s.width) / largest));
}
