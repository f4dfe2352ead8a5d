#include "broker/lookup_keys.h"

#include <algorithm>
#include <type_traits>
#include <variant>

#include "base/hash.h"
#include "base/status.h"
#include "base/stored_message.h"

namespace barid::broker {
namespace {

// Seeds, and first numbers: they keep the kinds apart.
constexpr uint64_t kIdKind = 1;
constexpr uint64_t kKeyKind = 2;
constexpr uint64_t kOriginKind = 3;
constexpr uint64_t kLifeKind = 4;
constexpr uint64_t kQueueKind = 5;
constexpr uint64_t kTopicKind = 6;

using Visit = absl::FunctionRef<void(uint64_t)>;

void VisitOffset(const QueueKey& queue, QueueOffset offset, Visit visit) { visit(LifeHashOf(queue, offset)); }

template <typename Offsets>
void VisitOffsets(const QueueKey& queue, const Offsets& offsets, Visit visit) {
  int64_t last = -1;
  for (const QueueOffset offset : offsets) {
    if (offset / kLifeBlock == last) continue;
    last = offset / kLifeBlock;
    visit(LifeHash(queue, last));
  }
}

void VisitRange(const QueueKey& queue, QueueOffset from, QueueOffset to, Visit visit) {
  for (int64_t block = from / kLifeBlock; block * kLifeBlock < to; ++block) visit(LifeHash(queue, block));
}

void VisitRef(const log::DeliveryRef& ref, Visit visit) { VisitOffset(KeyOf(ref.queue()), ref.offset(), visit); }

// Of one command; those that are not named have nothing to do with one message.
template <typename T>
void VisitCommand(const T& command, Visit visit) {
  if constexpr (std::is_same_v<T, log::Deliver>) {
    const QueueKey queue = KeyOf(command.queue());
    VisitRange(queue, command.from(), command.to(), visit);
    VisitOffsets(queue, command.again_offsets(), visit);
    VisitOffsets(queue, command.unparked_offsets(), visit);
  } else if constexpr (std::is_same_v<T, log::Skip>) {
    const QueueKey queue = KeyOf(command.queue());
    VisitRange(queue, command.from(), command.to(), visit);
    VisitOffsets(queue, command.unwanted_offsets(), visit);
  } else if constexpr (std::is_same_v<T, log::Redeliver>) {
    VisitOffsets(KeyOf(command.queue()), command.offsets(), visit);
  } else if constexpr (std::is_same_v<T, log::Hold> || std::is_same_v<T, log::MakeVisible>) {
    for (const log::DeliveryRef& ref : command.deliveries()) VisitRef(ref, visit);
  } else if constexpr (std::is_same_v<T, log::Settle>) {
    for (const log::Settle::Entry& entry : command.entries()) VisitRef(entry.delivery(), visit);
  } else if constexpr (std::is_same_v<T, log::Move>) {
    VisitRef(command.delivery(), visit);
  } else if constexpr (std::is_same_v<T, log::Redrive>) {
    const QueueKey queue{DeadLetterTopicId(GroupId(command.group_id())), 0};
    for (const log::Redrive::Entry& entry : command.entries()) {
      VisitOffset(queue, entry.offset(), visit);
      visit(OriginHash(entry.log_index()));
    }
  } else if constexpr (std::is_same_v<T, log::OpenCursor> || std::is_same_v<T, log::Expire> ||
                       std::is_same_v<T, log::ConfigureQueue> || std::is_same_v<T, log::SeekCursor>) {
    visit(QueueHash(KeyOf(command.queue())));
  } else if constexpr (std::is_same_v<T, log::CloseSubscription>) {
    visit(TopicHash(TopicId(command.topic_id())));
  } else if constexpr (std::is_same_v<T, log::FireTimer> || std::is_same_v<T, log::CancelTimer>) {
    for (const log::TimerRef& ref : command.timers()) visit(OriginHash(ref.log_index()));
  } else if constexpr (std::is_same_v<T, log::EndTransaction> || std::is_same_v<T, log::CheckTransaction>) {
    for (const auto& entry : command.entries()) visit(OriginHash(entry.transaction().log_index()));
  }
}

template <typename T>
inline constexpr bool kHasMessages =
    std::is_same_v<T, log::Append> || std::is_same_v<T, log::Schedule> || std::is_same_v<T, log::Prepare>;

}  // namespace

uint64_t MessageIdHash(absl::string_view message_id) { return StableHash(message_id, kIdKind); }

uint64_t MessageKeyHash(TopicId topic, absl::string_view key) {
  return StableHash({kKeyKind, topic.value(), StableHash(key)});
}

uint64_t OriginHash(LogIndex index) { return StableHash({kOriginKind, index}); }

uint64_t LifeHash(const QueueKey& queue, int64_t block) {
  return StableHash({kLifeKind, queue.topic.value(), static_cast<uint64_t>(queue.queue), static_cast<uint64_t>(block)});
}

uint64_t QueueHash(const QueueKey& queue) {
  return StableHash({kQueueKind, queue.topic.value(), static_cast<uint64_t>(queue.queue)});
}

uint64_t TopicHash(TopicId topic) { return StableHash({kTopicKind, topic.value()}); }

void VisitMessages(const Command& command, size_t bulk_offset, absl::FunctionRef<void(const BulkMessage&)> visit) {
  std::visit(
      [&](const auto& c) {
        using T = std::decay_t<decltype(c)>;
        if constexpr (std::is_same_v<T, log::Carry>) {
          auto offset = static_cast<uint32_t>(bulk_offset);
          for (const log::Carry::Entry& entry : c.entries()) {
            BulkMessage message;
            message.queue = KeyOf(entry.origin().queue());
            message.entry = entry.origin().entry();
            message.offset = offset;
            message.bytes = entry.bytes();
            message.deliver_at = entry.origin().deliver_at();
            message.origin = &entry.origin();
            if (!entry.has_timer() && !entry.has_transaction())
              message.carried_at = {KeyOf(entry.queue()), entry.offset()};
            visit(message);
            offset += entry.bytes();
          }
        }
        if constexpr (kHasMessages<T>) {
          BulkMessage message;
          message.queue = KeyOf(c.queue());
          message.offset = static_cast<uint32_t>(bulk_offset);
          for (const auto& entry : c.entries()) {
            message.bytes = entry.bytes();
            if constexpr (std::is_same_v<T, log::Schedule>) message.deliver_at = entry.deliver_at();
            visit(message);
            message.offset += entry.bytes();
            ++message.entry;
          }
        }
      },
      command);
}

absl::Status VisitHashes(const storage::Record& record, Visit visit) {
  const absl::string_view payload = record.payload.view();
  ASSIGN_OR_RETURN(const Command command, DecodeCommand(record.header.type, payload));
  absl::Status status;
  VisitMessages(command, BulkOffset(payload), [&](const BulkMessage& message) {
    if (size_t{message.offset} + message.bytes > payload.size()) {
      status = absl::DataLossError("a record's messages are longer than its bulk");
      return;
    }
    const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(payload.substr(message.offset, message.bytes));
    // It is in its queue all the same; only it cannot be found by what it does not say.
    if (!view.ok()) return;
    visit(MessageIdHash(view->message_id));
    for (const absl::string_view key : view->keys) visit(MessageKeyHash(message.queue.topic, key));
  });
  std::visit(
      [&](const auto& c) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(c)>, std::monostate>) VisitCommand(c, visit);
      },
      command);
  return status;
}

}  // namespace barid::broker
