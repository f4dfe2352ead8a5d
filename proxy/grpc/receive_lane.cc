#include "proxy/grpc/receive_lane.h"

#include <algorithm>
#include <utility>

#include "codec/broker_codec.h"

namespace barid::proxy {
namespace {

constexpr int64_t kReceiveBytes = 128;
// No message is nearly as large. A head that says so must not make us reserve it.
constexpr uint64_t kMaxStoredBytes = uint64_t{1} << 30;

int64_t BytesOf(const ReceiveCall& call) {
  int64_t bytes = kReceiveBytes;
  bytes += static_cast<int64_t>(call.client_id.size() + call.attempt_id.size());
  for (const std::string& tag : call.tags) bytes += 2 + static_cast<int64_t>(tag.size());
  return bytes;
}

int64_t BytesOf(const PullCall& call) {
  int64_t bytes = kReceiveBytes + static_cast<int64_t>(call.sql.size());
  for (const std::string& tag : call.tags) bytes += 2 + static_cast<int64_t>(tag.size());
  return bytes;
}

SettleCall Undelivered(ShardId shard, GroupId group, const std::vector<Delivery>& deliveries) {
  SettleCall call;
  call.shard = shard;
  for (const Delivery& delivery : deliveries) {
    SettleEntry& entry = call.entries.emplace_back();
    entry.group = group;
    entry.queue = delivery.queue;
    entry.offset = delivery.offset;
    entry.nonce = delivery.nonce;
    entry.kind = SettleKind::kUndelivered;
  }
  return call;
}

}  // namespace

void ReceiveLane::Done::Run(absl::Status status, std::vector<Delivery> deliveries, QueueOffset next_offset) {
  if (receive != nullptr) receive({std::move(status), std::move(deliveries)});
  if (pull != nullptr) pull({std::move(status), std::move(deliveries), next_offset});
}

uint64_t ReceiveLane::Receive(ReceiveCall call, Callback<ReceiveResult> done) {
  Queued queued;
  queued.sent.done.receive = std::move(done);
  queued.sent.bytes = BytesOf(call);
  queued.sent.shard = call.shard;
  queued.sent.group = call.group;
  queued.sent.deadline = clock_->SinceBoot() + call.wait + options_.call_timeout;
  queued.call = std::move(call);
  return Begin(std::move(queued));
}

uint64_t ReceiveLane::Pull(PullCall call, Callback<PullResult> done) {
  Queued queued;
  queued.sent.done.pull = std::move(done);
  queued.sent.is_pull = true;
  queued.sent.bytes = BytesOf(call);
  queued.sent.shard = call.shard;
  queued.sent.deadline = clock_->SinceBoot() + call.wait + options_.call_timeout;
  queued.call = std::move(call);
  return Begin(std::move(queued));
}

uint64_t ReceiveLane::Begin(Queued queued) {
  absl::Status begun;
  uint64_t id = 0;
  Step step = Step::kNothing;
  bool must_watch = false;
  {
    MutexLock lock(&mu_);
    id = next_id_++;
    begun = BeginCallOf(queued.sent.bytes);
    if (begun.ok()) {
      queued.id = id;
      queue_.push_back(std::move(queued));
      step = NextStep();
      must_watch = MustWatchTimeouts();
    }
  }
  if (!begun.ok()) {
    queued.sent.done.Run(begun, {}, 0);
    return id;
  }
  if (must_watch) WatchTimeouts();
  Do(step);
  return id;
}

void ReceiveLane::Cancel(uint64_t id) {
  Done unsent;
  Step step = Step::kNothing;
  {
    MutexLock lock(&mu_);
    const auto queued = std::find_if(queue_.begin(), queue_.end(), [id](const Queued& call) { return call.id == id; });
    if (queued != queue_.end()) {
      EndCall(queued->sent.bytes);
      unsent = std::move(queued->sent.done);
      queue_.erase(queued);
    } else if (sent_.contains(id)) {
      cancels_.push_back(id);
      step = NextStep();
    }
  }
  if (unsent) return unsent.Run(absl::OkStatus(), {}, 0);
  Do(step);
}

bool ReceiveLane::Collect() {
  collected_.clear();
  int64_t bytes = 0;
  while (!queue_.empty() && bytes < kFrameBytes) {
    Queued& call = collected_.emplace_back(std::move(queue_.front()));
    queue_.pop_front();
    bytes += call.sent.bytes;
    sent_.emplace(call.id, std::move(call.sent));
  }
  collected_cancels_ = std::exchange(cancels_, {});
  return !collected_.empty() || !collected_cancels_.empty();
}

void ReceiveLane::Encode(broker_pb::ReceiveFrame* frame) {
  for (const Queued& call : collected_) {
    if (const auto* receive = std::get_if<ReceiveCall>(&call.call)) {
      broker_pb::Receive* const out = frame->add_receives();
      barid::Encode(*receive, out);
      out->set_id(call.id);
    } else {
      broker_pb::Pull* const out = frame->add_pulls();
      barid::Encode(std::get<PullCall>(call.call), out);
      out->set_id(call.id);
    }
  }
  for (const uint64_t id : collected_cancels_) frame->add_cancels(id);
  collected_.clear();
}

absl::Status ReceiveLane::Add(const broker_pb::Piece& piece, const Frame& frame, Sent* sent) {
  if (piece.has_delivery()) {
    const broker_pb::Delivery& head = piece.delivery();
    if (sent->expected != 0) return absl::InternalError("a delivery begins before the one before it is whole");
    if (head.stored_bytes() < head.stored().size() || head.stored_bytes() > kMaxStoredBytes) {
      return absl::InternalError(
          absl::StrCat("a message of ", head.stored_bytes(), " bytes begins with ", head.stored().size()));
    }
    Delivery& delivery = sent->deliveries.emplace_back(DecodeHead(head));
    if (head.stored().size() == head.stored_bytes()) {
      delivery.stored = Buffer(frame, head.stored());
    } else {
      sent->expected = head.stored_bytes();
      sent->partial.reserve(sent->expected);
      sent->partial = head.stored();
    }
    return absl::OkStatus();
  }
  // A message that is larger than a frame is put together here: one copy more than others have, so that a delivery is
  // one run of bytes and no frame lives longer than its own messages.
  if (!piece.has_more() || sent->partial.size() + piece.more().size() > sent->expected) {
    return absl::InternalError(absl::StrCat("a piece of ", piece.more().size(), " bytes after ", sent->partial.size(),
                                            " of ", sent->expected));
  }
  sent->partial.append(piece.more());
  if (sent->partial.size() == sent->expected) {
    sent->deliveries.back().stored = Buffer(std::exchange(sent->partial, {}));
    sent->expected = 0;
  }
  return absl::OkStatus();
}

absl::Status ReceiveLane::OnFrame(const Frame& frame) {
  std::vector<std::pair<Sent, const broker_pb::Piece*>> answered;
  absl::Status rules;
  {
    MutexLock lock(&mu_);
    for (const broker_pb::Piece& piece : frame->message->pieces()) {
      const auto it = sent_.find(piece.receive_id());
      if (it == sent_.end()) continue;
      if (!piece.has_end()) {
        rules = Add(piece, frame, &it->second);
      } else if (it->second.expected != 0) {
        rules = absl::InternalError("an answer ends before its last delivery is whole");
      } else {
        EndCall(it->second.bytes);
        answered.emplace_back(std::move(it->second), &piece);
        sent_.erase(it);
      }
      if (!rules.ok()) break;
    }
  }
  for (auto& [sent, end] : answered) {
    if (sent.done) {
      sent.done.Run(Decode(end->end()), std::move(sent.deliveries), end->next_offset());
    } else if (!sent.deliveries.empty() && !sent.is_pull) {
      settle_(Undelivered(sent.shard, sent.group, sent.deliveries));
    }
  }
  return rules;
}

void ReceiveLane::FailQueued(const absl::Status& why) {
  std::deque<Queued> failed;
  {
    MutexLock lock(&mu_);
    failed = std::exchange(queue_, {});
    for (const Queued& call : failed) EndCall(call.sent.bytes);
  }
  for (Queued& call : failed) call.sent.done.Run(why, {}, 0);
}

void ReceiveLane::FailSent(const absl::Status& why) {
  absl::flat_hash_map<uint64_t, Sent> failed;
  {
    MutexLock lock(&mu_);
    failed = std::exchange(sent_, {});
    cancels_.clear();
    for (const auto& [id, sent] : failed) EndCall(sent.bytes);
  }
  for (auto& [id, sent] : failed) {
    if (sent.done) sent.done.Run(absl::UnavailableError(why.message()), {}, 0);
  }
}

bool ReceiveLane::Expire(absl::Duration now) {
  std::vector<Done> expired;
  bool has_more = false;
  Step step = Step::kNothing;
  {
    MutexLock lock(&mu_);
    for (auto it = queue_.begin(); it != queue_.end();) {
      if (it->sent.deadline > now) {
        ++it;
        continue;
      }
      EndCall(it->sent.bytes);
      expired.push_back(std::move(it->sent.done));
      it = queue_.erase(it);
    }
    for (auto& [id, sent] : sent_) {
      if (!sent.done || sent.deadline > now) continue;
      expired.push_back(std::exchange(sent.done, Done()));
      cancels_.push_back(id);
    }
    has_more = !queue_.empty() || !sent_.empty();
    if (!cancels_.empty()) step = NextStep();
  }
  const absl::Status late = absl::UnavailableError(absl::StrCat(
      "broker ", name_, " did not answer within ", absl::FormatDuration(options_.call_timeout), " of the wait"));
  for (Done& done : expired) done.Run(late, {}, 0);
  Do(step);
  return has_more;
}

}  // namespace barid::proxy
