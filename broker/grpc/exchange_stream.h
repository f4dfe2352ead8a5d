#ifndef BARID_BROKER_GRPC_EXCHANGE_STREAM_H_
#define BARID_BROKER_GRPC_EXCHANGE_STREAM_H_

#include <deque>
#include <memory>
#include <variant>
#include <vector>

#include "barid/broker/v1/broker.pb.h"
#include "base/broker_calls.h"
#include "broker/grpc/frame_stream.h"

namespace barid::broker {

// Sends, settles, reports and figures of one proxy. A broken stream leaves what is under way to the broker: it is
// carried out, and its answers are dropped.
class ExchangeStream : public FrameStream<v1::CallFrame, v1::AnswerFrame> {
 public:
  // `broker` outlives all its answers. Sends beyond `max_bytes_under_way` are refused (kResourceExhausted).
  ExchangeStream(BrokerApi* broker, std::shared_ptr<edge::Stream> stream, std::shared_ptr<OpenStreams> open_streams,
                 int64_t max_bytes_under_way)
      : FrameStream(std::move(stream), std::move(open_streams)),
        broker_(broker),
        max_bytes_under_way_(max_bytes_under_way) {}

 private:
  struct Answer {
    uint64_t id = 0;
    std::variant<std::monostate, AppendResult, RecallResult, EndTransactionResult, ChecksResult, TransactionsResult,
                 LookupResult, RedriveResult, SettleResult, StatsResult, OffsetResult, ResetOffsetResult,
                 LiteSyncResult>
        result;
    size_t first_queue = 0;  // Of a StatsResult: those before are written,
    size_t first_count = 0;  // and those.
  };

  absl::Status Handle(const std::shared_ptr<ArenaFrame<v1::CallFrame>>& frame) override;
  bool Collect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) override;
  void Encode(v1::AnswerFrame* frame) override;

  // Counts the call, if it has an answer.
  void Dispatch(const v1::Call& call, const std::shared_ptr<const void>& owner);
  // Whether a send of this cost is one too many.
  bool IsFull(int64_t cost);
  // A callback that answers call `id`, whose cost was counted.
  template <typename Result>
  Callback<Result> Answering(uint64_t id, int64_t cost);
  void OnAnswer(Answer answer, int64_t cost);

  BrokerApi* const broker_;
  const int64_t max_bytes_under_way_;
  std::vector<Answer> answers_ ABSL_GUARDED_BY(mu_);
  std::deque<Answer> collected_;  // The writer's.
};

}  // namespace barid::broker

#endif  // BARID_BROKER_GRPC_EXCHANGE_STREAM_H_
