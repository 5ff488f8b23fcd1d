// Transposition of x [rows, columns] to out [columns, rows], a block at a time so that both stay in the cache.

#define TRANSPOSED_BLOCK 32

#define TRANSPOSE(type) \
	for (long r0 = 0; r0 < rows; r0 += TRANSPOSED_BLOCK) \
		for (long c0 = 0; c0 < columns; c0 += TRANSPOSED_BLOCK) \
			for (long c = c0; c < columns && c < c0 + TRANSPOSED_BLOCK; c++) \
				for (long r = r0; r < rows && r < r0 + TRANSPOSED_BLOCK; r++) \
					((type *)out)[c * rows + r] = ((const type *)x)[r * columns + c];

static void transpose_act(long rows, long columns, const void *x, void *out, int bf) {
	if (bf) TRANSPOSE(uint16_t)
	else TRANSPOSE(float)
}
