#ifndef BARID_BROKER_LITE_SUBSCRIPTIONS_H_
#define BARID_BROKER_LITE_SUBSCRIPTIONS_H_

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/broker_calls.h"
#include "broker/lite_table.h"

namespace barid::broker {

// Whose turn it is to be served together: the receives of a group from a topic, and of a LITE topic those of one
// client, since each client has its own lite topics.
struct ReceiveLine {
  TopicId topic;
  GroupId group;
  std::string client;  // Empty but for LITE topics.

  friend auto operator<=>(const ReceiveLine&, const ReceiveLine&) = default;
};

// Which lite topics each client of a group reads, as clients say again and again: nothing of it is written down, and
// what a client does not repeat in time is forgotten. For each client it keeps which of its lite topics may have
// something to give, so that a receive looks at those and at no others, however many there are. Belongs to the shard's
// executor.
class LiteSubscriptions {
 public:
  // `table` outlives it.
  explicit LiteSubscriptions(const LiteTable* table) : table_(*table) {}

  // kResourceExhausted: the client would have more than `quota` in this shard; nothing is changed then.
  absl::Status Sync(const LiteSyncCall& call, int64_t quota, int64_t expires_us);
  // What Sync would answer.
  absl::Status Check(const LiteSyncCall& call, int64_t quota) const;
  // The queues that there are of what Sync would add.
  std::vector<QueueKey> BegunBy(const LiteSyncCall& call) const;
  // A client has said goodbye.
  void Forget(const std::string& client);
  // Forgets whom it has not heard of.
  void Expire(int64_t now_us);

  // The queue may have something to give: to each client of `group`, or of all groups, that reads its lite topic. Calls
  // `wake` with the line of each.
  void Ready(const QueueKey& queue, std::optional<GroupId> group, absl::FunctionRef<void(const ReceiveLine&)> wake);
  // The same of all that clients of the group read there.
  void ReadyAll(TopicId topic, GroupId group, absl::FunctionRef<void(const ReceiveLine&)> wake);
  // One of those that may have something for this client, each in its turn. nullopt: there is none.
  std::optional<QueueKey> Next(const ReceiveLine& line);
  size_t ReadyFor(const ReceiveLine& line) const;
  // It has nothing for it.
  void Done(const ReceiveLine& line, const QueueKey& queue);
  // The queues that there are of what it reads.
  std::vector<QueueKey> QueuesOf(const ReceiveLine& line) const;
  bool Reads(const ReceiveLine& line, const QueueKey& queue) const;

  int64_t clients() const { return static_cast<int64_t>(clients_.size()); }
  int64_t subscriptions() const { return subscriptions_; }

 private:
  struct Client {
    ReceiveLine line;
    absl::flat_hash_set<std::string> names;
    absl::btree_set<int32_t> ready;  // Queues.
    int32_t turn = 0;                // The one that Next gave last.
    int64_t version = 0;             // Of the last call that had one.
    int64_t expires_us = 0;
  };
  using Name = std::pair<TopicId, std::string>;

  const Client* Find(const ReceiveLine& line) const;

  void Add(Client* client, const std::string& name);
  void Remove(Client* client, const std::string& name);
  void RemoveAll(Client* client);

  const LiteTable& table_;
  using Clients = absl::btree_map<ReceiveLine, std::unique_ptr<Client>>;
  // Returns what is behind it.
  Clients::iterator Erase(Clients::iterator it);

  Clients clients_;
  absl::btree_set<std::tuple<std::string, TopicId, GroupId>> lines_of_;  // The same by client id, for Forget.
  absl::flat_hash_map<Name, absl::flat_hash_set<Client*>> readers_;
  int64_t subscriptions_ = 0;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_LITE_SUBSCRIPTIONS_H_
