#include "proxy/sender.h"

#include <memory>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/mutex.h"

namespace barid::proxy {

absl::StatusOr<InflightBytes::Share> InflightBytes::Take(int64_t bytes) {
  const int64_t used = used_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  Share share(this, bytes);
  if (used <= limit_) return share;
  return absl::ResourceExhaustedError(absl::StrCat("this proxy holds ", used - bytes, " bytes of messages that are not stored yet; with ",
                                                   bytes, " more it would pass ", limit_, ": try again"));
}

void Sender::Send(const Metadata& metadata, const TopicMetadata& topic, AppendCall::Messages messages,
                  Callback<AppendResult> done) {
  if (topic.type == MessageType::kFifo) return SendInOrder(metadata, topic, std::move(messages), std::move(done));
  const absl::StatusOr<Target> target = router_->Next(metadata);
  if (!target.ok()) return done({target.status(), {}});
  AppendCall call;
  call.shard = target->shard;
  call.topic = topic.id;
  call.metadata_revision = metadata.revision();
  call.prepare = topic.type == MessageType::kTransaction;
  call.messages = std::move(messages);
  SendTo(*target, std::move(call), std::move(done));
}

void Sender::SendTo(const Target& target, AppendCall call, Callback<AppendResult> done) {
  AppendCall again = call;  // Shares the bytes.
  auto answered = [this, target, again = std::move(again), done = std::move(done)](AppendResult result) mutable {
    BrokerApi* const leader = result.status.ok() ? nullptr : router_->SecondTry(result.status, target);
    result.shard = target.shard;
    if (leader == nullptr) return done(std::move(result));
    leader->Append(std::move(again), [shard = target.shard, done = std::move(done)](AppendResult second) mutable {
      second.shard = shard;
      done(std::move(second));
    });
  };
  target.broker->Append(std::move(call), std::move(answered));
}

namespace {

// Puts the answers of several calls together, each entry in its place.
struct Gathering {
  Mutex mu;
  AppendResult result ABSL_GUARDED_BY(mu);
  size_t missing ABSL_GUARDED_BY(mu) = 0;  // Calls.
  Callback<AppendResult> done;

  void Arrived(const std::vector<size_t>& places, AppendResult part) {
    {
      MutexLock lock(&mu);
      for (size_t i = 0; i < places.size(); ++i) {
        AppendResult::Entry& entry = result.entries[places[i]];
        if (!part.status.ok()) {
          entry.status = part.status;
        } else if (i < part.entries.size()) {
          entry = std::move(part.entries[i]);
        } else {
          entry.status = absl::InternalError("the broker answered fewer entries than it was sent messages");
        }
      }
      if (--missing > 0) return;
    }
    // Nobody else is left to touch it.
    AppendResult all;
    {
      MutexLock lock(&mu);
      all = std::move(result);
    }
    done(std::move(all));
  }
};

}  // namespace

void Sender::SendInOrder(const Metadata& metadata, const TopicMetadata& topic, AppendCall::Messages messages,
                         Callback<AppendResult> done) {
  if (topic.placement.empty()) {
    const std::string name = topic.name.ToString();
    return done({absl::UnavailableError(absl::StrCat("the queues of the topic ", name, " are not known here yet")), {}});
  }
  absl::btree_map<TopicMetadata::Place, std::vector<size_t>> places;
  for (size_t i = 0; i < messages.size(); ++i) places[topic.PlaceOf(messages[i].message_group)].push_back(i);
  const auto gathering = std::make_shared<Gathering>();
  {
    MutexLock lock(&gathering->mu);
    gathering->result.entries.resize(messages.size());
    gathering->missing = places.size();
  }
  gathering->done = std::move(done);
  for (auto& [place, numbers] : places) {
    const absl::StatusOr<Target> target = router_->ById(metadata, place.shard);
    if (!target.ok()) {
      gathering->Arrived(numbers, {target.status(), {}});
      continue;
    }
    AppendCall call;
    call.shard = place.shard;
    call.topic = topic.id;
    call.metadata_revision = metadata.revision();
    call.queue = place.queue;
    for (const size_t number : numbers) call.messages.push_back(messages[number]);
    SendTo(*target, std::move(call), [gathering, numbers = std::move(numbers)](AppendResult part) {
      gathering->Arrived(numbers, std::move(part));
    });
  }
}

}  // namespace barid::proxy
