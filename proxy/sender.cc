#include "proxy/sender.h"

#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/strings/str_cat.h"
#include "base/lite_topic.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status.h"

namespace barid::proxy {

absl::StatusOr<InflightBytes::Share> InflightBytes::Take(int64_t bytes) {
  const int64_t used = used_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  Share share(this, bytes);
  if (used <= limit_) return share;
  return absl::ResourceExhaustedError(absl::StrCat("this proxy holds ", used - bytes,
                                                   " bytes of messages that are not stored yet; with ", bytes,
                                                   " more it would pass ", limit_, ": try again"));
}

namespace {

void SetShard(ShardId shard, AppendResult* result) {
  for (AppendResult::Entry& entry : result->entries) entry.shard = shard;
}

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

absl::StatusOr<Sender::Destination> Sender::DestinationOf(const Metadata& metadata, const TopicMetadata& topic,
                                                          const OutgoingMessage& message,
                                                          std::optional<Target>* in_turn) {
  const uint64_t key = message.message.message_group != 0 ? message.message.message_group : message.message.id_hash;
  if (topic.type == MessageType::kFifo) {
    const TopicMetadata::Place place = topic.PlaceOf(key != 0 ? key : turn_.fetch_add(1, std::memory_order_relaxed));
    ASSIGN_OR_RETURN(const Target target, router_->ById(metadata, place.shard));
    return Destination{target, place.queue};
  }
  if (topic.type == MessageType::kLite) {
    ASSIGN_OR_RETURN(const Target target, router_->OwnerOf(metadata, LiteTopicHash(topic.id, message.lite_topic)));
    return Destination{target, -1};
  }
  Destination destination;
  if (topic.type == MessageType::kPriority) destination.queue = std::min(message.priority, kPriorityLevels - 1);
  if (key != 0) {
    ASSIGN_OR_RETURN(destination.target, router_->ForKey(metadata, key));
    return destination;
  }
  if (!*in_turn) {
    ASSIGN_OR_RETURN(*in_turn, router_->Next(metadata));
  }
  destination.target = **in_turn;
  return destination;
}

void Sender::Send(const Metadata& metadata, const TopicMetadata& topic, OutgoingMessages messages,
                  Callback<AppendResult> done) {
  if (topic.type == MessageType::kFifo && topic.placement.empty()) {
    const std::string name = topic.name.ToString();
    return done(
        {absl::UnavailableError(absl::StrCat("the queues of the topic ", name, " are not known here yet")), {}});
  }
  AppendCall call;
  call.topic = topic.id;
  call.metadata_revision = metadata.revision();
  if (messages.size() > 1) return SendApart(metadata, topic, std::move(call), std::move(messages), std::move(done));
  std::optional<Target> in_turn;
  const absl::StatusOr<Destination> destination = DestinationOf(metadata, topic, messages.front(), &in_turn);
  if (!destination.ok()) return done({destination.status(), {}});
  call.prepare = messages.front().type == MessageType::kTransaction;
  call.lite_topic = std::move(messages.front().lite_topic);
  call.messages.push_back(std::move(messages.front().message));
  SendTo(*destination, std::move(call), std::move(done));
}

void Sender::SendApart(const Metadata& metadata, const TopicMetadata& topic, AppendCall call, OutgoingMessages messages,
                       Callback<AppendResult> done) {
  struct Part {
    Destination destination;
    AppendCall call;
    std::vector<size_t> numbers;
  };
  absl::btree_map<std::tuple<ShardId, int32_t, bool, std::string>, Part> parts;
  std::vector<std::pair<size_t, absl::Status>> lost;
  std::optional<Target> in_turn;
  for (size_t i = 0; i < messages.size(); ++i) {
    const absl::StatusOr<Destination> destination = DestinationOf(metadata, topic, messages[i], &in_turn);
    if (!destination.ok()) {
      lost.emplace_back(i, destination.status());
      continue;
    }
    const bool prepare = messages[i].type == MessageType::kTransaction;
    const auto [part, is_new] =
        parts.try_emplace({destination->target.shard, destination->queue, prepare, messages[i].lite_topic});
    if (is_new) {
      part->second.destination = *destination;
      part->second.call = call;
      part->second.call.prepare = prepare;
      part->second.call.lite_topic = messages[i].lite_topic;
    }
    part->second.call.messages.push_back(std::move(messages[i].message));
    part->second.numbers.push_back(i);
  }
  if (parts.size() == 1 && lost.empty()) {
    Part& part = parts.begin()->second;
    return SendTo(part.destination, std::move(part.call), std::move(done));
  }
  const auto gathering = std::make_shared<Gathering>();
  {
    MutexLock lock(&gathering->mu);
    gathering->result.entries.resize(messages.size());
    gathering->missing = parts.size() + lost.size();
  }
  gathering->done = std::move(done);
  for (auto& [number, why] : lost) gathering->Arrived({number}, {std::move(why), {}});
  for (auto& [place, part] : parts) {
    SendTo(part.destination, std::move(part.call), [gathering, numbers = std::move(part.numbers)](AppendResult result) {
      gathering->Arrived(numbers, std::move(result));
    });
  }
}

void Sender::SendTo(const Destination& destination, AppendCall call, Callback<AppendResult> done) {
  const Target target = destination.target;
  call.shard = target.shard;
  call.queue = destination.queue;
  AppendCall again = call;  // Shares the bytes.
  auto answered = [this, target, again = std::move(again), done = std::move(done)](AppendResult result) mutable {
    BrokerApi* const leader = result.status.ok() ? nullptr : router_->SecondTry(result.status, target);
    SetShard(target.shard, &result);
    if (leader == nullptr) return done(std::move(result));
    leader->Append(std::move(again), [shard = target.shard, done = std::move(done)](AppendResult second) mutable {
      SetShard(shard, &second);
      done(std::move(second));
    });
  };
  target.broker->Append(std::move(call), std::move(answered));
}

}  // namespace barid::proxy
