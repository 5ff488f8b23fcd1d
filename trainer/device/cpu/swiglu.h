// SwiGLU over n rows: gate_up [n, 2F] (gate first), out [n, F] = silu(gate)*up.

INLINE void swiglu_typed(long n, int width, const void *gate_up, void *out, int bf) {
	for (long t = 0; t < n; t++)
		for (int i = 0; i < width; i += L) {
			vf g = load_act(gate_up, 2 * t * width + i, width - i, bf);
			vf u = load_act(gate_up, (2 * t + 1) * width + i, width - i, bf);
			store_act(out, t * width + i, width - i, g * u * sigmoid(g, bf), bf);
		}
}

static void swiglu(long n, int width, const void *gate_up, void *out, int bf) {
	if (bf) swiglu_typed(n, width, gate_up, out, 1);
	else swiglu_typed(n, width, gate_up, out, 0);
}

// With s = sigmoid(gate): dgate = dout*up*s*(1 + gate*(1-s)), dup = dout*gate*s.
INLINE void swiglu_grad_typed(long n, int width, const void *gate_up, const void *dout, void *dgate_up, int bf) {
	for (long t = 0; t < n; t++)
		for (int i = 0; i < width; i += L) {
			long gate = 2 * t * width + i, up = gate + width, m = width - i;
			vf g = load_act(gate_up, gate, m, bf), u = load_act(gate_up, up, m, bf), d = load_act(dout, t * width + i, m, bf);
			vf s = sigmoid(g, bf);
			vf ds = d * s;
			store_act(dgate_up, gate, m, ds * u * (1 + g * (1 - s)), bf);
			store_act(dgate_up, up, m, ds * g, bf);
		}
}

static void swiglu_grad(long n, int width, const void *gate_up, const void *dout, void *dgate_up, int bf) {
	if (bf) swiglu_grad_typed(n, width, gate_up, dout, dgate_up, 1);
	else swiglu_grad_typed(n, width, gate_up, dout, dgate_up, 0);
}
