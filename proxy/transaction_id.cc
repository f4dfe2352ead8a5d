#include "proxy/transaction_id.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/log.h"
#include "proxy/refusal.h"
#include "proxy/signature.h"

namespace barid::proxy {
namespace {

constexpr uint8_t kKind = 'T';  // Neither what a receipt begins with nor a recall handle.
constexpr size_t kFixedBytes = 1 + 4 + 3 * 8 + 4;
constexpr size_t kMaxIdChars = 256;

absl::Status Invalid(absl::string_view why) {
  return Refuse(Reason::kInvalidTransactionId, absl::StrCat("the transaction id ", why));
}

}  // namespace

std::string EncodeTransactionId(const TransactionId& id, const SigningKey& key) {
  std::string bytes;
  bytes.reserve(kFixedBytes + kSignatureBytes);
  PutFixed<uint8_t>(&bytes, kKind);
  PutFixed<uint32_t>(&bytes, key.id);
  PutFixed<uint64_t>(&bytes, id.shard.value());
  PutFixed<uint64_t>(&bytes, id.topic.value());
  PutFixed<uint64_t>(&bytes, id.transaction.index);
  PutFixed<uint32_t>(&bytes, id.transaction.entry);
  CHECK_EQ(bytes.size(), kFixedBytes);
  bytes += Sign(key, bytes);
  return absl::WebSafeBase64Escape(bytes);
}

absl::StatusOr<TransactionId> DecodeTransactionId(absl::string_view id, const std::vector<SigningKey>& keys) {
  if (absl::StripAsciiWhitespace(id).empty())
    return Invalid("is blank, expected the one that came with the send's answer");
  std::string bytes;
  // Base64 may have spare bits and padding; only the form that we make counts.
  if (id.size() > kMaxIdChars || !absl::WebSafeBase64Unescape(id, &bytes) ||
      bytes.size() != kFixedBytes + kSignatureBytes || absl::WebSafeBase64Escape(bytes) != id) {
    return Invalid("is not one that this server makes, expected the one that came with the send's answer");
  }
  const char* const p = bytes.data();
  if (static_cast<uint8_t>(p[0]) != kKind)
    return Invalid("is of another kind, expected the one that came with the send's answer");
  const SigningKey* const key = FindKey(keys, LoadFixed<uint32_t>(p + 1));
  if (key == nullptr) return Invalid("is signed with a key that is unknown here or no longer valid");
  if (!ConstantTimeEquals(Sign(*key, absl::string_view(p, kFixedBytes)),
                          absl::string_view(p + kFixedBytes, kSignatureBytes))) {
    return Invalid("is not one that this cluster signed");
  }
  TransactionId out;
  out.shard = ShardId(LoadFixed<uint64_t>(p + 5));
  out.topic = TopicId(LoadFixed<uint64_t>(p + 13));
  out.transaction.index = LoadFixed<uint64_t>(p + 21);
  out.transaction.entry = LoadFixed<uint32_t>(p + 29);
  return out;
}

}  // namespace barid::proxy
