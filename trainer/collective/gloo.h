// A C view of a Gloo context over TCP. Every function that can fail returns NULL, or a message that the caller frees:
// no exception crosses this border.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hrm_mesh hrm_mesh;

// Opens a context of size ranks whose pairs listen at an address of this machine.
char *hrm_mesh_open(const char *address, int rank, int size, int64_t connect_ms, hrm_mesh **out);
// The bytes of one pair's address; all have this length.
size_t hrm_mesh_address_size(const hrm_mesh *m);
// Writes the addresses that this rank's pairs listen on, by peer [size, address_size]; its own place is zero.
char *hrm_mesh_addresses(hrm_mesh *m, void *out);
// Connects to all: addresses [size, address_size] holds each peer's address for this rank.
char *hrm_mesh_connect(hrm_mesh *m, const void *addresses);
// x [n] becomes the sum over all ranks.
char *hrm_mesh_allreduce(hrm_mesh *m, float *x, size_t n);
// Gathers sizes[r] bytes of each rank r into out, by rank.
char *hrm_mesh_allgather(hrm_mesh *m, const void *own, const size_t *sizes, void *out);
// data [n] becomes rank 0's.
char *hrm_mesh_broadcast(hrm_mesh *m, void *data, size_t n);
char *hrm_mesh_barrier(hrm_mesh *m);
// Cuts the connections: calls that wait fail. May be called from another thread.
void hrm_mesh_abort(hrm_mesh *m);
// No other call may be in progress.
void hrm_mesh_close(hrm_mesh *m);

#ifdef __cplusplus
}
#endif
