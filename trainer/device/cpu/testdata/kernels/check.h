// Calls of one kernel on random operands in several places of memory: what it touches, and what it computes.
#ifndef HRM_CHECK_H
#define HRM_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include "../../kernels.h"

// use: a kernel may only read an input, must write every element of an output, updates what it reads and writes, and has
// scratch to itself, aligned to 64 bytes and with any content. The others are aligned to their elements.
enum use { INPUT, OUTPUT, UPDATED, SCRATCH };

// On the heap a sanitizer sees what is touched; beside a guard page the processor does, also without one.
enum place { HEAP, BEFORE_GUARD, AFTER_GUARD, PLACES };

typedef struct {
	const char *name;
	int type;
	enum use use;
	long n;
	// at is where the kernel finds it.
	void *at;
	// value is what it holds before the call, want what it should hold after.
	double *value, *want;
	// first is a copy of the content before the call, result of that after the call on the heap.
	void *first, *result;
	char *pages;
	size_t mapped;
} operand;

typedef struct {
	const hrm_kernels *k;
	const char *kernel;
	// round counts the calls of every kernel.
	int round;
	char sizes[120];
	uint64_t state;
	operand operands[16];
	int count;
	int place;
	int failures;
} check;

// draw returns a number below n, odds is true once in n, normal is Gaussian.
long draw(check *c, long n);
int odds(check *c, int n);
double normal(check *c);

// describe says what the sizes of this call are, for reports.
void describe(check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Inputs and updated operands are filled with normal numbers, but for integers, which are zero.
operand *add(check *c, const char *name, int type, long n, enum use use);
void set(operand *o, long i, double x);
double rounded(int type, double x);

// everywhere arranges all operands in the next place, or returns 0 after the last: while (everywhere(c)) kernel(...).
int everywhere(check *c);

// judge compares the result with what is wanted; the tolerance is relative to the largest element.
void judge(check *c, const operand *o, double tolerance);
// tolerance is what results of a type may differ by, as in opcode_test.go.
double tolerance(int type);
// finish forgets the operands.
void finish(check *c);

// report_crashes makes every failure name the kernel that runs.
void report_crashes(check *c);

typedef void kernel_case(check *c);

kernel_case check_attention, check_attention_grad, check_rmsnorm, check_rmsnorm_grad, check_swiglu, check_swiglu_grad;
kernel_case check_gate, check_gate_grad_gate, check_gate_grad_input, check_transpose;
kernel_case check_activate, check_activate_grad, check_multiply, check_blend, check_blend_grad_weight;
kernel_case check_scale_add, check_accumulate, check_dot, check_sum, check_to_bf16, check_adam, check_sign_sgd;
kernel_case check_labels_fit, check_lm_loss, check_lm_loss_grad, check_token_stats, check_q_target, check_q_loss, check_q_loss_grad;
kernel_case check_squared_error, check_squared_error_grad;
kernel_case check_top_k, check_unpredicted, check_next_tokens, check_recall, check_recall_grad_past;

#endif
