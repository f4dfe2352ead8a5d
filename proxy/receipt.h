#ifndef BARID_PROXY_RECEIPT_H_
#define BARID_PROXY_RECEIPT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "base/metadata.h"
#include "proxy/signature.h"

namespace barid::proxy {

// Names one delivery. It says all that is needed to settle it, so any proxy can, without asking another.
struct Receipt {
  ShardId shard;
  GroupId group;
  QueueKey queue;
  QueueOffset offset = 0;
  int32_t attempt = 1;
  LogIndex nonce = 0;
  // The receive asked for renewal: the one who holds it is a push consumer.
  bool auto_renew = false;

  friend bool operator==(const Receipt&, const Receipt&) = default;
};

// The handle that a client keeps: the receipt and a signature (HMAC-SHA-256, 18 bytes of it) as 96 characters of
// URL-safe base64. There is one handle per delivery; renewing it or changing its invisible time leaves the handle as it
// is.
//
//   version 1 | flags 1 | key id 4 | queue 4 | attempt 4 | shard 8 | group 8 | topic 8 | offset 8 | nonce 8 |
//   signature 18
std::string EncodeReceipt(const Receipt& receipt, const SigningKey& key);

// INVALID_RECEIPT_HANDLE (proxy/refusal.h) unless it is what EncodeReceipt made with one of the keys: this one, or that
// of a newer proxy, whose further flags are passed over.
absl::StatusOr<Receipt> DecodeReceipt(absl::string_view handle, const std::vector<SigningKey>& keys);

}  // namespace barid::proxy

#endif  // BARID_PROXY_RECEIPT_H_
