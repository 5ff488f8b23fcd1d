// The stand-in for libnccl. The ranks of a communicator, in one process or in several, meet in a file that all of them map:
// each puts its numbers there, and adds up what all have put in the order of the ranks. A collective is done when its stream
// is waited for, as all else here, and ends when all ranks have come to it; a rank that never comes is waited for until the
// communicator is aborted.
#include <fcntl.h>

#include <atomic>

namespace {

constexpr int NCCL_CUDA = 1, NCCL_SYSTEM = 2, NCCL_INTERNAL = 3, NCCL_ARGUMENT = 4, NCCL_USAGE = 5;
constexpr int NCCL_INT8 = 0, NCCL_INT32 = 2, NCCL_FLOAT32 = 7, NCCL_SUM = 0, NCCL_MIN = 3, NCCL_GATHER = -1;
constexpr int MOST_RANKS = 32;
// CHUNK is how many bytes a rank shows the others at once.
constexpr size_t CHUNK = 64 << 10;

struct UniqueId {
  char internal[128];
};

// Operation is what a rank calls: all must call the same.
struct Operation {
  int type, reduction;
  u64 count;
  bool operator!=(const Operation &o) const { return type != o.type || reduction != o.reduction || count != o.count; }
};

// Meeting is the file.
struct Meeting {
  struct Place {
    int process, device;
    // shown counts the chunks that the rank has put into data, seen those of all ranks that it has read.
    std::atomic<u64> shown, seen;
    Operation operation;
    char data[CHUNK];
  };
  std::atomic<int> size, arrived;
  Place places[MOST_RANKS];
};

struct Communicator {
  std::string id;
  Meeting *meeting;
  int rank, size, device;
  u64 chunks = 0;
  // launches counts the collectives that streams were given, since when the last of them waits in stream.
  long launches = 0;
  Stream *stream = nullptr;
  std::chrono::steady_clock::time_point since;
  bool aborted = false, freed = false;
  std::thread worker;
};

struct {
  int version = 22304, broken = 0;
  long generation = 0;
  // identifiers are those that this process gave, of which each had a file.
  std::vector<std::string> identifiers;
  std::string last_error;
} nccl;

std::string file_of(const std::string &id) { return "/dev/shm/hrm-fake-nccl-" + id; }

// group_depth counts the groups that the thread has begun; grouped are the calls in them, group_error what has failed there.
thread_local int group_depth, group_error;
struct Grouped {
  Stream *stream;
  Work work;
  u64 to, bytes;
};
thread_local std::vector<Grouped> grouped;

void reset_nccl() {
  nccl.version = 22304, nccl.broken = 0, nccl.generation++;
  nccl.last_error = "";
  for (auto &id : nccl.identifiers) unlink(file_of(id).c_str());
  nccl.identifiers.clear();
}

std::vector<Communicator *> communicators() {
  std::vector<Communicator *> all;
  for (auto &h : state.handles)
    if (h.second == "communicator") all.push_back((Communicator *)h.first);
  return all;
}

// settled finds calls that on real GPUs may wait for ever: for a collective of one GPU of this process, which waits for that of
// another, whose thread waits for a lock that the call has.
void settled(const char *function) {
  for (Communicator *a : communicators())
    for (Communicator *b : communicators())
      if (a->id == b->id && !a->aborted && !b->aborted && a->launches > b->launches) {
        violation(printed("%s while GPU %d has a collective that GPU %d of this process has not been given", function, a->device, b->device));
        return;
      }
}

void launched(Stream *s, Communicator *c) {
  c->launches++;
  c->stream = s, c->since = std::chrono::steady_clock::now();
}

// await waits until a condition holds; false if the communicator is aborted before.
template <class F> bool await(Communicator *c, F condition) {
  while (!condition()) {
    if (c->aborted) return false;
    let_others();
  }
  return !c->aborted;
}

// all says whether something holds for every rank.
template <class F> bool all(Communicator *c, F condition) {
  for (int r = 0; r < c->size; r++)
    if (!condition(c->meeting->places[r])) return false;
  return true;
}

template <class X> void reduce(Communicator *c, int reduction, u64 count, X *to) {
  for (u64 i = 0; i < count; i++) {
    X sum = ((const X *)c->meeting->places[0].data)[i];
    for (int r = 1; r < c->size; r++) {
      X x = ((const X *)c->meeting->places[r].data)[i];
      sum = reduction == NCCL_SUM ? sum + x : std::min(sum, x);
    }
    to[i] = sum;
  }
}

// exchange does a chunk: shows the other ranks own, and takes what they show. False if that cannot be done.
bool exchange(Communicator *c, const Operation &o, const char *own, char *to, u64 bytes, u64 stride) {
  Meeting::Place &mine = c->meeting->places[c->rank];
  u64 chunk = ++c->chunks;
  if (!await(c, [=] { return !nccl.broken && all(c, [=](Meeting::Place &p) { return p.seen >= chunk - 1; }); })) return false;
  memcpy(mine.data, own, bytes);
  mine.operation = o;
  mine.shown = chunk;
  if (!await(c, [=] { return all(c, [=](Meeting::Place &p) { return p.shown >= chunk; }); })) return false;
  bool same = all(c, [=](Meeting::Place &p) { return !(p.operation != c->meeting->places[0].operation); });
  if (!same) {
    violation(printed("rank %d of %d: the ranks have come to different collectives", c->rank, c->size));
    await(c, [] { return false; });
    return false;
  }
  if (o.reduction == NCCL_GATHER) {
    for (int r = 0; r < c->size; r++) memcpy(to + r * stride, c->meeting->places[r].data, bytes);
  } else if (o.type == NCCL_FLOAT32) {
    reduce(c, o.reduction, bytes / 4, (float *)to);
  } else {
    reduce(c, o.reduction, bytes / 4, (int *)to);
  }
  mine.seen = chunk;
  return true;
}

void collective(Communicator *c, const Operation &o, u64 send, u64 receive) {
  u64 bytes = o.count * (o.type == NCCL_INT8 ? 1 : 4), received = o.reduction == NCCL_GATHER ? c->size * bytes : bytes;
  if (c->aborted) return;
  if (c->freed) {
    violation("a collective of a communicator that was destroyed");
    return;
  }
  if (!inside(send, bytes, "collective", c->device) || !inside(receive, received, "collective", c->device)) return;
  u64 at = 0;
  do {
    u64 n = std::min<u64>(CHUNK, bytes - at);
    if (!exchange(c, o, (const char *)send + at, (char *)receive + at, n, bytes)) return;
    at += n;
  } while (at < bytes);
}

// serve does the work of a stream whose collective has waited for long: the other ranks wait for it, be this one's thread busy
// with something else.
void serve(Communicator *c) {
  LOCK;
  while (!c->freed) {
    let_others();
    Stream *s = c->stream;
    if (!s || !state.handles.count(s) || s->busy || s->queue.empty()) continue;
    if (std::chrono::steady_clock::now() - c->since > std::chrono::milliseconds(20)) drain(s);
  }
}

// graphs says whether a graph has a collective of the communicator.
bool in_graphs(Communicator *c) {
  auto has = [=](const std::vector<Work> &works) {
    return std::any_of(works.begin(), works.end(), [=](const Work &w) { return w.communicator == c; });
  };
  for (auto &h : state.handles) {
    if ((h.second == "graph" || h.second == "executable graph") && has(((Graph *)h.first)->nodes)) return true;
    if (h.second == "stream" && ((Stream *)h.first)->capturing && has(((Stream *)h.first)->captured)) return true;
  }
  return false;
}

// leave frees a communicator. Its memory stays: works that are queued name it.
void leave(Communicator *c) {
  c->freed = true;
  state.handles.erase(c);
  state.mutex.unlock();
  c->worker.join();
  state.mutex.lock();
}

// attach maps the file of an identifier.
Meeting *attach(const char *id, int flags) {
  int file = open(file_of(id).c_str(), O_RDWR | flags, 0600);
  if (file < 0 || ftruncate(file, sizeof(Meeting)) != 0) return nullptr;
  void *p = mmap(nullptr, sizeof(Meeting), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  return p == MAP_FAILED ? nullptr : (Meeting *)p;
}

int failed(int code, const std::string &why) {
  nccl.last_error = why;
  return code;
}

} // namespace

#define COMMUNICATOR \
  Communicator *c = alive<Communicator>(communicator, "communicator", __func__); \
  if (!c || c->aborted) return failed(NCCL_ARGUMENT, "this communicator does not live")

API int ncclGetVersion(int *version) { CALL(NCCL_INTERNAL); *version = nccl.version; return 0; }

API int ncclGetUniqueId(UniqueId *id) {
  CALL(NCCL_SYSTEM);
  memset(id, 0, sizeof *id);
  snprintf(id->internal, sizeof id->internal, "%d-%lld", getpid(), (long long)std::chrono::steady_clock::now().time_since_epoch().count());
  Meeting *m = attach(id->internal, O_CREAT | O_EXCL);
  if (!m) return failed(NCCL_SYSTEM, "no shared memory");
  munmap(m, sizeof *m);
  nccl.identifiers.push_back(id->internal);
  return 0;
}

API int ncclCommInitRank(void **communicator, int size, UniqueId id, int rank) {
  CALL(NCCL_SYSTEM);
  CONTEXT;
  settled(__func__);
  if (size < 1 || size > MOST_RANKS || rank < 0 || rank >= size) return failed(NCCL_ARGUMENT, "there is no such rank");
  Meeting *m = attach(id.internal, 0);
  if (!m) return failed(NCCL_SYSTEM, "nobody is at this identifier's address");
  int none = 0;
  m->size.compare_exchange_strong(none, size);
  if (m->size != size) return failed(NCCL_ARGUMENT, "the ranks are of different sizes");
  m->places[rank].process = getpid(), m->places[rank].device = current_device();
  m->arrived++;
  for (long generation = nccl.generation; m->arrived < size; let_others())
    if (generation != nccl.generation) return failed(NCCL_SYSTEM, "the test is over");
  unlink(file_of(id.internal).c_str());
  for (int r = 0; r < size; r++)
    for (int other = 0; other < r; other++)
      if (m->places[r].process == m->places[other].process && m->places[r].device == m->places[other].device)
        return failed(NCCL_USAGE, printed("ranks %d and %d are the same GPU", other, r));
  Communicator *c = new Communicator{id.internal, m, rank, size, current_device()};
  *communicator = keep(c, "communicator");
  c->worker = std::thread(serve, c);
  return 0;
}

API int ncclCommDestroy(void *communicator) {
  LOCK;
  int failure = begin(__func__) ? NCCL_SYSTEM : 0;
  COMMUNICATOR;
  if (in_graphs(c)) violation("ncclCommDestroy while a graph uses the communicator waits for ever");
  if (group_depth) violation("ncclCommDestroy in a group");
  if (c->stream && state.handles.count(c->stream) && (c->stream->busy || !c->stream->queue.empty())) violation("ncclCommDestroy of a communicator that works");
  leave(c);
  return failure;
}

// ncclCommAbort waits for graphs as the real one does: not for ever, so that the violation is heard of.
API int ncclCommAbort(void *communicator) {
  LOCK;
  int failure = begin(__func__) ? NCCL_SYSTEM : 0;
  COMMUNICATOR;
  c->aborted = true;
  for (auto began = std::chrono::steady_clock::now(); in_graphs(c); let_others())
    if (std::chrono::steady_clock::now() - began > std::chrono::seconds(60)) {
      violation("ncclCommAbort waits for a graph that uses the communicator");
      break;
    }
  leave(c);
  return failure;
}

API int ncclCommGetAsyncError(void *communicator, int *code) {
  CALL(NCCL_INTERNAL);
  COMMUNICATOR;
  *code = nccl.broken;
  return 0;
}

API int ncclGroupStart() { CALL(NCCL_INTERNAL); group_depth++; return 0; }

API int ncclGroupEnd() {
  LOCK;
  int failure = begin(__func__) ? NCCL_CUDA : group_error;
  if (group_depth == 0) {
    violation("ncclGroupEnd without ncclGroupStart");
    return failed(NCCL_USAGE, "there is no group");
  }
  if (--group_depth > 0) return failure;
  std::vector<Grouped> calls;
  calls.swap(grouped);
  group_error = 0;
  if (failure) return failure;
  // The calls of a group are done side by side.
  for (Grouped &a : calls)
    for (Grouped &b : calls)
      if (&a < &b && a.to < b.to + b.bytes && b.to < a.to + a.bytes) violation("two collectives of a group have results in the same place");
  for (Grouped &g : calls) add(g.stream, std::move(g.work));
  return 0;
}

// enqueue is what all collectives do.
static int enqueue(void *communicator, void *stream, const Operation &o, u64 send, u64 receive, const char *function) {
  Communicator *c = alive<Communicator>(communicator, "communicator", function);
  Stream *s = alive<Stream>(stream, "stream", function);
  if (!c || c->aborted || !s) return failed(NCCL_ARGUMENT, "communicator or stream do not live");
  if (c->device != current_device() || s->device != c->device) {
    violation(printed("%s: communicator and stream are not the current GPU's", function));
    return failed(NCCL_ARGUMENT, "another GPU");
  }
  u64 bytes = o.count * (o.type == NCCL_INT8 ? 1 : 4), received = o.reduction == NCCL_GATHER ? bytes * c->size : bytes;
  if (!inside(send, bytes, function) || !inside(receive, received, function)) return failed(NCCL_ARGUMENT, "no memory of this GPU");
  if (o.count == 0) return 0;
  Work work([=] { collective(c, o, send, receive); }, c);
  if (group_depth) grouped.push_back({s, std::move(work), receive, received});
  else add(s, std::move(work));
  return 0;
}

API int ncclAllReduce(u64 send, u64 receive, size_t count, int type, int reduction, void *communicator, void *stream) {
  LOCK;
  int failure = begin(__func__) ? NCCL_CUDA : 0;
  if (!failure && !(type == NCCL_FLOAT32 && reduction == NCCL_SUM) && !(type == NCCL_INT32 && reduction == NCCL_MIN)) {
    violation(printed("ncclAllReduce of type %d by operation %d", type, reduction));
    failure = failed(NCCL_ARGUMENT, "this is not done here");
  }
  if (!failure) failure = enqueue(communicator, stream, {type, reduction, count}, send, receive, __func__);
  if (failure && group_depth) group_error = failure;
  return failure;
}

API int ncclAllGather(u64 send, u64 receive, size_t count, int type, void *communicator, void *stream) {
  LOCK;
  int failure = begin(__func__) ? NCCL_CUDA : 0;
  if (!failure && type != NCCL_INT8) {
    violation(printed("ncclAllGather of type %d", type));
    failure = failed(NCCL_ARGUMENT, "this is not done here");
  }
  if (!failure) failure = enqueue(communicator, stream, {type, NCCL_GATHER, count}, send, receive, __func__);
  if (failure && group_depth) group_error = failure;
  return failure;
}

API const char *ncclGetErrorString(int code) {
  switch (code) {
  case NCCL_CUDA: return "unhandled cuda error (run with NCCL_DEBUG=INFO for details)";
  case NCCL_SYSTEM: return "unhandled system error (run with NCCL_DEBUG=INFO for details)";
  case NCCL_INTERNAL: return "internal error";
  case NCCL_ARGUMENT: return "invalid argument";
  case NCCL_USAGE: return "invalid usage";
  case 6: return "remote process exited or there was a network error";
  }
  return "unknown result code";
}
API const char *ncclGetLastError(void *) { return nccl.last_error.c_str(); }

// What tests tell: the version, and that connections have failed, with which code.
API void fake_set_nccl(int version) { LOCK; nccl.version = version; }
API void fake_break_nccl(int code) { LOCK; nccl.broken = code; }
