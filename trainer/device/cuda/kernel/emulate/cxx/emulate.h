// Runs kernels on the processor: the threads of a block are coroutines which a scheduler resumes in random order.
//
// A thread gives way only where threads meet (barriers, and what the lanes of a warp do together), so what it does between
// two of them happens at once and in any order: a kernel that needs another order gives other results under another seed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace emulate {

struct Index {
  unsigned x, y, z;
};

// Launch is what all threads of a launch see.
struct Launch {
  Index grid, block, at;
  char *shared;
};
extern Launch launch;

// thread is where the running thread is in its block; lane is its place in its warp.
extern Index thread;
extern int lane;

// fail ends the process with a message about the running thread.
[[noreturn]] void fail(const char *what);

// block_barrier waits for all threads of the block.
void block_barrier();

// together waits until all 32 lanes of the warp have come to the same operation, and then computes it for all of them: do is
// called once, with the 32 arguments and places for the 32 results, in the order of the lanes.
void together(const char *operation, unsigned mask, const void *argument, void *result, void (*compute)(const void *const *arguments, void *const *results));

// A copy that has begun arrives at an unknown time before it is waited for.
void begin_copy(void *to, const void *from, bool wanted);
void finish_copies();

template <class X> struct Shuffle {
  X value;
  int from;
};

template <class X> X shuffle(const char *operation, unsigned mask, X value, int from) {
  Shuffle<X> argument{value, from};
  X result{};
  together(operation, mask, &argument, &result, [](const void *const *arguments, void *const *results) {
    for (int i = 0; i < 32; i++) *(X *)results[i] = ((const Shuffle<X> *)arguments[((const Shuffle<X> *)arguments[i])->from])->value;
  });
  return result;
}

// call runs a kernel with arguments as cuLaunchKernel has them: the address of each.
template <class... A, size_t... I> void call(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
  kernel(*(std::remove_cv_t<A> *)arguments[I]...);
}
template <class... A> void call(void (*kernel)(A...), void **arguments) { call(kernel, arguments,
                                std::index_sequence_for<A...>{}); }

// sizes returns how many arguments a kernel has, and the size of each.
template <class... A> int sizes(void (*)(A...), int *to) {
  int list[] = {(int)sizeof(A)...};
  memcpy(to, list, sizeof list);
  return sizeof...(A);
}

} // namespace emulate

// EXPORT makes a kernel known to the driver by its name.
#define EXPORT(name)                                                                             \
  extern "C" void call_##name(void **arguments) { emulate::call(name, arguments); }              \
  extern "C" int sizes_##name(int *to) { return emulate::sizes(name, to); }
