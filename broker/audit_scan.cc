#include "broker/audit_scan.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/status.h"
#include "broker/index.h"
#include "broker/sealed_entry.h"

namespace barid::broker {
namespace {

constexpr size_t kGroupBytes = 8;
constexpr size_t kGroupTopicBytes = 16;
constexpr size_t kQueueBytes = 12;  // Of a queue in a key: topic and queue.
constexpr int64_t kOffsetsPerBlock = 256;

uint64_t Number(absl::string_view key) {
  uint64_t number = 0;
  GetOrdered64(&key, &number);
  return number;
}

// The first key behind all that begin with `prefix`, whose last byte is not 0xff in any key here but those of numbers,
// for which the carry goes on to the left.
std::string Behind(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

std::string After(absl::string_view key) { return absl::StrCat(key, absl::string_view("\0", 1)); }

absl::Status Unreadable(absl::string_view kind) {
  return absl::DataLossError(absl::StrCat("checkpoint entry of kind '", kind.substr(0, 1), "': does not parse"));
}

}  // namespace

void AuditScan::Compare(const char* count, GroupId group, TopicId topic, int64_t counted, int64_t found,
                        absl::string_view origin) {
  ++counts_;
  if (counted != found) mismatches_.push_back({count, group, topic, std::string(origin), counted, found});
}

absl::StatusOr<std::string> AuditScan::Read(const std::string& key) {
  --budget_;
  const absl::StatusOr<std::string> bytes = checkpoint_->Get(key);
  if (absl::IsNotFound(bytes.status())) return std::string();
  RETURN_IF_ERROR(bytes.status());
  absl::string_view value = *bytes;
  RETURN_IF_ERROR(OpenSealed(key, &value));
  return std::string(value);
}

absl::StatusOr<bool> AuditScan::Visit(const std::string& end, Visitor visit) {
  absl::Status error;
  bool complete = true;
  std::string position = position_;
  const absl::Status scanned = checkpoint_->Scan(position_, end, [&](absl::string_view key, absl::string_view value) {
    if (budget_ <= 0) {
      complete = false;
      return false;
    }
    --budget_;
    position = After(key);
    // An index block has a checksum of its own.
    if (key[0] != 'i') error = OpenSealed(key, &value);
    if (error.ok()) error = visit(key, value);
    return error.ok();
  });
  position_ = std::move(position);
  RETURN_IF_ERROR(scanned);
  RETURN_IF_ERROR(error);
  return complete;
}

void AuditScan::Enter(Phase phase, std::string first) {
  phase_ = phase;
  position_ = std::move(first);
}

absl::StatusOr<bool> AuditScan::Step(int64_t entries) {
  budget_ = entries;
  while (budget_ > 0 && phase_ != Phase::kDone) {
    bool complete = false;
    switch (phase_) {
      case Phase::kStart:
        RETURN_IF_ERROR(Start());
        break;
      case Phase::kCursors:
        RETURN_IF_ERROR(ContinueCursors());
        break;
      case Phase::kGroups: {
        // Counts of what has no cursor: those that have one were compared there.
        ASSIGN_OR_RETURN(
            complete, Visit("eh", [&](absl::string_view key, absl::string_view value) -> absl::Status {
              const std::string cursors = absl::StrCat("c", key.substr(2));
              bool has_cursor = false;
              RETURN_IF_ERROR(checkpoint_->Scan(cursors, Behind(cursors), [&](absl::string_view, absl::string_view) {
                has_cursor = true;
                return false;
              }));
              int64_t ready = 0;
              if (key.size() != 2 + kGroupTopicBytes || !GetFixed(&value, &ready)) return Unreadable(key);
              if (!has_cursor)
                Compare("ready", GroupId(Number(key.substr(2))), TopicId(Number(key.substr(2 + kGroupBytes))), ready,
                        0);
              return absl::OkStatus();
            }));
        if (complete) Enter(Phase::kTimers, "t");
        break;
      }
      case Phase::kTimers: {
        ASSIGN_OR_RETURN(complete, Visit("u", [&](absl::string_view key, absl::string_view value) -> absl::Status {
                           uint64_t topic = 0;
                           if (!GetVarint(&value, &topic)) return Unreadable(key);
                           ++delayed_[topic];
                           return absl::OkStatus();
                         }));
        if (complete) Enter(Phase::kDelayed, "et");
        break;
      }
      case Phase::kDelayed: {
        ASSIGN_OR_RETURN(complete, Visit("eu", [&](absl::string_view key, absl::string_view value) -> absl::Status {
                           int64_t counted = 0;
                           if (!GetFixed(&value, &counted)) return Unreadable(key);
                           const uint64_t topic = Number(key.substr(2));
                           const auto found = delayed_.find(topic);
                           Compare("delayed", GroupId(), TopicId(topic), counted,
                                   found == delayed_.end() ? 0 : found->second);
                           if (found != delayed_.end()) delayed_.erase(found);
                           return absl::OkStatus();
                         }));
        if (!complete) break;
        for (const auto& [topic, found] : delayed_) Compare("delayed", GroupId(), TopicId(topic), 0, found);
        std::string first = "i";
        PutOrdered64(&first, kDeadLetterBit);
        Enter(Phase::kIndex, std::move(first));
        break;
      }
      case Phase::kIndex: {
        ASSIGN_OR_RETURN(complete, Visit("j", [&](absl::string_view key, absl::string_view value) {
                           return VisitBlock(key, value);
                         }));
        if (complete) Enter(Phase::kDeadLetters, "ed");
        break;
      }
      case Phase::kDeadLetters: {
        const auto compare = [&](absl::string_view name, int64_t counted, int64_t found) {
          const GroupId group(Number(name));
          Compare("dead-lettered", group, DeadLetterTopicId(group), counted, found, name.substr(kGroupBytes));
        };
        ASSIGN_OR_RETURN(complete, Visit("ee", [&](absl::string_view key, absl::string_view value) -> absl::Status {
                           int64_t counted = 0;
                           if (!GetFixed(&value, &counted)) return Unreadable(key);
                           const auto found = dead_letters_.find(std::string(key.substr(2)));
                           compare(key.substr(2), counted, found == dead_letters_.end() ? 0 : found->second);
                           if (found != dead_letters_.end()) dead_letters_.erase(found);
                           return absl::OkStatus();
                         }));
        if (!complete) break;
        for (const auto& [name, found] : dead_letters_) compare(name, 0, found);
        Enter(Phase::kEmpty, "f");
        break;
      }
      case Phase::kEmpty: {
        // Marks of blocks that are not there; those that are were compared there.
        ASSIGN_OR_RETURN(complete, Visit("g", [&](absl::string_view key, absl::string_view) -> absl::Status {
                           const absl::StatusOr<std::string> block = checkpoint_->Get(absl::StrCat("i", key.substr(1)));
                           if (!absl::IsNotFound(block.status())) return block.status();
                           Compare("empty offsets", DeadLetterGroup(TopicId(Number(key.substr(1)))),
                                   TopicId(Number(key.substr(1))), 1, 0);
                           return absl::OkStatus();
                         }));
        if (complete) phase_ = Phase::kDone;
        break;
      }
      case Phase::kDone:
        break;
    }
  }
  return phase_ == Phase::kDone;
}

absl::Status AuditScan::Start() {
  ASSIGN_OR_RETURN(const std::string meta, Read("m"));
  ASSIGN_OR_RETURN(const std::string mark, Read("e"));
  if (meta.size() < sizeof(LogIndex) || mark.size() != sizeof(LogIndex) || meta.substr(0, mark.size()) != mark) {
    return absl::NotFoundError("the checkpoint has no counts");
  }
  next_cursor_ = "c";
  phase_ = Phase::kCursors;
  return absl::OkStatus();
}

absl::Status AuditScan::NextCursor() {
  std::string key;
  std::string value;
  absl::Status error;
  --budget_;
  RETURN_IF_ERROR(checkpoint_->Scan(next_cursor_, "d", [&](absl::string_view name, absl::string_view bytes) {
    error = OpenSealed(name, &bytes);
    key = std::string(name);
    value = std::string(bytes);
    return false;
  }));
  RETURN_IF_ERROR(error);
  const bool is_last = key.empty();
  const std::string group_topic = is_last ? "" : key.substr(1, kGroupTopicBytes);
  if (group_topic != group_topic_) {
    if (!group_topic_.empty()) RETURN_IF_ERROR(CompareGroup());
    group_topic_ = group_topic;
    found_ = GroupFigures();
  }
  if (is_last) {
    Enter(Phase::kGroups, "eg");
    return absl::OkStatus();
  }
  next_cursor_ = After(key);
  cursor_ = key.substr(1);
  absl::string_view in = value;
  if (cursor_.size() != kGroupBytes + kQueueBytes || !GetFixed(&in, &next_)) return Unreadable("c");
  int64_t first = 0;
  RETURN_IF_ERROR(ReadQueue(cursor_.substr(kGroupBytes), &first, &end_));
  empty_above_ = invisible_ = free_ = 0;
  locked_.clear();
  waiting_.clear();
  part_ = Part::kDeliveries;
  position_ = "d" + cursor_;
  return absl::OkStatus();
}

absl::Status AuditScan::ContinueCursors() {
  switch (part_) {
    case Part::kNone:
      return NextCursor();
    case Part::kDeliveries: {
      ASSIGN_OR_RETURN(
          const bool complete,
          Visit(Behind("d" + cursor_), [&](absl::string_view key, absl::string_view value) -> absl::Status {
            while (!value.empty()) {
              uint64_t offset = 0;
              uint64_t attempts = 0;
              uint64_t nonce = 0;
              int64_t until = 0;
              uint8_t flags = 0;
              uint64_t attempt_id = 0;
              absl::string_view client;
              uint64_t message_group = 0;
              if (!GetVarint(&value, &offset) || !GetVarint(&value, &attempts) || !GetVarint(&value, &nonce) ||
                  !GetSignedVarint(&value, &until) || !GetFixed(&value, &flags) || !GetFixed(&value, &attempt_id) ||
                  !GetLengthPrefixed(&value, &client) || ((flags & 8) != 0 && !GetFixed(&value, &message_group))) {
                return Unreadable(key);
              }
              const bool is_visible = (flags & 1) != 0;
              if (!is_visible) {
                ++invisible_;
                if (message_group != 0) locked_.insert(message_group);
              } else if (message_group == 0) {
                ++free_;
              } else {
                ++waiting_[message_group];
              }
            }
            return absl::OkStatus();
          }));
      if (!complete) return absl::OkStatus();
      part_ = Part::kParked;
      position_ = "w" + cursor_;
      return absl::OkStatus();
    }
    case Part::kParked: {
      ASSIGN_OR_RETURN(
          const bool complete,
          Visit(Behind("w" + cursor_), [&](absl::string_view key, absl::string_view value) -> absl::Status {
            while (!value.empty()) {
              uint64_t offset = 0;
              uint64_t message_group = 0;
              if (!GetVarint(&value, &offset) || !GetFixed(&value, &message_group)) return Unreadable(key);
              if (message_group == 0) {
                ++free_;
              } else {
                ++waiting_[message_group];
              }
            }
            return absl::OkStatus();
          }));
      if (!complete) return absl::OkStatus();
      part_ = Part::kAbove;
      const std::string queue = cursor_.substr(kGroupBytes);
      position_ = "i" + queue;
      PutOrdered64(&position_, static_cast<uint64_t>(next_ / kOffsetsPerBlock));
      return absl::OkStatus();
    }
    case Part::kAbove: {
      // Only dead-letter queues have offsets without a message.
      const std::string queue = cursor_.substr(kGroupBytes);
      if (IsDeadLetterTopic(TopicId(Number(queue)))) {
        ASSIGN_OR_RETURN(
            const bool complete,
            Visit(Behind("i" + queue), [&](absl::string_view key, absl::string_view value) -> absl::Status {
              ASSIGN_OR_RETURN(const IndexBlock block, DecodeIndexBlock(value));
              int64_t offset = static_cast<int64_t>(Number(key.substr(1 + kQueueBytes))) * kOffsetsPerBlock;
              for (const IndexEntry& entry : block.entries) {
                if (offset >= next_ && offset < end_ && entry.index == 0) ++empty_above_;
                ++offset;
              }
              return absl::OkStatus();
            }));
        if (!complete) return absl::OkStatus();
      }
      CountCursor();
      part_ = Part::kNone;
      return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

void AuditScan::CountCursor() {
  found_.in_flight += invisible_;
  found_.ready += end_ - next_ - empty_above_ + free_;
  for (const auto& [message_group, count] : waiting_)
    (locked_.contains(message_group) ? found_.blocked : found_.ready) += count;
}

absl::Status AuditScan::CompareGroup() {
  ASSIGN_OR_RETURN(const std::string bytes, Read("eg" + group_topic_));
  absl::string_view in = bytes;
  GroupFigures counted;
  if (!in.empty() &&
      (!GetFixed(&in, &counted.ready) || !GetFixed(&in, &counted.in_flight) || !GetFixed(&in, &counted.blocked))) {
    return Unreadable("e");
  }
  const GroupId group(Number(group_topic_));
  const TopicId topic(Number(absl::string_view(group_topic_).substr(kGroupBytes)));
  Compare("ready", group, topic, counted.ready, found_.ready);
  Compare("in flight", group, topic, counted.in_flight, found_.in_flight);
  Compare("blocked", group, topic, counted.blocked, found_.blocked);
  return absl::OkStatus();
}

absl::Status AuditScan::ReadQueue(absl::string_view queue, int64_t* first, int64_t* end) {
  ASSIGN_OR_RETURN(const std::string bytes, Read(absl::StrCat("q", queue)));
  absl::string_view in = bytes;
  *first = *end = 0;
  if (!in.empty() && (!GetFixed(&in, first) || !GetFixed(&in, end))) return Unreadable("q");
  return absl::OkStatus();
}

absl::Status AuditScan::VisitBlock(absl::string_view key, absl::string_view value) {
  const absl::string_view queue = key.substr(1, kQueueBytes);
  if (queue != queue_) {
    queue_ = std::string(queue);
    RETURN_IF_ERROR(ReadQueue(queue_, &queue_first_, &queue_end_));
  }
  ASSIGN_OR_RETURN(const IndexBlock block, DecodeIndexBlock(value));
  ASSIGN_OR_RETURN(const std::string marks, Read(absl::StrCat("f", key.substr(1))));
  const int64_t base = static_cast<int64_t>(Number(key.substr(1 + kQueueBytes))) * kOffsetsPerBlock;
  int64_t marked = 0;
  int64_t empty = 0;
  for (size_t i = 0; i < block.entries.size(); ++i) {
    const int64_t offset = base + static_cast<int64_t>(i);
    if (offset < queue_first_ || offset >= queue_end_) continue;
    const bool is_marked = i / 8 < marks.size() && (static_cast<unsigned char>(marks[i / 8]) >> (i % 8) & 1) != 0;
    const bool is_empty = block.entries[i].index == 0;
    marked += is_marked ? 1 : 0;
    empty += is_empty ? 1 : 0;
    if (is_empty) continue;
    const auto provenance = block.provenance.find(offset);
    const TopicId topic(Number(queue));
    std::string name;
    PutOrdered64(&name, DeadLetterGroup(topic).value());
    if (provenance != block.provenance.end()) name += provenance->second.topic;
    ++dead_letters_[name];
  }
  const TopicId topic(Number(queue));
  Compare("empty offsets", DeadLetterGroup(topic), topic, marked, empty);
  return absl::OkStatus();
}

}  // namespace barid::broker
