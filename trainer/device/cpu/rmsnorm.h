// Residual and RMS norm without a learned weight: out = (x+y)*r with r = 1/sqrt(mean((x+y)²)+epsilon).
// The gradient needs only out, r and dout: dx = r*(dout - out*mean(dout*out)).

INLINE void rmsnorm_typed(long n, int width, float epsilon, const void *x, const void *y, void *out, float *inverse, int bf) {
	for (long t = 0; t < n; t++) {
		long row = t * width;
		vf square = splat(0);
		for (int i = 0; i < width; i += L) {
			vf s = load_act(x, row + i, width - i, bf) + load_act(y, row + i, width - i, bf);
			square += s * s;
		}
		float r = 1 / sqrtf(sum_lanes(square) / width + epsilon);
		inverse[t] = r;
		for (int i = 0; i < width; i += L) {
			vf s = load_act(x, row + i, width - i, bf) + load_act(y, row + i, width - i, bf);
			store_act(out, row + i, width - i, s * r, bf);
		}
	}
}

static void rmsnorm(long n, int width, float epsilon, const void *x, const void *y, void *out, float *inverse, int bf) {
	if (bf) rmsnorm_typed(n, width, epsilon, x, y, out, inverse, 1);
	else rmsnorm_typed(n, width, epsilon, x, y, out, inverse, 0);
}

INLINE void rmsnorm_grad_typed(long n, int width, const void *out, const void *dout, const float *inverse, void *dx, int bf) {
	for (long t = 0; t < n; t++) {
		long row = t * width;
		vf dot = splat(0);
		for (int i = 0; i < width; i += L)
			dot += load_act(out, row + i, width - i, bf) * load_act(dout, row + i, width - i, bf);
		float mean = sum_lanes(dot) / width, r = inverse[t];
		for (int i = 0; i < width; i += L) {
			vf o = load_act(out, row + i, width - i, bf), g = load_act(dout, row + i, width - i, bf);
			store_act(dx, row + i, width - i, r * (g - o * mean), bf);
		}
	}
}

static void rmsnorm_grad(long n, int width, const void *out, const void *dout, const float *inverse, void *dx, int bf) {
	if (bf) rmsnorm_grad_typed(n, width, out, dout, inverse, dx, 1);
	else rmsnorm_grad_typed(n, width, out, dout, inverse, dx, 0);
}
