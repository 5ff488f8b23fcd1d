// Small products for attention: C[M,N] = A[M,K]·B[K,N], added to C if add is set. A has any strides (rs between rows, cs
// between columns), so it may be transposed. N is a multiple of L, and C is float32.
//
// Included with MATMUL(name), which names the functions, and MULTIPLY_ADD(c, a, b), which is c + a·b for a vector b and
// one element a in every lane, defined. What an element of A and B is, a float or a pair of bfloat16, is the macro's matter.

#ifndef WIDE
#if HRM_LEVEL >= 2
#define WIDE 4
#define TALL4 6
#define TALL3 8
#define TALL2 12
#define TALL1 12
#else
#define WIDE 2
#define TALL2 4
#define TALL1 8
#endif
#endif

// tile computes rows x columns*L of C with the sums in registers.
INLINE void MATMUL(tile)(const int rows, const int columns, int K, const float *A, long rs, long cs, const float *B, long ldb,
	float *C, long ldc, const int add) {
	vf c[12][4];
#pragma GCC unroll 12
	for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
		for (int j = 0; j < columns; j++) c[i][j] = add ? load(C + i * ldc + j * L) : splat(0);
	for (int k = 0; k < K; k++) {
		vf b[4];
#pragma GCC unroll 4
		for (int j = 0; j < columns; j++) b[j] = load(B + k * ldb + j * L);
#pragma GCC unroll 12
		for (int i = 0; i < rows; i++) {
			vf a = every_lane(A + i * rs + k * cs);
#pragma GCC unroll 4
			for (int j = 0; j < columns; j++) c[i][j] = MULTIPLY_ADD(c[i][j], a, b[j]);
		}
	}
#pragma GCC unroll 12
	for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
		for (int j = 0; j < columns; j++) store(C + i * ldc + j * L, c[i][j]);
}

#define COLUMN(name, tall, columns) \
	static void MATMUL(name)(int M, int K, const float *A, long rs, long cs, const float *B, long ldb, float *C, long ldc, int add) { \
		int i = 0; \
		for (; i + tall <= M; i += tall) { \
			if (add) MATMUL(tile)(tall, columns, K, A + i * rs, rs, cs, B, ldb, C + i * ldc, ldc, 1); \
			else MATMUL(tile)(tall, columns, K, A + i * rs, rs, cs, B, ldb, C + i * ldc, ldc, 0); \
		} \
		for (; i + 4 <= M; i += 4) MATMUL(tile)(4, columns, K, A + i * rs, rs, cs, B, ldb, C + i * ldc, ldc, add); \
		for (; i + 2 <= M; i += 2) MATMUL(tile)(2, columns, K, A + i * rs, rs, cs, B, ldb, C + i * ldc, ldc, add); \
		for (; i < M; i++) MATMUL(tile)(1, columns, K, A + i * rs, rs, cs, B, ldb, C + i * ldc, ldc, add); \
	}

COLUMN(column1, TALL1, 1)
COLUMN(column2, TALL2, 2)
#if WIDE == 4
COLUMN(column3, TALL3, 3)
COLUMN(column4, TALL4, 4)
#endif

static void MATMUL(matmul)(int M, int N, int K, const float *A, long rs, long cs, const float *B, long ldb, float *C, long ldc, int add) {
	int n = N / L;
	for (int j = 0; j < n;) {
		int left = n - j;
#if WIDE == 4
		if (left == 3) {
			MATMUL(column3)(M, K, A, rs, cs, B + j * L, ldb, C + j * L, ldc, add);
			j += 3;
			continue;
		}
		if (left == 4 || left > 5) {
			MATMUL(column4)(M, K, A, rs, cs, B + j * L, ldb, C + j * L, ldc, add);
			j += 4;
			continue;
		}
		if (left == 5) {
			MATMUL(column3)(M, K, A, rs, cs, B + j * L, ldb, C + j * L, ldc, add);
			j += 3;
			continue;
		}
#endif
		if (left >= 2) {
			MATMUL(column2)(M, K, A, rs, cs, B + j * L, ldb, C + j * L, ldc, add);
			j += 2;
			continue;
		}
		MATMUL(column1)(M, K, A, rs, cs, B + j * L, ldb, C + j * L, ldc, add);
		j++;
	}
}

#undef COLUMN
#undef MATMUL
#undef MULTIPLY_ADD
