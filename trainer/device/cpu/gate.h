// Gates over n elements of one type, with s = sigmoid(gate): out = 2(s*x + (1-s)*y).

INLINE void gate_typed(long n, const void *gate, const void *x, const void *y, void *out, int bf) {
	for (long i = 0; i < n; i += L) {
		vf s = sigmoid(load_act(gate, i, n - i, bf), bf);
		store_act(out, i, n - i, 2 * (s * load_act(x, i, n - i, bf) + (1 - s) * load_act(y, i, n - i, bf)), bf);
	}
}

static void gate(long n, const void *gate, const void *x, const void *y, void *out, int bf) {
	if (bf) gate_typed(n, gate, x, y, out, 1);
	else gate_typed(n, gate, x, y, out, 0);
}

// dgate = 2*s*(1-s)*(x-y)*dout.
INLINE void gate_grad_gate_typed(long n, const void *gate, const void *x, const void *y, const void *dout, void *dgate, int bf) {
	for (long i = 0; i < n; i += L) {
		vf s = sigmoid(load_act(gate, i, n - i, bf), bf), d = load_act(dout, i, n - i, bf);
		store_act(dgate, i, n - i, 2 * s * (1 - s) * (load_act(x, i, n - i, bf) - load_act(y, i, n - i, bf)) * d, bf);
	}
}

static void gate_grad_gate(long n, const void *gate, const void *x, const void *y, const void *dout, void *dgate, int bf) {
	if (bf) gate_grad_gate_typed(n, gate, x, y, dout, dgate, 1);
	else gate_grad_gate_typed(n, gate, x, y, dout, dgate, 0);
}

// dx = 2*sigmoid(scale*gate)*dout.
INLINE void gate_grad_input_typed(long n, float scale, const void *gate, const void *dout, void *dx, int bf) {
	for (long i = 0; i < n; i += L)
		store_act(dx, i, n - i, 2 * sigmoid(scale * load_act(gate, i, n - i, bf), bf) * load_act(dout, i, n - i, bf), bf);
}

static void gate_grad_input(long n, float scale, const void *gate, const void *dout, void *dx, int bf) {
	if (bf) gate_grad_input_typed(n, scale, gate, dout, dx, 1);
	else gate_grad_input_typed(n, scale, gate, dout, dx, 0);
}
