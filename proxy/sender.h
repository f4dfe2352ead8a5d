#ifndef BARID_PROXY_SENDER_H_
#define BARID_PROXY_SENDER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
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

// An encoded message, and what decides where it goes.
struct OutgoingMessage {
  AppendCall::Message message;
  MessageType type = MessageType::kNormal;
  int32_t priority = 0;
  std::string lite_topic = {};
};
using OutgoingMessages = absl::InlinedVector<OutgoingMessage, 1>;

// Sends encoded messages to a shard. Any thread; no locks.
class Sender {
 public:
  // `router` outlives it.
  Sender(Router* router, int64_t max_inflight_bytes) : router_(router), inflight_(max_inflight_bytes) {}

  InflightBytes* inflight() { return &inflight_; }

  // Each message has its own fate. Where it goes:
  //
  //   FIFO topics     the queue of its message group, wherever that is, and nowhere else
  //   message group   in another topic: the shard that this belongs to (rendezvous hashing), and one queue there
  //   idempotent      the shard that its id belongs to, so that a second send meets the first there
  //   others          all to one shard, in turn
  //
  // But for FIFO topics another shard takes the place of one that has no leader. In a PRIORITY topic the queue is that
  // of the priority. If a broker says it does not lead any more, the right one is asked, once. The result says which
  // shard it was. A message of type TRANSACTION is a transaction. There is at least one message.
  void Send(const Metadata& metadata, const TopicMetadata& topic, OutgoingMessages messages,
            Callback<AppendResult> done);

 private:
  struct Destination {
    Target target;
    int32_t queue = -1;  // -1: the broker chooses.
  };
  // `in_turn`: the shard of those messages of a call that may go anywhere, once there is one.
  absl::StatusOr<Destination> DestinationOf(const Metadata& metadata, const TopicMetadata& topic,
                                            const OutgoingMessage& message, std::optional<Target>* in_turn);
  // One call for each destination; `call` is what they have in common.
  void SendApart(const Metadata& metadata, const TopicMetadata& topic, AppendCall call, OutgoingMessages messages,
                 Callback<AppendResult> done);
  void SendTo(const Destination& destination, AppendCall call, Callback<AppendResult> done);

  Router* const router_;
  InflightBytes inflight_;
  std::atomic<uint64_t> turn_ = 0;
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_SENDER_H_
