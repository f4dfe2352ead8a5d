#ifndef BARID_BROKER_GRPC_DELIVERIES_STREAM_H_
#define BARID_BROKER_GRPC_DELIVERIES_STREAM_H_

#include <deque>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "barid/broker/v1/broker.pb.h"
#include "base/broker_calls.h"
#include "broker/grpc/frame_stream.h"

namespace barid::broker {

// Receives and pulls of one proxy. When the stream breaks, what waits is cancelled, and what was not wholly handed to
// the connection is given back as kUndelivered.
class DeliveriesStream : public FrameStream<v1::ReceiveFrame, v1::DeliveryFrame> {
 public:
  // `broker` outlives all its answers. Receives are refused (kResourceExhausted) while more than `max_answer_bytes` of
  // answers wait for the proxy to take them.
  DeliveriesStream(BrokerApi* broker, std::shared_ptr<edge::Stream> stream, std::shared_ptr<OpenStreams> open_streams,
                   int64_t max_answer_bytes);

 private:
  // A receive that the broker has not answered.
  struct Waiting {
    ShardId shard;
    GroupId group;  // Of a receive.
    bool is_pull = false;
    uint64_t broker_id = 0;
    bool has_broker_id = false;
    bool is_cancelled = false;
  };
  // An answer on its way, until its end is in a frame.
  struct Answer {
    uint64_t id = 0;
    ShardId shard;
    GroupId group;
    bool is_pull = false;
    ReceiveResult result;
    QueueOffset next_offset = 0;  // Of a pull.
    size_t next = 0;              // The delivery to be written.
    size_t written_bytes = 0;     // Of it.
  };

  absl::Status Handle(const std::shared_ptr<ArenaFrame<v1::ReceiveFrame>>& frame) override;
  bool Collect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) override;
  void Encode(v1::DeliveryFrame* frame) override;
  void OnServiceDrain() override { CancelAll(); }
  void OnBroken() override { CancelAll(); }
  void OnEnd() override;

  absl::Status Receive(const v1::Receive& receive);
  absl::Status Pull(const v1::Pull& pull);
  // Notes the call. Its refusal, if it has one, is answered already; an error if the id is in use.
  absl::StatusOr<bool> IsAccepted(uint64_t id, Waiting waiting);
  // The broker's id of it is known.
  void NoteBrokerId(uint64_t id, ShardId shard, uint64_t broker_id);
  void Cancel(uint64_t id);
  void CancelAll();
  void OnResult(uint64_t id, ReceiveResult result, QueueOffset next_offset = 0);
  void GiveBack(Answer answer);
  // Writes pieces of `answer` to `frame`, about `budget` bytes at most. Returns how many it wrote.
  int64_t EncodePieces(Answer* answer, int64_t budget, v1::DeliveryFrame* frame);

  BrokerApi* const broker_;
  const int64_t max_answer_bytes_;
  bool refuses_ ABSL_GUARDED_BY(mu_) = false;  // Draining, or broken.
  absl::flat_hash_map<uint64_t, Waiting> waiting_ ABSL_GUARDED_BY(mu_);
  std::vector<Answer> answers_ ABSL_GUARDED_BY(mu_);
  int64_t answer_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // Of answers_ and, but for the last frame, of collected_.
  // The writer's.
  std::deque<Answer> collected_;
  int64_t encoded_bytes_ = 0;  // Not yet taken off answer_bytes_.
};

}  // namespace barid::broker

#endif  // BARID_BROKER_GRPC_DELIVERIES_STREAM_H_
