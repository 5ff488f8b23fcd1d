// Matrix products by oneDNN, which both C and Go see only through these few calls.
#ifndef HRM_PRODUCTS_H
#define HRM_PRODUCTS_H

#include <stdint.h>

// What a product computes; x [M, in], W [out, in].
enum { HRM_FORWARD, HRM_GRAD_INPUT, HRM_GRAD_WEIGHT };

// HRM_UNIMPLEMENTED is oneDNN's status where it has no such product for this processor.
enum { HRM_UNIMPLEMENTED = 3 };

// hrm_product: a prepared product for a fixed number of rows, with memory objects for every worker.
typedef struct hrm_product hrm_product;

// hrm_product_new prepares a product of m rows between in and out features for workers threads of execution:
// HRM_FORWARD x·Wᵀ, HRM_GRAD_INPUT dout·W (added to the output if accumulate), HRM_GRAD_WEIGHT += doutᵀ·x in float32.
// On failure it returns null and sets *status to oneDNN's.
hrm_product *hrm_product_new(int kind, long m, long in, long out, int bf, int accumulate, int workers, int *status);
void hrm_product_free(hrm_product *p);
// hrm_product_run: a and b are the operands in the order of the instruction; weight is a packed weight's memory for
// HRM_FORWARD and HRM_GRAD_INPUT, whose b is not used. Returns oneDNN's status.
int hrm_product_run(hrm_product *p, int worker, void *a, void *b, void *weight, void *out);

// A packed weight: the master W [out, in] in the layout and type that products want.
typedef struct hrm_pack hrm_pack;

// hrm_product_takes says whether p can use a weight packed like q.
int hrm_product_takes(const hrm_product *p, const hrm_pack *q);
hrm_pack *hrm_pack_new(const hrm_product *p, const float *master, int *status);
int hrm_pack_update(hrm_pack *q);
void *hrm_pack_memory(hrm_pack *q);
void hrm_pack_free(hrm_pack *q);

const char *hrm_products_version(void);

#endif
