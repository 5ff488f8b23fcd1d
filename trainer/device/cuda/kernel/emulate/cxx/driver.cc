// The emulated device: reads jobs (buffers and launches) from standard input, runs them, and answers with the buffers.
//
// Every buffer is a heap block of exactly its size, and so is shared memory, which is full of NaN when a block begins:
// AddressSanitizer sees every access outside, and what is read before it is written shows in the results.
#include <dlfcn.h>
#include <sanitizer/common_interface_defs.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "emulate.h"

extern "C" const char *__asan_default_options() {
  return "redzone=256:max_redzone=2048:detect_leaks=0:detect_stack_use_after_return=0";
}
extern "C" const char *__ubsan_default_options() { return "print_stacktrace=1:halt_on_error=1"; }

namespace emulate {

Launch launch;
Index thread;
int lane;

namespace {

constexpr size_t STACK = 256 << 10;
constexpr int POISON = 0xff;

enum class State { ready, at_barrier, in_warp, done };

struct Copy {
  void *to;
  const void *from;
  bool wanted;
};

struct Thread {
  void *stack_pointer;
  char *stack = nullptr;
  void *fake_stack = nullptr;
  Index at;
  int number;
  State state;
  const char *operation;
  const void *argument;
  void *result;
  std::vector<Copy> copies;
};

std::vector<Thread> threads;
// ready are the threads of each warp that can run; order is a random order of the warps.
std::vector<std::vector<int>> ready;
std::vector<int> order;
// greedy lets one warp run as far as it gets before another one begins.
bool greedy;
// arrived counts the lanes of each warp that wait for the others.
std::vector<int> arrived;
Thread *running;
void *scheduler_pointer, *scheduler_fake_stack;
const void *scheduler_stack;
size_t scheduler_stack_size;
uint64_t random_state;
void (*kernel)(void **);
void **kernel_arguments;
const char *kernel_name = "";
int at_barrier, done;

// draw is splitmix64.
uint64_t draw() {
  uint64_t z = random_state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

template <class X> void shuffle_order(std::vector<X> &list) {
  for (size_t i = list.size(); i > 1; i--) std::swap(list[i - 1], list[draw() % i]);
}

// swap_stacks saves the registers that a function must keep on the stack, and goes on where those of `to` were saved.
extern "C" void swap_stacks(void **from, void *to);
#if defined(__x86_64__)
constexpr int SAVED = 6, ENTRY = 6;
asm(R"(
swap_stacks:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
)");
#elif defined(__aarch64__)
constexpr int SAVED = 20, ENTRY = 11;
asm(R"(
swap_stacks:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x2, sp
  str x2, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");
#else
#error "the emulation switches stacks on x86-64 and arm64 only"
#endif

// next_warp chooses a warp that can run: at random, or the first in order if greedy. -1 if none can.
int next_warp() {
  size_t shift = greedy ? 0 : draw() % order.size();
  for (size_t i = 0; i < order.size(); i++) {
    int w = order[(i + shift) % order.size()];
    if (!ready[w].empty()) return w;
  }
  return -1;
}

// next takes a random thread of a warp that can run; null if all wait.
Thread *next() {
  int w = next_warp();
  if (w < 0) return nullptr;
  std::vector<int> &list = ready[w];
  std::swap(list[draw() % list.size()], list.back());
  Thread *t = &threads[list.back()];
  list.pop_back();
  running = t;
  thread = t->at;
  lane = t->number % 32;
  return t;
}

// give_way lets another thread run, or the scheduler if none can.
void give_way(Thread *self) {
  Thread *t = next();
  if (t == self) return;
  bool last = self->state == State::done;
  __sanitizer_start_switch_fiber(last ? nullptr : &self->fake_stack, t ? t->stack : scheduler_stack, t ? STACK : scheduler_stack_size);
  swap_stacks(&self->stack_pointer, t ? t->stack_pointer : scheduler_pointer);
  __sanitizer_finish_switch_fiber(self->fake_stack, nullptr, nullptr);
}

[[noreturn]] void stuck();

// run_ready runs threads until all wait or have ended.
void run_ready() {
  Thread *t = next();
  if (!t) stuck();
  __sanitizer_start_switch_fiber(&scheduler_fake_stack, t->stack, STACK);
  swap_stacks(&scheduler_pointer, t->stack_pointer);
  __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
}

void body() {
  const void *from;
  size_t size;
  __sanitizer_finish_switch_fiber(nullptr, &from, &size);
  if (!scheduler_stack) scheduler_stack = from, scheduler_stack_size = size;
  Thread *self = running;
  kernel(kernel_arguments);
  if (!self->copies.empty()) fail("a thread ends before its copies have arrived");
  self->state = State::done;
  done++;
  give_way(self);
  __builtin_unreachable();
}

void make_ready(Thread *t) {
  t->state = State::ready;
  ready[t->number / 32].push_back(t->number);
}

void start(int number) {
  Thread &t = threads[number];
  if (!t.stack) t.stack = (char *)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  Index size = launch.block;
  t.number = number;
  t.at = {number % size.x, number / size.x % size.y, number / size.x / size.y};
  t.fake_stack = nullptr;
  void **top = (void **)(t.stack + STACK) - 2;
  *top = (void *)body;
  if (ENTRY < SAVED) top[ENTRY - SAVED] = (void *)body;
  t.stack_pointer = top - SAVED;
  make_ready(&t);
}

// stuck tells which threads wait for what.
[[noreturn]] void stuck() {
  fprintf(stderr, "kernel %s, block (%u,%u,%u): the threads wait for each other for ever\n", kernel_name,
          launch.at.x, launch.at.y, launch.at.z);
  for (Thread &t : threads) {
    const char *where = t.state == State::done ? "has ended" : t.state == State::at_barrier ? "__syncthreads" : t.operation;
    fprintf(stderr, "  thread %d: %s\n", t.number, where);
  }
  _exit(1);
}

void run_block(int shared_bytes) {
  int count = launch.block.x * launch.block.y * launch.block.z;
  launch.shared = (char *)aligned_alloc(16, shared_bytes);
  memset(launch.shared, POISON, shared_bytes);
  if ((int)threads.size() != count) {
    for (Thread &t : threads)
      if (t.stack) munmap(t.stack, STACK);
    threads = std::vector<Thread>(count);
  }
  int warps = (count + 31) / 32;
  ready.assign(warps, {});
  arrived.assign(warps, 0);
  order.resize(warps);
  for (int i = 0; i < warps; i++) order[i] = i;
  shuffle_order(order);
  at_barrier = done = 0;
  for (int i = 0; i < count; i++) start(i);
  while (done < count) run_ready();
  free(launch.shared);
}

} // namespace

void fail(const char *what) {
  fprintf(stderr, "kernel %s, block (%u,%u,%u), thread (%u,%u,%u): %s\n", kernel_name,
          launch.at.x, launch.at.y, launch.at.z, thread.x, thread.y, thread.z, what);
  _exit(1);
}

void block_barrier() {
  Thread *self = running;
  self->state = State::at_barrier;
  if (++at_barrier == (int)threads.size()) {
    at_barrier = 0;
    for (Thread &t : threads) make_ready(&t);
  }
  give_way(self);
}

void together(const char *operation, unsigned mask, const void *argument, void *result,
              void (*compute)(const void *const *, void *const *)) {
  if (mask != 0xffffffffu) fail("the lanes of a warp meet in part; kernels use whole warps");
  Thread *self = running;
  self->state = State::in_warp;
  self->operation = operation, self->argument = argument, self->result = result;
  if (++arrived[self->number / 32] == 32) {
    arrived[self->number / 32] = 0;
    Thread *warp = &threads[self->number / 32 * 32];
    const void *arguments[32];
    void *results[32];
    for (int i = 0; i < 32; i++) {
      if (warp[i].operation != operation && strcmp(warp[i].operation, operation) != 0)
        fail("the lanes of a warp meet at different operations");
      arguments[i] = warp[i].argument, results[i] = warp[i].result;
    }
    compute(arguments, results);
    for (int i = 0; i < 32; i++) make_ready(&warp[i]);
  }
  give_way(self);
}

void begin_copy(void *to, const void *from, bool wanted) {
  memset(to, POISON, 16);
  running->copies.push_back({to, from, wanted});
}

void finish_copies() {
  for (Copy &c : running->copies) {
    if (c.wanted) memcpy(c.to, c.from, 16);
    else memset(c.to, 0, 16);
  }
  running->copies.clear();
}

namespace {

// What follows reads a job; job.go writes it. Numbers are little-endian.
void read_bytes(void *to, size_t n) {
  if (n && fread(to, 1, n, stdin) != n) _exit(0);
}

template <class X> X read_number() {
  X x;
  read_bytes(&x, sizeof x);
  return x;
}

std::string read_string() {
  std::string s(read_number<uint32_t>(), 0);
  read_bytes(&s[0], s.size());
  return s;
}

struct Block {
  char *memory;
  size_t size;
};

Block read_block() {
  Block b;
  b.size = read_number<uint64_t>();
  b.memory = (char *)malloc(b.size);
  read_bytes(b.memory, b.size);
  return b;
}

struct Function {
  void (*call)(void **);
  std::vector<int> sizes;
};

Function find(const std::string &library, const std::string &name) {
  static std::map<std::string, Function> known;
  Function &f = known[library + " " + name];
  if (f.call) return f;
  void *handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    fprintf(stderr, "%s\n", dlerror());
    _exit(1);
  }
  f.call = (void (*)(void **))dlsym(handle, ("call_" + name).c_str());
  auto sizes = (int (*)(int *))dlsym(handle, ("sizes_" + name).c_str());
  if (!f.call || !sizes) {
    fprintf(stderr, "there is no kernel %s in %s\n", name.c_str(), library.c_str());
    _exit(1);
  }
  int list[64];
  f.sizes.assign(list, list + sizes(list));
  return f;
}

struct Arguments {
  std::vector<uint64_t> values;
  std::vector<void *> addresses;
};

// An argument is its size and 8 bytes, or the address of a block (size 0: its number and an offset).
Arguments read_arguments(const Function &f, const std::vector<Block> &blocks) {
  Arguments a;
  a.values.resize(read_number<uint32_t>());
  if (a.values.size() != f.sizes.size()) {
    fprintf(stderr, "kernel %s takes %zu arguments and is given %zu\n", kernel_name, f.sizes.size(), a.values.size());
    _exit(1);
  }
  for (size_t i = 0; i < a.values.size(); i++) {
    uint32_t size = read_number<uint32_t>();
    a.values[i] = read_number<uint64_t>();
    if (size == 0) {
      uint32_t block = a.values[i];
      a.values[i] = (uint64_t)(blocks.at(block).memory + read_number<uint64_t>());
      size = 8;
    }
    if ((int)size != f.sizes[i]) {
      fprintf(stderr, "argument %zu of kernel %s has %d bytes and is given %u\n", i, kernel_name, f.sizes[i], size);
      _exit(1);
    }
    a.addresses.push_back(&a.values[i]);
  }
  return a;
}

Index read_index() {
  Index i;
  i.x = read_number<uint32_t>(), i.y = read_number<uint32_t>(), i.z = read_number<uint32_t>();
  return i;
}

void run_launch(const std::vector<Block> &blocks) {
  std::string library = read_string(), name = read_string();
  Index grid = read_index(), block = read_index();
  uint32_t shared_bytes = read_number<uint32_t>();
  Function f = find(library, name);
  kernel_name = name.c_str();
  Arguments arguments = read_arguments(f, blocks);
  kernel = f.call;
  kernel_arguments = arguments.addresses.data();
  launch.grid = grid, launch.block = block;
  std::vector<uint64_t> blocks_order((size_t)grid.x * grid.y * grid.z);
  for (size_t i = 0; i < blocks_order.size(); i++) blocks_order[i] = i;
  shuffle_order(blocks_order);
  for (uint64_t i : blocks_order) {
    launch.at = {(unsigned)(i % grid.x), (unsigned)(i / grid.x % grid.y), (unsigned)(i / grid.x / grid.y)};
    run_block(shared_bytes);
  }
}

// A job: seed, blocks, places in them that hold addresses of blocks, launches.
void run_job() {
  random_state = read_number<uint64_t>();
  greedy = random_state % 2;
  std::vector<Block> blocks(read_number<uint32_t>());
  for (Block &b : blocks) b = read_block();
  for (uint32_t n = read_number<uint32_t>(); n > 0; n--) {
    uint32_t block = read_number<uint32_t>();
    uint64_t at = read_number<uint64_t>();
    uint32_t target = read_number<uint32_t>();
    memcpy(blocks.at(block).memory + at, &blocks.at(target).memory, 8);
  }
  for (uint32_t n = read_number<uint32_t>(); n > 0; n--) run_launch(blocks);
  for (Block &b : blocks) {
    fwrite(b.memory, 1, b.size, stdout);
    free(b.memory);
  }
  fflush(stdout);
}

} // namespace
} // namespace emulate

int main() {
  for (;;) emulate::run_job();
}
