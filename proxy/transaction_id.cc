#include "proxy/transaction_id.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/log.h"
#include "proxy/refusal.h"
#include "proxy/signed_handle.h"

namespace barid::proxy {
namespace {

constexpr uint8_t kKind = 'T';  // Neither what a receipt begins with nor a recall handle.
constexpr size_t kBodyBytes = 3 * 8 + 4;
constexpr size_t kMaxIdChars = 256;

absl::Status Invalid(absl::string_view why) {
  return Refuse(Reason::kInvalidTransactionId, absl::StrCat("the transaction id ", why));
}

}  // namespace

std::string EncodeTransactionId(const TransactionId& id, const SigningKey& key) {
  std::string body;
  PutFixed<uint64_t>(&body, id.shard.value());
  PutFixed<uint64_t>(&body, id.topic.value());
  PutFixed<uint64_t>(&body, id.transaction.index);
  PutFixed<uint32_t>(&body, id.transaction.entry);
  CHECK_EQ(body.size(), kBodyBytes);
  return SealHandle(kKind, key, body);
}

absl::StatusOr<TransactionId> DecodeTransactionId(absl::string_view id, const std::vector<SigningKey>& keys) {
  if (absl::StripAsciiWhitespace(id).empty())
    return Invalid("is blank, expected the one that came with the send's answer");
  const absl::StatusOr<std::string> body = OpenHandle(kKind, id, keys, kMaxIdChars, kBodyBytes);
  if (!body.ok()) return Invalid(body.status().message());
  if (body->size() != kBodyBytes) {
    return Invalid("is not one that this server makes, expected the one that came with the send's answer");
  }
  const char* const p = body->data();
  TransactionId out;
  out.shard = ShardId(LoadFixed<uint64_t>(p));
  out.topic = TopicId(LoadFixed<uint64_t>(p + 8));
  out.transaction.index = LoadFixed<uint64_t>(p + 16);
  out.transaction.entry = LoadFixed<uint32_t>(p + 24);
  return out;
}

}  // namespace barid::proxy
