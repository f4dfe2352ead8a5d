#ifndef BARID_PROXY_GRPC_RECEIVE_LANE_H_
#define BARID_PROXY_GRPC_RECEIVE_LANE_H_

#include <deque>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "barid/broker/v1/broker.pb.h"
#include "base/broker_calls.h"
#include "proxy/grpc/lane.h"

namespace barid::proxy {

// Receives on their way to one broker, and their answers, put together from pieces.
class ReceiveLane : public Lane<broker::v1::ReceiveFrame, broker::v1::DeliveryFrame> {
 public:
  // `settle` gives back what came for a receive that had been given up. It may be called until AwaitEnd has returned.
  ReceiveLane(std::string name, BeginCall begin_call, const LaneContext& context, const RemoteBrokerOptions& options,
              std::function<void(SettleCall)> settle)
      : Lane(std::move(name), std::move(begin_call), context, options), settle_(std::move(settle)) {}

  // Any thread.
  uint64_t Receive(ReceiveCall call, Callback<ReceiveResult> done);
  uint64_t Pull(PullCall call, Callback<PullResult> done);
  // Of either.
  void Cancel(uint64_t id);

 private:
  // Empty: given up, cancelled at the broker.
  struct Done {
    Callback<ReceiveResult> receive;
    Callback<PullResult> pull;

    explicit operator bool() const { return receive != nullptr || pull != nullptr; }
    void Run(absl::Status status, std::vector<Delivery> deliveries, QueueOffset next_offset);
  };
  struct Sent {
    Done done;
    bool is_pull = false;  // Its deliveries are nobody's, and need not be given back.
    int64_t bytes = 0;
    ShardId shard;
    GroupId group;
    absl::Duration deadline;
    // What has come. The last one may lack bytes: `partial` has `expected` in the end.
    std::vector<Delivery> deliveries;
    std::string partial;
    size_t expected = 0;
  };
  struct Queued {
    uint64_t id = 0;
    std::variant<ReceiveCall, PullCall> call;
    Sent sent;  // As it will be noted.
  };
  using Frame = std::shared_ptr<ArenaFrame<broker::v1::DeliveryFrame>>;

  uint64_t Begin(Queued queued);
  bool Collect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) override;
  void Encode(broker::v1::ReceiveFrame* frame) override;
  absl::Status OnFrame(const Frame& frame) override;
  void FailQueued(const absl::Status& why) override;
  void FailSent(const absl::Status& why) override;
  bool Expire(absl::Duration now) override;

  // Adds a piece that is not the end.
  static absl::Status Add(const broker::v1::Piece& piece, const Frame& frame, Sent* sent);

  const std::function<void(SettleCall)> settle_;
  std::deque<Queued> queue_ ABSL_GUARDED_BY(mu_);
  std::vector<uint64_t> cancels_ ABSL_GUARDED_BY(mu_);  // To be sent.
  absl::flat_hash_map<uint64_t, Sent> sent_ ABSL_GUARDED_BY(mu_);
  // The writer's; of the calls, `sent` has moved to sent_.
  std::vector<Queued> collected_;
  std::vector<uint64_t> collected_cancels_;
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_GRPC_RECEIVE_LANE_H_
