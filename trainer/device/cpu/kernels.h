// The C side of the CPU device: values, instructions, and the table of kernels that each instruction set provides.
#ifndef HRM_KERNELS_H
#define HRM_KERNELS_H

#include <stdint.h>

enum { HRM_F32, HRM_BF16, HRM_I32 };
enum { HRM_TEMPORARY, HRM_INPUT, HRM_PARAMETER, HRM_OUTPUT, HRM_GRADIENT };

// The functions of device.Activation.
enum { HRM_TANH, HRM_SIGMOID, HRM_STEP };

// hrm_token_shape: S tokens of V logits; the loss is a softmax if softmax is set, a stablemax otherwise.
typedef struct {
	int tokens, vocabulary, softmax;
} hrm_token_shape;

// hrm_attention_shape: T positions of width D in h heads, of which the first queries ask (forward). rope is cos [T, D/h/2] then sin of the same shape, or null.
// bf says that activations are bfloat16.
typedef struct {
	int positions, queries, width, heads, bf;
	const float *rope;
} hrm_attention_shape;

// Attention makes scores for HRM_QUERIES queries at a time, with bfloat16 products for HRM_KEYS keys.
#define HRM_QUERIES 96
#define HRM_KEYS 512

typedef struct {
	float decay, rate, beta1, beta2, denominator, ema;
} hrm_adam_step;

// hrm_kernels: one table for each instruction set. n counts rows of the last axis, bf says bfloat16 activations.
typedef struct {
	const char *name;
	void (*attention)(const hrm_attention_shape *s, const void *qkv, void *out, float *lse, float *scratch);
	void (*attention_grad)(const hrm_attention_shape *s, const void *qkv, const void *out, const void *dout, const float *lse,
		void *dqkv, float *scratch);
	void (*rmsnorm)(long n, int width, float epsilon, const void *x, const void *y, void *out, float *inverse, int bf);
	void (*rmsnorm_grad)(long n, int width, const void *out, const void *dout, const float *inverse, void *dx, int bf);
	void (*swiglu)(long n, int width, const void *gate_up, void *out, int bf);
	void (*swiglu_grad)(long n, int width, const void *gate_up, const void *dout, void *dgate_up, int bf);
	// gate: out = 2(s*x + (1-s)*y), s = sigmoid(gate). gate_grad_input is the gradient of x with scale 1, of y with -1.
	void (*gate)(long n, const void *gate, const void *x, const void *y, void *out, int bf);
	void (*gate_grad_gate)(long n, const void *gate, const void *x, const void *y, const void *dout, void *dgate, int bf);
	void (*gate_grad_input)(long n, float scale, const void *gate, const void *dout, void *dx, int bf);
	// transpose: x [rows, columns], out [columns, rows].
	void (*transpose)(long rows, long columns, const void *x, void *out, int bf);
	// activate_grad takes for x the forward's result, of the step its operand, whose slope is that of a hard sigmoid of this scale.
	void (*activate)(long n, int function, const void *x, void *out, int bf);
	void (*activate_grad)(long n, int function, float scale, const void *x, const void *dout, void *dx, int bf);
	// multiply: out = w*x, or (1-w)*x; blend: out = w*x + (1-w)*y; the gradient of w is (x-y)*dout, where y may be null. If each is
	// set there is one w for each of the n rows, and its gradient is a sum.
	void (*multiply)(long n, int width, int each, int complement, const void *x, const void *w, void *out, int bf);
	void (*blend)(long n, int width, int each, const void *w, const void *x, const void *y, void *out, int bf);
	void (*blend_grad_weight)(long n, int width, int each, const void *dout, const void *x, const void *y, void *dw, int bf);
	// scale_add: out = scale*(a + b) or scale*a; every operand has its own type.
	void (*scale_add)(long n, float scale, const void *a, int abf, const void *b, int bbf, void *out, int obf);
	// accumulate: out += scale*a, out float32.
	void (*accumulate)(long n, float scale, const void *a, int abf, float *out);
	double (*dot)(long n, const void *a, int abf, const float *b);
	// adam also moves average, which may be null.
	void (*adam)(long n, float *p, const float *g, float *m, float *v, float *average, const hrm_adam_step *h);
	void (*sign_sgd)(long n, float *w, const float *g, float keep, float rate);
	void (*sum)(long n, int count, float *const *parts, long offset, float *out);
	void (*to_bf16)(long n, const float *src, uint16_t *dst);
} hrm_kernels;

extern const hrm_kernels hrm_portable;
#if defined(__x86_64__)
extern const hrm_kernels hrm_avx2, hrm_avx512, hrm_avx512bf16;
#endif

// hrm_select returns the table called name, or the best that this processor runs if name is empty; null if it cannot run it.
const hrm_kernels *hrm_select(const char *name);
// hrm_attention_scratch returns the bytes of scratch that both attention kernels need.
long hrm_attention_scratch(const hrm_attention_shape *s);

// HRM_NO_LABEL is the label of tokens that do not count.
#define HRM_NO_LABEL -100

// The losses compute in double precision and have one version.
int hrm_labels_fit(const hrm_token_shape *s, const int32_t *labels);
float hrm_lm_loss(const hrm_token_shape *s, const void *logits, int bf, const int32_t *labels);
void hrm_lm_loss_grad(const hrm_token_shape *s, const void *logits, int bf, const int32_t *labels, float dloss, void *out);
void hrm_token_stats(const hrm_token_shape *s, const void *logits, int bf, const int32_t *labels, float *out);
float hrm_squared_error(long n, const void *x, const void *y, int bf);
void hrm_squared_error_grad(long n, const void *x, const void *y, float dloss, void *dx, int bf);
float hrm_q_target(const float *q, int last);
void hrm_q_loss(const float *q, const float *stats, const float *target, float *out);
void hrm_q_loss_grad(const float *q, const float *stats, const float *dloss, const float *target, float *out);

// What chooses positions has one version, too.
void hrm_top_k(long positions, long count, const void *scores, const void *among, void *out, int bf);
void hrm_unpredicted(const hrm_token_shape *s, int prefix, const void *logits, const int32_t *tokens, void *out, int bf);
void hrm_next_tokens(long tokens, int prefix, const int32_t *token, const void *wanted, int bf, int32_t *out);

// hrm_recall_shape: of T positions of width D the first count are remembered, the last of them with the weight rate, every one
// before with decay times the weight of the one after it.
typedef struct {
	long positions, count, width;
	float rate, decay;
	int bf;
} hrm_recall_shape;

void hrm_recall(const hrm_kernels *k, const hrm_recall_shape *s, const void *past, const void *query, void *out, float *scratch);
void hrm_recall_grad_past(const hrm_kernels *k, const hrm_recall_shape *s, const void *past, const void *query, const void *dout,
	void *dpast, int add, float *scratch);

// hrm_value mirrors device.Value. bytes is the size of one block, place the offset of a temporary, or of a shadow copy.
typedef struct {
	int role, type, rows, last;
	long elements, bytes, place;
} hrm_value;

struct hrm_product;

// Why an instruction failed.
enum { HRM_BAD_TOKEN = 1, HRM_BAD_LABEL, HRM_PRODUCT_FAILED, HRM_REASONS };

// HRM_BLOCK elements are added at a time where a sum has three operands; every worker's scratch holds as many floats.
#define HRM_BLOCK 2048

// hrm_instruction mirrors device.Instruction. in has in_count operands, and at least 4 entries: those that are not there are -1.
// weight indexes the weights bound to a run.
typedef struct {
	const int *in;
	int op, in_count, out, aux;
	int prefix, heads, softmax, accumulate, weight, function, complement, axis, from, count;
	float scale, epsilon, decay;
	const float *rope;
} hrm_instruction;

typedef struct {
	const hrm_kernels *kernels;
	hrm_value *values;
	hrm_instruction *instructions;
	int value_count, instruction_count;
	// bound holds the arrays of a run by value.
	char **bound;
	// shadow[v] >= 0: input v is copied to this place of the worker's shadow (bytes per row) before the slice starts,
	// because an output bound to the same array is written before the last use of v.
	long *shadow;
	int profile;
} hrm_program;

typedef struct {
	char *arena, *shadow;
	float *scratch;
	// gradients are this worker's sums, by value; null for the others.
	char **gradients;
	// seconds are those of each instruction, and slices how often all of them ran, since both were cleared; counted if the
	// program is profiled.
	double *seconds;
	long slices;
	int index;
} hrm_worker;

// hrm_plan: what is prepared for one number of rows: products by instruction, packed weights by hrm_instruction.weight.
typedef struct {
	struct hrm_product **products;
	void **weights;
} hrm_plan;

// hrm_run_slice runs all instructions over rows [first, first+n); plan is the one for n rows.
// It returns 0, or HRM_REASONS times the index of the failed instruction plus the reason.
int hrm_run_slice(const hrm_program *p, hrm_worker *w, const hrm_plan *plan, long first, int n);

#endif
