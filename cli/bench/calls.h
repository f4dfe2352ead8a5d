#ifndef BARID_CLI_BENCH_CALLS_H_
#define BARID_CLI_BENCH_CALLS_H_

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/bench/histogram.h"
#include "cli/dialer.h"
#include "google/protobuf/message_lite.h"

// The leanest client that gRPC C++ offers: completion queues, raw buffers, requests serialised beforehand.
namespace barid::cli {

// What a completion queue hands back.
class Event {
 public:
  virtual void Complete(bool ok) = 0;

 protected:
  ~Event() = default;
};

// An event that calls one method of its owner.
template <typename Owner, void (Owner::*kMethod)(bool)>
class MethodEvent final : public Event {
 public:
  explicit MethodEvent(Owner* owner) : owner_(owner) {}
  void Complete(bool ok) override { (owner_->*kMethod)(ok); }

 private:
  Owner* const owner_;
};

// Where a run stands. Set by the thread that runs it, read by all.
enum class Phase { kWarmUp, kMeasuring, kStopping };

// What one thread has measured. Written by that thread alone, read when it has ended.
struct Meter {
  int64_t sent = 0;
  int64_t settled = 0;
  int64_t calls = 0;
  int64_t errors = 0;
  std::string first_error;
  Histogram send;
  Histogram receive;
  Histogram ack;
  Histogram end_to_end;

  void Fail(absl::string_view error);
  void Merge(const Meter& other);
};

struct LaneOptions {
  Dialer dialer;
  std::string endpoint;
  std::string client_id;
  std::string space;
  int channels = 4;
};

// One completion queue, the thread that serves it, and connections of its own. Calls may be started from any thread;
// their events come on the lane's.
class Lane {
 public:
  Lane(const LaneOptions& options, const std::atomic<Phase>* phase);
  // All calls have ended.
  ~Lane();

  grpc::CompletionQueue* queue() { return &queue_; }
  // The next connection in turn. Any thread.
  grpc::GenericStub* NextStub() {
    return stubs_[next_stub_.fetch_add(1, std::memory_order_relaxed) % stubs_.size()].get();
  }
  // Headers and a deadline.
  void Prepare(grpc::ClientContext* context) const;

  Phase phase() const { return phase_->load(std::memory_order_relaxed); }
  bool is_measuring() const { return phase() == Phase::kMeasuring; }
  bool is_stopping() const { return phase() == Phase::kStopping; }

  // Only on the lane's thread, and after the run.
  Meter& meter() { return meter_; }

  // Chains of calls that have not ended.
  std::atomic<int>& active() { return active_; }

 private:
  void Serve();

  const LaneOptions options_;
  const std::atomic<Phase>* const phase_;
  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  std::atomic<uint32_t> next_stub_ = 0;
  std::atomic<int> active_ = 0;
  Meter meter_;
  std::thread thread_;
};

// One unary call after the other.
class RawUnaryCall : private Event {
 public:
  void Start(Lane* lane, const std::string& method, const grpc::ByteBuffer& request);

 protected:
  RawUnaryCall() = default;
  ~RawUnaryCall() = default;

  // On the lane's thread; may Start again, or destroy this.
  virtual void OnDone(const grpc::Status& status, grpc::ByteBuffer* response) = 0;

 private:
  void Complete(bool) final { OnDone(status_, &response_); }

  std::optional<grpc::ClientContext> context_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader_;
  grpc::ByteBuffer response_;
  grpc::Status status_;
};

grpc::ByteBuffer Serialized(const google::protobuf::MessageLite& message);
// False if the bytes are no such message. Takes the bytes.
bool ParseFrom(grpc::ByteBuffer* bytes, google::protobuf::MessageLite* message);

}  // namespace barid::cli

#endif  // BARID_CLI_BENCH_CALLS_H_
