#ifndef BARID_BROKER_VISIBILITY_H_
#define BARID_BROKER_VISIBILITY_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "base/broker_calls.h"
#include "broker/shard_core.h"

namespace barid::broker {

// What happens to messages that were handed out: settled by members, visible again when their time is over, held while
// their client lives, buried in the dead-letter queue after the last attempt. What time causes is proposed here, by the
// leader, as records. Belongs to the shard's executor.
class Visibility {
 public:
  explicit Visibility(ShardCore* core) : core_(core) {}

  void SetMetadata(std::shared_ptr<const Metadata> metadata) { metadata_ = std::move(metadata); }

  // A term begins: every client is granted the full time.
  //
  // What was reported to the leader before and was not held yet is not known here, nor whether its answer had left: it
  // comes back after its first deadline, as does what was never reported.
  void OnLead();
  // The process is about to end: what was reported, and what still is, is held at once.
  void Drain();

  void Settle(SettleCall call, Callback<SettleResult> done);
  // The clients have what they were sent: it is held, if it is not settled soon.
  void ReportSent(const SentReport& report);
  void ReportClients(const ClientReport& report);

  // Moves a delivery to the group's dead-letter queue; once, however often it is asked for. `done` may be empty.
  using Buried = absl::AnyInvocable<void(absl::Status)>;
  void Bury(const CursorKey& key, QueueOffset offset, LogIndex nonce, absl::string_view reason, Buried done);

  // Answers whoever still waits for a dead letter: the shard goes.
  void EndAll(const absl::Status& why);

  // Proposes what is due by now.
  void Tick(int64_t now_us);

 private:
  struct DueHold {
    int64_t due_us = 0;
    CursorKey key;
    QueueOffset offset = 0;
    LogIndex nonce = 0;
  };
  using Name = std::tuple<CursorKey, QueueOffset, LogIndex>;  // Of one delivery.
  struct LastWord {
    int64_t at_us = 0;
    bool was_goodbye = false;
  };

  void ProposeHolds(int64_t now_us);
  void ProposeHold(log::Hold command, int64_t now_us);
  void ProposeLapses(int64_t now_us);
  void ProposeClientsGone(int64_t now_us);
  void ProposeClientGone(const std::string& client, int64_t now_us);
  bool SaidGoodbye(const std::string& client) const;
  RetryPolicy PolicyOf(GroupId group) const;

  ShardCore* const core_;
  std::shared_ptr<const Metadata> metadata_ = std::make_shared<Metadata>();
  absl::flat_hash_set<Name> lapsing_;  // Proposed to become visible, not applied.
  absl::flat_hash_set<Name> holding_;  // Proposed to be held, not applied.
  absl::btree_map<Name, std::vector<Buried>> burying_;
  std::deque<DueHold> holds_;  // In order of due_us.
  bool draining_ = false;
  absl::flat_hash_map<std::string, LastWord> last_words_;
  int64_t listening_since_us_ = 0;
  int64_t next_client_check_us_ = 0;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_VISIBILITY_H_
