//go:build gloo && cgo && linux

#include "gloo.h"

#include <stdlib.h>
#include <string.h>

#include <gloo/allgatherv.h>
#include <gloo/allreduce.h>
#include <gloo/barrier.h>
#include <gloo/broadcast.h>
#include <gloo/context.h>
#include <gloo/math.h>
#include <gloo/transport/context.h>
#include <gloo/transport/tcp/device.h>
#include <gloo/transport/unbound_buffer.h>

namespace {

// No call gives up on a peer that is slow: whether it lives is the heartbeat's business.
constexpr auto patience = std::chrono::hours(24 * 7);

// Context with its pairs made and connected by hand: their addresses travel over the rendezvous' own connections.
class Mesh : public gloo::Context {
 public:
  Mesh(const char *address, int rank, int size, std::chrono::milliseconds connect) : gloo::Context(rank, size) {
    gloo::transport::tcp::attr attr(address);
    device_ = gloo::transport::tcp::CreateDevice(attr);
    transportContext_ = device_->createContext(rank, size);
    transportContext_->setTimeout(connect);
    for (int peer = 0; peer < size; peer++) {
      if (peer != rank) transportContext_->createPair(peer);
    }
    setTimeout(patience);
  }

  std::vector<char> address(int peer) { return transportContext_->getPair(peer)->address().bytes(); }

  void connect(const char *addresses, size_t each) {
    for (int peer = 0; peer < size; peer++) {
      if (peer == rank) continue;
      const char *at = addresses + peer * each;
      transportContext_->getPair(peer)->connect(std::vector<char>(at, at + each));
    }
    transportContext_->setTimeout(patience);
  }

  // A wait that runs out of time makes Gloo close all pairs and throw in every call that waits for one of them. Closing
  // the pairs directly would not wake those calls.
  void abort() {
    char nothing;
    auto buffer = createUnboundBuffer(&nothing, sizeof nothing);
    buffer->waitRecv(nullptr, std::chrono::milliseconds(1));
  }
};

// guarded runs f and turns what it throws into a message.
template <typename F>
char *guarded(F f) {
  try {
    f();
    return nullptr;
  } catch (const std::exception &e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("unknown exception");
  }
}

}  // namespace

struct hrm_mesh {
  std::shared_ptr<Mesh> context;
  size_t address_size = 0;
};

extern "C" {

char *hrm_mesh_open(const char *address, int rank, int size, int64_t connect_ms, hrm_mesh **out) {
  return guarded([&] {
    auto m = std::make_unique<hrm_mesh>();
    m->context = std::make_shared<Mesh>(address, rank, size, std::chrono::milliseconds(connect_ms));
    m->address_size = m->context->address(rank == 0 ? 1 : 0).size();
    *out = m.release();
  });
}

size_t hrm_mesh_address_size(const hrm_mesh *m) { return m->address_size; }

char *hrm_mesh_addresses(hrm_mesh *m, void *out) {
  return guarded([&] {
    memset(out, 0, m->context->size * m->address_size);
    for (int peer = 0; peer < m->context->size; peer++) {
      if (peer == m->context->rank) continue;
      auto bytes = m->context->address(peer);
      if (bytes.size() != m->address_size) throw std::runtime_error("addresses of different lengths");
      memcpy(static_cast<char *>(out) + peer * m->address_size, bytes.data(), bytes.size());
    }
  });
}

char *hrm_mesh_connect(hrm_mesh *m, const void *addresses) {
  return guarded([&] { m->context->connect(static_cast<const char *>(addresses), m->address_size); });
}

char *hrm_mesh_allreduce(hrm_mesh *m, float *x, size_t n) {
  return guarded([&] {
    gloo::AllreduceOptions options(m->context);
    // The ring adds in the ranks' order, whatever the timing.
    options.setAlgorithm(gloo::AllreduceOptions::Algorithm::RING);
    options.setOutput(x, n);
    void (*sum)(void *, const void *, const void *, size_t) = &gloo::sum<float>;
    options.setReduceFunction(sum);
    gloo::allreduce(options);
  });
}

char *hrm_mesh_allgather(hrm_mesh *m, const void *own, const size_t *sizes, void *out) {
  return guarded([&] {
    gloo::AllgathervOptions options(m->context);
    std::vector<size_t> counts(sizes, sizes + m->context->size);
    options.setInput(static_cast<char *>(const_cast<void *>(own)), counts[m->context->rank]);
    options.setOutput(static_cast<char *>(out), counts);
    gloo::allgatherv(options);
  });
}

char *hrm_mesh_broadcast(hrm_mesh *m, void *data, size_t n) {
  return guarded([&] {
    gloo::BroadcastOptions options(m->context);
    options.setRoot(0);
    options.setOutput(static_cast<char *>(data), n);
    gloo::broadcast(options);
  });
}

char *hrm_mesh_barrier(hrm_mesh *m) {
  return guarded([&] {
    gloo::BarrierOptions options(m->context);
    gloo::barrier(options);
  });
}

void hrm_mesh_abort(hrm_mesh *m) {
  free(guarded([&] { m->context->abort(); }));
}

void hrm_mesh_close(hrm_mesh *m) {
  free(guarded([&] { m->context->closeConnections(); }));
  free(guarded([&] { delete m; }));
}
}
