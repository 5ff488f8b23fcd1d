// Products and mixtures of n rows of so many columns, one type for all. The weight w has as many columns, or, if each is set, one.

// weight_at reads the weights of the columns from i on of a row.
INLINE vf weight_at(const void *w, long row, int width, long i, int each, int bf) {
	if (!each) return load_act(w, row * width + i, width - i, bf);
	return splat(load_act(w, row, 1, bf)[0]);
}

INLINE void multiply_typed(long n, int width, int each, int complement, const void *x, const void *w, void *out, int bf) {
	for (long t = 0; t < n; t++)
		for (long i = 0; i < width; i += L) {
			vf a = weight_at(w, t, width, i, each, bf);
			store_act(out, t * width + i, width - i, (complement ? 1 - a : a) * load_act(x, t * width + i, width - i, bf), bf);
		}
}

// multiply: out = w*x, or (1-w)*x.
static void multiply(long n, int width, int each, int complement, const void *x, const void *w, void *out, int bf) {
	if (bf) multiply_typed(n, width, each, complement, x, w, out, 1);
	else multiply_typed(n, width, each, complement, x, w, out, 0);
}

INLINE void blend_typed(long n, int width, int each, const void *w, const void *x, const void *y, void *out, int bf) {
	for (long t = 0; t < n; t++)
		for (long i = 0; i < width; i += L) {
			vf a = weight_at(w, t, width, i, each, bf);
			vf sum = a * load_act(x, t * width + i, width - i, bf) + (1 - a) * load_act(y, t * width + i, width - i, bf);
			store_act(out, t * width + i, width - i, sum, bf);
		}
}

// blend: out = w*x + (1-w)*y.
static void blend(long n, int width, int each, const void *w, const void *x, const void *y, void *out, int bf) {
	if (bf) blend_typed(n, width, each, w, x, y, out, 1);
	else blend_typed(n, width, each, w, x, y, out, 0);
}

INLINE void blend_grad_weight_typed(long n, int width, int each, const void *dout, const void *x, const void *y, void *dw, int bf) {
	for (long t = 0; t < n; t++) {
		vf sum = splat(0);
		for (long i = 0; i < width; i += L) {
			vf d = load_act(x, t * width + i, width - i, bf);
			if (y) d -= load_act(y, t * width + i, width - i, bf);
			d *= load_act(dout, t * width + i, width - i, bf);
			if (each) sum += d;
			else store_act(dw, t * width + i, width - i, d, bf);
		}
		if (each) store_act(dw, t, 1, splat(sum_lanes(sum)), bf);
	}
}

// blend_grad_weight: dw = (x-y)*dout, or its sum over the columns if each is set; y may be null.
static void blend_grad_weight(long n, int width, int each, const void *dout, const void *x, const void *y, void *dw, int bf) {
	if (bf) blend_grad_weight_typed(n, width, each, dout, x, y, dw, 1);
	else blend_grad_weight_typed(n, width, each, dout, x, y, dw, 0);
}
