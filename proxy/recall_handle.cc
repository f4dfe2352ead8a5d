#include "proxy/recall_handle.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/log.h"
#include "proxy/refusal.h"
#include "proxy/signature.h"

namespace barid::proxy {
namespace {

constexpr uint8_t kKind = 'R';  // Not what a receipt begins with.
constexpr size_t kFixedBytes = 1 + 4 + 4 * 8 + 4;
constexpr size_t kMaxHandleChars = 1024;

absl::Status Invalid(absl::string_view why) {
  return Refuse(Reason::kBadRequest, absl::StrCat("the recall handle ", why));
}

}  // namespace

std::string EncodeRecallHandle(const RecallHandle& handle, const SigningKey& key) {
  std::string bytes;
  bytes.reserve(kFixedBytes + handle.message_id.size() + kSignatureBytes);
  PutFixed<uint8_t>(&bytes, kKind);
  PutFixed<uint32_t>(&bytes, key.id);
  PutFixed<uint64_t>(&bytes, handle.shard.value());
  PutFixed<uint64_t>(&bytes, handle.topic.value());
  PutFixed<int64_t>(&bytes, handle.timer.deliver_at_us);
  PutFixed<uint64_t>(&bytes, handle.timer.index);
  PutFixed<uint32_t>(&bytes, handle.timer.entry);
  CHECK_EQ(bytes.size(), kFixedBytes);
  bytes += handle.message_id;
  bytes += Sign(key, bytes);
  return absl::WebSafeBase64Escape(bytes);
}

absl::StatusOr<RecallHandle> DecodeRecallHandle(absl::string_view handle, const std::vector<SigningKey>& keys) {
  if (handle.empty()) return Invalid("is empty, expected the one that came with the send's answer");
  std::string bytes;
  // Base64 may have spare bits and padding; only the form that we make counts.
  if (handle.size() > kMaxHandleChars || !absl::WebSafeBase64Unescape(handle, &bytes) ||
      bytes.size() < kFixedBytes + kSignatureBytes || absl::WebSafeBase64Escape(bytes) != handle) {
    return Invalid("is not one that this server makes, expected the one that came with the send's answer");
  }
  const char* const p = bytes.data();
  if (static_cast<uint8_t>(p[0]) != kKind) return Invalid("is of another kind, expected the one that came with the send's answer");
  const SigningKey* const key = FindKey(keys, LoadFixed<uint32_t>(p + 1));
  if (key == nullptr) return Invalid("is signed with a key that is unknown here or no longer valid");
  const absl::string_view plain(p, bytes.size() - kSignatureBytes);
  if (!ConstantTimeEquals(Sign(*key, plain), absl::string_view(p + plain.size(), kSignatureBytes))) {
    return Invalid("is not one that this cluster signed");
  }
  RecallHandle out;
  out.shard = ShardId(LoadFixed<uint64_t>(p + 5));
  out.topic = TopicId(LoadFixed<uint64_t>(p + 13));
  out.timer.deliver_at_us = LoadFixed<int64_t>(p + 21);
  out.timer.index = LoadFixed<uint64_t>(p + 29);
  out.timer.entry = LoadFixed<uint32_t>(p + 37);
  out.message_id = std::string(plain.substr(kFixedBytes));
  return out;
}

}  // namespace barid::proxy
