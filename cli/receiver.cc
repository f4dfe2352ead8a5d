#include "cli/receiver.h"

#include <algorithm>

#include "base/clock.h"
#include "base/status.h"
#include "cli/text.h"

namespace barid::cli {
namespace {

// What servers give and wait at most (docs/settings.md); asking for more would be cut.
constexpr int kMaxBatch = 32;
constexpr absl::Duration kMaxPoll = absl::Seconds(20);

}  // namespace

absl::StatusOr<std::vector<v2::Message>> Receiver::Receive(int max, absl::Duration wait) {
  const absl::Duration end = RealClock()->SinceBoot() + wait;
  std::vector<v2::Message> messages;
  while (!stopped_) {
    const absl::Duration left = end - RealClock()->SinceBoot();
    ASSIGN_OR_RETURN(messages, Ask(max, std::clamp(left, absl::ZeroDuration(), kMaxPoll)));
    if (!messages.empty() || RealClock()->SinceBoot() >= end) break;
  }
  return messages;
}

// No shard is named: the proxy waits at all of them, and what a second one gives goes back at once. Were it this
// process that asked each and cancelled the others, it would lose what is on its way to it until that becomes visible
// again.
absl::StatusOr<std::vector<v2::Message>> Receiver::Ask(int max, absl::Duration wait) {
  v2::ReceiveMessageRequest request;
  *request.mutable_group() = client_->Resource(options_.group);
  *request.mutable_message_queue()->mutable_topic() = client_->Resource(options_.topic);
  request.mutable_filter_expression()->set_type(options_.sql.empty() ? v2::TAG : v2::SQL);
  request.mutable_filter_expression()->set_expression(options_.sql.empty() ? options_.tags : options_.sql);
  request.set_batch_size(std::min(max, kMaxBatch));
  ToProto(options_.invisible, request.mutable_invisible_duration());
  ToProto(wait, request.mutable_long_polling_timeout());

  grpc::ClientContext context;
  {
    MutexLock lock(&mu_);
    if (stopped_) return std::vector<v2::Message>();
    running_ = &context;
  }
  absl::StatusOr<std::vector<v2::Message>> messages = client_->Receive(request, &context);
  MutexLock lock(&mu_);
  running_ = nullptr;
  return messages;
}

void Receiver::Stop() {
  MutexLock lock(&mu_);
  stopped_ = true;
  if (running_ != nullptr) running_->TryCancel();
}

}  // namespace barid::cli
