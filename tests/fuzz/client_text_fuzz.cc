// What clients hand back or make up as text: tag expressions, receipts, recall handles, transaction ids. Each is
// refused with the public reason for it, or means the same when it is said again; and behind a signature that fits,
// what it guards is reached too.
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/coding.h"
#include "base/log.h"
#include "proxy/recall_handle.h"
#include "proxy/receipt.h"
#include "proxy/refusal.h"
#include "proxy/signature.h"
#include "proxy/signed_handle.h"
#include "proxy/transaction_id.h"
#include "proxy/validation.h"
#include "tests/fuzz/fuzz.h"

namespace barid::proxy {
namespace {

constexpr int kMaxTags = 8;

const std::vector<SigningKey>& Keys() {
  static const auto* const keys = new std::vector<SigningKey>{{7, "old secret"}, {8, "new secret"}};
  return *keys;
}

void CheckRefused(const absl::Status& status, Reason reason) {
  CHECK(GetReason(status) == std::optional<Reason>(reason)) << status;
  CHECK_LE(status.message().size(), 1024u);
}

void FuzzHandle(absl::string_view handle) {
  const auto receipt = DecodeReceipt(handle, Keys());
  if (receipt.ok()) {
    CHECK(DecodeReceipt(EncodeReceipt(*receipt, Keys()[0]), Keys()).value() == *receipt);
  } else {
    CheckRefused(receipt.status(), Reason::kInvalidReceiptHandle);
  }
  const auto recall = DecodeRecallHandle(handle, Keys());
  if (recall.ok()) {
    CHECK(DecodeRecallHandle(EncodeRecallHandle(*recall, Keys()[0]), Keys()).value() == *recall);
  } else {
    CheckRefused(recall.status(), Reason::kBadRequest);
  }
  const auto transaction = DecodeTransactionId(handle, Keys());
  if (transaction.ok()) {
    CHECK(DecodeTransactionId(EncodeTransactionId(*transaction, Keys()[0]), Keys()).value() == *transaction);
  } else {
    CheckRefused(transaction.status(), Reason::kInvalidTransactionId);
  }
  // A handle of one kind is none of another.
  CHECK_LE(int{receipt.ok()} + int{recall.ok()} + int{transaction.ok()}, 1);
}

// `plain` as one who has the key would sign it: as a receipt, and as the other kinds.
void FuzzSigned(absl::string_view plain) {
  std::string bytes(plain);
  bytes += Sign(Keys()[0], plain);
  FuzzHandle(absl::WebSafeBase64Escape(bytes));
  if (plain.empty()) return;
  FuzzHandle(SealHandle(static_cast<uint8_t>(plain[0]), Keys()[1], plain.substr(1)));
}

void FuzzTags(absl::string_view expression) {
  const auto tags = ParseTagExpression(expression, kMaxTags);
  if (!tags.ok()) {
    CHECK(GetReason(tags.status()) == std::optional<Reason>(Reason::kIllegalFilterExpression)) << tags.status();
    return;
  }
  CHECK_LE(tags->size(), static_cast<size_t>(kMaxTags));
  for (const std::string& tag : *tags) {
    CHECK(!tag.empty());
    CHECK(tag.find('|') == std::string::npos);
    CHECK(absl::StripAsciiWhitespace(tag) == tag);
  }
  const auto again = ParseTagExpression(absl::StrJoin(*tags, "||"), kMaxTags);
  CHECK_OK(again.status());
  CHECK(*again == *tags);
}

}  // namespace
}  // namespace barid::proxy

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  barid::proxy::FuzzTags(bytes);
  barid::proxy::FuzzHandle(bytes);
  barid::proxy::FuzzSigned(bytes);
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  using namespace barid;
  using namespace barid::proxy;
  std::vector<std::string> seeds = {"*", "a || b", "a||b|| c ||a",    "a||*", "1||2||3||4||5||6||7||8||9",
                                    " ", "a | b",  "\xc3\xa9tiquette"};
  Receipt receipt;
  receipt.shard = ShardId(3);
  receipt.group = GroupId(11);
  receipt.queue = {DeadLetterTopicId(GroupId(5)), 7};
  receipt.offset = 1'000'000'000'000;
  receipt.auto_renew = true;
  RecallHandle recall;
  recall.shard = ShardId(3);
  recall.message_id = "01ID";
  TransactionId transaction;
  transaction.shard = ShardId(3);
  std::vector<std::string> handles = {EncodeReceipt(receipt, Keys()[0]), EncodeRecallHandle(recall, Keys()[1]),
                                      EncodeTransactionId(transaction, Keys()[1])};
  for (std::string& handle : handles) {
    std::string bytes;
    CHECK(absl::WebSafeBase64Unescape(handle, &bytes));
    bytes.resize(bytes.size() - kSignatureBytes);
    seeds.push_back(std::move(handle));
    seeds.push_back(bytes);                                 // To be signed again: a receipt,
    seeds.push_back(bytes.substr(0, 1) + bytes.substr(5));  // and the others, whose key's id is added.
  }
  return seeds;
}
