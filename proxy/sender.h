#ifndef BARID_PROXY_SENDER_H_
#define BARID_PROXY_SENDER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/broker_calls.h"
#include "base/metadata.h"
#include "proxy/router.h"

namespace barid::proxy {

// Bytes of messages that were taken and are not answered yet. Any thread.
class InflightBytes {
 public:
  explicit InflightBytes(int64_t limit) : limit_(limit) {}

  // A share that goes back when it is destroyed.
  class Share {
   public:
    Share() = default;
    Share(InflightBytes* owner, int64_t bytes) : owner_(owner), bytes_(bytes) {}
    Share(Share&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), bytes_(other.bytes_) {}
    Share& operator=(Share&& other) noexcept {
      std::swap(owner_, other.owner_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Share() {
      if (owner_ != nullptr) owner_->used_.fetch_sub(bytes_, std::memory_order_relaxed);
    }

   private:
    InflightBytes* owner_ = nullptr;
    int64_t bytes_ = 0;
  };
  // kResourceExhausted if they do not fit.
  absl::StatusOr<Share> Take(int64_t bytes);

  int64_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  const int64_t limit_;
  std::atomic<int64_t> used_ = 0;
};

// Sends encoded messages to a shard. Any thread; no locks.
class Sender {
 public:
  // `router` outlives it.
  Sender(Router* router, int64_t max_inflight_bytes) : router_(router), inflight_(max_inflight_bytes) {}

  InflightBytes* inflight() { return &inflight_; }

  // All messages go to one shard, the next in turn that has a leader; each has its own fate there. If the broker says
  // it does not lead any more, the right one is asked, once. The result says which shard it was. In a topic of type
  // TRANSACTION each message is a transaction.
  //
  // Messages of a FIFO topic go to the queues of their message groups, wherever those are, and nowhere else.
  void Send(const Metadata& metadata, const TopicMetadata& topic, AppendCall::Messages messages, Callback<AppendResult> done);

 private:
  void SendInOrder(const Metadata& metadata, const TopicMetadata& topic, AppendCall::Messages messages,
                   Callback<AppendResult> done);
  void SendTo(const Target& target, AppendCall call, Callback<AppendResult> done);

  Router* const router_;
  InflightBytes inflight_;
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_SENDER_H_
