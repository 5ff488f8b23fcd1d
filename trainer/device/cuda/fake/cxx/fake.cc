// Stand-ins for libcuda, libnvrtc, libcublasLt and libnccl (nccl.cc), to be found in the place of them: one library under
// their four names.
//
// What is asked for is done on the processor: kernels by the emulation (driver.cc), products by loops, and not before the
// stream is waited for, so that who reads a result too early, or changes what is still to be copied, gets wrong numbers.
// Memory of the "GPU" ends at a page that nobody may touch, is full of NaN, and cannot be touched after it has been freed.
// Every call is counted and checked (handles that live, sizes, the thread's context, grids); what is wrong is kept as a
// violation. Any call can be told to fail. There may be several GPUs, each with its context, its memory and its streams.
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <chrono>
#include <cmath>
#include <cstdarg>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

// The emulation's scheduler, without its process: the library's users are its driver.
#define main emulation_main
#include "driver.cc"
#undef main

#define API extern "C" __attribute__((visibility("default")))

extern "C" void __sanitizer_start_switch_fiber(void **, const void *, size_t) {}
extern "C" void __sanitizer_finish_switch_fiber(void *, const void **from, size_t *size) {
  if (from) *from = nullptr;
  if (size) *size = 0;
}

namespace {

typedef uint64_t u64;
struct Communicator;

// Work is what a stream does. If a communicator does it, it is a collective, which the other ranks must come to, too.
struct Work {
  std::function<void()> run;
  Communicator *communicator = nullptr;
  template <class F> Work(F f, Communicator *c = nullptr) : run(f), communicator(c) {}
};

struct Stream {
  int device;
  std::deque<Work> queue;
  std::vector<Work> captured;
  // capturer is the thread that captures; busy says that a thread does the stream's work.
  bool capturing = false, captured_for_all = false, busy = false;
  std::thread::id capturer;
  // origin is the stream into whose capture this one was drawn by waiting for an event of it. Of its work so far, what came
  // before the joined-th piece is waited for by the origin.
  Stream *origin = nullptr;
  long added = 0, joined = 0;
  Stream *capture() { return capturing ? this : origin; }
};
struct Allocation {
  u64 bytes;
  int device;
};
struct Graph {
  std::vector<Work> nodes;
};
struct Event {
  // recorded counts the records, happened is the latest that the stream has come to.
  long recorded = 0, happened = 0;
  Stream *stream = nullptr;
  // capture is the stream in whose capture it was recorded, after so many pieces of its own stream's work.
  Stream *capture = nullptr;
  long after = 0;
  std::chrono::steady_clock::time_point at;
};
struct Module {
  void *library;
};
struct Kernel {
  std::string name;
  void (*call)(void **);
  std::vector<int> sizes;
  int shared;
};
struct Program {
  std::string name, source, log, library;
};
struct Descriptor {
  int transposed[2] = {0, 0};
};
struct Layout {
  int type;
  u64 rows, cols;
  int64_t step;
};

enum Result { OUT_OF_MEMORY = 2, INVALID_VALUE = 1, INVALID_IMAGE = 200, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500,
              NOT_READY = 600, CAPTURE_UNSUPPORTED = 900, UNKNOWN = 999, NO_DEVICE = 100, INVALID_DEVICE = 101 };

// all_devices is how many GPUs there are unless a test says otherwise.
int all_devices() {
  const char *n = getenv("HRM_FAKE_CUDA_DEVICES");
  return n ? atoi(n) : 1;
}

struct State {
  std::recursive_mutex mutex;
  // calls counts them; the one of number fail_at fails, and so does every one of the name fail_name.
  long calls = 0, fail_at = 0;
  std::string fail_name, failed;
  std::vector<std::string> violations;
  std::map<std::string, long> counts;
  // handles are what lives, by what it is; memory is by its address.
  std::map<void *, std::string> handles;
  std::map<u64, Allocation> memory;
  // used is by GPU; each has as much.
  std::map<int, u64> used;
  u64 most = 1ull << 30;
  std::map<char *, u64> pinned;
  int driver_version = 12040, major = 9, minor = 0, devices = all_devices(), retained = 0;
  // capabilities are those of GPUs that differ from the others.
  std::map<int, std::pair<int, int>> capabilities;
  // idle leaves out what kernels and products compute, for what only asks for the calls.
  bool idle = getenv("HRM_FAKE_CUDA_IDLE") != nullptr;
  char *region = nullptr, *next = nullptr;
  std::map<std::string, std::unique_ptr<Kernel>> kernels;
} state;

constexpr u64 REGION = 1ull << 40, PAGE = 4096;
constexpr int MOST_DEVICES = 16;
// contexts are the primary contexts, by GPU.
int contexts[MOST_DEVICES];
thread_local int *current_context;

int current_device() { return current_context - contexts; }

std::string printed(const char *format, ...) {
  char text[512];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  return text;
}

void violation(const std::string &what) { state.violations.push_back(what); }

// begin counts a call, and says whether it is to fail.
bool begin(const char *name) {
  state.calls++;
  state.counts[name]++;
  bool fails = state.calls == state.fail_at || (!state.fail_name.empty() && state.fail_name == name);
  if (fails) state.failed = name;
  return fails;
}

#define LOCK std::lock_guard<std::recursive_mutex> lock(state.mutex)
// CALL begins a function, which returns CODE if it is to fail. RELEASE begins one that does its work all the same: what it was
// told to free is gone, as when the driver reports the failure of something else.
#define CALL(code) LOCK; if (begin(__func__)) return code
#define RELEASE LOCK; int failure = begin(__func__) ? UNKNOWN : 0
// CONTEXT is for what wants the thread's context to be set.
#define CONTEXT if (current_context < contexts || current_context >= contexts + MOST_DEVICES) { violation(std::string(__func__) + " on a thread without the context"); return INVALID_CONTEXT; }

template <class X> void *keep(X *x, const char *kind) {
  state.handles[x] = kind;
  return x;
}

// alive finds what a handle is of.
template <class X> X *alive(void *handle, const char *kind, const char *function) {
  auto it = state.handles.find(handle);
  if (it == state.handles.end() || it->second != kind) {
    violation(printed("%s: this %s does not live", function, kind));
    return nullptr;
  }
  return (X *)handle;
}


template <class X> bool drop(void *handle, const char *kind, const char *function) {
  X *x = alive<X>(handle, kind, function);
  if (!x) return false;
  state.handles.erase(handle);
  delete x;
  return true;
}

bool in_region(u64 p) { return state.region && p >= (u64)state.region && p < (u64)state.region + REGION; }

// inside says whether bytes at an address are all of one allocation of a GPU.
bool inside(u64 p, u64 bytes, const char *function, int device = current_device()) {
  auto it = state.memory.upper_bound(p);
  if (it != state.memory.begin()) {
    --it;
    if (p + bytes <= it->first + it->second.bytes && it->second.device == device) return true;
  }
  violation(printed("%s: %llu bytes at %llx are not the GPU's, or were freed", function, (unsigned long long)bytes, (unsigned long long)p));
  return false;
}

bool is_pinned(const void *p, u64 bytes) {
  for (auto &block : state.pinned)
    if ((char *)p >= block.first && (char *)p + bytes <= block.first + block.second) return true;
  return false;
}

// let_others lets other threads in while this one waits for what they do. The lock is held once.
void let_others() {
  state.mutex.unlock();
  std::this_thread::sleep_for(std::chrono::microseconds(50));
  state.mutex.lock();
}

// drain does all that a stream has to do. Collectives wait for other ranks, and other threads go on meanwhile.
void drain(Stream *s) {
  while (s->busy) let_others();
  s->busy = true;
  while (!s->queue.empty()) {
    Work w = std::move(s->queue.front());
    s->queue.pop_front();
    w.run();
  }
  s->busy = false;
}

// reach does what is queued before an event was recorded for the n-th time.
void reach(Event *e, long n) {
  while (e->happened < n && (e->stream->busy || !e->stream->queue.empty())) {
    if (e->stream->busy) {
      let_others();
      continue;
    }
    Work w = std::move(e->stream->queue.front());
    e->stream->queue.pop_front();
    e->stream->busy = true;
    w.run();
    e->stream->busy = false;
  }
}

// drain_all does what all streams of the current GPU have to do.
void drain_all() {
  std::vector<Stream *> streams;
  for (auto &h : state.handles)
    if (h.second == "stream" && ((Stream *)h.first)->device == current_device()) streams.push_back((Stream *)h.first);
  for (Stream *s : streams)
    if (state.handles.count(s)) drain(s);
}

void launched(Stream *s, Communicator *c);

void add(Stream *s, Work w) {
  if (Stream *c = s->capture()) {
    // The order in which work is added is one in which it may be done.
    c->captured.push_back(std::move(w));
    s->added++;
    return;
  }
  if (w.communicator) launched(s, w.communicator);
  s->queue.push_back(std::move(w));
}

// not_capturing refuses what CUDA does not do while this thread captures a stream.
bool not_capturing(const char *function) {
  for (auto &h : state.handles) {
    if (h.second != "stream") continue;
    Stream *s = (Stream *)h.first;
    if (s->capturing && (s->captured_for_all || s->capturer == std::this_thread::get_id())) {
      violation(std::string(function) + " while a stream is captured");
      return false;
    }
  }
  return true;
}

void settled(const char *function);

} // namespace

#define STREAM(handle) \
  Stream *s = alive<Stream>(handle, "stream", __func__); \
  if (!s) return INVALID_HANDLE; \
  if (s->device != current_device()) { violation(std::string(__func__) + ": the stream is another GPU's"); return INVALID_HANDLE; }
#define NOT_CAPTURING if (!not_capturing(__func__)) return CAPTURE_UNSUPPORTED
// SETTLED is for what may wait for all GPUs of the process, by locks that the driver has for it.
#define SETTLED settled(__func__)

// The driver.

API int cuInit(unsigned) { CALL(UNKNOWN); return state.devices ? 0 : NO_DEVICE; }
API int cuDriverGetVersion(int *v) { CALL(UNKNOWN); *v = state.driver_version; return 0; }
API int cuDeviceGetCount(int *n) { CALL(UNKNOWN); *n = state.devices; return 0; }
API int cuDeviceGet(int *d, int i) {
  CALL(UNKNOWN);
  if (i < 0 || i >= state.devices) return INVALID_DEVICE;
  *d = i;
  return 0;
}
API int cuDeviceGetName(char *name, int n, int d) { CALL(UNKNOWN); snprintf(name, n, "Fake GPU %d", d); return 0; }
API int cuDeviceTotalMem_v2(size_t *n, int) { CALL(UNKNOWN); *n = state.most; return 0; }
API int cuDeviceGetAttribute(int *v, int attribute, int d) {
  CALL(UNKNOWN);
  auto own = state.capabilities.find(d);
  auto capability = own == state.capabilities.end() ? std::make_pair(state.major, state.minor) : own->second;
  switch (attribute) {
  case 16: *v = 4; return 0;
  case 75: *v = capability.first; return 0;
  case 76: *v = capability.second; return 0;
  case 97: *v = 227 << 10; return 0;
  }
  return INVALID_VALUE;
}
API int cuDevicePrimaryCtxRetain(void **c, int device) { CALL(UNKNOWN); state.retained++; *c = contexts + device; return 0; }
API int cuDevicePrimaryCtxRelease_v2(int) {
  RELEASE;
  if (--state.retained < 0) violation("the context is released more often than retained");
  return failure;
}
API int cuCtxSetCurrent(void *c) { CALL(UNKNOWN); current_context = (int *)c; return 0; }
API int cuMemGetInfo_v2(size_t *free, size_t *total) {
  CALL(UNKNOWN); CONTEXT;
  *free = state.most - state.used[current_device()], *total = state.most;
  return 0;
}

API int cuMemAlloc_v2(u64 *p, size_t bytes) {
  CALL(UNKNOWN); CONTEXT; NOT_CAPTURING; SETTLED;
  if (bytes == 0) return INVALID_VALUE;
  u64 &used = state.used[current_device()];
  if (used + bytes > state.most) return OUT_OF_MEMORY;
  if (!state.region) {
    state.region = state.next = (char *)mmap(nullptr, REGION, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (state.region == MAP_FAILED) abort();
  }
  u64 whole = (bytes + 255) / 256 * 256, pages = (whole + PAGE - 1) / PAGE * PAGE;
  char *begin = state.next;
  state.next += pages + PAGE;
  mprotect(begin, pages, PROT_READ | PROT_WRITE);
  *p = (u64)(begin + pages - whole);
  memset((void *)*p, 0xff, std::min<u64>(whole, 1 << 20));
  state.memory[*p] = {bytes, current_device()}, used += bytes;
  return 0;
}
API int cuMemFree_v2(u64 p) {
  RELEASE; CONTEXT; NOT_CAPTURING; SETTLED;
  drain_all();
  auto it = state.memory.find(p);
  if (it == state.memory.end()) {
    violation(printed("cuMemFree_v2: there is no memory at %llx", (unsigned long long)p));
    return INVALID_VALUE;
  }
  u64 begin = p / PAGE * PAGE, pages = (p + it->second.bytes - begin + PAGE - 1) / PAGE * PAGE;
  mprotect((void *)begin, pages, PROT_NONE);
  madvise((void *)begin, pages, MADV_DONTNEED);
  state.used[it->second.device] -= it->second.bytes;
  state.memory.erase(it);
  return failure;
}
API int cuMemAllocHost_v2(void **p, size_t bytes) {
  CALL(OUT_OF_MEMORY); CONTEXT; NOT_CAPTURING; SETTLED;
  *p = malloc(bytes);
  state.pinned[(char *)*p] = bytes;
  return 0;
}
API int cuMemFreeHost(void *p) {
  RELEASE; CONTEXT; SETTLED;
  drain_all();
  if (!state.pinned.erase((char *)p)) violation("cuMemFreeHost: there is no such memory");
  else free(p);
  return failure;
}

API int cuMemcpyHtoDAsync_v2(u64 to, const void *from, size_t bytes, void *stream) {
  CALL(UNKNOWN); CONTEXT;
  STREAM(stream);
  if (!inside(to, bytes, __func__)) return INVALID_VALUE;
  if (!is_pinned(from, bytes)) {
    violation("cuMemcpyHtoDAsync_v2 from memory that is not pinned");
    return INVALID_VALUE;
  }
  add(s, [=] { memcpy((void *)to, from, bytes); });
  return 0;
}
API int cuMemcpyDtoHAsync_v2(void *to, u64 from, size_t bytes, void *stream) {
  CALL(UNKNOWN); CONTEXT;
  STREAM(stream);
  if (!inside(from, bytes, __func__)) return INVALID_VALUE;
  if (!is_pinned(to, bytes)) {
    violation("cuMemcpyDtoHAsync_v2 to memory that is not pinned");
    return INVALID_VALUE;
  }
  add(s, [=] { memcpy(to, (void *)from, bytes); });
  return 0;
}
API int cuMemcpyDtoDAsync_v2(u64 to, u64 from, size_t bytes, void *stream) {
  CALL(UNKNOWN); CONTEXT;
  STREAM(stream);
  if (!inside(to, bytes, __func__) || !inside(from, bytes, __func__)) return INVALID_VALUE;
  add(s, [=] { memmove((void *)to, (void *)from, bytes); });
  return 0;
}
API int cuMemsetD8Async(u64 to, unsigned char value, size_t bytes, void *stream) {
  CALL(UNKNOWN); CONTEXT;
  STREAM(stream);
  if (!inside(to, bytes, __func__)) return INVALID_VALUE;
  add(s, [=] { memset((void *)to, value, bytes); });
  return 0;
}

API int cuStreamCreate(void **s, unsigned) { CALL(UNKNOWN); CONTEXT; *s = keep(new Stream{current_device()}, "stream"); return 0; }
API int cuStreamDestroy_v2(void *stream) {
  RELEASE; CONTEXT;
  STREAM(stream);
  drain(s);
  drop<Stream>(stream, "stream", __func__);
  return failure;
}
API int cuStreamSynchronize(void *stream) {
  CALL(UNKNOWN); CONTEXT; NOT_CAPTURING;
  STREAM(stream);
  drain(s);
  return 0;
}

API int cuEventCreate(void **e, unsigned) { CALL(UNKNOWN); CONTEXT; *e = keep(new Event, "event"); return 0; }
API int cuEventDestroy_v2(void *e) {
  RELEASE; CONTEXT;
  drain_all();
  return drop<Event>(e, "event", __func__) ? failure : (int)INVALID_HANDLE;
}
API int cuEventRecord(void *event, void *stream) {
  CALL(UNKNOWN); CONTEXT;
  STREAM(stream);
  Event *e = alive<Event>(event, "event", __func__);
  if (!e) return INVALID_HANDLE;
  long n = ++e->recorded;
  e->stream = s, e->capture = s->capture(), e->after = s->added;
  add(s, [=] { e->at = std::chrono::steady_clock::now(), e->happened = n; });
  return 0;
}
API int cuEventSynchronize(void *event) {
  CALL(UNKNOWN); CONTEXT; NOT_CAPTURING;
  Event *e = alive<Event>(event, "event", __func__);
  if (!e) return INVALID_HANDLE;
  reach(e, e->recorded);
  return 0;
}
API int cuStreamWaitEvent(void *stream, void *event, unsigned) {
  CALL(UNKNOWN); CONTEXT;
  STREAM(stream);
  Event *e = alive<Event>(event, "event", __func__);
  if (!e) return INVALID_HANDLE;
  long n = e->recorded;
  if (e->capture) {
    if (s != e->capture) s->origin = e->capture;
    else e->stream->joined = e->after + 1;
  } else if (s->capture()) {
    violation("cuStreamWaitEvent in a capture for an event outside of it");
    return CAPTURE_UNSUPPORTED;
  }
  add(s, [=] { reach(e, n); });
  return 0;
}
API int cuEventElapsedTime(float *ms, void *from, void *to) {
  CALL(UNKNOWN); CONTEXT;
  Event *a = alive<Event>(from, "event", __func__), *b = alive<Event>(to, "event", __func__);
  if (!a || !b) return INVALID_HANDLE;
  if (a->happened < a->recorded || b->happened < b->recorded) return NOT_READY;
  *ms = std::chrono::duration<float, std::milli>(b->at - a->at).count();
  return 0;
}

// A "cubin" is a line and the path of a library that the emulation can call.
static const char IMAGE[] = "fake cubin\n";

API int cuModuleLoadData(void **m, const void *image) {
  CALL(UNKNOWN); CONTEXT; NOT_CAPTURING; SETTLED;
  if (strncmp((const char *)image, IMAGE, sizeof IMAGE - 1)) return INVALID_IMAGE;
  const char *path = (const char *)image + sizeof IMAGE - 1;
  // Kernels call the scheduler in this library.
  Dl_info self;
  if (dladdr((void *)&cuInit, &self)) dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fprintf(stderr, "fake driver: %s\n", dlerror());
    return INVALID_IMAGE;
  }
  *m = keep(new Module{library}, "module");
  return 0;
}
API int cuModuleUnload(void *m) {
  RELEASE; CONTEXT;
  drain_all();
  return drop<Module>(m, "module", __func__) ? failure : (int)INVALID_HANDLE;
}
API int cuModuleGetFunction(void **f, void *module, const char *name) {
  CALL(UNKNOWN); CONTEXT;
  Module *m = alive<Module>(module, "module", __func__);
  if (!m) return INVALID_HANDLE;
  auto &k = state.kernels[printed("%p %s", m->library, name)];
  if (!k) {
    k.reset(new Kernel{name, (void (*)(void **))dlsym(m->library, (std::string("call_") + name).c_str()), {}, 48 << 10});
    auto sizes = (int (*)(int *))dlsym(m->library, (std::string("sizes_") + name).c_str());
    if (!k->call || !sizes) {
      k.reset();
      return NOT_FOUND;
    }
    int list[64];
    k->sizes.assign(list, list + sizes(list));
  }
  k->shared = 48 << 10;
  *f = k.get();
  return 0;
}
API int cuFuncSetAttribute(void *f, int attribute, int value) {
  CALL(UNKNOWN); CONTEXT;
  if (attribute != 8 || value > 227 << 10) return INVALID_VALUE;
  ((Kernel *)f)->shared = value;
  return 0;
}

static void run_kernel(const Kernel *k, emulate::Index grid, emulate::Index block, int shared, std::vector<u64> values) {
  using namespace emulate;
  std::vector<void *> addresses;
  for (u64 &v : values) addresses.push_back(&v);
  kernel_name = k->name.c_str();
  kernel = k->call;
  kernel_arguments = addresses.data();
  emulate::launch.grid = grid, emulate::launch.block = block;
  for (u64 i = 0; i < (u64)grid.x * grid.y * grid.z; i++) {
    emulate::launch.at = {(unsigned)(i % grid.x), (unsigned)(i / grid.x % grid.y), (unsigned)(i / grid.x / grid.y)};
    run_block(shared);
  }
}

API int cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                       void *stream, void **parameters, void **) {
  CALL(UNKNOWN); CONTEXT;
  STREAM(stream);
  Kernel *k = (Kernel *)f;
  if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || gx > 0x7fffffffu || !bx || !by || !bz || bx * by * bz > 1024 || (int)shared > k->shared) {
    violation(printed("kernel %s: grid (%u,%u,%u), block (%u,%u,%u), %u bytes of shared memory", k->name.c_str(), gx, gy, gz, bx, by, bz, shared));
    return INVALID_VALUE;
  }
  std::vector<u64> values;
  for (size_t i = 0; i < k->sizes.size(); i++) {
    u64 v = 0;
    memcpy(&v, parameters[i], k->sizes[i]);
    if (k->sizes[i] == 8 && in_region(v) && !inside(v, 1, k->name.c_str())) return INVALID_VALUE;
    values.push_back(v);
  }
  add(s, [=] { if (!state.idle) run_kernel(k, {gx, gy, gz}, {bx, by, bz}, shared, values); });
  return 0;
}

API int cuStreamBeginCapture_v2(void *stream, int mode) {
  CALL(UNKNOWN); CONTEXT;
  STREAM(stream);
  s->capturing = true, s->captured_for_all = mode == 0, s->capturer = std::this_thread::get_id();
  s->captured.clear();
  return 0;
}
API int cuStreamEndCapture(void *stream, void **g) {
  RELEASE; CONTEXT;
  STREAM(stream);
  if (!s->capturing) violation("cuStreamEndCapture of a stream that is not captured");
  s->capturing = false;
  for (auto &h : state.handles) {
    Stream *other = h.second == "stream" ? (Stream *)h.first : nullptr;
    if (!other || other->origin != s) continue;
    other->origin = nullptr;
    if (other->joined < other->added && !failure) violation("cuStreamEndCapture before the stream has waited for another one of its capture");
  }
  for (auto &h : state.handles)
    if (h.second == "event" && ((Event *)h.first)->capture == s) ((Event *)h.first)->capture = nullptr;
  *g = nullptr;
  if (failure) return failure;
  *g = keep(new Graph{s->captured}, "graph");
  return 0;
}
API int cuGraphInstantiateWithFlags(void **e, void *graph, unsigned long long) {
  CALL(UNKNOWN); CONTEXT;
  Graph *g = alive<Graph>(graph, "graph", __func__);
  if (!g) return INVALID_HANDLE;
  *e = keep(new Graph{g->nodes}, "executable graph");
  return 0;
}
API int cuGraphLaunch(void *exec, void *stream) {
  CALL(UNKNOWN); CONTEXT;
  STREAM(stream);
  Graph *e = alive<Graph>(exec, "executable graph", __func__);
  if (!e) return INVALID_HANDLE;
  for (Work &w : e->nodes) add(s, w);
  return 0;
}
API int cuGraphExecDestroy(void *e) { RELEASE; CONTEXT; return drop<Graph>(e, "executable graph", __func__) ? failure : (int)INVALID_HANDLE; }
API int cuGraphDestroy(void *g) { RELEASE; CONTEXT; return drop<Graph>(g, "graph", __func__) ? failure : (int)INVALID_HANDLE; }

static const std::map<int, const char *> result_names = {
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"}, {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"}, {NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"}, {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"}, {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"}, {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"}, {NOT_READY, "CUDA_ERROR_NOT_READY"},
    {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}, {UNKNOWN, "CUDA_ERROR_UNKNOWN"}};

API int cuGetErrorName(int code, const char **name) {
  auto it = result_names.find(code);
  *name = it == result_names.end() ? nullptr : it->second;
  return *name ? 0 : INVALID_VALUE;
}
API int cuGetErrorString(int code, const char **text) {
  *text = code == OUT_OF_MEMORY ? "out of memory" : "as the fake driver was told";
  return 0;
}

// NVRTC: the kernels' prelude is replaced by the emulation's, and the compiler is g++. What it makes is kept beside this
// library under the hash of the source.

static std::string beside(const char *name) {
  Dl_info self;
  dladdr((void *)&cuInit, &self);
  std::string path = self.dli_fname;
  return path.substr(0, path.rfind('/') + 1) + name;
}

static std::string read_file(const std::string &path) {
  std::string all;
  if (FILE *f = fopen(path.c_str(), "r")) {
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) all.append(part, n);
    fclose(f);
  }
  return all;
}

static void write_file(const std::string &path, const std::string &content) {
  if (FILE *f = fopen(path.c_str(), "w")) {
    fwrite(content.data(), 1, content.size(), f);
    fclose(f);
  }
}

constexpr int COMPILATION = 6, INVALID_OPTION = 5, INTERNAL = 11;

API int nvrtcVersion(int *major, int *minor) { CALL(INTERNAL); *major = 12, *minor = 4; return 0; }
API int nvrtcGetNumSupportedArchs(int *n) { CALL(INTERNAL); *n = 4; return 0; }
API int nvrtcGetSupportedArchs(int *archs) {
  CALL(INTERNAL);
  int known[] = {80, 86, 89, 90};
  memcpy(archs, known, sizeof known);
  return 0;
}
API int nvrtcCreateProgram(void **p, const char *source, const char *name, int headers, const char *const *, const char *const *) {
  CALL(INTERNAL);
  if (headers) violation("nvrtcCreateProgram with headers");
  *p = keep(new Program{name, source, "", ""}, "program");
  return 0;
}

// entries are the names of the kernels in a source.
static std::vector<std::string> entries(const std::string &source) {
  std::vector<std::string> names;
  for (size_t at = 0; (at = source.find("\nKERNEL void ", at)) != std::string::npos; at++) {
    size_t from = at + 13;
    if (source.compare(from, 17, "__launch_bounds__") == 0) {
      int depth = 0;
      for (from = source.find('(', from);; from++) {
        depth += (source[from] == '(') - (source[from] == ')');
        if (!depth) break;
      }
      from += 2;
    }
    names.push_back(source.substr(from, source.find('(', from) - from));
  }
  return names;
}

API int nvrtcCompileProgram(void *program, int count, const char *const *options) {
  std::string text, defines;
  Program *p;
  {
    LOCK;
    p = alive<Program>(program, "program", __func__);
    if (!p) return INTERNAL;
    if (begin(__func__)) {
      p->log = "as the fake compiler was told";
      return COMPILATION;
    }
  }
  bool architecture = false;
  for (int i = 0; i < count; i++) {
    std::string o = options[i], define = "--define-macro=";
    if (o.rfind(define, 0) == 0) {
      o = o.substr(define.size());
      size_t equals = o.find('=');
      defines += "#define " + o.substr(0, equals) + " " + (equals == std::string::npos ? "1" : o.substr(equals + 1)) + "\n";
    } else if (o.rfind("--gpu-architecture=sm_", 0) == 0) architecture = true;
    else if (o != "--std=c++17") {
      p->log = "unknown option " + o;
      return INVALID_OPTION;
    }
  }
  std::string real = read_file(beside("prelude.real")), source = p->source;
  size_t at = source.find(real);
  if (!architecture || real.empty() || at == std::string::npos) {
    p->log = "the source has no architecture, or not the prelude that the fake compiler knows";
    return COMPILATION;
  }
  source.replace(at, real.size(), read_file(beside("prelude.cuh")));
  text = defines + source;
  for (const std::string &name : entries(p->source)) text += "EXPORT(" + name + ")\n";
  u64 hash = 14695981039346656037ull;
  for (char c : text) hash = (hash ^ (unsigned char)c) * 1099511628211ull;
  std::string stem = beside(printed("kernels-%016llx", (unsigned long long)hash).c_str()), unique = printed("%s.%d.%p", stem.c_str(), getpid(), p);
  struct stat there;
  if (stat((stem + ".so").c_str(), &there) != 0) {
    write_file(unique + ".cc", text);
    std::string command = "g++ -std=c++17 -O1 -fno-strict-aliasing -ffp-contract=off -fPIC -shared -w -I" + beside("") + " -o " + unique + ".so " +
                          unique + ".cc 2> " + unique + ".log";
    int status = system(command.c_str());
    p->log = read_file(unique + ".log");
    unlink((unique + ".cc").c_str()), unlink((unique + ".log").c_str());
    if (status != 0) return COMPILATION;
    rename((unique + ".so").c_str(), (stem + ".so").c_str());
  }
  p->library = IMAGE + stem + ".so" + '\0';
  return 0;
}
#define PROGRAM Program *p = alive<Program>(program, "program", __func__); if (!p) return INTERNAL
API int nvrtcDestroyProgram(void **p) {
  LOCK;
  int failure = begin(__func__) ? INTERNAL : 0;
  if (!drop<Program>(*p, "program", __func__)) return INTERNAL;
  *p = nullptr;
  return failure;
}
API int nvrtcGetProgramLogSize(void *program, size_t *n) { CALL(INTERNAL); PROGRAM; *n = p->log.size() + 1; return 0; }
API int nvrtcGetProgramLog(void *program, char *log) { CALL(INTERNAL); PROGRAM; memcpy(log, p->log.c_str(), p->log.size() + 1); return 0; }
API int nvrtcGetCUBINSize(void *program, size_t *n) { CALL(INTERNAL); PROGRAM; *n = p->library.size(); return 0; }
API int nvrtcGetCUBIN(void *program, char *code) { CALL(INTERNAL); PROGRAM; memcpy(code, p->library.data(), p->library.size()); return 0; }
API const char *nvrtcGetErrorString(int code) { return code == COMPILATION ? "NVRTC_ERROR_COMPILATION" : code == INVALID_OPTION ? "NVRTC_ERROR_INVALID_OPTION" : "NVRTC_ERROR_INTERNAL_ERROR"; }

// cuBLASLt.

constexpr int BLAS_INVALID = 7, BLAS_INTERNAL = 14, BLAS_UNSUPPORTED = 15, FLOAT32 = 0, BFLOAT16 = 14;

#define BLAS_RELEASE LOCK; int failure = begin(__func__) ? BLAS_INTERNAL : 0
struct Handle {};
API int cublasLtCreate(void **h) { CALL(BLAS_INTERNAL); CONTEXT; *h = keep(new Handle, "handle"); return 0; }
API int cublasLtDestroy(void *h) { BLAS_RELEASE; return drop<Handle>(h, "handle", __func__) ? failure : BLAS_INVALID; }
API size_t cublasLtGetVersion() { return 120405; }
API int cublasLtMatmulDescCreate(void **d, int compute, int scale) {
  CALL(BLAS_INTERNAL);
  if (compute != 68 || scale != FLOAT32) return BLAS_UNSUPPORTED;
  *d = keep(new Descriptor, "product description");
  return 0;
}
API int cublasLtMatmulDescSetAttribute(void *desc, int attribute, const void *value, size_t size) {
  CALL(BLAS_INTERNAL);
  Descriptor *d = alive<Descriptor>(desc, "product description", __func__);
  if (!d || size != 4 || attribute < 3 || attribute > 4) return BLAS_INVALID;
  d->transposed[attribute - 3] = *(const int *)value;
  return 0;
}
API int cublasLtMatmulDescDestroy(void *d) { BLAS_RELEASE; return drop<Descriptor>(d, "product description", __func__) ? failure : BLAS_INVALID; }
API int cublasLtMatrixLayoutCreate(void **l, int type, uint64_t rows, uint64_t cols, int64_t step) {
  CALL(BLAS_INTERNAL);
  if (type != FLOAT32 && type != BFLOAT16) return BLAS_UNSUPPORTED;
  if (!rows || !cols || step < (int64_t)rows) return BLAS_INVALID;
  *l = keep(new Layout{type, rows, cols, step}, "layout");
  return 0;
}
API int cublasLtMatrixLayoutDestroy(void *l) { BLAS_RELEASE; return drop<Layout>(l, "layout", __func__) ? failure : BLAS_INVALID; }
API int cublasLtMatmulPreferenceCreate(void **p) { CALL(BLAS_INTERNAL); *p = keep(new u64(0), "preference"); return 0; }
API int cublasLtMatmulPreferenceSetAttribute(void *p, int attribute, const void *value, size_t size) {
  CALL(BLAS_INTERNAL);
  if (!alive<u64>(p, "preference", __func__)) return BLAS_INVALID;
  if (attribute == 1 && size == 8) *(u64 *)p = *(const u64 *)value;
  else if (attribute < 5 || attribute > 8 || size != 4) return BLAS_INVALID;
  return 0;
}
API int cublasLtMatmulPreferenceDestroy(void *p) { BLAS_RELEASE; return drop<u64>(p, "preference", __func__) ? failure : BLAS_INVALID; }

struct Heuristic {
  u64 algorithm[8], workspace;
  int state;
  float waves;
  int reserved[4];
};
static_assert(sizeof(Heuristic) == 96, "cublasLtMatmulHeuristicResult_t has 96 bytes");

// sizes checks the shapes of a product.
static bool fits(const Descriptor *d, const Layout *a, const Layout *b, const Layout *out) {
  u64 m = d->transposed[0] ? a->cols : a->rows, k = d->transposed[0] ? a->rows : a->cols;
  u64 k2 = d->transposed[1] ? b->cols : b->rows, n = d->transposed[1] ? b->rows : b->cols;
  return k == k2 && m == out->rows && n == out->cols && a->type == b->type;
}

#define PRODUCT \
  Descriptor *d = alive<Descriptor>(desc, "product description", __func__); \
  Layout *a = alive<Layout>(la, "layout", __func__), *b = alive<Layout>(lb, "layout", __func__), *c = alive<Layout>(lc, "layout", __func__), \
         *out = alive<Layout>(ld, "layout", __func__); \
  if (!alive<Handle>(h, "handle", __func__) || !d || !a || !b || !c || !out) return BLAS_INVALID; \
  if (!fits(d, a, b, out) || c->type != out->type || c->rows != out->rows) { \
    violation(std::string(__func__) + ": the shapes do not fit"); \
    return BLAS_INVALID; \
  }

API int cublasLtMatmulAlgoGetHeuristic(void *h, void *desc, void *la, void *lb, void *lc, void *ld, void *preference, int want, Heuristic *found, int *n) {
  CALL(BLAS_INTERNAL);
  PRODUCT;
  if (!alive<u64>(preference, "preference", __func__) || want < 1) return BLAS_INVALID;
  memset(found, 0, sizeof *found);
  found->algorithm[0] = 0x616c676f;
  found->workspace = std::min<u64>(*(u64 *)preference, 4096);
  *n = 1;
  return 0;
}

static float number(const char *p, int type, u64 i) {
  if (type == FLOAT32) return ((const float *)p)[i];
  unsigned bits = (unsigned)((const unsigned short *)p)[i] << 16;
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

static void store(char *p, int type, u64 i, float x) {
  if (type == FLOAT32) {
    ((float *)p)[i] = x;
    return;
  }
  unsigned bits;
  memcpy(&bits, &x, 4);
  ((unsigned short *)p)[i] = x != x ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static void multiply(Descriptor d, Layout a, Layout b, Layout out, float alpha, float beta, const char *pa, const char *pb, char *to) {
  u64 depth = d.transposed[0] ? a.rows : a.cols;
  std::vector<float> row(depth * out.rows), column(depth);
  for (u64 i = 0; i < out.rows; i++)
    for (u64 k = 0; k < depth; k++) row[i * depth + k] = number(pa, a.type, d.transposed[0] ? k + i * a.step : i + k * a.step);
  for (u64 j = 0; j < out.cols; j++) {
    for (u64 k = 0; k < depth; k++) column[k] = number(pb, b.type, d.transposed[1] ? j + k * b.step : k + j * b.step);
    for (u64 i = 0; i < out.rows; i++) {
      double sum = 0;
      for (u64 k = 0; k < depth; k++) sum += (double)row[i * depth + k] * column[k];
      u64 at = i + j * out.step;
      // With β = 0 what stands there is not read, be it NaN.
      store(to, out.type, at, (float)(alpha * sum + (beta ? beta * (double)number(to, out.type, at) : 0)));
    }
  }
}

API int cublasLtMatmul(void *h, void *desc, const float *alpha, u64 pa, void *la, u64 pb, void *lb, const float *beta, u64 pc, void *lc, u64 pd, void *ld,
                       const u64 *algorithm, u64 workspace, size_t workspace_bytes, void *stream) {
  CALL(BLAS_INTERNAL);
  CONTEXT;
  PRODUCT;
  STREAM(stream);
  auto bytes = [](Layout *l) { return (l->step * (l->cols - 1) + l->rows) * (l->type == FLOAT32 ? 4 : 2); };
  if (!inside(pa, bytes(a), "matrix A") || !inside(pb, bytes(b), "matrix B") || !inside(pd, bytes(out), "matrix D") || !inside(workspace, workspace_bytes, "workspace"))
    return BLAS_INVALID;
  if (pc != pd || algorithm[0] != 0x616c676f) violation("cublasLtMatmul: C is not D, or the algorithm is not one that was found");
  Descriptor dd = *d;
  Layout aa = *a, bb = *b, oo = *out;
  float x = *alpha, y = *beta;
  add(s, [=] { if (!state.idle) multiply(dd, aa, bb, oo, x, y, (const char *)pa, (const char *)pb, (char *)pd); });
  return 0;
}

#include "nccl.cc"

// What tests ask and tell.

static std::string answer;

API void fake_reset() {
  LOCK;
  reset_nccl();
  state.calls = state.fail_at = 0;
  state.fail_name = state.failed = "";
  state.violations.clear();
  state.counts.clear();
  state.capabilities.clear();
  state.idle = false, state.most = 1ull << 30, state.driver_version = 12040, state.major = 9, state.minor = 0, state.devices = all_devices();
}
API void fake_fail_at(long n) { LOCK; state.fail_at = n; }
API void fake_fail(const char *name) { LOCK; state.fail_name = name; }
API const char *fake_failed() { LOCK; answer = state.failed; return answer.c_str(); }
API long fake_calls() { LOCK; return state.calls; }
API long fake_count(const char *name) { LOCK; return state.counts[name]; }
API void fake_set_idle(bool idle) { LOCK; state.idle = idle; }
API void fake_set_memory(u64 bytes) { LOCK; state.most = bytes; }
API void fake_set_gpu(int devices, int major, int minor, int driver_version) {
  LOCK;
  state.devices = devices, state.major = major, state.minor = minor, state.driver_version = driver_version;
}
API void fake_set_capability(int device, int major, int minor) { LOCK; state.capabilities[device] = {major, minor}; }
API const char *fake_violations() {
  LOCK;
  answer = "";
  for (auto &v : state.violations) answer += v + "\n";
  return answer.c_str();
}
// fake_alive lists what has not been freed.
API const char *fake_alive() {
  LOCK;
  answer = "";
  for (auto &h : state.handles) answer += h.second + "\n";
  for (auto &m : state.memory) answer += printed("%llu bytes of the GPU\n", (unsigned long long)m.second.bytes);
  for (auto &m : state.pinned) answer += printed("%llu pinned bytes\n", (unsigned long long)m.second);
  if (state.retained) answer += "the context\n";
  return answer.c_str();
}
