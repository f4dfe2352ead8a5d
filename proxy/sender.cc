#include "proxy/sender.h"

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace barid::proxy {

absl::StatusOr<InflightBytes::Share> InflightBytes::Take(int64_t bytes) {
  const int64_t used = used_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  Share share(this, bytes);
  if (used <= limit_) return share;
  return absl::ResourceExhaustedError(absl::StrCat("this proxy holds ", used - bytes, " bytes of messages that are not stored yet; with ",
                                                   bytes, " more it would pass ", limit_, ": try again"));
}

void Sender::Send(const Metadata& metadata, TopicId topic, AppendCall::Messages messages, bool prepare,
                  Callback<AppendResult> done) {
  const absl::StatusOr<Target> target = router_->Next(metadata);
  if (!target.ok()) return done({target.status(), {}});

  AppendCall call;
  call.shard = target->shard;
  call.topic = topic;
  call.metadata_revision = metadata.revision();
  call.prepare = prepare;
  call.messages = messages;  // Shares the bytes; ours are for the second try.
  target->broker->Append(
      std::move(call), [this, target = *target, topic, revision = metadata.revision(), prepare,
                        messages = std::move(messages), done = std::move(done)](AppendResult result) mutable {
        BrokerApi* const leader = result.status.ok() ? nullptr : router_->SecondTry(result.status, target);
        result.shard = target.shard;
        if (leader == nullptr) return done(std::move(result));
        AppendCall again;
        again.shard = target.shard;
        again.topic = topic;
        again.metadata_revision = revision;
        again.prepare = prepare;
        again.messages = std::move(messages);
        leader->Append(std::move(again), [shard = target.shard, done = std::move(done)](AppendResult second) mutable {
          second.shard = shard;
          done(std::move(second));
        });
      });
}

}  // namespace barid::proxy
