#include "broker/command.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/log.h"

namespace barid::broker {
namespace {

template <size_t... I>
absl::StatusOr<Command> Parse(uint16_t type, absl::string_view bytes, std::index_sequence<I...>) {
  Command command;
  bool known = false;
  bool parsed = false;
  const auto try_one = [&](auto index) {
    constexpr size_t kIndex = decltype(index)::value + 1;
    if (type != kIndex) return;
    known = true;
    parsed = command.emplace<kIndex>().ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  };
  (try_one(std::integral_constant<size_t, I>()), ...);
  if (!known) return absl::DataLossError(absl::StrCat("record of unknown type ", type));
  if (!parsed) return absl::DataLossError(absl::StrCat("a ", CommandName(type), " record does not parse"));
  return command;
}

}  // namespace

absl::string_view CommandName(uint16_t type) {
  static constexpr absl::string_view kNames[] = {
      "none",        "EpochStart",     "Append",         "OpenCursor",       "Deliver",   "Skip",
      "Hold",        "Settle",         "MakeVisible",    "ClientGone",       "Move",      "Expire",
      "Trim",        "ConfigureQueue", "StateHash",      "CloseGroup",       "Schedule",  "FireTimer",
      "CancelTimer", "Prepare",        "EndTransaction", "CheckTransaction", "Redeliver", "CommitOffset",
      "SeekCursor",  "Redrive",        "Carry",          "CloseSubscription"};
  static_assert(std::size(kNames) == kCommandTypes);
  return type < kCommandTypes ? kNames[type] : "unknown";
}

Bytes EncodePayload(const Command& command, const Bytes& bulk) {
  std::string head(sizeof(uint32_t), '\0');
  std::visit(
      [&head](const auto& message) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(message)>, std::monostate>) {
          CHECK(message.AppendToString(&head));
        }
      },
      command);
  StoreFixed<uint32_t>(head.data(), static_cast<uint32_t>(head.size() - sizeof(uint32_t)));
  Bytes payload(std::move(head));
  payload.Append(bulk);
  return payload;
}

absl::StatusOr<Command> DecodeCommand(uint16_t type, absl::string_view payload) {
  uint32_t size = 0;
  if (!GetFixed(&payload, &size) || payload.size() < size) {
    return absl::DataLossError(absl::StrCat("a ", CommandName(type), " record is shorter than its command"));
  }
  return Parse(type, payload.substr(0, size), std::make_index_sequence<kCommandTypes - 1>());
}

size_t BulkOffset(absl::string_view payload) { return sizeof(uint32_t) + LoadFixed<uint32_t>(payload.data()); }

}  // namespace barid::broker
