// The emulated device: reads jobs (buffers and launches) from standard input, runs them, and answers with the buffers.
//
// Every buffer is a heap block of exactly its size, and so is shared memory, which is full of NaN when a block begins:
// AddressSanitizer sees every access outside, and what is read before it is written shows in the results.
#include <dlfcn.h>
#include <sanitizer/common_interface_defs.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "emulate.h"

extern "C" const char *__asan_default_options() { return "redzone=256:max_redzone=2048:detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=0"; }
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
  ucontext_t context;
  char *stack = nullptr;
  void *fake_stack = nullptr;
  Index at;
  int number;
  State state;
  const char *operation;
  unsigned mask;
  const void *argument;
  void *result;
  std::vector<Copy> copies;
};

std::vector<Thread> threads;
std::vector<int> ready;
Thread *running;
ucontext_t scheduler;
void *scheduler_fake_stack;
const void *scheduler_stack;
size_t scheduler_stack_size;
std::mt19937_64 random_source;
void (*kernel)(void **);
void **kernel_arguments;
const char *kernel_name = "";
int at_barrier, done;

// give_way goes back to the scheduler.
void give_way() {
  Thread *self = running;
  bool last = self->state == State::done;
  __sanitizer_start_switch_fiber(last ? nullptr : &self->fake_stack, scheduler_stack, scheduler_stack_size);
  swapcontext(&self->context, &scheduler);
  __sanitizer_finish_switch_fiber(self->fake_stack, nullptr, nullptr);
}

void resume(Thread *t) {
  running = t;
  thread = t->at;
  lane = t->number % 32;
  __sanitizer_start_switch_fiber(&scheduler_fake_stack, t->stack, STACK);
  swapcontext(&scheduler, &t->context);
  __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
}

void body() {
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_size);
  kernel(kernel_arguments);
  if (!running->copies.empty()) fail("a thread ends before its copies have arrived");
  running->state = State::done;
  done++;
  give_way();
}

void make_ready(Thread *t) {
  t->state = State::ready;
  ready.push_back(t->number);
}

void start(int number) {
  Thread &t = threads[number];
  if (!t.stack) t.stack = (char *)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  Index size = launch.block;
  t.number = number;
  t.at = {number % size.x, number / size.x % size.y, number / size.x / size.y};
  t.fake_stack = nullptr;
  getcontext(&t.context);
  t.context.uc_stack.ss_sp = t.stack;
  t.context.uc_stack.ss_size = STACK;
  t.context.uc_link = nullptr;
  makecontext(&t.context, body, 0);
  make_ready(&t);
}

// stuck tells which threads wait for what.
[[noreturn]] void stuck() {
  fprintf(stderr, "kernel %s, block (%u,%u,%u): the threads wait for each other for ever\n", kernel_name, launch.at.x, launch.at.y, launch.at.z);
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
  ready.clear();
  at_barrier = done = 0;
  for (int i = 0; i < count; i++) start(i);
  while (done < count) {
    if (ready.empty()) stuck();
    size_t pick = random_source() % ready.size();
    int number = ready[pick];
    ready[pick] = ready.back();
    ready.pop_back();
    resume(&threads[number]);
  }
  free(launch.shared);
}

} // namespace

void fail(const char *what) {
  fprintf(stderr, "kernel %s, block (%u,%u,%u), thread (%u,%u,%u): %s\n", kernel_name, launch.at.x, launch.at.y, launch.at.z, thread.x, thread.y, thread.z, what);
  _exit(1);
}

void block_barrier() {
  running->state = State::at_barrier;
  if (++at_barrier == (int)threads.size()) {
    at_barrier = 0;
    for (Thread &t : threads) make_ready(&t);
  }
  give_way();
}

void together(const char *operation, unsigned mask, const void *argument, void *result, void (*compute)(const void *const *, void *const *)) {
  if (mask != 0xffffffffu) fail("the lanes of a warp meet in part; kernels use whole warps");
  Thread *self = running;
  self->state = State::in_warp;
  self->operation = operation, self->argument = argument, self->result = result;
  Thread *warp = &threads[self->number / 32 * 32];
  bool complete = true;
  for (int i = 0; i < 32; i++) complete = complete && warp[i].state == State::in_warp;
  if (complete) {
    const void *arguments[32];
    void *results[32];
    for (int i = 0; i < 32; i++) {
      if (strcmp(warp[i].operation, operation) != 0) fail("the lanes of a warp meet at different operations");
      arguments[i] = warp[i].argument, results[i] = warp[i].result;
    }
    compute(arguments, results);
    for (int i = 0; i < 32; i++) make_ready(&warp[i]);
  }
  give_way();
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
  std::vector<uint64_t> order((size_t)grid.x * grid.y * grid.z);
  for (size_t i = 0; i < order.size(); i++) order[i] = i;
  std::shuffle(order.begin(), order.end(), random_source);
  for (uint64_t i : order) {
    launch.at = {(unsigned)(i % grid.x), (unsigned)(i / grid.x % grid.y), (unsigned)(i / grid.x / grid.y)};
    run_block(shared_bytes);
  }
}

// A job: seed, blocks, places in them that hold addresses of blocks, launches.
void run_job() {
  random_source.seed(read_number<uint64_t>());
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
