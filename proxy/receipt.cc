#include "proxy/receipt.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/log.h"
#include "proxy/refusal.h"

namespace barid::proxy {
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint8_t kAutoRenew = 1;
constexpr size_t kPlainBytes = 1 + 1 + 4 + 4 + 4 + 5 * 8;
constexpr size_t kReceiptBytes = kPlainBytes + kSignatureBytes;
// A multiple of three bytes has exactly one base64 form: no padding and no spare bits that a forger could turn.
static_assert(kReceiptBytes % 3 == 0);
constexpr size_t kHandleChars = kReceiptBytes / 3 * 4;

absl::Status Invalid(absl::string_view why) {
  return Refuse(Reason::kInvalidReceiptHandle, absl::StrCat("the receipt handle ", why));
}

}  // namespace

std::string EncodeReceipt(const Receipt& receipt, const SigningKey& key) {
  std::string bytes;
  bytes.reserve(kReceiptBytes);
  PutFixed<uint8_t>(&bytes, kVersion);
  PutFixed<uint8_t>(&bytes, receipt.auto_renew ? kAutoRenew : 0);
  PutFixed<uint32_t>(&bytes, key.id);
  PutFixed<int32_t>(&bytes, receipt.queue.queue);
  PutFixed<int32_t>(&bytes, receipt.attempt);
  PutFixed<uint64_t>(&bytes, receipt.shard.value());
  PutFixed<uint64_t>(&bytes, receipt.group.value());
  PutFixed<uint64_t>(&bytes, receipt.queue.topic.value());
  PutFixed<int64_t>(&bytes, receipt.offset);
  PutFixed<uint64_t>(&bytes, receipt.nonce);
  CHECK_EQ(bytes.size(), kPlainBytes);
  bytes += Sign(key, bytes);
  return absl::WebSafeBase64Escape(bytes);
}

absl::StatusOr<Receipt> DecodeReceipt(absl::string_view handle, const std::vector<SigningKey>& keys) {
  if (handle.empty()) return Invalid("is empty, expected the one that came with the message");
  std::string bytes;
  if (handle.size() != kHandleChars || !absl::WebSafeBase64Unescape(handle, &bytes) || bytes.size() != kReceiptBytes) {
    return Invalid(absl::StrCat("has ", handle.size(), " characters, expected ", kHandleChars, " of URL-safe base64"));
  }
  const char* p = bytes.data();
  if (static_cast<uint8_t>(p[0]) != kVersion) {
    return Invalid(
        absl::StrCat("has version ", static_cast<int>(static_cast<uint8_t>(p[0])), ", expected ", int{kVersion}));
  }
  const SigningKey* const key = FindKey(keys, LoadFixed<uint32_t>(p + 2));
  if (key == nullptr) return Invalid("is signed with a key that is unknown here or no longer valid");
  const absl::string_view plain(p, kPlainBytes);
  if (!ConstantTimeEquals(Sign(*key, plain), absl::string_view(p + kPlainBytes, kSignatureBytes))) {
    return Invalid("is not one that this cluster signed");
  }
  Receipt receipt;
  receipt.auto_renew = (static_cast<uint8_t>(p[1]) & kAutoRenew) != 0;
  receipt.queue.queue = LoadFixed<int32_t>(p + 6);
  receipt.attempt = LoadFixed<int32_t>(p + 10);
  receipt.shard = ShardId(LoadFixed<uint64_t>(p + 14));
  receipt.group = GroupId(LoadFixed<uint64_t>(p + 22));
  receipt.queue.topic = TopicId(LoadFixed<uint64_t>(p + 30));
  receipt.offset = LoadFixed<int64_t>(p + 38);
  receipt.nonce = LoadFixed<uint64_t>(p + 46);
  return receipt;
}

}  // namespace barid::proxy
