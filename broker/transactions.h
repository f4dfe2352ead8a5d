#ifndef BARID_BROKER_TRANSACTIONS_H_
#define BARID_BROKER_TRANSACTIONS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "base/broker_calls.h"
#include "base/metadata.h"
#include "broker/shard_core.h"

namespace barid::broker {

// What becomes of prepared messages: their producers end the transactions; who does not is asked, a limited number of
// times and through whichever proxy has a live producer of the topic; what nobody ends is discarded, to where an
// operator can look. Each is a record that the leader proposes: EndTransaction, CheckTransaction. The first end in the
// log decides.
//
// A check is counted, and the next one put off, before the proxy hears of it: so checks are bounded and there is one at
// a time, whoever dies. A transaction of whose topic no proxy has a live producer is not asked about; its age ends it.
//
// Belongs to the shard's executor; leaders only.
class Transactions {
 public:
  Transactions(ShardId shard, ShardCore* core) : shard_(shard), core_(core) {}

  void SetMetadata(std::shared_ptr<const Metadata> metadata) { metadata_ = std::move(metadata); }
  // A term begins.
  void OnLead();

  // Whether so many more may be opened: kResourceExhausted if not.
  absl::Status CheckRoom(int64_t more) const;
  // So many are proposed, or, negative, are not any more.
  void OnPrepare(int64_t change) { preparing_ += change; }

  // How long after it was prepared a producer is asked about a transaction of the topic whose message does not say it.
  absl::Duration FirstCheckAfter(TopicId topic) const;

  void End(const EndTransactionCall& call, Callback<EndTransactionResult> done);
  void TakeChecks(ChecksCall call, Callback<ChecksResult> done);
  void List(const TransactionsCall& call, Callback<TransactionsResult> done);

  // Proposes what is due by now.
  void Tick(int64_t now_us);

  // Answers whoever still waits for messages that are being read: the shard goes.
  void EndAll(const absl::Status& why);

 private:
  bool IsToBeDiscarded(const TransactionKey& key, const OpenTransaction& transaction, int64_t now_us) const;
  // What the topic says, or `otherwise`.
  absl::Duration RecoveryOf(TopicId topic, absl::Duration otherwise) const;
  // Another proxy should have the next check, and may come for it still.
  bool IsForAnother(const TransactionKey& key, const OpenTransaction& transaction, const std::string& proxy,
                    int64_t now_us) const;
  void OnChecked(uint64_t id, const std::vector<TransactionKey>& keys, const std::vector<bool>& live);
  void EndTaking(uint64_t id, ChecksResult result);
  void EndListing(uint64_t id, TransactionsResult result);
  void ListOpen(uint64_t id, const TransactionsCall& call);
  // Goes backwards from the entry before `end`.
  void ListDiscarded(uint64_t id, const QueueKey& queue, QueueOffset end, int64_t left, TransactionsResult result);
  void Discard(int64_t now_us);
  void ProposeDiscards(const std::vector<TransactionKey>& keys);
  void ForgetAsked();

  const ShardId shard_;
  ShardCore* const core_;
  std::shared_ptr<const Metadata> metadata_ = std::make_shared<Metadata>();
  int64_t preparing_ = 0;
  absl::flat_hash_set<TransactionKey> checking_;    // Proposed to be checked, not applied.
  absl::flat_hash_set<TransactionKey> discarding_;  // The same for discards.
  int64_t next_discard_us_ = 0;
  // Who had the last check, and when each proxy last came for some. In memory only: they spread checks, nothing depends
  // on them.
  absl::flat_hash_map<TransactionKey, std::string> asked_;
  absl::flat_hash_map<std::string, int64_t> proxies_;
  absl::btree_map<uint64_t, Callback<ChecksResult>> takings_;
  absl::btree_map<uint64_t, Callback<TransactionsResult>> listings_;
  uint64_t next_id_ = 1;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_TRANSACTIONS_H_
