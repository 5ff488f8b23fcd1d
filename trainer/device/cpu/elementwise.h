// Sums, scales and conversions over n elements. Operands may differ in type.

INLINE void scale_add_typed(long n, float scale, const void *a, int abf, const void *b, int bbf, void *out, int obf) {
	for (long i = 0; i < n; i += L) {
		vf x = load_act(a, i, n - i, abf);
		if (b) x += load_act(b, i, n - i, bbf);
		store_act(out, i, n - i, x * scale, obf);
	}
}

static void scale_add(long n, float scale, const void *a, int abf, const void *b, int bbf, void *out, int obf) {
	if (abf && bbf && obf) scale_add_typed(n, scale, a, 1, b, 1, out, 1);
	else scale_add_typed(n, scale, a, abf, b, bbf, out, obf);
}

static void accumulate(long n, float scale, const void *a, int abf, float *out) {
	for (long i = 0; i < n; i += L) store_act(out, i, n - i, load_act(out, i, n - i, 0) + scale * load_act(a, i, n - i, abf), 0);
}

static double dot(long n, const void *a, int abf, const float *b) {
	vf s = splat(0);
	for (long i = 0; i < n; i += L) s += load_act(a, i, n - i, abf) * load_act(b, i, n - i, 0);
	return sum_lanes(s);
}

// sum adds what the other workers summed, in the order of the workers: out += parts[0] + parts[1] + ..., these from offset on.
static void sum(long n, int count, float *const *parts, long offset, float *out) {
	for (long i = 0; i < n; i += L) {
		vf s = load_act(out, i, n - i, 0);
		for (int k = 0; k < count; k++) s += load_act(parts[k] + offset, i, n - i, 0);
		store_act(out, i, n - i, s, 0);
	}
}

static void to_bf16(long n, const float *src, uint16_t *dst) {
	for (long i = 0; i < n; i += L) store_act(dst, i, n - i, load_act(src, i, n - i, 0), 1);
}
