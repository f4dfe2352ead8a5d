#include "cli/receiver.h"

#include <algorithm>
#include <iterator>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/status.h"
#include "cli/text.h"

namespace barid::cli {
namespace {

// What servers give and wait at most (docs/client-contract.md); asking for more would be cut.
constexpr int kMaxBatch = 32;
constexpr absl::Duration kMaxPoll = absl::Seconds(20);

}  // namespace

absl::StatusOr<std::unique_ptr<Receiver>> Receiver::Create(Client* client, const ReceiverOptions& options) {
  ASSIGN_OR_RETURN(std::vector<v2::MessageQueue> shards, client->ShardsOf(options.topic));
  return std::unique_ptr<Receiver>(new Receiver(client, options, std::move(shards)));
}

absl::StatusOr<std::vector<v2::Message>> Receiver::Receive(int max, absl::Duration wait) {
  const absl::Duration end = RealClock()->SinceBoot() + wait;
  std::vector<v2::Message> messages;
  const auto take = [&](std::vector<v2::Message> more) {
    std::move(more.begin(), more.end(), std::back_inserter(messages));
  };
  while (!stopped_) {
    const absl::Duration left = std::max(absl::ZeroDuration(), end - RealClock()->SinceBoot());
    if (shards_.size() == 1) {
      ASSIGN_OR_RETURN(messages, ReceiveFrom(shards_[0], max, std::min(left, kMaxPoll)));
    } else {
      for (size_t i = 0; i < shards_.size() && static_cast<int>(messages.size()) < max; ++i) {
        const v2::MessageQueue& shard = shards_[next_shard_++ % shards_.size()];
        absl::StatusOr<std::vector<v2::Message>> some =
            ReceiveFrom(shard, max - static_cast<int>(messages.size()), absl::ZeroDuration());
        if (!some.ok() && messages.empty()) return some.status();
        if (!some.ok()) return messages;  // What is there is not lost over a shard that fails.
        take(*std::move(some));
      }
      if (messages.empty() && left > absl::ZeroDuration()) {
        ASSIGN_OR_RETURN(messages, WaitAtAll(max, std::min(left, kMaxPoll)));
      }
    }
    if (!messages.empty() || RealClock()->SinceBoot() >= end) break;
  }
  return messages;
}

absl::StatusOr<std::vector<v2::Message>> Receiver::ReceiveFrom(const v2::MessageQueue& shard, int max,
                                                               absl::Duration wait) {
  v2::ReceiveMessageRequest request;
  *request.mutable_group() = client_->Resource(options_.group);
  *request.mutable_message_queue() = shard;
  request.mutable_filter_expression()->set_type(options_.sql.empty() ? v2::TAG : v2::SQL);
  request.mutable_filter_expression()->set_expression(options_.sql.empty() ? options_.tags : options_.sql);
  request.set_batch_size(std::min(max, kMaxBatch));
  ToProto(options_.invisible, request.mutable_invisible_duration());
  ToProto(wait, request.mutable_long_polling_timeout());

  grpc::ClientContext context;
  {
    MutexLock lock(&mu_);
    if (stopped_) return std::vector<v2::Message>();
    running_.push_back(&context);
  }
  absl::StatusOr<std::vector<v2::Message>> messages = client_->Receive(request, &context);
  MutexLock lock(&mu_);
  running_.erase(std::find(running_.begin(), running_.end(), &context));
  return messages;
}

absl::StatusOr<std::vector<v2::Message>> Receiver::WaitAtAll(int max, absl::Duration wait) {
  std::vector<absl::StatusOr<std::vector<v2::Message>>> results(shards_.size(), std::vector<v2::Message>());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < shards_.size(); ++i) {
    threads.emplace_back([this, i, max, wait, &results] {
      results[i] = ReceiveFrom(shards_[i], max, wait);
      // The others have waited long enough; what they were given meanwhile is taken too.
      if (!results[i].ok() || !results[i]->empty()) CancelAll();
    });
  }
  for (std::thread& thread : threads) thread.join();

  std::vector<v2::Message> messages;
  absl::Status failure;
  for (absl::StatusOr<std::vector<v2::Message>>& result : results) {
    if (!result.ok()) {
      failure = result.status();
      continue;
    }
    for (v2::Message& message : *result) {
      if (static_cast<int>(messages.size()) < max) {
        messages.push_back(std::move(message));
      } else if (const absl::Status status = client_->Return(options_.topic, options_.group, message); !status.ok()) {
        failure = status;  // It becomes visible by itself when its time is over.
      }
    }
  }
  if (messages.empty() && !failure.ok()) return failure;
  return messages;
}

void Receiver::CancelAll() {
  MutexLock lock(&mu_);
  for (grpc::ClientContext* context : running_) context->TryCancel();
}

void Receiver::Stop() {
  {
    MutexLock lock(&mu_);
    stopped_ = true;
  }
  CancelAll();
}

}  // namespace barid::cli
