#ifndef BARID_PROXY_TRANSACTION_ID_H_
#define BARID_PROXY_TRANSACTION_ID_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "base/metadata.h"

namespace barid::proxy {

// Names one transaction. It says all that is needed to end it, so any proxy can.
struct TransactionId {
  ShardId shard;
  TopicId topic;
  TransactionKey transaction;

  friend bool operator==(const TransactionId&, const TransactionId&) = default;
};

// What the producer keeps: the above and a signature (proxy/signature.h) in URL-safe base64.
//
//   kind 1 | key id 4 | shard 8 | topic 8 | record 8 | entry 4 | signature 18
std::string EncodeTransactionId(const TransactionId& id, const SigningKey& key);

// INVALID_TRANSACTION_ID (proxy/refusal.h) unless it is exactly what EncodeTransactionId made with one of the keys.
absl::StatusOr<TransactionId> DecodeTransactionId(absl::string_view id, const std::vector<SigningKey>& keys);

}  // namespace barid::proxy

#endif  // BARID_PROXY_TRANSACTION_ID_H_
