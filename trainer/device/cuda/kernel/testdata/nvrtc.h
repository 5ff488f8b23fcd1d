// What NVRTC knows by itself and clang would take from CUDA's headers, for translating the kernels to PTX.
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __forceinline__ __inline__ __attribute__((always_inline))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))

struct Index {
  unsigned x, y, z;
};
#define threadIdx (Index{(unsigned)__nvvm_read_ptx_sreg_tid_x(), 0, 0})
#define blockIdx (Index{(unsigned)__nvvm_read_ptx_sreg_ctaid_x(), (unsigned)__nvvm_read_ptx_sreg_ctaid_y(), 0})
#define blockDim (Index{(unsigned)__nvvm_read_ptx_sreg_ntid_x(), 1, 1})
#define __syncwarp() __nvvm_bar_warp_sync(0xffffffffu)

static __device__ __forceinline__ int __shfl_xor_sync(unsigned mask, int x, int distance) { return __nvvm_shfl_sync_bfly_i32(mask, x, distance, 31); }
static __device__ __forceinline__ float __shfl_xor_sync(unsigned mask, float x, int distance) { return __nvvm_shfl_sync_bfly_f32(mask, x, distance, 31); }
static __device__ __forceinline__ double __shfl_xor_sync(unsigned mask, double x, int distance) {
  int half[2];
  __builtin_memcpy(half, &x, 8);
  half[0] = __shfl_xor_sync(mask, half[0], distance), half[1] = __shfl_xor_sync(mask, half[1], distance);
  __builtin_memcpy(&x, half, 8);
  return x;
}

extern "C" __device__ float expf(float);
extern "C" __device__ float logf(float);
extern "C" __device__ float log1pf(float);
extern "C" __device__ float atan2f(float, float);
extern "C" __device__ double log(double);
static __device__ __forceinline__ float sqrtf(float x) { return __nvvm_sqrt_rn_f(x); }
static __device__ __forceinline__ float fabsf(float x) { return __builtin_fabsf(x); }
static __device__ __forceinline__ double fabs(double x) { return __builtin_fabs(x); }
static __device__ __forceinline__ float fmaxf(float x, float y) { return __nvvm_fmax_f(x, y); }
static __device__ __forceinline__ unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }
