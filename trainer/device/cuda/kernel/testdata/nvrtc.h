// What NVRTC knows by itself and clang takes from headers.
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __forceinline__ __inline__ __attribute__((always_inline))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
struct Index3 { unsigned x, y, z; };
#define threadIdx (Index3{(unsigned)__nvvm_read_ptx_sreg_tid_x(), 0, 0})
#define blockIdx (Index3{(unsigned)__nvvm_read_ptx_sreg_ctaid_x(), (unsigned)__nvvm_read_ptx_sreg_ctaid_y(), 0})
#define blockDim (Index3{(unsigned)__nvvm_read_ptx_sreg_ntid_x(), 1, 1})
#define gridDim (Index3{(unsigned)__nvvm_read_ptx_sreg_nctaid_x(), (unsigned)__nvvm_read_ptx_sreg_nctaid_y(), 1})
#define __syncwarp() __nvvm_bar_warp_sync(0xffffffffu)
static __device__ __forceinline__ int __shfl_xor_sync(unsigned m, int x, int d) { return __nvvm_shfl_sync_bfly_i32(m, x, d, 31); }
static __device__ __forceinline__ float __shfl_xor_sync(unsigned m, float x, int d) { return __nvvm_shfl_sync_bfly_f32(m, x, d, 31); }
static __device__ __forceinline__ double __shfl_xor_sync(unsigned m, double x, int d) {
  long long b; __builtin_memcpy(&b, &x, 8);
  int lo = __shfl_xor_sync(m, (int)b, d), hi = __shfl_xor_sync(m, (int)(b >> 32), d);
  b = (long long)hi << 32 | (unsigned)lo; __builtin_memcpy(&x, &b, 8); return x;
}
static __device__ __forceinline__ float __shfl_sync(unsigned m, float x, int d) { return __nvvm_shfl_sync_idx_f32(m, x, d, 31); }
static __device__ __forceinline__ int __shfl_sync(unsigned m, int x, int d) { return __nvvm_shfl_sync_idx_i32(m, x, d, 31); }
#define MATH1(T, f) extern "C" __device__ T f(T);
MATH1(float, expf) MATH1(float, logf) MATH1(float, log1pf) MATH1(double, log) MATH1(double, exp)
extern "C" __device__ float atan2f(float, float);
extern "C" __device__ double pow(double, double);
static __device__ __forceinline__ float sqrtf(float x) { return __nvvm_sqrt_rn_f(x); }
static __device__ __forceinline__ float fabsf(float x) { return __builtin_fabsf(x); }
static __device__ __forceinline__ float fmaxf(float x, float y) { return __nvvm_fmax_f(x, y); }
static __device__ __forceinline__ unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }
static __device__ __forceinline__ double fabs(double x) { return __builtin_fabs(x); }
