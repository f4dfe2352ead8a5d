#include "proxy/validation.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/lite_topic.h"
#include "base/status.h"
#include "proxy/refusal.h"

namespace barid::proxy {
namespace {

constexpr size_t kMaxMessageIdBytes = 255;
constexpr size_t kMaxMessageGroupBytes = 63;
constexpr size_t kMaxQuotedBytes = 64;

bool IsBlank(absl::string_view text) { return absl::StripAsciiWhitespace(text).empty(); }

// C0, DEL and C1 (as UTF-8): what java.lang.Character.isISOControl means.
bool HasControl(absl::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7f) return true;
    if (c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) return true;
  }
  return false;
}

std::string Quote(absl::string_view text) {
  if (text.size() <= kMaxQuotedBytes) return absl::StrCat("\"", absl::Utf8SafeCHexEscape(text), "\"");
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, kMaxQuotedBytes)), "...\"");
}

absl::Status RefuseMessage(Reason reason, int index, absl::string_view sentence) {
  return Refuse(reason, absl::StrCat("message ", index, ": ", sentence));
}

// Names that RocketMQ's brokers keep for themselves among a message's properties (shared by all its clients).
bool IsReservedProperty(absl::string_view name) {
  static const auto* const kReserved = new absl::flat_hash_set<absl::string_view>({
      "TRACE_ON",
      "MSG_REGION",
      "KEYS",
      "TAGS",
      "WAIT",
      "DELAY",
      "RETRY_TOPIC",
      "REAL_TOPIC",
      "REAL_QID",
      "TRAN_MSG",
      "PGROUP",
      "MIN_OFFSET",
      "MAX_OFFSET",
      "BUYER_ID",
      "ORIGIN_MESSAGE_ID",
      "TRANSFER_FLAG",
      "CORRECTION_FLAG",
      "MQ2_FLAG",
      "RECONSUME_TIME",
      "UNIQ_KEY",
      "EXTEND_UNIQ_INFO",
      "MAX_RECONSUME_TIMES",
      "CONSUME_START_TIME",
      "TRAN_PREPARED_QUEUE_OFFSET",
      "TRANSACTION_CHECK_TIMES",
      "CHECK_IMMUNITY_TIME_IN_SECONDS",
      "__transactionId__",
      "INSTANCE_ID",
      "CORRELATION_ID",
      "REPLY_TO_CLIENT",
      "TTL",
      "ARRIVE_TIME",
      "PUSH_REPLY_TIME",
      "CLUSTER",
      "MSG_TYPE",
      "POP_CK",
      "POP_CK_OFFSET",
      "1ST_POP_TIME",
      "__SHARDINGKEY",
      "PROPERTY_FORWARD_QUEUE_ID",
      "REDIRECT",
      "INNER_MULTI_DISPATCH",
      "INNER_MULTI_QUEUE_OFFSET",
      "INNER_NUM",
      "INNER_BASE",
      "DUP_INFO",
      "TRACE_CONTEXT",
      "TIMER_DELAY_SEC",
      "TIMER_DELAY_MS",
      "TIMER_DELIVER_MS",
      "TIMER_ENQUEUE_MS",
      "TIMER_DEQUEUE_MS",
      "TIMER_ROLL_TIMES",
      "TIMER_OUT_MS",
      "TIMER_DEL_UNIQKEY",
      "TIMER_DELAY_LEVEL",
      "__BORNHOST",
      "BORN_TIMESTAMP",
      "__CRC32#",
      "DLQ_ORIGIN_TOPIC",
      "DLQ_ORIGIN_MESSAGE_ID",
      "__LITE_TOPIC",
      "_SYS_MSG_PRIORITY_",
  });
  return kReserved->contains(name) || absl::StartsWith(name, "__RMQ.TRANSIENT.");
}

absl::Status CheckNamespace(Reason reason, absl::string_view space) {
  if (space.empty() || ValidateTopicName(space).ok()) return absl::OkStatus();
  return Refuse(reason, absl::StrCat("the namespace is ", Quote(space), ", expected at most ", kMaxTopicNameBytes,
                                     " bytes of ^[%|a-zA-Z0-9_-]*$"));
}

absl::Status CheckProperties(const MessageDraft& draft, int index, const ProxyLimits& limits) {
  if (static_cast<int64_t>(draft.properties.size()) > limits.max_properties) {
    return RefuseMessage(Reason::kMessagePropertiesTooLarge, index,
                         absl::StrCat("it has ", draft.properties.size(), " properties, at most ",
                                      limits.max_properties, " are allowed"));
  }
  size_t bytes = draft.tag ? draft.tag->size() : 0;
  for (const absl::string_view key : draft.keys) bytes += key.size();
  for (const auto& [name, value] : draft.properties) {
    bytes += name.size() + value.size();
    if (IsBlank(name)) {
      return RefuseMessage(Reason::kIllegalMessagePropertyKey, index,
                           "a property has a blank name, expected a visible one");
    }
    if (IsReservedProperty(name)) {
      return RefuseMessage(
          Reason::kIllegalMessagePropertyKey, index,
          absl::StrCat("the property ", Quote(name), " is reserved for the server, choose another name"));
    }
    if (HasControl(name) || HasControl(value)) {
      return RefuseMessage(
          Reason::kIllegalMessagePropertyKey, index,
          absl::StrCat("the property ", Quote(name), " has a control character in its name or value, expected none"));
    }
  }
  if (static_cast<int64_t>(bytes) > limits.max_properties_bytes) {
    return RefuseMessage(Reason::kMessagePropertiesTooLarge, index,
                         absl::StrCat("its properties with tag and keys have ", bytes, " bytes, at most ",
                                      limits.max_properties_bytes, " are allowed"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTopic(const ResourceName& name) {
  if (const absl::Status status = ValidateTopicName(name.name); !status.ok()) {
    return Refuse(Reason::kIllegalTopic, status.message());
  }
  return CheckNamespace(Reason::kIllegalTopic, name.space);
}

absl::Status CheckGroup(const ResourceName& name) {
  if (const absl::Status status = ValidateGroupName(name.name); !status.ok()) {
    return Refuse(Reason::kIllegalConsumerGroup, status.message());
  }
  return CheckNamespace(Reason::kIllegalConsumerGroup, name.space);
}

absl::Status CheckMessage(const MessageDraft& draft, int index, const ProxyLimits& limits) {
  if (IsBlank(draft.message_id)) {
    return RefuseMessage(Reason::kIllegalMessageId, index, "its message id is blank, expected 1 to 255 bytes");
  }
  if (draft.message_id.size() > kMaxMessageIdBytes) {
    return RefuseMessage(Reason::kIllegalMessageId, index,
                         absl::StrCat("its message id has ", draft.message_id.size(), " bytes, at most ",
                                      kMaxMessageIdBytes, " are allowed"));
  }
  if (draft.tag) {
    if (IsBlank(*draft.tag)) {
      return RefuseMessage(Reason::kIllegalMessageTag, index,
                           "its tag is blank, expected a visible one or none at all");
    }
    if (absl::StrContains(*draft.tag, "|") || HasControl(*draft.tag)) {
      return RefuseMessage(
          Reason::kIllegalMessageTag, index,
          absl::StrCat("its tag is ", Quote(*draft.tag), ", expected neither \"|\" nor control characters"));
    }
  }
  for (const absl::string_view key : draft.keys) {
    if (IsBlank(key))
      return RefuseMessage(Reason::kIllegalMessageKey, index, "one of its keys is blank, expected a visible one");
    if (HasControl(key)) {
      return RefuseMessage(Reason::kIllegalMessageKey, index,
                           absl::StrCat("its key ", Quote(key), " has a control character, expected none"));
    }
  }
  if (draft.message_group) {
    if (IsBlank(*draft.message_group)) {
      return RefuseMessage(Reason::kIllegalMessageGroup, index,
                           "its message group is blank, expected a visible one or none at all");
    }
    if (draft.message_group->size() > kMaxMessageGroupBytes) {
      return RefuseMessage(Reason::kIllegalMessageGroup, index,
                           absl::StrCat("its message group has ", draft.message_group->size(), " bytes, at most ",
                                        kMaxMessageGroupBytes, " are allowed"));
    }
    if (HasControl(*draft.message_group)) {
      return RefuseMessage(
          Reason::kIllegalMessageGroup, index,
          absl::StrCat("its message group ", Quote(*draft.message_group), " has a control character, expected none"));
    }
  }
  RETURN_IF_ERROR(CheckProperties(draft, index, limits));
  if (draft.body.empty()) {
    return RefuseMessage(Reason::kMessageBodyEmpty, index, "its body is empty, expected at least one byte");
  }
  return absl::OkStatus();
}

absl::Status CheckMessageAgainstTopic(const MessageDraft& draft, int index, const TopicMetadata& topic,
                                      const ProxyOptions& options) {
  if (IsDeadLetterTopic(topic.id)) {
    return Refuse(Reason::kForbidden,
                  absl::StrCat("the topic ", topic.name.ToString(),
                               " is a dead-letter topic: it can be received from, only the server adds to it"));
  }
  if (IsDiscardedTopic(topic.id)) {
    return Refuse(Reason::kForbidden,
                  absl::StrCat("the topic ", topic.name.ToString(), " has what was discarded of the transactions of ",
                               "another: it can be received from, only the server adds to it"));
  }
  const int64_t max_body_bytes = std::min(topic.max_message_bytes, options.limits.max_body_bytes);
  if (static_cast<int64_t>(draft.body.size()) > max_body_bytes) {
    return RefuseMessage(Reason::kMessageBodyTooLarge, index,
                         absl::StrCat("its body has ", draft.body.size(), " bytes, the topic ", topic.name.ToString(),
                                      " takes at most ", max_body_bytes));
  }
  const auto conflict = [index](absl::string_view sentence) {
    return RefuseMessage(Reason::kMessagePropertyConflictWithType, index, sentence);
  };
  const std::string type = absl::AsciiStrToUpper(MessageTypeName(draft.type));
  const std::vector<MessageType> taken = TakenTypes(topic.type, options.enforce_message_types);
  if (std::find(taken.begin(), taken.end(), draft.type) == taken.end()) {
    return conflict(absl::StrCat("its type is ", type, ", the topic ", topic.name.ToString(), " takes ",
                                 absl::StrJoin(taken, ", ", [](std::string* out, MessageType one) {
                                   absl::StrAppend(out, absl::AsciiStrToUpper(MessageTypeName(one)));
                                 })));
  }
  const bool is_delay = draft.type == MessageType::kDelay;
  const bool is_fifo = draft.type == MessageType::kFifo;
  const bool is_priority = draft.type == MessageType::kPriority;
  const bool is_lite = draft.type == MessageType::kLite;
  if (!is_delay && !is_fifo && !is_priority && !is_lite && draft.type != MessageType::kNormal &&
      draft.type != MessageType::kTransaction) {
    return conflict(
        absl::StrCat("its type is ", type, ", known are NORMAL, FIFO, DELAY, TRANSACTION, LITE and PRIORITY"));
  }
  absl::string_view foreign;
  if (draft.message_group && !is_fifo) foreign = "message group";
  if (draft.delivery_time && !is_delay) foreign = "delivery time";
  if (draft.priority && !is_priority) foreign = "priority";
  if (draft.lite_topic && !is_lite) foreign = "lite topic";
  if (!foreign.empty()) {
    return conflict(
        absl::StrCat("its type is ", type, " and it has a ", foreign, ", expected none in a ", type, " message"));
  }
  if (is_fifo && !draft.message_group) {
    return RefuseMessage(Reason::kIllegalMessageGroup, index,
                         "its type is FIFO and it has no message group, expected one");
  }
  if (is_lite) {
    if (!draft.lite_topic) {
      return RefuseMessage(Reason::kIllegalLiteTopic, index, "its type is LITE and it has no lite topic, expected one");
    }
    const absl::Status legal = ValidateLiteTopic(*draft.lite_topic);
    if (!legal.ok()) return RefuseMessage(Reason::kIllegalLiteTopic, index, legal.message());
  }
  if (is_delay && !draft.delivery_time) return conflict("its type is DELAY and it has no delivery time, expected one");
  if (is_priority && !draft.priority) return conflict("its type is PRIORITY and it has no priority, expected one");
  if (is_priority && *draft.priority < 0) {
    return RefuseMessage(Reason::kBadRequest, index,
                         absl::StrCat("its priority is ", *draft.priority, ", expected 0 (the lowest) to ",
                                      kPriorityLevels - 1, ", or more, which is the same as that"));
  }
  return absl::OkStatus();
}

std::vector<MessageType> TakenTypes(MessageType topic, bool enforce_types) {
  std::vector<MessageType> taken = {topic};
  if (enforce_types || topic == MessageType::kLite) return taken;
  for (const MessageType type :
       {MessageType::kNormal, MessageType::kFifo, MessageType::kDelay, MessageType::kPriority}) {
    if (type != topic) taken.push_back(type);
  }
  return taken;
}

absl::Status CheckDeliveryTime(const MessageDraft& draft, int index, absl::Time now, absl::Duration max_delay) {
  if (!draft.delivery_time || *draft.delivery_time - now <= max_delay) return absl::OkStatus();
  return RefuseMessage(
      Reason::kIllegalDeliveryTime, index,
      absl::StrCat("its delivery time is ", absl::FormatDuration(*draft.delivery_time - now), " ahead, at most ",
                   absl::FormatDuration(max_delay), " are allowed (setting proxy.max_delay)"));
}

absl::Status CheckRecovery(const MessageDraft& draft, int index, absl::Duration recovery, absl::Duration max_recovery) {
  if (draft.type != MessageType::kTransaction) {
    return RefuseMessage(Reason::kMessagePropertyConflictWithType, index,
                         absl::StrCat("its type is ", absl::AsciiStrToUpper(MessageTypeName(draft.type)),
                                      " and it has an orphaned transaction recovery duration, expected none"));
  }
  if (recovery > absl::ZeroDuration() && recovery <= max_recovery) return absl::OkStatus();
  return RefuseMessage(Reason::kBadRequest, index,
                       absl::StrCat("its orphaned transaction recovery duration is ", absl::FormatDuration(recovery),
                                    ", expected more than 0 and at most ", absl::FormatDuration(max_recovery),
                                    " (setting proxy.max_transaction_recovery)"));
}

absl::StatusOr<std::vector<std::string>> ParseTagExpression(absl::string_view expression, int max_tags) {
  std::vector<std::string> tags;
  if (IsBlank(expression)) return tags;
  for (absl::string_view part : absl::StrSplit(expression, "||")) {
    part = absl::StripAsciiWhitespace(part);
    if (part == "*") return std::vector<std::string>();
    if (part.empty() || absl::StrContains(part, "|") || HasControl(part)) {
      return Refuse(Reason::kIllegalFilterExpression, absl::StrCat("the filter expression is ", Quote(expression),
                                                                   ", expected \"*\" or tags like \"a || b\""));
    }
    if (std::find(tags.begin(), tags.end(), part) == tags.end()) tags.emplace_back(part);
    if (static_cast<int>(tags.size()) > max_tags) {
      return Refuse(Reason::kIllegalFilterExpression,
                    absl::StrCat("the filter expression has more than ", max_tags, " tags, that many are allowed"));
    }
  }
  return tags;
}

absl::Status CheckSqlExpression(absl::string_view expression, filter::FilterCache* cache) {
  const absl::Status read = cache->Get(expression).status();
  if (read.ok()) return read;
  return Refuse(Reason::kIllegalFilterExpression, absl::StrCat("the SQL filter cannot be read at ", read.message()));
}

absl::Status CheckReceiveInvisible(absl::Duration invisible, const ProxyOptions& options) {
  if (invisible >= options.min_invisible && invisible <= options.max_invisible) return absl::OkStatus();
  return Refuse(
      Reason::kIllegalInvisibleTime,
      absl::StrCat("the invisible duration is ", absl::FormatDuration(invisible), ", expected ",
                   absl::FormatDuration(options.min_invisible), " to ", absl::FormatDuration(options.max_invisible)));
}

absl::Status CheckChangedInvisible(absl::Duration invisible, const ProxyOptions& options) {
  if (invisible >= absl::ZeroDuration() && invisible <= options.max_invisible) return absl::OkStatus();
  return Refuse(Reason::kIllegalInvisibleTime,
                absl::StrCat("the invisible duration is ", absl::FormatDuration(invisible), ", expected 0 to ",
                             absl::FormatDuration(options.max_invisible)));
}

absl::Duration PollTime(absl::Duration asked, absl::Duration remaining, const ProxyOptions& options) {
  absl::Duration poll = std::min(remaining - options.poll_margin, options.max_poll);
  if (asked >= absl::ZeroDuration()) poll = std::min(poll, asked);
  return std::max(poll, absl::ZeroDuration());
}

}  // namespace barid::proxy
