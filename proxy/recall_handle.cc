#include "proxy/recall_handle.h"

#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/log.h"
#include "proxy/refusal.h"
#include "proxy/signed_handle.h"

namespace barid::proxy {
namespace {

constexpr uint8_t kKind = 'R';  // Not what a receipt begins with.
constexpr size_t kFixedBytes = 4 * 8 + 4;
constexpr size_t kMaxHandleChars = 1024;

absl::Status Invalid(absl::string_view why) {
  return Refuse(Reason::kBadRequest, absl::StrCat("the recall handle ", why));
}

}  // namespace

std::string EncodeRecallHandle(const RecallHandle& handle, const SigningKey& key) {
  std::string body;
  PutFixed<uint64_t>(&body, handle.shard.value());
  PutFixed<uint64_t>(&body, handle.topic.value());
  PutFixed<int64_t>(&body, handle.timer.deliver_at_us);
  PutFixed<uint64_t>(&body, handle.timer.index);
  PutFixed<uint32_t>(&body, handle.timer.entry);
  CHECK_EQ(body.size(), kFixedBytes);
  body += handle.message_id;
  return SealHandle(kKind, key, body);
}

absl::StatusOr<RecallHandle> DecodeRecallHandle(absl::string_view handle, const std::vector<SigningKey>& keys) {
  if (handle.empty()) return Invalid("is empty, expected the one that came with the send's answer");
  const absl::StatusOr<std::string> body = OpenHandle(kKind, handle, keys, kMaxHandleChars, kFixedBytes);
  if (!body.ok()) return Invalid(body.status().message());
  const char* const p = body->data();
  RecallHandle out;
  out.shard = ShardId(LoadFixed<uint64_t>(p));
  out.topic = TopicId(LoadFixed<uint64_t>(p + 8));
  out.timer.deliver_at_us = LoadFixed<int64_t>(p + 16);
  out.timer.index = LoadFixed<uint64_t>(p + 24);
  out.timer.entry = LoadFixed<uint32_t>(p + 32);
  out.message_id = body->substr(kFixedBytes);
  return out;
}

}  // namespace barid::proxy
